"""The only place that builds adapters: settings in, ready parts out.

Every adapter is imported where it is built, because a command should load only what it uses.
"""

from __future__ import annotations

from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING

from layerproof.errors import UnsupportedError

if TYPE_CHECKING:
    from layerproof.config import Settings
    from layerproof.engine.indexer import Indexer
    from layerproof.engine.ports import Clock, ImageSource, Index, Workers
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

    return Indexer(
        index=index,
        workers=open_workers(settings),
        clock=open_clock(),
        dispatch=dispatch(),
        limits=settings.limits,
    )


def read_reference(text: str) -> Reference:
    """A reference as a user writes it; a path that exists is recognised by its contents."""
    from layerproof.sources.detect import read_reference as detect

    return detect(text)


def open_source(reference: Reference, settings: Settings) -> ImageSource:
    """The source that a reference names."""
    limits = settings.limits
    match reference.transport:
        case "docker":
            from layerproof.sources.registry.source import RegistrySource

            return RegistrySource(reference, limits=limits)
        case _:
            raise UnsupportedError(
                f"there is no source for {reference.transport}:", where=str(reference)
            )


def open_policy(settings: Settings, index: Index) -> Policy:
    """The policy of the settings, or the built-in one. A parsed file is kept in the index by the
    digest of its bytes, because parsing YAML costs more than a whole decision."""
    from layerproof.policy.defaults import DEFAULT_POLICY

    return DEFAULT_POLICY
