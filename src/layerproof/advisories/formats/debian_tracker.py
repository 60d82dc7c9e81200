"""The Debian security tracker's JSON (security-tracker.debian.org/tracker/data/json).

`{SOURCE: {CVE: {"description", "releases": {CODENAME: {"status", "fixed_version", "urgency",
"nodsa", "nodsa_reason"}}}}}`: what Debian's security team says of every source package, the
states kept apart.
"""

from collections.abc import Iterator
from typing import Any

from layerproof.advisories.formats import (
    MAX_ID,
    Covered,
    Problem,
    Record,
    UnusableError,
    line,
    string,
)
from layerproof.advisories.severity import level_of_word
from layerproof.model.advisory import Advisory, Affected, EventKind
from layerproof.model.vulnerability import Level, State

# wiki.debian.org/DebianReleases
_RELEASES = {
    "wheezy": "7",
    "jessie": "8",
    "stretch": "9",
    "buster": "10",
    "bullseye": "11",
    "bookworm": "12",
    "trixie": "13",
    "forky": "14",
    "duke": "15",
}


def looks_like(document: Any) -> bool:
    """Whether it is the tracker's document."""
    if not isinstance(document, dict) or not document:
        return False
    first = next(iter(document.values()))
    if not isinstance(first, dict) or not first:
        return False
    record = next(iter(first.values()))
    return isinstance(record, dict) and isinstance(record.get("releases"), dict)


def read(document: dict[str, Any]) -> Iterator[Record]:
    """One advisory per source package and vulnerability."""
    releases: set[str] = set()
    for source, records in document.items():
        for name, record in records.items() if isinstance(records, dict) else ():
            try:
                advisory = _advisory(source, name, record)
            except (UnusableError, AttributeError, TypeError, KeyError) as error:
                yield Problem(f"{source[:80]} {name[:80]}", f"not as the tracker has it: {error}")
                continue
            releases.update(affected.ecosystem for affected in advisory.affected)
            yield advisory
    for release in sorted(releases):
        yield Covered(release)


def _advisory(source: str, name: str, record: dict[str, Any]) -> Advisory:
    name = string(name, "id", MAX_ID)
    affected = tuple(
        _affected(string(source, "source package"), _RELEASES[codename], release)
        for codename, release in record["releases"].items()
        if codename in _RELEASES
    )
    # Debian's urgencies say little (security-team.debian.org), but that one says enough
    unimportant = bool(affected) and all(item.urgency == "unimportant" for item in affected)
    return Advisory(
        id=name,
        cves=(name,) if name.startswith("CVE-") else (),
        summary=line(record.get("description")),
        level=level_of_word("unimportant") if unimportant else Level.UNKNOWN,
        url=f"https://security-tracker.debian.org/tracker/{name}",
        affected=affected,
    )


def _affected(source: str, number: str, release: dict[str, Any]) -> Affected:
    status, urgency = release.get("status"), line(release.get("urgency"), 40)
    fixed = release.get("fixed_version")
    events = [(EventKind.INTRODUCED, "0")]
    if status == "resolved" and fixed:
        state = State.NOT_AFFECTED if fixed == "0" else State.FIXED
        events.append((EventKind.FIXED, string(fixed, "fixed_version")))
    elif urgency == "end-of-life":
        state = State.END_OF_LIFE
    elif status == "undetermined":
        state = State.UNDETERMINED
    elif release.get("nodsa") or release.get("nodsa_reason"):
        state = State.NO_DSA
    elif status == "open":
        state = State.UNFIXED
    else:
        raise UnusableError(f"status {str(status)[:40]!r}")
    return Affected(f"Debian:{number}", source, (tuple(events),), state=state, urgency=urgency)
