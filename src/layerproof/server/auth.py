"""Who asks, and whether they may: tokens of the service, and tokens of an OpenID provider.

1. Every route says which role it needs; one that says nothing is refused to everybody
   (`routed`), and a test looks at each of them.
2. A token is looked up by its digest among all that there are, which are read anew when any of them
   changed: whoever has no token asks the database nothing, however often.
3. Whoever shows a wrong token may do so a few times a minute.
4. Everybody has a bucket of requests, by token; so one cannot starve the others.
"""

import ipaddress
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from layerproof.engine.access import MOST_TOKEN, PREFIX, digest_of
from layerproof.engine.ledger import Ledger
from layerproof.engine.ports import Clock
from layerproof.model.access import AccessToken, Role, allows
from layerproof.server.problems import Problem

WRONG_PER_MINUTE = 30
_MOST_KNOWN = 10_000
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="layerproof"'}


@dataclass(frozen=True, slots=True)
class Principal:
    """Whoever asks."""

    name: str
    role: Role
    registry: str = ""  # a notifier's
    expires_at: datetime | None = None
    key: str = ""  # for its bucket of requests


Verify = Callable[[str], Principal | None]


class Buckets:
    """Token buckets by key; the ones that were not used for longest are forgotten."""

    def __init__(self, per_second: float, burst: float) -> None:
        self._rate = per_second
        self._burst = burst
        self._lock = threading.Lock()
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str) -> float:
        """0 if one may; else the seconds to wait."""
        now = time.monotonic()
        with self._lock:
            level, then = self._levels.pop(key, (self._burst, now))
            level = min(self._burst, level + (now - then) * self._rate)
            may = level >= 1
            self._levels[key] = (level - 1 if may else level), now
            while len(self._levels) > _MOST_KNOWN:
                self._levels.popitem(last=False)
        return 0.0 if may else (1 - level) / self._rate


class Gatekeeper:
    """Authenticates requests and holds them to their roles."""

    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        *,
        requests_per_second: float,
        verify_foreign: Verify | None = None,
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._verify_foreign = verify_foreign
        self._all = Buckets(requests_per_second, max(2 * requests_per_second, 10))
        self._wrong = Buckets(WRONG_PER_MINUTE / 60, WRONG_PER_MINUTE)
        self._known: tuple[str, Mapping[bytes, AccessToken]] = "", {}

    def admit(
        self, authorization: str, address: str, needed: Role, state: str | None = None
    ) -> Principal:
        """The caller, who may do what needs this role. `state`: of the ledger, where somebody has
        just read it. Raises Problem."""
        return self.allow(self.authenticate(authorization, address, state), needed)

    def allow(self, principal: Principal, needed: Role) -> Principal:
        """Raises Problem if the caller may not, or asks too often."""
        wait = self._all.take(principal.key)
        if wait:
            raise _too_many(wait)
        if not allows(principal.role, needed):
            raise Problem(
                403,
                "forbidden",
                f"{principal.name} is {principal.role}, and this needs {needed}",
                remedy="ask an administrator for a token of that role",
            )
        return principal

    def authenticate(self, authorization: str, address: str, state: str | None = None) -> Principal:
        """Whose token it is. Raises Problem."""
        scheme, _, text = authorization.partition(" ")
        text = text.strip()
        if not authorization:
            raise Problem(
                401,
                "unauthenticated",
                "the request has no token",
                remedy="send the header Authorization: Bearer TOKEN; make one with"
                " `layerproof token create`",
                headers=_CHALLENGE,
            )
        found = self._look_up(text, state) if scheme.lower() == "bearer" and text else None
        if found is None:
            wait = self._wrong.take(_sender(address))
            if wait:
                raise _too_many(wait)
            raise Problem(
                401,
                "unauthenticated",
                "the token is not known, or not good any more",
                remedy="make a new one with `layerproof token create`",
                headers=_CHALLENGE,
            )
        return found

    def _look_up(self, text: str, state: str | None) -> Principal | None:
        if not text.startswith(PREFIX):
            return self._verify_foreign(text) if self._verify_foreign else None
        if len(text) > MOST_TOKEN:
            return None
        now = self._clock.now()
        token = self._tokens(state or self._ledger.access_state()).get(digest_of(text))
        if token is None or not token.active(now):
            return None
        ends = min(filter(None, (token.expires_at, token.revoked_at)))
        return Principal(token.name, token.role, token.registry, ends, token.id)

    def knows(self, state: str | None) -> bool:
        """Whether nothing has to be read to tell whose a token is."""
        return state is not None and self._known[0] == state

    def _tokens(self, state: str) -> Mapping[bytes, AccessToken]:
        """As of this state, or a later one. Both stand in one place: another thread that reads
        an older state never makes these the tokens of a newer one."""
        known, tokens = self._known
        if known != state:
            tokens = {token.digest: token for token in self._ledger.tokens()}
            self._known = state, tokens
        return tokens


def _sender(address: str) -> str:
    """Who is behind an address: of IPv6, whoever has one has its whole /64."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if found.version == 4:
        return address
    return str(ipaddress.ip_network((int(found) >> 64 << 64, 64)))


def _too_many(wait: float) -> Problem:
    return Problem(
        429,
        "too-many-requests",
        "there were too many requests",
        remedy="wait as Retry-After says",
        headers={"Retry-After": str(int(wait) + 1)},
    )


async def admitted(request: Request, role: Role, access_state: str | None) -> Principal:
    """The caller, who may do what needs this role. `access_state`: of the ledger, where somebody
    has just read it. Raises Problem."""
    keeper: Gatekeeper = request.app.state.gatekeeper
    authorization = request.headers.get("authorization", "")
    asked = authorization, address_of(request), role, access_state
    if f" {PREFIX}" in authorization and keeper.knows(access_state):
        found = keeper.admit(*asked)
    else:  # the database, or a provider, may have to be asked
        found = await run_in_threadpool(keeper.admit, *asked)
    request.state.principal = found
    return found


def needs(role: Role) -> Callable[[Request], object]:
    """A dependency: the caller, who may do what needs this role."""

    async def principal(request: Request) -> Principal:
        return await admitted(request, role, (await request.app.state.freshness.now())[1])

    principal.role = role  # type: ignore[attr-defined]  # for the test that looks at every route
    return principal


def address_of(request: Request) -> str:
    """Whence it comes, as far as the server knows."""
    return request.client.host if request.client else ""
