"""A load on a Unix socket, as an engine makes it: requests one after the other on a few connections
that stay open. Run by `bench/gates.py` as a process of its own.

    python bench/gate_load.py SOCKET FILE CONNECTIONS COUNT

FILE holds the bodies of requests, one a line, taken in turn. Prints JSON: seconds, and the time of
a request in ms by rank.
"""

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import cast

import uvloop

_HEAD = (
    "POST /AuthZPlugin.AuthZReq HTTP/1.1\r\nHost: plugin\r\n"
    "Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
)


class Connection(asyncio.Protocol):
    """One connection; the next request goes out when the answer is here."""

    def __init__(self, load: "Load") -> None:
        self._load = load
        self._began = 0.0
        self._got = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The first request."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its type
        self._next()

    def data_received(self, data: bytes) -> None:
        """The answer, or a part of it."""
        self._got += data
        head, found, body = self._got.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        if len(body) >= length:
            self._load.answered(body, time.perf_counter() - self._began)
            self._got = b""
            self._next()

    def _next(self) -> None:
        if self._load.left <= 0:
            self._transport.close()
            return
        self._load.left -= 1
        self._began = time.perf_counter()
        self._transport.write(self._load.requests[self._load.left % len(self._load.requests)])


class Load:
    """So many requests."""

    def __init__(self, bodies: list[bytes], count: int) -> None:
        self.requests = [_HEAD.format(length=len(body)).encode() + body for body in bodies]
        self.left = count
        self._count = count
        self.times: list[float] = []
        self.refused = 0
        self.done = asyncio.get_running_loop().create_future()

    def answered(self, body: bytes, seconds: float) -> None:
        """One answer."""
        self.times.append(seconds)
        self.refused += b'"Allow": true' not in body
        if len(self.times) == self._count:
            self.done.set_result(None)


async def run(path: str, bodies: list[bytes], connections: int, count: int) -> dict[str, object]:
    """The figures."""
    load = Load(bodies, count)
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    for _ in range(connections):
        await loop.create_unix_connection(lambda: Connection(load), path)
    await load.done
    seconds = time.perf_counter() - began
    times = sorted(load.times)
    ranks = {str(rank): times[min(int(count * rank / 100), count - 1)] * 1000 for rank in (50, 99)}
    return {"seconds": seconds, "count": count, "refused": load.refused, "ms": ranks}


def main() -> None:
    """See above."""
    path, file, connections, count = sys.argv[1:]
    made = run(path, Path(file).read_bytes().splitlines(), int(connections), int(count))
    sys.stdout.write(json.dumps(uvloop.run(made)) + "\n")


if __name__ == "__main__":
    main()
