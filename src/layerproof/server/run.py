"""`layerproof serve`: processes that answer, and on SQLite the worker that does the jobs.

1. The address is bound once, before anything else is started: an address that is taken is an error
   at once. All processes share it.
2. With one process, everything runs in this one. With more, this one watches: a process that ends
   is started again, less and less soon if it keeps ending.
   So is the worker.
3. SIGTERM and SIGINT end all of it in order: no new requests, those that run are answered, jobs
   that run wait again.
4. Certificate and key are read again when they change; connections that exist stay.
"""

import asyncio
import os
import resource
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp

from layerproof import wiring
from layerproof.config import Settings
from layerproof.errors import UsageError
from layerproof.server import logs
from layerproof.server.app import make_app
from layerproof.server.auth import Verify
from layerproof.server.connections import Connection
from layerproof.server.decisions import Stamp
from layerproof.server.metrics import Metrics
from layerproof.server.service import Service, file_stamp, stamps
from layerproof.server.work import run_worker
from layerproof.service_config import ServiceConfig

BACKLOG = 2048
MOST_DESCRIPTORS = 65_536
_GRACE_SECONDS = 20
_LOOK_SECONDS = 1.0
_SOUND_SECONDS = 10.0  # whoever lived so long did not fail at its start
_LONGEST_PAUSE = 30.0
_TRACING = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def bind(listen: str) -> list[socket.socket]:
    """The sockets of `host:port`. Raises UsageError."""
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    if not host or not port.isdigit() or int(port) > 65535:
        raise UsageError(
            f"{listen[:100]!r} is not HOST:PORT",
            where="--listen",
            remedy="for example: 127.0.0.1:8686",
        )
    try:
        found = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
        bound = []
        for family, kind, protocol, _, address in dict.fromkeys(found):
            bound.append(_bound(family, kind, protocol, address))
    except OSError as error:
        raise UsageError(
            f"cannot listen there: {error.strerror or error}",
            where=listen,
            remedy="end what listens there, or name another address with --listen",
        ) from error
    return bound


def raise_descriptors() -> None:
    """Each connection takes one: as many as the system allows, up to MOST_DESCRIPTORS."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _bound(family: int, kind: int, protocol: int, address: object) -> socket.socket:
    found = socket.socket(family, kind, protocol)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    found.bind(address)  # type: ignore[arg-type]  # because it depends on the family
    found.listen(BACKLOG)
    return found


def serve(
    settings: Settings,
    config: ServiceConfig,
    sockets: list[socket.socket],
    *,
    processes: int,
    slots: int,
    log_json: bool,
) -> int:
    """Until a signal ends it; the exit code. `slots`: jobs at once, 0 for none here."""
    raise_descriptors()
    stop = threading.Event()
    worker = _worker_thread(settings, config, slots, stop) if slots else None
    if worker is not None:
        worker.start()
    try:
        if processes == 1:
            return answer(settings, config, sockets, log_json=log_json)
        return _Processes(sockets, processes, log_json=log_json).run()
    finally:
        stop.set()
        if worker is not None:
            worker.join(_GRACE_SECONDS)


def own_slots() -> int:
    """How many jobs `serve` does at once: more than one, so that a registry which drips keeps no
    other one waiting; not many, because each has a process."""
    return min(max(os.cpu_count() or 1, 2), 4)


def work(settings: Settings, config: ServiceConfig, slots: int) -> int:
    """`layerproof worker`: jobs only, until a signal ends it."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    stores = wiring.open_stores(settings)
    try:
        run_worker(stores, settings, config, wiring.open_clock(), slots, stop)
    finally:
        stores.close()
    return 0


def answer(
    settings: Settings, config: ServiceConfig, sockets: list[socket.socket], *, log_json: bool
) -> int:
    """One process that answers requests."""
    logs.configure(as_json=log_json)
    stores = wiring.open_stores(settings)
    service = make_service(settings, config, stores)
    verify, routers = login(service)
    app = make_app(service, read_stamp=stamps(settings), verify_foreign=verify, routers=routers)
    trace(app)
    server = Server(app, settings)
    try:
        server.run(sockets)
    finally:
        stores.close()
    return 0 if server.started else 3


def make_service(settings: Settings, config: ServiceConfig, stores: wiring.Stores) -> Service:
    """A service on these stores."""
    return Service(
        settings=settings,
        config=config,
        stores=stores,
        intake=wiring.open_intake(stores.index, stores.queue, wiring.open_networks(config)),
        clock=wiring.open_clock(),
        metrics=Metrics(),
        load_policy=lambda: wiring.open_policy(settings, stores.index, stores.ledger),
        load_advisories=lambda: wiring.open_advisories(settings),
    )


def login(service: Service) -> tuple[Verify | None, tuple[Any, ...]]:
    """How people log in, where the service's file says so."""
    if service.config.oidc is None:
        return None, ()
    from layerproof.server.oidc import Provider, login_router  # here: only where it is set up

    provider = Provider(service.config.oidc, service.clock)
    return provider.verify, (login_router(provider, service),)


def trace(app: FastAPI) -> None:
    """OpenTelemetry, where the operator has set its variables (OpenTelemetry specification, "SDK
    environment variables"). Raises UsageError where its parts are not installed."""
    if not any(name in os.environ for name in _TRACING):
        return
    try:
        from opentelemetry import trace as api
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise UsageError(
            f"OpenTelemetry is asked for and not installed: {error.name}",
            where=_TRACING[0],
            remedy='pip install "layerproof[tracing]"',
        ) from error
    provider = TracerProvider(resource=Resource.create({"service.name": "layerproof"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    api.set_tracer_provider(provider)
    FastAPIInstrumentor.instrument_app(app)


class Server(uvicorn.Server):
    """uvicorn, with a certificate that is read again when it changes."""

    def __init__(
        self, app: ASGIApp, settings: Settings, connection: type[Connection] = Connection
    ) -> None:
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # addresses are those of connections, nobody can claim another
            timeout_keep_alive=30,
            timeout_graceful_shutdown=_GRACE_SECONDS,
            http=connection,
            ws="none",
            backlog=BACKLOG,
        )
        config.load()
        self._tls = Certificate.of(settings)
        if self._tls is not None:
            config.ssl = self._tls.context
            config.ssl_certfile = str(self._tls.certificate)  # so that it speaks TLS
        super().__init__(config)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer, and to look after the certificate."""
        await super().startup(sockets)
        if self._tls is not None:
            self._looking = asyncio.create_task(self._look_after(self._tls))

    async def _look_after(self, tls: "Certificate") -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            tls.renew()


class Certificate:
    """A certificate chain and its key in files."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self.certificate = certificate
        self._key = key
        self._stamp = self._now()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            _load(self.context, certificate, key)
        except (OSError, ValueError) as error:
            raise UsageError(
                f"the certificate cannot be used: {getattr(error, 'strerror', '') or error}",
                where=f"{certificate}, {key}",
                remedy="give a PEM chain with --tls-cert, and its key with --tls-key",
            ) from error

    @classmethod
    def of(cls, settings: Settings) -> "Certificate | None":
        """None where the service is to speak plain HTTP. Raises UsageError."""
        certificate, key = settings.tls_certificate, settings.tls_key
        if certificate is None and key is None:
            return None
        if certificate is None or key is None:
            raise UsageError(
                "TLS needs a certificate and its key",
                where="--tls-cert, --tls-key",
                remedy="give both, or none",
            )
        return cls(certificate, key)

    def renew(self) -> bool:
        """Read it again if it was replaced; one that cannot be used is told, and the one before
        stays."""
        now = self._now()
        if now == self._stamp:
            return False
        self._stamp = now
        try:
            # First by itself: a chain and a key that do not fit must not be half in use.
            _load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), self.certificate, self._key)
            _load(self.context, self.certificate, self._key)
        except (OSError, ValueError) as error:
            logs.logger().error(
                "certificate not renewed", where=str(self.certificate), error=str(error)
            )
            return False
        logs.logger().info("certificate renewed", where=str(self.certificate))
        return True

    def _now(self) -> Stamp:
        return file_stamp(self.certificate), file_stamp(self._key)


def _load(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    """Raises OSError, of which ssl.SSLError is one, and ValueError."""
    # With a password, though none is known: else a key that wants one would ask the terminal.
    context.load_cert_chain(certificate, key, password="")


class _Processes:
    """Several processes that answer at one address."""

    def __init__(self, sockets: list[socket.socket], count: int, *, log_json: bool) -> None:
        self._numbers = [item.fileno() for item in sockets]
        self._count = count
        self._log_json = log_json
        self._running: dict[int, tuple[subprocess.Popen[bytes], float]] = {}
        self._ended: dict[int, float] = {}
        self._stopping = False
        # The kernel closes our end when we are gone; nobody else has it.
        self._pipe, self._ours = os.pipe()

    def run(self) -> int:
        """Until a signal ends it."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        with tempfile.TemporaryDirectory(prefix="layerproof-metrics-") as folder:
            pauses = [0.0] * self._count
            while not self._stopping:
                for slot in range(self._count):
                    self._see_to(slot, pauses, folder)
                time.sleep(0.1)
            return self._end()

    def _see_to(self, slot: int, pauses: list[float], folder: str) -> None:
        found = self._running.get(slot)
        if found is not None:
            process, since = found
            if process.poll() is None:
                return
            if self._ended.setdefault(slot, time.monotonic()) - since > _SOUND_SECONDS:
                pauses[slot] = 0.0
            if time.monotonic() - self._ended[slot] < pauses[slot]:
                return
            pauses[slot] = min(max(2 * pauses[slot], 0.5), _LONGEST_PAUSE)
            del self._ended[slot]
        self._running[slot] = self._start(folder), time.monotonic()

    def _start(self, folder: str) -> subprocess.Popen[bytes]:
        numbers = map(str, self._numbers)
        return subprocess.Popen(
            [sys.executable, "-m", "layerproof.server.process", str(self._pipe), *numbers],
            pass_fds=[self._pipe, *self._numbers],
            env={
                **os.environ,
                "PROMETHEUS_MULTIPROC_DIR": folder,
                "LAYERPROOF_LOG_JSON": "1" if self._log_json else "0",
            },
        )

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _end(self) -> int:
        for process, _ in self._running.values():
            process.terminate()
        deadline = time.monotonic() + _GRACE_SECONDS + 5
        for process, _ in self._running.values():
            try:
                process.wait(max(deadline - time.monotonic(), 0))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        return 0


def _worker_thread(
    settings: Settings, config: ServiceConfig, slots: int, stop: threading.Event
) -> threading.Thread:
    def once() -> None:
        stores = wiring.open_stores(settings)
        try:
            run_worker(stores, settings, config, wiring.open_clock(), slots, stop)
        finally:
            stores.close()

    return threading.Thread(target=keep_working, args=(once, stop), name="worker", daemon=True)


def keep_working(work: Callable[[], None], stop: threading.Event) -> None:
    """Work until `stop` is set: a worker that ends before is started again, less and less soon if
    it keeps ending. A service without one would take reports and do nothing about them."""
    pause = 0.0
    while not stop.is_set():
        began = time.monotonic()
        try:
            work()
        except Exception:  # noqa: BLE001  because it is started again
            logs.logger().exception("the worker ended; it is started again")
        if time.monotonic() - began > _SOUND_SECONDS:
            pause = 0.0
        stop.wait(pause)
        pause = min(max(2 * pause, 0.5), _LONGEST_PAUSE)
