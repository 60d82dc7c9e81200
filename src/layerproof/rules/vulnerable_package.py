"""`vulnerable-package`: a layer brings a package with a known vulnerability.

1. A layer is judged by the packages that it adds or changes. One that a later layer replaced by a
   version without the vulnerability is told, and does not count; one that a later layer only
   removed counts: its files may still be there, and taking away the metadata alone would hide it.
2. A vulnerability counts if it is as severe as `level` says (what nobody rated is taken for
   severe), has a fix (or `unfixed` is set), and is known for longer than `graceDays`. One that is
   known to be exploited counts whatever its severity, and without a fix (`exploited`); so does one
   whose EPSS probability reaches `epss`.
3. A VEX statement that says that it does not matter here is shown with its reason, and the
   vulnerability does not count.
4. A package that only a lock file names may not be installed at all: it alerts, and no more.
5. A database of dpkg, apk or rpm that could not be read, or not wholly, may hide packages: the rule
   cannot tell.
6. Without advisories for a package's ecosystem, or with advisories older than `maxAgeDays`, the
   rule cannot tell.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar

from layerproof.model.facts import ImageFacts, LayerFacts
from layerproof.model.finding import Effect, Finding, Severity, Status
from layerproof.model.installed import Instance, instances
from layerproof.model.package import Package
from layerproof.model.vulnerability import LEVELS, Advice, Level, State, VexStatement, Vulnerability
from layerproof.rules.interface import RuleSettings, choice, days, flag, percent
from layerproof.rules.layers import not_indexed
from layerproof.rules.text import plural, show_path, show_text

MAX_FINDINGS = 200  # per layer, before the rest is summed up
MAX_PACKAGES = 50  # that one finding names
NEVER = 0
_DATABASES = ("apk", "dpkg", "rpm")  # analysers of what lists a whole system's packages

_SEVERITIES = {
    Level.UNKNOWN: Severity.HIGH,
    Level.NEGLIGIBLE: Severity.LOW,
    Level.LOW: Severity.LOW,
    Level.MEDIUM: Severity.MEDIUM,
    Level.HIGH: Severity.HIGH,
    Level.CRITICAL: Severity.CRITICAL,
}
_WHY_NO_FIX = {
    State.NO_DSA: "the distribution will issue no advisory for it",
    State.UNDETERMINED: "the distribution has not looked at it yet",
    State.END_OF_LIFE: "the distribution no longer supports the package",
}


@dataclass(frozen=True, slots=True)
class VulnerablePackageSettings(RuleSettings):
    """See the module; the rule's page has the table."""

    level: str = choice("level", ("low", "medium", "high", "critical"), default="high")
    unfixed: bool = flag("unfixed", default=False)
    exploited: bool = flag("exploited", default=True)
    epss: int = percent("epss", default=NEVER)  # 0: not asked
    grace_days: int = days("graceDays", default=0)
    max_age_days: int = days("maxAgeDays", default=14)
    scope: str = choice("scope", ("above", "all"), default="above")


class VulnerablePackage:
    """See the module."""

    __slots__ = ()

    id: ClassVar[str] = "vulnerable-package"
    severity: ClassVar[Severity] = Severity.HIGH
    doc: ClassVar[str] = "A package that a layer adds or changes has a known vulnerability."
    settings: ClassVar[type[VulnerablePackageSettings]] = VulnerablePackageSettings

    def check(self, facts: ImageFacts, settings: VulnerablePackageSettings) -> tuple[Finding, ...]:
        """Findings on layers, lowest first. Those of the base stand on the image as a whole."""
        every = instances((layer.layer.position, layer.package_changes) for layer in facts.layers)
        by_layer: dict[int, list[Instance]] = {}
        for instance in every:
            by_layer.setdefault(instance.introduced, []).append(instance)
        judged = facts.layers if settings.scope == "all" else facts.above_base
        findings: list[Finding] = []
        for layer in judged:
            if layer.changes is None:
                findings.append(not_indexed(self.id, facts, layer))
                continue
            brought = by_layer.get(layer.layer.position, [])
            findings += self._judge(facts, settings, layer, brought)
        return tuple(findings)

    def _judge(
        self,
        facts: ImageFacts,
        settings: VulnerablePackageSettings,
        layer: LayerFacts,
        brought: Sequence[Instance],
    ) -> Iterator[Finding]:
        yield from self._unread(facts, layer)
        if not brought:
            return
        if facts.advice is None:
            yield self._unknown(
                facts,
                layer,
                f"there are no advisories: whether {plural(len(brought), 'package')} of the layer "
                "are vulnerable is not known",
                "layerproof advisories update",
                {"packages": len(brought)},
            )
            return
        yield from self._not_covered(facts, settings, layer, brought, facts.advice)
        found = _grouped(facts.advice, brought)
        counting = [item for item in found if _counts(item[0], settings, facts)]
        counting.sort(
            key=lambda item: (-LEVELS.index(item[0].level), item[0].id, item[1][0].package)
        )
        for vulnerability, holders in counting[:MAX_FINDINGS]:
            yield self._finding(facts, layer, vulnerability, holders)
        if counting[MAX_FINDINGS:]:
            yield self._rest(facts, layer, counting[MAX_FINDINGS:])

    # --- what cannot be told ---

    def _unread(self, facts: ImageFacts, layer: LayerFacts) -> Iterator[Finding]:
        unread = [item for item in layer.skipped if item[0] in _DATABASES]
        if unread:
            _, path, reason = unread[0]
            yield self._unknown(
                facts,
                layer,
                "a package database was not read wholly, and may hide packages: "
                f"{show_path(path)}: {show_text(reason)}",
                "rebuild the layer with an intact package database",
                {"path": show_path(path), "reason": show_text(reason), "total": len(unread)},
            )

    def _not_covered(
        self,
        facts: ImageFacts,
        settings: VulnerablePackageSettings,
        layer: LayerFacts,
        brought: Sequence[Instance],
        advice: Advice,
    ) -> Iterator[Finding]:
        """One finding per ecosystem without advisories, or with old ones."""
        asked: dict[str | None, list[Package]] = {}
        for instance in brought:
            found = advice.packages.get(instance.package)
            asked.setdefault(found.ecosystem if found else None, []).append(instance.package)
        oldest = facts.now - timedelta(days=settings.max_age_days)
        for ecosystem, packages in sorted(asked.items(), key=lambda item: item[0] or ""):
            covered = advice.coverage.get(ecosystem or "")
            evidence: dict[str, object] = {
                "ecosystem": ecosystem,
                "packages": [show_text(p.purl) for p in packages[:MAX_PACKAGES]],
                "total": len(packages),
            }
            if ecosystem is None:
                yield self._unknown(
                    facts,
                    layer,
                    f"no advisories are known for {plural(len(packages), 'package')} of "
                    f"{show_text(layer.release.name) or 'an unknown distribution'}",
                    "only the distribution's own advisories could tell; if another answers for it, "
                    "free the image by an exception",
                    evidence,
                )
            elif covered is None:
                yield self._unknown(
                    facts,
                    layer,
                    f"there are no advisories for {ecosystem}: {plural(len(packages), 'package')} "
                    "were not looked up",
                    f"layerproof advisories update {_feed(ecosystem)}",
                    evidence,
                )
            elif covered.as_of < oldest:
                age = plural((facts.now - covered.as_of).days, "day")
                yield self._unknown(
                    facts,
                    layer,
                    f"the advisories for {ecosystem} are {age} old; what became known since is "
                    "missing",
                    f"layerproof advisories update {_feed(ecosystem)}",
                    {**evidence, "asOf": covered.as_of.isoformat()},
                )

    def _unknown(
        self,
        facts: ImageFacts,
        layer: LayerFacts,
        message: str,
        remedy: str,
        evidence: dict[str, object],
    ) -> Finding:
        on_layer = not _in_base(facts, layer)
        return Finding(
            rule=self.id,
            status=Status.UNKNOWN,
            severity=Severity.MEDIUM,
            message=message,
            remedy=remedy,
            position=layer.layer.position if on_layer else None,
            chain_id=layer.layer.chain_id if on_layer else None,
            evidence=evidence,
        )

    # --- what is vulnerable ---

    def _finding(
        self,
        facts: ImageFacts,
        layer: LayerFacts,
        vulnerability: Vulnerability,
        holders: Sequence[Instance],
    ) -> Finding:
        names = _names(holders)
        message = f"{names} has {show_text(vulnerability.id, 60)} ({_words(vulnerability)})"
        if vulnerability.summary:
            message += f": {show_text(vulnerability.summary, 120)}"
        successor = _successor(facts, vulnerability, holders)
        effect, note = Effect.REFUSE, ""
        if vulnerability.excused and vulnerability.vex is not None:
            effect, note = Effect.IGNORE, f"; does not matter here: {_vex_words(vulnerability.vex)}"
        elif successor is not None:
            effect, note = Effect.IGNORE, f"; replaced in layer {successor}"
        elif all(holder.package.locked for holder in holders):
            effect, note = Effect.ALERT, "; only a lock file names it"
        elif all(holder.gone is not None for holder in holders):
            note = f"; removed in layer {max(h.gone or 0 for h in holders)}, but still in this one"
        on_layer = not _in_base(facts, layer)
        return Finding(
            rule=self.id,
            status=Status.FAIL,
            severity=_SEVERITIES[vulnerability.level],
            message=message + note,
            remedy=_remedy(vulnerability, holders),
            effect=effect,
            position=layer.layer.position if on_layer else None,
            chain_id=layer.layer.chain_id if on_layer else None,
            evidence={**_evidence(vulnerability, holders, layer), "note": note.lstrip("; ")},
        )

    def _rest(
        self,
        facts: ImageFacts,
        layer: LayerFacts,
        found: Sequence[tuple[Vulnerability, Sequence[Instance]]],
    ) -> Finding:
        on_layer = not _in_base(facts, layer)
        return Finding(
            rule=self.id,
            status=Status.FAIL,
            severity=_SEVERITIES[found[0][0].level],
            message=f"{len(found):,} more vulnerable packages and vulnerabilities of the layer",
            remedy="list all of them: layerproof vulnerabilities IMAGE",
            position=layer.layer.position if on_layer else None,
            chain_id=layer.layer.chain_id if on_layer else None,
            evidence={
                "total": len(found),
                "vulnerabilities": [show_text(v.id, 60) for v, _ in found[:MAX_FINDINGS]],
            },
        )


def _in_base(facts: ImageFacts, layer: LayerFacts) -> bool:
    """The base's layers are trusted; what is wrong with them is wrong with the image."""
    return facts.base is not None and layer.layer.position < facts.base.layers


def _grouped(
    advice: Advice, brought: Iterable[Instance]
) -> list[tuple[Vulnerability, list[Instance]]]:
    """Each vulnerability once, with all packages of one source that have it."""
    groups: dict[tuple[str, str, str, str], tuple[Vulnerability, list[Instance]]] = {}
    for instance in brought:
        package = instance.package
        found = advice.packages.get(package)
        for v in found.vulnerabilities if found is not None else ():
            key = (v.id, v.ecosystem, package.source or package.name, v.fixed)
            groups.setdefault(key, (v, []))[1].append(instance)
    return list(groups.values())


def _counts(v: Vulnerability, settings: VulnerablePackageSettings, facts: ImageFacts) -> bool:
    if v.malicious or (v.exploited and settings.exploited):
        return True
    if settings.epss and v.epss is not None and 100 * v.epss >= settings.epss:
        return True
    severe = v.level is Level.UNKNOWN or LEVELS.index(v.level) >= LEVELS.index(
        Level(settings.level)
    )
    if not severe or (not v.fixed and not settings.unfixed):
        return False
    grace = timedelta(days=settings.grace_days)
    return v.published is None or facts.now - v.published > grace or not grace


def _successor(facts: ImageFacts, v: Vulnerability, holders: Sequence[Instance]) -> int | None:
    """The layer in which the last of the holders gave way to a version without it."""
    advice = facts.advice
    last = -1
    for holder in holders:
        if holder.successor is None or holder.gone is None or advice is None:
            return None
        found = advice.packages.get(holder.successor)
        if found is None or any(v.id == other.id for other in found.vulnerabilities):
            return None
        last = max(last, holder.gone)
    return last


def _names(holders: Sequence[Instance]) -> str:
    first = holders[0].package
    names = f"{show_text(first.name, 100)} {show_text(first.version, 100)}"
    if len(holders) > 1:
        more = len(holders) - 1
        names += f" (and {plural(more, 'package')} of {show_text(first.source or first.name, 100)})"
    return names


def _words(v: Vulnerability) -> str:
    words = [v.level.value if v.level is not Level.UNKNOWN else "severity unknown"]
    if v.malicious:
        words.append("a malicious package")
    if v.exploited:
        words.append(f"exploited since {v.exploited} at the latest")
    if v.fixed:
        words.append(f"fixed in {show_text(v.fixed, 100)}")
    else:
        words.append("no fix")
    return ", ".join(words)


def _vex_words(statement: VexStatement) -> str:
    why = statement.justification or statement.statement or str(statement.status)
    author = f" ({show_text(statement.author, 100)})" if statement.author else ""
    return show_text(why, 300) + author


def _remedy(v: Vulnerability, holders: Sequence[Instance]) -> str:
    first = holders[0].package
    name = show_text(first.source or first.name, 100)
    if v.fixed:
        return f"build the layer again with {name} {show_text(v.fixed, 100)} or newer"
    why = _WHY_NO_FIX.get(v.state, "no fixed version is known")
    return f"{why}: leave {name} out, or excuse it in the policy with a reason and an end"


def _evidence(
    v: Vulnerability, holders: Sequence[Instance], layer: LayerFacts
) -> dict[str, object]:
    return {
        "vulnerability": show_text(v.id, 100),
        "aliases": [show_text(name, 100) for name in v.names],
        "package": show_text(holders[0].package.purl),
        "packages": [show_text(holder.package.purl) for holder in holders[:MAX_PACKAGES]],
        "path": show_path(holders[0].package.path),
        "installed": show_text(holders[0].package.version, 200),
        "fixed": show_text(v.fixed, 200) or None,
        "state": str(v.state),
        "level": str(v.level),
        "score": v.score,
        "epss": v.epss,
        "exploitedSince": v.exploited or None,
        "published": v.published.isoformat() if v.published else None,
        "ecosystem": v.ecosystem,
        "url": show_text(v.url, 500) or None,
        "introducedBy": layer.layer.position,
        **_vex_evidence(v.vex),
    }


def _vex_evidence(statement: VexStatement | None) -> dict[str, object]:
    if statement is None:
        return {}
    return {
        "vex": {
            "status": str(statement.status),
            "justification": show_text(statement.justification),
            "statement": show_text(statement.statement, 500),
            "author": show_text(statement.author),
            "document": show_text(statement.document),
        }
    }


def _feed(ecosystem: str) -> str:
    """What the command calls the feed of an ecosystem."""
    name = ecosystem.partition(":")[0]
    return f'"{name}"' if " " in name else name
