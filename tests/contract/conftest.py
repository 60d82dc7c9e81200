"""The index that every test of a suite is run on, of every kind."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.postgres import fresh_database

from layerproof.engine.ports import Index
from layerproof.testing.index import MemoryIndex


def memory(_: Path) -> Index:
    return MemoryIndex()


def sqlite(folder: Path) -> Index:
    from layerproof.store.sqlite_index import open_sqlite

    return open_sqlite(folder / "index.db")


def sqlalchemy_on_sqlite(folder: Path) -> Index:
    """The statements as SQLAlchemy runs them, on a schema made by the migrations."""
    from layerproof.store.alchemy import SqlAlchemyExecutor
    from layerproof.store.index import SqlIndex
    from layerproof.store.migrate import sqlite_engine, upgrade

    upgrade(folder / "index.db")
    return SqlIndex(SqlAlchemyExecutor(sqlite_engine(folder / "index.db")))


def postgresql(_: Path) -> Index:
    from layerproof.store.postgresql import open_postgresql

    return open_postgresql(fresh_database())


KINDS: list[Callable[[Path], Index]] = [memory, sqlite, sqlalchemy_on_sqlite, postgresql]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def index(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Index]:
    opened: Index = request.param(tmp_path)
    yield opened
    opened.close()
