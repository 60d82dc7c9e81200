"""The Docker Engine API, as far as it is needed: one connection for each call, over the standard
library's client. Everything that the engine answers is parsed strictly and bounded.

Source: Docker Engine API v1.41 and v1.52.
"""

import json
import socket
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from layerproof.errors import (
    ImageNotFoundError,
    LayerproofError,
    ProtocolError,
    UnreachableError,
    UsageError,
)
from layerproof.oci.limits import Limits
from layerproof.oci.manifest import parse_json, parse_json_list
from layerproof.sources._members import CHUNK

if TYPE_CHECKING:
    from http.client import HTTPConnection, HTTPResponse

DEFAULT_HOST = "unix:///var/run/docker.sock"
_TIMEOUT = 900.0  # an engine writes a whole export to disk before it answers
_MOST_LINE = 1 << 20  # of one event


def docker_host(environment: Mapping[str, str]) -> str:
    """Where the Docker client would look. Raises UsageError for what cannot be done safely."""
    host = environment.get("DOCKER_HOST", "") or DEFAULT_HOST
    if host.startswith("tcp://") and environment.get("DOCKER_TLS_VERIFY"):
        raise UsageError(
            "DOCKER_TLS_VERIFY is set, and Layerproof does not speak TLS to an engine",
            where=host,
            remedy="use the engine's unix socket, or `docker save` and docker-archive:FILE",
        )
    return host


class Engine:
    """One engine. Safe for several threads: nothing is kept between calls.

    `timeout`: seconds without any byte after which an engine counts as unreachable.
    """

    def __init__(self, host: str, limits: Limits, timeout: float = _TIMEOUT) -> None:
        self._host = host
        self._limits = limits
        self._timeout = timeout

    @property
    def host(self) -> str:
        """Its address."""
        return self._host

    # --- what it knows ---

    def json(self, path: str, where: str) -> dict[str, object]:
        """A document, parsed strictly."""
        with self._call("GET", path, where) as response:
            data = response.read(self._limits.json_bytes + 1)
        return parse_json(data, where=where, limits=self._limits)

    def image(self, name: str) -> Mapping[str, Any] | None:
        """ImageInspect by name or ID; None if there is no such image."""
        try:
            return self.json(f"/images/{quote(name, safe='/:@')}/json", name)
        except ImageNotFoundError:
            return None

    def container(self, name: str) -> Mapping[str, Any] | None:
        """ContainerInspect by name or ID; None if there is no such container."""
        try:
            with self._call("GET", f"/containers/{quote(name, safe='')}/json", name) as response:
                return self.plain(response.read(self._limits.json_bytes + 1))
        except ImageNotFoundError:
            return None

    def info(self) -> Mapping[str, Any]:
        """SystemInfo."""
        return self.json("/info", self._host)

    def running(self) -> list[str]:
        """The IDs of all containers that run or are paused."""
        with self._call("GET", "/containers/json", self._host) as response:
            data = response.read(self._limits.json_bytes + 1)
        found = parse_json_list(data, where=self._host, limits=self._limits)
        return [str(item.get("Id", "")) for item in found if isinstance(item, dict)]

    # --- streams ---

    def stream(self, path: str, where: str) -> Generator[bytes, None, None]:
        """A body in chunks."""
        with self._call("GET", path, where) as response:
            while chunk := response.read(CHUNK):
                yield chunk

    def events(self, since: int) -> "EventStream":
        """Events of containers from a Unix time on, until it is closed."""
        return EventStream(self, since)

    # --- what it is told to do ---

    def act(self, container: str, action: str) -> None:
        """`pause`, `unpause`, `stop` or `kill` a container. One that is gone, or is so already, is
        no error."""
        path = f"/containers/{quote(container, safe='')}/{action}"
        with suppress(ImageNotFoundError), self._call("POST", path, container, (204, 304, 409)):
            pass

    def plain(self, data: bytes) -> Mapping[str, Any]:
        """An object with names and labels that people chose: keys of it may be alike. Raises
        ProtocolError."""
        if len(data) > self._limits.json_bytes:
            raise ProtocolError("the engine's answer is too long", where=self._host)
        try:
            found = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise ProtocolError("the engine's answer is not JSON", where=self._host) from error
        if not isinstance(found, dict):
            raise ProtocolError("the engine's answer is no object", where=self._host)
        return found

    def refuses_without_image(self) -> tuple[bool, str]:
        """Whether an authorization plugin refuses a container that names no image, and what the
        engine said. An engine without one refuses too, in other words; nothing is made."""
        from http.client import HTTPException

        try:
            connection = self._connect()
            try:
                headers = {"Content-Type": "application/json"}
                connection.request("POST", "/containers/create", b"{}", headers)
                response = connection.getresponse()
                said = response.read(4096).decode("utf-8", "replace").strip()
            finally:
                connection.close()
        except (OSError, HTTPException) as error:
            raise UnreachableError(f"no answer: {error}", where=self._host) from error
        return response.status == 403 and "Layerproof" in said, said[:300]

    # --- connections ---

    @contextmanager
    def _call(
        self, method: str, path: str, where: str, good: tuple[int, ...] = (200,)
    ) -> Iterator["HTTPResponse"]:
        # Imported here: it costs more than all else in this module, and few commands need it.
        from http.client import HTTPException

        try:
            connection = self._connect()
            try:
                connection.request(method, path)
                with connection.getresponse() as response:
                    if response.status not in good:
                        raise self._refused(response, where)
                    yield response
            finally:
                connection.close()
        except PermissionError as error:
            raise UnreachableError(
                "the engine's socket may not be opened",
                where=self._host,
                remedy="join the group that owns it (docker), or run as root",
            ) from error
        except (OSError, HTTPException) as error:
            raise UnreachableError(
                f"the Docker Engine does not answer: {error or type(error).__name__}",
                where=self._host,
                remedy="is it running? DOCKER_HOST says where it is",
            ) from error

    def _connect(self) -> "HTTPConnection":
        from http.client import HTTPConnection

        try:
            url = urlsplit(self._host)
            port = url.port or 2375
        except ValueError as error:
            raise self._no_way() from error
        if url.scheme == "unix" and url.path:
            connection = HTTPConnection("localhost")
            connection.sock = _unix_socket(url.path, self._timeout)
            return connection
        if url.scheme == "tcp" and url.hostname:
            return HTTPConnection(url.hostname, port, timeout=self._timeout)
        raise self._no_way()

    def _no_way(self) -> UsageError:
        return UsageError(
            f"{self._host[:200]!r} is no way to an engine that Layerproof knows",
            where="DOCKER_HOST",
            remedy="unix:///PATH or tcp://HOST:PORT",
        )

    def _refused(self, response: "HTTPResponse", where: str) -> LayerproofError:
        body = response.read(4096)
        if response.status == 404:
            return ImageNotFoundError(
                "the engine has no such image",
                where=where,
                remedy="`docker images` shows those that it has; docker:// reads from a registry",
            )
        text = body.decode("utf-8", "replace").strip()
        return ProtocolError(f"the engine answered {response.status}: {text}", where=where)


class EventStream:
    """Events of containers, one JSON object a line. `close` ends it from another thread."""

    def __init__(self, engine: Engine, since: int) -> None:
        self._engine = engine
        self._path = f"/events?since={since}&filters=" + quote('{"type":["container"]}', safe="")
        self._socket: socket.socket | None = None
        self._closed = False

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        """Until it is closed or the engine ends it. Raises UnreachableError, and ProtocolError for
        a line that is no such object."""
        engine = self._engine
        with engine._call("GET", self._path, engine.host) as response:
            self._socket = getattr(getattr(response.fp, "raw", None), "_sock", None)
            while not self._closed and (line := response.readline(_MOST_LINE)):
                yield engine.plain(line)

    def close(self) -> None:
        """End it."""
        self._closed = True
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)


def _unix_socket(path: str, timeout: float) -> socket.socket:
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        opened.settimeout(timeout)
        opened.connect(path)
    except BaseException:
        opened.close()
        raise
    return opened
