"""Reads images that a gate was asked about and the index does not know, in processes of their own.

1. One process per image, however many ask for it; a few at once; each ends after a while.
2. Whoever asks waits a little. The reading goes on when the waiting ends: the next one who asks
   finds it done.
3. What could not be read is not tried again at once.
"""

import asyncio
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress

from layerproof.model.gate import Question
from layerproof.server import logs

_AT_ONCE = 2
_MOST_SECONDS = 900.0
_AGAIN_SECONDS = 20.0
_MOST_KNOWN = 10_000


class Learner:
    """`learn` of `Gating`. `name_of` says by which reference an image is read; "" for none."""

    def __init__(
        self,
        environment: Mapping[str, str],
        name_of: Callable[[Question], str],
        wait: float,
    ) -> None:
        self._environment = environment
        self._name_of = name_of
        self._wait = wait
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._reading: dict[str, asyncio.Task[bool]] = {}
        self._failed: dict[str, float] = {}

    async def __call__(self, question: Question) -> bool:
        """Whether it is known now."""
        name = self._name_of(question)
        now = asyncio.get_running_loop().time()
        if not name or now < self._failed.get(name, 0.0):
            return False
        task = self._reading.get(name)
        if task is None:
            task = asyncio.create_task(self._read(name))
            self._reading[name] = task
            task.add_done_callback(lambda _: self._reading.pop(name, None))
        with suppress(TimeoutError):
            return await asyncio.wait_for(asyncio.shield(task), self._wait)
        return False

    async def close(self) -> None:
        """End what still reads."""
        tasks = list(self._reading.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self, name: str) -> bool:
        async with self._slots:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "layerproof.cli.main", "index", "--quiet", name,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                env=dict(self._environment),
            )  # fmt: skip
            said = b""
            try:
                async with asyncio.timeout(_MOST_SECONDS):
                    _, said = await process.communicate()
            except TimeoutError:
                said = b"it took too long"
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        if process.returncode == 0:
            self._failed.pop(name, None)
            return True
        text = said.decode("utf-8", "replace").strip()
        logs.logger().warning("image not read", image=name, said=text)
        if len(self._failed) >= _MOST_KNOWN:
            self._failed.clear()
        self._failed[name] = asyncio.get_running_loop().time() + _AGAIN_SECONDS
        return False
