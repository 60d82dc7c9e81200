"""Tokens: made, rotated, ended; nobody gets more, or keeps it longer, than was said."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest

from layerproof.engine import access
from layerproof.engine.access import Issued
from layerproof.errors import AccessError
from layerproof.model.access import AccessToken, Role, allows
from layerproof.testing.ledger import MemoryLedger

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@pytest.fixture
def ledger() -> MemoryLedger:
    return MemoryLedger()


def random(seed: int = 0) -> bytes:
    return sha256(bytes([seed])).digest() + bytes([seed]) * 6


def issue(ledger: MemoryLedger, name: str = "ci", seed: int = 0, **more: object) -> Issued:
    said: dict[str, object] = {
        "name": name,
        "role": Role.VIEWER,
        "by": "root",
        "now": NOW,
        "days": 30,
        "random": random(seed),
    }
    return access.issue(ledger, **(said | more))  # type: ignore[arg-type]  # because the test says which


def rotate(ledger: MemoryLedger, identity: str, seed: int, **more: object) -> Issued:
    said: dict[str, object] = {"by": "root", "now": NOW, "grace": HOUR, "random": random(seed)}
    return access.rotate(ledger, identity, **(said | more))  # type: ignore[arg-type]  # likewise


def test_what_is_kept_is_the_digest_and_never_the_token(ledger: MemoryLedger) -> None:
    issued = issue(ledger)
    (kept,) = ledger.tokens()
    assert kept == issued.token
    assert kept.digest == sha256(issued.text.encode()).digest() == access.digest_of(issued.text)
    assert issued.text.rpartition("_")[2] not in repr(kept)
    assert issued.text.startswith(f"lp_{kept.id}_")
    assert len(issued.text) <= access.MOST_TOKEN
    assert access.digest_of(issued.text + "x") != kept.digest


def test_a_token_is_good_from_its_beginning_until_before_its_end(ledger: MemoryLedger) -> None:
    token = issue(ledger, days=2).token
    moment = timedelta(microseconds=1)
    good = [at for at in (NOW - moment, NOW, NOW + 2 * DAY - moment, NOW + 2 * DAY)
            if token.active(at)]  # fmt: skip
    assert good == [NOW, NOW + 2 * DAY - moment]


@pytest.mark.parametrize(
    "said",
    [
        {"name": ""}, {"name": "  "}, {"name": "x" * 101}, {"name": "a\nb"}, {"name": "\x1b[31m"},
        {"days": 0}, {"days": -1}, {"days": access.MOST_DAYS + 1},
        {"role": Role.NOTIFIER}, {"role": Role.ADMIN, "registry": "r.example"},
    ],
    ids=str,
)  # fmt: skip
def test_a_token_that_says_too_much_or_too_little_is_refused(
    ledger: MemoryLedger, said: dict[str, object]
) -> None:
    with pytest.raises(AccessError) as caught:
        issue(ledger, **said)  # type: ignore[arg-type]  # because each case says something else
    assert caught.value.remedy
    assert ledger.tokens() == []


def test_too_little_randomness_is_a_defect(ledger: MemoryLedger) -> None:
    with pytest.raises(ValueError, match="random"):
        issue(ledger, random=b"short")
    assert ledger.tokens() == []


def test_a_name_is_free_again_when_its_token_has_ended(ledger: MemoryLedger) -> None:
    first = issue(ledger).token
    with pytest.raises(AccessError, match="already"):
        issue(ledger, " ci ", seed=1)
    access.revoke(ledger, first.id, by="bob", now=NOW + HOUR)
    second = issue(ledger, seed=1, now=NOW + HOUR, days=1).token
    issue(ledger, seed=2, now=second.expires_at)
    assert len(ledger.tokens()) == 3


def test_a_rotated_token_ends_after_the_grace_and_the_new_one_is_like_it(
    ledger: MemoryLedger,
) -> None:
    old = issue(ledger, role=Role.NOTIFIER, registry="r.example:5000", days=10).token
    later = NOW + 4 * DAY
    new = rotate(ledger, old.id, 1, now=later).token
    assert (new.name, new.role, new.registry) == (old.name, old.role, old.registry)
    assert new.expires_at - new.created_at == old.expires_at - old.created_at
    ending = access.find(ledger, old.id)
    assert [ending.active(at) for at in (later, later + HOUR, NOW + 9 * DAY)] == [
        True, False, False,
    ]  # fmt: skip
    assert ending.digest != new.digest


def test_the_grace_prolongs_nothing(ledger: MemoryLedger) -> None:
    old = issue(ledger, days=1).token
    rotate(ledger, old.id, 1, now=NOW + 23 * HOUR, grace=timedelta(days=99))
    assert access.find(ledger, old.id).revoked_at == old.expires_at


def test_a_negative_grace_is_none(ledger: MemoryLedger) -> None:
    old = issue(ledger).token
    rotate(ledger, old.id, 1, grace=-DAY)
    assert access.find(ledger, old.id).revoked_at == NOW
    assert not access.find(ledger, old.id).active(NOW)


def test_a_token_that_ends_already_is_not_rotated(ledger: MemoryLedger) -> None:
    """Else whoever stole an old one could have it renewed for ever."""
    old = issue(ledger).token
    new = rotate(ledger, old.id, 1).token
    with pytest.raises(AccessError, match="ends already"):
        rotate(ledger, old.id, 2, now=NOW + HOUR / 2)
    access.revoke(ledger, new.id, by="bob", now=NOW)
    with pytest.raises(AccessError, match="not good any more"):
        rotate(ledger, new.id, 2)
    assert len(ledger.tokens()) == 2


def test_a_rotation_that_cannot_be_written_leaves_the_old_token(ledger: MemoryLedger) -> None:
    class Broken(MemoryLedger):
        def add_token(self, token: AccessToken, instead_of: AccessToken | None = None) -> bool:
            raise AccessError("the disk is full", where="index", remedy="make room")

    broken = Broken()
    old = issue(ledger).token
    broken.put_token(old)
    with pytest.raises(AccessError, match="disk"):
        rotate(broken, old.id, 1)  # type: ignore[arg-type]  # because it is one
    assert broken.tokens() == [old]


def test_a_revoked_token_is_dead_at_once_also_within_its_grace(ledger: MemoryLedger) -> None:
    old = issue(ledger).token
    rotate(ledger, old.id, 1)
    revoked = access.revoke(ledger, old.id, by="bob", now=NOW)
    assert not revoked.active(NOW)
    assert revoked.revoked_by == "bob"
    with pytest.raises(AccessError, match="revoked already"):
        access.revoke(ledger, old.id, by="eve", now=NOW)
    assert access.find(ledger, old.id).revoked_by == "bob"
    with pytest.raises(AccessError, match="no such token"):
        access.revoke(ledger, "x" * 5000, by="bob", now=NOW)


def test_a_clock_that_went_back_makes_no_revoked_token_good_for_longer(
    ledger: MemoryLedger,
) -> None:
    token = issue(ledger).token
    access.revoke(ledger, token.id, by="bob", now=NOW + DAY)
    assert not access.find(ledger, token.id).active(NOW + DAY)
    assert not replace(token, created_at=NOW + DAY).active(NOW)


def test_roles_allow_what_they_say_and_nothing_else() -> None:
    allowed = {held: {needed for needed in Role if allows(held, needed)} for held in Role}
    assert allowed == {
        Role.NOTIFIER: {Role.NOTIFIER},
        Role.VIEWER: {Role.VIEWER},
        Role.OPERATOR: {Role.NOTIFIER, Role.VIEWER, Role.OPERATOR},
        Role.ADMIN: set(Role),
    }
