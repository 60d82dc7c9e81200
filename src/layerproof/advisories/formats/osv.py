"""OSV schema 1.7 (ossf.github.io/osv-schema): one record → one advisory.

- Withdrawn records are kept as such: they say that nothing is affected.
- Ranges of commits (`GIT`) say nothing about packages.
- Bug-fix and enhancement advisories of rpm distributions (ALBA, ALEA, RLBA …) are none.
- A Debian or Ubuntu record names its CVE in its id or under `upstream`; an rpm distribution's names
  the CVEs that it fixes under `related` or `upstream`.
- Records of malicious packages (`MAL-…`) are as bad as can be.
"""

import re
from collections.abc import Iterator
from typing import Any

from layerproof.advisories.ecosystems import normal_ecosystem, normal_name, scheme_of
from layerproof.advisories.formats import MAX_ID, UnusableError, line, string, strings, time
from layerproof.advisories.severity import level_of_score, level_of_word, score_of_vector, worse
from layerproof.model.advisory import Advisory, Affected, EventKind, Range
from layerproof.model.vulnerability import Level, State

_CVE = re.compile(r"CVE-\d{4}-\d{4,19}")
_NOT_SECURITY = re.compile(r"(?:AL|RL|RH|EL|OL)(?:BA|EA)-")
_ERRATUM = re.compile(r"[A-Z]{2}SA-")  # of an rpm distribution: about several CVEs
_WORD = re.compile(r"(Critical|Important|Moderate|Low): ")
_MODULE = re.compile(r"(?:^|\s)([A-Za-z][\w.+-]*:[\w.+-]+)\s+(?:\w+\s+){0,3}(?:update|fix)")
_MODULAR = re.compile(r"\.module[_+]")
_KINDS = {kind.value: kind for kind in EventKind}
_MAX_AFFECTED = 20_000
_MAX_VERSIONS = 50_000
_MAX_EVENTS = 10_000


def looks_like(document: Any) -> bool:
    """Whether it is a record of this format."""
    return (
        isinstance(document, dict)
        and isinstance(document.get("id"), str)
        and ("affected" in document or "modified" in document)
    )


def read(document: Any) -> Advisory | UnusableError | None:
    """The advisory; None for a record that is about no vulnerability."""
    try:
        return _advisory(document)
    except UnusableError as error:
        return error
    except (AttributeError, TypeError, KeyError) as error:
        return UnusableError(f"not as the OSV schema has it: {error}")


def _advisory(document: dict[str, Any]) -> Advisory | None:
    name = string(document.get("id"), "id", MAX_ID)
    if _NOT_SECURITY.match(name):
        return None
    aliases = strings(document.get("aliases"))
    upstream = strings(document.get("upstream"))
    summary = line(document.get("summary") or document.get("details"))
    said = [*upstream, *(strings(document.get("related")) if _ERRATUM.match(name) else ())]
    embedded = _CVE.search(name)
    cves = {name for name in (*aliases, *said) if _CVE.fullmatch(name)}
    if embedded is not None:  # UBUNTU-CVE-…, ALPINE-CVE-…, DEBIAN-CVE-…, CVE-…
        cves = {embedded[0]}
    score, level = _severity(document, summary)
    return Advisory(
        id=name,
        aliases=tuple(sorted({*aliases, *upstream} - {name})),
        cves=tuple(sorted(cves)),
        summary=summary,
        published=time(document.get("published")),
        modified=time(document.get("modified")),
        withdrawn=bool(document.get("withdrawn")),
        level=level,
        score=score,
        url=_url(document.get("references")),
        affected=tuple(_every_affected(document, summary)),
    )


def _severity(document: dict[str, Any], summary: str) -> tuple[float | None, Level]:
    found = document.get("severity")
    score: float | None = None
    if str(document.get("id")).startswith("MAL-"):
        return None, Level.CRITICAL
    word = Level.UNKNOWN
    for item in found if isinstance(found, list) else ():
        if not isinstance(item, dict) or not isinstance(item.get("score"), str):
            continue
        stated = (
            score_of_vector(item["score"]) if str(item.get("type")).startswith("CVSS") else None
        )
        if stated is not None:
            score = max(stated, score or 0.0)
        else:
            word = worse(word, level_of_word(item["score"]))
    own = document.get("database_specific")
    if word is Level.UNKNOWN and isinstance(own, dict):
        word = level_of_word(own.get("severity"))
    erratum = _WORD.match(summary)
    if word is Level.UNKNOWN and erratum is not None:
        word = level_of_word(erratum[1])
    if word is Level.UNKNOWN and score is not None:
        word = level_of_score(score)
    return score, word


def _url(references: Any) -> str:
    if not isinstance(references, list):
        return ""
    urls = [
        (item.get("type") != "ADVISORY", item["url"])
        for item in references
        if isinstance(item, dict)
        and isinstance(item.get("url"), str)
        and item["url"].startswith(("https://", "http://"))
        and len(item["url"]) <= 500
        and item["url"].isprintable()
    ]
    return min(urls, key=lambda found: found[0])[1] if urls else ""


def _every_affected(document: dict[str, Any], summary: str) -> Iterator[Affected]:
    listed = document.get("affected") or []
    if not isinstance(listed, list):
        raise UnusableError("affected is no list")
    if len(listed) > _MAX_AFFECTED:
        raise UnusableError(f"more than {_MAX_AFFECTED} affected packages")
    stream = _MODULE.search(summary)
    for item in listed:
        package = item.get("package") if isinstance(item, dict) else None
        if not isinstance(package, dict):
            continue  # of a record about commits only
        ecosystem = normal_ecosystem(string(package.get("ecosystem"), "ecosystem", MAX_ID))
        if not scheme_of(ecosystem):
            continue  # of packages that no analyser finds
        ranges = tuple(_ranges(item.get("ranges")))
        versions = item.get("versions") or []
        if not isinstance(versions, list) or len(versions) > _MAX_VERSIONS:
            raise UnusableError("versions is no list, or too long a one")
        own = item.get("ecosystem_specific")
        urgency = own.get("urgency", "") if isinstance(own, dict) else ""
        fixed = any(kind is EventKind.FIXED for events in ranges for kind, _ in events)
        modular = any(_MODULAR.search(version) for events in ranges for _, version in events)
        yield Affected(
            ecosystem=ecosystem,
            name=normal_name(ecosystem, string(package.get("name"), "package name")),
            ranges=ranges,
            versions=tuple(string(version, "version") for version in versions),
            state=_state(urgency, fixed=fixed),
            urgency=line(urgency, 40),
            module=(stream[1] if stream is not None else "?") if modular else "",
        )


def _state(urgency: Any, *, fixed: bool) -> State:
    if urgency == "end-of-life":
        return State.END_OF_LIFE
    return State.FIXED if fixed else State.UNFIXED


def _ranges(listed: Any) -> Iterator[Range]:
    if listed is None:
        return
    if not isinstance(listed, list):
        raise UnusableError("ranges is no list")
    for item in listed:
        if item.get("type") == "GIT":
            continue
        events = item.get("events")
        if not isinstance(events, list) or len(events) > _MAX_EVENTS:
            raise UnusableError("events is no list, or too long a one")
        found = [
            (_KINDS[word], string(version, "version"))
            for event in events
            for word, version in event.items()
            if word in _KINDS
        ]
        if not any(kind is EventKind.INTRODUCED for kind, _ in found):
            raise UnusableError("a range that introduces nothing")
        yield tuple(found)
