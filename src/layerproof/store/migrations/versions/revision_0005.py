"""The service: activity, jobs, tokens, the audit, policies put and exceptions made by the API.

Revision 0005. What events add up to is computed here for the events that are there.
"""

from hashlib import sha256

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0003"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TEXT, BYTES, NUMBER = sa.Text(), sa.LargeBinary(), sa.BigInteger()


def upgrade() -> None:
    """Add columns and tables."""
    op.add_column("event", sa.Column("country", TEXT, nullable=False, server_default=""))
    op.add_column("event", sa.Column("host", TEXT, nullable=False, server_default=""))
    op.add_column("event", sa.Column("blob_digest", BYTES))
    op.add_column("event", sa.Column("chain_id", BYTES))
    _activity()
    op.create_table(
        "counter",
        sa.Column("name", TEXT, nullable=False),
        sa.Column("value", NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_counter"),
        sqlite_with_rowid=False,
    )
    _jobs()
    _records()


def _activity() -> None:
    table = op.create_table(
        "activity",
        sa.Column("id", KEY, nullable=False),
        sa.Column("identity", BYTES, nullable=False),
        sa.Column("manifest_digest", BYTES),
        sa.Column("chain_id", BYTES),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("registry", TEXT, nullable=False),
        sa.Column("repository", TEXT, nullable=False),
        sa.Column("account", TEXT, nullable=False),
        sa.Column("country", TEXT, nullable=False),
        sa.Column("host", TEXT, nullable=False),
        sa.Column("first_at", NUMBER, nullable=False),
        sa.Column("last_at", NUMBER, nullable=False),
        sa.Column("count", NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_activity"),
        sa.UniqueConstraint("identity", name="uq_activity_identity"),
    )
    for column in ("manifest_digest", "chain_id", "account"):
        op.create_index(f"ix_activity_{column}", "activity", [column], unique=False)
    rows = op.get_bind().execute(
        sa.text(
            "SELECT manifest_digest, kind, registry, repository, account,"
            " min(at), max(at), count(*) FROM event"
            " GROUP BY manifest_digest, kind, registry, repository, account"
        )
    )
    summed = [_summed(*row) for row in rows]
    if summed:
        op.bulk_insert(table, summed)


def _summed(
    manifest: bytes | None, kind: str, registry: str, repository: str, account: str,
    first_at: int, last_at: int, count: int,
) -> dict[str, object]:  # fmt: skip
    # As layerproof.store.activity_rows.identity made it when this revision was written.
    parts = (manifest or b"", b"", *(t.encode() for t in (kind, registry, repository, account)))
    identity = sha256()
    for part in (*parts, b"", b""):
        identity.update(len(part).to_bytes(4, "big") + part)
    return {
        "identity": identity.digest(), "manifest_digest": manifest, "chain_id": None,
        "kind": kind, "registry": registry, "repository": repository, "account": account,
        "country": "", "host": "", "first_at": first_at, "last_at": last_at, "count": count,
    }  # fmt: skip


def _jobs() -> None:
    op.create_table(
        "job",
        sa.Column("id", KEY, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("turn", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("arguments", BYTES, nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("queued_at", NUMBER, nullable=False),
        sa.Column("due_at", NUMBER),
        sa.Column("started_at", NUMBER),
        sa.Column("ended_at", NUMBER),
        sa.Column("alive_at", NUMBER),
        sa.Column("worker", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_job"),
    )
    op.create_index("ix_job_name", "job", ["name"], unique=False)
    op.create_index("ix_job_state_priority", "job", ["state", "priority"], unique=False)
    op.create_table(
        "job_report",
        sa.Column("job_id", NUMBER, nullable=False, autoincrement=False),
        sa.Column("progress", BYTES, nullable=False),
        sa.Column("error", BYTES, nullable=False),
        sa.Column("reported_at", NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("job_id", name="pk_job_report"),
    )
    op.create_index("ix_job_report_reported_at", "job_report", ["reported_at"], unique=False)


def _records() -> None:
    op.create_table(
        "access_token",
        sa.Column("id", KEY, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("title", TEXT, nullable=False),
        sa.Column("role", TEXT, nullable=False),
        sa.Column("digest", BYTES, nullable=False),
        sa.Column("created_by", TEXT, nullable=False),
        sa.Column("created_at", NUMBER, nullable=False),
        sa.Column("expires_at", NUMBER, nullable=False),
        sa.Column("revoked_by", TEXT, nullable=False),
        sa.Column("revoked_at", NUMBER),
        sa.Column("registry", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_access_token"),
        sa.UniqueConstraint("name", name="uq_access_token_name"),
        sa.UniqueConstraint("digest", name="uq_access_token_digest"),
    )
    op.create_table(
        "audit",
        sa.Column("id", KEY, nullable=False),
        sa.Column("at", NUMBER, nullable=False),
        sa.Column("actor", TEXT, nullable=False),
        sa.Column("role", TEXT, nullable=False),
        sa.Column("action", TEXT, nullable=False),
        sa.Column("target", TEXT, nullable=False),
        sa.Column("address", TEXT, nullable=False),
        sa.Column("outcome", TEXT, nullable=False),
        sa.Column("details", BYTES, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    op.create_index("ix_audit_at", "audit", ["at"], unique=False)
    op.create_table(
        "policy_revision",
        sa.Column("id", KEY, nullable=False),
        sa.Column("text", BYTES, nullable=False),
        sa.Column("put_by", TEXT, nullable=False),
        sa.Column("put_at", NUMBER, nullable=False),
        sa.Column("reason", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_policy_revision"),
    )
    op.create_table(
        "made_exception",
        sa.Column("id", KEY, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("document", BYTES, nullable=False),
        sa.Column("made_by", TEXT, nullable=False),
        sa.Column("made_at", NUMBER, nullable=False),
        sa.Column("ended_by", TEXT, nullable=False),
        sa.Column("ended_at", NUMBER),
        sa.PrimaryKeyConstraint("id", name="pk_made_exception"),
        sa.UniqueConstraint("name", name="uq_made_exception_name"),
    )
