"""Tokens, audit and policy in memory, for tests: held to the contract suite of the real one."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from layerproof.model.access import AccessToken, AuditRecord
from layerproof.model.amendment import MadeException, PolicyRevision
from layerproof.model.gate import Tally
from layerproof.model.page import NEWEST, Cursor, Page

_EVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class MemoryLedger:
    """`layerproof.engine.ledger.Ledger` on lists."""

    _tokens: dict[str, AccessToken] = field(default_factory=dict)
    _audit: list[AuditRecord] = field(default_factory=list)
    _policies: list[PolicyRevision] = field(default_factory=list)
    _exceptions: dict[str, MadeException] = field(default_factory=dict)
    _tallies: dict[Tally, Tally] = field(default_factory=dict)
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

    def add_tallies(self, tallies: Sequence[Tally]) -> None:
        """Add to the counts of the same answers."""
        for new in tallies:
            key = replace(new, first_at=_EVER, last_at=_EVER, count=0)
            old = self._tallies.get(key)
            first, last = new.first_at, new.last_at
            if old is not None:
                first, last = min(first, old.first_at), max(last, old.last_at)
            count = new.count + (old.count if old else 0)
            self._tallies[key] = replace(new, first_at=first, last_at=last, count=count)

    def tallies(self, since: datetime | None = None) -> list[Tally]:
        """Those with an answer since then, the last one first."""
        found = [t for t in self._tallies.values() if since is None or t.last_at >= since]
        return sorted(found, key=lambda t: t.last_at, reverse=True)

    def prune_tallies(self, before: datetime) -> int:
        """Delete those whose last answer is older; how many."""
        old = [key for key, tally in self._tallies.items() if tally.last_at < before]
        for key in old:
            del self._tallies[key]
        return len(old)

    def access_state(self) -> str:
        """Another text after every change of tokens, policy and exceptions."""
        return str(self._changes)

    def close(self) -> None:
        """Nothing is open."""
