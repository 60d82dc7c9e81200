"""Reported events → the index, and jobs for what they tell of.

1. Events first, jobs second. Whoever reports is told that it was accepted after both; a crash in
   between is mended when it reports again, because the same report counts once, and a job that
   waits is not queued twice.
2. A push, a start and a sighting name an image that is to be indexed and judged. A pull, a mount
   and a deletion do not.
3. Whence somebody pushed or pulled becomes a country, or the operator's name of an own network.
4. An event that is said to come from the future happened now; what was said stands in its details.
   Else a clock that is wrong would make an image the newest of its tag for as long as it is wrong.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from layerproof.engine.ports import Clock, Index
from layerproof.engine.queue import Queue
from layerproof.model.event import Event, EventKind
from layerproof.model.job import Priority, Wanted

INDEX = "index"  # the kind of job
AHEAD = timedelta(minutes=5)  # by so much two clocks may differ
_PRIORITIES = {
    EventKind.PUSH: Priority.PUSHED,
    EventKind.START: Priority.STARTED,
    EventKind.SIGHTING: Priority.POLLED,
}


@dataclass(frozen=True, slots=True)
class Accepted:
    """What was new of a report."""

    events: int
    jobs: int


@dataclass(frozen=True, slots=True)
class Intake:
    """Where events arrive."""

    index: Index
    queue: Queue
    clock: Clock
    country_of: Callable[[str], str] = lambda _address: ""

    def accept(self, events: Sequence[Event]) -> Accepted:
        """Write them down and queue what follows. Raises IndexUnavailableError: report again."""
        now = self.clock.now()
        placed = [self._placed(event, now) for event in events]
        new = self.index.put_events(placed)
        return Accepted(new, self.queue.put(list(wanted(placed))))

    def _placed(self, event: Event, now: datetime) -> Event:
        if event.at > now + AHEAD:
            claimed = {"claimedAt": event.at.isoformat()}
            event = replace(event, at=now, details={**event.details, **claimed})
        if event.country or not event.address:
            return event
        return replace(event, country=self.country_of(event.address))


def wanted(events: Iterable[Event]) -> Iterable[Wanted]:
    """The jobs that follow from events."""
    for event in events:
        priority = _PRIORITIES.get(event.kind)
        if priority is None or event.manifest_digest is None or not event.repository:
            continue
        tag = f":{event.tag}" if event.tag else ""
        reference = f"docker://{event.registry}/{event.repository}{tag}@{event.manifest_digest}"
        yield index_job(reference, str(event.manifest_digest), priority, event.at.isoformat())


def index_job(reference: str, digest: str, priority: int, seen_at: str = "") -> Wanted:
    """To index an image of a registry, and judge it. `seen_at`: when its tag named it."""
    arguments = {"reference": reference, **({"seenAt": seen_at} if seen_at else {})}
    return Wanted(f"{INDEX} {reference}", digest, INDEX, arguments, priority)
