"""Packages against advisories: which vulnerabilities each has, once.

1. A package is asked for in one ecosystem (`layerproof.advisories.ecosystems`).
2. Advisories whose names overlap are one vulnerability, named by its CVE. An erratum about several
   CVEs counts as each of them.
3. What a distribution answers for counts once: a vulnerability of a language's package is left out
   where the distribution's package that owns the files has a row about it, whatever that row says.
4. A package of a RHEL module is compared with advisories about its stream only, one outside of
   modules with none about modules: versions of different streams have no order.
5. What was built from a working tree or a branch has no version (Go's `(devel)`, Composer's
   `dev-main`), and is compared with nothing: advisories are about released versions.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from layerproof.advisories.ecosystems import Query, query
from layerproof.advisories.order import key
from layerproof.advisories.ranges import affects
from layerproof.advisories.severity import worse
from layerproof.model.advisory import Advisory, Affected, CveFacts
from layerproof.model.package import Package
from layerproof.model.release import Release
from layerproof.model.vulnerability import Level, Newest, PackageAdvice, State, Vulnerability

_UNRELEASED = "(devel)"  # Go, runtime/debug.Module

Row = tuple[Advisory, Affected]  # the advisory without its list of packages
Name = tuple[str, str]  # ecosystem, package


class Lookup(Protocol):
    """What is asked of an advisory file."""

    def affected(self, names: Collection[Name]) -> Mapping[Name, Sequence[Row]]:
        """Every row about these packages."""

    def cves(self, names: Collection[str]) -> Mapping[str, CveFacts]:
        """What is known about these CVEs beside advisories."""

    def newest(self, names: Collection[Name]) -> Mapping[Name, Newest]:
        """The newest versions of these packages."""


class _Found(NamedTuple):
    advisory: Advisory
    affected: Affected
    fixed: str
    cve: str  # "" if it has none


def advise(
    packages: Iterable[tuple[Package, Release]], owners: Mapping[str, Package], lookup: Lookup
) -> dict[Package, PackageAdvice]:
    """For each package, in the release that its layers say they are.

    `owners` are the distribution's packages by name (`Package.owner`).
    """
    asked = {(package, release): query(package, release) for package, release in packages}
    own = {
        package: query(owners[package.owner], release)
        for package, release in asked
        if package.owner in owners
    }
    every = (*asked.values(), *own.values())
    names = {(q.ecosystem, q.name) for q in every if q is not None}
    rows = lookup.affected(names)
    newest = lookup.newest(names)
    found = {
        package: _matches(
            package, q, rows.get((q.ecosystem, q.name), ()), _answered(own, package, rows)
        )
        for (package, _), q in asked.items()
        if q is not None
    }
    cves = {match.cve for matches in found.values() for match in matches if match.cve}
    facts = lookup.cves(cves)
    advice = {}
    for (package, _), q in asked.items():
        if q is None:
            advice[package] = PackageAdvice(None)
        else:
            vulnerabilities = _vulnerabilities(package, q, found[package], facts)
            latest = newest.get((q.ecosystem, q.name))
            advice[package] = PackageAdvice(q.ecosystem, vulnerabilities, latest)
    return advice


def _answered(
    own: Mapping[Package, Query | None], package: Package, rows: Mapping[Name, Sequence[Row]]
) -> frozenset[str]:
    """Every name of a vulnerability that the owner's distribution says something about."""
    q = own.get(package)
    if q is None:
        return frozenset()
    return frozenset(
        name
        for advisory, _ in rows.get((q.ecosystem, q.name), ())
        for name in (advisory.id, *advisory.aliases, *advisory.cves)
    )


def _matches(
    package: Package, q: Query, rows: Sequence[Row], answered: frozenset[str]
) -> list[_Found]:
    found: list[_Found] = []
    if q.version == _UNRELEASED or (q.scheme == "composer" and q.version.startswith("dev-")):
        return found
    cleared: set[str] = set()  # the distribution says: not affected
    for advisory, affected in rows:
        if affected.state is State.NOT_AFFECTED:
            cleared.update((advisory.id, *advisory.aliases, *advisory.cves))
            continue
        if not _comparable(package, affected):
            continue
        if not answered.isdisjoint((advisory.id, *advisory.aliases, *advisory.cves)):
            continue
        hit = affects(affected, q.scheme, q.version)
        if hit is not None:
            found += (_Found(advisory, affected, hit.fixed, cve) for cve in advisory.cves or ("",))
    return [f for f in found if not cleared or cleared.isdisjoint({f.cve or f.advisory.id})]


def _comparable(package: Package, affected: Affected) -> bool:
    modular = package.module or ("?" if ".module" in package.version else "")
    if not modular or not affected.module:
        return not modular and not affected.module
    return "?" in (modular, affected.module) or modular == affected.module


def _vulnerabilities(
    package: Package, q: Query, found: Sequence[_Found], facts: Mapping[str, CveFacts]
) -> tuple[Vulnerability, ...]:
    groups: list[tuple[set[str], list[_Found]]] = []
    if len(found) > 1 and not _overlap(found):
        groups, found = [(set(), [match]) for match in found], ()
    for match in found:
        names, members = _names(match), [match]
        apart = []
        for group in groups:
            if names.isdisjoint(group[0]):
                apart.append(group)
            else:
                names |= group[0]
                members = group[1] + members
        groups = [*apart, (names, members)]
    made = (_vulnerability(package, q, members, facts) for _, members in groups)
    return tuple(sorted(made, key=lambda v: v.id))


def _overlap(found: Sequence[_Found]) -> bool:
    """Whether two of them have a name in common: mostly they have none."""
    names = [name for match in found for name in _names(match)]
    return len(set(names)) < len(names)


def _names(match: _Found) -> set[str]:
    """By which it is told to be the same; an erratum's own id is that of several."""
    if len(match.advisory.cves) > 1:
        return {match.cve}
    return {match.advisory.id, *match.advisory.aliases, *match.advisory.cves}


def _vulnerability(
    package: Package, q: Query, members: Sequence[_Found], facts: Mapping[str, CveFacts]
) -> Vulnerability:
    if len(members) == 1 and members[0].cve not in facts:
        return _alone(package, q, members[0])
    cves = sorted({match.cve for match in members if match.cve})
    names = {name for m in members for name in (m.advisory.id, *m.advisory.aliases)}
    name = cves[0] if cves else min(m.advisory.id for m in members)
    beside = [facts[cve] for cve in cves if cve in facts]
    # any advisory without a fix: there is none that frees of all
    fixes = [match.fixed for match in members]
    fixed = max(fixes, key=lambda fix: key(q.scheme, fix)) if all(fixes) else ""
    first = min(members, key=lambda m: (not m.advisory.summary, m.advisory.id))
    scores = [m.advisory.score for m in members] + [fact.score for fact in beside]
    return Vulnerability(
        id=name,
        names=tuple(sorted(names - {name})),
        package=package,
        ecosystem=q.ecosystem,
        state=_state(members, fixed),
        fixed=fixed,
        level=_level(members, beside),
        score=max((score for score in scores if score is not None), default=None),
        epss=max((fact.epss for fact in beside if fact.epss is not None), default=None),
        exploited=min((fact.exploited for fact in beside if fact.exploited), default=""),
        published=min(
            (m.advisory.published for m in members if m.advisory.published is not None),
            default=None,
        ),
        summary=first.advisory.summary,
        url=first.advisory.url or next((m.advisory.url for m in members if m.advisory.url), ""),
        urgency=next((m.affected.urgency for m in members if m.affected.urgency), ""),
    )


def _alone(package: Package, q: Query, match: _Found) -> Vulnerability:
    """As `_vulnerability`, for the many that one advisory tells and nothing is known of beside."""
    advisory, affected = match.advisory, match.affected
    name = match.cve or advisory.id
    names = tuple(sorted(other for other in (advisory.id, *advisory.aliases) if other != name))
    unimportant = affected.urgency == "unimportant"
    return Vulnerability(
        id=name,
        names=names,
        package=package,
        ecosystem=q.ecosystem,
        state=State.FIXED if match.fixed else _state((match,), ""),
        fixed=match.fixed,
        level=Level.NEGLIGIBLE if unimportant else advisory.level,
        score=advisory.score,
        epss=None,
        exploited="",
        published=advisory.published,
        summary=advisory.summary,
        url=advisory.url,
        urgency=affected.urgency,
    )


def _state(members: Sequence[_Found], fixed: str) -> State:
    if fixed:
        return State.FIXED
    states = {match.affected.state for match in members if not match.fixed}
    states.discard(State.FIXED)  # a fix that is older than the installed version fixes nothing
    return min(states, key=list(State).index, default=State.UNFIXED)


def _level(members: Sequence[_Found], beside: Sequence[CveFacts]) -> Level:
    """What the feed itself says stands before what others say of the CVE."""
    level = Level.UNKNOWN
    for match in members:
        own = Level.NEGLIGIBLE if match.affected.urgency == "unimportant" else match.advisory.level
        level = worse(level, own)
    if level is Level.UNKNOWN:
        for fact in beside:
            level = worse(level, fact.level)
    return level
