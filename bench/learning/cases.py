"""What the benchmark is made of: cases to score, the stream that they stand in, and who scores.

1. A track is an index and a stream: the index holds every honest event and all images; a case is
   one push to be scored as of its own time, with what happened strictly before it.
2. An attack is scored and refused: its push never becomes history (`poisoning` says what happens
   when it does). Its images are in the index, because a gate has indexed what it judges.
3. Labels stand here and nowhere in the index.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from layerproof.engine.ports import Index
from layerproof.model.event import Event

BENIGN = "benign"
NO_ATTACK = "no-attack"  # the attack pipeline, run without an attack: a guard, not a family


class Axis(StrEnum):
    """Where an attack shows."""

    CONTENTS = "contents"
    CONTEXT = "context"


@dataclass(frozen=True, slots=True)
class Family:
    """One way to attack; what it does stands in `context_attacks` and `content_attacks`."""

    name: str
    axis: Axis
    technique: str  # ATT&CK id
    says: str


FAMILIES: tuple[Family, ...] = (
    Family("miner", Axis.CONTENTS, "T1496", "a miner and its configuration"),
    Family("authorized-keys", Axis.CONTENTS, "T1098.004", "an SSH key for root"),
    Family("ld-preload", Axis.CONTENTS, "T1574.006", "a library in /etc/ld.so.preload"),
    Family("cron", Axis.CONTENTS, "T1053.003", "a cron job"),
    Family("setuid-shell", Axis.CONTENTS, "T1548.001", "a setuid copy of the shell"),
    Family("replaced-login", Axis.CONTENTS, "T1554", "another /bin/login"),
    Family("typosquat-package", Axis.CONTENTS, "T1195.001", "a package with almost the name"),
    Family("other-chain", Axis.CONTENTS, "T1525", "the same name on another chain of layers"),
    Family("trojaned-library", Axis.CONTENTS, "T1195.002", "a library of equal size"),
    Family("wrapped-entrypoint", Axis.CONTENTS, "T1036.005", "a wrapper for the entry point"),
    Family("security-whiteout", Axis.CONTENTS, "T1562.001", "security files deleted"),
    Family("stolen-account", Axis.CONTEXT, "T1078", "an account where it never pushed"),
    Family("new-account", Axis.CONTEXT, "T1136", "an account that nobody has seen"),
    Family("typosquat-repository", Axis.CONTEXT, "T1036", "a repository with almost the name"),
    Family("odd-hour", Axis.CONTEXT, "T1078", "the usual account at its least usual hour"),
    Family("dormant-account", Axis.CONTEXT, "T1078", "an account back after more than a year"),
    Family("foreign-source", Axis.CONTEXT, "T1133", "the usual account from another country"),
)
FAMILY = {family.name: family for family in FAMILIES}


@dataclass(frozen=True, slots=True)
class Case:
    """One push to score."""

    event: Event
    family: str = BENIGN
    twin: str = ""  # identity of the honest event that an attack was made from
    note: str = ""  # of an honest case: why it is hard

    @property
    def attack(self) -> bool:
        """Whether it should be refused."""
        return self.family not in (BENIGN, NO_ATTACK)

    @property
    def cluster(self) -> str:
        """What the bootstrap resamples: the repository that was aimed at."""
        return self.event.repository


@dataclass(frozen=True, slots=True)
class Track:
    """An index, its honest stream, and the cases."""

    name: str
    index: Index
    events: Sequence[Event]  # all that is in the index, earliest first; labels are none of it
    cases: Sequence[Case]  # by time
    starts: datetime  # of the test: cases are not before it
    has_contents: bool = False
    has_places: bool = False  # countries and pullers

    def families(self) -> list[str]:
        """The attack families that it has, in the order of `FAMILIES`."""
        there = {case.family for case in self.cases}
        return [family.name for family in FAMILIES if family.name in there]


@dataclass(frozen=True, slots=True)
class Score:
    """What a scorer says of a case: `trust` in 0…1 ranks them."""

    trust: float
    abstains: bool = False  # it would neither vouch for the push nor refuse it
    refuses: bool = False  # at the rate that it was asked for, by its own calibration
    p_value: float | None = None  # share of honest pushes as odd as this one, where it is told
    smallest_rate: float = 0.0  # the smallest false-positive rate that it can vouch for


class Scorer(Protocol):
    """The model and every baseline. `fit` sees events before `until` only; `score` is asked for
    cases at or after it and may use, for each, what the stream held strictly before it."""

    @property
    def name(self) -> str:
        """For tables."""

    @property
    def needs_attacks(self) -> bool:
        """Whether `fit` learns from known attacks: then every family is held out in turn."""

    def fit(self, track: Track, until: datetime, seed: int, known_attacks: Sequence[Case]) -> None:
        """Learn. `known_attacks`: cases before `until` of the families that are not held out, for
        those that need labels; the product's model takes none."""

    def score(self, cases: Sequence[Case]) -> list[Score]:
        """One for each, in the order given; they are sorted by time."""
