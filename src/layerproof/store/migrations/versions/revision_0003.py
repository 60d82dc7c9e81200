"""The module that an rpm belongs to.

Revision 0003. Rows that are there were made by older analysers, which knew no rpm.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add a column."""
    op.add_column("package", sa.Column("module", sa.Text(), nullable=False, server_default=""))
