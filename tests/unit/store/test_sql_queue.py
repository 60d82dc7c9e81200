"""Workers that die, or were only taken for dead, with the queue on SQLite."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from layerproof.engine.queue import MOST_ATTEMPTS, STALLED, Handle
from layerproof.model.job import Job, JobState, Wanted
from layerproof.store import job_rows
from layerproof.store.sql_queue import SqlQueue, _Worker
from layerproof.store.sqlite import SqliteExecutor

NOW = datetime(2026, 3, 1, tzinfo=UTC)
WANTED = Wanted("a", "turn", "test", {"for": "a"})


class Clock:
    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return time.monotonic()


@pytest.fixture
def executor(tmp_path: Path) -> Iterator[SqliteExecutor]:
    opened = SqliteExecutor(tmp_path / "index.db")
    yield opened
    opened.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def nothing(job: Job, handle: Handle) -> None:
    """Work that is done at once."""


def worker(executor: SqliteExecutor, clock: Clock) -> _Worker:
    return _Worker(executor, clock, nothing, threading.Event())


def job(executor: SqliteExecutor) -> Job:
    with executor.read() as session:
        found = job_rows.read(session, 1)
    assert found is not None
    return found


def taken(executor: SqliteExecutor, clock: Clock, by: str) -> Job:
    SqlQueue(executor, clock).put([WANTED])
    found = job_rows.take(executor, by, clock.now())
    assert found is not None
    return found


def test_a_job_whose_worker_is_silent_waits_again_after_a_while(
    executor: SqliteExecutor, clock: Clock
) -> None:
    taken(executor, clock, "elsewhere/1/x")
    clock.time += STALLED
    worker(executor, clock).recover()
    assert job(executor).state is JobState.RUNNING
    clock.time += timedelta(seconds=1)
    worker(executor, clock).recover()
    assert (job(executor).state, job(executor).attempts) == (JobState.QUEUED, 1)
    assert worker(executor, clock).once()
    assert (job(executor).state, job(executor).attempts) == (JobState.DONE, 2)


def test_a_job_whose_process_is_gone_from_this_machine_waits_again_at_once(
    executor: SqliteExecutor, clock: Clock
) -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    taken(executor, clock, f"{socket.gethostname()}/{child}/x")
    worker(executor, clock).recover()
    assert job(executor).state is JobState.QUEUED


def test_a_job_of_an_earlier_process_with_this_ones_number_waits_again_at_once(
    executor: SqliteExecutor, clock: Clock
) -> None:
    """As in a container that was started again."""
    taken(executor, clock, f"{socket.gethostname()}/{os.getpid()}/earlier")
    worker(executor, clock).recover()
    assert job(executor).state is JobState.QUEUED


def test_a_job_of_another_worker_of_this_process_is_left_to_it(
    executor: SqliteExecutor, clock: Clock
) -> None:
    other = worker(executor, clock)
    taken(executor, clock, other.name)
    worker(executor, clock).recover()
    assert job(executor).state is JobState.RUNNING


def test_a_job_of_a_process_that_lives_is_left_to_it(
    executor: SqliteExecutor, clock: Clock
) -> None:
    taken(executor, clock, f"{socket.gethostname()}/{os.getppid()}/x")
    worker(executor, clock).recover()
    assert job(executor).state is JobState.RUNNING


def test_a_worker_that_says_that_it_lives_keeps_its_job(
    executor: SqliteExecutor, clock: Clock
) -> None:
    running = taken(executor, clock, "elsewhere/1/x")
    clock.time += STALLED
    assert job_rows.alive(executor, [running], clock.now()) == set()
    clock.time += STALLED
    worker(executor, clock).recover()
    assert job(executor).state is JobState.RUNNING


def test_a_worker_that_was_taken_for_dead_changes_nothing_of_the_next_ones_run(
    executor: SqliteExecutor, clock: Clock
) -> None:
    """A machine that slept wakes up while another one does its job."""
    first = taken(executor, clock, "slept/1")
    clock.time += STALLED * 2
    worker(executor, clock).recover()
    second = job_rows.take(executor, "awake/1", clock.now())
    assert second is not None
    assert job_rows.alive(executor, [first], clock.now()) == {first.id}
    assert job_rows.alive(executor, [second], clock.now()) == set()
    with executor.write() as session:
        done = replace(first, state=JobState.DONE, ended_at=clock.now())
        assert not job_rows.change(session, done, first, clock.now())
    assert job(executor).state is JobState.RUNNING
    assert job(executor).worker == "awake/1"


def test_a_job_that_kills_every_worker_is_given_up(executor: SqliteExecutor, clock: Clock) -> None:
    SqlQueue(executor, clock).put([WANTED])
    for attempt in range(1, MOST_ATTEMPTS + 1):
        found = job_rows.take(executor, f"victim/{attempt}", clock.now())
        assert found is not None
        assert found.attempts == attempt
        clock.time += STALLED * 2
        worker(executor, clock).recover()
    assert job(executor).state is JobState.FAILED
    assert job(executor).ended_at is not None
    assert job(executor).error["code"] == "given-up"
    assert job_rows.take(executor, "next/1", clock.now()) is None


def test_a_job_that_waits_is_not_taken_before_it_is_due(
    executor: SqliteExecutor, clock: Clock
) -> None:
    found = taken(executor, clock, "w/1")
    with executor.write() as session:
        due = replace(found, state=JobState.QUEUED, due_at=NOW + timedelta(minutes=1), worker="")
        assert job_rows.change(session, due, found, NOW)
    assert job_rows.take(executor, "w/1", NOW + timedelta(seconds=59)) is None
    assert job_rows.take(executor, "w/1", NOW + timedelta(seconds=60)) is not None


def test_reports_go_with_their_jobs_and_with_no_other(
    executor: SqliteExecutor, clock: Clock
) -> None:
    queue = SqlQueue(executor, clock)
    queue.put([Wanted(key, key, "test") for key in "abc"])
    for identity in (1, 2, 3):
        job_rows.report(executor, identity, {"n": identity}, {}, NOW)
    assert queue.cancel(1)
    job_rows.report(executor, 1, {"n": "late"}, {}, NOW + timedelta(hours=2))
    assert queue.prune(NOW + timedelta(hours=1)) == 1
    with executor.read() as session:
        assert set(job_rows.reports(session, [1, 2, 3])) == {2, 3}


def test_a_defect_in_a_slot_does_not_end_it(
    executor: SqliteExecutor, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    take, failures = job_rows.take, [ValueError("a defect"), ValueError("another")]

    def failing(*arguments: Any) -> Job | None:
        if failures:
            raise failures.pop()
        return take(*arguments)

    monkeypatch.setattr(job_rows, "take", failing)
    queue, stop = SqlQueue(executor, clock), threading.Event()
    queue.put([WANTED])
    done = threading.Event()
    running = threading.Thread(
        target=queue.run, args=(lambda *_: done.set(),), kwargs={"slots": 1, "stop": stop}
    )
    running.start()
    try:
        assert done.wait(30)
    finally:
        stop.set()
        running.join()
    assert not failures
