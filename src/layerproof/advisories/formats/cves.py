"""What is known about a CVE beside advisories: CISA KEV, FIRST EPSS, CVSS scores."""

import re
from collections.abc import Iterator
from typing import Any

from layerproof.advisories.formats import CveRecord, Problem, Record, time
from layerproof.advisories.severity import level_of_score, level_of_word, score_of_vector
from layerproof.model.advisory import CveFacts
from layerproof.model.vulnerability import Level

_CVE = re.compile(r"CVE-\d{4}-\d{4,19}")


def is_kev(document: Any) -> bool:
    """CISA's catalogue of known exploited vulnerabilities (its JSON schema 1.0)."""
    return (
        isinstance(document, dict)
        and isinstance(document.get("vulnerabilities"), list)
        and ("catalogVersion" in document)
    )


def read_kev(document: dict[str, Any]) -> Iterator[Record]:
    """One record per CVE."""
    for item in document["vulnerabilities"]:
        cve = item.get("cveID") if isinstance(item, dict) else None
        added = time(item.get("dateAdded")) if isinstance(item, dict) else None
        if not isinstance(cve, str) or _CVE.fullmatch(cve) is None or added is None:
            yield Problem("KEV", f"{str(item)[:80]} names no CVE and day")
        else:
            yield CveRecord(cve, CveFacts(exploited=added.date().isoformat()))


def is_scores(document: Any) -> bool:
    """A map from CVEs to `{"epss", "cvssv3", "cvssv3.1"}`."""
    if not isinstance(document, dict) or not document:
        return False
    name, value = next(iter(document.items()))
    return (
        _CVE.fullmatch(name) is not None
        and isinstance(value, dict)
        and any(key == "epss" or key.startswith("cvss") for key in value)
    )


def read_scores(document: dict[str, Any]) -> Iterator[Record]:
    """One record per CVE. A score is a number, a vector or a word."""
    for cve, value in document.items():
        if _CVE.fullmatch(cve) is None or not isinstance(value, dict):
            yield Problem("scores", f"{cve[:80]!r} is no CVE with scores")
            continue
        stated = [value[key] for key in sorted(value, reverse=True) if key.startswith("cvss")]
        score, level = _score(stated)
        epss = _probability(value.get("epss"))
        yield CveRecord(cve, CveFacts(epss=epss, score=score, level=level))


def _score(stated: list[Any]) -> tuple[float | None, Level]:
    for value in stated:
        number = (
            score_of_vector(value) if isinstance(value, str) and "/" in value else _number(value)
        )
        if number is not None and 0 <= number <= 10:
            return number, level_of_score(number)
    words = [level for level in map(level_of_word, stated) if level is not Level.UNKNOWN]
    return None, words[0] if words else Level.UNKNOWN


def is_epss(document: Any) -> bool:
    """FIRST's EPSS API (api.first.org/data/v1/epss)."""
    return (
        isinstance(document, dict)
        and isinstance(document.get("data"), list)
        and all(isinstance(item, dict) and "epss" in item for item in document["data"][:1])
    )


def read_epss(document: dict[str, Any]) -> Iterator[Record]:
    """One record per CVE."""
    for item in document["data"]:
        yield _epss(item.get("cve"), item.get("epss"))


def read_epss_csv(text: str) -> Iterator[Record]:
    """`epss_scores-….csv`: a comment, a heading, then `cve,epss,percentile`."""
    for row in text.splitlines():
        if row.startswith(("#", "cve,")) or not row.strip():
            continue
        cve, _, rest = row.partition(",")
        yield _epss(cve, rest.partition(",")[0])


def _epss(cve: Any, value: Any) -> Record:
    probability = _probability(value)
    if not isinstance(cve, str) or _CVE.fullmatch(cve) is None or probability is None:
        return Problem("EPSS", f"{str(cve)[:80]!r} is no CVE with a probability")
    return CveRecord(cve, CveFacts(epss=probability))


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _probability(value: Any) -> float | None:
    number = _number(value)
    return number if number is not None and 0 <= number <= 1 else None
