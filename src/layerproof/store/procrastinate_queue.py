"""The queue on PostgreSQL, for workers on any number of machines: `layerproof.engine.queue.Queue`
by procrastinate (docs/adr/0015).

1. A job's key is procrastinate's queueing lock, its turn the lock. All jobs are of one task, whose
   arguments say which work it is.
2. Whether and when to try again is decided by `engine.queue.next_try`, as on SQLite.
3. A worker that says nothing for half a minute is gone; any other worker then puts its jobs back.
   A worker itself puts back what it is said to do and does not: where a connection was lost just
   when a job was fetched, or its end was to be written down. That job then runs once more.
4. procrastinate's tables are made, and brought to the installed version by its own migrations, at
   the first use. The index remembers the last one that was applied.
"""

import asyncio
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from threading import Event as Signal
from typing import Any

import procrastinate
from procrastinate.exceptions import AlreadyEnqueued, ConnectorException, JobAborted
from procrastinate.jobs import Job as TheirJob
from procrastinate.jobs import Status
from procrastinate.retry import BaseRetryStrategy, RetryDecision
from procrastinate.schema import SchemaManager
from procrastinate.worker import Worker
from psycopg.conninfo import make_conninfo
from sqlalchemy import URL, Connection, Engine, inspect, text
from sqlalchemy.exc import SQLAlchemyError

from layerproof.engine.ports import Clock
from layerproof.engine.queue import (
    MOST_ATTEMPTS,
    STALLED,
    CancelledError,
    GivenUpError,
    Work,
    next_try,
)
from layerproof.errors import IndexUnavailableError, LayerproofError
from layerproof.model.job import Job, JobState, Wanted
from layerproof.model.page import NEWEST, Cursor, Page
from layerproof.store import job_rows
from layerproof.store.alchemy import opened
from layerproof.store.executor import Executor, chunks
from layerproof.store.postgresql import limits
from layerproof.store.sql_queue import error_document

TASK = "layerproof.job"
_QUEUE = "layerproof"
_APPLIED = "procrastinate migration"  # key in `cached`
_MIGRATING = 0x4C507268  # advisory lock
_RECOVER_SECONDS = 5.0
_LOOK_SECONDS = 2.0  # when a notification got lost
_REPORT_SECONDS = 1.0
_STATES = {
    "todo": JobState.QUEUED,
    "doing": JobState.RUNNING,
    "succeeded": JobState.DONE,
    "failed": JobState.FAILED,
    "cancelled": JobState.CANCELLED,
    "aborting": JobState.RUNNING,
    "aborted": JobState.CANCELLED,
}
_JOBS = """
    SELECT j.id, j.queueing_lock, j.lock, j.args, j.priority, j.status::text, j.attempts,
        j.scheduled_at, e.queued_at, e.started_at, e.ended_at, coalesce(j.worker_id::text, '')
    FROM procrastinate_jobs j LEFT JOIN LATERAL (
        SELECT min(at) AS queued_at,
            max(at) FILTER (WHERE type = 'started') AS started_at,
            max(at) FILTER (WHERE type IN ('succeeded', 'failed', 'cancelled', 'aborted'))
                AS ended_at
        FROM procrastinate_events WHERE job_id = j.id
    ) e ON true
"""


class ProcrastinateQueue:
    """Jobs in procrastinate's tables, in the index's database."""

    def __init__(self, engine: Engine, executor: Executor, clock: Clock) -> None:
        self._engine = engine
        self._executor = executor
        self._clock = clock
        self._lock = threading.Lock()
        self._deferring: procrastinate.App | None = None

    def put(self, wanted: Sequence[Wanted]) -> int:
        """Queue those whose key neither waits nor runs."""
        if not wanted:
            return 0
        unique = {item.key: item for item in wanted}
        with self._translated():
            app = self._open()
            with opened(self._engine) as connection, connection.begin():
                waiting = _waiting(connection, list(unique))
                _hurry(connection, [unique[key] for key in waiting])
            new = [item for key, item in unique.items() if key not in waiting]
            return sum(_deferred(app, some) for some in chunks(new))

    def job(self, identity: int) -> Job | None:
        """One job."""
        found = self._jobs(f"{_JOBS} WHERE j.id = :id", {"id": identity})
        return found[0] if found else None

    def page(self, limit: int, after: Cursor | None = None, state: str = "") -> Page[Job]:
        """Some of them, the last one queued first."""
        theirs = [name for name, ours in _STATES.items() if state in ("", str(ours))]
        found = self._jobs(
            f"{_JOBS} WHERE j.id < :before AND j.status::text = ANY(:states)"
            " ORDER BY j.id DESC LIMIT :limit",
            {"before": (after or NEWEST).key, "states": theirs, "limit": limit + 1},
        )
        return Page.of([(job, Cursor(0, job.id)) for job in found], limit)

    def counts(self) -> Mapping[JobState, int]:
        """How many wait, and how many run."""
        with self._translated():
            self._open()
            with opened(self._engine) as connection:
                rows = connection.execute(
                    text(
                        "SELECT status::text, count(*) FROM procrastinate_jobs"
                        " WHERE status IN ('todo', 'doing') GROUP BY status"
                    )
                )
                return {_STATES[status]: count for status, count in rows}

    def cancel(self, identity: int) -> bool:
        """Cancel a job that has not ended; the worker of one that runs is asked to stop it."""
        with self._translated():
            return self._open().job_manager.cancel_job_by_id(identity, abort=True)

    def prune(self, before: datetime) -> int:
        """Delete jobs that ended before."""
        with self._translated():
            self._open()
            with opened(self._engine) as connection, connection.begin():
                rows = connection.execute(
                    text(
                        "DELETE FROM procrastinate_jobs j WHERE j.status NOT IN ('todo', 'doing')"
                        " AND NOT EXISTS (SELECT 1 FROM procrastinate_events e"
                        " WHERE e.job_id = j.id AND e.at >= :before) RETURNING j.id"
                    ),
                    {"before": before},
                )
                gone = [key for (key,) in rows]
        with self._executor.write() as session:
            job_rows.drop_reports(session, gone)
        return len(gone)

    def run(self, work: Work, *, slots: int, stop: Signal) -> None:
        """Do jobs until `stop` is set."""
        with self._translated():
            self._open()
            asyncio.run(_Worker(self, work, slots, stop).run())

    def close(self) -> None:
        """Close connections."""
        with self._lock:
            app, self._deferring = self._deferring, None
        if app is not None:
            app.close()
        self._executor.close()

    # --- for the worker ---

    @property
    def url(self) -> str:
        """As libpq takes it."""
        return _libpq(self._engine.url)

    @property
    def clock(self) -> Clock:
        """The time that jobs are tried again by."""
        return self._clock

    def report(
        self, identity: int, progress: Mapping[str, object], error: LayerproofError | None
    ) -> None:
        """Write down what a worker says."""
        said = {} if error is None else error_document(error)
        job_rows.report(self._executor, identity, progress, said, self._clock.now())

    # --- inside ---

    def _open(self) -> procrastinate.App:
        """The application that defers jobs; its tables are seen to first."""
        with self._lock:
            if self._deferring is None:
                with self._executor.read():
                    pass  # the index's own tables come first
                prepare(self._engine)
                connector = procrastinate.SyncPsycopgConnector(conninfo=self.url, max_size=4)
                app = procrastinate.App(connector=connector)
                app.open()
                self._deferring = app
            return self._deferring

    def _jobs(self, query: str, parameters: Mapping[str, object]) -> list[Job]:
        with self._translated():
            self._open()
            with opened(self._engine) as connection:
                rows = connection.execute(text(query), parameters).fetchall()
        with self._executor.read() as session:
            said = job_rows.reports(session, [row[0] for row in rows])
        return [_job(tuple(row), *said.get(row[0], ({}, {}))) for row in rows]

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, ConnectorException) as error:
            cause = getattr(error, "orig", None) or error.__cause__ or error
            raise IndexUnavailableError(
                f"the queue failed: {str(cause).partition(chr(10))[0]}",
                where=self._engine.url.render_as_string(hide_password=True),
                remedy="check that the database is there, reachable and has room",
            ) from error


class _Worker:
    """One process that does jobs, on an event loop of its own; the work itself runs on threads."""

    def __init__(self, queue: ProcrastinateQueue, work: Work, slots: int, stop: Signal) -> None:
        self._queue = queue
        self._work = work
        self._slots = slots
        self._stop = stop
        self._threads = ThreadPoolExecutor(slots, "job")
        self._doing: set[int] = set()

    async def run(self) -> None:
        connector = procrastinate.PsycopgConnector(conninfo=self._queue.url, max_size=4)
        app = procrastinate.App(connector=connector)
        app.task(name=TASK, queue=_QUEUE, pass_context=True, retry=_Retry(self._queue.clock))(
            self._do
        )
        async with app.open_async():
            worker = Worker(
                app,
                queues=[_QUEUE],
                concurrency=self._slots,
                install_signal_handlers=False,
                fetch_job_polling_interval=_LOOK_SECONDS,
                abort_job_polling_interval=_LOOK_SECONDS,
                stalled_worker_timeout=STALLED.total_seconds(),
            )
            working = asyncio.ensure_future(worker.run())  # type: ignore[no-untyped-call]  # it has no types
            recovering = asyncio.ensure_future(self._recover(app, worker))
            try:
                await self._until_stopped(working)
            finally:
                recovering.cancel()
                working.cancel()
                with suppress(asyncio.CancelledError):
                    await working
                self._threads.shutdown()

    async def _until_stopped(self, working: "asyncio.Future[None]") -> None:
        while not self._stop.is_set():
            done, _ = await asyncio.wait([working], timeout=0.2)
            if done:
                working.result()
                return

    async def _recover(self, app: procrastinate.App, worker: Worker) -> None:
        """Jobs whose workers are gone wait again, and those that this one is said to do and did not
        do at two looks: between fetching a job and beginning it, and between its end and the word
        of that, there is a moment."""
        before: set[int] = set()
        while True:
            with suppress(ConnectorException, IndexUnavailableError):
                stalled = await app.job_manager.get_stalled_jobs(
                    seconds_since_heartbeat=STALLED.total_seconds()
                )
                claimed = await self._claimed(app, worker)
                for job in [*stalled, *(j for number, j in claimed.items() if number in before)]:
                    await self._again(app, job)
                before = set(claimed)
            await asyncio.sleep(_RECOVER_SECONDS)

    async def _again(self, app: procrastinate.App, job: TheirJob) -> None:
        """The job waits again, unless every try ended so: it may be what ends its workers."""
        if job.attempts + 1 < MOST_ATTEMPTS:
            await app.job_manager.retry_job(job)
            return
        assert job.id is not None
        await asyncio.to_thread(self._queue.report, job.id, {}, GivenUpError())
        await app.job_manager.finish_job(job, Status.FAILED, delete_job=False)

    async def _claimed(self, app: procrastinate.App, worker: Worker) -> dict[int, TheirJob]:
        """What the database says that this worker does, and it does not, by number."""
        if worker.worker_id is None:  # it is not known to the database yet
            return {}
        found = await app.job_manager.list_jobs_async(
            queue=_QUEUE, status="doing", worker_id=worker.worker_id
        )
        return {job.id: job for job in found if job.id is not None and job.id not in self._doing}

    async def _do(self, context: procrastinate.JobContext, /, **arguments: Any) -> None:
        number = context.job.id
        assert number is not None
        self._doing.add(number)
        try:
            loop = asyncio.get_running_loop()
            await _to_the_end(loop.run_in_executor(self._threads, self._one, context, arguments))
        finally:
            self._doing.discard(number)

    def _one(self, context: procrastinate.JobContext, arguments: Mapping[str, Any]) -> None:
        job = _running(context.job, arguments)
        handle = _Running(job, context, self._queue, self._stop)
        error: LayerproofError | None = None
        try:
            self._work(job, handle)
        except CancelledError as cancelled:
            if context.should_abort():
                raise JobAborted from cancelled
            raise  # the worker is to stop: the job waits again
        except LayerproofError as failed:
            error = failed
            raise
        except Exception as defect:  # because a defect must not end the worker
            error = LayerproofError(f"a defect: {type(defect).__name__}: {defect}"[:500])
            raise error from defect
        finally:
            handle.report(error)


async def _to_the_end(work: "asyncio.Future[None]") -> None:
    """Wait for a thread, even where procrastinate cancels the waiting because somebody cancelled
    the job: the thread asks for that itself, and a job has not ended while it goes on."""
    while True:
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            if work.done():
                raise


class _Running:
    """A job that runs here: `layerproof.engine.queue.Handle`."""

    def __init__(
        self,
        job: Job,
        context: procrastinate.JobContext,
        queue: ProcrastinateQueue,
        stop: Signal,
    ) -> None:
        self._job = job
        self._context = context
        self._queue = queue
        self._stop = stop
        self._progress: Mapping[str, object] = {}
        self._reported = queue.clock.monotonic()

    def progress(self, document: Mapping[str, object]) -> None:
        """Kept, and written down now and then."""
        self._progress = document
        now = self._queue.clock.monotonic()
        if now - self._reported >= _REPORT_SECONDS:
            self._reported = now
            self.report(None)

    def report(self, error: LayerproofError | None) -> None:
        """Write it down; where that fails, the work goes on."""
        with suppress(IndexUnavailableError):
            self._queue.report(self._job.id, self._progress, error)

    def cancelled(self) -> bool:
        """procrastinate looks for us."""
        return self._stop.is_set() or self._context.should_abort()


class _Retry(BaseRetryStrategy):
    """`engine.queue.next_try`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def get_retry_decision(
        self, *, exception: BaseException, job: TheirJob
    ) -> RetryDecision | None:
        if isinstance(exception, CancelledError):
            return RetryDecision(retry_in={"seconds": 0})
        if not isinstance(exception, LayerproofError):
            return None
        due = next_try(exception, job.attempts + 1, self._clock.now())
        return None if due is None else RetryDecision(retry_at=due)


def prepare(engine: Engine) -> None:
    """Make procrastinate's tables, or bring them to the installed version."""
    newest = _migrations()[-1].name
    with opened(engine) as connection:
        if _applied(connection) == newest:
            return
    with engine.begin() as connection:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATING})")
        done = _applied(connection)  # again: another machine may have been faster
        if done == newest:
            return
        if not inspect(connection).has_table("procrastinate_jobs"):
            _execute(connection, SchemaManager.get_schema())
        else:
            for file in _migrations():
                if file.name > done:
                    _execute(connection, file.read_text())
        connection.execute(
            text(
                "INSERT INTO cached (key, value) VALUES (:key, :value)"
                " ON CONFLICT (key) DO UPDATE SET value = excluded.value"
            ),
            {"key": _APPLIED, "value": newest.encode()},
        )


def _migrations() -> list[Path]:
    return sorted(Path(SchemaManager.get_migrations_path()).glob("*.sql"))


def _applied(connection: Connection) -> str:
    row = connection.execute(
        text("SELECT value FROM cached WHERE key = :key"), {"key": _APPLIED}
    ).fetchone()
    return "" if row is None else bytes(row[0]).decode()


def _execute(connection: Connection, script: str) -> None:
    """Several statements at once, without parameters: the driver takes them as they are."""
    cursor = connection.connection.cursor()
    try:
        cursor.execute(script)
    finally:
        cursor.close()


def _waiting(connection: Connection, keys: Sequence[str]) -> set[str]:
    rows = connection.execute(
        text(
            "SELECT queueing_lock FROM procrastinate_jobs"
            " WHERE queueing_lock = ANY(:keys) AND status IN ('todo', 'doing')"
        ),
        {"keys": list(keys)},
    )
    return {key for (key,) in rows}


def _hurry(connection: Connection, wanted: Sequence[Wanted]) -> None:
    for item in wanted:
        connection.execute(
            text(
                "UPDATE procrastinate_jobs SET priority = :priority"
                " WHERE queueing_lock = :key AND status = 'todo' AND priority < :priority"
            ),
            {"key": item.key, "priority": item.priority},
        )


def _deferred(app: procrastinate.App, wanted: Sequence[Wanted]) -> int:
    """How many of them were queued: all in one go, unless somebody else queues the same ones."""
    jobs = [_new_job(app, item) for item in wanted]
    try:
        return len(app.job_manager.batch_defer_jobs(jobs))
    except AlreadyEnqueued:
        if len(jobs) == 1:
            return 0
        half = len(wanted) // 2
        return _deferred(app, wanted[:half]) + _deferred(app, wanted[half:])


def _new_job(app: procrastinate.App, wanted: Wanted) -> TheirJob:
    deferrer = app.configure_task(
        TASK,
        queue=_QUEUE,
        lock=wanted.turn,
        queueing_lock=wanted.key,
        priority=wanted.priority,
        allow_unknown=True,
    )
    return deferrer.make_new_job(kind=wanted.kind, arguments=dict(wanted.arguments))


def _running(theirs: TheirJob, arguments: Mapping[str, Any]) -> Job:
    now = datetime.now().astimezone()
    return Job(
        id=theirs.id or 0,
        key=theirs.queueing_lock or "",
        turn=theirs.lock or "",
        kind=str(arguments.get("kind", "")),
        arguments=arguments.get("arguments", {}),
        priority=theirs.priority,
        state=JobState.RUNNING,
        attempts=theirs.attempts + 1,
        queued_at=now,
        started_at=now,
    )


def _job(row: Sequence[Any], progress: Mapping[str, object], error: Mapping[str, object]) -> Job:
    identity, key, turn, arguments, priority, status, attempts, *rest = row
    scheduled_at, queued_at, started_at, ended_at, worker = rest
    said = arguments if isinstance(arguments, dict) else json.loads(arguments)
    state = _STATES[status]
    return Job(
        id=identity,
        key=key or "",
        turn=turn or "",
        kind=str(said.get("kind", "")),
        arguments=said.get("arguments", {}),
        priority=priority,
        state=state,
        attempts=attempts + (state is JobState.RUNNING),
        queued_at=queued_at,
        due_at=scheduled_at,
        started_at=started_at,
        ended_at=None if state in (JobState.QUEUED, JobState.RUNNING) else ended_at,
        worker=worker,
        progress=progress,
        error=error,
    )


def _libpq(url: URL) -> str:
    """The URL as libpq takes it."""
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    return make_conninfo(plain, **limits(url))
