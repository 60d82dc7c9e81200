"""Who pushes: what events tell of it, and whom a policy trusts."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from layerproof.model.event import EventKind


@dataclass(frozen=True, slots=True)
class Pusher:
    """An account that pushed something, and when first. An account of "" is an unknown one."""

    registry: str  # host[:port], as in references
    account: str
    first_at: datetime


@dataclass(frozen=True, slots=True)
class Account:
    """An account of a registry, as events show it. Times are aware, UTC."""

    registry: str
    account: str
    first_at: datetime
    last_at: datetime
    counts: Mapping[EventKind, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody whom a policy names: accounts of registries.

    A registry is a host, or `*.` and a domain for the hosts below it. In an account, `*` is any
    text; there must be more than that.
    """

    name: str
    registries: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()

    def is_one_of(self, pushers: Iterable[Pusher], now: datetime) -> bool:
        """Whether one of them is this one, and had pushed by `now`."""
        return any(self.is_(pusher) for pusher in pushers if pusher.first_at <= now)

    def is_(self, pusher: Pusher) -> bool:
        """Whether the account is this identity's. An unknown account is nobody's."""
        return (
            bool(pusher.account)
            and any(_is_below(pusher.registry, host) for host in self.registries)
            and any(_fits(pusher.account, account) for account in self.accounts)
        )


def _is_below(host: str, pattern: str) -> bool:
    if pattern.startswith("*."):
        return host.endswith(pattern[1:]) and len(host) > len(pattern) - 1
    return host == pattern


def _fits(text: str, pattern: str) -> bool:
    if "*" not in pattern:
        return text == pattern
    parts = ".*".join(re.escape(part) for part in re.split(r"\*+", pattern))
    return re.fullmatch(parts, text, re.DOTALL) is not None
