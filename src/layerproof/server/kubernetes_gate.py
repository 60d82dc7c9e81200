"""`layerproof gate kubernetes serve`: the webhooks, until a signal ends it.

The service's file is read again when it changes, so that an exemption or a break-glass window needs
no restart; one with a mistake is told, and what held before goes on to hold.
"""

import asyncio
import json
import os
import socket
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from prometheus_client import Counter, Histogram

from layerproof import wiring
from layerproof.config import Settings
from layerproof.errors import LayerproofError, UsageError
from layerproof.gates.kubernetes.admission import GATE
from layerproof.gates.kubernetes.app import App
from layerproof.gates.kubernetes.interface import Grant
from layerproof.gates.kubernetes.judge import Judge, Tell
from layerproof.gates.kubernetes.settings import KubernetesSettings
from layerproof.model.gate import Question
from layerproof.server import logs
from layerproof.server.cluster_certificates import ClusterCertificates
from layerproof.server.gate_host import gate_log, gating
from layerproof.server.gating import Gating
from layerproof.server.run import Server
from layerproof.server.service import Service, file_stamp
from layerproof.service_config import ServiceConfig, load_service_config

LOOK_SECONDS = 1.0
MOST_GRANTS = 10_000


def serve(
    settings: Settings,
    config: ServiceConfig,
    sockets: list[socket.socket],
    *,
    wait: float,
    client_ca: Path | None = None,
    log_json: bool = True,
) -> int:
    """Answer on these sockets; the exit code. `client_ca`: whose clients are answered at all."""
    logs.configure(as_json=log_json)
    return asyncio.run(_serve(settings, config, sockets, wait, client_ca))


@contextmanager
def certified(settings: Settings, service: str, *, log_json: bool) -> Iterator[Settings]:
    """Settings with certificates that the cluster keeps, for `service`: NAME.NAMESPACE.svc; without
    one, as they are. Raises UsageError, SourceError."""
    if not service:
        yield settings
        return
    parts = service.split(".")
    if len(parts) != 3 or parts[2] != "svc" or not all(parts):
        raise UsageError(
            f"{service[:100]!r} is no service", where="--certificates",
            remedy="layerproof-gate.layerproof.svc",
        )  # fmt: skip
    logs.configure(as_json=log_json)
    names = (service, f"{service}.cluster.local", "localhost")
    with tempfile.TemporaryDirectory(prefix="layerproof-tls-") as folder:
        api = wiring.open_cluster(os.environ)
        kept = ClusterCertificates(api, parts[1], names, Path(folder), wiring.open_clock().now)
        kept.once()
        kept.start()
        try:
            certificate, key = kept.files
            yield replace(settings, tls_certificate=certificate, tls_key=key)
        finally:
            kept.stop()
            api.close()


async def _serve(
    settings: Settings,
    config: ServiceConfig,
    sockets: list[socket.socket],
    wait: float,
    client_ca: Path | None,
) -> int:
    chosen = config.kubernetes
    deciding = gating(settings, config, GATE, readable=_readable, wait=wait, budget=chosen.budget)
    async with deciding as (decider, service):
        with gate_log(config, service.clock) as tell:
            return await _answer(settings, service, decider, tell, sockets, chosen, client_ca)


async def _answer(
    settings: Settings,
    service: Service,
    decider: Gating,
    tell: Tell,
    sockets: list[socket.socket],
    chosen: KubernetesSettings,
    client_ca: Path | None,
) -> int:
    tags = wiring.open_tags(settings, chosen.tag_seconds)
    judge = Judge(decider, tags, StoredGrants(service), service.clock, chosen, tell)
    application = App(judge, Counts(service).observe, service.metrics.text)
    looking = asyncio.create_task(_look(settings, judge))
    server = Server(application, settings)
    if client_ca is not None:
        _require_clients(server, client_ca)
    logs.logger().info("gate open", gate=GATE, pin=str(chosen.pin))
    try:
        await server.serve(sockets)
    finally:
        looking.cancel()
        await tags.close()
    return 0 if server.started else 3


def _readable(question: Question) -> AbstractContextManager[str]:
    """From its registry, by its digest."""
    return nullcontext(question.names[0] if question.names else "")


def _require_clients(server: Server, authorities: Path) -> None:
    """Only who has a certificate of these authorities is answered. Raises UsageError."""
    context = server.config.ssl
    if context is None:
        raise UsageError(
            "clients can only be told by their certificates over TLS",
            where="--client-ca",
            remedy="give --tls-cert and --tls-key, too",
        )
    try:
        context.load_verify_locations(authorities)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"no certificates of authorities: {error}", where=str(authorities), remedy="PEM"
        ) from error
    context.verify_mode = ssl.CERT_REQUIRED


async def _look(settings: Settings, judge: Judge) -> None:
    """Read the service's file again when it changes."""
    file = settings.service_config
    before = file_stamp(file)
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        now = file_stamp(file)
        if now == before:
            continue
        before = now
        try:
            judge.settings = (await asyncio.to_thread(load_service_config, file)).kubernetes
        except LayerproofError as error:
            problems = list(getattr(error, "problems", ()))
            logs.logger().error("settings not renewed", error=str(error), problems=problems)
        else:
            logs.logger().info("settings renewed", where=str(file))


class Counts:
    """What Prometheus is told of reviews."""

    def __init__(self, service: Service) -> None:
        self._known: dict[tuple[str, str], tuple[Counter, Histogram]] = {}
        self._reviews = Counter(
            "layerproof_kubernetes_reviews",
            "Reviews by webhook and outcome.",
            ["webhook", "outcome"],
            registry=service.metrics.registry,
        )
        self._seconds = Histogram(
            "layerproof_kubernetes_review_seconds",
            "Time to answer a review.",
            ["webhook"],
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 2, 5, 10),
            registry=service.metrics.registry,
        )

    def observe(self, webhook: str, outcome: str, seconds: float) -> None:
        """Count one."""
        found = self._known.get((webhook, outcome))
        if found is None:
            labels = self._reviews.labels(webhook, outcome), self._seconds.labels(webhook)
            found = self._known[webhook, outcome] = labels
        found[0].inc()
        found[1].observe(seconds)


class StoredGrants:
    """`Grants` in the index, where every replica finds them, and in memory."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._kept: dict[str, Grant] = {}

    async def find(self, namespace: str, image: str) -> Grant | None:
        """See `Grants.find`."""
        key = _key(namespace, image)
        kept = self._kept.get(key)
        if kept is not None and self._service.clock.now() < kept.until:
            return kept
        try:
            found = await asyncio.to_thread(self._service.stores.index.cached, key)
        except LayerproofError:
            return None  # refused, as it would be without
        return None if found is None else _read(namespace, image, found)

    async def add(self, grant: Grant, target: str) -> None:
        """See `Grants.add`."""
        key = _key(grant.namespace, grant.image)
        if len(self._kept) >= MOST_GRANTS:
            self._kept.clear()
        self._kept[key] = grant
        logs.logger().warning(
            "break-glass", by=grant.by, target=target, image=grant.image, reason=grant.reason,
            until=grant.until.isoformat(),
        )  # fmt: skip
        try:
            await asyncio.to_thread(self._write, key, grant, target)
        except LayerproofError as error:
            logs.logger().error("break-glass is not in the audit", error=str(error))

    def _write(self, key: str, grant: Grant, target: str) -> None:
        said = {"until": grant.until.isoformat(), "by": grant.by, "reason": grant.reason}
        self._service.stores.index.put_cached(key, json.dumps(said).encode())
        self._service.audit(
            actor=grant.by,
            role="kubernetes",
            action="gate.break-glass",
            target=target[:500],
            address="",
            details={"image": grant.image, "namespace": grant.namespace, **said},
        )


def _key(namespace: str, image: str) -> str:
    return f"break-glass {namespace} {image}"


def _read(namespace: str, image: str, found: bytes) -> Grant | None:
    try:
        said = json.loads(found)
        until = datetime.fromisoformat(said["until"])
        return Grant(namespace, image, until, str(said["by"]), str(said["reason"]))
    except (ValueError, KeyError, TypeError):
        return None
