"""Decisions for gates, as fast as they can be given without being old.

1. An answer is kept as the bytes that were sent, with all that it was made from: the state of index
   and ledger, the policy's file, the advisories. It is sent again as long as all of that is as it
   was, and no later than the moment at which time alone may change it.
2. Whether it is as it was is looked up for every request, never assumed: a request is answered by a
   look that began after the request arrived. Requests that arrive while a look runs share the next
   one, so that a thousand requests cost a few looks.
3. Of requests that ask the same at the same moment, one is worked out and all get the answer.
   Errors are not kept.
4. What is kept is bounded in number and in bytes, questions included: whoever asks chooses how long
   a question is. So is what one caller makes the index keep, by asking about ever other places:
   beyond that, answers are as good, and their records are not in the index.
"""

import asyncio
import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from layerproof.engine import gate
from layerproof.engine.decide import decide
from layerproof.engine.lookup import find_image
from layerproof.errors import ImageNotFoundError
from layerproof.model.facts import Context
from layerproof.model.gate import Answer as GateAnswer
from layerproof.model.image import Image, Platform
from layerproof.report.documents import record_document
from layerproof.server.auth import Buckets
from layerproof.server.service import Service

MOST_KEPT = 50_000
_MOST_BYTES = 256 << 20  # of questions and answers that are kept
_MOST_QUESTION = 4096  # bytes; a longer one is answered, and not remembered
_RECORDS_AT_ONCE = 5000  # by one caller, for the index to keep
_RECORDS_PER_SECOND = 5.0

Stamp = tuple[Any, ...]


class Freshness:
    """The state of everything that decisions depend on, as of now. `read` runs on the event loop:
    a file's is read at once, a server's by a driver that waits without a thread, because a thread
    that wants the interpreter beside a busy loop waits for milliseconds."""

    def __init__(self, read: Callable[[], Awaitable[Stamp]]) -> None:
        self._read = read
        self._running: asyncio.Task[Stamp] | None = None
        self._next: asyncio.Task[Stamp] | None = None

    async def now(self) -> Stamp:
        """From a look that begins after this call. Raises what the look raises."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_task(self._look(self._running))
        return await asyncio.shield(self._next)

    async def _look(self, before: "asyncio.Task[Stamp] | None") -> Stamp:
        if before is not None and not before.done():
            await asyncio.wait([before])
        self._running, self._next = self._next, None
        return await self._read()


@dataclass(frozen=True, slots=True)
class Asked:
    """One question. `images` are names of the same one: the first that is known is judged."""

    images: tuple[str, ...]
    platform: Platform | None
    context: Context
    means: Callable[[Image], bool] = lambda _image: True


@dataclass(frozen=True, slots=True)
class Answer:
    """What was decided, ready to be sent."""

    body: bytes
    decision: str
    decided_at: datetime
    holds_until: datetime
    gate: GateAnswer  # the same, as gates give it

    def holds(self, now: datetime) -> bool:
        """Whether time alone leaves it as it is; a clock that was set back does not."""
        return self.decided_at <= now < self.holds_until


class Decisions:
    """Answers by question, for one event loop."""

    def __init__(self, service: Service, workers: int = 8) -> None:
        self._service = service
        self._threads = ThreadPoolExecutor(workers, "decide")
        self._kept: OrderedDict[object, tuple[Stamp, Answer]] = OrderedDict()
        self._bytes = 0
        self._making: dict[object, asyncio.Future[Answer]] = {}
        self._records = Buckets(_RECORDS_PER_SECOND, _RECORDS_AT_ONCE)

    async def answer(
        self, key: object, stamp: Stamp, now: datetime, ask: Callable[[], Asked], by: str = ""
    ) -> Answer:
        """The answer to the question of this key. `by`: a caller whose records have a bound. Raises
        LayerproofError, and what `ask` does."""
        kept = self._kept.get(key)
        if kept is not None and kept[0] == stamp and kept[1].holds(now):
            self._kept.move_to_end(key)
            return kept[1]
        making = self._making.get((key, stamp))
        if making is None:
            loop = asyncio.get_running_loop()
            asked, keep = ask(), not by or not self._records.take(by)
            making = asyncio.ensure_future(
                loop.run_in_executor(self._threads, self._made, asked, keep)
            )
            self._making[key, stamp] = making
            making.add_done_callback(lambda done: self._keep(key, stamp, done))
        return await asyncio.shield(making)

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown()

    def _made(self, asked: Asked, keep: bool) -> Answer:
        service = self._service
        index = service.stores.index
        image = self._known(asked)
        policy = service.policy()
        record = decide(
            index,
            image,
            policy,
            service.clock.now(),
            service.analysers,
            context=asked.context,
            advisories=service.advisories(),
            keep=keep,
        )
        body = json.dumps(record_document(record)).encode()  # msgspec knows no kinds of text
        return Answer(
            body,
            str(record.verdict.decision),
            record.decided_at,
            record.holds_until,
            gate.judged(record, policy),
        )

    def _known(self, asked: Asked) -> Image:
        index, analysers = self._service.stores.index, self._service.analysers
        for name in asked.images:
            try:
                image = find_image(index, name, asked.platform, offline=True, analysers=analysers)
            except ImageNotFoundError:  # a digest that stands in no image
                continue
            if image is not None and asked.means(image):
                return image
        raise ImageNotFoundError(
            "the index does not know this image",
            where=asked.images[0] if asked.images else "",
            remedy="push it to a registry that reports here, or queue it: POST /api/v1/images",
        )

    def _keep(self, key: object, stamp: Stamp, done: "asyncio.Future[Answer]") -> None:
        self._making.pop((key, stamp), None)
        if done.cancelled() or done.exception() is not None:
            return
        answer = done.result()
        old = self._kept.pop(key, None)
        if old is not None:
            self._bytes -= _size(key, old[1])
        if _length(key) > _MOST_QUESTION:
            return
        self._bytes += _size(key, answer)
        self._kept[key] = stamp, answer
        while len(self._kept) > MOST_KEPT or self._bytes > _MOST_BYTES:
            of, (_, gone) = self._kept.popitem(last=False)
            self._bytes -= _size(of, gone)


def _size(key: object, answer: Answer) -> int:
    return _length(key) + len(answer.body)


def _length(key: object) -> int:
    """In bytes, about: a request's body, or what a gate asks by."""
    return len(key) if isinstance(key, bytes) else len(repr(key))
