"""Jobs, as rows; and what workers report of them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from layerproof.model.job import Job, JobState, Wanted
from layerproof.model.page import Cursor, Page
from layerproof.store import codec
from layerproof.store.executor import Executor, Row, Session, chunks, first, rows_for


def put(executor: Executor, wanted: Sequence[Wanted], now: datetime) -> int:
    """Queue those whose key neither waits nor runs; hurry those that wait."""
    unique = {codec.text(item.key): item for item in wanted}
    with executor.write() as session:
        waiting = {n: (i, p) for i, n, p in rows_for(session, "jobs_waiting", list(unique))}
        for name, (identity, priority) in waiting.items():
            if priority < unique[name].priority:
                session.run("hurry_job", id=identity, sooner=unique[name].priority)
        new = [(name, item) for name, item in unique.items() if name not in waiting]
        session.run_many("put_job", [_columns(name, item, now) for name, item in new])
    return len(new)


def take(executor: Executor, worker: str, now: datetime) -> Job | None:
    """The next job, which runs from now on; None if there is none."""
    with executor.read() as session:  # so that whoever finds nothing does not hinder writers
        if not session.rows("next_job", now=codec.micros(now)):
            return None
    with executor.write() as session:
        row = first(session.rows("next_job", now=codec.micros(now)))
        if row is None:
            return None
        job = _job((*row, None, None))
        running = replace(
            job, state=JobState.RUNNING, attempts=job.attempts + 1, started_at=now, worker=worker
        )
        change(session, running, job, now)
        return running


def change(session: Session, job: Job, was: Job, now: datetime) -> bool:
    """Write the job down as it is, if it is in the state and at the try that it was in: a worker
    that was taken for dead changes nothing of a job that another one does."""
    return bool(
        session.run(
            "change_job",
            id=job.id,
            was=str(was.state),
            was_attempts=was.attempts,
            new_state=str(job.state),
            new_attempts=job.attempts,
            new_due_at=codec.micros_or_none(job.due_at),
            new_started_at=codec.micros_or_none(job.started_at),
            new_ended_at=codec.micros_or_none(job.ended_at),
            new_alive_at=codec.micros(now),
            new_worker=codec.text(job.worker),
        )
    )


def alive(executor: Executor, running: Collection[Job], now: datetime) -> set[int]:
    """Say that these still run; those of them that do not, by the index."""
    at = codec.micros(now)
    if not running:
        return set()
    with executor.write() as session:
        return {
            job.id
            for job in running
            if not session.run("job_alive", id=job.id, attempts=job.attempts, now=at)
        }


def stalled(session: Session, before: datetime) -> list[Job]:
    """Those that run, and whose worker said nothing since."""
    return [
        _job((*row, None, None))
        for row in session.rows("stalled_jobs", before=codec.micros(before))
    ]


def read(session: Session, identity: int) -> Job | None:
    """One job."""
    row = first(session.rows("job", id=identity))
    return None if row is None else _job(row)


def page(session: Session, limit: int, after: Cursor | None, state: str) -> Page[Job]:
    """Some of them, the last one first."""
    before_id = codec.before(after)["before_id"]
    rows = session.rows("jobs_page", before_id=before_id, limit=limit + 1, wanted_state=state)
    return Page.of([(_job(row), Cursor(0, row[0])) for row in rows], limit)


def counts(session: Session) -> dict[JobState, int]:
    """How many wait and run."""
    return {JobState(state): count for state, count in session.rows("jobs_by_state")}


def report(
    executor: Executor,
    identity: int,
    progress: Mapping[str, object],
    error: Mapping[str, object],
    now: datetime,
) -> None:
    """Write down what a worker says of a job, in place of what it said before."""
    with executor.write() as session:
        put_report(session, identity, progress, error, now)


def put_report(
    session: Session,
    identity: int,
    progress: Mapping[str, object],
    error: Mapping[str, object],
    now: datetime,
) -> None:
    """The same, beside other changes."""
    session.run(
        "put_job_report",
        job_id=identity,
        progress=codec.document(dict(progress)),
        error=codec.document(dict(error)),
        reported_at=codec.micros(now),
    )


def reports(
    session: Session, identities: Collection[int]
) -> dict[int, tuple[Mapping[str, object], Mapping[str, object]]]:
    """What workers said last: progress and error."""
    rows = rows_for(session, "job_reports", identities)
    with codec.decoding("report of a job"):
        return {
            identity: (codec.undocument(progress), codec.undocument(error))
            for identity, progress, error, _ in rows
        }


def prune(executor: Executor, before: datetime) -> int:
    """Delete what ended before, with what was reported of it."""
    with executor.write() as session:
        ended = [key for (key,) in session.rows("jobs_ended", before=codec.micros(before))]
        for some in chunks(ended):
            session.run("drop_jobs", keys=some)
        drop_reports(session, ended)
    return len(ended)


def drop_reports(session: Session, identities: Collection[int]) -> None:
    """Delete what was reported of jobs that are gone."""
    for some in chunks(identities):
        session.run("drop_job_reports", keys=some)


def _columns(name: str, wanted: Wanted, now: datetime) -> tuple[object, ...]:
    return (
        name,
        codec.text(wanted.turn),
        codec.text(wanted.kind),
        codec.document(dict(wanted.arguments)),
        wanted.priority,
        str(JobState.QUEUED),
        0,
        codec.micros(now),
        None,
        None,
        None,
        None,
        "",
    )


def _job(row: Row) -> Job:
    identity, name, turn, kind, arguments, priority, state, attempts, *rest = row
    queued_at, due_at, started_at, ended_at, _, worker, progress, error = rest
    with codec.decoding("row of a job"):
        return Job(
            id=identity,
            key=codec.untext(name),
            turn=codec.untext(turn),
            kind=codec.untext(kind),
            arguments=codec.undocument(arguments),
            priority=priority,
            state=JobState(state),
            attempts=attempts,
            queued_at=codec.unmicros(queued_at),
            due_at=codec.unmicros_or_none(due_at),
            started_at=codec.unmicros_or_none(started_at),
            ended_at=codec.unmicros_or_none(ended_at),
            worker=codec.untext(worker),
            progress=_document(progress),
            error=_document(error),
        )


def _document(data: bytes | None) -> Mapping[str, object]:
    found: Any = {} if data is None else codec.undocument(data)
    return found if isinstance(found, dict) else {}
