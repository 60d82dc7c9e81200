"""Who gets which credential: challenges, Basic, and bearer tokens.

Sources: RFC 9110 section 11 (challenges), RFC 7617 (Basic), and the CNCF distribution project's
"Token Authentication Specification" and "OAuth2 Token Authentication".

A registry names its token service itself, in the realm of its challenge. Whoever controls that
answer could have our credentials sent anywhere, so:

1. The scope that we ask for is built here (`repository:NAME:pull`), never taken from a challenge.
2. A realm must be https; http only for a registry that the operator declared to be plain HTTP,
   and then on that registry's host.
3. Credentials go to a realm on the registry's own host name, or on one that the operator allows.
4. Any other realm is asked for an anonymous token when we have no credentials, and is an error
   when we have some.
5. A token service that redirects is refused; tokens are kept per registry and scope until they
   expire, and are sent to that registry only.
"""

import base64
import json
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import httpx

from layerproof.errors import AuthenticationError, ProtocolError, SourceError
from layerproof.sources.registry.answers import refusal
from layerproof.sources.registry.credentials import Credential, CredentialProvider
from layerproof.sources.registry.names import DOCKER_HUB, Endpoint
from layerproof.sources.registry.settings import RegistrySettings

# Token services that live elsewhere by design, by registry.
_KNOWN_REALMS: Mapping[str, frozenset[str]] = {
    DOCKER_HUB: frozenset({"auth.docker.io"}),
    "registry.gitlab.com": frozenset({"gitlab.com"}),
}
_CLIENT_ID = "layerproof"
_DEFAULT_LIFE = 60.0  # "Token Response Fields", expires_in
_LONGEST_LIFE = 3600.0
_SPARE = 10.0  # seconds before its end at which a token is no longer used

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_SCHEME = re.compile(_TOKEN)
_PARAMETER = re.compile(rf'({_TOKEN})[ \t]*=[ \t]*(?:({_TOKEN})|"((?:[^"\\]|\\.)*)")')
_TOKEN68 = re.compile(r"[A-Za-z0-9\-._~+/]+=*(?=[ \t]*(?:,|$))")
_SPACE = re.compile(r"[ \t]*")
_COMMAS = re.compile(r"[ \t]*(?:,[ \t]*)*")
_QUOTED_PAIR = re.compile(r"\\(.)")
_USABLE_TOKEN = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way to authenticate that a server offers; names in lower case."""

    scheme: str
    parameters: Mapping[str, str]


def parse_challenges(header: str) -> tuple[Challenge, ...]:
    """Read a WWW-Authenticate value, which may hold several challenges (RFC 9110 11.6.1).

    Raises ProtocolError for anything that does not follow the grammar, or names a parameter twice.
    """
    challenges = []
    position = _end(_COMMAS, header, 0)
    while position < len(header):
        scheme = _SCHEME.match(header, position)
        if scheme is None:
            raise _malformed()
        parameters, position = _parameters(header, scheme.end())
        challenges.append(Challenge(scheme[0].lower(), parameters))
    return tuple(challenges)


def _parameters(header: str, position: int) -> tuple[dict[str, str], int]:
    """What follows a scheme, and where the next challenge starts."""
    parameters: dict[str, str] = {}
    position = _end(_SPACE, header, position)
    while found := _PARAMETER.match(header, position):
        name, plain, quoted = found.groups()
        if name.lower() in parameters:
            raise _malformed()
        value = plain if plain is not None else _QUOTED_PAIR.sub(r"\1", quoted)
        parameters[name.lower()] = value
        after = _end(_COMMAS, header, found.end())
        if after < len(header) and "," not in header[found.end() : after]:
            raise _malformed()
        position = after
    if not parameters and (opaque := _TOKEN68.match(header, position)):
        position = opaque.end()
    return parameters, _end(_COMMAS, header, position)


def _end(pattern: re.Pattern[str], text: str, position: int) -> int:
    found = pattern.match(text, position)
    return found.end() if found else position


def _malformed() -> ProtocolError:
    return ProtocolError(
        "the registry's WWW-Authenticate header cannot be read",
        remedy="check that the address is that of a registry, not of a proxy or a web page",
    )


@dataclass(frozen=True, slots=True)
class Grant:
    """A right to use: the value of an Authorization header, until a monotonic time."""

    header: str = field(repr=False)
    expires: float


@dataclass(frozen=True, slots=True)
class Document:
    """A small answer, wholly read."""

    status: int
    headers: httpx.Headers
    body: bytes


class Fetch(Protocol):
    """One request for a small document; redirects are not followed. Raises SourceError."""

    def __call__(self, request: httpx.Request) -> Awaitable[Document]:
        """Send it and read the answer, bounded."""


class Authorizer:
    """Answers challenges and remembers what was granted. `grants` may be shared and copied."""

    def __init__(
        self,
        *,
        settings: RegistrySettings,
        credentials: CredentialProvider,
        grants: MutableMapping[tuple[str, str], Grant],
        fetch: Fetch,
        monotonic: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._credentials = credentials
        self._grants = grants
        self._fetch = fetch
        self._monotonic = monotonic

    def known(self, endpoint: Endpoint) -> str:
        """The Authorization header that worked before, or nothing."""
        grant = self._grants.get(_key(endpoint))
        return grant.header if grant and grant.expires > self._monotonic() else ""

    async def answer(self, endpoint: Endpoint, headers: Sequence[str]) -> str:
        """The Authorization header that answers the challenges of a 401.

        Raises AuthenticationError, ProtocolError, UnreachableError.
        """
        challenges = [c for header in headers for c in parse_challenges(header)]
        by_scheme = {challenge.scheme: challenge for challenge in reversed(challenges)}
        credential = self._credentials.find(endpoint.host, endpoint.repository)
        if "bearer" in by_scheme:
            grant = await self._bearer(endpoint, by_scheme["bearer"], credential)
        elif "basic" in by_scheme:
            grant = _basic_grant(endpoint, credential)
        else:
            raise AuthenticationError(
                f"the registry offers no way to log in that Layerproof knows"
                f" (it offers: {', '.join(by_scheme)[:100] or 'none'})",
                where=endpoint.name,
                remedy="Basic and Bearer are known",
            )
        self._grants[_key(endpoint)] = grant
        return grant.header

    async def _bearer(
        self, endpoint: Endpoint, challenge: Challenge, credential: Credential | None
    ) -> Grant:
        if credential is not None and credential.registry_token:
            return Grant(f"Bearer {_usable(credential.registry_token, endpoint)}", float("inf"))
        realm = token_realm(endpoint, challenge, self._settings, secret=credential is not None)
        request = _token_request(endpoint, realm, challenge.parameters.get("service"), credential)
        answer = await self._fetch(request)
        if answer.status != 200:
            raise _refused(endpoint, realm, answer, credential)
        return self._grant(endpoint, answer)

    def _grant(self, endpoint: Endpoint, answer: Document) -> Grant:
        try:
            document = json.loads(answer.body)
        except (ValueError, RecursionError):
            document = None  # the cause would carry the text, and with it perhaps a token
        if not isinstance(document, dict):
            raise ProtocolError("the token service's answer is not JSON", where=endpoint.name)
        token = document.get("token") or document.get("access_token")
        if not isinstance(token, str):
            raise ProtocolError("the token service's answer holds no token", where=endpoint.name)
        life = document.get("expires_in")
        if isinstance(life, bool) or not isinstance(life, int | float) or not life > 0:
            life = _DEFAULT_LIFE
        expires = self._monotonic() + min(float(life), _LONGEST_LIFE) - _SPARE
        return Grant(f"Bearer {_usable(token, endpoint)}", expires)


def token_realm(
    endpoint: Endpoint, challenge: Challenge, settings: RegistrySettings, *, secret: bool
) -> httpx.URL:
    """The token service's address, checked against rules 2 to 4 of this module. `secret`: whether a
    login is to be sent there. Raises AuthenticationError."""
    try:
        realm = httpx.URL(challenge.parameters.get("realm", ""))
    except httpx.InvalidURL as exc:
        raise _bad_realm(endpoint, "is not an address") from exc
    if realm.scheme not in ("http", "https") or not realm.host or realm.userinfo:
        raise _bad_realm(endpoint, "is not a plain http or https address")
    own_host = realm.host == httpx.URL(endpoint.base).host
    if realm.scheme == "http" and not (endpoint.insecure and own_host):
        raise _bad_realm(endpoint, f"is plain HTTP ({realm.host})")
    if secret and not own_host and not _allowed(endpoint, realm, settings):
        raise AuthenticationError(
            f"the registry wants the login sent to another host, {realm.host}; it was not sent",
            where=endpoint.name,
            remedy=f"if that is its token service, add {realm.host} to"
            " LAYERPROOF_TOKEN_REALMS; otherwise do not trust this registry",
        )
    return realm


def _allowed(endpoint: Endpoint, realm: httpx.URL, settings: RegistrySettings) -> bool:
    allowed = settings.token_realms | _KNOWN_REALMS.get(endpoint.host, frozenset())
    return realm.host in allowed or realm.netloc.decode("ascii") in allowed


def _key(endpoint: Endpoint) -> tuple[str, str]:
    return endpoint.base, _scope(endpoint)


def _scope(endpoint: Endpoint) -> str:
    return f"repository:{endpoint.repository}:{endpoint.actions}"


def _token_request(
    endpoint: Endpoint, realm: httpx.URL, service: str | None, credential: Credential | None
) -> httpx.Request:
    parameters = {"scope": _scope(endpoint)}
    if service is not None:
        parameters["service"] = service
    if credential is not None and credential.identity_token:
        # "OAuth2 Token Authentication": POST, refresh_token
        form = {
            **parameters,
            "client_id": _CLIENT_ID,
            "grant_type": "refresh_token",
            "refresh_token": credential.identity_token,
        }
        return httpx.Request("POST", realm, data=form)
    headers = {"Authorization": _basic(credential)} if credential is not None else {}
    return httpx.Request("GET", realm.copy_merge_params(parameters), headers=headers)


def _basic_grant(endpoint: Endpoint, credential: Credential | None) -> Grant:
    if credential is None:
        raise AuthenticationError(
            "the registry wants a login and none was found",
            where=endpoint.name,
            remedy=f"docker login {endpoint.host}",
        )
    if not credential.password:
        raise AuthenticationError(
            "the registry wants a password, but only a token is known for it",
            where=endpoint.name,
            remedy=f"docker login {endpoint.host} with user name and password",
        )
    return Grant(_basic(credential), float("inf"))


def _basic(credential: Credential) -> str:
    pair = f"{credential.username}:{credential.password}".encode()
    return f"Basic {base64.b64encode(pair).decode('ascii')}"


def _usable(token: str, endpoint: Endpoint) -> str:
    if _USABLE_TOKEN.fullmatch(token):
        return token
    raise ProtocolError("the token holds characters that no token has", where=endpoint.name)


def _bad_realm(endpoint: Endpoint, problem: str) -> AuthenticationError:
    return AuthenticationError(
        f"the token service that the registry names {problem}; nothing was sent to it",
        where=endpoint.name,
        remedy="the realm of a registry's challenge must be an https address",
    )


def _refused(
    endpoint: Endpoint, realm: httpx.URL, answer: Document, credential: Credential | None
) -> SourceError:
    secrets = (*credential.secrets, _basic(credential)) if credential is not None else ()
    error = refusal(
        answer.status,
        answer.body,
        where=f"{endpoint.name} (token service {realm.host})",
        host=endpoint.host,
        secrets=secrets,
    )
    # Token services answer 400 and 404 to logins that they do not know, too.
    if answer.status in (400, 404):
        return AuthenticationError(error.message, where=error.where, remedy=error.remedy)
    return error
