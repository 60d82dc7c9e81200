"""The queue in memory, for tests: held to the same contract suite as the real ones. Jobs do not
outlive the process."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import count
from threading import Event as Signal

from layerproof.engine.ports import Clock
from layerproof.engine.queue import CancelledError, Work, next_try
from layerproof.errors import LayerproofError
from layerproof.model.job import Job, JobState, Wanted
from layerproof.model.page import NEWEST, Cursor, Page

_ALIVE = (JobState.QUEUED, JobState.RUNNING)


@dataclass
class MemoryQueue:
    """`layerproof.engine.queue.Queue` on a dictionary."""

    clock: Clock
    _jobs: dict[int, Job] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def put(self, wanted: Sequence[Wanted]) -> int:
        """Queue those whose key neither waits nor runs."""
        with self._lock:
            return sum(self._put(item) for item in wanted)

    def _put(self, wanted: Wanted) -> int:
        for job in self._jobs.values():
            if job.key == wanted.key and job.state in _ALIVE:
                if job.state is JobState.QUEUED:
                    priority = max(job.priority, wanted.priority)
                    self._jobs[job.id] = replace(job, priority=priority)
                return 0
        identity = next(self._numbers)
        self._jobs[identity] = Job(
            identity,
            wanted.key,
            wanted.turn,
            wanted.kind,
            wanted.arguments,
            wanted.priority,
            JobState.QUEUED,
            0,
            self.clock.now(),
        )
        return 1

    def job(self, identity: int) -> Job | None:
        """One job."""
        return self._jobs.get(identity)

    def page(self, limit: int, after: Cursor | None = None, state: str = "") -> Page[Job]:
        """Some of them, the last one queued first."""
        last = (after or NEWEST).key
        found = [
            (job, Cursor(0, job.id))
            for job in reversed(list(self._jobs.values()))
            if job.id < last and state in ("", job.state)
        ]
        return Page.of(found[: limit + 1], limit)

    def counts(self) -> Mapping[JobState, int]:
        """How many wait, and how many run."""
        states = [job.state for job in self._jobs.values()]
        return {state: states.count(state) for state in _ALIVE if state in states}

    def cancel(self, identity: int) -> bool:
        """Cancel a job that has not ended."""
        with self._lock:
            job = self._jobs.get(identity)
            if job is None or job.state not in _ALIVE:
                return False
            now = self.clock.now()
            self._jobs[identity] = replace(job, state=JobState.CANCELLED, ended_at=now)
            return True

    def prune(self, before: datetime) -> int:
        """Delete jobs that ended before."""
        with self._lock:
            old = [j.id for j in self._jobs.values() if j.ended_at and j.ended_at < before]
            for identity in old:
                del self._jobs[identity]
            return len(old)

    def run(self, work: Work, *, slots: int, stop: Signal) -> None:
        """Do jobs until `stop` is set."""
        threads = [
            threading.Thread(target=self._slot, args=(work, stop), daemon=True)
            for _ in range(slots)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def close(self) -> None:
        """Nothing is open."""

    def _slot(self, work: Work, stop: Signal) -> None:
        while not stop.is_set():
            job = self._take()
            if job is None:
                stop.wait(0.02)
                continue
            error: LayerproofError | None = None
            try:
                work(job, _Running(self, job, stop))
            except LayerproofError as failed:
                error = failed
            except Exception as defect:  # noqa: BLE001  because a defect must not end the worker
                error = LayerproofError(f"a defect: {type(defect).__name__}: {defect}")
            self._finish(job.id, error)

    def _take(self) -> Job | None:
        with self._lock:
            now = self.clock.now()
            running = {job.turn for job in self._jobs.values() if job.state is JobState.RUNNING}
            ready = [
                job
                for job in self._jobs.values()
                if job.state is JobState.QUEUED
                and job.turn not in running
                and (job.due_at is None or job.due_at <= now)
            ]
            if not ready:
                return None
            job = min(ready, key=lambda job: (-job.priority, job.id))
            job = replace(
                job, state=JobState.RUNNING, attempts=job.attempts + 1, started_at=now, worker="me"
            )
            self._jobs[job.id] = job
            return job

    def _finish(self, identity: int, error: LayerproofError | None) -> None:
        with self._lock, suppress(KeyError):
            job, now = self._jobs[identity], self.clock.now()
            if job.state is not JobState.RUNNING:
                return
            if error is None:
                job = replace(job, state=JobState.DONE, ended_at=now, error={}, due_at=None)
            elif isinstance(error, CancelledError):
                job = replace(job, state=JobState.QUEUED, attempts=job.attempts - 1)
            else:
                due = next_try(error, job.attempts, now)
                said = {"code": error.code, "message": error.message, "where": error.where,
                        "remedy": error.remedy}  # fmt: skip
                state = JobState.FAILED if due is None else JobState.QUEUED
                ended = now if due is None else None
                job = replace(job, state=state, ended_at=ended, due_at=due, error=said)
            self._jobs[identity] = job

    def told(self, identity: int, document: Mapping[str, object]) -> None:
        """Progress."""
        with self._lock:
            self._jobs[identity] = replace(self._jobs[identity], progress=document)


@dataclass
class _Running:
    """`layerproof.engine.queue.Handle`."""

    queue: MemoryQueue
    of: Job
    stop: Signal

    def progress(self, document: Mapping[str, object]) -> None:
        """Kept at once."""
        self.queue.told(self.of.id, document)

    def cancelled(self) -> bool:
        """Whether somebody cancelled it."""
        job = self.queue.job(self.of.id)
        return job is None or job.state is not JobState.RUNNING or self.stop.is_set()
