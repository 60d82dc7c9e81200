"""Declaring trust and taking it back: situation → record or error."""

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import cast

import pytest
from tests.unit.rules.facts_builder import NOW, WEEK, make_image

from layerproof.engine.ports import Index
from layerproof.engine.trust import MAX_TEXT, add_trust, revoke_trust
from layerproof.errors import TrustError
from layerproof.model.image import Image
from layerproof.model.trust import TrustRecord

BASE = make_image("os", "runtime", reference="docker://registry.example/base:1")
OTHER = make_image("alpine", reference="docker://registry.example/other:1")


class Records:
    """The part of an index that trust needs."""

    def __init__(self) -> None:
        self.rows: dict[str, TrustRecord] = {}

    def put_trust(self, record: TrustRecord) -> None:
        self.rows[record.id] = record

    def trust_records(self) -> list[TrustRecord]:
        return sorted(self.rows.values(), key=lambda row: row.added_at, reverse=True)


@pytest.fixture
def index() -> Index:
    return cast(Index, Records())


def add(index: Index, image: Image = BASE, now: datetime = NOW, **more: object) -> TrustRecord:
    said = {"by": "alice", "reason": "golden", **more}
    return add_trust(index, image, now=now, **said)  # type: ignore[arg-type]  # named by the tests


def revoke(index: Index, what: str, now: datetime = NOW) -> list[TrustRecord]:
    return revoke_trust(index, what, "bob", "backdoor", now)


# --- add ---------------------------------------------------------------------------------------


def test_added_trust_says_who_what_when_and_why(index: Index) -> None:
    record = add(index, expires_at=NOW + WEEK)
    assert index.trust_records() == [record]
    assert record.chain_ids == tuple(layer.chain_id for layer in BASE.layers)
    assert (record.added_by, record.reason) == ("alice", "golden")
    assert (record.added_at, record.expires_at) == (NOW, NOW + WEEK)
    assert record.active(NOW)
    assert len(record.id) == 12


def test_same_declaration_twice_is_one_record(index: Index) -> None:
    assert add(index) == add(index)
    assert len(index.trust_records()) == 1


def test_declarations_that_differ_have_different_ids(index: Index) -> None:
    ids = {
        add(index).id,
        add(index, by="carol").id,
        add(index, reason="other").id,
        add(index, now=NOW + WEEK).id,
        add(index, expires_at=NOW + WEEK).id,
        add(index, image=OTHER).id,
    }
    assert len(ids) == 6


def test_id_that_another_record_has_grows(index: Index) -> None:
    first = add(index)
    index.put_trust(replace(first, reason="another declaration with the same digits"))
    second = add(index)
    assert len(second.id) == 13
    assert second.id.startswith(first.id)
    assert len(index.trust_records()) == 2


def test_image_without_layers_cannot_be_trusted(index: Index) -> None:
    with pytest.raises(TrustError, match="without layers"):
        add(index, image=make_image())
    assert index.trust_records() == []


@pytest.mark.parametrize("text", ["", "  ", "\n", "a\nb", "a\x1b[2Jb", "x" * (MAX_TEXT + 1)])
@pytest.mark.parametrize("field", ["by", "reason"])
def test_name_or_reason_unfit_for_a_verdict_is_refused(index: Index, field: str, text: str) -> None:
    with pytest.raises(TrustError) as caught:
        add(index, **{field: text})
    assert caught.value.remedy
    assert index.trust_records() == []


@pytest.mark.parametrize("end", [NOW, NOW - timedelta(seconds=1)])
def test_trust_that_ends_before_it_begins_is_refused(index: Index, end: datetime) -> None:
    with pytest.raises(TrustError, match="is past"):
        add(index, expires_at=end)


@pytest.mark.parametrize(
    "time", [NOW.replace(tzinfo=None), NOW.replace(tzinfo=timezone(timedelta(hours=2)))]
)
def test_time_that_is_not_utc_is_refused(index: Index, time: datetime) -> None:
    with pytest.raises(TrustError, match="not a time in UTC"):
        add(index, now=time)
    with pytest.raises(TrustError, match="not a time in UTC"):
        add(index, expires_at=time)


# --- revoke ------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["id", "start", "reference", "config", "manifest", "top"])
def test_trust_is_revoked_by_whatever_names_it(index: Index, by: str) -> None:
    record = add(index)
    add(index, image=OTHER)
    what = {
        "id": record.id,
        "start": record.id[:8],
        "reference": record.reference,
        "config": record.config_digest,
        "manifest": str(record.manifest_digest),
        "top": record.top,
    }[by]
    (revoked,) = revoke(index, what, NOW + WEEK)
    assert revoked == replace(
        record, revoked_by="bob", revoked_at=NOW + WEEK, revoke_reason="backdoor"
    )
    assert not revoked.active(NOW + WEEK)
    assert revoked in index.trust_records()
    assert len([row for row in index.trust_records() if row.active(NOW + WEEK)]) == 1


def test_reference_revokes_every_trust_in_the_image_newest_first(index: Index) -> None:
    old, new = add(index), add(index, now=NOW + WEEK)
    revoked = revoke(index, BASE.reference, NOW + 2 * WEEK)
    assert [record.id for record in revoked] == [new.id, old.id]


def test_id_revokes_one_trust_only(index: Index) -> None:
    old = add(index)
    add(index, now=NOW + WEEK)
    assert [record.id for record in revoke(index, old.id)] == [old.id]


def test_reference_of_two_images_is_ambiguous_and_both_are_listed(index: Index) -> None:
    first = add(index)
    moved = add(index, image=replace(OTHER, reference=BASE.reference))
    with pytest.raises(TrustError) as caught:
        revoke(index, BASE.reference)
    assert first.id in caught.value.message
    assert moved.id in caught.value.message
    assert all(record.revoked_at is None for record in index.trust_records())


def test_revoking_what_was_never_trusted_is_an_error(index: Index) -> None:
    add(index)
    for what in ("docker://registry.example/never:1", "ffffffffffff", ""):
        with pytest.raises(TrustError, match="nothing is trusted as"):
            revoke(index, what)


def test_revoking_twice_is_an_error_that_names_the_first(index: Index) -> None:
    record = add(index)
    revoke(index, record.id)
    with pytest.raises(TrustError, match="revoked already, by bob"):
        revoke(index, record.id, NOW + WEEK)
    assert index.trust_records()[0].revoked_at == NOW


def test_expired_trust_can_still_be_revoked(index: Index) -> None:
    record = add(index, expires_at=NOW + WEEK)
    (revoked,) = revoke(index, record.id, NOW + 2 * WEEK)
    assert revoked.revoke_reason == "backdoor"


def test_revocation_needs_a_reason(index: Index) -> None:
    record = add(index)
    with pytest.raises(TrustError):
        revoke_trust(index, record.id, "bob", " ", NOW)
    assert index.trust_records() == [record]


def test_trust_given_again_after_a_revocation_is_a_new_record(index: Index) -> None:
    revoke(index, add(index).id)
    again = add(index, now=NOW + WEEK)
    assert again.active(NOW + WEEK)
    assert len(index.trust_records()) == 2
