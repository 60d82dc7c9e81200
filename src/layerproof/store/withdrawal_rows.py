"""Withdrawals, as rows."""

from collections.abc import Collection, Sequence

from layerproof.model.digest import ChainId, DiffId
from layerproof.model.withdrawal import Withdrawal
from layerproof.store import codec, counter_rows
from layerproof.store.executor import Executor, Row, Session, rows_for


def write(executor: Executor, records: Sequence[Withdrawal]) -> None:
    """Insert, or replace the records of the same ids; all or none."""
    with executor.write() as session:
        for record in records:
            session.run(
                "put_withdrawal",
                name=codec.text(record.id),
                chain_id=codec.raw(record.chain_id),
                diff_id=codec.raw(record.diff_id),
                reference=codec.text(record.reference),
                withdrawn_by=codec.text(record.withdrawn_by),
                withdrawn_at=codec.micros(record.withdrawn_at),
                reason=codec.text(record.reason),
                released_by=codec.text(record.released_by),
                released_at=codec.micros_or_none(record.released_at),
                release_reason=codec.text(record.release_reason),
            )
        if records:
            counter_rows.change_state(session)


def read_all(session: Session) -> list[Withdrawal]:
    """All, newest first."""
    return [_record(row) for row in session.rows("withdrawals")]


def read_of(
    session: Session, chain_ids: Collection[ChainId], diff_ids: Collection[DiffId]
) -> list[Withdrawal]:
    """Those of one of these layers or contents, newest first."""
    rows = {
        row[0]: row
        for statement, keys in (
            ("withdrawals_of_chains", chain_ids),
            ("withdrawals_of_contents", diff_ids),
        )
        for row in rows_for(session, statement, [codec.raw(key) for key in keys])
    }
    order = sorted(rows.values(), key=lambda row: (row[6], row[0]), reverse=True)
    return [_record(row) for row in order]


def _record(row: Row) -> Withdrawal:
    _, name, chain_id, diff_id, reference, by, at, reason, *release = row
    released_by, released_at, release_reason = release
    with codec.decoding("row of a withdrawal"):
        return Withdrawal(
            id=codec.untext(name),
            chain_id=codec.digest(ChainId, chain_id),
            diff_id=codec.digest(DiffId, diff_id),
            reference=codec.untext(reference),
            withdrawn_by=codec.untext(by),
            withdrawn_at=codec.unmicros(at),
            reason=codec.untext(reason),
            released_by=codec.untext(released_by),
            released_at=codec.unmicros_or_none(released_at),
            release_reason=codec.untext(release_reason),
        )
