"""What every route needs: the stores, the policy, the advisories, and who may do what.

Built by `serve` once per process; tests build it on fakes. Nothing here knows HTTP.
"""

import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from layerproof.analysis.current import CURRENT
from layerproof.config import Settings
from layerproof.engine.intake import Intake
from layerproof.engine.ports import Advisories, Clock
from layerproof.model.access import AuditRecord
from layerproof.policy.model import Policy
from layerproof.server.metrics import Metrics
from layerproof.server.readiness import Readiness
from layerproof.service_config import ServiceConfig
from layerproof.wiring import Stores, open_states

_Stamp = tuple[object, ...]


@dataclass
class Service:
    """One process of the service."""

    settings: Settings
    config: ServiceConfig
    stores: Stores
    intake: Intake
    clock: Clock
    metrics: Metrics
    load_policy: Callable[[], Policy]
    load_advisories: Callable[[], Advisories | None]
    analysers: str = CURRENT
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _policy: tuple[_Stamp, Policy] | None = None
    _advisories: tuple[_Stamp, Advisories | None] | None = None

    def policy(self) -> Policy:
        """The policy that rules now. Raises PolicyError."""
        stamp = (self.stores.ledger.access_state(), file_stamp(self.settings.policy))
        with self._lock:
            if self._policy is None or self._policy[0] != stamp:
                self._policy = stamp, self.load_policy()
            return self._policy[1]

    def advisories(self) -> Advisories | None:
        """The advisories as of now; opened again when the file was replaced."""
        stamp = file_stamp(self.settings.advisories)
        with self._lock:
            if self._advisories is None or self._advisories[0] != stamp:
                # The one before is not closed: another thread may be in the middle of it.
                self._advisories = stamp, self.load_advisories()
            return self._advisories[1]

    @cached_property
    def readiness(self) -> Readiness:
        """Whether it can decide."""
        return Readiness(
            {
                "index": self.stores.index.state,
                "queue": self.stores.queue.counts,
                "policy": self.policy,
                "advisories": self.advisories,
            }
        )

    def stamp(self) -> _Stamp:
        """Equal as long as no decision that was made can have changed, but for time."""
        return (
            self.stores.index.state(),
            self.stores.ledger.access_state(),
            file_stamp(self.settings.policy),
            file_stamp(self.settings.advisories),
        )

    def audit(
        self,
        *,
        actor: str,
        role: str,
        action: str,
        target: str,
        address: str,
        details: Mapping[str, object],
        outcome: str = "done",
    ) -> None:
        """Write down a change."""
        self.stores.ledger.add_audit(
            AuditRecord(0, self.clock.now(), actor, role, action, target, address, outcome, details)
        )


def stamps(settings: Settings) -> Callable[[], Awaitable[_Stamp]]:
    """Reads `Service.stamp` on a connection of its own, for an event loop: a long list must not
    keep a decision waiting."""
    states = open_states(settings)

    async def read() -> _Stamp:
        return (
            *await states.read(),
            file_stamp(settings.policy),
            file_stamp(settings.advisories),
        )

    return read


def file_stamp(file: Path | None) -> _Stamp:
    """Another value when the file was replaced or changed."""
    if file is None:
        return ()
    try:
        found = file.stat()
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size
