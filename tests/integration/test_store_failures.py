"""No room, no lock, no connection: nothing is half-written, whoever asks is told, and it goes on by
itself when the cause is gone."""

import os
import resource
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Engine, event, make_url
from tests.contract.index_examples import MONDAY, chains, contents, diff, image
from tests.contract.index_examples import event as reported
from tests.contract.test_queue import Now, until, wanted
from tests.integration.test_store_processes import in_child, sound, went_well
from tests.postgres import cluster, crash, fresh_database

from layerproof.engine.ports import Index
from layerproof.engine.queue import MOST_ATTEMPTS, Handle
from layerproof.errors import IndexUnavailableError
from layerproof.model.job import Job, JobState
from layerproof.store import postgresql
from layerproof.store.index import SqlIndex
from layerproof.store.postgresql import PostgresExecutor, engine_of
from layerproof.store.procrastinate_queue import ProcrastinateQueue
from layerproof.store.sqlite import SqliteExecutor, back_up
from layerproof.store.sqlite_index import open_sqlite

# --- SQLite: no room ---------------------------------------------------------------------------


def small(path: Path, pages: int) -> SqliteExecutor:
    """An index that may not become larger than so many pages."""
    executor = SqliteExecutor(path)
    connect = executor._connect

    def limited() -> sqlite3.Connection:
        connection = connect()
        connection.execute(f"PRAGMA max_page_count={pages}")
        return connection

    executor._connect = limited  # type: ignore[method-assign]  # because a full disk is hard to get
    return executor


def test_a_full_disk_is_told_and_what_was_put_before_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    open_sqlite(path).put_contents(contents(), None)
    index = SqlIndex(small(path, 115))
    with pytest.raises(IndexUnavailableError, match="disk is full") as caught:
        fill(index)
    put = sum(index.contents(diff(str(number))) is not None for number in range(500))
    assert 1 < put < 500
    assert "make room" in (caught.value.remedy or "")
    assert index.contents(diff("a")) == contents()
    assert index.contents(diff(str(put - 1))) is not None
    assert index.contents(diff(str(put))) is None
    index.close()
    assert sound(path)
    again = open_sqlite(path)  # there is room again
    again.put_contents(contents(diff_id=diff(str(put))), None)
    assert again.contents(diff(str(put))) is not None
    again.close()


def test_events_that_find_no_room_are_all_refused_and_count_nowhere(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    open_sqlite(path).put_image(image(), chains(image()), MONDAY)
    index = SqlIndex(small(path, 60))
    many = [reported(f"e{n}" * 100, repository=f"r{n}" * 50) for n in range(5000)]
    with pytest.raises(IndexUnavailableError, match="disk is full"):
        index.put_events(many)
    assert list(index.events()) == []
    assert index.accounts() == []
    assert index.put_events(many[:3]) == 3
    index.close()
    assert sound(path)


def fill(index: Index, first: int = 0) -> None:
    """Put layers until it fails."""
    for number in range(first, first + 500):
        row = contents(diff_id=diff(str(number)), entries=os.urandom(60_000))
        index.put_contents(row, None)


def test_a_file_that_may_not_grow_is_told_so(tmp_path: Path) -> None:
    """As by `ulimit -f`, or a quota: writes fail, the process lives."""
    path = tmp_path / "index.db"
    open_sqlite(path).put_contents(contents(), None)

    def work() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        size = path.stat().st_size + 200_000
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        index = open_sqlite(path)
        with pytest.raises(IndexUnavailableError) as caught:
            fill(index)
        assert caught.value.remedy
        assert index.contents(diff("a")) == contents()
        index.close()

    assert went_well(in_child(work))
    assert sound(path)
    index = open_sqlite(path)
    index.put_contents(contents(diff_id=diff("later")), None)
    assert index.contents(diff("later")) is not None
    index.close()


def test_a_backup_that_finds_no_room_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    index = open_sqlite(path)
    index.put_contents(contents(entries=os.urandom(900_000)), None)
    index.close()

    def work() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
        with pytest.raises(IndexUnavailableError, match="cannot be copied"):
            back_up(path, tmp_path / "copy.db")

    assert went_well(in_child(work))
    assert not list(tmp_path.glob("copy*"))
    assert sound(path)


# --- SQLite: somebody has the lock -------------------------------------------------------------


def test_a_writer_waits_for_another_process_and_gives_up_by_name(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    executor = SqliteExecutor(path, busy_seconds=0.1)
    index = SqlIndex(executor)
    index.put_cached("a", b"before")
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(IndexUnavailableError, match="locked for too long") as caught:
        index.put_cached("a", b"after")
    assert caught.value.remedy
    assert index.cached("a") == b"before"  # readers do not wait
    holder.close()
    index.put_cached("a", b"after")
    assert index.cached("a") == b"after"
    index.close()


def test_a_writer_that_need_not_wait_for_long_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    index = open_sqlite(path)
    index.put_cached("a", b"before")
    holder = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN IMMEDIATE")
    threading.Timer(0.2, lambda: holder.execute("ROLLBACK")).start()
    index.put_cached("a", b"after")
    assert index.cached("a") == b"after"
    holder.close()
    index.close()


# --- PostgreSQL --------------------------------------------------------------------------------


@pytest.fixture
def engine() -> Iterator[Engine]:
    made = engine_of(fresh_database())
    yield made
    made.dispose()


def end_backends(engine: Engine) -> None:
    """As an administrator does, or a network that breaks."""
    where = f"postgresql://layerproof@/postgres?host={cluster()}"
    with psycopg.connect(where, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
            [engine.url.database],
        )


def test_a_connection_that_is_lost_in_the_middle_leaves_nothing_half_written(
    engine: Engine,
) -> None:
    index = SqlIndex(PostgresExecutor(engine))
    of = image("ab")
    index.put_contents(contents(), None)
    ended = []

    def cut(_c: object, _cursor: object, statement: str, *_: object) -> None:
        if "INSERT INTO image_top" in statement and not ended:
            ended.append(statement)
            end_backends(engine)

    event.listen(engine, "before_cursor_execute", cut)
    before = index.state()
    with pytest.raises(IndexUnavailableError) as caught:
        index.put_image(of, chains(of), MONDAY)
    assert ended
    assert caught.value.remedy
    assert index.state() == before  # and it goes on by itself
    assert list(index.images()) == []
    assert index.chains([of.layers[0].chain_id]) == [None]
    index.put_image(of, chains(of), MONDAY)
    assert index.image_by_config(of.config_digest) is not None


def test_a_writer_whose_machine_is_gone_does_not_keep_the_others_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = str(postgresql._LIMITS["options"])
    soon = options.replace("session_timeout=300000", "session_timeout=500")
    assert soon != options
    monkeypatch.setattr(postgresql, "_LIMITS", {**postgresql._LIMITS, "options": soon})
    url = fresh_database()
    silent, other = PostgresExecutor(engine_of(url)), SqlIndex(PostgresExecutor(engine_of(url)))
    writing, written = threading.Event(), threading.Event()

    def write_slowly() -> None:
        with silent.write() as session:
            writing.set()
            assert written.wait(30), "the other one waits for ever"
            session.run("put_cached", key="a", value=b"silent")

    def say_nothing() -> None:
        with pytest.raises(IndexUnavailableError):
            write_slowly()

    thread = threading.Thread(target=say_nothing)
    thread.start()
    assert writing.wait(30)
    other.put_cached("a", b"other")
    written.set()
    thread.join()
    assert other.cached("a") == b"other"
    silent.close()
    other.close()


def test_what_an_operator_says_about_connections_in_the_url_stays() -> None:
    url = make_url("postgresql://a@b/c?options=-c%20geqo=off&keepalives_idle=7")
    found = postgresql.limits(url)
    assert "options" not in found
    assert "keepalives_idle" not in found
    assert found["keepalives_count"] == 3


def test_idle_connections_that_were_lost_are_not_noticed(engine: Engine) -> None:
    index = SqlIndex(PostgresExecutor(engine))
    index.put_cached("a", b"b")
    end_backends(engine)
    assert index.cached("a") == b"b"
    end_backends(engine)
    index.put_cached("a", b"c")
    assert index.cached("a") == b"c"


# SQLAlchemy does not close the cursor of a connection that is gone.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_listing_whose_connection_is_lost_is_told(engine: Engine) -> None:
    index = SqlIndex(PostgresExecutor(engine))
    index.put_events([reported(f"e{n}") for n in range(1000)])
    listed = index.events()
    next(listed)
    end_backends(engine)
    with pytest.raises(IndexUnavailableError):
        list(listed)
    assert len(list(index.events())) == 1000


def test_the_right_to_read_a_layer_ends_with_a_lost_connection(engine: Engine) -> None:
    index = SqlIndex(PostgresExecutor(engine))
    with index.claim(diff("a")):
        end_backends(engine)
        with index.claim(diff("a")):  # nobody waits for ever
            pass
    with index.claim(diff("a")):
        pass


def test_a_server_that_crashes_and_starts_again_loses_nothing_that_was_told(
    engine: Engine,
) -> None:
    index = SqlIndex(PostgresExecutor(engine))
    index.put_events([reported("before")])

    def interrupted() -> None:
        with PostgresExecutor(engine).write() as session:
            session.run("put_cached", key="half", value=b"written")
            crash(cluster())

    with pytest.raises(IndexUnavailableError):
        interrupted()
    assert index.cached("half") is None
    assert [item.identity for item in index.events()] == ["before"]
    index.put_events([reported("after")])
    assert len(list(index.events())) == 2


def test_a_server_that_is_not_there_is_told_without_the_password() -> None:
    index = SqlIndex(
        PostgresExecutor(engine_of("postgresql://u:hunter2@/x?host=/nonexistent&connect_timeout=1"))
    )
    with pytest.raises(IndexUnavailableError) as caught:
        index.cached("a")
    assert "hunter2" not in str(caught.value) + repr(caught.value)
    assert caught.value.remedy


def working(queue: ProcrastinateQueue, work: Callable[[Job, Handle], None]) -> Callable[[], None]:
    """Start a worker as the service does: one that ends is started again. Returns its end."""
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            try:
                queue.run(work, slots=1, stop=stop)
            except IndexUnavailableError:
                time.sleep(0.1)

    thread = threading.Thread(target=run)
    thread.start()

    def end() -> None:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()

    return end


def test_jobs_are_done_after_the_workers_connections_were_lost(engine: Engine) -> None:
    queue = ProcrastinateQueue(engine, PostgresExecutor(engine), Now())
    done: list[str] = []
    end = working(queue, lambda job, handle: done.append(job.key))
    try:
        queue.put([wanted("a")])
        until(lambda: done == ["a"])
        end_backends(engine)
        put_when_it_is_back(queue, "b")
        until(lambda: "b" in done)
        until(lambda: all(job.state is JobState.DONE for job in queue.page(9).items))
    finally:
        end()
        queue.close()


def test_a_job_whose_end_could_not_be_written_down_does_not_run_for_ever(engine: Engine) -> None:
    """Its worker lives and says so; only the word that the job is done was lost."""
    queue = ProcrastinateQueue(engine, PostgresExecutor(engine), Now())
    done: list[str] = []

    def work(job: Job, _: Handle) -> None:
        done.append(job.key)
        if done == ["a"]:
            end_backends(engine)

    end = working(queue, work)
    try:
        queue.put([wanted("a")])
        until(lambda: bool(done))
        until(lambda: all(job.state is JobState.DONE for job in retried(queue)))
    finally:
        end()
        queue.close()
    assert set(done) == {"a"}


@pytest.mark.parametrize(
    ("tries", "state"), [(MOST_ATTEMPTS - 1, JobState.FAILED), (MOST_ATTEMPTS - 2, JobState.DONE)]
)
def test_a_job_that_kills_every_worker_is_given_up(
    engine: Engine, tries: int, state: JobState
) -> None:
    queue = ProcrastinateQueue(engine, PostgresExecutor(engine), Now())
    queue.put([wanted("a")])
    with engine.begin() as connection:
        dead = connection.exec_driver_sql(
            "INSERT INTO procrastinate_workers (last_heartbeat)"
            " VALUES (now() - interval '1 hour') RETURNING id"
        ).scalar_one()
        connection.exec_driver_sql(
            "UPDATE procrastinate_jobs SET status = 'doing', attempts = %s, worker_id = %s",
            (tries, dead),
        )
    end = working(queue, lambda job, handle: None)
    try:
        until(lambda: queue.page(9).items[0].state in (JobState.FAILED, JobState.DONE))
    finally:
        end()
    (job,) = queue.page(9).items
    queue.close()
    assert job.state is state
    assert (job.error.get("code") == "given-up") is (state is JobState.FAILED)


def retried(queue: ProcrastinateQueue) -> Sequence[Job]:
    """Its jobs, though its connections were lost, too."""
    with suppress(IndexUnavailableError):
        return queue.page(9).items
    return queue.page(9).items


def put_when_it_is_back(queue: ProcrastinateQueue, key: str) -> None:
    def put() -> bool:
        try:
            queue.put([wanted(key)])
        except IndexUnavailableError:
            return False
        return True

    until(put)
