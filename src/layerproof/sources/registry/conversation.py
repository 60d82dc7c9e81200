"""Talking to one registry from one thread, for as long as a block lasts."""

import asyncio
import time
from types import TracebackType
from typing import Self

import httpx

from layerproof.oci.limits import Limits
from layerproof.sources.registry.credentials import CredentialProvider
from layerproof.sources.registry.exchange import Exchange
from layerproof.sources.registry.settings import RegistrySettings
from layerproof.sources.registry.transport import RegistryTransport


class Conversation:
    """A context manager with an event loop and connections of its own."""

    def __init__(
        self,
        host: str,
        *,
        limits: Limits,
        credentials: CredentialProvider,
        settings: RegistrySettings,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._host = host
        self._limits = limits
        self._settings = settings
        self._runner = asyncio.Runner()
        self._exchange = Exchange(
            settings=settings,
            credentials=credentials,
            grants={},
            transport=transport or RegistryTransport(),
            monotonic=time.monotonic,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._runner as runner:
            runner.run(self._exchange.aclose())
