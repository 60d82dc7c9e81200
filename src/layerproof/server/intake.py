"""Reports of many requests, written down together: one transaction for all that arrived while the
last one ran. A request is answered when its own events are on the disk. What cannot be written for
the sake of one report fails that one only."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from layerproof.engine.intake import Accepted
from layerproof.errors import IndexUnavailableError
from layerproof.model.event import Event
from layerproof.server.problems import Problem

MOST_EVENTS = 2000  # in one transaction
MOST_WAITING = 20_000  # events of requests that are not answered yet


@dataclass(slots=True)
class _Waiting:
    events: Sequence[Event]
    done: "asyncio.Future[Accepted]"


class OverloadedError(Problem):
    """More is waiting than should; whoever asks is to come back."""

    def __init__(self, what: str) -> None:
        super().__init__(
            503,
            "overloaded",
            what,
            remedy="ask again in a moment; registries do so by themselves",
            headers={"Retry-After": "2"},
        )


class Batches:
    """Collects reports for one event loop."""

    def __init__(self, accept: Callable[[Sequence[Event]], Accepted]) -> None:
        self._accept = accept
        self._thread = ThreadPoolExecutor(1, "intake")
        self._waiting: list[_Waiting] = []
        self._count = 0
        self._running: asyncio.Task[None] | None = None

    async def accept(self, events: Sequence[Event]) -> Accepted:
        """Write them down, with those of others; the numbers are of all. Raises OverloadedError,
        and what writing raises."""
        if not events:
            return Accepted(0, 0)
        if self._count + len(events) > MOST_WAITING:
            raise OverloadedError("more reports are waiting to be written down than should be")
        loop = asyncio.get_running_loop()
        mine = _Waiting(events, loop.create_future())
        self._waiting.append(mine)
        self._count += len(events)
        if self._running is None or self._running.done():
            self._running = loop.create_task(self._write())
        return await mine.done

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch: list[_Waiting] = []
            size = 0
            while self._waiting and (not batch or size < MOST_EVENTS):
                batch.append(self._waiting.pop(0))
                size += len(batch[-1].events)
            self._count -= size
            events = [event for item in batch for event in item.events]
            try:
                accepted = await loop.run_in_executor(self._thread, self._accept, events)
            except Exception as error:  # noqa: BLE001  because each request is told of it
                if len(batch) > 1 and not isinstance(error, IndexUnavailableError):
                    await self._one_by_one(batch)  # one of them is at fault, not all
                else:
                    _fail(batch, error)
                continue
            for item in batch:
                if not item.done.cancelled():
                    item.done.set_result(accepted)

    async def _one_by_one(self, batch: Sequence[_Waiting]) -> None:
        loop = asyncio.get_running_loop()
        for item in batch:
            try:
                accepted = await loop.run_in_executor(self._thread, self._accept, item.events)
            except Exception as error:  # noqa: BLE001  because its request is told of it
                _fail([item], error)
            else:
                if not item.done.cancelled():
                    item.done.set_result(accepted)

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()


def _fail(batch: Sequence[_Waiting], error: Exception) -> None:
    for item in batch:
        if not item.done.cancelled():
            item.done.set_exception(error)
