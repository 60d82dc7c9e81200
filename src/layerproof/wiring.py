"""The only place that builds adapters: settings in, ready parts out.

Every adapter is imported where it is built, because a command should load only what it uses.
"""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from layerproof.errors import ImageNotFoundError, PolicyError, UnsupportedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from layerproof.clusters.kubernetes import Kubernetes
    from layerproof.config import Settings
    from layerproof.engine.indexer import Indexer
    from layerproof.engine.intake import Intake
    from layerproof.engine.ledger import Ledger, States
    from layerproof.engine.notices import Notifier, Urgency
    from layerproof.engine.onboarding import Onboarding
    from layerproof.engine.ports import Advisories, Clock, ImageSource, Index, Workers
    from layerproof.engine.pull import Puller
    from layerproof.engine.queue import Queue
    from layerproof.engine.responder import OpenTags
    from layerproof.model.digest import Digest
    from layerproof.model.image import Image
    from layerproof.model.reference import Reference
    from layerproof.monitors.containerd import ContainerdRuntime
    from layerproof.monitors.networks import Networks
    from layerproof.policy.model import Policy
    from layerproof.service_config import ServiceConfig
    from layerproof.service_notify import Told
    from layerproof.sources.docker_async import AsyncEngine
    from layerproof.sources.docker_engine import Engine
    from layerproof.sources.registry.catalog import RegistryCatalog
    from layerproof.sources.registry.docker_config import DockerConfig
    from layerproof.sources.registry.settings import RegistrySettings
    from layerproof.sources.registry.source import RegistrySource
    from layerproof.sources.registry.tags import TagResolver
    from layerproof.sources.registry.upstream import RegistryUpstream
    from layerproof.store.executor import Executor


@dataclass(frozen=True, slots=True)
class Stores:
    """What a service keeps, on one database."""

    index: Index
    ledger: Ledger
    queue: Queue

    def close(self) -> None:
        """Close connections."""
        self.queue.close()
        self.index.close()


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Aware, UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds."""
        return monotonic()


def open_index(settings: Settings) -> Index:
    """The layer index; made when it does not exist. Raises UsageError for a bad URL."""
    from layerproof.store.index import SqlIndex

    return SqlIndex(_executor(settings))


def open_ledger(settings: Settings) -> Ledger:
    """Tokens, audit and policy, in the index's database."""
    from layerproof.store.ledger import SqlLedger

    return SqlLedger(_executor(settings))


def open_stores(settings: Settings) -> Stores:
    """Index, ledger and queue of a service, on the same connections."""
    from layerproof.store.index import SqlIndex
    from layerproof.store.ledger import SqlLedger

    if settings.database:
        extra("psycopg", "procrastinate")
        from layerproof.store.postgresql import PostgresExecutor, engine_of
        from layerproof.store.procrastinate_queue import ProcrastinateQueue

        engine = engine_of(settings.database)
        on_server = PostgresExecutor(engine)
        queue = ProcrastinateQueue(engine, on_server, open_clock())
        return Stores(SqlIndex(on_server), SqlLedger(on_server), queue)
    from layerproof.store.sql_queue import SqlQueue
    from layerproof.store.sqlite import SqliteExecutor

    in_file = SqliteExecutor(settings.index, durable=True)
    return Stores(SqlIndex(in_file), SqlLedger(in_file), SqlQueue(in_file, open_clock()))


def open_states(settings: Settings) -> States:
    """What decisions are held against before each answer, on a connection of its own."""
    if settings.database:
        extra("psycopg")
        from layerproof.store.postgresql_states import PostgresStates

        return PostgresStates(settings.database)
    from layerproof.store.index import SqlIndex
    from layerproof.store.ledger import SqlLedger
    from layerproof.store.sqlite import SqliteExecutor
    from layerproof.store.states import StatesAtOnce

    executor = SqliteExecutor(settings.index)
    return StatesAtOnce(SqlIndex(executor), SqlLedger(executor))


def _executor(settings: Settings) -> Executor:
    if settings.database:
        extra("psycopg")
        from layerproof.store.postgresql import PostgresExecutor, engine_of

        return PostgresExecutor(engine_of(settings.database))
    from layerproof.store.sqlite import SqliteExecutor

    return SqliteExecutor(settings.index)


def index_place(settings: Settings) -> tuple[str, str]:
    """Where the index is, without a password, and the revision of this version's schema."""
    from layerproof.store.sqlite_sql import HEAD

    if not settings.database:
        return str(settings.index), HEAD
    from layerproof.store.postgresql import safe_url

    return safe_url(settings.database), HEAD


def extra(*modules: str) -> None:
    """Raises UsageError where a part of the extra `service` is not installed."""
    from importlib.util import find_spec

    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"not installed: {', '.join(missing)}",
            where="the service",
            remedy='install it with its parts: pip install "layerproof[service]"',
        )


def open_intake(index: Index, queue: Queue, networks: Networks) -> Intake:
    """Where reported events arrive."""
    from layerproof.engine.intake import Intake

    return Intake(index, queue, open_clock(), networks.country_of)


def open_networks(config: ServiceConfig) -> Networks:
    """Whence addresses are. Raises UsageError."""
    from layerproof.monitors.networks import Networks

    return Networks(config.networks, config.geoip)


def open_onboarding(settings: Settings, index: Index, ledger: Ledger) -> Onboarding:
    """Indexing and judging what was reported."""
    from layerproof.engine.onboarding import Onboarding

    return Onboarding(
        index=index,
        indexer=open_indexer(settings, index),
        clock=open_clock(),
        policy=lambda: open_policy(settings, index, ledger),
        open_source=lambda reference: closing(_registry(reference, settings)),
        advisories=open_advisories(settings),
    )


def open_catalog(host: str, settings: Settings) -> RegistryCatalog:
    """What a registry lists; a context manager."""
    from layerproof.sources.registry.catalog import RegistryCatalog

    return RegistryCatalog(
        host,
        limits=settings.limits,
        credentials=_credentials(),
        settings=_registry_settings(settings),
    )


def open_tags(settings: Settings, seconds: float) -> TagResolver:
    """What tags name, for gates; to be made inside an event loop."""
    from layerproof.sources.registry.tags import TagResolver

    return TagResolver(
        limits=settings.limits,
        credentials=_credentials(),
        settings=_impatient(_registry_settings(settings)),
        seconds=seconds,
    )


def open_cluster(environ: Mapping[str, str], context: str = "") -> Kubernetes:
    """The cluster that a kubeconfig names, or that we run in. Raises UsageError."""
    from layerproof.clusters.kubernetes import Kubernetes, find_access

    return Kubernetes(find_access(environ, context))


def open_upstream(host: str, settings: Settings, *, passing: bool) -> RegistryUpstream:
    """The registry behind the gateway; to be made inside an event loop."""
    from layerproof.sources.registry.upstream import RegistryUpstream

    return RegistryUpstream(
        host,
        limits=settings.limits,
        credentials=_credentials(),
        settings=_impatient(_registry_settings(settings)),
        passing=passing,
    )


def _impatient(found: RegistrySettings) -> RegistrySettings:
    """For gates, which somebody waits for."""
    from dataclasses import replace

    from layerproof.sources.registry.settings import Retry, Timeouts

    timeouts = Timeouts(connect=3.0, read=5.0, document=6.0)
    return replace(found, timeouts=timeouts, retry=Retry(attempts=2, backoff=0.1, longest_wait=1.0))


def open_advisories(settings: Settings) -> Advisories | None:
    """The advisory file; None if there is none yet. Raises AdvisoryError."""
    if not settings.advisories.exists():
        return None
    from layerproof.feeds.file import AdvisoryFile

    return AdvisoryFile(settings.advisories)


def open_clock() -> Clock:
    """Real time."""
    return SystemClock()


def open_workers(settings: Settings) -> Workers:
    """As many processes as the settings ask for."""
    from layerproof.workers import Forked

    return Forked(settings.workers)


def open_indexer(settings: Settings, index: Index) -> Indexer:
    """An indexer with all analysers."""
    from layerproof.analysis.registry import dispatch
    from layerproof.engine.indexer import Indexer
    from layerproof.native import digests

    return Indexer(
        index=index,
        workers=open_workers(settings),
        clock=open_clock(),
        dispatch=dispatch(),
        limits=settings.limits,
        digests=digests(native=settings.native),
    )


def open_puller(settings: Settings, index: Index) -> Puller:
    """Pulls into the quarantine of the settings."""
    from layerproof.engine.pull import Puller
    from layerproof.quarantine.layout import LayoutQuarantine

    return Puller(
        index=index,
        quarantine=LayoutQuarantine(settings.quarantine, settings.limits.quarantine_bytes),
        limits=settings.limits,
        clock=open_clock(),
    )


def read_reference(text: str) -> Reference:
    """A reference as a user writes it; a path that exists is recognised by its contents."""
    from layerproof.sources.detect import read_reference as detect

    return detect(text)


def open_source(reference: Reference, settings: Settings, index: Index) -> ImageSource:
    """The source that a reference names. Nothing is opened before it is used. Raises
    ImageNotFoundError for a path where nothing is."""
    limits = settings.limits
    if reference.path and not os.path.exists(reference.path):
        raise ImageNotFoundError(
            f"there is no {reference.path}", where=str(reference), remedy="check the path"
        )
    match reference.transport:
        case "docker":
            return _registry(reference, settings)
        case "docker-daemon":
            from layerproof.sources.docker_daemon import DockerDaemonSource
            from layerproof.sources.docker_engine import docker_host

            def known(identity: Digest) -> Image | None:
                # Engines name images by their config, newer ones by their manifest.
                found = index.image_by_config(identity) or index.image_by_manifest(identity)
                return found.image if found else None

            host = docker_host(os.environ)
            return DockerDaemonSource(reference, limits, host=host, known=known)
        case "docker-archive":
            from layerproof.sources.docker_archive import DockerArchiveSource

            return DockerArchiveSource(reference, limits)
        case "oci":
            from layerproof.sources.oci_layout import OciLayoutSource

            return OciLayoutSource(reference, limits)
        case "oci-archive":
            from layerproof.sources.oci_archive import OciArchiveSource

            return OciArchiveSource(reference, limits)
        case "rootfs":
            from layerproof.sources.rootfs import RootfsSource

            return RootfsSource(reference, limits)
        case other:
            raise UnsupportedError(f"there is no source for {other}:", where=str(reference))


def open_registry_tags(settings: Settings) -> OpenTags:
    """Tags of registries, by host."""
    from layerproof.sources.registry.tag_changes import RegistryTags

    return lambda host: RegistryTags(
        host,
        limits=settings.limits,
        credentials=_credentials(),
        settings=_registry_settings(settings),
    )


def open_engine(environ: Mapping[str, str], settings: Settings, *, timeout: float) -> Engine:
    """The Docker Engine that the environment names. Raises UsageError."""
    from layerproof.sources.docker_engine import Engine, docker_host

    return Engine(docker_host(environ), settings.limits, timeout)


def open_async_engine(
    environ: Mapping[str, str], settings: Settings, *, timeout: float
) -> AsyncEngine:
    """The same for the gate's event loop. Raises UsageError."""
    from layerproof.sources.docker_async import AsyncEngine
    from layerproof.sources.docker_engine import docker_host

    return AsyncEngine(docker_host(environ), settings.limits, timeout)


def open_notifiers(config: ServiceConfig) -> list[tuple[Notifier, Urgency]]:
    """Whom to tell, each with the least urgency. Raises UsageError for secrets that cannot be
    read."""
    return [(_notifier(told), told.least) for told in config.notify]


def _notifier(told: Told) -> Notifier:
    if told.way == "mail":
        from layerproof.notifiers.mail import Mail

        ports = {"tls": 465, "starttls": 587, "none": 25}
        return Mail(
            told.host,
            told.port or ports[told.security],
            told.sender,
            told.receivers,
            security=told.security,
            user=told.user,
            password=_secret(told.password_file),
        )
    from layerproof.notifiers.webhook import Webhook
    from layerproof.service_notify import is_safe

    url = told.url or _secret(told.url_file)
    if not is_safe(url):
        raise UsageError(
            "it holds no https address", where=str(told.url_file), remedy="notices need TLS"
        )
    return Webhook(url, slack=told.way == "slack", token=_secret(told.token_file))


def _secret(file: Path | None) -> str:
    if file is None:
        return ""
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"the secret cannot be read: {type(error).__name__}",
            where=str(file),
            remedy="see notify in the service's file",
        ) from error


def open_containerd(address: str, settings: Settings) -> ContainerdRuntime:
    """containerd at a socket. Raises UsageError where a part is not installed."""
    extra("grpc", "google.protobuf")
    from layerproof.monitors.containerd import ContainerdRuntime

    return ContainerdRuntime(address, settings.limits)


def _registry(reference: Reference, settings: Settings) -> RegistrySource:
    from layerproof.sources.registry.source import RegistrySource

    return RegistrySource(
        reference,
        limits=settings.limits,
        credentials=_credentials(),
        settings=_registry_settings(settings),
    )


def _credentials() -> DockerConfig:
    from layerproof.sources.registry.docker_config import DockerConfig

    return DockerConfig.from_environment(os.environ, _home())


def _registry_settings(settings: Settings) -> RegistrySettings:
    from layerproof.sources.registry.settings import RegistrySettings

    return RegistrySettings(
        insecure_hosts=settings.insecure_registries,
        mirrors=settings.mirrors,
        token_realms=settings.token_realms,
    )


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:
        return Path("/")  # a user without a name or a home, as containers have them


def open_policy(settings: Settings, index: Index, ledger: Ledger | None = None) -> Policy:
    """The policy of the settings; else the one that was put into the service; else the built-in
    one. Exceptions that were made by the service count beside those of the file. Raises
    PolicyError.

    A parsed file is kept in the index by the digest of its bytes, because parsing YAML costs more
    than a whole decision.
    """
    put = None if ledger is None or settings.policy is not None else ledger.policies()
    if settings.policy is not None:
        policy = _parsed(read_policy(settings.policy), str(settings.policy), index)
    elif put:
        policy = _parsed(put[0].text.encode(), f"policy revision {put[0].id}", index)
    else:
        from layerproof.policy.defaults import DEFAULT_POLICY

        policy = DEFAULT_POLICY
    made = [] if ledger is None else [m for m in ledger.exceptions() if m.ended_at is None]
    if not made:
        return policy
    from layerproof.policy.amend import with_exceptions

    return with_exceptions(policy, made)


def _parsed(text: bytes, where: str, index: Index) -> Policy:
    from layerproof.policy.load import cache_key, load_policy
    from layerproof.policy.model import Policy

    key = cache_key(text)
    cached = index.cached(key)
    if cached is not None:
        return Policy.from_json(cached)
    policy = load_policy(text, where=where)
    index.put_cached(key, policy.to_json())
    return policy


def read_policy(file: Path) -> bytes:
    """The bytes of a policy file, one more than it may have at most. Raises PolicyError."""
    from layerproof.policy.document import MAX_BYTES

    try:
        with file.open("rb") as stream:
            return stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise PolicyError(
            f"cannot be read: {error.strerror or error}",
            where=str(file),
            remedy="give --policy a file that exists; without one the built-in policy is used",
        ) from error
