"""What gates answered, as rows."""

from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256

from layerproof.model.gate import Cause, Mode, Tally
from layerproof.model.verdict import Decision
from layerproof.store import codec
from layerproof.store.executor import Executor, Row

_EVER = datetime(1970, 1, 1, tzinfo=UTC)


def add(executor: Executor, tallies: Sequence[Tally]) -> None:
    """Add counts to what is there; all or none."""
    with executor.write() as session:
        session.run_many("put_gate_tally", map(_columns, tallies))


def read(executor: Executor, since: datetime | None) -> list[Tally]:
    """Those with an answer since then, the last one first."""
    with executor.read() as session:
        return [
            _tally(row) for row in session.rows("gate_tallies", since=codec.micros(since or _EVER))
        ]


def prune(executor: Executor, before: datetime) -> int:
    """Delete those whose last answer is older; how many."""
    with executor.write() as session:
        return session.run("drop_gate_tallies", before=codec.micros(before))


def _columns(tally: Tally) -> tuple[object, ...]:
    texts = (
        tally.gate,
        tally.host,
        tally.namespace,
        tally.reference,
        str(tally.mode),
        str(tally.cause),
        str(tally.decided),
        str(tally.decision),
        tally.reason,
    )
    coded = [codec.text(item) for item in texts]
    identity = sha256()
    for item in coded:
        data = item.encode()
        identity.update(len(data).to_bytes(4, "big") + data)
    times = codec.micros(tally.first_at), codec.micros(tally.last_at)
    return (identity.digest(), *coded, *times, tally.count)


def _tally(row: Row) -> Tally:
    _, _, *texts, first_at, last_at, count = row
    with codec.decoding("row of a gate's answers"):
        gate, host, namespace, reference, mode, cause, decided, decision, reason = map(
            codec.untext, texts
        )
        return Tally(
            gate=gate,
            host=host,
            namespace=namespace,
            reference=reference,
            mode=Mode(mode),
            cause=Cause(cause),
            decided=Decision(decided),
            decision=Decision(decision),
            reason=reason,
            first_at=codec.unmicros(first_at),
            last_at=codec.unmicros(last_at),
            count=int(count),
        )
