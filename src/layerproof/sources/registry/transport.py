"""Sockets, TLS and proxies under httpx.

httpx's own asyncio stream reads 64 KiB at a time through a protocol object, pausing and resuming
the transport each time. A layer is read from one socket by one task, so `SocketStream` asks the
socket directly, for as much as one chunk holds: a third of the processor time per byte.

Where one task per event loop uses this, name look-ups block the loop on purpose, which keeps the
process free of threads (it may fork). A server, whose loop serves others too, asks for `threads`.
"""

import asyncio
import contextlib
import os
import select
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar
from urllib.parse import unquote
from urllib.request import getproxies, proxy_bypass

import certifi
import httpcore
import httpx

from layerproof.errors import UnsupportedError
from layerproof.sources.registry.names import is_loopback, is_off_limits

READ_BYTES = 256 * 1024
CLIENT_CONNECTIONS = 10
SERVER_CONNECTIONS = 400
_ADDRESS_SECONDS = 3.0  # for one of several addresses, so that a dead one costs little
_IDLE_SECONDS = 20.0  # a connection unused for longer is not used again
_SSL_READ_BYTES = 16 * 1024  # one TLS record (RFC 8446 section 5.1)

_T = TypeVar("_T")

# httpx raises its own errors for its own transports; ours must raise the same.
_ERRORS: Mapping[type[Exception], type[httpx.TransportError]] = {
    httpcore.ConnectError: httpx.ConnectError,
    httpcore.ConnectTimeout: httpx.ConnectTimeout,
    httpcore.ReadError: httpx.ReadError,
    httpcore.ReadTimeout: httpx.ReadTimeout,
    httpcore.WriteError: httpx.WriteError,
    httpcore.WriteTimeout: httpx.WriteTimeout,
    httpcore.PoolTimeout: httpx.PoolTimeout,
    httpcore.ProxyError: httpx.ProxyError,
    httpcore.LocalProtocolError: httpx.LocalProtocolError,
    httpcore.RemoteProtocolError: httpx.RemoteProtocolError,
    httpcore.UnsupportedProtocol: httpx.UnsupportedProtocol,
}


class RegistryTransport(httpx.AsyncBaseTransport):
    """Connections to registries, direct or by the proxy that the environment names."""

    def __init__(self, *, threads: bool = False) -> None:
        self._proxies = getproxies()
        self._connections = SERVER_CONNECTIONS if threads else CLIENT_CONNECTIONS
        self._backend = SocketBackend(threads=threads)
        self._ssl: ssl.SSLContext | None = None
        self._pools: dict[str, httpcore.AsyncConnectionPool] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and wait for the head of its answer. Raises httpx.TransportError."""
        pool = self._pool(proxy_for(request.url, self._proxies))
        assert isinstance(request.stream, httpx.AsyncByteStream)
        with _httpx_errors():
            answer = await pool.handle_async_request(
                httpcore.Request(
                    method=request.method,
                    url=httpcore.URL(
                        scheme=request.url.raw_scheme,
                        host=request.url.raw_host,
                        port=request.url.port,
                        target=request.url.raw_path,
                    ),
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
        return httpx.Response(
            answer.status,
            headers=answer.headers,
            stream=_Body(answer),
            extensions=answer.extensions,
        )

    async def aclose(self) -> None:
        """Close all connections."""
        for pool in self._pools.values():
            await pool.aclose()
        self._pools.clear()

    def _pool(self, proxy: str) -> httpcore.AsyncConnectionPool:
        if proxy not in self._pools:
            if self._ssl is None:
                self._ssl = _ssl_context()
            self._pools[proxy] = self._new_pool(proxy)
        return self._pools[proxy]

    def _new_pool(self, proxy: str) -> httpcore.AsyncConnectionPool:
        if not proxy:
            return httpcore.AsyncConnectionPool(
                ssl_context=self._ssl,
                max_connections=self._connections,
                keepalive_expiry=_IDLE_SECONDS,
                network_backend=self._backend,
            )
        url = httpx.URL(proxy if "://" in proxy else f"http://{proxy}")
        if url.scheme not in ("http", "https"):
            raise UnsupportedError(
                f"proxies of the kind {url.scheme} are not supported",
                where=url.host,
                remedy="name an HTTP proxy in HTTPS_PROXY, or the registry in NO_PROXY",
            )
        user, _, password = url.userinfo.decode("ascii").partition(":")
        return httpcore.AsyncHTTPProxy(
            proxy_url=httpcore.URL(
                scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=b"/"
            ),
            proxy_auth=(unquote(user).encode(), unquote(password).encode()) if user else None,
            ssl_context=self._ssl,
            proxy_ssl_context=self._ssl if url.scheme == "https" else None,
            max_connections=self._connections,
            keepalive_expiry=_IDLE_SECONDS,
            network_backend=self._backend,
        )


def proxy_for(url: httpx.URL, proxies: Mapping[str, str]) -> str:
    """The proxy to use, or nothing (NO_PROXY counts). This machine is never asked through one."""
    if is_loopback(url.host) or proxy_bypass(url.netloc.decode("ascii")):
        return ""
    return proxies.get(url.scheme) or proxies.get("all") or ""


def _ssl_context() -> ssl.SSLContext:
    """The system's authorities (SSL_CERT_FILE and SSL_CERT_DIR count), which operators extend by
    their own; those that come with certifi where the system has none."""
    context = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    if paths.cafile is None and not (paths.capath and os.listdir(paths.capath)):
        context.load_verify_locations(certifi.where())
    return context


class _Body(httpx.AsyncByteStream):
    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _httpx_errors():
            async for part in self._answer.aiter_stream():
                yield part

    async def aclose(self) -> None:
        with _httpx_errors():
            await self._answer.aclose()


@contextlib.contextmanager
def _httpx_errors() -> Iterator[None]:
    try:
        yield
    except tuple(_ERRORS) as exc:
        raise _ERRORS[type(exc)](str(exc)) from exc


class SocketBackend(httpcore.AsyncNetworkBackend):
    """Opens TCP connections. `threads`: names are looked up on one."""

    def __init__(self, *, threads: bool = False) -> None:
        self._threads = threads

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Try the host's addresses in turn. Raises ConnectError, ConnectTimeout."""
        if not 0 < port < 1 << 16:  # the C library would take it modulo 65536
            raise httpcore.ConnectError(f"there is no port {port}")
        try:
            if self._threads:
                loop = asyncio.get_running_loop()
                found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            else:
                found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as exc:
            raise httpcore.ConnectError(str(exc)) from exc
        # Whatever names it (a reference, a redirect, a name that the registry's owner controls).
        found = [item for item in found if not is_off_limits(str(item[4][0]))]
        deadline = time.monotonic() + (timeout if timeout is not None else 3600.0)
        for number, (family, kind, protocol, _, address) in enumerate(found, 1):
            left = max(0.1, deadline - time.monotonic())
            last = number == len(found)
            try:
                return await _connect(
                    family, kind, protocol, address, left if last else min(left, _ADDRESS_SECONDS)
                )
            except TimeoutError as exc:  # is an OSError too
                if last:
                    raise httpcore.ConnectTimeout(f"{host} does not answer") from exc
            except OSError as exc:
                if last:
                    raise httpcore.ConnectError(str(exc)) from exc
        raise httpcore.ConnectError("the host has no address that a registry may have")


async def _connect(
    family: int, kind: int, protocol: int, address: Any, seconds: float
) -> "SocketStream":
    connection = socket.socket(family, kind, protocol)
    try:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(seconds):
            await loop.sock_connect(connection, address)
    except BaseException:
        connection.close()
        raise
    return SocketStream(connection)


class SocketStream(httpcore.AsyncNetworkStream):
    """One plain connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """What has arrived, up to READ_BYTES whatever `max_bytes` says; nothing at the end."""
        try:
            # Mostly there are bytes already; then neither the loop nor a timer is needed.
            return self._socket.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as exc:
            raise httpcore.ReadError(str(exc)) from exc
        loop = asyncio.get_running_loop()
        return await _limited(
            loop.sock_recv(self._socket, READ_BYTES),
            timeout,
            httpcore.ReadTimeout,
            httpcore.ReadError,
        )

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of it."""
        loop = asyncio.get_running_loop()
        await _limited(
            loop.sock_sendall(self._socket, buffer),
            timeout,
            httpcore.WriteTimeout,
            httpcore.WriteError,
        )

    async def aclose(self) -> None:
        """Close the connection."""
        self._socket.close()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """TLS over this connection. Raises ConnectError, ConnectTimeout."""
        return await TlsStream.wrap(self, ssl_context, server_hostname, timeout)

    def get_extra_info(self, info: str) -> Any:
        """`is_readable` tells httpcore that an idle connection was closed by the server."""
        if info == "is_readable":
            poller = select.poll()
            poller.register(self._socket, select.POLLIN)
            return self._socket.fileno() < 0 or bool(poller.poll(0))
        return self._socket if info == "socket" else None


class TlsStream(httpcore.AsyncNetworkStream):
    """TLS over another stream (a connection, or a tunnel through a proxy)."""

    def __init__(self, inner: httpcore.AsyncNetworkStream) -> None:
        self._inner = inner
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls: ssl.SSLObject

    @classmethod
    async def wrap(
        cls,
        inner: httpcore.AsyncNetworkStream,
        context: ssl.SSLContext,
        host: str | None,
        timeout: float | None,
    ) -> "TlsStream":
        """Shake hands. Raises ConnectError, ConnectTimeout."""
        stream = cls(inner)
        stream._tls = context.wrap_bio(stream._incoming, stream._outgoing, server_hostname=host)
        try:
            async with asyncio.timeout(timeout):
                await stream._exchange(stream._tls.do_handshake, None)
        except TimeoutError as exc:
            await inner.aclose()
            raise httpcore.ConnectTimeout("the TLS handshake did not end in time") from exc
        except (ssl.SSLError, ssl.CertificateError, httpcore.NetworkError) as exc:
            await inner.aclose()
            raise httpcore.ConnectError(str(exc)) from exc
        return stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """All that has arrived and can be decrypted; nothing at the end."""
        try:
            return await self._exchange(self._decrypt, timeout)
        except ssl.SSLZeroReturnError:
            return b""
        except ssl.SSLError as exc:  # also an end without close_notify: maybe cut by an attacker
            raise httpcore.ReadError(str(exc)) from exc

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Encrypt and send all of it."""
        try:
            await self._exchange(lambda: self._tls.write(buffer), timeout)
        except ssl.SSLError as exc:
            raise httpcore.WriteError(str(exc)) from exc

    async def aclose(self) -> None:
        """Close the connection; the end of a response is told by HTTP, not by TLS."""
        await self._inner.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """TLS within TLS: a registry behind an https proxy."""
        return await TlsStream.wrap(self, ssl_context, server_hostname, timeout)

    def get_extra_info(self, info: str) -> Any:
        """As the stream below, and the TLS object."""
        return self._tls if info == "ssl_object" else self._inner.get_extra_info(info)

    def _decrypt(self) -> bytes:
        parts = [self._tls.read(_SSL_READ_BYTES)]
        size = len(parts[0])
        while size < READ_BYTES and parts[-1]:
            try:
                parts.append(self._tls.read(_SSL_READ_BYTES))
            except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
                break  # the next call meets it again
            size += len(parts[-1])
        return b"".join(parts)

    async def _exchange(self, step: Callable[[], _T], timeout: float | None) -> _T:
        """Repeat a step of the TLS object, feeding it what it wants."""
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                await self._flush(timeout)
                data = await self._inner.read(READ_BYTES, timeout)
                if data:
                    self._incoming.write(data)
                else:
                    self._incoming.write_eof()
                continue
            except ssl.SSLError:
                with contextlib.suppress(httpcore.NetworkError, httpcore.TimeoutException):
                    await self._flush(timeout)  # tell the other side why, if it still listens
                raise
            await self._flush(timeout)
            return result

    async def _flush(self, timeout: float | None) -> None:
        if self._outgoing.pending:
            await self._inner.write(self._outgoing.read(), timeout)


async def _limited(
    work: Awaitable[_T],
    timeout: float | None,
    late: type[httpcore.TimeoutException],
    broken: type[httpcore.NetworkError],
) -> _T:
    try:
        async with asyncio.timeout(timeout):
            return await work
    except TimeoutError as exc:  # is an OSError too
        raise late(f"nothing for {timeout} s") from exc
    except OSError as exc:
        raise broken(str(exc)) from exc
