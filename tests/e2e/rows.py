"""What an index file holds about contents, chains and images, without what differs from run to run.

Row numbers and times are left out, and so is what belongs to a source and not to the image: names,
manifests and compressed blobs. All other columns are compared, also those added later.
"""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

# Every table, with the natural key that stands for its row numbers.
QUERIES = {
    "contents": "SELECT a.names, t.* FROM contents t JOIN analyser_set a ON a.id=t.analyser_set_id",
    "contents_entries": "SELECT c.diff_id, t.* FROM contents_entries t "
    "JOIN contents c ON c.id=t.contents_id",
    "path_filter": "SELECT c.diff_id, t.* FROM path_filter t JOIN contents c ON c.id=t.contents_id",
    "file_filter": "SELECT c.diff_id, t.* FROM file_filter t JOIN contents c ON c.id=t.contents_id",
    "package": "SELECT c.diff_id, t.* FROM package t JOIN contents c ON c.id=t.contents_id",
    "package_manifests": "SELECT c.diff_id, t.* FROM package_manifests t "
    "JOIN contents c ON c.id=t.contents_id",
    "package_script": "SELECT c.diff_id, t.* FROM package_script t "
    "JOIN contents c ON c.id=t.contents_id",
    "layer": "SELECT t.* FROM layer t",
    "layer_integrity": "SELECT l.chain_id, t.* FROM layer_integrity t "
    "JOIN layer l ON l.id=t.layer_id",
    "layer_change": "SELECT l.chain_id, a.names, t.* FROM layer_change t "
    "JOIN layer l ON l.id=t.layer_id JOIN analyser_set a ON a.id=t.analyser_set_id",
    "package_change": "SELECT l.chain_id, t.* FROM package_change t "
    "JOIN layer l ON l.id=t.layer_id",
    "change_filter": "SELECT l.chain_id, t.* FROM change_filter t JOIN layer l ON l.id=t.layer_id",
    "image": "SELECT t.* FROM image t",
    "image_top": "SELECT i.config_digest, l.chain_id, t.* FROM image_top t "
    "JOIN image i ON i.id=t.image_id JOIN layer l ON l.id=t.layer_id",
    "image_layer": "SELECT i.config_digest, l.chain_id, t.* FROM image_layer t "
    "JOIN image i ON i.id=t.image_id JOIN layer l ON l.id=t.layer_id",
}
RUN_DEPENDENT = {
    "id", "contents_id", "layer_id", "image_id", "analyser_set_id", "indexed_at",
}  # fmt: skip
# Of a source, not of the image; of the user; or of the order in which things were put.
LEFT_OUT = {
    "blob", "image_view", "image_name", "trust", "trust_chain", "event", "verdict", "withdrawal",
    "access_token", "activity", "audit", "counter", "gate_tally", "job", "job_report",
    "made_exception", "policy_revision", "search_entry", "search_posting", "search_segment",
    "cached", "analyser_set",
}  # fmt: skip

Row = tuple[tuple[str, Any], ...]


def rows(index: Path) -> dict[str, list[Row]]:
    """Table → sorted rows of (column, value)."""
    with closing(sqlite3.connect(f"file:{index}?mode=ro", uri=True)) as database:
        return {table: sorted(_read(database, query)) for table, query in QUERIES.items()}


def _read(database: sqlite3.Connection, query: str) -> Iterable[Row]:
    cursor = database.execute(query)
    names = [column[0] for column in cursor.description]
    for values in cursor:
        yield tuple(
            (name, value)
            for name, value in zip(names, values, strict=True)
            if name not in RUN_DEPENDENT
        )


def tables(index: Path) -> set[str]:
    """Every table of the file, without SQLite's and the migrations' own."""
    with closing(sqlite3.connect(f"file:{index}?mode=ro", uri=True)) as database:
        found = database.execute("SELECT name FROM sqlite_master WHERE type='table'")
        return {
            name for (name,) in found if not name.startswith(("sqlite_", "alembic", "migration"))
        }


def problems(index: Path) -> list[str]:
    """What SQLite's own checks have to say; empty when the file is sound."""
    with closing(sqlite3.connect(f"file:{index}?mode=ro", uri=True)) as database:
        integrity = [text for (text,) in database.execute("PRAGMA integrity_check")]
        strays = [str(row) for row in database.execute("PRAGMA foreign_key_check")]
    return [text for text in integrity if text != "ok"] + strays
