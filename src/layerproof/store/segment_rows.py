"""Merging the filters of many layers into segments, step by step (docs/adr/0016).

1. A segment holds the postings of a run of entries, cut by value into rows. Segments follow each
   other without a gap; entries after the last one wait.
2. When enough entries wait, they become a segment of level 0. FAN segments of one level become one
   of the next, so that there are few.
3. Each step is one transaction of bounded size. A segment that is being built is not read; those
   that it is made of are, until the step that completes it. So a crash, a reader and another
   process that goes on with the work always find every entry in exactly one place.
4. Postings of entries that are gone are left out when many are.
"""

from bisect import bisect_left
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import accumulate

from layerproof.store import postings
from layerproof.store.executor import Executor, Session, rows_for
from layerproof.store.postings import LOW, Postings

# Which of an entry's filters a value is from: it stands above the value's 32 bits.
Kind = IntEnum("Kind", {"PATH": 0, "FILE": 1, "CHANGE": 2})
KINDS = {
    Kind.PATH: "paths_waiting",
    Kind.FILE: "files_waiting",
    Kind.CHANGE: "changes_waiting",
}
END = len(KINDS) << 32

LIVE, BUILDING, DEAD = "live", "building", "dead"

WAITING = 512  # entries; a search reads the filters of those that wait
WAITING_VALUES = 1 << 18  # or as many values: 1 MB
FAN = 8  # segments of a level
ROW = 2048  # postings of a row, about: what a search reads of each segment
STEP = 100_000  # postings that a step merges, about: a tenth of a second
EVERY = 32  # entries: how often those who put something do a few steps
STEPS = 3

_PLACES = 34  # bits of a row's number within its segment
_DROPPED = 512  # rows of a dead segment that a step deletes


@dataclass(frozen=True, slots=True)
class Segment:
    """A row of the table."""

    id: int
    state: str
    level: int
    shift: int
    first: int
    last: int
    entries: int
    postings: int
    into: int | None
    done_to: int

    def place(self, kind: Kind, value: int) -> int:
        """Of the row with this value."""
        return self.row(kind << 32 | value)

    def row(self, value: int) -> int:
        """The same, for a value that has its kind."""
        return self.id << _PLACES | value >> self.shift


def read(session: Session) -> list[Segment]:
    """All of them, in the order of their entries."""
    return [Segment(*row) for row in session.rows("search_segments")]


def is_due(session: Session, before: int, newest: int) -> bool:
    """Whether whoever put the entries after `before` is to do a few steps."""
    if newest // EVERY == before // EVERY:
        return False
    segments = read(session)
    return _waits(session, segments) or _next(segments) is not None


def work(executor: Executor, steps: int | None = STEPS) -> None:
    """Do this many steps, or all that there are (None)."""
    while steps is None or steps > 0:
        with executor.write() as session:
            if not _step(session):
                return
        steps = None if steps is None else steps - 1


def rewrite_thin(executor: Executor) -> None:
    """Make segments anew of whose entries most are gone, and all other work that there is."""
    with executor.write() as session:
        for segment in read(session):
            there = session.rows("entries_between", first=segment.first, last=segment.last)[0][0]
            if segment.state == LIVE and segment.into is None and 2 * there < segment.entries:
                _begin(session, [segment], segment.level, there)
    work(executor, None)


def _step(session: Session) -> bool:
    """The next step. False: nothing is left to do."""
    segments = read(session)
    if _waits(session, segments):
        _flush(session, segments)
        return True
    todo = _next(segments)
    if todo is None:
        return False
    if len(todo) > 1:
        there = session.rows("entries_between", first=todo[0].first, last=todo[-1].last)[0][0]
        _begin(session, todo, todo[0].level + 1, there)
    elif todo[0].state == BUILDING:
        _go_on(session, todo[0], [s for s in segments if s.into == todo[0].id])
    else:
        _clear(session, todo[0])
    return True


def _next(segments: Sequence[Segment]) -> Sequence[Segment] | None:
    """FAN segments to merge, or the one to build on or to clear; small ones first."""
    free = [s for s in segments if s.state == LIVE and s.into is None]
    levels = sorted({s.level for s in free})
    full = [some for n in levels if (some := _run([s for s in free if s.level == n]))]
    building = sorted((s for s in segments if s.state == BUILDING), key=lambda s: s.level)
    if full and (not building or full[0][0].level < building[0].level):
        return full[0]
    if building:
        return building[:1]
    return next(([s] for s in segments if s.state == DEAD), None)


def _run(segments: Sequence[Segment]) -> Sequence[Segment]:
    """The first FAN of them without another between them, if there are so many."""
    run: list[Segment] = []
    for segment in segments:
        if run and run[-1].last + 1 != segment.first:
            run = []
        run.append(segment)
        if len(run) == FAN:
            return run
    return ()


# --- entries that wait -------------------------------------------------------------------------


def _waits(session: Session, segments: Sequence[Segment]) -> bool:
    count, values = session.rows("entries_waiting", after=_merged(segments))[0]
    return bool(count >= WAITING or values >= WAITING_VALUES)


def _merged(segments: Sequence[Segment]) -> int:
    return max((s.last for s in segments if s.state == LIVE), default=0)


def _flush(session: Session, segments: Sequence[Segment]) -> None:
    """The oldest of the entries that wait become a segment."""
    after = _merged(segments)
    rows = session.rows("entries_next", after=after, limit=WAITING)
    sums = list(accumulate(weight for _, weight in rows))
    count = min(bisect_left(sums, WAITING_VALUES) + 1, len(rows))
    last = rows[count - 1][0]
    segment = _make(session, LIVE, 0, sums[count - 1], after + 1, last, count)
    for kind, statement in KINDS.items():
        found: Postings = {}
        for number, hashes in sorted(session.rows(statement, first=after + 1, last=last)):
            postings.add_entry(found, number, hashes)
        _write(session, segment, kind, found)


# --- segments ----------------------------------------------------------------------------------


def _make(
    session: Session, state: str, level: int, values: int, first: int, last: int, entries: int
) -> Segment:
    session.run(
        "put_segment", state=state, level=level, shift=_shift(values), first=first, last=last,
        entries=entries, postings=values, into_id=None, done_to=0,
    )  # fmt: skip
    key = session.rows("newest_segment")[0][0]
    return next(segment for segment in read(session) if segment.id == key)


def _shift(values: int) -> int:
    """So that rows of half of all values have ROW postings, about."""
    return 32 - min(24, max(0, (values // (2 * ROW)).bit_length() - 1))


def _set(session: Session, segment: Segment, state: str, into: int | None, done_to: int) -> None:
    session.run(
        "set_segment", key=segment.id, new_state=state, new_into_id=into, new_done_to=done_to
    )


def _begin(session: Session, parts: Sequence[Segment], level: int, there: int) -> None:
    entries = sum(part.entries for part in parts)
    values = sum(part.postings for part in parts) * min(there, entries) // max(entries, 1)
    made = _make(session, BUILDING, level, values, parts[0].first, parts[-1].last, there)
    for part in parts:
        _set(session, part, LIVE, made.id, 0)


def _go_on(session: Session, made: Segment, parts: Sequence[Segment]) -> None:
    """Merge a range of values; at the end, take the place of the parts."""
    thin = 4 * made.entries < 3 * sum(part.entries for part in parts)
    done_to, merged = made.done_to, 0
    while merged < STEP and done_to < END:
        # Some rows at once, of one kind.
        end = min(done_to + (16 << made.shift), (done_to | LOW) + 1)
        found, count = _merge(session, parts, done_to, end - 1)
        if thin:
            named = postings.entries_of(found)
            found = postings.without(found, named - _there(session, named))
        _write(session, made, Kind(done_to >> 32), found)
        done_to, merged = end, merged + count
    if done_to < END:
        _set(session, made, BUILDING, None, done_to)
        return
    _set(session, made, LIVE, None, END)
    for part in parts:
        _set(session, part, DEAD, made.id, 0)


def _merge(
    session: Session, parts: Sequence[Segment], first: int, last: int
) -> tuple[Postings, int]:
    found: Postings = {}
    count = 0
    for part in parts:  # in the order of their entries
        places = {"first": part.row(first), "end": part.row(last) + 1}
        for _, row in session.rows("postings_between", **places):
            count += postings.add(found, row, first & LOW, last & LOW)
    return found, count


def _there(session: Session, numbers: Collection[int]) -> set[int]:
    return {number for (number,) in rows_for(session, "entries_there", list(numbers))}


def _write(session: Session, segment: Segment, kind: Kind, found: Postings) -> None:
    values = sorted(found)
    rows = []
    start = 0
    while start < len(values):
        end = bisect_left(values, (values[start] >> segment.shift) + 1 << segment.shift, start)
        place = segment.place(kind, values[start])
        rows.append((place, postings.pack(values[start:end], found)))
        start = end
    session.run_many("put_posting", rows)


def _clear(session: Session, segment: Segment) -> None:
    """Delete some rows of a segment that nobody reads any more; at last the segment."""
    end = min(segment.done_to + (_DROPPED << segment.shift), END)
    session.run("drop_postings", first=segment.row(segment.done_to), end=segment.row(end - 1) + 1)
    if end < END:
        _set(session, segment, DEAD, segment.into, end)
    else:
        session.run("drop_segment", id=segment.id)
