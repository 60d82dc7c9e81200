"""`docker://HOST/NAME:TAG`: an image in a registry, as the engine's ImageSource.

The engine is synchronous; each source drives its own event loop, one chunk at a time. A forked
process starts its own loop and connections and keeps the tokens and what was resolved.
"""

import os
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from layerproof.errors import CorruptImageError, UnsupportedError, UsageError
from layerproof.model.image import Descriptor, Image, Layer, Platform
from layerproof.model.reference import DOCKER, Reference
from layerproof.oci.limits import Limits
from layerproof.oci.manifest import (
    ImageIndex,
    Manifest,
    build_image,
    choose,
    parse_manifest,
)
from layerproof.sources.registry.credentials import CredentialProvider, NoCredentials
from layerproof.sources.registry.names import endpoints
from layerproof.sources.registry.settings import RegistrySettings

if TYPE_CHECKING:  # asyncio and httpx cost 0.2 s: they are loaded when a registry is asked
    import asyncio
    from collections.abc import Coroutine

    from layerproof.sources.registry.auth import Grant
    from layerproof.sources.registry.client import ManifestAnswer, RegistryClient

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Session:
    """Loop and connections of one process."""

    pid: int
    loop: "asyncio.AbstractEventLoop"
    client: "RegistryClient"

    def run(self, work: "Coroutine[Any, Any, _T]") -> _T:
        return self.loop.run_until_complete(work)

    def close(self) -> None:
        import asyncio

        try:
            pending = asyncio.all_tasks(self.loop)  # after an interrupt
            for task in pending:
                task.cancel()
            self.run(_settled(pending))
            self.run(self.client.aclose())
            self.run(self.loop.shutdown_asyncgens())
        finally:
            self.loop.close()


class RegistrySource:
    """One image in a registry. Opens nothing until asked; implements engine.ports.ImageSource."""

    def __init__(
        self,
        reference: Reference,
        *,
        limits: Limits,
        credentials: CredentialProvider | None = None,
        settings: RegistrySettings | None = None,
    ) -> None:
        if reference.transport != DOCKER:
            raise UsageError(f"not a registry reference: {reference}", remedy="use docker://…")
        self._reference = reference
        self._limits = limits
        self._credentials = credentials or NoCredentials()
        self._settings = settings or RegistrySettings()
        self._grants: dict[tuple[str, str], Grant] = {}
        self._top: ManifestAnswer | None = None
        self._image: Image | None = None
        self._session: _Session | None = None
        self._inherited: list[_Session] = []

    @property
    def random_access(self) -> bool:
        """Layers can be fetched in any order, any number of times, from forked processes too."""
        return True

    def resolve(self, platform: Platform | None) -> Image:
        """Manifest and config of the image for a platform (None: the host's).

        What the tag names is asked for once; all further answers come from those bytes. Raises
        SourceError, CorruptImageError, LimitExceededError.
        """
        session = self._open()
        self._image = session.run(self._resolve(session.client, platform))
        return self._image

    def platforms(self) -> tuple[Platform, ...]:
        """Those of the image index that the reference names; none if it names one image. Raises
        what `resolve` does."""
        session = self._open()
        document = session.run(self._document(session.client))
        if not isinstance(document, ImageIndex):
            return ()
        found = (entry.platform for entry in document.manifests if entry.platform is not None)
        return tuple(dict.fromkeys(p for p in found if p.architecture != "unknown"))

    def layers(self, wanted: Collection[int]) -> Iterator[tuple[Layer | None, Iterator[bytes]]]:
        """Stream layers in the order given. Raises what `resolve` does."""
        if self._image is None:
            raise UsageError("the image was not resolved yet", where=str(self._reference))
        for position in wanted:
            layer = self._image.layers[position]
            assert layer.blob is not None  # a registry's manifest names them all
            yield layer, self._chunks(layer.blob, position)

    def close(self) -> None:
        """Close connections; what was resolved stays known."""
        session, self._session = self._session, None
        if session is not None and session.pid == os.getpid():
            session.close()

    def _chunks(self, blob: Descriptor, position: int) -> Iterator[bytes]:
        session = self._open()
        stream = session.client.blob(blob, f"layer {position}")
        try:
            while chunk := session.run(_next(stream)):
                yield chunk
        finally:
            if not session.loop.is_closed():
                session.run(stream.aclose())

    async def _resolve(self, client: "RegistryClient", platform: Platform | None) -> Image:
        where = str(self._reference)
        # 1. The bytes that the name stands for, once.
        document = await self._document(client)
        assert self._top is not None
        answer, index_digest = self._top, None
        # 2. Of an index, the manifest for the platform, by digest.
        if isinstance(document, ImageIndex):
            entry = choose(document, platform, where=where)
            index_digest = answer.digest
            answer = await client.manifest(entry.descriptor.digest)
            if len(answer.data) != entry.descriptor.size:
                raise CorruptImageError(
                    f"the manifest has {len(answer.data)} bytes, and the index says"
                    f" {entry.descriptor.size}",
                    where=where,
                    remedy="the index was written wrongly: rebuild the image",
                )
            document = self._parse(answer, f"{where}: {entry.descriptor.digest}")
        if not isinstance(document, Manifest):
            raise UnsupportedError(
                "the index names another index",
                where=where,
                remedy="name the digest of the platform's manifest",
            )
        # 3. The config, by digest.
        config = await client.blob_bytes(document.config, "config")
        return build_image(
            reference=where,
            config_bytes=config,
            manifest=document,
            manifest_digest=answer.digest,
            index_digest=index_digest,
            layers=document.layers,
            platform=platform,
            where=where,
            limits=self._limits,
        )

    async def _document(self, client: "RegistryClient") -> Manifest | ImageIndex:
        if self._top is None:
            self._top = await client.manifest(self._reference.digest or self._reference.tag)
        return self._parse(self._top, str(self._reference))

    def _parse(self, answer: "ManifestAnswer", where: str) -> Manifest | ImageIndex:
        return parse_manifest(
            answer.data, media_type=answer.media_type, where=where, limits=self._limits
        )

    def _open(self) -> _Session:
        session = self._session
        if session is not None and session.pid != os.getpid():
            # Inherited by a fork: closing its loop would unregister the parent's sockets from the
            # epoll object that both share. Kept, so that it is not collected either.
            self._inherited.append(session)
            session = None
        if session is None:
            session = self._session = self._new_session()
        return session

    def _new_session(self) -> _Session:
        import asyncio

        from layerproof.sources.registry.client import RegistryClient
        from layerproof.sources.registry.exchange import Exchange
        from layerproof.sources.registry.transport import RegistryTransport

        exchange = Exchange(
            settings=self._settings,
            credentials=self._credentials,
            grants=self._grants,
            transport=RegistryTransport(),
            monotonic=time.monotonic,
        )
        client = RegistryClient(
            endpoints(self._reference.host, self._reference.repository, self._settings),
            exchange=exchange,
            settings=self._settings,
            limits=self._limits,
            where=str(self._reference),
        )
        return _Session(os.getpid(), asyncio.new_event_loop(), client)


async def _next(stream: Any) -> bytes:
    """The next chunk; nothing at the end."""
    return await anext(stream, b"")


async def _settled(tasks: "Collection[asyncio.Task[Any]]") -> None:
    import asyncio

    await asyncio.gather(*tasks, return_exceptions=True)
