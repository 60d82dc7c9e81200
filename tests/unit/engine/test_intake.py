"""Reported events become rows and jobs; what they claim about time is bounded."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from layerproof.engine.intake import AHEAD, Intake
from layerproof.model.digest import Digest
from layerproof.model.event import Event, EventKind
from layerproof.testing.index import MemoryIndex
from layerproof.testing.queue import MemoryQueue

NOW = datetime(2026, 3, 9, tzinfo=UTC)
DIGEST = Digest.of(b"manifest")


class Stopped:
    """A clock that stands."""

    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0


def event(identity: str = "1", **more: Any) -> Event:
    said = {
        "kind": EventKind.PUSH,
        "at": NOW,
        "registry": "registry.example",
        "repository": "team/app",
        "manifest_digest": DIGEST,
        **more,
    }
    return Event(identity=identity, **said)


@pytest.fixture
def index() -> MemoryIndex:
    return MemoryIndex()


@pytest.fixture
def queue() -> MemoryQueue:
    return MemoryQueue(Stopped())


@pytest.fixture
def intake(index: MemoryIndex, queue: MemoryQueue) -> Intake:
    return Intake(index, queue, Stopped(), {"192.0.2.1:5": "NL"}.get)  # type: ignore[arg-type]


def test_a_push_from_the_future_happened_now_and_its_claim_is_kept(
    intake: Intake, index: MemoryIndex, queue: MemoryQueue
) -> None:
    claimed = NOW + timedelta(days=30_000)
    intake.accept([event(at=claimed)])
    (found,) = index.events()
    assert found.at == NOW
    assert found.details["claimedAt"] == claimed.isoformat()
    (job,) = queue.page(9).items
    assert job.arguments["seenAt"] == NOW.isoformat()


def test_a_clock_that_is_a_little_ahead_is_believed(intake: Intake, index: MemoryIndex) -> None:
    intake.accept([event(at=NOW + AHEAD)])
    assert next(iter(index.events())).at == NOW + AHEAD


def test_a_push_that_is_told_days_late_keeps_its_time(intake: Intake, index: MemoryIndex) -> None:
    intake.accept([event(at=NOW - timedelta(days=9))])
    assert next(iter(index.events())).at == NOW - timedelta(days=9)


def test_a_pull_before_its_push_and_a_deletion_before_both_are_kept_whatever_the_order(
    intake: Intake, index: MemoryIndex, queue: MemoryQueue
) -> None:
    kinds = [EventKind.DELETE, EventKind.PULL, EventKind.PUSH]
    for number, kind in enumerate(kinds):
        intake.accept([event(str(number), kind=kind, at=NOW - timedelta(seconds=number))])
    assert [found.kind for found in index.events()] == kinds
    assert len(queue.page(9).items) == 1  # of the push


def test_what_was_written_down_but_not_queued_is_queued_when_it_is_told_again(
    index: MemoryIndex, queue: MemoryQueue, intake: Intake
) -> None:
    index.put_events([event()])  # and then the power failed
    accepted = intake.accept([event()])
    assert (accepted.events, accepted.jobs) == (0, 1)


def test_whence_an_address_is_stands_in_the_event(intake: Intake, index: MemoryIndex) -> None:
    intake.accept([event(address="192.0.2.1:5")])
    assert next(iter(index.events())).country == "NL"


@pytest.mark.parametrize("kind", [EventKind.PULL, EventKind.MOUNT, EventKind.DELETE])
def test_what_brings_no_image_makes_no_job(
    intake: Intake, queue: MemoryQueue, kind: EventKind
) -> None:
    intake.accept([event(kind=kind)])
    assert queue.page(9).items == ()
