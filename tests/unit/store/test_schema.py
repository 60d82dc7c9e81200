"""The schema, the migrations and the generated SQL say the same."""

import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.dialects import postgresql

from layerproof.store import generate, sqlite_sql
from layerproof.store.migrate import sqlite_engine, upgrade
from layerproof.store.schema import metadata
from layerproof.store.sqlite_index import open_sqlite
from layerproof.store.statements import statements

STORE = Path(generate.__file__).parent

# What reads a whole table on purpose.
SCANS = {
    "images", "trust_records", "events", "verdicts", "withdrawals",
    # few rows, or done seldom
    "accounts", "deeds", "drop_blobs_of", "images_page_named",
    "made_exceptions", "old_images", "old_images_of", "policy_revisions", "search_segments",
    "tokens",
}  # fmt: skip


def declared(path: Path) -> tuple[list[tuple[str, str]], int, list[str]]:
    """Every object's SQL without its spacing, the application id, the revision."""
    connection = sqlite3.connect(path)
    objects = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
    found = sorted((name, re.sub(r"\s+", "", sql)) for name, sql in objects)
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    revisions = [row[0] for row in connection.execute("SELECT version_num FROM alembic_version")]
    connection.close()
    return found, application, revisions


def test_generated_sql_is_up_to_date() -> None:
    assert generate.TARGET.read_text() == generate.text(), "run python -m layerproof.store.generate"


def test_migrations_make_exactly_the_schema(tmp_path: Path) -> None:
    upgrade(tmp_path / "index.db")
    with sqlite_engine(tmp_path / "index.db").connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_a_new_file_equals_a_migrated_one(tmp_path: Path) -> None:
    upgrade(tmp_path / "migrated.db")
    index = open_sqlite(tmp_path / "new.db")
    index.cached("")
    index.close()
    assert declared(tmp_path / "new.db") == declared(tmp_path / "migrated.db")


def test_migrating_twice_changes_nothing(tmp_path: Path) -> None:
    upgrade(tmp_path / "index.db")
    before = declared(tmp_path / "index.db")
    upgrade(tmp_path / "index.db")
    assert declared(tmp_path / "index.db") == before


@pytest.fixture(scope="module")
def empty() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    for sql in sqlite_sql.SCHEMA:
        connection.execute(sql)
    return connection


@pytest.mark.parametrize("name", sorted(sqlite_sql.STATEMENTS))
def test_every_statement_looks_up_by_an_index(empty: sqlite3.Connection, name: str) -> None:
    sql = sqlite_sql.STATEMENTS[name].replace(":keys*", ":a, :b")
    parameters = dict.fromkeys(re.findall(r":(\w+)", sql))
    plan = [row[3] for row in empty.execute(f"EXPLAIN QUERY PLAN {sql}", parameters)]
    scans = [step for step in plan if "SCAN" in step and step != "SCAN holding"]  # an inner result
    assert bool(scans) == (name in SCANS), plan


@pytest.mark.parametrize("name", sorted(sqlite_sql.STATEMENTS))
def test_every_statement_is_used(name: str) -> None:
    users = [*STORE.glob("*_rows.py"), STORE / "index.py", STORE / "ledger.py"]
    assert any(f'"{name}"' in user.read_text() for user in users)


def test_every_statement_exists_for_postgresql() -> None:
    known = statements("postgresql")
    assert set(known) == set(sqlite_sql.STATEMENTS)
    for statement in known.values():
        assert str(statement.compile(dialect=postgresql.dialect()))  # type: ignore[attr-defined]  # because Executable hides it


def test_the_sqlite_index_loads_no_framework(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from layerproof.store.sqlite_index import *;"
        f"index = open_sqlite(Path({str(tmp_path / 'index.db')!r}));"
        "index.put_cached('a', b'b'); assert index.cached('a') == b'b';"
        "heavy = {'sqlalchemy', 'alembic', 'msgspec', 'asyncio'} & set(sys.modules);"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
