"""Track A: the real stream of pushes, with attacks on its axes. Context only."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from layerproof.engine.ports import Index
from layerproof.model.event import Event, EventKind
from layerproof.testing.index import MemoryIndex
from learning.cases import BENIGN, NO_ATTACK, Case, Track
from learning.context_attacks import inject
from learning.fitted import WARM_UP
from learning.metadata import read_log

STARTS = datetime(2020, 1, 1, tzinfo=UTC)
FAMILIES = (
    "stolen-account",
    "new-account",
    "typosquat-repository",
    "odd-hour",
    "dormant-account",
    NO_ATTACK,
)


@dataclass(frozen=True, slots=True)
class Stream:
    """The honest events in an index, once for all seeds."""

    index: Index
    events: Sequence[Event]


def real_stream(index: Index | None = None) -> Stream:
    """All of the log."""
    index = index or MemoryIndex()
    events = read_log()
    index.put_events(events)
    return Stream(index, events)


def track_a(stream: Stream, seed: int, per_family: int = 200) -> tuple[Track, list[Case]]:
    """The track, and attacks from before its start for those that learn from attacks."""
    return context_track("A", stream, STARTS, FAMILIES, seed, per_family)


def context_track(
    name: str,
    stream: Stream,
    starts: datetime,
    families: Sequence[str],
    seed: int,
    per_family: int,
    *,
    places: bool = False,
    ends: datetime | None = None,
) -> tuple[Track, list[Case]]:
    """Every push from `starts` on (before `ends`) is an honest case; attacks are made from random
    ones of them."""
    pushes = [event for event in stream.events if event.kind is EventKind.PUSH]
    later = [e for e in pushes if e.at >= starts and (ends is None or e.at < ends)]
    earlier = [event for event in pushes[WARM_UP:] if event.at < starts]
    attacks = inject(stream.events, later, families, per_family, seed)
    known = inject(stream.events, earlier, families, per_family, seed + 1000) if earlier else []
    cases = sorted(
        [*(Case(event, BENIGN) for event in later), *attacks],
        key=lambda case: (case.event.at, case.event.identity),
    )
    track = Track(name, stream.index, stream.events, cases, starts, has_places=places)
    return track, [case for case in known if case.attack]
