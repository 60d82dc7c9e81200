"""`layerproof gate containerd serve`: the resident side of the verifier, until a signal ends it."""

import asyncio
import signal
import socket
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import uvloop

from layerproof.config import Settings
from layerproof.gates.containerd.verifier import Verifier
from layerproof.model.gate import Question
from layerproof.server import logs
from layerproof.server.gate_host import gate_log, gating, listen_at
from layerproof.service_config import ServiceConfig

WAIT_SECONDS = 7.0  # containerd waits for 10, the verifier for 9
_BUDGET_SECONDS = 3.0


def serve(
    settings: Settings,
    config: ServiceConfig,
    path: Path,
    *,
    host: str = "",
    wait: float = WAIT_SECONDS,
    log_json: bool = True,
) -> int:
    """Listen at `path`; the exit code. `host`: what policies call this machine."""
    logs.configure(as_json=log_json)
    found = listen_at(path)
    uvloop.run(_serve(settings, config, found, host or socket.gethostname(), wait))
    path.unlink(missing_ok=True)
    return 0


async def _serve(
    settings: Settings, config: ServiceConfig, found: socket.socket, host: str, wait: float
) -> None:
    async with gating(
        settings, config, "containerd", readable=_readable, wait=wait, budget=_BUDGET_SECONDS
    ) as (decider, service):
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        with gate_log(config, service.clock) as log:
            verifier = Verifier(decider, host, log)
            server = await asyncio.start_unix_server(verifier.connected, sock=found)
            logs.logger().info("gate open", gate="containerd", host=host)
            await stop.wait()
            server.close()


def _readable(question: Question) -> AbstractContextManager[str]:
    """containerd asks before it fetches: only the registry has it."""
    return nullcontext(question.names[0] if question.names else "")
