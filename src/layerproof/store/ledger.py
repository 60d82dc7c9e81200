"""Tokens, audit, policy revisions and exceptions in the index's database:
`layerproof.engine.ledger.Ledger`."""

from collections.abc import Sequence
from datetime import datetime

from layerproof.model.access import AccessToken, AuditRecord, Role
from layerproof.model.amendment import MadeException, PolicyRevision
from layerproof.model.gate import Tally
from layerproof.model.page import Cursor, Page
from layerproof.store import codec, counter_rows, tally_rows
from layerproof.store.executor import Executor, Row, Session, first


class SqlLedger:
    """Every method is one transaction and raises IndexUnavailableError; `Ledger` says the rest."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    # --- tokens ---

    def put_token(self, token: AccessToken) -> None:
        """Insert, or replace the one of the same id."""
        with self._executor.write() as session:
            _put_token(session, token)
            counter_rows.change(session, counter_rows.ACCESS)

    def add_token(self, token: AccessToken, instead_of: AccessToken | None = None) -> bool:
        """Insert a new one, and replace another, unless a good one has its name."""
        with self._executor.write() as session:
            there = {found.id: found for found in map(_token, session.rows("tokens"))}
            if instead_of is not None:
                there[instead_of.id] = instead_of
            if any(t.name == token.name and t.active(token.created_at) for t in there.values()):
                return False
            if instead_of is not None:
                _put_token(session, instead_of)
            _put_token(session, token)
            counter_rows.change(session, counter_rows.ACCESS)
        return True

    def tokens(self) -> list[AccessToken]:
        """All, the oldest first."""
        with self._executor.read() as session:
            return [_token(row) for row in session.rows("tokens")]

    # --- audit ---

    def add_audit(self, record: AuditRecord) -> None:
        """Append."""
        row = (
            codec.micros(record.at),
            codec.text(record.actor),
            codec.text(record.role),
            codec.text(record.action),
            codec.text(record.target),
            codec.text(record.address),
            codec.text(record.outcome),
            codec.document(dict(record.details)),
        )
        with self._executor.write() as session:
            session.run_many("put_audit", [row])

    def audit(self, limit: int, after: Cursor | None = None) -> Page[AuditRecord]:
        """Some of it, newest first."""
        before_id = codec.before(after)["before_id"]
        with self._executor.read() as session:
            rows = session.rows("audit_page", before_id=before_id, limit=limit + 1)
        return Page.of([(_audit(row), Cursor(0, row[0])) for row in rows], limit)

    # --- policy ---

    def add_policy(self, revision: PolicyRevision, after: int | None = None) -> bool:
        """Append, if the newest one is the one that was expected."""
        row = (
            revision.text.encode(),
            codec.text(revision.put_by),
            codec.micros(revision.put_at),
            codec.text(revision.reason),
        )
        with self._executor.write() as session:
            newest = first(session.rows("policy_revisions", limit=1))
            if after is not None and after != (newest[0] if newest else 0):
                return False
            session.run_many("put_policy_revision", [row])
            counter_rows.change(session, counter_rows.ACCESS)
        return True

    def policies(self, limit: int = 1) -> list[PolicyRevision]:
        """The newest ones, newest first."""
        with self._executor.read() as session:
            return [_revision(row) for row in session.rows("policy_revisions", limit=limit)]

    def put_exception(self, made: MadeException) -> None:
        """Insert, or replace the one of the same id."""
        with self._executor.write() as session:
            session.run(
                "put_made_exception",
                name=codec.text(made.id),
                document=codec.document(dict(made.document)),
                made_by=codec.text(made.made_by),
                made_at=codec.micros(made.made_at),
                ended_by=codec.text(made.ended_by),
                ended_at=codec.micros_or_none(made.ended_at),
            )
            counter_rows.change(session, counter_rows.ACCESS)

    def exceptions(self) -> list[MadeException]:
        """All, the oldest first."""
        with self._executor.read() as session:
            return [_exception(row) for row in session.rows("made_exceptions")]

    # --- what gates answered ---

    def add_tallies(self, tallies: Sequence[Tally]) -> None:
        """Add to the counts of the same answers."""
        tally_rows.add(self._executor, tallies)

    def tallies(self, since: datetime | None = None) -> list[Tally]:
        """Those with an answer since then, the last one first."""
        return tally_rows.read(self._executor, since)

    def prune_tallies(self, before: datetime) -> int:
        """Delete those whose last answer is older; how many."""
        return tally_rows.prune(self._executor, before)

    # --- what depends on all of it ---

    def access_state(self) -> str:
        """Another text after every change of tokens, policy and exceptions."""
        with self._executor.read() as session:
            return counter_rows.read(session, counter_rows.ACCESS)

    def close(self) -> None:
        """Close connections; they open again when needed."""
        self._executor.close()


def _put_token(session: Session, token: AccessToken) -> None:
    session.run(
        "put_token",
        name=codec.text(token.id),
        title=codec.text(token.name),
        role=str(token.role),
        digest=token.digest,
        created_by=codec.text(token.created_by),
        created_at=codec.micros(token.created_at),
        expires_at=codec.micros(token.expires_at),
        revoked_by=codec.text(token.revoked_by),
        revoked_at=codec.micros_or_none(token.revoked_at),
        registry=codec.text(token.registry),
    )


def _token(row: Row) -> AccessToken:
    _, name, title, role, digest, created_by, created_at, expires_at, *rest = row
    revoked_by, revoked_at, registry = rest
    with codec.decoding("row of a token"):
        return AccessToken(
            id=codec.untext(name),
            name=codec.untext(title),
            role=Role(role),
            digest=digest,
            created_by=codec.untext(created_by),
            created_at=codec.unmicros(created_at),
            expires_at=codec.unmicros(expires_at),
            revoked_by=codec.untext(revoked_by),
            revoked_at=codec.unmicros_or_none(revoked_at),
            registry=codec.untext(registry),
        )


def _audit(row: Row) -> AuditRecord:
    identity, at, *texts, details = row
    with codec.decoding("row of the audit"):
        actor, role, action, target, address, outcome = map(codec.untext, texts)
        return AuditRecord(
            id=identity,
            at=codec.unmicros(at),
            actor=actor,
            role=role,
            action=action,
            target=target,
            address=address,
            outcome=outcome,
            details=codec.undocument(details),
        )


def _revision(row: Row) -> PolicyRevision:
    identity, text, put_by, put_at, reason = row
    with codec.decoding("row of a policy"):
        return PolicyRevision(
            id=identity,
            text=text.decode(),
            put_by=codec.untext(put_by),
            put_at=codec.unmicros(put_at),
            reason=codec.untext(reason),
        )


def _exception(row: Row) -> MadeException:
    _, name, document, made_by, made_at, ended_by, ended_at = row
    with codec.decoding("row of an exception"):
        return MadeException(
            id=codec.untext(name),
            document=codec.undocument(document),
            made_by=codec.untext(made_by),
            made_at=codec.unmicros(made_at),
            ended_by=codec.untext(ended_by),
            ended_at=codec.unmicros_or_none(ended_at),
        )
