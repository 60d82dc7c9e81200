"""Work that waits for a worker: one job per image to index, wherever it was asked for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class JobState(StrEnum):
    """Stable words; they appear in machine output."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"  # after its last try
    CANCELLED = "cancelled"


class Priority:
    """Higher is sooner."""

    ASKED = 100  # somebody waits for it
    STARTED = 50  # it runs already
    PUSHED = 10
    POLLED = 0


@dataclass(frozen=True, slots=True)
class Wanted:
    """A job to queue. While one of the same `key` waits, it is not queued again."""

    key: str  # what it is about: "index docker://host/name@sha256:…"
    turn: str  # jobs of the same turn run one after the other: a digest
    kind: str  # which work: "index"
    arguments: Mapping[str, str] = field(default_factory=dict)
    priority: int = Priority.PUSHED


@dataclass(frozen=True, slots=True)
class Job:
    """A job as the queue knows it. Times are aware, UTC."""

    id: int
    key: str
    turn: str
    kind: str
    arguments: Mapping[str, str]
    priority: int
    state: JobState
    attempts: int  # begun so far
    queued_at: datetime
    due_at: datetime | None = None  # a retry waits until then
    started_at: datetime | None = None
    ended_at: datetime | None = None
    worker: str = ""
    progress: Mapping[str, object] = field(default_factory=dict)
    error: Mapping[str, object] = field(default_factory=dict)  # of the last try: code, message, …
