"""What counts when: maturity, confirmation, dispute, bounds, and a history kept as bytes."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.unit.learning.world import world

from layerproof.errors import ModelError
from layerproof.learning.contents import contents_rows
from layerproof.learning.context import context_row
from layerproof.learning.history import Case, History
from layerproof.learning.snapshot import read_history, write_history
from layerproof.learning.tables import Days, Members, Seen
from layerproof.model.digest import ChainId, Digest
from layerproof.model.learned import Occasion

NOW = datetime(2026, 3, 2, 10, tzinfo=UTC)
DIGEST = Digest.of(b"image")
PUSH = Occasion(
    NOW, "r.example", "team/app", "1.0", "alice", "DE", DIGEST, (ChainId.of(b"a"), ChainId.of(b"b"))
)


def days(history: History, key: str = "ar\0alice@r.example\0r.example/team/app") -> int:
    return history.days.count(key)


def after(history: History, **time: float) -> int:
    history.advance((NOW + timedelta(**time)).timestamp())
    return days(history)


def test_an_undisputed_push_counts_after_the_days_of_maturity_and_not_before() -> None:
    history = History(14)
    history.observe(Case(PUSH))
    assert after(history, days=13, hours=23) == 0
    assert after(history, days=14) == 1


def test_a_confirmed_push_counts_at_once() -> None:
    history = History(14)
    history.observe(Case(PUSH))
    history.confirm(DIGEST)
    assert days(history) == 1
    assert history.trusts("r.example/team/app")


def test_a_disputed_push_never_counts() -> None:
    history = History(14)
    history.observe(Case(PUSH))
    history.dispute(DIGEST)
    history.confirm(DIGEST)
    assert after(history, days=30) == 0


def test_a_push_that_is_disputed_later_loses_what_it_brought() -> None:
    history = History(14)
    history.observe(Case(PUSH))
    assert after(history, days=20) == 1
    history.dispute(DIGEST, [Case(PUSH)])
    assert days(history) == 0
    assert not history.pushers.has("r.example/team/app", "alice@r.example")


def test_time_does_not_go_back() -> None:
    history = History(14)
    history.observe(Case(PUSH))
    assert after(history, days=15) == 1
    assert after(history, days=1) == 1


def test_a_push_to_a_new_place_is_told_against_an_account_at_once() -> None:
    history = History(14)
    for place in ("x/a", "x/b", "x/c"):
        history.observe(Case(replace(PUSH, repository=place)))
    row = context_row(history, replace(PUSH, at=NOW + timedelta(hours=1)))
    later = context_row(history, replace(PUSH, at=NOW + timedelta(days=3)))
    assert row.low[6] == 3
    assert later.low[6] == 0


def test_the_same_account_name_at_another_registry_is_somebody_else() -> None:
    history = History(14)
    history.observe(Case(PUSH))
    history.confirm(DIGEST)
    assert context_row(history, PUSH).low[0] == 1
    assert context_row(history, replace(PUSH, registry="evil.example")).low[0] == 0


def test_tables_forget_what_is_oldest_and_stay_bounded() -> None:
    counts, members, seen = Days(100), Members(50, 4), Seen(100)
    for number in range(1_000):
        counts.add(f"k{number}", number)
        members.add(f"k{number}", "m")
        members.add("k999", str(number))
        seen.add(number)
    assert len(counts.table) <= 100
    assert len(members.table) <= 51
    assert len(seen) <= 100
    assert counts.count("k999") == 1
    assert len(list(members.of("k999"))) <= 4
    assert 999 in seen


def test_a_history_kept_as_bytes_gives_the_same_rows() -> None:
    """What a verdict reads is what training computed."""
    here = world()
    again = read_history(write_history(here.history))
    assert write_history(again) == write_history(here.history)
    for later in (0, 5, 20):
        moment = here.organisation.now + timedelta(days=later)
        mine = read_history(write_history(here.history))
        again.advance(moment.timestamp())
        mine.advance(moment.timestamp())
        for event in (here.event(), here.event(account="mallory")):
            case = here.case(replace(event, at=moment))
            assert context_row(again, case.occasion) == context_row(mine, case.occasion)
            assert contents_rows(again, case) == contents_rows(mine, case)


@pytest.mark.parametrize("data", [b"", b"\x80", b"{}", b"\x93\x01\x02\x03"])
def test_other_bytes_are_no_history(data: bytes) -> None:
    with pytest.raises(ModelError):
        read_history(data)
