"""Logins by an OpenID provider: its tokens are taken as ours, and people get one by logging in.

Source: OpenID Connect Core 1.0 sections 3.1 (code flow) and 3.1.3.7 (ID token validation), OpenID
Connect Discovery 1.0, RFC 7636 (PKCE), RFC 9700 (best current practice).

1. The provider is found by its issuer's discovery document, whose `issuer` must be the one that was
   asked. Its keys are fetched, kept for a while, and fetched again for a key that is not known: not
   more than once in ten seconds, whether that succeeds or not, so that tokens which anybody can
   make up keep neither the provider nor us busy. Keys outlast a provider that is away by a day.
2. A token must be signed by one of these keys, by an algorithm with a public key, for this client
   and no other, by this issuer, and in its time.
3. A login carries a state, a nonce and a PKCE verifier, kept in a cookie that only this server can
   make and that lives ten minutes. All three must fit when the provider sends the person back.
4. What the token's claim says becomes a role; the highest counts. Without any, nobody gets in.
"""

import base64
import json
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from hmac import HMAC, compare_digest
from threading import Lock
from time import monotonic
from typing import Annotated, Any
from urllib.parse import urlencode

import httpx
import jwt
from fastapi import APIRouter, Query, Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from layerproof.engine.ports import Clock
from layerproof.errors import UnreachableError, UsageError
from layerproof.model.access import Role
from layerproof.report.service_documents import whoami_document
from layerproof.server.auth import Principal
from layerproof.server.openapi import PROBLEMS
from layerproof.server.problems import Problem, problem_of
from layerproof.server.service import Service
from layerproof.service_config import Oidc

_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512",
               "EdDSA"]  # fmt: skip
_COOKIE = "layerproof-login"
_SEALING = "login sealing key"  # in the index
_LOGIN_LASTS = timedelta(minutes=10)
_KEYS_LAST = timedelta(hours=1)
_KEYS_AT_MOST = timedelta(days=1)  # while the provider cannot be asked
_ASKED_AT_MOST_EVERY = timedelta(seconds=10)
_SECONDS = 10.0
_MOST_TOKEN = 16_384
_MOST_DOCUMENT = 1 << 20
_LEEWAY = 30
_RANK = (Role.NOTIFIER, Role.VIEWER, Role.OPERATOR, Role.ADMIN)


class Provider:
    """One OpenID provider. Safe for threads."""

    def __init__(self, oidc: Oidc, clock: Clock) -> None:
        self.oidc = oidc
        self._clock = clock
        self._lock = Lock()
        self._document: Mapping[str, Any] = {}
        self._keys: Mapping[str, Any] = {}
        self._fetched_at = self._asked_at = datetime(1970, 1, 1, tzinfo=UTC)

    def verify(self, text: str) -> Principal | None:
        """Whose token it is; None for one that is not good. Raises Problem if the provider cannot
        be asked."""
        claims = self.claims(text)
        return None if claims is None else self.principal(claims)

    def principal(self, claims: Mapping[str, Any]) -> Principal | None:
        """Whoever has these claims; None without a role."""
        said = claims.get(self.oidc.role_claim, [])
        values = [said] if isinstance(said, str) else said if isinstance(said, list) else []
        roles = [self.oidc.roles[v] for v in values if isinstance(v, str) and v in self.oidc.roles]
        subject = claims.get("sub")
        if not roles or not isinstance(subject, str) or not subject:
            return None
        # Only the subject is sure to be one person's (Core 1.0, section 5.7); an address that the
        # provider did not verify, or a user name, may be chosen to look like somebody else's.
        email = claims.get("email")
        named = isinstance(email, str) and claims.get("email_verified") is True
        name = "".join(c if c.isprintable() else "?" for c in str(email if named else subject))
        try:
            ends = datetime.fromtimestamp(claims["exp"], UTC)
        except (ValueError, OverflowError, OSError, TypeError):
            return None
        role = max(roles, key=_RANK.index)
        return Principal(f"{name[:200]} ({self.oidc.issuer})", role, "", ends, f"oidc {subject}")

    def claims(self, text: str, nonce: str = "") -> Mapping[str, Any] | None:
        """The claims of an ID token; None if it is not good."""
        if len(text) > _MOST_TOKEN:
            return None
        try:
            header = jwt.get_unverified_header(text)
            key = self._key(str(header.get("kid", "")))
            if key is None or header.get("alg") not in _ALGORITHMS:
                return None
            claims: Mapping[str, Any] = jwt.decode(
                text,
                key,
                algorithms=_ALGORITHMS,
                audience=self.oidc.client_id,
                issuer=str(self._document.get("issuer", "")),
                leeway=_LEEWAY,
                options={"require": ["exp", "iat", "iss", "aud", "sub"]},
            )
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            return None
        if not self._meant_for_us(claims):
            return None
        if nonce and not _same(str(claims.get("nonce", "")), nonce):
            return None
        return claims

    def _meant_for_us(self, claims: Mapping[str, Any]) -> bool:
        """Core 1.0 section 3.1.3.7, steps 3 to 5: a token for several says who asked for it."""
        audience, party = claims["aud"], claims.get("azp")
        if party is None:
            return isinstance(audience, str) or len(audience) == 1
        return bool(party == self.oidc.client_id)

    def endpoint(self, name: str) -> str:
        """An address from the discovery document. Raises UnreachableError, UsageError."""
        self._refresh(forced=False)
        found = self._document.get(name)
        if not isinstance(found, str):
            raise UsageError(
                f"the provider's discovery document has no {name}",
                where=self.oidc.issuer,
                remedy="check `issuer` in the service's file",
            )
        return found

    def exchange(self, code: str, verifier: str) -> str:
        """The ID token for a code. Raises Problem."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.oidc.redirect_url,
            "client_id": self.oidc.client_id,
            "code_verifier": verifier,
        }
        secret = self._secret()
        if secret:
            form["client_secret"] = secret
        try:
            answer = httpx.post(self.endpoint("token_endpoint"), data=form, timeout=_SECONDS)
            found = answer.json().get("id_token") if answer.status_code == 200 else None
        except (httpx.HTTPError, ValueError, AttributeError) as error:
            raise problem_of(self._unreachable(error)) from error
        if not isinstance(found, str):
            raise Problem(
                401, "login-failed", "the provider gave no token for this login",
                remedy="log in again",
            )  # fmt: skip
        return found

    def _secret(self) -> str:
        file = self.oidc.client_secret_file
        if file is None:
            return ""
        try:
            found = file.read_text().strip()
        except (OSError, ValueError) as error:
            raise Problem(503, "login-not-ready", "the client's secret cannot be read") from error
        if not found:  # cookies are sealed by it
            raise Problem(503, "login-not-ready", "the file of the client's secret is empty")
        return found

    def _key(self, identity: str) -> Any:
        self._refresh(forced=False)
        if identity not in self._keys:
            self._refresh(forced=True)
        found = self._keys.get(identity)
        if found is None and not identity and len(self._keys) == 1:
            found = next(iter(self._keys.values()))
        return found

    def _refresh(self, *, forced: bool) -> None:
        """Rule 1. Raises Problem without any keys that may still be used."""
        now = self._clock.now()
        usable = now - self._fetched_at < _KEYS_AT_MOST
        if not forced and now - self._fetched_at < _KEYS_LAST:
            return
        if not self._lock.acquire(blocking=not usable):
            return  # somebody else is asking; nobody waits who has keys
        try:
            error: Exception = UnreachableError("it was asked a moment ago, and did not answer")
            if now - self._asked_at >= _ASKED_AT_MOST_EVERY:
                self._asked_at = now
                try:
                    self._fetch(now)
                except (httpx.HTTPError, ValueError, KeyError, jwt.PyJWTError, UsageError) as exc:
                    error = exc
            if now - self._fetched_at >= _KEYS_AT_MOST:
                raise problem_of(self._unreachable(error)) from error
        finally:
            self._lock.release()

    def _fetch(self, now: datetime) -> None:
        place = self.oidc.issuer.rstrip("/")
        document = _get(f"{place}/.well-known/openid-configuration")
        if str(document.get("issuer", "")).rstrip("/") != place:
            raise UsageError("its discovery document names another issuer")
        keys = jwt.PyJWKSet.from_dict(_get(str(document["jwks_uri"])))
        self._document = document
        self._keys = {key.key_id or "": key.key for key in keys.keys}
        self._fetched_at = now

    def _unreachable(self, error: Exception) -> UnreachableError:
        return UnreachableError(
            f"the login provider cannot be asked: {type(error).__name__}",
            where=self.oidc.issuer,
            remedy="try again later; tokens of the service go on to work",
        )


def _get(url: str) -> dict[str, Any]:
    ends = monotonic() + _SECONDS
    with httpx.stream("GET", url, timeout=_SECONDS) as answer:
        answer.raise_for_status()
        data = b""
        for part in answer.iter_bytes():
            data += part
            if len(data) > _MOST_DOCUMENT or monotonic() > ends:
                raise ValueError("the document is too large, or comes too slowly")
    try:
        found = json.loads(data)
    except RecursionError as error:
        raise ValueError("the document is nested too deeply") from error
    if not isinstance(found, dict):
        raise ValueError("the document is no object")
    return found


def login_router(provider: Provider, service: Service) -> APIRouter:
    """The two addresses of a login."""
    router = APIRouter(tags=["login"])

    def key() -> bytes:
        """All processes and machines must open each other's cookies: a client without a secret
        seals them by a key that lies in the index."""
        if provider.oidc.client_secret_file is not None:
            return sha256(b"layerproof login " + provider._secret().encode()).digest()
        index = service.stores.index
        found = index.cached(_SEALING)
        if found is None:
            # Of several that do so at once the last one stays; the others' logins begin again.
            index.put_cached(_SEALING, secrets.token_bytes(32))
            found = index.cached(_SEALING)
        assert found is not None
        return found

    @router.get("/login", responses=PROBLEMS, status_code=303, openapi_extra={"x-public": True})
    def begin() -> Response:
        """Begin a login: off to the provider."""
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        challenge = base64.urlsafe_b64encode(sha256(verifier.encode()).digest()).decode()
        query = {
            "response_type": "code",
            "scope": "openid email profile",
            "client_id": provider.oidc.client_id,
            "redirect_uri": provider.oidc.redirect_url,
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge.rstrip("="),
            "code_challenge_method": "S256",
        }
        where = provider.endpoint("authorization_endpoint")
        found = RedirectResponse(f"{where}?{urlencode(query)}", 303)
        until = int((service.clock.now() + _LOGIN_LASTS).timestamp())
        found.set_cookie(
            _COOKIE,
            seal([state, nonce, verifier, str(until)], key()),
            max_age=int(_LOGIN_LASTS.total_seconds()),
            httponly=True,
            samesite="lax",
            secure=provider.oidc.redirect_url.startswith("https://"),
            path="/api/v1/login",
        )
        return found

    @router.get("/login/callback", responses=PROBLEMS, openapi_extra={"x-public": True})
    def end(
        request: Request,
        code: Annotated[str, Query(max_length=4096)] = "",
        state: Annotated[str, Query(max_length=200)] = "",
    ) -> Response:
        """The end of a login: the token that the command line and scripts use."""
        sealed = unseal(request.cookies.get(_COOKIE, ""), key())
        now = int(service.clock.now().timestamp())
        if sealed is None or not _same(sealed[0], state) or int(sealed[3]) < now:
            raise Problem(
                401, "login-failed", "this login was not begun here, or long ago",
                remedy="log in again: GET /api/v1/login",
            )  # fmt: skip
        token = provider.exchange(code, sealed[2])
        claims = provider.claims(token, sealed[1])
        principal = None if claims is None else provider.principal(claims)
        if principal is None:
            raise Problem(
                403, "no-role", "this account has no role here",
                remedy=f"see `{provider.oidc.role_claim}` and `roles` in the service's file",
            )  # fmt: skip
        service.audit(
            actor=principal.name,
            role=str(principal.role),
            action="login",
            target=principal.name,
            address=request.client.host if request.client else "",
            details={},
        )
        who = whoami_document(principal.name, str(principal.role), principal.expires_at)
        found = JSONResponse({**who, "token": token})
        found.delete_cookie(_COOKIE, path="/api/v1/login")
        return found

    return router


def seal(parts: list[str], key: bytes) -> str:
    """Texts that only whoever has the key can have written."""
    body = base64.urlsafe_b64encode(json.dumps(parts).encode()).decode()
    return f"{body}.{HMAC(key, body.encode(), sha256).hexdigest()}"


def unseal(text: str, key: bytes) -> list[str] | None:
    """Back from `seal`; None for what was not sealed with this key."""
    body, _, mark = text.rpartition(".")
    if not _same(HMAC(key, body.encode(), sha256).hexdigest(), mark):
        return None
    found = json.loads(base64.urlsafe_b64decode(body))
    return found if len(found) == 4 else None


def _same(one: str, other: str) -> bool:
    return compare_digest(one.encode("utf-8", "replace"), other.encode("utf-8", "replace"))
