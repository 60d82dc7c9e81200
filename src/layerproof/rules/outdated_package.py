"""`outdated-package`: a layer brings a package that is behind the newest version.

1. The newest version is that of the distribution's release or of the registry, as the advisory file
   has it; versions are compared as the ecosystem does.
2. A package may be behind for `graceDays` after the newer version came out; where that day is not
   known, after the day as of which the newest version is known.
3. Where the newest versions of an ecosystem are not known the rule cannot tell. A registry is asked
   project by project: a project that was not asked for is not judged.

The built-in policy ignores this rule: it asks for a feed that not everybody keeps.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

from layerproof.advisories.order import SCHEMES, compare
from layerproof.model.facts import ImageFacts, LayerFacts
from layerproof.model.finding import Effect, Finding, Severity, Status
from layerproof.model.installed import Instance, instances
from layerproof.rules.interface import RuleSettings, days
from layerproof.rules.layers import not_indexed
from layerproof.rules.text import plural, show_path, show_text

MAX_FINDINGS = 100  # per layer, before the rest is summed up


@dataclass(frozen=True, slots=True)
class OutdatedPackageSettings(RuleSettings):
    """See the module."""

    grace_days: int = days("graceDays", default=30)


class OutdatedPackage:
    """See the module."""

    __slots__ = ()

    id: ClassVar[str] = "outdated-package"
    severity: ClassVar[Severity] = Severity.LOW
    doc: ClassVar[str] = (
        "A package that a layer adds or changes is behind the newest version of its distribution "
        "release or registry."
    )
    settings: ClassVar[type[OutdatedPackageSettings]] = OutdatedPackageSettings

    def check(self, facts: ImageFacts, settings: OutdatedPackageSettings) -> tuple[Finding, ...]:
        """Findings on the layers above the base, lowest first."""
        every = instances((layer.layer.position, layer.package_changes) for layer in facts.layers)
        findings: list[Finding] = []
        for layer in facts.above_base:
            if layer.changes is None:
                findings.append(not_indexed(self.id, facts, layer))
                continue
            brought = [i for i in every if i.introduced == layer.layer.position]
            findings += self._judge(facts, settings, layer, brought)
        return tuple(findings)

    def _judge(
        self,
        facts: ImageFacts,
        settings: OutdatedPackageSettings,
        layer: LayerFacts,
        brought: Sequence[Instance],
    ) -> Iterator[Finding]:
        behind: list[tuple[Instance, str, datetime | None]] = []
        unknown: dict[str, int] = {}
        for instance in brought:
            found = facts.advice.packages.get(instance.package) if facts.advice else None
            ecosystem = found.ecosystem if found is not None else None
            if facts.advice is None or ecosystem not in facts.advice.versions:
                unknown[ecosystem or ""] = unknown.get(ecosystem or "", 0) + 1
                continue
            newest = found.newest if found is not None else None
            if newest is None:
                continue
            package = instance.package
            # indexes name binary packages of dpkg, sources of apk; a source's version is the
            # binary's
            if compare(SCHEMES[package.type], package.version, newest.version) >= 0:
                continue
            since = newest.published or newest.as_of
            if since is None or facts.now - since > timedelta(days=settings.grace_days):
                behind.append((instance, newest.version, since))
        if unknown:
            yield self._unknown(layer, unknown)
        for instance, version, since in behind[:MAX_FINDINGS]:
            yield self._finding(layer, instance, version, since)
        if behind[MAX_FINDINGS:]:
            yield self._rest(layer, [instance for instance, _, _ in behind[MAX_FINDINGS:]])

    def _unknown(self, layer: LayerFacts, unknown: dict[str, int]) -> Finding:
        named = ", ".join(sorted(name or "an unknown ecosystem" for name in unknown))
        return Finding(
            rule=self.id,
            status=Status.UNKNOWN,
            severity=self.severity,
            message=f"the newest versions of {plural(sum(unknown.values()), 'package')} are not "
            f"known ({named})",
            remedy="import the package index of the release or the registry's JSON: "
            "layerproof advisories import --help",
            position=layer.layer.position,
            chain_id=layer.layer.chain_id,
            evidence={"packages": dict(sorted(unknown.items()))},
        )

    def _finding(
        self, layer: LayerFacts, instance: Instance, version: str, since: datetime | None
    ) -> Finding:
        package = instance.package
        newest = show_text(version, 100)
        replaced = instance.successor is not None
        note = f"; replaced in layer {instance.gone}" if replaced else ""
        return Finding(
            rule=self.id,
            status=Status.FAIL,
            severity=self.severity,
            message=f"{show_text(package.name, 100)} {show_text(package.version, 100)} is behind "
            f"{newest}{note}",
            remedy=f"build the layer again, with {newest}",
            effect=Effect.IGNORE if replaced else Effect.REFUSE,
            position=layer.layer.position,
            chain_id=layer.layer.chain_id,
            evidence={
                "package": show_text(package.purl),
                "path": show_path(package.path),
                "installed": show_text(package.version, 200),
                "newest": show_text(version, 200),
                "since": since.isoformat() if since else None,
            },
        )

    def _rest(self, layer: LayerFacts, rest: Sequence[Instance]) -> Finding:
        return Finding(
            rule=self.id,
            status=Status.FAIL,
            severity=self.severity,
            message=f"{plural(len(rest), 'more package')} are behind the newest version",
            remedy="build the layer again, with today's packages",
            position=layer.layer.position,
            chain_id=layer.layer.chain_id,
            evidence={
                "total": len(rest),
                "packages": [show_text(instance.package.purl) for instance in rest[:MAX_FINDINGS]],
            },
        )
