"""Whether a service can decide. Anybody may ask, as often as they like: the database is asked once
in a second, by one thread, however many wait for the answer."""

import asyncio
from collections.abc import Callable, Mapping
from time import monotonic

from layerproof.errors import LayerproofError

_FRESH_SECONDS = 1.0


class Readiness:
    """The answers of some checks. For one event loop."""

    def __init__(self, checks: Mapping[str, Callable[[], object]]) -> None:
        self._checks = checks
        self._asking: asyncio.Future[Mapping[str, str]] | None = None
        self._asked_at = 0.0

    async def now(self) -> Mapping[str, str]:
        """By check, "ok" or the code of its error: what exactly, the log says. At most a second
        old, or as old as the check that is still under way."""
        asking = self._asking
        if asking is None or (asking.done() and monotonic() - self._asked_at >= _FRESH_SECONDS):
            self._asked_at = monotonic()
            asking = asyncio.ensure_future(asyncio.to_thread(self._check))
            self._asking = asking
        return await asyncio.shield(asking)  # whoever asked first may go before the answer comes

    def _check(self) -> Mapping[str, str]:
        found = {}
        for name, check in self._checks.items():
            try:
                check()
                found[name] = "ok"
            except LayerproofError as error:
                found[name] = error.code
        return found
