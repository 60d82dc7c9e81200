"""Values come back from columns equal, and damaged ones are named."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerproof.model.digest import Digest
from layerproof.store import codec

_any_text = st.text(st.characters(codec=None))


@given(_any_text)
def test_text_comes_back_and_every_database_takes_it(value: str) -> None:
    stored = codec.text(value)
    assert codec.untext(stored) == value
    assert "\x00" not in stored
    stored.encode()  # raises for surrogates


@given(_any_text, _any_text)
def test_different_texts_are_stored_differently(one: str, other: str) -> None:
    assert (codec.text(one) == codec.text(other)) == (one == other)


def test_printable_text_is_stored_as_it_is() -> None:
    assert codec.text("libstdc++6:amd64 é") == "libstdc++6:amd64 é"


@pytest.mark.parametrize("length", [0, codec.COMPRESS_FROM * 10])
def test_documents_come_back_short_or_long(length: int) -> None:
    value = {"x" * length: [None, True, 1.5, "\ud800", {}]}
    assert codec.undocument(codec.document(value)) == value


def test_long_documents_are_compressed() -> None:
    assert len(codec.document(["a"] * 10_000)) < 1_000


@given(st.datetimes(timezones=st.just(UTC)))
def test_times_come_back_exactly(time: datetime) -> None:
    assert codec.unmicros(codec.micros(time)) == time


def test_a_time_without_zone_is_a_programming_error() -> None:
    with pytest.raises(TypeError):
        codec.micros(datetime(2024, 1, 1) + timedelta(0))  # noqa: DTZ001  because that is the case


@pytest.mark.parametrize("data", [b"", b"x", bytes(31), bytes(65)])
def test_bytes_of_no_digest_are_a_damaged_row(data: bytes) -> None:
    with pytest.raises(codec.DamagedRowError):
        codec.digest(Digest, data)


@pytest.mark.parametrize("data", [b"", b"x\x9c damaged", b"{", b"\xff", b"[1, 2]", b"null"])
def test_bytes_of_no_package_changes_are_a_damaged_row(data: bytes) -> None:
    with pytest.raises(codec.DamagedRowError), codec.decoding("package changes"):
        codec.unpackage_changes(data)


def test_text_after_the_mark_that_is_no_json_is_a_damaged_row() -> None:
    with pytest.raises(codec.DamagedRowError):
        codec.untext(codec.MARK + "{")


def test_a_time_beyond_the_calendar_is_a_damaged_row() -> None:
    with pytest.raises(codec.DamagedRowError), codec.decoding("time"):
        codec.unmicros(1 << 62)
