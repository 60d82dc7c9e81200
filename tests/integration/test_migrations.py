"""Every earlier schema, with rows in it, becomes the newest one: on SQLite and on PostgreSQL, once,
wholly or not at all."""

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from sqlalchemy import Engine, MetaData, Table, create_engine, inspect, text
from sqlalchemy.pool import NullPool
from tests.contract.index_examples import (
    MONDAY,
    TUESDAY,
    WEDNESDAY,
    chains,
    contents,
    diff,
    event,
    image,
    trust,
    withdrawal,
)
from tests.integration.test_store_processes import in_child, went_well
from tests.postgres import empty_database

from layerproof.engine.ports import Index
from layerproof.errors import IndexUnavailableError, IndexVersionError
from layerproof.model.event import EventKind
from layerproof.store import postgresql
from layerproof.store.migrate import configuration, sqlite_engine
from layerproof.store.sqlite_index import open_sqlite
from layerproof.store.sqlite_sql import HEAD, REVISIONS

EVENTS = [
    event("a", at=TUESDAY),
    event("b", at=MONDAY),
    event("c", at=WEDNESDAY, account="bob", repository="é/\x00odd", kind=EventKind.PULL),
    event("d", manifest_digest=None, account=""),
]


class Sqlite:
    def __init__(self, folder: Path) -> None:
        self.path = folder / "index.db"

    def engine(self) -> Engine:
        return sqlite_engine(self.path, foreign_keys=False)

    def open(self) -> Index:
        return open_sqlite(self.path)


class Postgresql:
    def __init__(self, _: Path) -> None:
        self.url = empty_database()

    def engine(self) -> Engine:
        return create_engine(postgresql.engine_of(self.url).url, poolclass=NullPool)

    def open(self) -> Index:
        return postgresql.open_postgresql(self.url)


Database = Sqlite | Postgresql


@pytest.fixture(params=[Sqlite, Postgresql], ids=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    made: Database = request.param(tmp_path)
    return made


def filled(tmp_path: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows of an index of today, by table."""
    path = tmp_path / "today.db"
    index = open_sqlite(path)
    of = image("ab")
    for letter in "ab":
        index.put_contents(contents(letter, diff_id=diff(letter)), None)
    index.put_image(of, chains(of), MONDAY)
    index.put_trust(trust(of))
    index.put_events(EVENTS)
    index.put_withdrawals([withdrawal()])
    index.close()
    engine = sqlite_engine(path)
    known = MetaData()
    known.reflect(engine)
    with engine.connect() as connection:
        return {
            table.name: [dict(row) for row in connection.execute(table.select()).mappings()]
            for table in known.sorted_tables
        }


def older(database: Database, revision: str, rows: dict[str, list[dict[str, Any]]]) -> None:
    """A database as the version of this revision left it."""
    engine = database.engine()
    config = configuration()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        there = set(inspect(connection).get_table_names()) - {"alembic_version"}
        for name, found in rows.items():  # in an order that references allow
            if name not in there or not found:
                continue
            table = Table(name, MetaData(), autoload_with=connection)
            keys = {column.name for column in table.columns}
            kept = [{key: value for key, value in row.items() if key in keys} for row in found]
            connection.execute(table.insert(), kept)
            if "id" in keys and connection.dialect.name == "postgresql":
                last = text(f"SELECT setval('{name}_id_seq', {max(row['id'] for row in found)})")
                connection.execute(last)
    engine.dispose()


def revision_of(database: Database) -> str:
    engine = database.engine()
    with engine.connect() as connection:
        found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
    return str(found)


@pytest.mark.parametrize("revision", REVISIONS[:-1])
def test_rows_of_every_earlier_schema_are_kept_and_understood(
    database: Database, tmp_path: Path, revision: str
) -> None:
    older(database, revision, filled(tmp_path))
    index = database.open()
    of = image("ab")
    found = index.contents(diff("a"))
    assert found is not None
    assert found.entries == contents("a").entries
    assert index.image_by_config(of.config_digest).image == of  # type: ignore[union-attr]  # because None fails too
    assert index.trust_of([of.layers[0].chain_id]) == [trust(of)]
    assert index.images_with_chain(of.layers[1].chain_id)
    if revision >= "0002":
        assert {item.identity for item in index.events()} == {"a", "b", "c", "d"}
        assert index.withdrawals() == [withdrawal()]
        assert index.images_with_tops([of.layers[-1].chain_id])
    # What came later can be written.
    index.put_events([event("new", country="DE")])
    index.put_contents(contents("z", diff_id=diff("z")), None)
    assert index.contents(diff("z")) == contents("z", diff_id=diff("z"))
    index.close()
    assert revision_of(database) == HEAD
    again = database.open()  # the second start has nothing to do
    assert again.contents(diff("a")) is not None
    again.close()


def test_what_events_add_up_to_is_as_if_it_had_been_counted_from_the_start(
    database: Database, tmp_path: Path
) -> None:
    older(database, "0003", filled(tmp_path))
    index = database.open()
    fresh = open_sqlite(tmp_path / "fresh.db")
    fresh.put_image(image("ab"), [], MONDAY)
    fresh.put_events(EVENTS)
    chain = image("ab").layers[0].chain_id
    assert index.activity_of_layers([chain]) == fresh.activity_of_layers([chain])
    assert index.accounts() == fresh.accounts()
    assert index.pushers_of_layers([chain]) == fresh.pushers_of_layers([chain])
    # One more of the same adds to it, and makes no second row.
    for each in (index, fresh):
        each.put_events([event("e", at=WEDNESDAY), EVENTS[0]])
    assert index.activity_of_layers([chain]) == fresh.activity_of_layers([chain])
    assert len(list(index.deeds())) == len(list(fresh.deeds())) == 3
    index.close()
    fresh.close()


@pytest.mark.parametrize("revision", ["", *REVISIONS[:-1]])
def test_processes_that_start_at_once_migrate_once(
    database: Database, tmp_path: Path, revision: str
) -> None:
    rows = filled(tmp_path)
    if revision:
        older(database, revision, rows)
    reading, writing = os.pipe()

    def work() -> None:
        os.close(writing)
        os.read(reading, 1)
        index = database.open()
        index.put_cached(str(os.getpid()), b"here")
        index.close()

    children = [in_child(work) for _ in range(3)]
    os.close(writing)
    assert went_well(*children)
    os.close(reading)
    assert revision_of(database) == HEAD
    index = database.open()
    assert [index.cached(str(child)) for child in children] == [b"here"] * 3
    assert len(list(index.deeds())) == (3 if revision >= "0002" else 0)
    index.close()


@pytest.mark.parametrize("revision", ["", *REVISIONS[:-1]])
def test_a_migration_that_is_killed_in_the_middle_is_rolled_back_and_done_by_the_next_start(
    database: Database, tmp_path: Path, revision: str
) -> None:
    if revision:
        older(database, revision, filled(tmp_path))
    elif isinstance(database, Sqlite):
        return  # a new file is made by other means; test_store_processes has that

    def work() -> None:
        dying(lambda: database.open().cached("a"))

    child = in_child(work)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    if revision:
        assert revision_of(database) == revision
    index = database.open()
    assert index.cached("a") is None
    if revision:
        assert index.contents(diff("a")) is not None
    index.close()
    assert revision_of(database) == HEAD


def dying(start: Callable[[], object]) -> None:
    """Kill this process when the last step has run, before anything is committed."""
    from alembic.runtime.migration import MigrationContext

    done = MigrationContext.run_migrations

    def run(self: MigrationContext, **arguments: object) -> None:
        done(self, **arguments)  # type: ignore[arg-type]  # because alembic passes what it wants
        os.kill(os.getpid(), signal.SIGKILL)

    MigrationContext.run_migrations = run  # type: ignore[method-assign]  # in a child that dies of it
    start()


def test_a_database_of_a_newer_version_is_refused_and_left_alone(
    database: Database, tmp_path: Path
) -> None:
    older(database, HEAD, filled(tmp_path))
    engine = database.engine()
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9000'"))
    for _ in range(2):
        index = database.open()
        with pytest.raises(IndexVersionError, match="newer Layerproof") as caught:
            index.put_cached("a", b"b")
        assert "upgrade" in (caught.value.remedy or "")
        index.close()
    assert revision_of(database) == "9000"
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM cached")).scalar_one() == 0


def test_a_migration_waits_for_who_writes_with_the_older_version(tmp_path: Path) -> None:
    """On PostgreSQL a table cannot be altered under somebody's transaction."""
    database = Postgresql(tmp_path)
    older(database, "0003", filled(tmp_path))
    engine = database.engine()
    holder = engine.connect()
    transaction = holder.begin()
    holder.execute(text("INSERT INTO cached (key, value) VALUES ('old', 'x')"))
    holder.execute(text("SELECT * FROM event"))
    done = threading.Event()

    def start() -> None:
        index = database.open()
        index.put_cached("new", b"y")
        index.close()
        done.set()

    thread = threading.Thread(target=start)
    thread.start()
    assert not done.wait(0.3)
    transaction.commit()
    holder.close()
    thread.join(30)
    assert done.is_set()
    index = database.open()
    assert (index.cached("old"), index.cached("new")) == (b"x", b"y")
    index.close()


def test_a_database_in_which_nothing_may_be_made_is_told_so(tmp_path: Path) -> None:
    database = Postgresql(tmp_path)
    engine = database.engine()
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
    index = database.open()
    with pytest.raises(IndexUnavailableError, match="cannot be used") as caught:
        index.cached("a")
    assert caught.value.remedy
    index.close()
