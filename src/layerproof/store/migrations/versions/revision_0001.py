"""The first schema.

Revision 0001. Frozen: later changes of `layerproof.store.schema` are later revisions.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create every table."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute("PRAGMA application_id=0x4c507266")
    op.create_table(
        "analyser_set",
        sa.Column("id", KEY, nullable=False),
        sa.Column("names", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_analyser_set"),
        sa.UniqueConstraint("names", name="uq_analyser_set_names"),
    )
    op.create_table(
        "blob",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("diff_id", sa.LargeBinary(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_blob"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "cached",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_cached"),
    )
    op.create_table(
        "image",
        sa.Column("id", KEY, nullable=False),
        sa.Column("config_digest", sa.LargeBinary(), nullable=False),
        sa.Column("config", sa.LargeBinary(), nullable=False),
        sa.Column("indexed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_image"),
        sa.UniqueConstraint("config_digest", name="uq_image_config_digest"),
    )
    op.create_index("ix_image_indexed_at", "image", ["indexed_at"], unique=False)
    op.create_table(
        "layer",
        sa.Column("id", KEY, nullable=False),
        sa.Column("chain_id", sa.LargeBinary(), nullable=False),
        sa.Column("parent", sa.LargeBinary(), nullable=True),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("diff_id", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_layer"),
        sa.UniqueConstraint("chain_id", name="uq_layer_chain_id"),
    )
    op.create_index("ix_layer_diff_id", "layer", ["diff_id"], unique=False)
    op.create_table(
        "trust",
        sa.Column("id", KEY, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("config_digest", sa.LargeBinary(), nullable=False),
        sa.Column("manifest_digest", sa.LargeBinary(), nullable=True),
        sa.Column("chain_ids", sa.LargeBinary(), nullable=False),
        sa.Column("added_by", sa.Text(), nullable=False),
        sa.Column("added_at", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_by", sa.Text(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.Column("revoke_reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_trust"),
        sa.UniqueConstraint("name", name="uq_trust_name"),
    )
    op.create_table(
        "contents",
        sa.Column("id", KEY, nullable=False),
        sa.Column("diff_id", sa.LargeBinary(), nullable=False),
        sa.Column("analyser_set_id", KEY, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("entry_count", sa.BigInteger(), nullable=False),
        sa.Column("file_bytes", sa.BigInteger(), nullable=False),
        sa.Column("skipped", sa.LargeBinary(), nullable=False),
        sa.Column("package_files", sa.LargeBinary(), nullable=False),
        sa.Column("facts", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_contents"),
        sa.UniqueConstraint("diff_id", name="uq_contents_diff_id"),
        sa.ForeignKeyConstraint(
            ["analyser_set_id"], ["analyser_set.id"], name="fk_contents_analyser_set_id"
        ),
    )
    op.create_table(
        "image_layer",
        sa.Column("image_id", KEY, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("layer_id", KEY, nullable=False),
        sa.ForeignKeyConstraint(
            ["image_id"], ["image.id"], name="fk_image_layer_image_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["layer_id"], ["layer.id"], name="fk_image_layer_layer_id"),
        sa.PrimaryKeyConstraint("image_id", "position", name="pk_image_layer"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_image_layer_layer_id", "image_layer", ["layer_id"], unique=False)
    op.create_table(
        "image_view",
        sa.Column("id", KEY, nullable=False),
        sa.Column("image_id", KEY, nullable=False),
        sa.Column("identity", sa.LargeBinary(), nullable=False),
        sa.Column("manifest_digest", sa.LargeBinary(), nullable=True),
        sa.Column("index_digest", sa.LargeBinary(), nullable=True),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["image_id"], ["image.id"], name="fk_image_view_image_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_image_view"),
        sa.UniqueConstraint("identity", name="uq_image_view_identity"),
    )
    op.create_index("ix_image_view_image_id", "image_view", ["image_id"], unique=False)
    op.create_index("ix_image_view_index_digest", "image_view", ["index_digest"], unique=False)
    op.create_index(
        "ix_image_view_manifest_digest", "image_view", ["manifest_digest"], unique=False
    )
    op.create_table(
        "layer_change",
        sa.Column("layer_id", KEY, nullable=False),
        sa.Column("analyser_set_id", KEY, nullable=False),
        sa.Column("counts", sa.LargeBinary(), nullable=False),
        sa.Column("package_changes", sa.LargeBinary(), nullable=False),
        sa.Column("changes", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["layer_id"], ["layer.id"], name="fk_layer_change_layer_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["analyser_set_id"], ["analyser_set.id"], name="fk_layer_change_analyser_set_id"
        ),
        sa.PrimaryKeyConstraint("layer_id", name="pk_layer_change"),
    )
    op.create_table(
        "trust_chain",
        sa.Column("chain_id", sa.LargeBinary(), nullable=False),
        sa.Column("trust_id", KEY, nullable=False),
        sa.ForeignKeyConstraint(
            ["trust_id"], ["trust.id"], name="fk_trust_chain_trust_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("chain_id", "trust_id", name="pk_trust_chain"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_trust_chain_trust_id", "trust_chain", ["trust_id"], unique=False)
    op.create_table(
        "contents_entries",
        sa.Column("contents_id", KEY, nullable=False),
        sa.Column("entries", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["contents_id"],
            ["contents.id"],
            name="fk_contents_entries_contents_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("contents_id", name="pk_contents_entries"),
    )
    op.create_table(
        "file_filter",
        sa.Column("contents_id", KEY, nullable=False),
        sa.Column("hashes", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["contents_id"], ["contents.id"], name="fk_file_filter_contents_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("contents_id", name="pk_file_filter"),
    )
    op.create_table(
        "image_name",
        sa.Column("id", KEY, nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("view_id", KEY, nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_image_name"),
        sa.UniqueConstraint("reference", "view_id", name="uq_image_name_reference_view_id"),
        sa.ForeignKeyConstraint(
            ["view_id"], ["image_view.id"], name="fk_image_name_view_id", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_image_name_view_id", "image_name", ["view_id"], unique=False)
    op.create_table(
        "package",
        sa.Column("contents_id", KEY, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("path", sa.LargeBinary(), nullable=False),
        sa.Column("architecture", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("source_version", sa.Text(), nullable=False),
        sa.Column("licence", sa.Text(), nullable=False),
        sa.Column("distribution", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["contents_id"], ["contents.id"], name="fk_package_contents_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("contents_id", "position", name="pk_package"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_package_name", "package", ["name"], unique=False)
    op.create_table(
        "package_change",
        sa.Column("layer_id", KEY, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["layer_id"],
            ["layer_change.layer_id"],
            name="fk_package_change_layer_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("layer_id", "name", name="pk_package_change"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_package_change_name", "package_change", ["name"], unique=False)
    op.create_table(
        "path_filter",
        sa.Column("contents_id", KEY, nullable=False),
        sa.Column("hashes", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["contents_id"], ["contents.id"], name="fk_path_filter_contents_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("contents_id", name="pk_path_filter"),
    )
