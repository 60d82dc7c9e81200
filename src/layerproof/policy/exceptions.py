"""Exceptions: findings that somebody answers for, on some images, by some rules, until a day.

1. An exception frees findings of its rules on its images, and nothing else: never another image,
   another rule, or an image that is corrupt. With `paths` it frees only findings on a single path
   that one of the globs matches, with `layers` only findings on these layers, with
   `vulnerabilities` only findings on these, by any of their names.
2. What is freed stays in the verdict with the effect `ignore`, and says by whose word.
3. It ends with its day, in UTC. One that has ended frees nothing, and the verdict says that it did.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import cached_property

from layerproof.model.finding import Effect, Finding
from layerproof.model.image import Image
from layerproof.policy.patterns import ImagePattern
from layerproof.rules.globs import GlobSet
from layerproof.rules.text import PATH_SHOWN, show_text


@dataclass(frozen=True)
class PolicyException:
    """One entry of `exceptions`."""

    images: tuple[str, ...]  # patterns
    rules: tuple[str, ...]  # ids
    reason: str
    owner: str
    until: str  # YYYY-MM-DD, the last day
    paths: tuple[str, ...] = ()  # globs; empty: any finding
    layers: tuple[str, ...] = ()  # ChainIDs; empty: any layer, and the image as a whole
    vulnerabilities: tuple[str, ...] = ()  # names, such as a CVE; empty: any finding

    @cached_property
    def _patterns(self) -> tuple[ImagePattern, ...]:
        return tuple(map(ImagePattern, self.images))

    @cached_property
    def _globs(self) -> GlobSet:
        return GlobSet(self.paths)

    def active(self, now: datetime) -> bool:
        """Whether its last day is not over."""
        return now < end_of(self.until)

    def covers(self, image: Image) -> bool:
        """Whether it speaks of this image."""
        return any(pattern.matches(image) for pattern in self._patterns)

    def frees(self, finding: Finding) -> bool:
        """Whether it speaks of this finding, on an image that it covers."""
        if finding.rule not in self.rules:
            return False
        if self.layers and finding.chain_id not in self.layers:
            return False
        if self.vulnerabilities and not self._names(finding):
            return False
        if not self.paths:
            return True
        path = finding.evidence.get("path")
        if not isinstance(path, str) or len(path) > PATH_SHOWN:
            return False  # cut: what follows might lie outside the globs
        return self._globs.match(path.lstrip("/").encode()) is not None

    def _names(self, finding: Finding) -> bool:
        aliases = finding.evidence.get("aliases")
        names = [
            finding.evidence.get("vulnerability"),
            *(aliases if isinstance(aliases, list) else ()),
        ]
        return any(name in self.vulnerabilities for name in names)


def end_of(day: str) -> datetime:
    """The first moment after a day, UTC. Raises ValueError."""
    return datetime.combine(date.fromisoformat(day), datetime.min.time(), UTC) + timedelta(days=1)


def excuse(
    findings: Sequence[Finding],
    image: Image,
    exceptions: Iterable[PolicyException],
    now: datetime,
) -> tuple[list[Finding], tuple[str, ...]]:
    """The findings, freed where an exception says so, and notes on exceptions that applied or that
    would have. Of several, the first in the file counts."""
    covering = [exception for exception in exceptions if exception.covers(image)]
    if not covering:
        return list(findings), ()
    active = [exception for exception in covering if exception.active(now)]
    used: dict[str, None] = {}
    result = []
    for finding in findings:
        counts = finding.effect is not Effect.IGNORE
        exception = next((e for e in active if counts and e.frees(finding)), None)
        if exception is not None:
            used.setdefault(_note(exception, "excused until"))
            finding = _freed(finding, exception)  # noqa: PLW2901  because it takes its place
        elif counts:
            for ended in covering:
                if ended not in active and ended.frees(finding):
                    used.setdefault(_note(ended, "was excused, but only until"))
        result.append(finding)
    return result, tuple(used)


def _note(exception: PolicyException, words: str) -> str:
    rules = ", ".join(exception.rules)
    owner, reason = show_text(exception.owner), show_text(exception.reason)
    return f"{rules} {words} {exception.until} by {owner}: {reason}"


def _freed(finding: Finding, exception: PolicyException) -> Finding:
    by = {"owner": exception.owner, "reason": exception.reason, "until": exception.until}
    evidence = {**finding.evidence, "exception": by}
    return replace(finding, effect=Effect.IGNORE, evidence=evidence)
