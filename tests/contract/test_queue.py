"""What every queue must do: one suite for memory, SQLite and PostgreSQL."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.postgres import fresh_database

from layerproof.engine.queue import CancelledError, Handle, Queue, Work
from layerproof.errors import DigestMismatchError, UnreachableError
from layerproof.model.job import Job, JobState, Priority, Wanted
from layerproof.model.page import NEWEST
from layerproof.testing.queue import MemoryQueue

PATIENCE = 30.0


class Now:
    """The machine's clock, with a jump."""

    def __init__(self) -> None:
        self.jump = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.jump

    def monotonic(self) -> float:
        return time.monotonic()


def memory(_: Path, clock: Now) -> Queue:
    return MemoryQueue(clock)


def sqlite(folder: Path, clock: Now) -> Queue:
    from layerproof.store.sql_queue import SqlQueue
    from layerproof.store.sqlite import SqliteExecutor

    return SqlQueue(SqliteExecutor(folder / "index.db"), clock)


def postgresql(_: Path, clock: Now) -> Queue:
    from layerproof.store.postgresql import PostgresExecutor, engine_of
    from layerproof.store.procrastinate_queue import ProcrastinateQueue

    engine = engine_of(fresh_database())
    return ProcrastinateQueue(engine, PostgresExecutor(engine), clock)


KINDS: list[Callable[[Path, Now], Queue]] = [memory, sqlite, postgresql]


@pytest.fixture
def clock() -> Now:
    return Now()


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def queue(request: pytest.FixtureRequest, tmp_path: Path, clock: Now) -> Iterator[Queue]:
    opened: Queue = request.param(tmp_path, clock)
    yield opened
    opened.close()


def wanted(key: str, turn: str = "", priority: int = Priority.PUSHED) -> Wanted:
    return Wanted(key, turn or key, "test", {"for": key}, priority)


@contextmanager
def working(queue: Queue, work: Work, slots: int = 1) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=queue.run, args=(work,), kwargs={"slots": slots, "stop": stop})
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(PATIENCE)
        assert not thread.is_alive()


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.02)


def only(queue: Queue) -> Job:
    (job,) = queue.page(10).items
    return job


def test_an_empty_queue_has_nothing(queue: Queue) -> None:
    assert queue.put([]) == 0
    assert queue.page(10).items == ()
    assert queue.counts() == {}
    assert queue.job(1) is None
    assert not queue.cancel(1)


def test_a_job_waits_with_all_that_was_said(queue: Queue) -> None:
    assert queue.put([wanted("a", "turn")]) == 1
    job = only(queue)
    assert (job.key, job.turn, job.kind, job.arguments) == ("a", "turn", "test", {"for": "a"})
    assert (job.state, job.attempts, job.priority) == (JobState.QUEUED, 0, Priority.PUSHED)
    assert queue.job(job.id) == job
    assert queue.counts() == {JobState.QUEUED: 1}


def test_a_job_that_waits_is_not_queued_again_and_may_be_hurried(queue: Queue) -> None:
    assert queue.put([wanted("a"), wanted("a")]) == 1
    assert queue.put([wanted("a", priority=Priority.ASKED), wanted("b")]) == 1
    assert {job.key: job.priority for job in queue.page(10).items} == {
        "a": Priority.ASKED,
        "b": Priority.PUSHED,
    }
    assert queue.put([wanted("a", priority=Priority.POLLED)]) == 0
    assert {job.priority for job in queue.page(10).items if job.key == "a"} == {Priority.ASKED}


def test_pages_hold_every_job_once_the_last_one_first(queue: Queue) -> None:
    for number in range(5):
        queue.put([wanted(str(number))])
    keys, after = [], NEWEST
    while True:
        page = queue.page(2, after)
        keys += [job.key for job in page.items]
        if page.after is None:
            break
        after = page.after
    assert keys == ["4", "3", "2", "1", "0"]
    assert queue.page(10, state="done").items == ()


def test_jobs_are_done_once_the_most_urgent_first(queue: Queue) -> None:
    done: list[str] = []
    queue.put([wanted("late", priority=0), wanted("early", priority=9), wanted("first")])
    with working(queue, lambda job, handle: done.append(job.arguments["for"])):
        until(lambda: len(queue.page(10, state="done").items) == 3)
    assert done == ["first", "early", "late"]
    ended = queue.page(10).items[0]
    assert ended.state is JobState.DONE
    assert ended.attempts == 1
    assert ended.ended_at is not None


def test_a_job_that_is_done_can_be_wanted_again(queue: Queue) -> None:
    done: list[int] = []
    with working(queue, lambda job, handle: done.append(job.id)):
        queue.put([wanted("a")])
        until(lambda: len(queue.page(9, state="done").items) == 1)
        assert queue.put([wanted("a")]) == 1
        until(lambda: len(queue.page(9, state="done").items) == 2)
    assert len(set(done)) == 2


def test_jobs_of_one_turn_never_run_side_by_side(queue: Queue) -> None:
    inside: set[str] = set()
    clashes: list[str] = []
    met: list[str] = []

    def work(job: Job, handle: Handle) -> None:
        if job.turn in inside:
            clashes.append(job.turn)
        inside.add(job.turn)
        time.sleep(0.05)
        if len(inside) > 1:
            met.append(job.key)
        inside.discard(job.turn)

    queue.put([wanted(f"{turn}{n}", turn) for turn in "xy" for n in range(4)])
    with working(queue, work, slots=3):
        until(lambda: len(queue.page(20, state="done").items) == 8)
    assert clashes == []
    assert met, "jobs of different turns ran one after the other"


def test_what_may_pass_is_tried_again(queue: Queue, clock: Now) -> None:
    tries: list[int] = []

    def work(job: Job, handle: Handle) -> None:
        tries.append(job.attempts)
        if len(tries) == 1:
            raise UnreachableError("the registry is down", where="registry", remedy="wait")

    queue.put([wanted("a")])
    with working(queue, work):
        until(lambda: bool(only(queue).error) and only(queue).due_at is not None)
        job = only(queue)
        assert job.state is JobState.QUEUED
        assert job.error["code"] == "unreachable"
        assert job.due_at is not None
        assert job.due_at > clock.now()
        until(lambda: only(queue).state is JobState.DONE)
    assert tries == [1, 2]


def test_what_stays_fails_at_once(queue: Queue) -> None:
    def work(job: Job, handle: Handle) -> None:
        raise DigestMismatchError("other bytes", where="registry")

    queue.put([wanted("a")])
    with working(queue, work):
        until(lambda: only(queue).state is JobState.FAILED)
    assert only(queue).error["message"] == "other bytes"
    assert only(queue).attempts == 1


def test_a_defect_does_not_end_the_worker(queue: Queue) -> None:
    done: list[str] = []

    def work(job: Job, handle: Handle) -> None:
        if job.key == "bad":
            raise ZeroDivisionError("ouch")
        done.append(job.key)

    queue.put([wanted("bad", priority=99), wanted("good")])
    with working(queue, work):
        until(lambda: done == ["good"])
        until(lambda: any("ouch" in str(job.error) for job in queue.page(9).items))


def test_progress_is_told(queue: Queue) -> None:
    seen: list[Mapping[str, object]] = []

    def work(job: Job, handle: Handle) -> None:
        handle.progress({"layers": 3, "read": 1})
        time.sleep(1.1)
        handle.progress({"layers": 3, "read": 2})
        until(lambda: bool(seen))

    queue.put([wanted("a")])
    with working(queue, work):
        until(lambda: bool(only(queue).progress))
        seen.append(only(queue).progress)
        until(lambda: only(queue).state is JobState.DONE)
    assert seen[0]["layers"] == 3
    assert only(queue).progress == {"layers": 3, "read": 2}


def test_a_job_that_waits_can_be_cancelled(queue: Queue) -> None:
    queue.put([wanted("a")])
    assert queue.cancel(only(queue).id)
    assert only(queue).state is JobState.CANCELLED
    assert not queue.cancel(only(queue).id)
    done: list[str] = []
    with working(queue, lambda job, handle: done.append(job.key)):
        queue.put([wanted("b")])
        until(lambda: done == ["b"])


def test_a_job_that_runs_can_be_cancelled(queue: Queue) -> None:
    started, noticed = threading.Event(), threading.Event()

    def work(job: Job, handle: Handle) -> None:
        started.set()
        until(handle.cancelled)
        noticed.set()
        raise CancelledError("it was cancelled")

    queue.put([wanted("a")])
    with working(queue, work):
        assert started.wait(PATIENCE)
        assert queue.cancel(only(queue).id)
        until(lambda: only(queue).state is JobState.CANCELLED)
        assert noticed.wait(PATIENCE)


def test_a_job_that_is_cancelled_keeps_its_place_until_its_work_has_ended(queue: Queue) -> None:
    started, end = threading.Event(), threading.Event()
    second = threading.Event()

    def work(job: Job, handle: Handle) -> None:
        if job.key == "b":
            second.set()
            return
        started.set()
        until(handle.cancelled)
        assert end.wait(PATIENCE)
        assert handle.cancelled()
        raise CancelledError("it was cancelled")

    queue.put([wanted("a", "turn"), wanted("b", "turn", priority=0)])
    with working(queue, work):
        assert started.wait(PATIENCE)
        assert queue.cancel(queue.page(9).items[-1].id)
        assert not second.wait(1)  # a turn is one after the other, also then
        end.set()
        assert second.wait(PATIENCE)
        until(lambda: queue.page(9).items[0].state is JobState.DONE)
    assert queue.page(9).items[-1].state is JobState.CANCELLED


def test_a_worker_that_stops_puts_its_job_back(queue: Queue) -> None:
    started = threading.Event()

    def endless(job: Job, handle: Handle) -> None:
        started.set()
        until(handle.cancelled)
        raise CancelledError("the worker stops")

    queue.put([wanted("a")])
    with working(queue, endless):
        assert started.wait(PATIENCE)
    assert only(queue).state is JobState.QUEUED
    with working(queue, lambda job, handle: None):
        until(lambda: only(queue).state is JobState.DONE)


def test_jobs_that_ended_long_ago_are_pruned(queue: Queue) -> None:
    queue.put([wanted("done"), wanted("waits")])
    done = queue.page(9).items[-1]
    queue.cancel(done.id)
    assert queue.prune(datetime.now(UTC) - timedelta(hours=1)) == 0
    assert queue.prune(datetime.now(UTC) + timedelta(hours=1)) == 1
    assert [job.key for job in queue.page(9).items] == ["waits"]


def test_a_job_that_runs_is_not_queued_again(queue: Queue) -> None:
    started, finish = threading.Event(), threading.Event()

    def work(job: Job, handle: Handle) -> None:
        started.set()
        assert finish.wait(PATIENCE)

    queue.put([wanted("a")])
    with working(queue, work):
        assert started.wait(PATIENCE)
        assert queue.put([wanted("a")]) == 0
        assert queue.counts() == {JobState.RUNNING: 1}
        finish.set()
        until(lambda: only(queue).state is JobState.DONE)


def test_a_job_that_waits_for_its_next_try_can_be_cancelled(queue: Queue) -> None:
    tries: list[int] = []

    def work(job: Job, handle: Handle) -> None:
        tries.append(job.attempts)
        raise UnreachableError("the registry is down", where="registry", remedy="wait")

    queue.put([wanted("a")])
    with working(queue, work):
        until(lambda: only(queue).due_at is not None and only(queue).state is JobState.QUEUED)
        assert queue.cancel(only(queue).id)
        assert only(queue).state is JobState.CANCELLED
        assert queue.counts() == {}
        assert queue.put([wanted("a")]) == 1  # whoever wants it again gets another job
        until(lambda: len(tries) == 2)
    assert tries == [1, 1]


def test_a_job_that_is_cancelled_while_it_fails_stays_cancelled(queue: Queue) -> None:
    started = threading.Event()

    def work(job: Job, handle: Handle) -> None:
        started.set()
        until(handle.cancelled)
        raise CancelledError("it was cancelled")

    queue.put([wanted("a", "turn"), wanted("b", "turn", priority=0)])
    with working(queue, work):
        assert started.wait(PATIENCE)
        first = queue.page(9).items[-1]
        started.clear()
        assert queue.cancel(first.id)
        assert started.wait(PATIENCE)  # the next one of its turn
        found = queue.job(first.id)
        assert found is not None
        assert found.state is JobState.CANCELLED


def test_two_workers_do_every_job_once_and_no_turn_side_by_side(queue: Queue) -> None:
    lock = threading.Lock()
    done: list[str] = []
    inside: set[str] = set()
    clashes: list[str] = []

    def work(job: Job, handle: Handle) -> None:
        with lock:
            if job.turn in inside:
                clashes.append(job.key)
            inside.add(job.turn)
        time.sleep(0.002)
        with lock:
            inside.discard(job.turn)
            done.append(job.key)

    queue.put([wanted(f"{n}", f"turn {n % 7}") for n in range(60)])
    with working(queue, work, slots=2), working(queue, work, slots=2):
        until(lambda: len(done) >= 60 and not queue.counts())
    assert sorted(done, key=int) == [str(n) for n in range(60)]
    assert clashes == []


def test_thousands_of_jobs_wait_and_the_most_urgent_is_next(queue: Queue) -> None:
    jobs = [wanted(f"k{n}", priority=n % 3) for n in range(5000)]
    assert queue.put(jobs) == 5000
    assert queue.put(jobs) == 0
    assert queue.counts() == {JobState.QUEUED: 5000}
    assert queue.put([wanted("k4998", priority=Priority.ASKED)]) == 0
    done: list[str] = []
    finish = threading.Event()

    def work(job: Job, handle: Handle) -> None:
        done.append(job.key)
        finish.wait(PATIENCE)

    with working(queue, work):
        until(lambda: len(done) == 1)
        finish.set()
        until(lambda: len(done) > 20)
    assert done[:3] == ["k4998", "k2", "k5"]
    assert len(set(done)) == len(done)


def test_no_job_gets_the_number_of_one_that_was_pruned(queue: Queue) -> None:
    queue.put([wanted("a"), wanted("b")])
    last = queue.page(1).items[0]
    for job in queue.page(9).items:
        queue.cancel(job.id)
    queue.prune(datetime.now(UTC) + timedelta(hours=1))
    queue.put([wanted("c")])
    assert queue.page(1).items[0].key == "c"
    assert queue.page(1).items[0].id > last.id


def test_pruning_takes_nothing_of_jobs_that_wait(queue: Queue) -> None:
    def work(job: Job, handle: Handle) -> None:
        handle.progress({"layers": 2})
        raise UnreachableError("the registry is down", where="registry", remedy="wait")

    queue.put([wanted("a")])
    with working(queue, work):
        until(lambda: only(queue).due_at is not None and bool(only(queue).error))
    before = only(queue)
    assert queue.prune(datetime.now(UTC) + timedelta(days=9)) == 0
    assert only(queue).error == before.error
    assert only(queue).progress == before.progress == {"layers": 2}
