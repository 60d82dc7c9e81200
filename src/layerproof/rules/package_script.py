"""`package-script`: a package brings a script that runs by itself and that no trusted layer has.

1. Judged are the scripts that a layer brings: those of its contents (`layerproof.analysis.scripts`)
   whose text is in no layer below.
2. A script is known when a layer of an image that is trusted now holds the same text, or when the
   policy lists its sha256 (`known`). Trust that was revoked or has expired vouches for nothing.
3. One finding per package: its scripts belong together.
"""

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from typing import ClassVar

from layerproof.model.facts import ImageFacts, LayerFacts
from layerproof.model.finding import Finding, Severity, Status
from layerproof.model.ownership import PackageScript
from layerproof.rules.interface import RuleSettings, texts
from layerproof.rules.layers import not_indexed
from layerproof.rules.text import plural, show_path, show_text

MAX_FINDINGS = 50  # per layer, before the rest is summed up
SHA256 = r"[0-9a-f]{64}"


@dataclass(frozen=True, slots=True)
class PackageScriptSettings(RuleSettings):
    """`known`: sha256 of scripts that are fine, in hexadecimal."""

    known: tuple[str, ...] = texts("known", form=SHA256, example="the sha256 from a finding")


class PackageScripts:
    """See the module."""

    __slots__ = ()

    id: ClassVar[str] = "package-script"
    severity: ClassVar[Severity] = Severity.MEDIUM
    doc: ClassVar[str] = "A package brings an install script that no trusted layer has."
    settings: ClassVar[type[PackageScriptSettings]] = PackageScriptSettings

    def check(self, facts: ImageFacts, settings: PackageScriptSettings) -> tuple[Finding, ...]:
        """Findings on the layers above the base, lowest first."""
        known = {*facts.known_scripts, *(bytes.fromhex(digest) for digest in settings.known)}
        return tuple(
            finding for layer in facts.above_base for finding in self._judge(facts, layer, known)
        )

    def _judge(self, facts: ImageFacts, layer: LayerFacts, known: Set[bytes]) -> Iterator[Finding]:
        if layer.changes is None:
            yield not_indexed(self.id, facts, layer)
            return
        packages: dict[tuple[str, bytes], list[PackageScript]] = {}
        for script in layer.scripts:
            where = script.path if _stands_alone(script) else b""
            packages.setdefault((script.package, where), []).append(script)
        ordered = [
            packages[key]
            for key in sorted(packages)
            if any(script.sha256 not in known for script in packages[key])
        ]
        for scripts in ordered[:MAX_FINDINGS]:
            yield self._finding(facts, layer, scripts, known)
        if ordered[MAX_FINDINGS:]:
            yield self._rest(layer, ordered[MAX_FINDINGS:])

    def _finding(
        self,
        facts: ImageFacts,
        layer: LayerFacts,
        scripts: Sequence[PackageScript],
        known: Set[bytes],
    ) -> Finding:
        unknown = [script for script in scripts if script.sha256 not in known]
        kinds = ", ".join(sorted({show_text(script.kind, 60) for script in unknown}))
        where = f", in {show_path(unknown[0].path)}" if _stands_alone(unknown[0]) else ""
        return Finding(
            rule=self.id,
            status=Status.FAIL,
            severity=self.severity,
            message=f"the package {show_text(scripts[0].package, 100)} brings scripts that no "
            f"trusted layer has: {kinds}{where}",
            remedy="read them in the package; then trust an image that has them, or list their "
            "sha256 in the policy: rules.package-script.known",
            position=layer.layer.position,
            chain_id=layer.layer.chain_id,
            evidence={
                "package": show_text(scripts[0].package),
                "path": show_path(unknown[0].path),
                "scripts": [
                    {
                        "kind": show_text(script.kind, 60),
                        "path": show_path(script.path),
                        "sha256": script.sha256.hex(),
                        "seenInTrustedLayers": facts.known_scripts.get(script.sha256, 0),
                    }
                    # the unknown ones first: what is left out is known
                    for script in sorted(scripts, key=lambda s: s.sha256 in known)[:MAX_FINDINGS]
                ],
            },
        )

    def _rest(self, layer: LayerFacts, packages: Sequence[Sequence[PackageScript]]) -> Finding:
        return Finding(
            rule=self.id,
            status=Status.FAIL,
            severity=self.severity,
            message=f"{plural(len(packages), 'more package')} bring scripts that no trusted layer "
            "has",
            remedy="trust an image that has these packages, once they were looked at",
            position=layer.layer.position,
            chain_id=layer.layer.chain_id,
            evidence={
                "total": len(packages),
                "packages": [show_text(scripts[0].package) for scripts in packages[:MAX_FINDINGS]],
            },
        )


def _stands_alone(script: PackageScript) -> bool:
    """Whether a package of its name may lie in several places, each judged by itself."""
    return script.kind.startswith(("npm:", "pth", "custom"))
