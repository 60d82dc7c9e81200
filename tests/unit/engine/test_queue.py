"""When a job is tried again: later each time, and not for ever."""

from datetime import UTC, datetime, timedelta

import pytest

from layerproof.engine.queue import FIRST_DELAY, LONGEST_DELAY, MOST_ATTEMPTS, next_try
from layerproof.errors import (
    AuthenticationError,
    DigestMismatchError,
    ImageNotFoundError,
    IndexUnavailableError,
    LayerproofError,
    UnreachableError,
    UnsupportedError,
    UsageError,
)

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def tries(kind: type[LayerproofError]) -> list[timedelta]:
    found = []
    for attempts in range(1, MOST_ATTEMPTS + 5):
        due = next_try(kind("x", where="y", remedy="z"), attempts, NOW)
        if due is None:
            break
        found.append(due - NOW)
    return found


@pytest.mark.parametrize("kind", [UnreachableError, IndexUnavailableError, LayerproofError])
def test_what_may_pass_is_tried_later_each_time_for_half_a_day(kind: type[LayerproofError]) -> None:
    found = tries(kind)
    assert found[:4] == [FIRST_DELAY * factor for factor in (1, 2, 4, 8)]
    assert found == sorted(found)
    assert max(found) == LONGEST_DELAY
    assert len(found) == MOST_ATTEMPTS - 1
    assert timedelta(hours=8) < sum(found, timedelta()) < timedelta(hours=24)


@pytest.mark.parametrize("kind", [DigestMismatchError, UnsupportedError, UsageError])
def test_what_stays_is_not_tried_again(kind: type[LayerproofError]) -> None:
    assert tries(kind) == []


@pytest.mark.parametrize("kind", [ImageNotFoundError, AuthenticationError])
def test_what_a_registry_does_not_show_yet_is_tried_a_few_times(
    kind: type[LayerproofError],
) -> None:
    assert tries(kind) == [FIRST_DELAY * factor for factor in (1, 2, 4, 8)]
