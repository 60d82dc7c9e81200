"""Tokens: made, checked, ended. The token itself is returned once; what is kept is its digest.

A token is `lp_`, its id, and 256 random bits: a plain digest is enough to keep it by, because
nobody can guess it, and looking up a digest takes the same time for every wrong token.
"""

import base64
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256

from layerproof.engine.ledger import Ledger
from layerproof.errors import AccessError
from layerproof.model.access import AccessToken, Role
from layerproof.model.reference import is_registry

PREFIX = "lp_"
SECRET_BYTES = 32
ID_BYTES = 6
MOST_DAYS = 730
_MOST_NAME = 100
MOST_TOKEN = 200  # characters; a longer one is nobody's


@dataclass(frozen=True, slots=True)
class Issued:
    """A new token, to be shown once."""

    text: str
    token: AccessToken


def issue(
    ledger: Ledger,
    *,
    name: str,
    role: Role,
    by: str,
    now: datetime,
    days: int,
    random: bytes,
    registry: str = "",
) -> Issued:
    """Make a token. `random`: ID_BYTES + SECRET_BYTES from the system. Raises AccessError."""
    name = name.strip()
    if not 0 < len(name) <= _MOST_NAME or not name.isprintable():
        raise AccessError(
            "a token needs a name", where="name", remedy=f"1 to {_MOST_NAME} printable characters"
        )
    if not 1 <= days <= MOST_DAYS:
        raise AccessError(
            f"a token cannot be good for {days} days", where="days", remedy=f"1 to {MOST_DAYS}"
        )
    if role is Role.NOTIFIER and not registry:
        raise AccessError(
            "a notifier's token speaks for one registry, and none is named",
            where="registry",
            remedy="name its host[:port], as references do: registry.example:5000",
        )
    if registry and role is not Role.NOTIFIER:
        raise AccessError(
            f"a token of role {role} speaks for no registry",
            where="registry",
            remedy="leave the registry out, or take the role notifier",
        )
    if registry and not is_registry(registry):
        raise AccessError(
            f"{registry[:100]!r} is no registry",
            where="registry",
            remedy="name its host[:port], as references do: registry.example:5000",
        )
    issued = _made(name, role, by, now, now + timedelta(days=days), random, registry)
    _add(ledger, issued, None)
    return issued


def rotate(
    ledger: Ledger, identity: str, *, by: str, now: datetime, grace: timedelta, random: bytes
) -> Issued:
    """A new token in place of one that is good; the old one ends after `grace`. Both or neither:
    nobody is left without a token. Raises AccessError."""
    old = find(ledger, identity)
    if not old.active(now) or old.revoked_at is not None:
        raise AccessError(
            f"the token {old.name!r} is not good any more, or ends already",
            where=identity,
            remedy="make a new one: there is nothing to rotate",
        )
    ending = min(old.expires_at, now + max(grace, timedelta()))
    ended = replace(old, revoked_by=by, revoked_at=ending, name=f"{old.name} (rotated)")
    lasts = max(old.expires_at - old.created_at, timedelta(days=1))
    issued = _made(old.name, old.role, by, now, now + lasts, random, old.registry)
    _add(ledger, issued, ended)
    return issued


def _made(
    name: str,
    role: Role,
    by: str,
    now: datetime,
    expires_at: datetime,
    random: bytes,
    registry: str,
) -> Issued:
    if len(random) != ID_BYTES + SECRET_BYTES:
        raise ValueError("not as many random bytes as a token needs")
    identity = random[:ID_BYTES].hex()
    secret = base64.urlsafe_b64encode(random[ID_BYTES:]).decode().rstrip("=")
    text = f"{PREFIX}{identity}_{secret}"
    token = AccessToken(
        id=identity,
        name=name,
        role=role,
        digest=digest_of(text),
        created_by=by,
        created_at=now,
        expires_at=expires_at,
        registry=registry,
    )
    return Issued(text, token)


def _add(ledger: Ledger, issued: Issued, instead_of: AccessToken | None) -> None:
    if not ledger.add_token(issued.token, instead_of):
        raise AccessError(
            f"there is a token named {issued.token.name!r} already",
            where="name",
            remedy="take another name, revoke that one, or rotate it",
        )


def revoke(ledger: Ledger, identity: str, *, by: str, now: datetime) -> AccessToken:
    """End a token now. Raises AccessError."""
    token = find(ledger, identity)
    if token.revoked_at is not None and token.revoked_at <= now:
        raise AccessError(
            f"the token {token.name!r} was revoked already", where=identity, remedy="nothing to do"
        )
    revoked = replace(token, revoked_by=by, revoked_at=now)
    ledger.put_token(revoked)
    return revoked


def find(ledger: Ledger, identity: str) -> AccessToken:
    """By id. Raises AccessError."""
    for token in ledger.tokens():
        if token.id == identity:
            return token
    raise AccessError(
        "there is no such token", where=identity[:100], remedy="list them: layerproof token list"
    )


def digest_of(text: str) -> bytes:
    """What is kept of a token."""
    return sha256(text.encode("utf-8", "surrogatepass")).digest()
