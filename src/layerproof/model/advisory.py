"""Advisories: what feeds say about vulnerable versions of packages."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from layerproof.model.vulnerability import Level, State


class EventKind(StrEnum):
    """OSV schema 1.7, "affected[].ranges[].events"; `AFTER` is the open beginning of an npm
    range."""

    INTRODUCED = "introduced"
    AFTER = "after"
    FIXED = "fixed"
    LAST_AFFECTED = "last_affected"
    LIMIT = "limit"


Range = tuple[tuple[EventKind, str], ...]


class Affected(NamedTuple):  # a tuple: matching makes tens of thousands of them
    """Which versions of one package an advisory means."""

    ecosystem: str  # as OSV writes it, with its release: "Debian:12", "PyPI"
    name: str
    ranges: tuple[Range, ...] = ()
    versions: tuple[str, ...] = ()
    state: State = State.FIXED
    urgency: str = ""  # the distribution's own word
    module: str = ""  # RHEL module and stream, `nodejs:12`; "" for packages outside of modules


class Advisory(NamedTuple):  # likewise
    """One record of a feed."""

    id: str
    aliases: tuple[str, ...] = ()  # other names of the same vulnerability
    cves: tuple[str, ...] = ()  # that it is about: more than one for an advisory of a distribution
    summary: str = ""
    published: datetime | None = None
    modified: datetime | None = None
    withdrawn: bool = False
    level: Level = Level.UNKNOWN
    score: float | None = None  # CVSS base score
    url: str = ""
    affected: tuple[Affected, ...] = ()


@dataclass(frozen=True, slots=True)
class CveFacts:
    """What is known about a CVE beside the advisories."""

    exploited: str = ""  # the day on which CISA added it to the catalogue of exploited ones (KEV)
    epss: float | None = None  # probability of exploitation within 30 days (FIRST EPSS), 0 to 1
    level: Level = Level.UNKNOWN
    score: float | None = None


@dataclass(frozen=True, slots=True)
class FeedStatus:
    """One feed of the advisory file."""

    name: str
    source: str
    as_of: datetime
    imported: datetime
    records: int
    skipped: int
    problems: tuple[str, ...]  # the first of those that were skipped
    etag: str
    covers: tuple[str, ...]  # ecosystems


@dataclass(slots=True)
class ImportReport:
    """What an import of one feed did."""

    name: str
    records: int = 0
    withdrawn: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)  # the first of those that were skipped
    skipped: int = 0
    covered: set[str] = field(default_factory=set)
    as_of: datetime | None = None
