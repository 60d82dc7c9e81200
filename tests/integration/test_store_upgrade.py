"""An index of an older version is brought to the newest schema once, wholly or not at all."""

import os
import shutil
import signal
import sqlite3
from pathlib import Path

import pytest
from tests.contract.index_examples import blob, contents, diff
from tests.integration.test_store_processes import in_child, sound, went_well

from layerproof.errors import IndexUnavailableError
from layerproof.store import migrate
from layerproof.store.sqlite_index import open_sqlite
from layerproof.store.sqlite_sql import HEAD

NEXT = '''
"""A next revision, for tests."""

import os

import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "{head}"


def upgrade() -> None:
    with op.batch_alter_table("contents") as batch:  # copies the table, as SQLite must
        batch.add_column(sa.Column("extra", sa.Integer(), server_default="7"))
    op.create_table("extra", sa.Column("id", sa.Integer(), primary_key=True))
    {then}
'''


def older(path: Path) -> Path:
    """An index as a version before the first revision would have left it: ours, without tables."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA application_id=0x4c507266")
    connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
    connection.close()
    return path


def with_next(folder: Path, then: str = "") -> Path:
    """The migrations of the package and one more."""
    shutil.copytree(
        migrate.MIGRATIONS, folder / "migrations", ignore=shutil.ignore_patterns("__pycache__")
    )
    text = NEXT.format(then=then, head=HEAD).strip()
    (folder / "migrations" / "versions" / "revision_9999.py").write_text(text)
    return folder / "migrations"


def indexed(path: Path) -> Path:
    index = open_sqlite(path)
    index.put_contents(contents(), blob())
    index.close()
    return path


def state(path: Path) -> tuple[str, list[str]]:
    """Revision and columns of the contents."""
    connection = sqlite3.connect(path)
    (revision,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    columns = [row[1] for row in connection.execute("PRAGMA table_info(contents)")]
    connection.close()
    return revision, columns


def test_an_older_index_is_upgraded_when_it_is_opened(tmp_path: Path) -> None:
    path = older(tmp_path / "index.db")
    index = open_sqlite(path)
    index.put_contents(contents(), blob())
    assert index.contents(diff("a")) == contents()
    index.close()
    assert state(path)[0] == HEAD


def test_processes_that_open_an_older_index_at_once_upgrade_it_once(tmp_path: Path) -> None:
    path = older(tmp_path / "index.db")
    gate = os.pipe()

    def work() -> None:
        os.close(gate[1])
        os.read(gate[0], 1)
        open_sqlite(path).put_cached(str(os.getpid()), b"here")

    children = [in_child(work) for _ in range(4)]
    os.close(gate[1])
    assert went_well(*children)
    os.close(gate[0])
    index = open_sqlite(path)
    assert [index.cached(str(child)) for child in children] == [b"here"] * 4
    index.close()
    assert sound(path)


def test_an_older_index_that_can_only_be_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = older(tmp_path / "index.db")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(IndexUnavailableError, match="older schema"):
        open_sqlite(path).cached("a")


def test_a_next_revision_keeps_every_row(tmp_path: Path) -> None:
    path = indexed(tmp_path / "index.db")
    migrate.upgrade(path, migrations=with_next(tmp_path))
    revision, columns = state(path)
    assert revision == "9999"
    assert "extra" in columns
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT count(*), max(extra) FROM contents").fetchone() == (1, 7)
    assert connection.execute("SELECT count(*) FROM package").fetchone() == (2,)
    connection.close()
    assert sound(path)


def test_an_upgrade_killed_at_its_end_leaves_the_index_as_it_was(tmp_path: Path) -> None:
    path = indexed(tmp_path / "index.db")
    before = state(path)
    deadly = with_next(tmp_path, "os.kill(os.getpid(), 9)")
    child = in_child(lambda: migrate.upgrade(path, migrations=deadly))
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert state(path) == before
    assert sound(path)
    index = open_sqlite(path)
    assert index.contents(diff("a")) == contents()
    index.close()


def test_an_upgrade_that_fails_leaves_the_index_as_it_was(tmp_path: Path) -> None:
    path = indexed(tmp_path / "index.db")
    before = state(path)
    failing = with_next(tmp_path, "op.execute('SELECT * FROM no_such_table')")
    with pytest.raises(IndexUnavailableError, match="cannot be upgraded") as caught:
        migrate.upgrade(path, migrations=failing)
    assert caught.value.remedy
    assert state(path) == before
    assert sound(path)


def test_an_upgrade_waits_for_a_writer_and_gives_up_by_name(tmp_path: Path) -> None:
    path = indexed(tmp_path / "index.db")
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(IndexUnavailableError, match="locked"):
        migrate.upgrade(path, busy_seconds=0.05)
    holder.close()
