"""The registry behind the gateway: `gates.registry.interface.Upstream` for one event loop.

With a login of its own the gateway reads as itself, whoever asks. Else every client is passed on
with the header that it sent: what was granted to one is never used for another. A client is told to
log in where the registry says so, and only at a realm that passwords may be sent to.
"""

import asyncio
import base64
import binascii
import hashlib
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator
from dataclasses import dataclass

import httpx

from layerproof.errors import AuthenticationError, UnreachableError
from layerproof.model.digest import Digest
from layerproof.model.image import Descriptor
from layerproof.oci.limits import Limits
from layerproof.oci.manifest import verify_digest
from layerproof.sources.registry.answers import transport_failure
from layerproof.sources.registry.auth import parse_challenges, token_realm
from layerproof.sources.registry.client import ManifestAnswer, RegistryClient
from layerproof.sources.registry.credentials import (
    Credential,
    CredentialProvider,
    FixedCredentials,
    NoCredentials,
)
from layerproof.sources.registry.exchange import Exchange
from layerproof.sources.registry.names import endpoints
from layerproof.sources.registry.reading import read_document
from layerproof.sources.registry.settings import RegistrySettings
from layerproof.sources.registry.transport import RegistryTransport

MOST_CLIENTS = 1000  # logins that are remembered


@dataclass(frozen=True, slots=True)
class Page:
    """A small document, and where the next one is."""

    data: bytes
    media_type: str
    link: str


class RegistryUpstream:
    """`passing`: clients' own logins are used; else `credentials`."""

    def __init__(
        self,
        host: str,
        *,
        limits: Limits,
        credentials: CredentialProvider,
        settings: RegistrySettings,
        passing: bool,
    ) -> None:
        self._host = host
        self._limits = limits
        self._credentials = credentials
        self._settings = settings
        self._passing = passing
        self._transport = RegistryTransport(threads=True)
        self._exchanges: OrderedDict[str, Exchange] = OrderedDict()

    @property
    def host(self) -> str:
        """As references have it."""
        return self._host

    def identity(self, authorization: str) -> str:
        """See `Upstream.identity`."""
        if not self._passing or not authorization:
            return ""
        return hashlib.sha256(authorization.encode("utf-8", "replace")).hexdigest()

    async def manifest(self, name: str, reference: str, authorization: str) -> ManifestAnswer:
        """See `Upstream.manifest`."""
        wanted = Digest(reference) if ":" in reference else reference
        return await self._client(name, authorization).manifest(wanted)

    async def listing(self, name: str, path: str, authorization: str) -> Page:
        """See `Upstream.listing`."""
        place = endpoints(self._host, name or "any", self._settings)[-1]
        where = f"{self._host}/{name}"
        exchange = self._exchange(authorization)
        async with exchange.open(
            place, path, headers={"Accept": "application/json, */*"}, where=where
        ) as response:
            data = await read_document(
                response,
                limit=self._limits.json_bytes,
                seconds=self._settings.timeouts.document,
                where=where,
                host=self._host,
            )
            kind = response.headers.get("Content-Type", "application/json")
            return Page(data, kind, response.headers.get("Link", ""))

    def blob(self, name: str, blob: Descriptor, authorization: str) -> AsyncGenerator[bytes, None]:
        """See `Upstream.blob`."""
        return self._client(name, authorization).blob(blob, f"blob {blob.digest.short}")

    async def small_blob(self, name: str, digest: Digest, authorization: str) -> bytes:
        """See `Upstream.small_blob`."""
        found = await self.listing(name, f"blobs/{digest}", authorization)
        verify_digest(found.data, digest, where=f"{self._host}/{name}")
        return found.data

    async def may_read(self, name: str, authorization: str) -> None:
        """See `Upstream.may_read`."""
        if self._passing:
            await self.listing(name, "tags/list?n=1", authorization)

    async def challenge(self, name: str, authorization: str) -> str:
        """See `Upstream.challenge`."""
        if not self._passing:
            return ""
        place = endpoints(self._host, name or "any", self._settings)[-1]
        headers = {"Authorization": authorization} if authorization else {}
        request = httpx.Request("GET", place.url("/v2/"), headers=headers)
        timeouts = self._settings.timeouts
        request.extensions = {"timeout": {"connect": timeouts.connect, "read": timeouts.read}}
        try:
            async with asyncio.timeout(timeouts.document):
                response = await self._transport.handle_async_request(request)
                await response.aclose()
        except httpx.TransportError as exc:
            raise transport_failure(exc, where=self._host, host=self._host) from exc
        except TimeoutError as exc:
            raise UnreachableError("it does not answer in time", where=self._host) from exc
        if response.status_code != 401:
            return ""
        for header in response.headers.get_list("WWW-Authenticate"):
            for challenge in parse_challenges(header):
                if challenge.scheme == "basic":
                    return f'Basic realm="{_quoted(self._host)}"'
                if challenge.scheme == "bearer":
                    realm = token_realm(place, challenge, self._settings, secret=True)
                    said = [f'Bearer realm="{_quoted(str(realm))}"']
                    if service := challenge.parameters.get("service"):
                        said.append(f'service="{_quoted(service)}"')
                    if name:
                        said.append(f'scope="repository:{name}:pull"')
                    return ",".join(said)
        raise AuthenticationError(
            "the registry offers no way to log in that Layerproof knows", where=self._host
        )

    async def close(self) -> None:
        """Close connections."""
        await self._transport.aclose()

    def _client(self, name: str, authorization: str) -> RegistryClient:
        return RegistryClient(
            endpoints(self._host, name, self._settings),
            exchange=self._exchange(authorization),
            settings=self._settings,
            limits=self._limits,
            where=f"{self._host}/{name}",
        )

    def _exchange(self, authorization: str) -> Exchange:
        """One per login, so that grants are never shared."""
        key = self.identity(authorization)
        found = self._exchanges.get(key)
        if found is None:
            found = self._exchanges[key] = Exchange(
                settings=self._settings,
                credentials=self._login(authorization),
                grants={},
                transport=self._transport,
                monotonic=time.monotonic,
            )
            while len(self._exchanges) > MOST_CLIENTS:
                self._exchanges.popitem(last=False)
        self._exchanges.move_to_end(key)
        return found

    def _login(self, authorization: str) -> CredentialProvider:
        if not self._passing:
            return self._credentials
        return NoCredentials() if not authorization else _login_of(authorization, self._host)


def _login_of(authorization: str, host: str) -> FixedCredentials:
    """From a client's header. Raises AuthenticationError."""
    scheme, _, value = authorization.partition(" ")
    value = value.strip()
    if scheme.lower() == "bearer" and value:
        return FixedCredentials({host: Credential(registry_token=value)})
    if scheme.lower() == "basic":
        try:
            user, colon, password = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            colon = ""
        if colon:
            return FixedCredentials({host: Credential(username=user, password=password)})
    raise AuthenticationError("the Authorization header cannot be read", where=host)


def _quoted(text: str) -> str:
    return "".join(c for c in text if c.isprintable()).replace("\\", "").replace('"', "")
