"""Manifests and blobs of one repository, bounded and pinned to digests.

Source: OCI distribution-spec v1.1, "Pulling manifests", "Pulling blobs".

- A manifest's bytes decide. Asked for by digest, they must have it; asked for by tag, they must
  have the digest that the registry says they have, if it says one. Either way the digest is ours.
- A blob is streamed. A cut connection is resumed where it broke; a server that knows no ranges is
  made to start again, and what was delivered before is skipped. The blob's length is checked
  here, its digest by whoever reads it to the end (`blob_bytes` does so itself).
- Mirrors are asked first. What was found somewhere is pinned by its digest everywhere else.
"""

import asyncio
import hashlib
import logging
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import httpx

from layerproof.errors import (
    CorruptImageError,
    DigestMismatchError,
    ManifestError,
    ProtocolError,
    SourceError,
)
from layerproof.model.digest import Digest
from layerproof.model.image import Descriptor
from layerproof.oci.limits import Limits
from layerproof.oci.manifest import ACCEPTED_TYPES
from layerproof.sources.registry.answers import transport_failure
from layerproof.sources.registry.exchange import Exchange
from layerproof.sources.registry.names import Endpoint
from layerproof.sources.registry.reading import length_of, read_document, too_large, too_slow
from layerproof.sources.registry.settings import RegistrySettings

CHUNK_BYTES = 256 * 1024
_GATHER_SECONDS = 5.0  # after this long, what has arrived is handed on, however little
_PROGRESS_BYTES = 1 << 20  # so much more of a blob gives back all attempts to resume it
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,15})-([0-9]{1,15})/([0-9]{1,15}|\*)")
_ACCEPT = ", ".join(ACCEPTED_TYPES)

_log = logging.getLogger(__name__)

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class ManifestAnswer:
    """A manifest or index as some place delivered it; `digest` was computed from `data`."""

    data: bytes
    media_type: str
    digest: Digest


@dataclass(frozen=True, slots=True)
class ManifestHead:
    """What a registry claims about a manifest; to look something up by, never to decide by."""

    media_type: str
    digest: Digest | None
    size: int | None


@dataclass(slots=True)
class _Progress:
    size: int
    delivered: int = 0


class RegistryClient:
    """One repository at its places. All methods raise SourceError and what they name."""

    def __init__(
        self,
        places: Sequence[Endpoint],
        *,
        exchange: Exchange,
        settings: RegistrySettings,
        limits: Limits,
        where: str,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._places = places
        self._exchange = exchange
        self._settings = settings
        self._limits = limits
        self._where = where
        self._monotonic = monotonic

    async def aclose(self) -> None:
        """Close all connections."""
        await self._exchange.aclose()

    async def manifest(self, reference: str | Digest) -> ManifestAnswer:
        """A manifest or index by tag or digest.

        Raises DigestMismatchError, LimitExceededError.
        """
        return await self._anywhere(lambda place: self._manifest(place, reference))

    async def manifest_head(self, reference: str | Digest) -> ManifestHead:
        """What a registry says of a manifest, without its bytes."""
        return await self._anywhere(lambda place: self._manifest_head(place, reference))

    async def blob_bytes(self, descriptor: Descriptor, what: str) -> bytes:
        """A small blob (a config), whole and verified.

        Raises DigestMismatchError, CorruptImageError, LimitExceededError.
        """
        where = f"{self._where}: {what}"
        if descriptor.size > self._limits.json_bytes:
            raise too_large("json_bytes", self._limits.json_bytes, where)
        stream = self.blob(descriptor, what)
        try:
            async with asyncio.timeout(self._settings.timeouts.document):
                data = b"".join([part async for part in stream])
        except TimeoutError as exc:
            raise too_slow(self._settings.timeouts.document, where) from exc
        finally:
            await stream.aclose()
        _check_digest(data, descriptor.digest, where)
        return data

    async def blob(self, descriptor: Descriptor, what: str) -> AsyncGenerator[bytes, None]:
        """The bytes of a blob in chunks of CHUNK_BYTES or a little more, exactly as many as its
        descriptor says; their digest is not checked.

        Raises CorruptImageError for a blob of another length, LimitExceededError.
        """
        where = f"{self._where}: {what}"
        if descriptor.size > self._limits.blob_bytes:
            raise too_large("blob_bytes", self._limits.blob_bytes, where)
        progress = _Progress(descriptor.size)
        failures: list[SourceError] = []
        for place in self._places:
            try:
                async for part in self._blob(place, descriptor.digest, progress, where):
                    yield part
                return
            except SourceError as error:
                self._log_failure(place, error)
                failures.append(error)
        raise _all_failed(self._places, failures)

    # --- manifests -------------------------------------------------------------------------------

    async def _manifest(self, place: Endpoint, reference: str | Digest) -> ManifestAnswer:
        path = f"manifests/{reference}"
        async with self._exchange.open(
            place, path, headers={"Accept": _ACCEPT}, where=self._where
        ) as response:
            data = await self._document(response, place)
        digest = reference if isinstance(reference, Digest) else _claimed(response, self._where)
        if digest is not None:
            _check_digest(data, digest, self._where)
        if not isinstance(reference, Digest):
            digest = Digest.of(data)
        assert digest is not None
        return ManifestAnswer(data, _media_type(response), digest)

    async def _manifest_head(self, place: Endpoint, reference: str | Digest) -> ManifestHead:
        async with self._exchange.open(
            place,
            f"manifests/{reference}",
            method="HEAD",
            headers={"Accept": _ACCEPT},
            where=self._where,
        ) as response:
            return ManifestHead(
                _media_type(response), _claimed(response, self._where), length_of(response)
            )

    async def _document(self, response: httpx.Response, place: Endpoint) -> bytes:
        return await read_document(
            response,
            limit=self._limits.json_bytes,
            seconds=self._settings.timeouts.document,
            where=self._where,
            host=place.host,
        )

    # --- blobs -----------------------------------------------------------------------------------

    async def _blob(
        self, place: Endpoint, digest: Digest, progress: _Progress, where: str
    ) -> AsyncIterator[bytes]:
        """The rest of a blob from one place, over as many connections as it takes."""
        attempt = 0
        renewed_at = progress.delivered
        while True:
            headers = {"Range": f"bytes={progress.delivered}-"} if progress.delivered else {}
            try:
                async with self._exchange.open(
                    place, f"blobs/{digest}", headers=headers, where=where
                ) as response:
                    async for part in self._body(response, progress, where):
                        yield part
                return
            except httpx.TransportError as exc:
                if progress.delivered - renewed_at >= _PROGRESS_BYTES:
                    attempt, renewed_at = 0, progress.delivered
                attempt += 1
                if attempt >= self._settings.retry.attempts:
                    raise transport_failure(exc, where=where, host=place.host) from exc
            await self._exchange.pause(attempt)

    async def _body(
        self, response: httpx.Response, progress: _Progress, where: str
    ) -> AsyncIterator[bytes]:
        """One answer's part of the blob, without what was delivered before."""
        skip = progress.delivered - _start(response, progress, where)
        length = length_of(response)
        expected = progress.size - progress.delivered + skip
        if length is not None and length != expected:
            raise _wrong_length(progress.size, length > expected, where)
        async for chunk in self._gathered(response.aiter_raw()):
            part = chunk
            if skip:
                part, skip = chunk[skip:], max(0, skip - len(chunk))
            if len(part) > progress.size - progress.delivered:
                raise _wrong_length(progress.size, True, where)
            progress.delivered += len(part)
            if part:
                yield part
        if progress.delivered < progress.size:
            raise _wrong_length(progress.size, False, where)

    async def _gathered(self, parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Join small reads into chunks; what arrived before a cut is delivered before it."""
        waiting: list[bytes] = []
        size = 0
        since = self._monotonic()
        try:
            while part := await self._part(parts):
                waiting.append(part)
                size += len(part)
                now = self._monotonic()
                if size >= CHUNK_BYTES or now - since > _GATHER_SECONDS:
                    yield b"".join(waiting) if len(waiting) > 1 else part
                    waiting, size, since = [], 0, self._monotonic()
        except httpx.TransportError:
            if waiting:
                yield b"".join(waiting)
            raise
        if waiting:
            yield b"".join(waiting)

    async def _part(self, parts: AsyncIterator[bytes]) -> bytes:
        """The next bytes; nothing at the end. Chunked coding can drip for ever without any."""
        seconds = self._settings.timeouts.document
        try:
            async with asyncio.timeout(seconds):
                return await anext(parts, b"")
        except TimeoutError as exc:
            raise httpx.ReadTimeout(f"no bytes within {seconds:g} s") from exc

    # --- places ----------------------------------------------------------------------------------

    async def _anywhere(self, ask: Callable[[Endpoint], Awaitable[_T]]) -> _T:
        failures: list[SourceError] = []
        for place in self._places:
            try:
                return await ask(place)
            except SourceError as error:
                self._log_failure(place, error)
                failures.append(error)
        raise _all_failed(self._places, failures)

    def _log_failure(self, place: Endpoint, error: SourceError) -> None:
        if place is not self._places[-1]:
            _log.warning("mirror %s is passed over: %s", place.host, error.message)


def _all_failed(places: Sequence[Endpoint], failures: Sequence[SourceError]) -> SourceError:
    """The registry's own error, with those of its mirrors."""
    *mirrors, error = failures
    if mirrors:
        tried = "; ".join(
            f"{place.host}: {failure.message}"
            for place, failure in zip(places, mirrors, strict=False)
        )
        error.message = f"{error.message} (mirrors tried before: {tried})"
    return error


def _start(response: httpx.Response, progress: _Progress, where: str) -> int:
    """The offset of an answer's first byte. Raises ProtocolError for a range not asked for."""
    if response.status_code != 206:
        return 0
    found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if (
        found is None
        or int(found[1]) != progress.delivered
        or int(found[2]) != progress.size - 1
        or found[3] not in ("*", str(progress.size))
    ):
        raise ProtocolError(
            "the registry answers with another range than was asked for",
            where=where,
            remedy="try again; a cache before the registry may be at fault",
        )
    return progress.delivered


def _media_type(response: httpx.Response) -> str:
    media_type: str = response.headers.get("Content-Type", "")
    return media_type.partition(";")[0].strip()


def _claimed(response: httpx.Response, where: str) -> Digest | None:
    text = response.headers.get("Docker-Content-Digest")
    if text is None:
        return None
    try:
        return Digest.parse(text)
    except ManifestError as exc:
        raise ProtocolError(
            "the registry's Docker-Content-Digest is not a digest",
            where=where,
            remedy="check the registry, and any proxy before it",
        ) from exc


def _check_digest(data: bytes, digest: Digest, where: str) -> None:
    actual = hashlib.new(digest.algorithm, data).hexdigest()
    if actual != digest.hex:
        raise DigestMismatchError(
            f"the registry delivered {digest.algorithm}:{actual} for {digest}",
            where=where,
            remedy="do not use this image; check the registry, and any proxy or mirror before it",
        )


def _wrong_length(size: int, longer: bool, where: str) -> CorruptImageError:
    return CorruptImageError(
        f"the blob is {'longer' if longer else 'shorter'} than the {size} bytes of its descriptor",
        where=where,
        remedy="do not use this image; check the registry, and any proxy or mirror before it",
    )
