"""Advisories: what is known about vulnerable versions of packages, and how old that knowledge
is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from layerproof.model.package import Package


class State(StrEnum):
    """What a feed says about a package and a vulnerability; distributions tell these apart."""

    FIXED = "fixed"  # in the version that is named
    UNFIXED = "unfixed"  # vulnerable, and nothing is released yet
    NO_DSA = "no-dsa"  # vulnerable, and no advisory will come: minor, ignored or postponed
    UNDETERMINED = "undetermined"  # nobody has looked yet
    END_OF_LIFE = "end-of-life"  # nobody looks any more
    NOT_AFFECTED = "not-affected"


class EventKind(StrEnum):
    """OSV schema 1.7, "affected[].ranges[].events"; `AFTER` is the open beginning of an npm
    range."""

    INTRODUCED = "introduced"
    AFTER = "after"
    FIXED = "fixed"
    LAST_AFFECTED = "last_affected"
    LIMIT = "limit"


Range = tuple[tuple[EventKind, str], ...]


@dataclass(frozen=True, slots=True)
class Affected:
    """Which versions of one package an advisory means."""

    ecosystem: str  # as OSV writes it, with its release: "Debian:12", "PyPI"
    name: str
    ranges: tuple[Range, ...] = ()
    versions: tuple[str, ...] = ()
    state: State = State.FIXED
    urgency: str = ""  # the distribution's own word
    module: str = ""  # RHEL module and stream, `nodejs:12`; "" for packages outside of modules


class Level(StrEnum):
    """How bad a vulnerability is, from the mildest on; CVSS v3.1 section 5 gives the bounds."""

    UNKNOWN = "unknown"
    NEGLIGIBLE = "negligible"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


LEVELS = tuple(Level)


@dataclass(frozen=True, slots=True)
class Advisory:
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


class VexStatus(StrEnum):
    """OpenVEX 0.2.0, "Status labels"; CSAF 2.0 section 3.2.3.9 says the same in other words."""

    NOT_AFFECTED = "not_affected"
    AFFECTED = "affected"
    FIXED = "fixed"
    UNDER_INVESTIGATION = "under_investigation"


@dataclass(frozen=True, slots=True)
class VexStatement:
    """What somebody says about vulnerabilities in products."""

    vulnerabilities: tuple[str, ...]  # every name
    products: tuple[str, ...]  # purls, image digests or names of images
    status: VexStatus
    parts: tuple[str, ...] = ()  # purls of what is inside the products; empty: all of it
    justification: str = ""
    statement: str = ""
    author: str = ""
    document: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Vulnerability:
    """A vulnerability of one installed package: all advisories on it, taken together."""

    id: str  # the CVE if it has one
    names: tuple[str, ...]  # every other name, sorted
    package: Package
    ecosystem: str
    state: State
    fixed: str  # the first fixed version after the installed one; "" without a fix
    level: Level
    score: float | None
    epss: float | None
    exploited: str
    published: datetime | None
    summary: str
    url: str
    urgency: str = ""
    vex: VexStatement | None = None  # the newest statement about it in this image

    @property
    def excused(self) -> bool:
        """Whether a VEX statement says that it does not matter here."""
        fine = (VexStatus.NOT_AFFECTED, VexStatus.FIXED)
        return self.vex is not None and self.vex.status in fine

    @property
    def malicious(self) -> bool:
        """Whether the package itself is the attack (OSV's malicious-packages records)."""
        return any(name.startswith("MAL-") for name in self.every_name)

    @property
    def every_name(self) -> tuple[str, ...]:
        """By which statements about it may call it."""
        return (self.id, *self.names)


@dataclass(frozen=True, slots=True)
class Coverage:
    """That a feed speaks for a whole ecosystem, as of a time."""

    ecosystem: str
    feed: str
    as_of: datetime


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


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest version of a package in its release or registry."""

    version: str
    published: datetime | None = None  # None: not told
    as_of: datetime | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """The distribution that a stack of layers says it is (os-release(5))."""

    id: str = ""  # "debian"
    version: str = ""  # "12"
    name: str = ""  # for people


NO_RELEASE = Release()


@dataclass(frozen=True, slots=True)
class PackageAdvice:
    """What advisories say about one package."""

    ecosystem: str | None  # None: no ecosystem is known for it
    vulnerabilities: tuple[Vulnerability, ...] = ()
    newest: Newest | None = None


@dataclass(frozen=True, slots=True)
class Advice:
    """What advisories say about the packages of one image."""

    snapshot: str  # digest of the advisory file's inputs
    packages: Mapping[Package, PackageAdvice] = field(default_factory=dict)
    coverage: Mapping[str, Coverage] = field(default_factory=dict)  # by ecosystem
    versions: Mapping[str, Coverage] = field(default_factory=dict)  # of newest versions, likewise
    end_of_life: Mapping[Release, datetime] = field(default_factory=dict)
