"""The queue of jobs, as a port, and what is decided about a job without any I/O.

1. A job waits until a worker takes it; until it has ended, one of the same key is not queued
   again: it would do the same.
2. Jobs of the same turn (an image's digest) run one after the other, on whichever machine.
3. A job that fails for a reason that may pass is tried again, later each time; one that fails for a
   reason that stays fails at once. A job whose worker died is tried again.
4. A job is done at least once. Whatever it does must be harmless when done again.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from threading import Event as Signal
from typing import Protocol

from layerproof.errors import (
    AuthenticationError,
    CorruptImageError,
    ImageNotFoundError,
    LayerproofError,
    LimitExceededError,
    PolicyError,
    UnsupportedError,
    UsageError,
)
from layerproof.model.job import Job, JobState, Wanted
from layerproof.model.page import Cursor, Page

MOST_ATTEMPTS = 20  # with the delays below: about half a day
FIRST_DELAY = timedelta(seconds=5)
LONGEST_DELAY = timedelta(hours=1)
ALIVE = timedelta(seconds=10)  # how often a worker says that it lives
STALLED = timedelta(seconds=40)  # without a word for so long, it does not

# A policy with a mistake is mended some time, and what was pushed meanwhile is judged then.
# A registry may show a manifest to nobody for a moment after it announced it; hence the delay of
# the first tries. Bytes that contradict themselves, or are too large, will not change.
_LASTING = (CorruptImageError, LimitExceededError, UnsupportedError, UsageError)
_SOON_LASTING = (ImageNotFoundError, AuthenticationError)
_SOON = 5  # tries


class Handle(Protocol):
    """A job as its work sees it."""

    def progress(self, document: Mapping[str, object]) -> None:
        """Tell how far it is. Cheap: it is written down now and then."""

    def cancelled(self) -> bool:
        """Whether somebody cancelled it, or the worker is to stop."""


class CancelledError(LayerproofError):
    """The job was cancelled while it ran, or its worker is to stop."""

    code = "cancelled"


class GivenUpError(LayerproofError):
    """No worker lived to the end of any try: the job may be what ends them."""

    code = "given-up"

    def __init__(self) -> None:
        super().__init__(
            "every worker that took this job ended before it",
            remedy="see why in the workers' logs (memory?), then queue it again",
        )


Work = Callable[[Job, Handle], None]


class Queue(Protocol):
    """Jobs that outlive every process. Raises IndexUnavailableError."""

    def put(self, wanted: Sequence[Wanted]) -> int:
        """Queue those whose key neither waits nor runs; how many. One that waits with a lower
        priority gets the higher one."""

    def job(self, identity: int) -> Job | None:
        """One job."""

    def page(self, limit: int, after: Cursor | None = None, state: str = "") -> Page[Job]:
        """Some of them, the last one queued first; of one state, where given."""

    def counts(self) -> Mapping[JobState, int]:
        """How many wait, and how many run."""

    def cancel(self, identity: int) -> bool:
        """Cancel a job that waits; ask the worker of one that runs to stop it. False if it has
        ended, or is not there."""

    def prune(self, before: datetime) -> int:
        """Delete jobs that ended before; how many."""

    def run(self, work: Work, *, slots: int, stop: Signal) -> None:
        """Take and do jobs, `slots` at once, until `stop` is set. Jobs that run then are asked to
        stop, and wait again. `work` is called on threads."""

    def close(self) -> None:
        """Close connections."""


def next_try(error: LayerproofError, attempts: int, now: datetime) -> datetime | None:
    """When to try again after `attempts` tries; None: never."""
    lasting = isinstance(error, _LASTING) and not isinstance(error, PolicyError)
    if lasting or attempts >= MOST_ATTEMPTS:
        return None
    if isinstance(error, _SOON_LASTING) and attempts >= _SOON:
        return None
    delay: timedelta = min(FIRST_DELAY * 2 ** (attempts - 1), LONGEST_DELAY)
    return now + delay
