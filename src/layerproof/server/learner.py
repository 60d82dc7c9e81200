"""Reads images that a gate was asked about and the index does not know, in processes of their own.

1. One process per image, however many ask for it; a few at once; each ends after a while. Of one
   registry fewer than of all: one that drips keeps nobody's images waiting but its own.
2. Whoever asks waits a little. The reading goes on when the waiting ends: the next one who asks
   finds it done.
3. What could not be read is not tried again at once.
"""

import asyncio
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from weakref import WeakValueDictionary

from layerproof.errors import LayerproofError
from layerproof.model.gate import Question
from layerproof.server import logs

_AT_ONCE = 4
_OF_ONE_PLACE = 2
_MOST_SECONDS = 900.0
_AGAIN_SECONDS = 20.0
_MOST_KNOWN = 10_000


class Learner:
    """`learn` of `Gating`. `readable` gives a reference by which an image can be read as long as
    the block lasts; "" for none."""

    def __init__(
        self,
        environment: Mapping[str, str],
        readable: Callable[[Question], AbstractContextManager[str]],
        wait: float,
    ) -> None:
        self._environment = environment
        self._readable = readable
        self._wait = wait
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._places: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._reading: dict[str, asyncio.Task[bool]] = {}
        self._failed: dict[str, float] = {}

    async def __call__(self, question: Question) -> bool:
        """Whether it is known now."""
        about = str(question.identity or question.top or "".join(question.names[:1]))
        now = asyncio.get_running_loop().time()
        if not about or now < self._failed.get(about, 0.0):
            return False
        task = self._reading.get(about)
        if task is None:
            task = asyncio.create_task(self._learned(question, about))
            self._reading[about] = task
            task.add_done_callback(lambda _: self._reading.pop(about, None))
        with suppress(TimeoutError):
            return await asyncio.wait_for(asyncio.shield(task), self._wait)
        return False

    async def close(self) -> None:
        """End what still reads."""
        tasks = list(self._reading.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _learned(self, question: Question, about: str) -> bool:
        opened = self._readable(question)
        try:
            name = await asyncio.to_thread(opened.__enter__)
            try:
                said = await self._in_turn(name) if name else "there is nothing to read it from"
            finally:
                await asyncio.to_thread(opened.__exit__, None, None, None)
        except LayerproofError as error:
            said = str(error)
        if not said:
            self._failed.pop(about, None)
            return True
        logs.logger().warning("image not read", image=about, said=said)
        if len(self._failed) >= _MOST_KNOWN:
            self._failed.clear()
        self._failed[about] = asyncio.get_running_loop().time() + _AGAIN_SECONDS
        return False

    async def _in_turn(self, name: str) -> str:
        """See rule 1; as `_read`."""
        of = _place(name)
        place = self._places.get(of)
        if place is None:
            place = self._places[of] = asyncio.Semaphore(_OF_ONE_PLACE)
        async with place, self._slots:
            return await self._read(name)

    async def _read(self, name: str) -> str:
        """ "" if it was read, else why not."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "layerproof.cli.main", "index", "--quiet", name,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env=dict(self._environment),
        )  # fmt: skip
        try:
            async with asyncio.timeout(_MOST_SECONDS):
                _, said = await process.communicate()
        except TimeoutError:
            return "it took too long"
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode == 0:
            return ""
        return said.decode("utf-8", "replace").strip() or f"exit code {process.returncode}"


def _place(name: str) -> str:
    """What is waited for when an image is read: its registry, or the engine."""
    scheme, _, rest = name.partition("://")
    return rest.partition("/")[0] if rest else scheme.partition(":")[0]
