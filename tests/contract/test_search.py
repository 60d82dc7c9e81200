"""Searching stays exact while filters are merged: one suite for memory, SQLite and PostgreSQL.

Segments are made tiny here, so that a few layers fill several levels of them.
"""

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.contract.index_examples import (
    ANALYSERS,
    MONDAY,
    NEWER,
    TUESDAY,
    WEDNESDAY,
    chains,
    change,
    contents,
    diff,
    image,
    package,
    uint32,
)

from layerproof.engine.ports import Hit, Index
from layerproof.errors import IndexUnavailableError
from layerproof.model.contents import ChainRecord
from layerproof.model.digest import ChainId, DiffId
from layerproof.model.page import Page
from layerproof.model.retention import Retention
from layerproof.store import segment_rows
from layerproof.store.index import SqlIndex
from layerproof.store.segment_rows import BUILDING, DEAD, LIVE
from layerproof.testing.index import MemoryIndex

VALUES = (0, 1, 7, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "WAITING": 3, "WAITING_VALUES": 40, "FAN": 3, "ROW": 2, "STEP": 12, "EVERY": 1, "STEPS": 2,
    }.items():  # fmt: skip
        monkeypatch.setattr(segment_rows, name, value)
    monkeypatch.setattr(segment_rows, "_DROPPED", 16)


def every(ask: Callable[..., Page[DiffId]] | Callable[..., Page[ChainId]], value: int) -> list[str]:
    """All pages."""
    found: list[str] = []
    page: Page[DiffId] | Page[ChainId] = ask(value, 2)
    found += page.items
    while page.after is not None:
        page = ask(value, 2, page.after)
        found += page.items
    return found


def answers(index: Index) -> list[list[str]]:
    asks = (index.contents_with_path_hash, index.contents_with_file_hash)
    return [
        *(every(ask, value) for ask in asks for value in VALUES),
        *(every(index.chains_with_path_hash, value) for value in VALUES),
    ]


def chosen(chance: random.Random) -> bytes:
    return uint32(*{*chance.sample(VALUES, chance.randrange(5)), *chance.sample(range(99), 3)})


def put_some(index: Index, chance: random.Random, number: int) -> None:
    """One of what is done to an index, the same for the same random numbers."""
    name = str(chance.randrange(30))
    match chance.randrange(5):
        case 0 | 1:
            row = contents(name, path_filter=chosen(chance), file_filter=chosen(chance))
            index.put_contents(row, None)
        case 2:
            row = contents(
                name, analysers=NEWER, path_filter=chosen(chance), file_filter=chosen(chance)
            )
            index.put_contents(row, None)
        case 3:
            of = image("".join(chance.sample("abcdefgh", 3)))
            analysers = chance.choice([ANALYSERS, NEWER])
            found = chains(of, analysers=analysers, change_filter=chosen(chance))
            index.put_image(of, found, MONDAY + timedelta(minutes=number))
        case _:
            index.prune(Retention(images=MONDAY + timedelta(minutes=number - 8)))


@pytest.mark.parametrize("seed", range(3))
def test_answers_are_those_of_a_plain_scan_whatever_is_put_replaced_and_pruned(
    index: Index, seed: int
) -> None:
    plain = MemoryIndex()
    for number in range(40):
        put_some(index, random.Random(seed * 1000 + number), number)
        put_some(plain, random.Random(seed * 1000 + number), number)
        if number % 4 == 3:
            assert answers(index) == answers(plain)


def states(index: Index) -> list[str]:
    assert isinstance(index, SqlIndex)
    with index._executor.read() as session:
        return [segment.state for segment in segment_rows.read(session)]


def test_few_segments_are_left_when_all_work_is_done(index: Index) -> None:
    if isinstance(index, MemoryIndex):
        pytest.skip("it keeps none")
    assert isinstance(index, SqlIndex)
    for number in range(60):
        index.put_contents(contents(str(number), path_filter=uint32(5, 1000 + number)), None)
    expected = [diff(str(number)) for number in reversed(range(60))]
    assert every(index.contents_with_path_hash, 5) == expected
    segment_rows.work(index._executor, None)
    assert set(states(index)) == {LIVE}
    assert len(states(index)) <= 8  # 20 were made: 2 of level 2, at most 2 of level 1 and 0
    assert every(index.contents_with_path_hash, 5) == expected
    assert every(index.contents_with_path_hash, 1042) == [diff("42")]


def test_a_search_is_exact_after_each_step_of_a_merge(index: Index) -> None:
    """Also when nobody goes on with it for long: a crash leaves it so."""
    if isinstance(index, MemoryIndex):
        pytest.skip("it has no steps")
    assert isinstance(index, SqlIndex)
    filters = [uint32(*range(n, n + 5), 1 << 31) for n in range(20)]
    segment_rows.EVERY = 1 << 30  # nobody does any work
    for number, values in enumerate(filters):
        index.put_contents(contents(str(number), path_filter=values, file_filter=values), None)
    seen = set()
    while True:
        for value in (1 << 31, 12, 23, 24):
            expected = [
                diff(str(n)) for n in reversed(range(20)) if n <= value < n + 5 or value == 1 << 31
            ]
            assert every(index.contents_with_path_hash, value) == expected
            assert every(index.contents_with_file_hash, value) == expected
        seen.update(states(index))
        before = dump(index)
        segment_rows.work(index._executor, 1)
        if dump(index) == before:
            break
    assert seen == {LIVE, BUILDING, DEAD}
    with index._executor.read() as session:
        known = {segment.id for segment in segment_rows.read(session)}
        rows = session.rows("postings_between", first=0, end=1 << 62)
    assert {place >> 34 for place, _ in rows} == known  # nothing is left behind


def dump(index: SqlIndex) -> list[tuple[object, ...]]:
    with index._executor.read() as session:
        return [
            *session.rows("search_segments"),
            *session.rows("postings_between", first=0, end=1 << 62),
        ]


def test_a_step_that_fails_changes_nothing(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    if isinstance(index, MemoryIndex):
        pytest.skip("it has no steps")
    assert isinstance(index, SqlIndex)
    for number in range(30):
        index.put_contents(contents(str(number), path_filter=uint32(5, number)), None)
    before = dump(index), answers(index)

    def fail(*_: object) -> None:
        raise IndexUnavailableError("the disk is full", remedy="make room")

    monkeypatch.setattr(segment_rows, "_set", fail)
    monkeypatch.setattr(segment_rows, "_write", fail)
    for number in range(30, 40):
        with suppress(IndexUnavailableError):
            index.put_contents(contents(str(number), path_filter=uint32(5)), None)
    monkeypatch.undo()
    assert dump(index) == before[0]
    assert every(index.contents_with_path_hash, 5)[-30:] == [
        diff(str(number)) for number in reversed(range(30))
    ]


def test_postings_of_pruned_layers_are_left_out_in_time(index: Index) -> None:
    if isinstance(index, MemoryIndex):
        pytest.skip("it keeps none")
    assert isinstance(index, SqlIndex)
    for number in range(30):
        of = image(chr(97 + number % 26) * (1 + number // 26))
        name = chr(97 + number % 26)
        index.put_contents(contents(name, path_filter=uint32(5, 100 + number)), None)
        index.put_image(of, chains(of, change_filter=uint32(6)), MONDAY)
    keep = image("zy")
    index.put_image(keep, chains(keep, change_filter=uint32(6)), WEDNESDAY)
    size = sum(len(row[1]) for row in dump(index) if isinstance(row[1], bytes))
    index.prune(Retention(images=TUESDAY))
    assert every(index.contents_with_path_hash, 5) == [diff("z"), diff("y")]
    assert every(index.chains_with_path_hash, 6) == [
        layer.chain_id for layer in reversed(keep.layers)
    ]
    left = sum(len(row[1]) for row in dump(index) if isinstance(row[1], bytes))
    assert left < size / 2


# --- pages, changes, usage ---------------------------------------------------------------------


def test_pages_go_on_where_the_last_one_ended_though_more_is_put(index: Index) -> None:
    for number in range(10):
        index.put_contents(contents(str(number), path_filter=uint32(5)), None)
    page = index.contents_with_path_hash(5, 4)
    assert page.items == tuple(diff(str(n)) for n in (9, 8, 7, 6))
    for number in range(10, 20):
        index.put_contents(contents(str(number), path_filter=uint32(5)), None)
    page = index.contents_with_path_hash(5, 4, page.after)
    assert page.items == tuple(diff(str(n)) for n in (5, 4, 3, 2))
    page = index.contents_with_path_hash(5, 2, page.after)
    assert page == Page((diff("1"), diff("0")), None)


def test_changes_are_found_by_the_paths_that_they_name(index: Index) -> None:
    of = image("abc")
    first, second, third = chains(of)
    rows = [
        replace(first, change_filter=uint32(7), changes=b"first"),
        replace(second, change_filter=uint32(7, 9), changes=b"second"),
        replace(third, change_filter=b"", changes=b"third"),
    ]
    index.put_image(of, rows, MONDAY)
    assert index.chains([layer.chain_id for layer in of.layers]) == rows
    assert every(index.chains_with_path_hash, 7) == [second.chain_id, first.chain_id]
    assert every(index.chains_with_path_hash, 9) == [second.chain_id]
    asked = [third.chain_id, second.chain_id, first.chain_id]
    found = index.changes_with_path_hash(asked, 7)
    assert list(found.items()) == [
        (second.chain_id, (diff("b"), b"second")),
        (first.chain_id, (diff("a"), b"first")),
    ]
    newer = [replace(row, analysers=NEWER, change_filter=uint32(8)) for row in rows]
    index.put_image(of, newer, MONDAY)
    assert every(index.chains_with_path_hash, 7) == []
    assert every(index.chains_with_path_hash, 8) == [c.chain_id for c in reversed(newer)]


def test_usage_lists_the_newest_and_says_when_there_are_more(index: Index) -> None:
    index.put_contents(contents("a"), None)
    for number, name in enumerate(("ax", "ay", "az", "xa")):
        index.put_image(image(name, f"docker://h/{name}"), [], MONDAY + timedelta(hours=number))
    lowest = image("ax").layers[0].chain_id
    other = image("xa").layers[1].chain_id
    (hit,) = index.usage([diff("a")], 9)
    assert hit == Hit(
        diff("a"),
        (other, lowest),
        ("docker://h/xa", "docker://h/az", "docker://h/ay", "docker://h/ax"),
    )
    assert index.usage([diff("a")], 4) == [hit]
    assert index.usage([diff("a")], 2) == [
        Hit(diff("a"), (other, lowest), ("docker://h/xa", "docker://h/az"), more=True)
    ]
    assert index.usage([diff("a")], 1) == [Hit(diff("a"), (other,), ("docker://h/xa",), more=True)]


def test_packages_and_their_changes_are_limited_to_the_newest(index: Index) -> None:
    for number in range(6):
        one, two = package("semver", "1"), package("semver", str(number))
        index.put_contents(contents(str(number), packages=(one, two)), None)
    assert index.packages_named("semver", 3) == [
        (diff("5"), package("semver", "5")),
        (diff("5"), package("semver", "1")),
        (diff("4"), package("semver", "4")),
    ]
    assert index.packages_named("semver", 9, "4") == [(diff("4"), package("semver", "4"))]
    assert index.packages_named("semver", 9, "") == index.packages_named("semver", 9)
    of = image("abc")
    rows: list[ChainRecord] = chains(of, package_changes=(change("bash"),))
    index.put_image(of, rows, MONDAY)
    assert index.package_changes_named("bash", 2) == [
        (rows[2].chain_id, change("bash")),
        (rows[1].chain_id, change("bash")),
    ]
