"""What stands around the Docker gate in its benchmark, each a process of its own.

python bench/gate_peers.py noop SOCKET       a plugin that reads a request and allows it
python bench/gate_peers.py engine SOCKET FILE  an engine that knows images: FILE is JSON, by name
"""

import asyncio
import json
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

from layerproof.server.gate_host import answer_on, listen_at


def noop() -> Any:
    """The same server, and nothing decided."""
    allowed = json.dumps({"Allow": True}).encode()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while True:
                event = await receive()
                await send({"type": f"{event['type']}.complete"})
                if event["type"] == "lifespan.shutdown":
                    return
        while (await receive()).get("more_body"):
            pass
        headers = [(b"content-length", str(len(allowed)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": allowed})

    return application


class Engine(asyncio.Protocol):
    """Answers `GET /images/NAME/json`, one request per connection."""

    def __init__(self, images: Mapping[str, bytes]) -> None:
        self._images = images

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep it."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its type

    def data_received(self, data: bytes) -> None:
        """A request is small: it comes at once."""
        path = unquote(data.split(b" ", 2)[1].decode())
        body = self._images.get(path.removeprefix("/images/").removesuffix("/json"))
        status = "200 OK" if body is not None else "404 Not Found"
        body = body or b"{}"
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        self._transport.write(head.encode() + body)
        self._transport.close()


async def engine(found: socket.socket, images: Mapping[str, bytes]) -> None:
    """Until it is ended."""
    loop = asyncio.get_running_loop()
    server = await loop.create_unix_server(lambda: Engine(images), sock=found)
    await server.serve_forever()


def main() -> None:
    """See above."""
    import uvloop

    kind, path, *rest = sys.argv[1:]
    found = listen_at(Path(path))
    if kind == "noop":
        uvloop.run(answer_on(found, noop()))
    else:
        told = json.loads(Path(rest[0]).read_text())
        images = {name: json.dumps(image).encode() for name, image in told.items()}
        uvloop.run(engine(found, images))


if __name__ == "__main__":
    main()
