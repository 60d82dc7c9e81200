"""The only place that builds adapters: settings in, ready parts out.

Every adapter is imported where it is built, because a command should load only what it uses.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from layerproof.errors import ImageNotFoundError, PolicyError, UnsupportedError

if TYPE_CHECKING:
    from layerproof.config import Settings
    from layerproof.engine.indexer import Indexer
    from layerproof.engine.ports import Advisories, Clock, ImageSource, Index, Workers
    from layerproof.engine.pull import Puller
    from layerproof.model.digest import Digest
    from layerproof.model.image import Image
    from layerproof.model.reference import Reference
    from layerproof.policy.model import Policy


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Aware, UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds."""
        return monotonic()


def open_index(settings: Settings) -> Index:
    """The layer index; made when it does not exist."""
    from layerproof.store.sqlite_index import open_sqlite

    return open_sqlite(settings.index)


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
            from layerproof.sources.docker_daemon import DockerDaemonSource, docker_host

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


def _registry(reference: Reference, settings: Settings) -> ImageSource:
    from layerproof.sources.registry.docker_config import DockerConfig
    from layerproof.sources.registry.settings import RegistrySettings
    from layerproof.sources.registry.source import RegistrySource

    return RegistrySource(
        reference,
        limits=settings.limits,
        credentials=DockerConfig.from_environment(os.environ, _home()),
        settings=RegistrySettings(
            insecure_hosts=settings.insecure_registries,
            mirrors=settings.mirrors,
            token_realms=settings.token_realms,
        ),
    )


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:
        return Path("/")  # a user without a name or a home, as containers have them


def open_policy(settings: Settings, index: Index) -> Policy:
    """The policy of the settings, or the built-in one. Raises PolicyError.

    A parsed file is kept in the index by the digest of its bytes, because parsing YAML costs more
    than a whole decision.
    """
    if settings.policy is None:
        from layerproof.policy.defaults import DEFAULT_POLICY

        return DEFAULT_POLICY
    from layerproof.policy.load import cache_key, load_policy
    from layerproof.policy.model import Policy

    text = read_policy(settings.policy)
    key = cache_key(text)
    cached = index.cached(key)
    if cached is not None:
        return Policy.from_json(cached)
    policy = load_policy(text, where=str(settings.policy))
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
