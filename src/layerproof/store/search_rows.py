"""Searching layers by values of their filters (docs/adr/0016).

A layer's contents, and what it does at its place, are entries: numbered in the order in which they
were put. Entries up to the last segment's end are found in one row of every segment, those after
it by their filters. What is found is exact: an entry that is gone has no row that it could name.
"""

from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping
from itertools import islice

from layerproof.model.digest import ChainId, DiffId
from layerproof.model.page import Cursor, Page
from layerproof.store import codec, postings, segment_rows
from layerproof.store.executor import KEYS_AT_ONCE, Session, rows_for
from layerproof.store.segment_rows import KINDS, Kind

_EVERY = (1 << 62) - 1


def put_contents(session: Session, key: int, filters: tuple[bytes, ...]) -> None:
    """Number the contents with this key."""
    weight = sum(map(len, filters)) // 4
    session.run("put_search_entry", contents_id=key, layer_id=None, weight=weight)


def put_changes(session: Session, changes: list[tuple[int, bytes]]) -> None:
    """Number what these layers do, with their filters."""
    session.run_many("put_change_filter", changes)
    session.run_many("put_search_entry", [(None, key, len(hashes) // 4) for key, hashes in changes])


def contents_with(
    session: Session, kind: Kind, value: int, limit: int, after: Cursor | None
) -> Page[DiffId]:
    """Contents whose filter holds the value, the last one put first."""
    found = _found(session, kind, value, limit, after, "contents_of_entries")
    some = [(codec.digest(DiffId, d), Cursor(0, number)) for number, d in islice(found, limit + 1)]
    return Page.of(some, limit)


def chains_with(session: Session, value: int, limit: int, after: Cursor | None) -> Page[ChainId]:
    """Layers whose change filter holds the value, the last one put first."""
    found = _found(session, Kind.CHANGE, value, limit, after, "layers_of_entries")
    some = [(codec.digest(ChainId, c), Cursor(0, number)) for number, c in islice(found, limit + 1)]
    return Page.of(some, limit)


def changes_with(
    session: Session, chain_ids: Collection[ChainId], value: int
) -> Mapping[ChainId, tuple[DiffId, bytes]]:
    """Of those whose change filter holds the value, contents and encoded changes."""
    asked = [codec.raw(chain_id) for chain_id in chain_ids]
    keys = postings.holding(value, rows_for(session, "change_filters", asked))
    rows = {
        codec.digest(ChainId, chain_id): (codec.digest(DiffId, diff_id), changes)
        for chain_id, diff_id, changes in rows_for(session, "changes_of", keys)
    }
    return {chain_id: rows[chain_id] for chain_id in chain_ids if chain_id in rows}


def _found(
    session: Session, kind: Kind, value: int, limit: int, after: Cursor | None, statement: str
) -> Iterator[tuple[int, bytes]]:
    """Entries that hold the value and are there, newest first, with their digests. Read as many at
    once as are wanted; more, where those are gone."""
    numbers = _numbers(session, kind, value)
    end = len(numbers) if after is None else bisect_left(numbers, after.key)
    some = min(limit + 1, KEYS_AT_ONCE)
    while end > 0:
        start, some = max(0, end - some), KEYS_AT_ONCE
        rows: dict[int, bytes] = dict(rows_for(session, statement, numbers[start:end].tolist()))
        yield from sorted(rows.items(), reverse=True)
        end = start


def _numbers(session: Session, kind: Kind, value: int) -> "array[int]":
    """Every entry that holds or held the value, ascending."""
    segments = [s for s in segment_rows.read(session) if s.state == segment_rows.LIVE]
    places = {segment.place(kind, value): segment for segment in segments}
    rows: dict[int, bytes] = dict(rows_for(session, "postings", list(places)))
    found = array("I")
    for place in places:  # in the order of their entries
        if place in rows:
            found.frombytes(postings.find(rows[place], value).tobytes())
    merged = max((segment.last for segment in segments), default=0)
    waiting = session.stream(KINDS[kind], first=merged + 1, last=_EVERY)
    found.extend(sorted(postings.holding(value, waiting)))
    return found


def newest(session: Session) -> int:
    """The number of the last entry, 0 for none."""
    number: int | None = session.rows("newest_entry")[0][0]
    return number or 0
