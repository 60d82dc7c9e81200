"""Package manifests and scripts, integrity facts, events, verdict records, withdrawals.

Revision 0002. Rows of the first schema were made by older analysers, so their layers are read again
and get the new facts.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add tables."""
    op.create_table(
        "package_manifests",
        sa.Column("contents_id", KEY, nullable=False),
        sa.Column("manifests", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["contents_id"],
            ["contents.id"],
            name="fk_package_manifests_contents_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("contents_id", name="pk_package_manifests"),
    )
    op.create_table(
        "package_script",
        sa.Column("contents_id", KEY, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("package", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("path", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["contents_id"],
            ["contents.id"],
            name="fk_package_script_contents_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("contents_id", "position", name="pk_package_script"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_package_script_sha256", "package_script", ["sha256"], unique=False)
    op.create_table(
        "layer_integrity",
        sa.Column("layer_id", KEY, nullable=False),
        sa.Column("integrity", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["layer_id"],
            ["layer_change.layer_id"],
            name="fk_layer_integrity_layer_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("layer_id", name="pk_layer_integrity"),
    )
    op.create_table(
        "image_top",
        sa.Column("image_id", KEY, nullable=False),
        sa.Column("layer_id", KEY, nullable=False),
        sa.ForeignKeyConstraint(
            ["image_id"], ["image.id"], name="fk_image_top_image_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["layer_id"], ["layer.id"], name="fk_image_top_layer_id"),
        sa.PrimaryKeyConstraint("image_id", name="pk_image_top"),
    )
    op.create_index("ix_image_top_layer_id", "image_top", ["layer_id"], unique=False)
    op.execute(
        "INSERT INTO image_top (image_id, layer_id) SELECT image_id, layer_id FROM image_layer a"
        " WHERE position = (SELECT max(position) FROM image_layer b WHERE b.image_id = a.image_id)"
    )
    op.create_table(
        "event",
        sa.Column("id", KEY, nullable=False),
        sa.Column("identity", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("registry", sa.Text(), nullable=False),
        sa.Column("repository", sa.Text(), nullable=False),
        sa.Column("tag", sa.Text(), nullable=False),
        sa.Column("manifest_digest", sa.LargeBinary(), nullable=True),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_event"),
        sa.UniqueConstraint("identity", name="uq_event_identity"),
    )
    op.create_index("ix_event_at", "event", ["at"], unique=False)
    op.create_index("ix_event_manifest_digest", "event", ["manifest_digest"], unique=False)
    op.create_table(
        "verdict",
        sa.Column("id", KEY, nullable=False),
        sa.Column("identity", sa.Text(), nullable=False),
        sa.Column("made_from", sa.LargeBinary(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("config_digest", sa.LargeBinary(), nullable=False),
        sa.Column("decided_at", sa.BigInteger(), nullable=False),
        sa.Column("holds_until", sa.BigInteger(), nullable=False),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_verdict"),
        sa.UniqueConstraint("identity", name="uq_verdict_identity"),
    )
    for column in ("config_digest", "decided_at", "made_from", "reference"):
        op.create_index(f"ix_verdict_{column}", "verdict", [column], unique=False)
    op.create_table(
        "withdrawal",
        sa.Column("id", KEY, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("chain_id", sa.LargeBinary(), nullable=False),
        sa.Column("diff_id", sa.LargeBinary(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("withdrawn_by", sa.Text(), nullable=False),
        sa.Column("withdrawn_at", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("released_by", sa.Text(), nullable=False),
        sa.Column("released_at", sa.BigInteger(), nullable=True),
        sa.Column("release_reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_withdrawal"),
        sa.UniqueConstraint("name", name="uq_withdrawal_name"),
    )
    for column in ("chain_id", "diff_id"):
        op.create_index(f"ix_withdrawal_{column}", "withdrawal", [column], unique=False)
