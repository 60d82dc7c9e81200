"""Searches that do not read a filter of every layer (docs/adr/0016).

Revision 0006. Everything that has filters is numbered in its order; it is merged into segments when
something is put. Change filters are made from the changes that are there.
"""

from array import array
from collections.abc import Iterator
from zlib import crc32

import sqlalchemy as sa
from alembic import op

from layerproof.errors import IndexUnavailableError
from layerproof.oci import changecodec

revision = "0006"
down_revision = "0005"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TEXT, BYTES, NUMBER = sa.Text(), sa.LargeBinary(), sa.BigInteger()
AT_ONCE = 500


def upgrade() -> None:
    """Add tables, and fill them."""
    op.create_table(
        "change_filter",
        sa.Column("layer_id", KEY, nullable=False),
        sa.Column("hashes", BYTES, nullable=False),
        sa.ForeignKeyConstraint(
            ["layer_id"], ["layer_change.layer_id"], name="fk_change_filter_layer_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("layer_id", name="pk_change_filter"),
    )  # fmt: skip
    _search()
    _indexes()
    _fill()


def _search() -> None:
    op.create_table(
        "search_entry",
        sa.Column("id", KEY, nullable=False),
        sa.Column("contents_id", KEY),
        sa.Column("layer_id", KEY),
        sa.Column("weight", NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_search_entry"),
        sa.UniqueConstraint("contents_id", name="uq_search_entry_contents_id"),
        sa.ForeignKeyConstraint(
            ["contents_id"], ["contents.id"], name="fk_search_entry_contents_id",
            ondelete="CASCADE",
        ),
        sa.UniqueConstraint("layer_id", name="uq_search_entry_layer_id"),
        sa.ForeignKeyConstraint(
            ["layer_id"], ["layer_change.layer_id"], name="fk_search_entry_layer_id",
            ondelete="CASCADE",
        ),
        sqlite_autoincrement=True,
    )  # fmt: skip
    op.create_table(
        "search_segment",
        sa.Column("id", KEY, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("shift", sa.Integer(), nullable=False),
        sa.Column("first", NUMBER, nullable=False),
        sa.Column("last", NUMBER, nullable=False),
        sa.Column("entries", NUMBER, nullable=False),
        sa.Column("postings", NUMBER, nullable=False),
        sa.Column("into_id", NUMBER),
        sa.Column("done_to", NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_search_segment"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "search_posting",
        sa.Column("place", KEY, nullable=False, autoincrement=False),
        sa.Column("data", BYTES, nullable=False),
        sa.PrimaryKeyConstraint("place", name="pk_search_posting"),
    )
    if op.get_context().dialect.name == "postgresql":  # they are compressed
        op.execute("ALTER TABLE search_posting ALTER COLUMN data SET STORAGE EXTERNAL")


def _indexes() -> None:
    """With the key of what is asked for at their end, so that the newest stand together."""
    for table, column, key in (
        ("package", "name", "contents_id"),
        ("package_change", "name", "layer_id"),
        ("layer", "diff_id", "id"),
        ("image_layer", "layer_id", "image_id"),
    ):
        op.drop_index(f"ix_{table}_{column}", table)
        op.create_index(f"ix_{table}_{column}_{key}", table, [column, key], unique=False)


def _fill() -> None:
    connection = op.get_bind()
    connection.execute(
        sa.text(
            "INSERT INTO search_entry (contents_id, weight)"
            " SELECT p.contents_id, (length(p.hashes) + length(f.hashes)) / 4"
            " FROM path_filter p JOIN file_filter f ON f.contents_id = p.contents_id"
            " ORDER BY p.contents_id"
        )
    )
    put = sa.text("INSERT INTO change_filter (layer_id, hashes) VALUES (:layer_id, :hashes)")
    for rows in _changes(connection):
        filters = [{"layer_id": key, "hashes": _filter(changes)} for key, changes in rows]
        connection.execute(put, filters)
    connection.execute(
        sa.text(
            "INSERT INTO search_entry (layer_id, weight)"
            " SELECT layer_id, length(hashes) / 4 FROM change_filter ORDER BY layer_id"
        )
    )


def _changes(connection: sa.Connection) -> Iterator[list[tuple[int, bytes]]]:
    query = sa.text(
        "SELECT layer_id, changes FROM layer_change WHERE layer_id > :after"
        " ORDER BY layer_id LIMIT :some"
    )
    after = 0
    while rows := connection.execute(query, {"after": after, "some": AT_ONCE}).fetchall():
        after = rows[-1][0]
        yield [(key, bytes(changes)) for key, changes in rows]


def _filter(changes: bytes) -> bytes:
    # As layerproof.oci.changecodec.change_filter made it when this revision was written.
    try:
        found = changecodec.decode(changes).changes
    except IndexUnavailableError:
        return b""  # damaged: it is told when the layer is asked for
    paths = {path for change in found for path in (change.path, change.by, change.target)}
    numbers = array("I", sorted({crc32(path) for path in paths if path}))
    if array("H", [1]).tobytes() != b"\x01\x00":
        numbers.byteswap()
    return numbers.tobytes()
