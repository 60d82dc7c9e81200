"""The index's tables, declared once.

Rules of the schema:

1. A digest is stored as its raw bytes: 32 for sha256, 64 for sha512. The length tells which.
2. A time is stored as whole microseconds since 1970-01-01 UTC.
3. Small nested values are one *document* column (`layerproof.store.codec.document`); only what is
   searched has columns of its own.
4. Large values stand in tables of their own, so that reading a row's small part stays cheap.

Importing SQLAlchemy costs a quarter of a second, so the SQLite index does not import this module:
`layerproof.store.generate` writes what follows from it to `layerproof.store.sqlite_sql`. Whoever
changes a table adds a migration and runs the generator; tests compare all three.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

# Marks SQLite files as ours (sqlite.org/fileformat.html section 1.3.13): "LPrf".
APPLICATION_ID = 0x4C507266

# Constraint names must be the same in the schema and in migrations, on every database.
metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

# SQLite counts rows by itself only in a column of exactly this type.
_Key = BigInteger().with_variant(Integer(), "sqlite")


def _key() -> Column[int]:
    return Column("id", _Key, primary_key=True)


def _of(table: str, name: str, *, primary_key: bool = False, index: bool = False) -> Column[int]:
    """A reference whose row goes when the row that it refers to goes."""
    target = ForeignKey(table, ondelete="CASCADE")
    return Column(name, _Key, target, primary_key=primary_key, index=index, nullable=False)


# Which analysers, in which versions, made a row: one short number instead of a long text per row.
analyser_set = Table(
    "analyser_set",
    metadata,
    _key(),
    Column("names", Text, nullable=False, unique=True),
)

# --- by DiffID ---------------------------------------------------------------------------------

contents = Table(
    "contents",
    metadata,
    _key(),
    Column("diff_id", LargeBinary, nullable=False, unique=True),
    Column("analyser_set_id", _Key, ForeignKey("analyser_set.id"), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("entry_count", BigInteger, nullable=False),
    Column("file_bytes", BigInteger, nullable=False),
    Column("skipped", LargeBinary, nullable=False),  # document
    Column("package_files", LargeBinary, nullable=False),  # document
    Column("facts", LargeBinary, nullable=False),  # document
)

contents_entries = Table(
    "contents_entries",
    metadata,
    _of("contents.id", "contents_id", primary_key=True),
    Column("entries", LargeBinary, nullable=False),
)

path_filter = Table(
    "path_filter",
    metadata,
    _of("contents.id", "contents_id", primary_key=True),
    Column("hashes", LargeBinary, nullable=False),  # sorted little-endian uint32
)

file_filter = Table(
    "file_filter",
    metadata,
    _of("contents.id", "contents_id", primary_key=True),
    Column("hashes", LargeBinary, nullable=False),  # sorted little-endian uint32
)

package = Table(
    "package",
    metadata,
    _of("contents.id", "contents_id", primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("type", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("path", LargeBinary, nullable=False),
    Column("architecture", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("source_version", Text, nullable=False),
    Column("licence", Text, nullable=False),
    Column("distribution", Text, nullable=False),
    Column("module", Text, nullable=False, server_default=""),
    Index("ix_package_name_contents_id", "name", "contents_id"),
    sqlite_with_rowid=False,
)

# What package databases of the layer say about files: one blob (`oci.manifestcodec`).
package_manifests = Table(
    "package_manifests",
    metadata,
    _of("contents.id", "contents_id", primary_key=True),
    Column("manifests", LargeBinary, nullable=False),
)

package_script = Table(
    "package_script",
    metadata,
    _of("contents.id", "contents_id", primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("sha256", LargeBinary, nullable=False, index=True),
    Column("package", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("path", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

blob = Table(
    "blob",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("diff_id", LargeBinary, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("media_type", Text, nullable=False),
    sqlite_with_rowid=False,
)

# --- by ChainID --------------------------------------------------------------------------------

layer = Table(
    "layer",
    metadata,
    _key(),
    Column("chain_id", LargeBinary, nullable=False, unique=True),
    Column("parent", LargeBinary),
    Column("position", Integer, nullable=False),
    Column("diff_id", LargeBinary, nullable=False),
    Index("ix_layer_diff_id_id", "diff_id", "id"),
)

layer_change = Table(
    "layer_change",
    metadata,
    _of("layer.id", "layer_id", primary_key=True),
    Column("analyser_set_id", _Key, ForeignKey("analyser_set.id"), nullable=False),
    Column("counts", LargeBinary, nullable=False),  # document
    Column("package_changes", LargeBinary, nullable=False),  # document
    Column("changes", LargeBinary, nullable=False),
)

layer_integrity = Table(
    "layer_integrity",
    metadata,
    _of("layer_change.layer_id", "layer_id", primary_key=True),
    Column("integrity", LargeBinary, nullable=False),  # document
)

# The names in `layer_change.package_changes`, for searching.
package_change = Table(
    "package_change",
    metadata,
    _of("layer_change.layer_id", "layer_id", primary_key=True),
    Column("name", Text, primary_key=True),
    Index("ix_package_change_name_layer_id", "name", "layer_id"),
    sqlite_with_rowid=False,
)

change_filter = Table(
    "change_filter",
    metadata,
    _of("layer_change.layer_id", "layer_id", primary_key=True),
    Column("hashes", LargeBinary, nullable=False),  # sorted little-endian uint32
)

# --- search (docs/adr/0016) --------------------------------------------------------------------

# A number for every row that has filters, in the order in which they were put. Numbers are never
# given twice, so that postings of a row that is gone name nothing.
search_entry = Table(
    "search_entry",
    metadata,
    _key(),
    Column("contents_id", _Key, ForeignKey("contents.id", ondelete="CASCADE"), unique=True),
    Column("layer_id", _Key, ForeignKey("layer_change.layer_id", ondelete="CASCADE"), unique=True),
    Column("weight", BigInteger, nullable=False),  # values in its filters
    sqlite_autoincrement=True,
)

# The filters of the entries `first` to `last`, merged. Entries after the last segment wait.
search_segment = Table(
    "search_segment",
    metadata,
    _key(),
    Column("state", Text, nullable=False),
    Column("level", Integer, nullable=False),
    Column("shift", Integer, nullable=False),  # a row of postings has 2 to the power of it values
    Column("first", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False),
    Column("entries", BigInteger, nullable=False),
    Column("postings", BigInteger, nullable=False),
    Column("into_id", BigInteger),  # the segment that it is being merged into
    Column("done_to", BigInteger, nullable=False),  # values below are built, or deleted
    sqlite_autoincrement=True,
)

search_posting = Table(
    "search_posting",
    metadata,
    Column("place", _Key, primary_key=True, autoincrement=False),  # segment, and which row of it
    Column("data", LargeBinary, nullable=False),  # layerproof.store.postings
)

# --- images ------------------------------------------------------------------------------------

image = Table(
    "image",
    metadata,
    _key(),
    Column("config_digest", LargeBinary, nullable=False, unique=True),
    Column("config", LargeBinary, nullable=False),  # document
    Column("indexed_at", BigInteger, nullable=False, index=True),
)

image_layer = Table(
    "image_layer",
    metadata,
    _of("image.id", "image_id", primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("layer_id", _Key, ForeignKey("layer.id"), nullable=False),
    Index("ix_image_layer_layer_id_image_id", "layer_id", "image_id"),
    sqlite_with_rowid=False,
)

# The top layer of an image, for finding those that an image is built on.
image_top = Table(
    "image_top",
    metadata,
    _of("image.id", "image_id", primary_key=True),
    Column("layer_id", _Key, ForeignKey("layer.id"), nullable=False, index=True),
)

# An image as one kind of source presents it: with or without a manifest, from an index or not.
image_view = Table(
    "image_view",
    metadata,
    _key(),
    _of("image.id", "image_id", index=True),
    Column("identity", LargeBinary, nullable=False, unique=True),  # sha256 over all that it says
    Column("manifest_digest", LargeBinary, index=True),
    Column("index_digest", LargeBinary, index=True),
    Column("document", LargeBinary, nullable=False),  # document
)

image_name = Table(
    "image_name",
    metadata,
    _key(),
    Column("reference", Text, nullable=False),
    _of("image_view.id", "view_id", index=True),
    Column("seen_at", BigInteger, nullable=False),
    UniqueConstraint("reference", "view_id"),
)

# --- trust -------------------------------------------------------------------------------------

trust = Table(
    "trust",
    metadata,
    _key(),
    Column("name", Text, nullable=False, unique=True),  # the record's id, as people write it
    Column("reference", Text, nullable=False),
    Column("config_digest", LargeBinary, nullable=False),
    Column("manifest_digest", LargeBinary),
    Column("chain_ids", LargeBinary, nullable=False),  # document: lowest first
    Column("added_by", Text, nullable=False),
    Column("added_at", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("expires_at", BigInteger),
    Column("revoked_by", Text, nullable=False),
    Column("revoked_at", BigInteger),
    Column("revoke_reason", Text, nullable=False),
)

# The ChainIDs of every record: trust may be declared for images that were never indexed.
trust_chain = Table(
    "trust_chain",
    metadata,
    Column("chain_id", LargeBinary, primary_key=True),
    _of("trust.id", "trust_id", primary_key=True, index=True),
    sqlite_with_rowid=False,
)

# --- events, verdicts, withdrawals -------------------------------------------------------------

# What happened outside, as it was reported; rows are only ever added.
event = Table(
    "event",
    metadata,
    _key(),
    Column("identity", Text, nullable=False, unique=True),  # of the report, so that it counts once
    Column("kind", Text, nullable=False),
    Column("at", BigInteger, nullable=False, index=True),
    Column("registry", Text, nullable=False),
    Column("repository", Text, nullable=False),
    Column("tag", Text, nullable=False),
    Column("manifest_digest", LargeBinary, index=True),
    Column("account", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("document", LargeBinary, nullable=False),  # document
    Column("country", Text, nullable=False, server_default=""),
    Column("host", Text, nullable=False, server_default=""),
    Column("blob_digest", LargeBinary),  # of a mount: the layer as it is stored
    Column("chain_id", LargeBinary),  # of a start or stop: the top layer that ran
)

# Events that say the same but for their time, added up: what stays when events are pruned.
activity = Table(
    "activity",
    metadata,
    _key(),
    Column("identity", LargeBinary, nullable=False, unique=True),  # sha256 over what they say
    Column("manifest_digest", LargeBinary, index=True),  # of a mount: the blob's
    Column("chain_id", LargeBinary, index=True),
    Column("kind", Text, nullable=False),
    Column("registry", Text, nullable=False),
    Column("repository", Text, nullable=False),
    Column("account", Text, nullable=False, index=True),
    Column("country", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("first_at", BigInteger, nullable=False),
    Column("last_at", BigInteger, nullable=False),
    Column("count", BigInteger, nullable=False),
)

verdict = Table(
    "verdict",
    metadata,
    _key(),
    Column("identity", Text, nullable=False, unique=True),
    Column("made_from", LargeBinary, nullable=False, index=True),  # sha256, without the time
    Column("reference", Text, nullable=False, index=True),
    Column("config_digest", LargeBinary, nullable=False, index=True),
    Column("decided_at", BigInteger, nullable=False, index=True),
    Column("holds_until", BigInteger, nullable=False),
    Column("decision", Text, nullable=False),
    Column("document", LargeBinary, nullable=False),  # document
)

withdrawal = Table(
    "withdrawal",
    metadata,
    _key(),
    Column("name", Text, nullable=False, unique=True),  # the record's id, as people write it
    Column("chain_id", LargeBinary, nullable=False, index=True),
    Column("diff_id", LargeBinary, nullable=False, index=True),
    Column("reference", Text, nullable=False),
    Column("withdrawn_by", Text, nullable=False),
    Column("withdrawn_at", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("released_by", Text, nullable=False),
    Column("released_at", BigInteger),
    Column("release_reason", Text, nullable=False),
)

# --- the service -------------------------------------------------------------------------------

# Numbers that only grow, such as the state that verdicts were made in.
counter = Table(
    "counter",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# Work that waits, where the database brings no queue of its own.
job = Table(
    "job",
    metadata,
    _key(),
    Column("name", Text, nullable=False, index=True),  # the job's key
    Column("turn", Text, nullable=False),  # jobs of the same one run one after the other
    Column("kind", Text, nullable=False),
    Column("arguments", LargeBinary, nullable=False),  # document
    Column("priority", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("queued_at", BigInteger, nullable=False),
    Column("due_at", BigInteger),
    Column("started_at", BigInteger),
    Column("ended_at", BigInteger),
    Column("alive_at", BigInteger),  # when its worker last said that it lives
    Column("worker", Text, nullable=False),
    Index("ix_job_state_priority", "state", "priority"),
)

# What a worker says of its job, whichever queue it came from.
job_report = Table(
    "job_report",
    metadata,
    Column("job_id", BigInteger, primary_key=True, autoincrement=False),
    Column("progress", LargeBinary, nullable=False),  # document
    Column("error", LargeBinary, nullable=False),  # document
    Column("reported_at", BigInteger, nullable=False, index=True),
)

access_token = Table(
    "access_token",
    metadata,
    _key(),
    Column("name", Text, nullable=False, unique=True),  # the token's id
    Column("title", Text, nullable=False),  # its name, as people call it
    Column("role", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False, unique=True),  # sha256 of the token
    Column("created_by", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("revoked_by", Text, nullable=False),
    Column("revoked_at", BigInteger),
    Column("registry", Text, nullable=False),
)

# Who changed what; rows are only ever added.
audit = Table(
    "audit",
    metadata,
    _key(),
    Column("at", BigInteger, nullable=False, index=True),
    Column("actor", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("details", LargeBinary, nullable=False),  # document
)

policy_revision = Table(
    "policy_revision",
    metadata,
    _key(),
    Column("text", LargeBinary, nullable=False),
    Column("put_by", Text, nullable=False),
    Column("put_at", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
)

made_exception = Table(
    "made_exception",
    metadata,
    _key(),
    Column("name", Text, nullable=False, unique=True),  # the record's id
    Column("document", LargeBinary, nullable=False),  # document
    Column("made_by", Text, nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("ended_by", Text, nullable=False),
    Column("ended_at", BigInteger),
)

# What gates answered, added up: one row for each kind of answer about an image in a place.
gate_tally = Table(
    "gate_tally",
    metadata,
    _key(),
    Column("identity", LargeBinary, nullable=False, unique=True),  # sha256 of the texts
    Column("gate", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("namespace", Text, nullable=False),
    Column("reference", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("decided", Text, nullable=False),
    Column("decision", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("first_at", BigInteger, nullable=False),
    Column("last_at", BigInteger, nullable=False, index=True),
    Column("count", BigInteger, nullable=False),
)

# --- small cached documents --------------------------------------------------------------------

cached = Table(
    "cached",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", LargeBinary, nullable=False),
)
