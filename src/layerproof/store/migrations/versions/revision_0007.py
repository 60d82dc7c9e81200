"""What gates answered, added up.

Revision 0007.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TEXT, BYTES, NUMBER = sa.Text(), sa.LargeBinary(), sa.BigInteger()


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "gate_tally",
        sa.Column("id", KEY, nullable=False),
        sa.Column("identity", BYTES, nullable=False),
        sa.Column("gate", TEXT, nullable=False),
        sa.Column("host", TEXT, nullable=False),
        sa.Column("namespace", TEXT, nullable=False),
        sa.Column("reference", TEXT, nullable=False),
        sa.Column("mode", TEXT, nullable=False),
        sa.Column("cause", TEXT, nullable=False),
        sa.Column("decided", TEXT, nullable=False),
        sa.Column("decision", TEXT, nullable=False),
        sa.Column("reason", TEXT, nullable=False),
        sa.Column("first_at", NUMBER, nullable=False),
        sa.Column("last_at", NUMBER, nullable=False),
        sa.Column("count", NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_gate_tally"),
        sa.UniqueConstraint("identity", name="uq_gate_tally_identity"),
    )
    op.create_index("ix_gate_tally_last_at", "gate_tally", ["last_at"], unique=False)
