"""Whoever connects and then says nothing, too much, or never reads: on real sockets."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from layerproof.server.connections import MOST_HEAD, MOST_MESSAGE, Connection

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
SOON = 0.3
PATIENCE = 20.0  # far more than SOON: a connection that is kept makes the test fail


class Hasty(Connection):
    head_seconds = body_seconds = answer_seconds = SOON


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answers /large with more than any socket buffers; reads the body of everything but /deaf."""
    size = 64 << 20 if scope["path"] == "/large" else 2
    while scope["path"] != "/deaf" and (await receive()).get("more_body"):
        pass
    headers = [(b"content-length", str(size).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"x" * size})


def on_server(talk: Talk, protocol: type[Connection] = Hasty) -> int:
    """Talk to a server; how many connections it has kept after that."""

    async def run() -> int:
        config = uvicorn.Config(application, http=protocol, log_config=None, access_log=False,
                                lifespan="off", ws="none")  # fmt: skip
        config.load()
        state = ServerState()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: protocol(config=config, server_state=state, app_state={}), "127.0.0.1", 0
        )
        address = server.sockets[0].getsockname()
        reader, writer = await asyncio.open_connection(*address)
        try:
            async with asyncio.timeout(PATIENCE):
                await talk(reader, writer)
                while state.connections and not writer.is_closing():
                    await asyncio.sleep(0.02)
        except TimeoutError:
            pass
        finally:
            kept = len(state.connections)
            writer.close()
            server.close()
        return kept

    return asyncio.run(run())


async def rest(reader: asyncio.StreamReader) -> bytes:
    """All that comes until the connection ends, however that ends."""
    data = b""
    try:
        while part := await reader.read(1 << 16):
            data += part
    except ConnectionError:
        pass
    return data


def test_a_connection_that_says_nothing_is_closed() -> None:
    async def talk(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        assert await rest(reader) == b""

    assert on_server(talk) == 0


def test_a_head_that_drips_is_answered_by_408_and_closed() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reading = asyncio.create_task(rest(reader))
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n")
        while not reading.done():
            writer.write(b"X-A: 1\r\n")
            await asyncio.sleep(0.05)
        assert (await reading).startswith(b"HTTP/1.1 408 ")

    assert on_server(talk) == 0


def test_a_body_that_drips_ends_its_connection() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reading = asyncio.create_task(rest(reader))
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
        while not reading.done():
            writer.write(b"x")
            await asyncio.sleep(0.05)
        assert await reading == b""

    assert on_server(talk) == 0


def test_a_body_that_goes_on_after_its_answer_ends_its_connection() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reading = asyncio.create_task(rest(reader))
        writer.write(b"POST /deaf HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
        while not reading.done():
            writer.write(b"x")
            await asyncio.sleep(0.05)
        assert (await reading).count(b"HTTP/1.1") == 1

    assert on_server(talk) == 0


def test_an_answer_that_nobody_reads_ends_its_connection() -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # a transport that reads
        writer.write(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")

    assert on_server(talk) == 0


def test_a_head_without_end_is_refused_before_it_takes_the_memory() -> None:
    sent = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        reading = asyncio.create_task(rest(reader))
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: ")
        while not reading.done() and sent < 64 << 20:
            writer.write(b"x" * 65_536)
            sent += 65_536
            await asyncio.sleep(0)
            await asyncio.wait([reading], timeout=0.005)
        assert (await reading) in (b"",) or b" 431 " in reading.result()

    assert on_server(talk, Connection) == 0
    assert MOST_HEAD <= sent < 32 << 20


def test_trailers_without_end_are_refused_before_they_take_the_memory() -> None:
    sent = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        reading = asyncio.create_task(rest(reader))
        writer.write(b"POST /deaf HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n")
        line = b"X-T: " + b"x" * 65_000 + b"\r\n"
        while not reading.done() and sent < 4 * MOST_MESSAGE:
            writer.write(line)
            sent += len(line)
            await asyncio.wait([reading], timeout=0.002)
        await reading

    assert on_server(talk, Connection) == 0
    assert sent < 4 * MOST_MESSAGE


def test_requests_that_follow_each_other_are_all_answered() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        one = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200_000
        for pause in (0.0, 0.2, 0.0):
            await asyncio.sleep(pause)
            writer.write(one)
            assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(2) == b"xx"
        writer.write(one * 3)  # pipelined
        for _ in range(3):
            assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(2) == b"xx"
        writer.close()

    on_server(talk)
