"""Tokens, audit and policy in memory, for tests: held to the contract suite of the real one."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from layerproof.model.access import AccessToken, AuditRecord
from layerproof.model.amendment import MadeException, PolicyRevision
from layerproof.model.page import NEWEST, Cursor, Page


@dataclass
class MemoryLedger:
    """`layerproof.engine.ledger.Ledger` on lists."""

    _tokens: dict[str, AccessToken] = field(default_factory=dict)
    _audit: list[AuditRecord] = field(default_factory=list)
    _policies: list[PolicyRevision] = field(default_factory=list)
    _exceptions: dict[str, MadeException] = field(default_factory=dict)
    _changes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def put_token(self, token: AccessToken) -> None:
        """Insert, or replace the one of the same id."""
        self._tokens[token.id] = token
        self._changes += 1

    def add_token(self, token: AccessToken, instead_of: AccessToken | None = None) -> bool:
        """Insert a new one, and replace another, unless a good one has its name."""
        with self._lock:
            there = {**self._tokens, **({instead_of.id: instead_of} if instead_of else {})}
            if any(t.name == token.name and t.active(token.created_at) for t in there.values()):
                return False
            self._tokens = {**there, token.id: token}
            self._changes += 1
            return True

    def tokens(self) -> list[AccessToken]:
        """All, the oldest first."""
        return list(self._tokens.values())

    def token(self, digest: bytes) -> AccessToken | None:
        """By the sha256 of the token."""
        return next((t for t in self._tokens.values() if t.digest == digest), None)

    def add_audit(self, record: AuditRecord) -> None:
        """Append."""
        with self._lock:
            self._audit.append(replace(record, id=len(self._audit) + 1))

    def audit(self, limit: int, after: Cursor | None = None) -> Page[AuditRecord]:
        """Some of it, newest first."""
        last = (after or NEWEST).key
        found = [(r, Cursor(0, r.id)) for r in reversed(self._audit) if r.id < last]
        return Page.of(found[: limit + 1], limit)

    def add_policy(self, revision: PolicyRevision, after: int | None = None) -> bool:
        """Append, if the newest one is the one that was expected."""
        with self._lock:
            if after is not None and after != len(self._policies):
                return False
            self._policies.append(replace(revision, id=len(self._policies) + 1))
            self._changes += 1
            return True

    def policies(self, limit: int = 1) -> Sequence[PolicyRevision]:
        """The newest ones, newest first."""
        return self._policies[::-1][:limit]

    def put_exception(self, made: MadeException) -> None:
        """Insert, or replace the one of the same id."""
        self._exceptions[made.id] = made
        self._changes += 1

    def exceptions(self) -> list[MadeException]:
        """All, the oldest first."""
        return list(self._exceptions.values())

    def access_state(self) -> str:
        """Another text after every change of tokens, policy and exceptions."""
        return str(self._changes)

    def close(self) -> None:
        """Nothing is open."""
