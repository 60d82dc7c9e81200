"""The two look-ups that the Docker gate makes for every request, on connections that stay open.

`docker_engine.Engine` asks the same over a new connection in a thread: right for monitors, and
three times as dear, which a gate would pay for every container.

1. A connection serves one request at a time and is kept for the next. One that the engine has
   closed meanwhile is replaced once; a second failure is the engine's.
2. Bodies come with a length or in chunks (RFC 9112, sections 6 and 7.1); `httptools` reads both.
   They are bounded while they come.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import httptools

from layerproof.errors import ProtocolError, UnreachableError, UsageError
from layerproof.oci.limits import Limits
from layerproof.oci.manifest import parse_json
from layerproof.sources.docker_engine import Engine

_MOST_IDLE = 32
_READ = 64 * 1024


class AsyncEngine:
    """One engine, for one event loop. `timeout`: seconds for a whole answer."""

    def __init__(self, host: str, limits: Limits, timeout: float) -> None:
        self._host = host
        self._limits = limits
        self._timeout = timeout
        self._plain = Engine(host, limits, timeout).plain
        self._idle: list[_Connection] = []

    async def image(self, name: str) -> Mapping[str, Any] | None:
        """ImageInspect by name or ID; None if there is no such image."""

        def parsed(data: bytes) -> Mapping[str, Any]:
            return parse_json(data, where=name, limits=self._limits)

        return await self._get(f"/images/{quote(name, safe='/:@')}/json", parsed)

    async def container(self, name: str) -> Mapping[str, Any] | None:
        """ContainerInspect by name or ID; None if there is no such container."""
        return await self._get(f"/containers/{quote(name, safe='')}/json", self._plain)

    def close(self) -> None:
        """Close what is idle."""
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    async def _get(
        self, path: str, parse: Callable[[bytes], Mapping[str, Any]]
    ) -> Mapping[str, Any] | None:
        try:
            async with asyncio.timeout(self._timeout):
                status, data = await self._asked(path)
        except TimeoutError as error:
            raise self._unreachable(f"nothing came within {self._timeout:g} s") from error
        except (OSError, EOFError, httptools.HttpParserError) as error:
            raise self._unreachable(str(error) or type(error).__name__) from error
        if status == 404:
            return None
        if status != 200:
            said = data[:500].decode("utf-8", "replace").strip()
            raise ProtocolError(f"the engine answered {status}: {said}", where=self._host)
        return parse(data)

    async def _asked(self, path: str) -> tuple[int, bytes]:
        if self._idle:
            kept = self._idle.pop()
            try:
                return await self._on(kept, path)
            except (OSError, EOFError):
                pass  # it was closed while it lay idle: a new one tells whether the engine lives
        return await self._on(await self._connected(), path)

    async def _on(self, connection: "_Connection", path: str) -> tuple[int, bytes]:
        good = False
        try:
            answer = await connection.get(path, self._limits.json_bytes)
            good = connection.reusable and len(self._idle) < _MOST_IDLE
            return answer
        finally:
            if good:
                self._idle.append(connection)
            else:
                connection.close()

    async def _connected(self) -> "_Connection":
        url = urlsplit(self._host)
        if url.scheme == "unix" and url.path:
            return _Connection(*await asyncio.open_unix_connection(url.path))
        if url.scheme == "tcp" and url.hostname:
            return _Connection(*await asyncio.open_connection(url.hostname, url.port or 2375))
        raise UsageError(
            f"{self._host[:200]!r} is no way to an engine that Layerproof knows",
            where="DOCKER_HOST",
            remedy="unix:///PATH or tcp://HOST:PORT",
        )

    def _unreachable(self, said: str) -> UnreachableError:
        return UnreachableError(
            f"the Docker Engine does not answer: {said}",
            where=self._host,
            remedy="is it running? DOCKER_HOST says where it is",
        )


class _Connection:
    """One request after the other. The parser calls the `on_…` methods."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._body = bytearray()
        self._complete = False
        self.reusable = False

    async def get(self, path: str, most: int) -> tuple[int, bytes]:
        """Status and body. Raises EOFError where the engine ends too early."""
        self._body.clear()
        self._complete = self.reusable = False
        parser = httptools.HttpResponseParser(self)
        self._writer.write(f"GET {path} HTTP/1.1\r\nHost: docker\r\n\r\n".encode("ascii"))
        while not self._complete:
            data = await self._reader.read(_READ)
            if not data:
                raise EOFError("the connection ended before the answer did")
            parser.feed_data(data)
            if len(self._body) > most:
                raise ProtocolError("the engine's answer is too long", where=path)
        self.reusable = parser.should_keep_alive()
        return parser.get_status_code(), bytes(self._body)

    def on_body(self, data: bytes) -> None:
        """A part."""
        self._body += data

    def on_message_complete(self) -> None:
        """The end."""
        self._complete = True

    def close(self) -> None:
        """Both ways."""
        self._writer.close()
