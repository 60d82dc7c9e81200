"""What tags name now, for gates: resolved by the bytes, remembered for a moment.

1. The manifest's bytes are fetched and hashed here; what a header claims must agree with them.
2. Requests for the same tag at the same moment share one answer. An answer is remembered for a
   while, so that a thousand reviews cost one look; a failure only for a moment.
3. What is judged and pinned is the digest: a tag that moves meanwhile changes what the next look
   finds, never what was decided.
"""

import asyncio
import time
from collections import OrderedDict

from layerproof.errors import LayerproofError
from layerproof.model.digest import Digest
from layerproof.model.reference import Reference
from layerproof.oci.limits import Limits
from layerproof.sources.registry.client import RegistryClient
from layerproof.sources.registry.credentials import CredentialProvider
from layerproof.sources.registry.exchange import Exchange
from layerproof.sources.registry.names import endpoints
from layerproof.sources.registry.settings import RegistrySettings
from layerproof.sources.registry.transport import RegistryTransport

MOST_KEPT = 50_000
FAILURE_SECONDS = 2.0


class TagResolver:
    """For one event loop. `seconds`: how long an answer is remembered."""

    def __init__(
        self,
        *,
        limits: Limits,
        credentials: CredentialProvider,
        settings: RegistrySettings,
        seconds: float,
    ) -> None:
        self._limits = limits
        self._settings = settings
        self._seconds = seconds
        self._exchange = Exchange(
            settings=settings,
            credentials=credentials,
            grants={},
            transport=RegistryTransport(threads=True),
            monotonic=time.monotonic,
        )
        self._kept: OrderedDict[str, tuple[float, Digest | LayerproofError]] = OrderedDict()
        self._asking: dict[str, asyncio.Task[Digest]] = {}

    async def digest_of(self, reference: Reference) -> Digest:
        """See the module. Raises SourceError, DigestMismatchError, LimitExceededError."""
        key = str(reference)
        kept = self._kept.get(key)
        if kept is not None and time.monotonic() < kept[0]:
            if isinstance(kept[1], LayerproofError):
                raise kept[1]
            return kept[1]
        task = self._asking.get(key)
        if task is None:
            task = asyncio.create_task(self._ask(reference))
            self._asking[key] = task
            task.add_done_callback(lambda done: self._keep(key, done))
        return await asyncio.shield(task)

    async def close(self) -> None:
        """End what still asks, and close connections."""
        for task in list(self._asking.values()):
            task.cancel()
        await self._exchange.aclose()

    async def _ask(self, reference: Reference) -> Digest:
        client = RegistryClient(
            endpoints(reference.host, reference.repository, self._settings),
            exchange=self._exchange,
            settings=self._settings,
            limits=self._limits,
            where=str(reference),
        )
        return (await client.manifest(reference.tag)).digest

    def _keep(self, key: str, done: "asyncio.Task[Digest]") -> None:
        self._asking.pop(key, None)
        if done.cancelled():
            return
        error = done.exception()
        if error is None:
            self._kept[key] = time.monotonic() + self._seconds, done.result()
        elif isinstance(error, LayerproofError):
            self._kept[key] = time.monotonic() + FAILURE_SECONDS, error
        if key in self._kept:
            self._kept.move_to_end(key)
        while len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
