"""The gateway as an ASGI application.

Every request ends in one of these: what was asked for, a redirect to nowhere (never), or an error
as the distribution API has them. Bodies of blobs pass in pieces; memory does not grow with them.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection
from contextlib import aclosing
from typing import BinaryIO
from urllib.parse import parse_qs, urlencode

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from layerproof.errors import (
    AuthenticationError,
    CorruptImageError,
    DigestMismatchError,
    ImageNotFoundError,
    LayerproofError,
    LimitExceededError,
    SourceError,
    UnreachableError,
)
from layerproof.gates.registry.cache import BlobCache
from layerproof.gates.registry.documents import Refusal, not_found, read_only
from layerproof.gates.registry.gateway import Blob, Gateway
from layerproof.gates.registry.interface import Listing, Upstream
from layerproof.gates.registry.requests import Kind, Span, Wanted, parse_path, parse_range
from layerproof.gates.registry.verify import verified
from layerproof.model.digest import Digest

MOST_STREAMS = 300
PIECE = 256 * 1024
_API = {"Docker-Distribution-Api-Version": "registry/2.0"}

Observe = Callable[[str, str, int], None]  # what was asked for, outcome, bytes of blobs


class App:
    """ASGI. `names`: registries that clients may say they mean (`ns`)."""

    def __init__(
        self,
        gateway: Gateway,
        upstream: Upstream,
        *,
        cache: BlobCache | None = None,
        names: Collection[str] = (),
        observe: Observe = lambda *_: None,
        metrics: Callable[[], bytes] = lambda: b"",
    ) -> None:
        self._gateway = gateway
        self._upstream = upstream
        self._cache = cache
        self._names = frozenset({upstream.host, *names})
        self._observe = observe
        self._metrics = metrics
        self._streams = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        kind, outcome = "other", "served"
        try:
            response = self._own(scope)
            if response is None:
                wanted = self._wanted(request)
                kind = str(wanted.kind)
                response = await self._answer(wanted, request)
        except Refusal as refusal:
            outcome = refusal.code.lower()
            response = _error(refusal)
        except LayerproofError as error:
            failed = await self._failed(error, request)
            outcome = failed.code.lower()
            response = _error(failed)
        self._observe(kind, outcome, 0)
        await response(scope, receive, send)

    def _own(self, scope: Scope) -> Response | None:
        if scope["method"] not in ("GET", "HEAD"):
            return None
        if scope["path"] == "/healthz":
            return PlainTextResponse("ok")
        if scope["path"] == "/metrics":
            return Response(self._metrics(), media_type="text/plain; version=0.0.4")
        return None

    def _wanted(self, request: Request) -> Wanted:
        if request.method not in ("GET", "HEAD"):
            raise read_only(self._upstream.host)
        raw: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
        path = raw.partition(b"?")[0].decode("ascii", "replace")
        wanted = parse_path(path, request.scope["query_string"].decode("ascii", "replace"))
        if wanted is None:
            raise not_found("NAME_INVALID", "nothing of a registry has this address")
        if wanted.namespace and wanted.namespace not in self._names:
            raise not_found(
                "NAME_UNKNOWN",
                f"this gateway stands before {self._upstream.host}, not {wanted.namespace[:200]}",
            )
        return wanted

    async def _answer(self, wanted: Wanted, request: Request) -> Response:
        authorization = request.headers.get("authorization", "")
        match wanted.kind:
            case Kind.BASE:
                challenge = await self._upstream.challenge("", authorization)
                if challenge:
                    raise _unauthorized(challenge)
                return Response(b"{}", media_type="application/json", headers=_API)
            case Kind.MANIFEST:
                found = await self._gateway.manifest(wanted, authorization)
                headers = {
                    **_API,
                    "Docker-Content-Digest": str(found.digest),
                    "ETag": f'"{found.digest}"',
                }
                return Response(found.data, media_type=found.media_type, headers=headers)
            case Kind.BLOB:
                return await self._blob(wanted, request, authorization)
            case Kind.REFERRERS:
                path = f"referrers/{wanted.digest}{_query(request, ('artifactType',))}"
                listing = await self._gateway.referrers(wanted, path, authorization)
                return _listed(listing)
            case Kind.TAGS:
                path = f"tags/list{_query(request, ('n', 'last'))}"
                return _listed(await self._upstream.listing(wanted.name, path, authorization))
            case Kind.CATALOG:
                path = f"/v2/_catalog{_query(request, ('n', 'last'))}"
                return _listed(await self._upstream.listing("", path, authorization))

    async def _failed(self, error: LayerproofError, request: Request) -> Refusal:
        """What the client is told of something that went wrong behind us."""
        if isinstance(error, AuthenticationError):
            try:
                name = (parse_path(request.scope["path"], "") or Wanted(Kind.BASE)).name
                challenge = await self._upstream.challenge(name, "")
            except LayerproofError as other:
                return Refusal(403, "DENIED", str(other))
            return _unauthorized(challenge) if challenge else Refusal(403, "DENIED", str(error))
        if isinstance(error, ImageNotFoundError):
            unknown = "BLOB_UNKNOWN" if "/blobs/" in request.scope["path"] else "MANIFEST_UNKNOWN"
            return not_found(unknown, str(error))
        if isinstance(error, UnreachableError):
            return Refusal(
                503, "UNAVAILABLE", f"the registry behind the gateway: {error}",
                headers={"Retry-After": "5"},
            )  # fmt: skip
        status = 502 if isinstance(error, SourceError | CorruptImageError) else 403
        return Refusal(status, "MANIFEST_INVALID", str(error))

    # --- blobs -----------------------------------------------------------------------------------

    async def _blob(self, wanted: Wanted, request: Request, authorization: str) -> Response:
        assert wanted.digest is not None
        blob = await self._gateway.blob(wanted)
        headers = {
            **_API,
            "Docker-Content-Digest": str(wanted.digest),
            "ETag": f'"{wanted.digest}"',
            "Accept-Ranges": "bytes",
        }
        if not blob.sized:
            whole = await self._whole(wanted, blob, authorization)
            return Response(whole, media_type="application/octet-stream", headers=headers)
        size = blob.descriptor.size
        try:
            span = parse_range(request.headers.get("range", ""), size)
        except ValueError:
            raise Refusal(
                416, "RANGE_INVALID", "the range begins after the end",
                headers={"Content-Range": f"bytes */{size}"},
            ) from None  # fmt: skip
        status = 200
        length = size
        if span is not None:
            status, length = 206, span.length
            headers["Content-Range"] = f"bytes {span.first}-{span.last}/{size}"
        headers["Content-Length"] = str(length)
        if request.method == "HEAD":
            await self._upstream.may_read(wanted.name, authorization)
            return Response(None, status, headers, media_type="application/octet-stream")
        if self._streams >= MOST_STREAMS:
            raise Refusal(
                429, "TOOMANYREQUESTS", "too many blobs at once", headers={"Retry-After": "2"}
            )
        parts = await self._parts(wanted.name, blob, span, authorization)
        # The first piece before the head, so that a failure can still be told.
        first = await _first(parts)
        return _Stream(status, headers, self._counted(first, parts))

    async def _parts(
        self, name: str, blob: Blob, span: Span | None, authorization: str
    ) -> AsyncIterator[bytes]:
        digest = blob.descriptor.digest
        if self._cache is not None:
            held = None
            if self._cache.holds(digest):
                await self._upstream.may_read(name, authorization)
                held = await asyncio.to_thread(self._cache.open, digest)
            if held is not None:
                self._observe("cache", "hit", 0)
                return self._kept(self._cache, held, digest, span)
        return self._passed(name, blob, span, authorization)

    async def _kept(
        self, cache: BlobCache, held: BinaryIO, digest: Digest, span: Span | None
    ) -> AsyncIterator[bytes]:
        """From the cache; what a disk made of it is dropped, and fetched again the next time."""
        try:
            if span is not None:
                async for piece in _read(held, span):
                    yield piece
                return
            async for piece in verified(_read(held, None), digest):
                yield piece
        except DigestMismatchError:
            cache.drop(digest)
            raise

    async def _passed(
        self, name: str, blob: Blob, span: Span | None, authorization: str
    ) -> AsyncIterator[bytes]:
        """From the registry, into the cache as well."""
        digest = blob.descriptor.digest
        entry = None
        if self._cache is not None:
            entry = await asyncio.to_thread(self._cache.begin, digest, blob.descriptor.size)
        whole = False
        try:
            async with aclosing(
                self._upstream.blob(name, blob.descriptor, authorization)
            ) as source:

                async def taken() -> AsyncIterator[bytes]:
                    async for part in source:
                        if entry is not None:
                            entry.write(part)
                        yield part

                async for piece in verified(taken(), digest, span):
                    yield piece
            whole = True
        finally:
            if entry is not None:
                entry.end(whole=whole)

    async def _whole(self, wanted: Wanted, blob: Blob, authorization: str) -> bytes:
        """A small blob of which only the digest is known."""
        assert wanted.digest is not None
        found = await self._upstream.small_blob(wanted.name, wanted.digest, authorization)
        if len(found) > blob.descriptor.size:
            raise LimitExceededError("too large a config", limit="json_bytes", where=wanted.name)
        return found

    async def _counted(self, first: bytes, parts: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
        self._streams += 1
        sent = 0
        try:
            if first:
                sent += len(first)
                yield first
            async for part in parts:
                sent += len(part)
                yield part
        except LayerproofError:
            self._observe("blob", "broken", sent)
            raise
        finally:
            self._streams -= 1
            self._observe("bytes", "sent", sent)
            close = getattr(parts, "aclose", None)
            if close is not None:
                await close()


class _Stream(Response):
    """A body in pieces. One that breaks is not ended: the server cuts the connection, and whoever
    reads it knows. Nothing more is read for a client that went away."""

    def __init__(self, status: int, headers: dict[str, str], body: AsyncGenerator[bytes]) -> None:
        super().__init__(None, status, headers, media_type="application/octet-stream")
        self._parts = body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        head = {"type": "http.response.start", "status": self.status_code}
        await send({**head, "headers": self.raw_headers})
        leaving = asyncio.ensure_future(_left(receive))
        try:
            async with aclosing(self._parts) as parts:
                async for part in parts:
                    if leaving.done():
                        return
                    await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except LayerproofError:
            return
        finally:
            leaving.cancel()


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _first(parts: AsyncIterator[bytes]) -> bytes:
    return await anext(parts, b"")


async def _read(file: BinaryIO, span: Span | None) -> AsyncIterator[bytes]:
    """Of a verified file."""
    try:
        left = -1
        if span is not None:
            file.seek(span.first)
            left = span.length
        while left:
            count = PIECE if left < 0 else min(PIECE, left)
            piece = await asyncio.to_thread(file.read, count)
            if not piece:
                return
            left -= len(piece) if left > 0 else 0
            yield piece
    finally:
        file.close()


def _error(refusal: Refusal) -> Response:
    return Response(
        refusal.body(), refusal.status, {**_API, **refusal.headers}, media_type="application/json"
    )


def _unauthorized(challenge: str) -> Refusal:
    return Refusal(
        401, "UNAUTHORIZED", "a login is needed", headers={"WWW-Authenticate": challenge}
    )


def _listed(listing: Listing) -> Response:
    headers = dict(_API)
    if listing.link.startswith("</v2/") and listing.link.isprintable():
        headers["Link"] = listing.link
    return Response(listing.data, media_type=listing.media_type, headers=headers)


def _query(request: Request, names: Collection[str]) -> str:
    """The parameters that are handed on."""
    given = parse_qs(request.scope["query_string"].decode("ascii", "replace"), max_num_fields=20)
    kept = {name: given[name][0][:300] for name in names if name in given}
    return f"?{urlencode(kept)}" if kept else ""


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
