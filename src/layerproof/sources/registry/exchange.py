"""One request to a registry: authorisation, redirects, retries, readable errors.

1. What was granted before is sent along; a 401 of the registry itself is answered once.
2. Redirects are followed a few times, never from https to http, nor from elsewhere to this machine.
   The Authorization header goes to the registry's own origin only, and not any more once the way
   has left it (signed addresses of storage services carry their own right, and must not see ours).
3. 429, 502, 503, 504 and broken connections are tried again, after the time that Retry-After
   names (RFC 9110 section 10.2.3) or a growing pause; both are bounded. A host that is unknown,
   refuses connections or has no valid certificate is final at once.
4. Answers are identity-coded: digests and sizes are those of the bytes on the wire.

httpx's transport is used directly: its client would add cookies, logins from addresses, and log
lines with signed addresses.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from email.utils import parsedate_to_datetime

import httpx

from layerproof import __version__
from layerproof.errors import ProtocolError, SourceError, UnreachableError
from layerproof.sources.registry.answers import ERROR_BYTES, refusal, transport_failure
from layerproof.sources.registry.auth import Authorizer, Document, Grant
from layerproof.sources.registry.credentials import CredentialProvider
from layerproof.sources.registry.names import Endpoint, is_loopback
from layerproof.sources.registry.settings import RegistrySettings

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_LOOKING = frozenset({"GET", "HEAD"})
_MAX_REDIRECTS = 5
_PASSING = frozenset({429, 502, 503, 504})
_FINAL = (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError, httpx.UnsupportedProtocol)
_TOKEN_BYTES = 256 * 1024
_BASE_HEADERS = {"Accept-Encoding": "identity", "User-Agent": f"layerproof/{__version__}"}


class Exchange:
    """Sends requests; belongs to one event loop."""

    def __init__(
        self,
        *,
        settings: RegistrySettings,
        credentials: CredentialProvider,
        grants: MutableMapping[tuple[str, str], Grant],
        transport: httpx.AsyncBaseTransport,
        monotonic: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._settings = settings
        self._transport = transport
        self._sleep = sleep
        self._authorizer = Authorizer(
            settings=settings,
            credentials=credentials,
            grants=grants,
            fetch=self.fetch,
            monotonic=monotonic,
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._transport.aclose()

    async def pause(self, attempt: int) -> None:
        """Wait before the attempt after the given one."""
        await self._sleep(self._backoff(attempt))

    @contextlib.asynccontextmanager
    async def open(
        self,
        endpoint: Endpoint,
        path: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        where: str,
    ) -> AsyncIterator[httpx.Response]:
        """A successful answer whose body is not read yet. What changes something (`content`, or a
        method that does) follows no redirect: it would be done elsewhere.

        Raises the SourceError that fits any other answer; the body may raise httpx.TransportError.
        """
        request = httpx.Request(
            method,
            endpoint.url(path),
            headers={**_BASE_HEADERS, **(headers or {})},
            content=content,
        )
        response = await self._patiently(endpoint, request, where)
        try:
            coding = response.headers.get("Content-Encoding", "identity").strip().lower()
            if coding not in ("", "identity"):
                raise ProtocolError(
                    f"the registry recodes what it stores (Content-Encoding {coding[:40]!r})",
                    where=where,
                    remedy="turn compression off in the proxy before the registry",
                )
            yield response
        finally:
            await response.aclose()

    async def fetch(self, request: httpx.Request) -> Document:
        """A small document of a token service; redirects are not followed. Raises SourceError."""
        request.headers.update({**_BASE_HEADERS, "Accept": "application/json"})
        host = request.url.host
        try:
            async with asyncio.timeout(self._settings.timeouts.document):
                response = await self._send(request)
                try:
                    body = await _head_of_body(response, _TOKEN_BYTES)
                finally:
                    await response.aclose()
        except httpx.TransportError as exc:
            raise transport_failure(exc, where=f"token service {host}", host=host) from exc
        except TimeoutError as exc:
            raise UnreachableError(
                "the token service does not answer in time",
                where=host,
                remedy="try again later, or check the network",
            ) from exc
        return Document(response.status_code, response.headers, body)

    async def _patiently(
        self, endpoint: Endpoint, request: httpx.Request, where: str
    ) -> httpx.Response:
        """Rule 3 of this module."""
        retry = self._settings.retry
        attempt = 0
        while True:
            attempt += 1
            try:
                response = await self._authorized(endpoint, request)
            except httpx.TransportError as exc:
                if attempt >= retry.attempts or isinstance(exc, _FINAL):
                    host = endpoint.host
                    raise transport_failure(exc, where=where, host=host) from exc
                await self.pause(attempt)
                continue
            if response.is_success:
                return response
            error = await self._refusal(response, endpoint, where)
            if response.status_code not in _PASSING or attempt >= retry.attempts:
                raise error
            wait = _retry_after(response)
            if wait is None:
                wait = self._backoff(attempt)
            if wait > retry.longest_wait:
                raise UnreachableError(
                    f"the registry asks to come back in {wait:.0f} s (HTTP {response.status_code})",
                    where=where,
                    remedy=error.remedy,
                )
            await self._sleep(wait)

    async def _authorized(self, endpoint: Endpoint, request: httpx.Request) -> httpx.Response:
        """Rule 1 of this module."""
        response = await self._followed(request, self._authorizer.known(endpoint))
        if response.status_code != 401 or not _same_origin(response.url, request.url):
            return response
        await self._discard(response)
        challenges = response.headers.get_list("WWW-Authenticate")
        return await self._followed(request, await self._authorizer.answer(endpoint, challenges))

    async def _followed(self, request: httpx.Request, authorization: str) -> httpx.Response:
        """Rule 2 of this module."""
        url = request.url
        for _ in range(_MAX_REDIRECTS + 1):
            if not _same_origin(url, request.url):
                authorization = ""
            content = request.content if url == request.url else None
            hop = httpx.Request(request.method, url, headers=request.headers, content=content)
            hop.headers["Host"] = url.netloc.decode("ascii")
            if authorization:
                hop.headers["Authorization"] = authorization
            response = await self._send(hop)
            if response.status_code not in _REDIRECTS or request.method not in _LOOKING:
                return response
            await self._discard(response)
            url = _target(response)
        raise ProtocolError(
            f"more than {_MAX_REDIRECTS} redirects",
            where=request.url.host,
            remedy="check the registry",
        )

    async def _send(self, request: httpx.Request) -> httpx.Response:
        limits = self._settings.timeouts
        request.extensions = {
            "timeout": {
                "connect": limits.connect,
                "read": limits.read,
                "write": limits.read,
                "pool": limits.connect,
            }
        }
        try:
            # The read timeout bounds each silence only; a head may drip byte by byte.
            async with asyncio.timeout(limits.document):
                response = await self._transport.handle_async_request(request)
        except TimeoutError as exc:
            raise httpx.ReadTimeout(f"no answer within {limits.document:g} s") from exc
        response.request = request
        return response

    async def _refusal(
        self, response: httpx.Response, endpoint: Endpoint, where: str
    ) -> SourceError:
        sent = response.request.headers.get("Authorization", "")
        secrets = [secret for secret in (sent, sent.partition(" ")[2]) if secret]
        body = await self._discard(response)
        return refusal(response.status_code, body, where=where, host=endpoint.host, secrets=secrets)

    async def _discard(self, response: httpx.Response) -> bytes:
        """Read the start of an error's body, which also frees the connection for further use."""
        try:
            async with asyncio.timeout(self._settings.timeouts.read):
                return await _head_of_body(response, ERROR_BYTES)
        except (httpx.TransportError, TimeoutError):
            return b""  # the status says enough
        finally:
            await response.aclose()

    def _backoff(self, attempt: int) -> float:
        retry = self._settings.retry
        return min(retry.longest_wait, retry.backoff * float(1 << (attempt - 1)))


async def _head_of_body(response: httpx.Response, limit: int) -> bytes:
    body = bytearray()
    async for part in response.aiter_raw():
        body += part
        if len(body) >= limit:
            break
    return bytes(body[:limit])


def _same_origin(one: httpx.URL, other: httpx.URL) -> bool:
    return (one.scheme, one.host, one.port) == (other.scheme, other.host, other.port)


def _target(response: httpx.Response) -> httpx.URL:
    """Where a redirect leads. Raises ProtocolError for places where nothing may be fetched."""
    here = response.request.url
    try:
        target = here.join(response.headers.get("Location", ""))
    except httpx.InvalidURL as exc:
        raise _bad_redirect(here, "to something that is not an address") from exc
    if target.scheme not in ("http", "https") or not target.host or target == here:
        raise _bad_redirect(here, "to nowhere")
    if here.scheme == "https" and target.scheme == "http":
        raise _bad_redirect(here, f"from https to plain http ({target.host})")
    if is_loopback(target.host) and not is_loopback(here.host):
        raise _bad_redirect(here, f"to this machine ({target.host})")
    return target.copy_with(userinfo=b"")


def _bad_redirect(here: httpx.URL, how: str) -> ProtocolError:
    return ProtocolError(
        f"the registry redirects {how}; not followed",
        where=here.host,
        remedy="check the registry's own address settings",
    )


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds to wait. A date is compared with the server's own clock, not with ours."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        then = parsedate_to_datetime(value)
        now = parsedate_to_datetime(response.headers.get("Date", ""))
        return max(0.0, (then - now).total_seconds())
    except (ValueError, TypeError, OverflowError):  # no date, or one with a zone and one without
        return None
