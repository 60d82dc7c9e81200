"""The queue in a table of the index, for workers on one machine: `layerproof.engine.queue.Queue`.

1. Whoever takes a job writes its own name into the row, in a transaction that no other writer runs
   beside: nobody else takes it.
2. A worker says every few seconds that it lives. A job whose worker has not, or whose process is
   gone from this machine, waits again.
3. Threads look for work when somebody in this process queues some, and every half second.
"""

import logging
import os
import secrets
import socket
import threading
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from threading import Event as Signal

from layerproof.engine.ports import Clock
from layerproof.engine.queue import (
    ALIVE,
    MOST_ATTEMPTS,
    STALLED,
    CancelledError,
    GivenUpError,
    Work,
    next_try,
)
from layerproof.errors import IndexUnavailableError, LayerproofError
from layerproof.model.job import Job, JobState, Wanted
from layerproof.model.page import Cursor, Page
from layerproof.store import job_rows
from layerproof.store.executor import Executor

_log = logging.getLogger(__name__)
LOOK_SECONDS = 0.5
_REPORT_SECONDS = 1.0  # between two writes of a job's progress


class SqlQueue:
    """Jobs in the table `job`."""

    def __init__(self, executor: Executor, clock: Clock) -> None:
        self._executor = executor
        self._clock = clock
        self._more = threading.Condition()

    def put(self, wanted: Sequence[Wanted]) -> int:
        """Queue those whose key neither waits nor runs."""
        if not wanted:
            return 0
        count = job_rows.put(self._executor, wanted, self._clock.now())
        with self._more:
            self._more.notify_all()
        return count

    def job(self, identity: int) -> Job | None:
        """One job."""
        with self._executor.read() as session:
            return job_rows.read(session, identity)

    def page(self, limit: int, after: Cursor | None = None, state: str = "") -> Page[Job]:
        """Some of them, the last one queued first."""
        with self._executor.read() as session:
            return job_rows.page(session, limit, after, state)

    def counts(self) -> Mapping[JobState, int]:
        """How many wait, and how many run."""
        with self._executor.read() as session:
            return job_rows.counts(session)

    def cancel(self, identity: int) -> bool:
        """Cancel a job that has not ended; its worker notices."""
        now = self._clock.now()
        with self._executor.write() as session:
            job = job_rows.read(session, identity)
            if job is None or job.state not in (JobState.QUEUED, JobState.RUNNING):
                return False
            ended = replace(job, state=JobState.CANCELLED, ended_at=now)
            return job_rows.change(session, ended, job, now)

    def prune(self, before: datetime) -> int:
        """Delete jobs that ended before."""
        return job_rows.prune(self._executor, before)

    def run(self, work: Work, *, slots: int, stop: Signal) -> None:
        """Do jobs until `stop` is set."""
        ended = Signal()  # of this run: its threads go with it, however it ends
        worker = _Worker(self._executor, self._clock, work, ended)
        worker.recover()
        threads = [
            threading.Thread(target=self._slot, args=(worker, ended), name=f"job-{n}", daemon=True)
            for n in range(slots)
        ]
        for thread in threads:
            thread.start()
        try:
            while not stop.wait(ALIVE.total_seconds()):
                worker.say_alive()
                worker.recover()
        finally:
            ended.set()
            with self._more:
                self._more.notify_all()
            for thread in threads:
                thread.join()

    def close(self) -> None:
        """Close connections."""
        self._executor.close()

    def _slot(self, worker: "_Worker", stop: Signal) -> None:
        while not stop.is_set():
            busy = False
            try:
                busy = worker.once()
            except IndexUnavailableError:
                pass  # a disk that is full now has room later
            except Exception:  # noqa: BLE001  because else a slot would be gone, and nobody knew
                _log.exception("a slot for jobs failed, and goes on")
            if not busy and not stop.is_set():
                with self._more:
                    self._more.wait(LOOK_SECONDS)


class _Worker:
    """One process that does jobs."""

    def __init__(self, executor: Executor, clock: Clock, work: Work, stop: Signal) -> None:
        self._executor = executor
        self._clock = clock
        self._work = work
        self._stop = stop
        # The last part, because a container that starts again has its name and number again.
        self.name = f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(4)}"
        self._running: dict[int, _Running] = {}
        _HERE.add(self)

    def once(self) -> bool:
        """Do one job, if there is one."""
        job = job_rows.take(self._executor, self.name, self._clock.now())
        if job is None:
            return False
        running = _Running(job, self._executor, self._clock, self._stop)
        self._running[job.id] = running
        try:
            self._finish(running, self._outcome(job, running))
        finally:
            del self._running[job.id]
        return True

    def _outcome(self, job: Job, running: "_Running") -> LayerproofError | None:
        try:
            self._work(job, running)
        except LayerproofError as error:
            return error
        except Exception as error:  # noqa: BLE001  because a defect must not end the worker
            return LayerproofError(f"a defect: {type(error).__name__}: {error}"[:500])
        return None

    def _finish(self, running: "_Running", error: LayerproofError | None) -> None:
        job, now = running.job, self._clock.now()
        if isinstance(error, CancelledError):
            if running.withdrawn:
                return  # whoever cancelled it wrote so
            # the worker is to stop: that was no try
            again = replace(job, state=JobState.QUEUED, attempts=job.attempts - 1, worker="")
        elif error is None:
            again = replace(job, state=JobState.DONE, ended_at=now, due_at=None)
        else:
            due = next_try(error, job.attempts, now)
            again = replace(
                job,
                state=JobState.FAILED if due is None else JobState.QUEUED,
                ended_at=now if due is None else None,
                due_at=due,
                worker="" if due else job.worker,
            )
        running.report(error)
        with self._executor.write() as session:
            job_rows.change(session, again, job, now)

    def say_alive(self) -> None:
        """For all that runs here; what was cancelled is told so."""
        with suppress(IndexUnavailableError):
            jobs = [item.job for item in list(self._running.values())]
            gone = job_rows.alive(self._executor, jobs, self._clock.now())
            for identity in gone:
                running = self._running.get(identity)
                if running is not None:
                    running.withdrawn = True

    def recover(self) -> None:
        """Jobs whose workers are gone wait again."""
        now = self._clock.now()
        given_up: list[Job] = []
        with suppress(IndexUnavailableError), self._executor.write() as session:
            silent = {job.id for job in job_rows.stalled(session, now - STALLED)}
            for job in job_rows.stalled(session, now + timedelta(days=1)):
                if job.id in self._running:
                    continue
                if job.id in silent or _is_gone(job.worker):
                    after = _abandoned(job, now)
                    job_rows.change(session, after, job, now)
                    if after.state is JobState.FAILED:
                        given_up.append(job)
            for job in given_up:
                said = error_document(GivenUpError())
                job_rows.put_report(session, job.id, job.progress, said, now)


_HERE: "weakref.WeakSet[_Worker]" = weakref.WeakSet()  # the workers of this process


def _is_gone(worker: str) -> bool:
    """Whether a worker of this machine lives no more. Of other machines nobody here knows."""
    host, _, rest = worker.rpartition("/")[0].rpartition("/")
    if host != socket.gethostname() or not rest.isdecimal():
        return False
    pid = int(rest)
    if pid == os.getpid():
        return worker not in {here.name for here in _HERE}
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False


class _Running:
    """A job that runs here: `layerproof.engine.queue.Handle`."""

    def __init__(self, job: Job, executor: Executor, clock: Clock, stop: Signal) -> None:
        self.job = job
        self.withdrawn = False
        self._executor = executor
        self._clock = clock
        self._stop = stop
        self._progress: Mapping[str, object] = {}
        self._looked = self._reported = clock.monotonic()

    def progress(self, document: Mapping[str, object]) -> None:
        """Kept, and written down now and then."""
        self._progress = document
        if self._clock.monotonic() - self._reported >= _REPORT_SECONDS:
            self._reported = self._clock.monotonic()
            with suppress(IndexUnavailableError):
                self.report(None)

    def report(self, error: LayerproofError | None) -> None:
        """Write down how far it is, and what went wrong."""
        said = {} if error is None else error_document(error)
        job_rows.report(self._executor, self.job.id, self._progress, said, self._clock.now())

    def cancelled(self) -> bool:
        """Looks into the index about once a second."""
        if self._clock.monotonic() - self._looked >= 1:
            self._looked = self._clock.monotonic()
            with suppress(IndexUnavailableError), self._executor.read() as session:
                now = job_rows.read(session, self.job.id)
                self.withdrawn = (
                    now is None
                    or now.state is not JobState.RUNNING
                    or now.attempts != self.job.attempts  # another worker does it by now
                )
        return self.withdrawn or self._stop.is_set()


def _abandoned(job: Job, now: datetime) -> Job:
    """A job whose worker died: it waits again, unless every try ended so."""
    if job.attempts >= MOST_ATTEMPTS:
        return replace(job, state=JobState.FAILED, ended_at=now)
    return replace(job, state=JobState.QUEUED, worker="")


def error_document(error: LayerproofError) -> dict[str, object]:
    """What is kept of a job's error."""
    return {
        "code": error.code,
        "message": error.message,
        "where": error.where,
        "remedy": error.remedy,
    }
