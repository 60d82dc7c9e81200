"""What every ledger must do: one suite for memory, SQLite and PostgreSQL."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.contract.index_examples import MONDAY, ODD_TEXTS, TUESDAY
from tests.postgres import fresh_database

from layerproof.engine.ledger import Ledger
from layerproof.model.access import AccessToken, AuditRecord, Role
from layerproof.model.amendment import MadeException, PolicyRevision
from layerproof.model.gate import Cause, Mode, Tally
from layerproof.model.verdict import Decision
from layerproof.store.sqlite_sql import STATEMENTS
from layerproof.testing.ledger import MemoryLedger


def memory(_: Path) -> Ledger:
    return MemoryLedger()


def sqlite(folder: Path) -> Ledger:
    from layerproof.store.ledger import SqlLedger
    from layerproof.store.sqlite import SqliteExecutor

    return SqlLedger(SqliteExecutor(folder / "index.db"))


def postgresql(_: Path) -> Ledger:
    from layerproof.store.ledger import SqlLedger
    from layerproof.store.postgresql import PostgresExecutor, engine_of

    return SqlLedger(PostgresExecutor(engine_of(fresh_database())))


KINDS: list[Callable[[Path], Ledger]] = [memory, sqlite, postgresql]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    opened: Ledger = request.param(tmp_path)
    yield opened
    opened.close()


def token(name: str = "a") -> AccessToken:
    return AccessToken(
        id=f"id-{name}",
        name=name,
        role=Role.OPERATOR,
        digest=name.encode() * 32,
        created_by="root",
        created_at=MONDAY,
        expires_at=TUESDAY,
    )


def record(action: str) -> AuditRecord:
    return AuditRecord(
        0, MONDAY, "alice", "admin", action, "target", "127.0.0.1", "done", {"a": [1, None]}
    )


def test_an_empty_ledger_knows_nothing(ledger: Ledger) -> None:
    assert ledger.tokens() == []
    assert ledger.audit(10).items == ()
    assert list(ledger.policies()) == []
    assert ledger.exceptions() == []
    assert ledger.access_state() == ledger.access_state()


def test_tokens_come_back_by_their_digest_and_can_be_replaced(ledger: Ledger) -> None:
    one, other = token("a"), replace(token("b"), registry="r:5000", role=Role.NOTIFIER)
    ledger.put_token(one)
    before = ledger.access_state()
    ledger.put_token(other)
    assert ledger.access_state() != before
    assert ledger.tokens() == [one, other]
    revoked = replace(one, revoked_at=TUESDAY, revoked_by="bob")
    ledger.put_token(revoked)
    assert ledger.tokens() == [revoked, other]


def test_the_audit_keeps_all_in_order_and_pages(ledger: Ledger) -> None:
    for text in (*ODD_TEXTS, "last"):
        ledger.add_audit(record(text))
    page = ledger.audit(2)
    assert [item.action for item in page.items] == ["last", ODD_TEXTS[-1]]
    assert page.items[0] == replace(record("last"), id=page.items[0].id)
    found = list(page.items)
    while page.after is not None:
        page = ledger.audit(2, page.after)
        found += page.items
    assert [item.action for item in found] == ["last", *reversed(ODD_TEXTS)]


def test_the_newest_policy_stands_first(ledger: Ledger) -> None:
    for text in ("one", "two: é ☃\n"):
        ledger.add_policy(PolicyRevision(0, text, "alice", MONDAY, "because"))
    assert [revision.text for revision in ledger.policies(5)] == ["two: é ☃\n", "one"]
    assert [revision.text for revision in ledger.policies()] == ["two: é ☃\n"]


def test_exceptions_can_be_ended(ledger: Ledger) -> None:
    made = MadeException("x1", {"images": ["*"], "rules": ["secret"]}, "alice", MONDAY)
    ledger.put_exception(made)
    ledger.put_exception(replace(made, id="x2"))
    ended = replace(made, ended_by="bob", ended_at=MONDAY + timedelta(hours=1))
    ledger.put_exception(ended)
    assert ledger.exceptions() == [ended, replace(made, id="x2")]


def tally(reference: str = "a", count: int = 1, **more: Any) -> Tally:
    given = {
        "gate": "docker", "host": "h", "namespace": "", "reference": reference,
        "mode": Mode.OBSERVE, "cause": Cause.VERDICT, "decided": Decision.REFUSE,
        "decision": Decision.ADMIT, "reason": "r", "first_at": MONDAY, "last_at": MONDAY,
        "count": count,
    }  # fmt: skip
    return Tally(**(given | more))


def test_same_answers_of_gates_add_up_and_others_stand_beside(ledger: Ledger) -> None:
    ledger.add_tallies([tally(count=2), tally("b", reason=ODD_TEXTS[0])])
    ledger.add_tallies([tally(count=3, first_at=TUESDAY, last_at=TUESDAY)])
    newest, other = ledger.tallies()
    assert (newest.count, newest.first_at, newest.last_at) == (5, MONDAY, TUESDAY)
    assert other == tally("b", reason=ODD_TEXTS[0])
    assert ledger.tallies(TUESDAY) == [newest]


def test_old_answers_of_gates_are_pruned(ledger: Ledger) -> None:
    ledger.add_tallies([tally(), tally("b", last_at=TUESDAY)])
    assert ledger.prune_tallies(TUESDAY) == 1
    assert [t.reference for t in ledger.tallies()] == ["b"]


def test_a_token_is_added_once_by_name_while_it_is_good(ledger: Ledger) -> None:
    one = token("a")
    assert ledger.add_token(one)
    state = ledger.access_state()
    again = replace(token("b"), name="a")
    assert not ledger.add_token(again)
    assert ledger.tokens() == [one]
    assert ledger.access_state() == state
    # After its end the name is free.
    later = replace(again, created_at=TUESDAY, expires_at=TUESDAY + timedelta(days=1))
    assert ledger.add_token(later)
    assert ledger.tokens() == [one, later]


def test_a_token_takes_the_place_of_another_or_nothing_changes(ledger: Ledger) -> None:
    old, other = token("a"), token("b")
    ledger.put_token(old)
    ledger.put_token(other)
    ended = replace(old, name="a (rotated)", revoked_at=TUESDAY, revoked_by="bob")
    new = replace(token("c"), name="a")
    assert not ledger.add_token(replace(new, name="b"), ended)
    assert ledger.tokens() == [old, other]
    assert ledger.add_token(new, ended)
    assert ledger.tokens() == [ended, other, new]


def test_of_two_policies_made_from_the_same_one_the_second_is_told(ledger: Ledger) -> None:
    first = PolicyRevision(0, "first", "alice", MONDAY, "because")
    assert ledger.add_policy(first, after=0)
    (put,) = ledger.policies()
    assert ledger.add_policy(replace(first, text="alice's"), after=put.id)
    state = ledger.access_state()
    assert not ledger.add_policy(replace(first, text="bob's"), after=put.id)
    assert not ledger.add_policy(replace(first, text="bob's"), after=0)
    assert ledger.access_state() == state
    assert [revision.text for revision in ledger.policies(9)] == ["alice's", "first"]
    assert ledger.add_policy(replace(first, text="bob's"))  # who names none, overrules


def test_of_many_that_add_at_once_one_wins(ledger: Ledger) -> None:
    def put(number: int) -> tuple[bool, bool]:
        made = PolicyRevision(0, str(number), "alice", MONDAY, "because")
        named = replace(token(f"t{number}"), name="ci")
        return ledger.add_policy(made, after=0), ledger.add_token(named)

    with ThreadPoolExecutor(6) as threads:
        won = list(threads.map(put, range(6)))
    assert sorted(policy for policy, _ in won) == [False] * 5 + [True]
    assert sorted(named for _, named in won) == [False] * 5 + [True]
    assert len(list(ledger.policies(9))) == 1
    assert len(ledger.tokens()) == 1


def test_the_audit_loses_nothing_and_changes_nothing_when_many_write(ledger: Ledger) -> None:
    def write(number: int) -> None:
        for n in range(10):
            ledger.add_audit(record(f"{number}.{n}"))

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(write, range(4)))
    found = ledger.audit(100).items
    assert {item.action for item in found} == {f"{a}.{n}" for a in range(4) for n in range(10)}
    ids = [item.id for item in found]
    assert ids == sorted(ids, reverse=True)
    ledger.add_audit(replace(found[-1], action="forged"))  # with the id of another
    assert ledger.audit(100).items[1:] == found


def test_no_statement_changes_or_deletes_a_row_of_the_audit() -> None:
    touching = {
        name: text for name, text in STATEMENTS.items() if re.search(r"\b(audit|policy_rev)", text)
    }
    assert set(touching) == {
        "put_audit", "audit_page", "put_policy_revision", "policy_revisions",
    }  # fmt: skip
    for text in touching.values():
        assert not re.search(r"\b(UPDATE|DELETE|REPLACE|CONFLICT)\b", text)
