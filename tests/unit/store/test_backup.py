"""A backup is of one moment, whoever writes meanwhile."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from layerproof.errors import UsageError
from layerproof.store.sqlite import back_up
from layerproof.store.sqlite_index import open_sqlite

NOW = datetime(2026, 11, 28, tzinfo=UTC)
MUCH = bytes(24 << 20)  # more than one step of the copy


def test_what_is_written_while_it_is_copied_is_not_in_the_copy(tmp_path: Path) -> None:
    index = open_sqlite(tmp_path / "index.db")
    index.put_cached("before", MUCH)
    told: list[tuple[int, int]] = []

    def tell(done: int, total: int) -> None:
        told.append((done, total))
        index.put_cached(f"meanwhile {len(told)}", b"x")

    size = back_up(tmp_path / "index.db", tmp_path / "copy.db", tell)
    index.close()
    copy = open_sqlite(tmp_path / "copy.db")
    assert copy.cached("before") == MUCH
    assert copy.cached("meanwhile 1") is None
    copy.close()
    assert len(told) > 1
    assert told[-1] == (size, size)


def test_an_index_that_is_not_there_is_not_backed_up(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no index"):
        back_up(tmp_path / "index.db", tmp_path / "copy.db")
    assert list(tmp_path.iterdir()) == []
