"""One index file, several real processes: racing, killed, forked."""

import itertools
import os
import random
import select
import signal
import sqlite3
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from tests.contract.index_examples import (
    ANALYSERS,
    MONDAY,
    chains,
    contents,
    diff,
    image,
    package,
    uint32,
)

from layerproof.errors import IndexUnavailableError
from layerproof.model.contents import BlobRecord, Contents
from layerproof.model.digest import DiffId, Digest
from layerproof.store import sqlite
from layerproof.store.sqlite import SqliteExecutor
from layerproof.store.sqlite_index import open_sqlite

KILLS = 15  # of each kind


def in_child(work: Callable[[], None]) -> int:
    """Fork; the child's exit status says whether `work` went well."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:  # noqa: BLE001  because the parent sees the status only
            traceback.print_exc()
        finally:
            os._exit(status)
    return child


def went_well(*children: int) -> bool:
    return [os.waitpid(child, 0)[1] for child in children] == [0] * len(children)


def layer(number: int) -> tuple[Contents, BlobRecord]:
    """A layer of some hundred kilobytes whose parts all tell its number."""
    diff_id = diff(str(number))
    row = contents(
        diff_id=diff_id,
        entries=str(number).encode() * 50_000,
        path_filter=uint32(number),
        packages=tuple(package(f"p{number}", str(n)) for n in range(100)),
        facts={"number": number},
    )
    return row, BlobRecord(Digest.of(f"blob {number}".encode()), diff_id, number, "tar")


def sound(path: Path) -> bool:
    connection = sqlite3.connect(path)
    found = connection.execute("PRAGMA integrity_check").fetchall()
    broken = connection.execute("PRAGMA foreign_key_check").fetchall()
    connection.close()
    return found == [("ok",)] and broken == []


# --- racing ------------------------------------------------------------------------------------


def test_processes_that_start_at_once_make_the_index_once(tmp_path: Path) -> None:
    path = tmp_path / "data" / "index.db"
    gate = os.pipe()

    def start(number: int) -> Callable[[], None]:
        def work() -> None:
            os.close(gate[1])
            os.read(gate[0], 1)  # ends when the parent lets go
            open_sqlite(path).put_cached(str(number), b"here")

        return work

    children = [in_child(start(number)) for number in range(8)]
    os.close(gate[1])
    assert went_well(*children)
    os.close(gate[0])
    index = open_sqlite(path)
    assert [index.cached(str(number)) for number in range(8)] == [b"here"] * 8
    index.close()
    assert sound(path)


def test_two_processes_put_at_once_and_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "index.db"

    def work() -> None:
        index = open_sqlite(path)
        for number in range(20):  # both put the same layers
            index.put_contents(*layer(number))
            of = image(f"{number}", f"docker://h/x:{number}")
            index.put_image(of, chains(of), MONDAY)
        index.close()

    assert went_well(in_child(work), in_child(work))
    index = open_sqlite(path)
    for number in range(20):
        assert index.contents(layer(number)[0].diff_id) == layer(number)[0]
        assert len(index.packages_named(f"p{number}", 200)) == 100
    assert len(list(index.images())) == 20
    index.close()
    assert sound(path)


# --- killed ------------------------------------------------------------------------------------


@pytest.mark.parametrize("log_pages", [20, 2000])
def test_a_writer_killed_at_any_moment_leaves_whole_layers_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log_pages: int
) -> None:
    """What was reported as put is there; whatever is there is whole; nothing else is."""
    monkeypatch.setattr(sqlite, "LOG_PAGES", log_pages)  # few: it is folded into the file often
    path = tmp_path / "index.db"
    chance = random.Random(7)
    reported = -1
    for _ in range(KILLS):
        last = killed(path, reported + 1, after=chance.uniform(0, 0.05))
        reported = max(reported, last)
        index = open_sqlite(path)
        every = [diff(str(number)) for number in range(reported + 2)]
        known = index.known_contents(every, ANALYSERS)
        assert known >= set(every[:-1])  # the last may have been put and not reported
        for number in range(max(0, reported - 2), reported + 2):
            expected = layer(number)[0] if every[number] in known else None
            assert index.contents(every[number]) == expected
        if every[-1] in known:
            reported += 1
        index.close()
        assert sound(path)
    assert reported > KILLS  # the writer did get somewhere


def killed(path: Path, first: int, *, after: float) -> int:
    """Start a writer, kill it `after` seconds after its first layer; the last one it reported."""
    reading, writing = os.pipe()

    def write() -> None:
        index = open_sqlite(path)
        for number in itertools.count(first):
            index.put_contents(*layer(number))
            os.write(writing, b"%d\n" % number)

    writer = in_child(write)
    os.close(writing)
    try:
        assert select.select([reading], [], [], 60)[0]
        time.sleep(after)  # because the moment is what is tested
    finally:
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)
    with os.fdopen(reading, "rb") as numbers:
        return int(numbers.read().split()[-1])


def test_an_index_killed_while_it_is_made_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "index.db"

    def work() -> None:
        executor = SqliteExecutor(path)
        executor._log_ahead = lambda _: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign]  # because no other place is between file and schema
        with executor.read():
            pass

    child = in_child(work)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert path.stat().st_size == 0
    index = open_sqlite(path)
    index.put_contents(*layer(1))
    assert index.contents(diff("1")) == layer(1)[0]
    index.close()


# --- forked ------------------------------------------------------------------------------------


def test_parent_and_children_use_an_index_that_was_open_before_the_fork(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    index = open_sqlite(path)
    index.put_contents(*layer(0))

    def work(number: int) -> Callable[[], None]:
        def put() -> None:
            for n in range(10):
                index.put_contents(*layer(number * 10 + n))
            index.close()

        return put

    children = [in_child(work(number)) for number in (1, 2, 3)]
    for n in range(10):
        index.put_contents(*layer(n))
    assert went_well(*children)
    every: list[DiffId] = [diff(str(number)) for number in range(40)]
    assert index.known_contents(every, ANALYSERS) == set(every)
    index.close()
    assert sound(path)


def test_no_connection_is_carried_across_a_fork(tmp_path: Path) -> None:
    executor = SqliteExecutor(tmp_path / "index.db")
    with executor.write() as session:
        session.run("put_cached", key="a", value=b"b")
    assert any("index.db" in file.path for file in psutil.Process().open_files())

    def check() -> None:
        assert executor._connection is None
        files = [file.path for file in psutil.Process().open_files()]
        assert not any("index.db" in file for file in files)

    assert went_well(in_child(check))
    executor.close()


def test_a_child_forked_inside_a_transaction_is_told_so(tmp_path: Path) -> None:
    executor = SqliteExecutor(tmp_path / "index.db")

    def check() -> None:
        with (
            pytest.raises(IndexUnavailableError, match="was in use when this process was forked"),
            executor.read(),
        ):
            pass

    with executor.write() as session:
        session.run("put_cached", key="a", value=b"b")
        child = in_child(check)
        assert went_well(child)
    with executor.read() as session:
        assert session.rows("cached", key="a") == [(b"b",)]
    executor.close()


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # newer Pythons warn
def test_a_fork_waits_for_the_transaction_of_another_thread(tmp_path: Path) -> None:
    executor = SqliteExecutor(tmp_path / "index.db")
    inside, finish = threading.Event(), threading.Event()

    def hold() -> None:
        with executor.write() as session:
            session.run("put_cached", key="a", value=b"b")
            inside.set()
            finish.wait(10)

    def check() -> None:
        with executor.read() as session:
            assert session.rows("cached", key="a") == [(b"b",)]

    holder = threading.Thread(target=hold)
    holder.start()
    inside.wait(10)
    threading.Timer(0.05, finish.set).start()
    assert went_well(in_child(check))
    holder.join()
    executor.close()


def test_layer_is_read_by_one_process_at_a_time(tmp_path: Path) -> None:
    """The kernel gives the claim of a killed process to the one that waits."""
    index = open_sqlite(tmp_path / "index.db")
    diff_id = DiffId.of(b"layer")
    ready, told = os.pipe()
    holder = os.fork()
    if holder == 0:
        with open_sqlite(tmp_path / "index.db").claim(diff_id):
            os.write(told, b"x")
            signal.pause()
        os._exit(0)
    os.read(ready, 1)
    waiter = os.fork()
    if waiter == 0:
        with open_sqlite(tmp_path / "index.db").claim(diff_id):
            os.write(told, b"y")
        os._exit(0)
    with index.claim(DiffId.of(b"another")):  # other layers do not wait
        assert select.select([ready], [], [], 0.2)[0] == []
    os.kill(holder, signal.SIGKILL)
    assert os.read(ready, 1) == b"y"
    for child in (holder, waiter):
        os.waitpid(child, 0)
    os.close(ready)
    os.close(told)
