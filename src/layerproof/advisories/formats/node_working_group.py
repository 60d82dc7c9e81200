"""The Node.js security working group's records of npm packages (nodejs/security-wg, `vuln/npm`).

Ranges are node-semver's ("Ranges" in its README): alternatives by `||` of comparators, `*`, `1.x`,
`~` and `^`. What holds anything else is not used.
"""

import re
from typing import Any

from layerproof.advisories.formats import UnusableError, line, string, strings, time
from layerproof.advisories.severity import level_of_score, score_of_vector
from layerproof.model.advisory import Advisory, Affected, EventKind, Range
from layerproof.model.vulnerability import Level

_COMPARATOR = re.compile(r"(<=|>=|<|>|=|~>?|\^|)\s*v?([\dxX*][\w.+*-]*)")
_HYPHEN = re.compile(r"\s*(\S+)\s+-\s+(\S+)\s*")
_ANY = frozenset("xX*")


def looks_like(document: Any) -> bool:
    """Whether it is such a record."""
    return (
        isinstance(document, dict)
        and "module_name" in document
        and ("vulnerable_versions" in document)
    )


def read(document: dict[str, Any]) -> Advisory | UnusableError:
    """One advisory."""
    try:
        name = string(document["module_name"], "module_name")
        ranges = tuple(
            _range(part) for part in string(document["vulnerable_versions"], "range").split("||")
        )
        cves = strings(document.get("cves"))
        score = document.get("cvss_score")
        if not isinstance(score, int | float) or isinstance(score, bool):
            score = score_of_vector(str(document.get("cvss_vector") or ""))
        return Advisory(
            id=f"NODE-SWG-{int(document['id'])}",
            aliases=cves,
            cves=cves,
            summary=line(document.get("title")),
            published=time(document.get("publish_date")),
            modified=time(document.get("updated_at")),
            level=Level.UNKNOWN if score is None else level_of_score(score),
            score=score,
            affected=(Affected("npm", name, ranges),),
        )
    except (UnusableError, KeyError, ValueError, TypeError, AttributeError) as error:
        return UnusableError(f"not as the working group has it: {error}")


def _range(text: str) -> Range:
    hyphen = _HYPHEN.fullmatch(text)
    if hyphen is not None:
        text = f">={hyphen[1]} <={hyphen[2]}"
    low: tuple[EventKind, str] = (EventKind.INTRODUCED, "0")
    high: tuple[EventKind, str] | None = None
    at = 0
    stripped = text.strip()
    for match in _COMPARATOR.finditer(stripped):
        if stripped[at : match.start()].strip(" ,"):
            raise UnusableError(f"range {text[:80]!r}")
        at = match.end()
        sign, version = match.groups()
        below, above = _bounds(sign, version)
        low = below or low
        high = above or high
    if stripped[at:].strip():
        raise UnusableError(f"range {text[:80]!r}")
    return (low, high) if high is not None else (low,)


_Bound = tuple[EventKind, str] | None


def _bounds(sign: str, version: str) -> tuple[_Bound, _Bound]:  # noqa: PLR0911  one sign each
    parts = version.partition("-")[0].split(".")
    known = [part for part in parts[:3] if part not in _ANY and part.isdigit()]
    whole = len(known) == 3 and len(parts) >= 3
    start = ".".join((*known, "0", "0", "0")[:3]) if not whole else version
    if sign == "<":
        return None, (EventKind.FIXED, start)
    if sign == ">=":
        return (EventKind.INTRODUCED, start), None
    if sign == ">":
        return (EventKind.AFTER, start), None
    if sign == "<=":
        return None, ((EventKind.LAST_AFFECTED, version) if whole else _next(known, len(known)))
    if sign in ("", "=") and whole:
        return (EventKind.INTRODUCED, version), (EventKind.LAST_AFFECTED, version)
    if sign == "^":
        first = next((n for n, part in enumerate(known, 1) if part.strip("0")), len(known))
        return (EventKind.INTRODUCED, start), _next(known, first)
    width = min(len(known), 2) if sign.startswith("~") else len(known)
    return (EventKind.INTRODUCED, start), _next(known, width)


def _next(known: list[str], width: int) -> _Bound:
    """The first version after all that begin with the first `width` numbers."""
    if not width:
        return None
    numbers = [*known[: width - 1], str(int(known[width - 1][:18]) + 1)]
    return EventKind.FIXED, ".".join((*numbers, "0", "0")[:3])
