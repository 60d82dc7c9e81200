"""`layerproof gate registry serve`: the gateway, until a signal ends it."""

import asyncio
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import Counter

from layerproof import wiring
from layerproof.config import Settings
from layerproof.engine.ports import ImageRecord
from layerproof.errors import LayerproofError, UsageError
from layerproof.gates.registry.app import App
from layerproof.gates.registry.cache import BlobCache
from layerproof.gates.registry.gateway import GATE, Gateway
from layerproof.model.digest import Digest
from layerproof.model.facts import Context
from layerproof.model.gate import Answer, Question
from layerproof.model.image import Descriptor
from layerproof.model.reference import parse_reference
from layerproof.server import logs
from layerproof.server.connections import Streaming
from layerproof.server.gate_host import gate_log, gating
from layerproof.server.gating import Gating
from layerproof.server.run import Server
from layerproof.server.service import Service
from layerproof.service_config import ServiceConfig

_MOST_CHAINS = 200
_MOST_IMAGES = 200


@dataclass(frozen=True, slots=True)
class GatewayOptions:
    """What the command line says."""

    host: str  # of the registry behind
    names: tuple[str, ...] = ()  # that clients may call it
    passing: bool = False  # clients log in themselves
    wait: float = 60.0
    tag_seconds: float = 30.0
    cache: Path | None = None
    cache_bytes: int = 0


def serve(
    settings: Settings,
    config: ServiceConfig,
    sockets: list[socket.socket],
    options: GatewayOptions,
    *,
    log_json: bool = True,
) -> int:
    """Answer on these sockets; the exit code."""
    logs.configure(as_json=log_json)
    return asyncio.run(_serve(settings, config, sockets, options))


async def _serve(
    settings: Settings,
    config: ServiceConfig,
    sockets: list[socket.socket],
    options: GatewayOptions,
) -> int:
    deciding = gating(settings, config, GATE, readable=_readable, wait=options.wait)
    async with deciding as (decider, service):
        with gate_log(config, service.clock) as tell:
            return await _answer(settings, service, decider, tell, sockets, options)


async def _answer(
    settings: Settings,
    service: Service,
    decider: Gating,
    tell: Callable[[Context, str, Answer], None],
    sockets: list[socket.socket],
    options: GatewayOptions,
) -> int:
    cache = _cache(options)
    upstream = wiring.open_upstream(options.host, settings, passing=options.passing)
    known = IndexedBlobs(service, options.host)
    gateway = Gateway(
        decider, upstream, known, settings.limits, time.monotonic, options.tag_seconds, tell
    )
    counts = Counts(service)
    application = App(
        gateway,
        upstream,
        cache=cache,
        names=options.names,
        observe=counts.observe,
        metrics=service.metrics.text,
    )
    server = Server(application, settings, Streaming)
    logs.logger().info("gate open", gate=GATE, upstream=options.host)
    try:
        await server.serve(sockets)
    finally:
        await upstream.close()
    return 0 if server.started else 3


def _cache(options: GatewayOptions) -> BlobCache | None:
    if options.cache is None or not options.cache_bytes:
        return None
    try:
        return BlobCache(options.cache, options.cache_bytes)
    except OSError as error:
        raise UsageError(
            f"the folder cannot be used: {error.strerror}",
            where=str(options.cache),
            remedy="name another one with --cache, or --cache-size 0",
        ) from error


def _readable(question: Question) -> AbstractContextManager[str]:
    """From its registry, by its digest."""
    return nullcontext(question.names[0] if question.names else "")


class Counts:
    """What Prometheus is told of the gateway."""

    def __init__(self, service: Service) -> None:
        registry = service.metrics.registry
        self._requests = Counter(
            "layerproof_gateway_requests", "Requests by kind and outcome.", ["kind", "outcome"],
            registry=registry,
        )  # fmt: skip
        self._bytes = Counter(
            "layerproof_gateway_blob_bytes", "Bytes of blobs that were sent.", registry=registry
        )

    def observe(self, kind: str, outcome: str, count: int) -> None:
        """Count one."""
        if kind == "bytes":
            self._bytes.inc(count)
        else:
            self._requests.labels(kind, outcome).inc()


class IndexedBlobs:
    """`Known`: by the index. An image counts where it was seen under a name of the repository."""

    def __init__(self, service: Service, host: str) -> None:
        self._index = service.stores.index
        self._host = host

    async def holders(self, name: str, blob: Digest) -> Sequence[tuple[Digest, Descriptor | None]]:
        """See `Known.holders`."""
        try:
            return await asyncio.to_thread(self._find, name, blob)
        except LayerproofError as error:
            logs.logger().warning("the index cannot be asked", error=str(error))
            return ()

    def _find(self, name: str, blob: Digest) -> list[tuple[Digest, Descriptor | None]]:
        found: list[tuple[Digest, Descriptor | None]] = []
        config = self._index.image_by_config(blob)
        if config is not None and config.image.manifest_digest and self._is_here(config, name):
            found.append((config.image.manifest_digest, None))
        diff_id = self._index.blobs([blob]).get(blob)
        if diff_id is None:
            return found
        hits = self._index.usage([diff_id], _MOST_CHAINS)
        for chain in (chain for hit in hits for chain in hit.chain_ids):
            for record in self._index.images_with_chain(chain)[:_MOST_IMAGES]:
                found += self._held(record, name, blob)
        if not found:  # too common a layer: look through the repository instead
            part = f"docker://{self._host}/{name}"
            for record in self._index.images_page(_MOST_IMAGES, part=part).items:
                found += self._held(record, name, blob)
        return found

    def _held(
        self, record: ImageRecord, name: str, blob: Digest
    ) -> list[tuple[Digest, Descriptor | None]]:
        digest = record.image.manifest_digest
        layers = [layer.blob for layer in record.image.layers if layer.blob is not None]
        held = next((layer for layer in layers if layer.digest == blob), None)
        if digest is None or held is None or not self._is_here(record, name):
            return []
        return [(digest, held)]

    def _is_here(self, record: ImageRecord, name: str) -> bool:
        for text in record.names:
            try:
                reference = parse_reference(text)
            except LayerproofError:
                continue
            if reference.host == self._host and reference.repository == name:
                return True
        return False
