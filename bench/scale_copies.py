"""An index file times n: every row again with other digests, by SQL, and its copy in PostgreSQL.

A copy's digests are the first one's, turned by some bytes: as random as these, and as distinct. All
else is the same bytes, which `check` makes sure of through the index's own methods. Trust is put by
the store's own code, and so are the segments: copied are only rows that the store wrote as well.
"""

import random
import sqlite3
import sys
from dataclasses import replace
from pathlib import Path

import psycopg
from psycopg import sql

from layerproof.model.digest import ChainId, DiffId, Digest
from layerproof.model.image import Image
from layerproof.store import segment_rows
from layerproof.store.schema import metadata
from layerproof.store.sqlite import SqliteExecutor
from layerproof.store.sqlite_index import open_sqlite

MOST = 31  # copies: a digest has 32 bytes
_LEVEL = 2  # entries that make a segment of it at once, as they do by way of levels 0 and 1

# What a copy's columns are, where they are not the same. id: moved by the highest one of a table.
_DIGEST = "CAST(substr({0}, 1 + :copy) || substr({0}, 1, :copy) AS BLOB)"
_COPIES = {
    "contents": {"id": "contents", "diff_id": _DIGEST},
    "contents_entries": {"contents_id": "contents"},
    "path_filter": {"contents_id": "contents"},
    "file_filter": {"contents_id": "contents"},
    "package": {"contents_id": "contents"},
    "blob": {"digest": _DIGEST, "diff_id": _DIGEST},
    "layer": {"id": "layer", "chain_id": _DIGEST, "parent": _DIGEST, "diff_id": _DIGEST},
    "layer_change": {"layer_id": "layer"},
    "change_filter": {"layer_id": "layer"},
    "image": {"id": "image", "config_digest": _DIGEST},
    "image_layer": {"image_id": "image", "layer_id": "layer"},
    "image_top": {"image_id": "image", "layer_id": "layer"},
    "image_view": {
        "id": "image_view", "image_id": "image", "identity": _DIGEST, "manifest_digest": _DIGEST,
    },
    "image_name": {
        "id": "image_name", "view_id": "image_view", "reference": "{0} || '-' || :copy",
    },
    "search_entry": {"id": "search_entry", "contents_id": "contents", "layer_id": "layer"},
}  # fmt: skip


def turned(digest: str, copy: int) -> str:
    """The digest of a copy."""
    kind, _, text = digest.partition(":")
    return f"{kind}:{text[2 * copy :]}{text[: 2 * copy]}"


def multiply(path: Path, copies: int) -> None:
    """Put every row `copies` times more, and merge all filters."""
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("synchronous=OFF", "cache_size=-1500000", "wal_autocheckpoint=100000"):
        connection.execute(f"PRAGMA {pragma}")
    highest = {
        table: connection.execute(f"SELECT max({_key(table)}) FROM {table}").fetchone()[0]
        for table in {table for columns in _COPIES.values() for table in columns.values()}
        if table in _COPIES
    }
    connection.execute("BEGIN")
    for copy in range(1, copies + 1):
        for table, changed in _COPIES.items():
            _copy(connection, table, changed, highest, copy)
        sys.stderr.write(f"\r… copy {copy} of {copies}")
        sys.stderr.flush()
    connection.execute("COMMIT")
    connection.close()
    sys.stderr.write("\n")


def _key(table: str) -> str:
    return next(iter(_COPIES[table]))


def _copy(
    connection: sqlite3.Connection,
    table: str,
    changed: dict[str, str],
    highest: dict[str, int],
    copy: int,
) -> None:
    names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    values = []
    for name in names:
        how = changed.get(name, "{0}")
        values.append(f"{name} + {copy * highest[how]}" if how in highest else how.format(name))
    key, of = _key(table), changed[_key(table)]
    where = f"WHERE {key} <= {highest[of]}" if of in highest else ""
    if not where:  # known by its digest only
        where = "WHERE diff_id IN (SELECT diff_id FROM contents WHERE id <= "
        where += f"{highest['contents']})"
    connection.execute(
        f"INSERT INTO {table} ({', '.join(names)}) SELECT {', '.join(values)} FROM {table}"
        f" {where} ORDER BY {key}",
        {"copy": copy},
    )


def trust_copies(path: Path, copies: int) -> None:
    """Trust the copies of trusted images."""
    index = open_sqlite(path)
    for record in index.trust_records():
        for copy in range(1, copies + 1):
            chain_ids = tuple(ChainId(turned(c, copy)) for c in record.chain_ids)
            config = Digest(turned(record.config_digest, copy))
            index.put_trust(
                replace(record, id=f"{record.id}-{copy}", chain_ids=chain_ids, config_digest=config)
            )
    index.close()


def merge(path: Path) -> None:
    """Merge all that waits, skipping the small levels: what they lead to are the same rows."""
    executor = SqliteExecutor(path)
    waiting, values, fan = segment_rows.WAITING, segment_rows.WAITING_VALUES, segment_rows.FAN
    segment_rows.WAITING = waiting * fan**_LEVEL
    segment_rows.WAITING_VALUES = sys.maxsize
    segment_rows.FAN = sys.maxsize
    try:
        segment_rows.work(executor, None)
    finally:
        segment_rows.WAITING, segment_rows.WAITING_VALUES = waiting, values
        segment_rows.FAN = fan
    executor.close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE search_segment SET level = ?", (_LEVEL,))
    connection.commit()
    connection.close()
    segment_rows.work(executor, None)
    executor.close()


def check(path: Path, copies: int, samples: int = 50) -> None:
    """What copies say is what the first ones say. Raises AssertionError."""
    index = open_sqlite(path)
    chance = random.Random(3)
    records = index.images_page(samples).items
    for record in records:
        layer = chance.choice(record.image.layers)
        copy = chance.randrange(1, copies + 1)
        first = DiffId(_back(layer.diff_id, record.image))
        one, other = index.contents(first), index.contents(DiffId(turned(first, copy)))
        assert one is not None
        assert other == replace(one, diff_id=DiffId(turned(first, copy)))
    index.close()


def _back(digest: str, image: Image) -> str:
    """Of the first one."""
    _, _, copy = image.reference.rpartition(":1")
    return turned(digest, 32 - int(copy[1:])) if copy else digest


def to_postgresql(path: Path, url: str) -> None:
    """Copy every row of the file into an empty index."""
    source = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    with psycopg.connect(url) as target:
        target.execute("SET session_replication_role = replica")  # rows come in any order
        target.execute("SET maintenance_work_mem = '512MB'")
        for table in metadata.sorted_tables:
            columns = [column.name for column in table.columns]
            names = sql.SQL(", ").join(map(sql.Identifier, columns))
            into = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)")
            types = [_TYPES[str(column.type)] for column in table.columns]
            with target.cursor().copy(into.format(sql.Identifier(table.name), names)) as copy:
                copy.set_types(types)
                for row in source.execute(f"SELECT {', '.join(columns)} FROM {table.name}"):
                    copy.write_row(row)
            if "id" in columns:
                target.execute(
                    sql.SQL(
                        "SELECT setval(pg_get_serial_sequence({}, 'id'), (SELECT coalesce(max(id),"
                        " 1) FROM {}))"
                    ).format(sql.Literal(table.name), sql.Identifier(table.name))
                )
            sys.stderr.write(f"\r… {table.name}                    ")
            sys.stderr.flush()
    source.close()
    sys.stderr.write("\n")
    with psycopg.connect(url, autocommit=True) as target:
        target.execute("VACUUM ANALYZE")


_TYPES = {"BIGINT": "int8", "INTEGER": "int4", "TEXT": "text", "BLOB": "bytea"}
