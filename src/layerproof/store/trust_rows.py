"""Trust records, as rows."""

from collections.abc import Collection

from layerproof.model.digest import ChainId, Digest
from layerproof.model.trust import TrustRecord
from layerproof.store import codec, counter_rows
from layerproof.store.executor import Executor, Row, Session, rows_for


def write(executor: Executor, record: TrustRecord) -> None:
    """Insert, or replace the record of the same id."""
    name = codec.text(record.id)
    columns = {
        "name": name,
        "reference": codec.text(record.reference),
        "config_digest": codec.raw(record.config_digest),
        "manifest_digest": codec.raw_or_none(record.manifest_digest),
        "chain_ids": codec.document(record.chain_ids),
        "added_by": codec.text(record.added_by),
        "added_at": codec.micros(record.added_at),
        "reason": codec.text(record.reason),
        "expires_at": codec.micros_or_none(record.expires_at),
        "revoked_by": codec.text(record.revoked_by),
        "revoked_at": codec.micros_or_none(record.revoked_at),
        "revoke_reason": codec.text(record.revoke_reason),
    }
    chains = [codec.raw(chain_id) for chain_id in dict.fromkeys(record.chain_ids)]
    with executor.write() as session:
        session.run("put_trust", **columns)
        key = session.rows("trust_id", name=name)[0][0]
        session.run("drop_trust_chains", trust_id=key)
        session.run_many("put_trust_chain", [(chain, key) for chain in chains])
        counter_rows.change_state(session)


def read_all(session: Session) -> list[TrustRecord]:
    """All, newest first."""
    return [_record(row) for row in session.rows("trust_records")]


def read_of(session: Session, chain_ids: Collection[ChainId]) -> list[TrustRecord]:
    """Those that have one of these ChainIDs, newest first."""
    rows = rows_for(session, "trust_of", [codec.raw(c) for c in chain_ids])
    found = {row[0]: row for row in rows}
    order = sorted(found.values(), key=lambda row: (row[7], row[0]), reverse=True)
    return [_record(row) for row in order]


def _record(row: Row) -> TrustRecord:
    _, name, reference, config, manifest, chain_ids, added_by, added_at, reason, *rest = row
    expires_at, revoked_by, revoked_at, revoke_reason = rest
    with codec.decoding("row of a trust record"):
        return TrustRecord(
            id=codec.untext(name),
            reference=codec.untext(reference),
            config_digest=codec.digest(Digest, config),
            manifest_digest=codec.digest_or_none(Digest, manifest),
            chain_ids=tuple(ChainId(c) for c in codec.undocument(chain_ids)),
            added_by=codec.untext(added_by),
            added_at=codec.unmicros(added_at),
            reason=codec.untext(reason),
            expires_at=codec.unmicros_or_none(expires_at),
            revoked_by=codec.untext(revoked_by),
            revoked_at=codec.unmicros_or_none(revoked_at),
            revoke_reason=codec.untext(revoke_reason),
        )
