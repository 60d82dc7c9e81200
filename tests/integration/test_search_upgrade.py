"""What an index of the revision before 0006 holds is found after the upgrade, on both databases."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from zlib import crc32

import pytest
from alembic import command
from sqlalchemy import Engine, text
from tests.contract.index_examples import ANALYSERS, contents, diff, uint32
from tests.postgres import empty_database

from layerproof.model.change import Change, ChangeKind, ChangeSet
from layerproof.model.digest import ChainId
from layerproof.model.entry import FILE, Entry
from layerproof.model.page import Page
from layerproof.oci import changecodec
from layerproof.store import segment_rows
from layerproof.store.index import SqlIndex
from layerproof.store.migrate import configuration, sqlite_engine
from layerproof.store.postgresql import engine_of, open_postgresql
from layerproof.store.sqlite_index import open_sqlite

LAYERS = 700  # more than wait at once
PATH = b"etc/shadow"


def sqlite(folder: Path) -> tuple[Engine, Callable[[], SqlIndex]]:
    file = folder / "index.db"
    return sqlite_engine(file, foreign_keys=False), lambda: open_sqlite(file)


def postgresql(_: Path) -> tuple[Engine, Callable[[], SqlIndex]]:
    url = empty_database()
    return engine_of(url), lambda: open_postgresql(url)


def older(engine: Engine) -> None:
    """An index of revision 0005 with layers, each of which has a path and changes one."""
    config = configuration()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0005")
        connection.execute(text(f"INSERT INTO analyser_set (id, names) VALUES (1, '{ANALYSERS}')"))
        for number in range(LAYERS):
            for statement, row in rows(number + 1):
                connection.execute(text(statement), row)
        if engine.dialect.name == "postgresql":
            for table in ("analyser_set", "contents", "layer"):
                query = f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), {LAYERS})"
                connection.execute(text(query))
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:
            connection.exec_driver_sql("COMMIT")
            connection.exec_driver_sql("PRAGMA application_id=0x4c507266")
    engine.dispose()


def rows(key: int) -> list[tuple[str, dict[str, object]]]:
    raw = bytes.fromhex(diff(str(key)).partition(":")[2])
    before = Entry(PATH, FILE, 0o600, 0, 0, 1, sha256(b"x").digest(), None)
    change = Change(ChangeKind.DELETED, PATH, before, None, by=b"etc")
    changes = changecodec.encode(ChangeSet({}, (change,)))
    return [
        (
            "INSERT INTO contents (id, diff_id, analyser_set_id, size, entry_count, file_bytes,"
            " skipped, package_files, facts) VALUES (:id, :raw, 1, 1, 1, 1, :none, :none, :none)",
            {"id": key, "raw": raw, "none": b"[]"},
        ),
        ("INSERT INTO contents_entries VALUES (:id, :data)", {"id": key, "data": b"entries"}),
        ("INSERT INTO path_filter VALUES (:id, :data)", {"id": key, "data": uint32(7, key)}),
        ("INSERT INTO file_filter VALUES (:id, :data)", {"id": key, "data": uint32(8)}),
        (
            "INSERT INTO layer (id, chain_id, parent, position, diff_id)"
            " VALUES (:id, :raw, NULL, 0, :raw)",
            {"id": key, "raw": raw},
        ),
        (
            "INSERT INTO layer_change (layer_id, analyser_set_id, counts, package_changes, changes)"
            " VALUES (:id, 1, :counts, :none, :data)",
            {"id": key, "none": b"[]", "counts": b"{}", "data": changes},
        ),
    ]


@pytest.mark.parametrize("kind", [sqlite, postgresql], ids=lambda kind: kind.__name__)
def test_layers_of_an_older_index_are_found_after_the_upgrade(
    kind: Callable[[Path], tuple[Engine, Callable[[], SqlIndex]]], tmp_path: Path
) -> None:
    engine, opened = kind(tmp_path)
    older(engine)
    index = opened()
    for _ in range(2):  # waiting, then merged
        assert index.contents_with_path_hash(500, 9) == Page((diff("500"),))
        page = index.contents_with_path_hash(7, 1000)
        assert page.items == tuple(diff(str(n)) for n in range(LAYERS, 0, -1))
        assert len(index.contents_with_file_hash(8, 1000).items) == LAYERS
        assert index.chains_with_path_hash(crc32(PATH), 2).items == (
            ChainId(diff(str(LAYERS))), ChainId(diff(str(LAYERS - 1))),
        )  # fmt: skip
        assert len(index.chains_with_path_hash(crc32(b"etc"), 1000).items) == LAYERS
        assert index.chains_with_path_hash(crc32(b""), 9) == Page(())
        segment_rows.work(index._executor, None)
    with index._executor.read() as session:
        assert len(segment_rows.read(session)) == 2
    index.put_contents(contents("new", path_filter=uint32(7)), None)
    assert index.contents_with_path_hash(7, 2).items == (diff("new"), diff(str(LAYERS)))
    index.close()
