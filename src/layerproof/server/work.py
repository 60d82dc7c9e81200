"""A worker: takes jobs from the queue, and queues what is to be done from time to time."""

import os
import threading
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from threading import Event as Signal

from layerproof.config import Settings
from layerproof.engine.ports import Clock, Index
from layerproof.engine.queue import Queue
from layerproof.errors import IndexUnavailableError
from layerproof.model.job import Priority, Wanted
from layerproof.server import logs
from layerproof.server.child import POLL, PRUNE
from layerproof.server.children import Children
from layerproof.service_config import Keep, ServiceConfig
from layerproof.wiring import Stores

_LOOK_SECONDS = 1.0
_AFTER_DEFECT_SECONDS = 30.0
_PRUNE_EVERY = timedelta(days=1)


def run_worker(
    stores: Stores,
    settings: Settings,
    config: ServiceConfig,
    clock: Clock,
    slots: int,
    stop: Signal,
) -> None:
    """Until `stop` is set."""
    children = Children(environment_of(settings, slots))
    ended = threading.Event()  # this worker; there may be another after it
    schedule = threading.Thread(
        target=Schedule(stores.index, stores.queue, clock, config).run, args=(ended,), daemon=True
    )
    schedule.start()
    try:
        stores.queue.run(children.work, slots=slots, stop=stop)
    finally:
        ended.set()
        children.close()
        schedule.join()


def environment_of(settings: Settings, slots: int) -> Mapping[str, str]:
    """What a child is to know: our own settings, wherever they came from."""
    found = dict(os.environ)
    found["LAYERPROOF_INDEX"] = settings.database or str(settings.index)
    if slots > 1 and not settings.workers:
        found["LAYERPROOF_WORKERS"] = "1"  # the processors are busy with other jobs already
    if settings.service_config is not None:
        found["LAYERPROOF_SERVICE_CONFIG"] = str(settings.service_config)
    if settings.policy is not None:
        found["LAYERPROOF_POLICY"] = str(settings.policy)
    found.pop("LAYERPROOF_SERVER", None)
    return found


class Schedule:
    """Queues looks at registries, and pruning. Every worker has one: a job that waits is not queued
    twice, and when something was queued last is written in the index."""

    def __init__(self, index: Index, queue: Queue, clock: Clock, config: ServiceConfig) -> None:
        self._index = index
        self._queue = queue
        self._clock = clock
        self._config = config

    def run(self, stop: Signal) -> None:
        """Until `stop` is set."""
        while not stop.is_set():
            try:
                self.once()
            except IndexUnavailableError:
                pass  # it comes back, or /readyz says so
            except Exception:  # noqa: BLE001  because it has to go on
                logs.logger().exception("nothing was queued; it is tried again")
                stop.wait(_AFTER_DEFECT_SECONDS)
            stop.wait(_LOOK_SECONDS)

    def once(self) -> int:
        """Queue what is due; how much that was."""
        now = self._clock.now()
        due = [
            (key, wanted) for key, every, wanted in self._all(now) if self._last(key) + every <= now
        ]
        for key, wanted in due:
            self._queue.put([wanted])
            self._index.put_cached(key, now.isoformat().encode())
        return len(due)

    def _all(self, now: datetime) -> Iterator[tuple[str, timedelta, Wanted]]:
        for item in self._config.registries:
            host = item.polled.host
            key = f"{POLL} {host}"
            yield (
                f"last {key}",
                item.interval,
                Wanted(key, key, POLL, {"host": host}, Priority.POLLED),
            )
        yield f"last {PRUNE}", _PRUNE_EVERY, prune_job(self._config.keep, now)

    def _last(self, key: str) -> datetime:
        found = self._index.cached(key)
        return datetime.fromisoformat((found or b"1970-01-01T00:00:00+00:00").decode())


def prune_job(keep: Keep, now: datetime) -> Wanted:
    """What is too old by now."""
    periods = {
        "events": keep.events,
        "verdicts": keep.verdicts,
        "jobs": keep.jobs,
        "images": keep.images,
    }
    arguments = {
        name: (now - period).isoformat() for name, period in periods.items() if period is not None
    }
    return Wanted(PRUNE, PRUNE, PRUNE, arguments, Priority.POLLED)
