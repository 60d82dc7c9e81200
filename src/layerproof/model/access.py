"""Who may use the service, and the record of what they changed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Role(StrEnum):
    """What a token allows; see `allows`."""

    NOTIFIER = "notifier"  # report events, nothing else: what a registry gets
    VIEWER = "viewer"  # read
    OPERATOR = "operator"  # read; decide, index, trust, withdraw, except, report
    ADMIN = "admin"  # all: policy, tokens, audit, pruning


BEGUN = "begun"  # outcome of a change that is about to be made; another record says how it ended

_ALLOWED = {
    Role.NOTIFIER: {Role.NOTIFIER},
    Role.VIEWER: {Role.VIEWER},
    Role.OPERATOR: {Role.NOTIFIER, Role.VIEWER, Role.OPERATOR},
    Role.ADMIN: set(Role),
}


def allows(held: Role, needed: Role) -> bool:
    """Whether whoever holds one role may do what needs another."""
    return needed in _ALLOWED[held]


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token of the API. The token itself is shown once and never kept: only its digest is.

    Times are aware, UTC.
    """

    id: str
    name: str
    role: Role
    digest: bytes  # sha256 of the token
    created_by: str
    created_at: datetime
    expires_at: datetime
    revoked_by: str = ""
    revoked_at: datetime | None = None
    registry: str = ""  # a notifier's: the only registry that it may speak for

    def active(self, now: datetime) -> bool:
        """Whether it is good at this time."""
        if self.revoked_at is not None and self.revoked_at <= now:
            return False
        return self.created_at <= now < self.expires_at


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One change that somebody made, or tried to make. Never changed, never deleted by the API."""

    id: int
    at: datetime
    actor: str  # name of the token, or issuer and subject
    role: str
    action: str  # stable words: "trust.add"
    target: str
    address: str  # whence
    outcome: str  # BEGUN, then "done" or an error's code
    details: Mapping[str, object] = field(default_factory=dict)
