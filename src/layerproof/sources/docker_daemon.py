"""`docker-daemon:NAME`: an image that a Docker Engine holds, over the Engine API.

1. `GET /images/NAME/json` gives the image's ID. From here on only the ID is used: a name may move.
2. If the caller knows the image by that ID already (`known`), nothing more is asked for: its
   config was seen and checked before. The engine's DiffIDs must be the known ones.
3. Else `GET /images/ID/get` (what `docker save` does) is passed over for its documents. The ID
   must be the digest of the config (Docker's own image store) or of the manifest or index
   (containerd's store: Docker 29, and before if so configured), and the DiffIDs those of step 1.
4. Layers come from a second such export, and only if any are wanted.

Why two: the API does not give a config's bytes in any other way, what `inspect` tells cannot be
checked against a digest, and layers precede the documents that say which is which. Engines write
the whole export before they send its first byte, so leaving early would gain little.

Source: Docker Engine API v1.41 and v1.52, ImageInspect and ImageGet.
"""

import socket
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from layerproof.errors import (
    DigestMismatchError,
    ImageNotFoundError,
    LayerproofError,
    ProtocolError,
    UnreachableError,
    UsageError,
)
from layerproof.model.digest import DiffId, Digest
from layerproof.model.image import Image, Layer, Platform
from layerproof.model.reference import Reference
from layerproof.oci.limits import Limits
from layerproof.oci.manifest import parse_json, runs_on
from layerproof.sources._files import StreamedFiles
from layerproof.sources._members import CHUNK
from layerproof.sources.docker_archive import DockerArchiveSource

if TYPE_CHECKING:
    from http.client import HTTPConnection, HTTPResponse

DEFAULT_HOST = "unix:///var/run/docker.sock"
_TIMEOUT = 900.0  # an engine writes a whole export to disk before it answers


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


class DockerDaemonSource:
    """An image of an engine. Implements `engine.ports.ImageSource`.

    `known` looks an image up by its config, manifest or index digest; see step 2 above.
    """

    random_access = False

    def __init__(
        self,
        reference: Reference,
        limits: Limits,
        *,
        host: str = DEFAULT_HOST,
        known: Callable[[Digest], Image | None] = lambda digest: None,
    ) -> None:
        self._reference = reference
        self._where = str(reference)
        self._limits = limits
        self._known = known
        self._engine = _Engine(host, self._where, limits)
        self._platform: Platform | None = None
        self._id: Digest | None = None
        self._export: DockerArchiveSource | None = None

    def resolve(self, platform: Platform | None) -> Image:
        """See `ImageSource.resolve`."""
        self._platform = platform
        self._export = None
        self._id, diff_ids = self._inspect()
        known = self._known(self._id)
        if known is not None and _matches(known, diff_ids, platform):
            return _as_seen_here(known, self._where, self._id)
        image = self._resolve_export(self._id)
        if self._id not in (image.config_digest, image.manifest_digest, image.index_digest):
            raise DigestMismatchError(
                f"the engine exported an image that is not {self._id}", where=self._where
            )
        if [layer.diff_id for layer in image.layers] != diff_ids:
            raise DigestMismatchError(
                "the engine exported other layers than it told of", where=self._where
            )
        return image

    def layers(self, wanted: Collection[int]) -> Iterator[tuple[Layer | None, Iterator[bytes]]]:
        """See `ImageSource.layers`. Nothing is exported when nothing is wanted."""
        if not wanted:
            return
        if self._id is None:
            self.resolve(self._platform)
        if self._export is None and self._id is not None:
            self._resolve_export(self._id)
        if self._export is not None:
            yield from self._export.layers(wanted)

    def close(self) -> None:
        """No connection outlives its answer."""
        if self._export is not None:
            self._export.close()

    def _inspect(self) -> tuple[Digest, list[DiffId]]:
        name = self._reference.name
        if not name:
            name = str(self._reference.digest)
        elif self._reference.digest:
            name += f"@{self._reference.digest}"
        else:
            name += f":{self._reference.tag}"
        told = self._engine.json(f"/images/{quote(name, safe='/:@')}/json")
        root = told.get("RootFS")
        layers = (root.get("Layers") or []) if isinstance(root, dict) else None
        if not isinstance(layers, list):
            raise ProtocolError("the engine tells of no layers", where=self._where)
        diff_ids = [DiffId.parse(layer, where=self._where) for layer in layers]
        return Digest.parse(told.get("Id"), where=self._where), diff_ids

    def _resolve_export(self, image_id: Digest) -> Image:
        files = StreamedFiles(
            lambda: self._engine.stream(f"/images/{image_id}/get"),
            where=self._where,
            limits=self._limits,
        )
        # The export of an ID holds one image, without a name.
        reference = Reference(self._reference.transport, path=self._where)
        export = DockerArchiveSource(reference, self._limits, files=files)
        image = replace(export.resolve(self._platform), reference=self._where)
        self._export = export
        return image


def _matches(known: Image, diff_ids: list[DiffId], platform: Platform | None) -> bool:
    return [layer.diff_id for layer in known.layers] == diff_ids and (
        platform is None or runs_on(known.platform, platform)
    )


def _as_seen_here(known: Image, reference: str, image_id: Digest) -> Image:
    """What an export would have given: an ID that is a config digest tells of no manifest."""
    if image_id != known.config_digest:
        return replace(known, reference=reference)
    layers = tuple(replace(layer, blob=None) for layer in known.layers)
    return replace(
        known,
        reference=reference,
        layers=layers,
        manifest=None,
        manifest_digest=None,
        index_digest=None,
    )


class _Engine:
    """The two calls that are needed, one connection each."""

    def __init__(self, host: str, where: str, limits: Limits) -> None:
        self._host = host
        self._where = where
        self._limits = limits

    def json(self, path: str) -> dict[str, object]:
        """A document, parsed strictly."""
        with self._get(path) as response:
            data = response.read(self._limits.json_bytes + 1)
        return parse_json(data, where=self._where, limits=self._limits)

    def stream(self, path: str) -> Generator[bytes, None, None]:
        """A body in chunks."""
        with self._get(path) as response:
            while chunk := response.read(CHUNK):
                yield chunk

    @contextmanager
    def _get(self, path: str) -> Iterator["HTTPResponse"]:
        # Imported here: it costs more than all else in this module, and few commands need it.
        from http.client import HTTPException

        try:
            connection = self._connect()
            try:
                connection.request("GET", path)
                with connection.getresponse() as response:
                    if response.status != 200:
                        raise self._refused(response)
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
            connection.sock = _unix_socket(url.path)
            return connection
        if url.scheme == "tcp" and url.hostname:
            return HTTPConnection(url.hostname, port, timeout=_TIMEOUT)
        raise self._no_way()

    def _no_way(self) -> UsageError:
        return UsageError(
            f"{self._host[:200]!r} is no way to an engine that Layerproof knows",
            where="DOCKER_HOST",
            remedy="unix:///PATH or tcp://HOST:PORT",
        )

    def _refused(self, response: "HTTPResponse") -> LayerproofError:
        body = response.read(4096)
        if response.status == 404:
            return ImageNotFoundError(
                "the engine has no such image",
                where=self._where,
                remedy="`docker images` shows those that it has; docker:// reads from a registry",
            )
        text = body.decode("utf-8", "replace").strip()
        return ProtocolError(f"the engine answered {response.status}: {text}", where=self._where)


def _unix_socket(path: str) -> socket.socket:
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        opened.settimeout(_TIMEOUT)
        opened.connect(path)
    except BaseException:
        opened.close()
        raise
    return opened
