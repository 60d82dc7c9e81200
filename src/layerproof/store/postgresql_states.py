"""The states of index and ledger in PostgreSQL, read on an event loop.

One connection, one prepared statement of one row, no thread: whoever decides thousands of times a
second asks this before each answer. A connection that was lost is made again, once per reading.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import psycopg

from layerproof.errors import IndexUnavailableError
from layerproof.store.counter_rows import ACCESS, STATE
from layerproof.store.postgresql import engine_of, limits, safe_url

_SECONDS = 10.0  # for one reading, connecting included
_ONE = "(SELECT value FROM counter WHERE name = %s)"


class PostgresStates:
    """Reads for one event loop."""

    def __init__(self, url: str) -> None:
        """Raises UsageError; nothing is opened before the first reading."""
        self._url = url
        self._arguments = _arguments(url)
        self._connection: psycopg.AsyncConnection[tuple[Any, ...]] | None = None

    async def read(self) -> tuple[str, str]:
        """`Index.state` and `Ledger.access_state`, as of one moment. Raises
        IndexUnavailableError."""
        try:
            async with asyncio.timeout(_SECONDS):
                return await self._read_again()
        except (psycopg.Error, TimeoutError) as error:
            await self.close()
            raise IndexUnavailableError(
                f"the index failed: {str(error).partition(chr(10))[0] or 'no answer in time'}",
                where=safe_url(self._url),
                remedy="check that its database is there, reachable and has room",
            ) from error

    async def close(self) -> None:
        """Close the connection; the next reading opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _read_again(self) -> tuple[str, str]:
        if self._connection is not None:
            try:
                return await self._read_once(self._connection)
            except psycopg.OperationalError:
                await self.close()  # the server was restarted, say
        self._connection = await psycopg.AsyncConnection.connect(**self._arguments)
        return await self._read_once(self._connection)

    async def _read_once(
        self, connection: psycopg.AsyncConnection[tuple[Any, ...]]
    ) -> tuple[str, str]:
        cursor = await connection.execute(f"SELECT {_ONE}, {_ONE}", (STATE, ACCESS), prepare=True)
        row = await cursor.fetchone()
        assert row is not None
        return str(row[0] or 0), str(row[1] or 0)


def _arguments(url: str) -> Mapping[str, Any]:
    engine = engine_of(url)
    _, found = engine.dialect.create_connect_args(engine.url)
    return {**found, **limits(engine.url), "autocommit": True, "application_name": "layerproof"}
