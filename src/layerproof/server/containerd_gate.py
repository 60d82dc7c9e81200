"""`layerproof gate containerd serve`: the resident side of the verifier, until a signal ends it."""

import asyncio
import signal
import socket
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from layerproof.config import Settings
from layerproof.gates.containerd.verifier import Verifier
from layerproof.model.facts import Context
from layerproof.model.gate import Answer, Question
from layerproof.server import logs
from layerproof.server.gate_host import gating, listen_at
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
    asyncio.run(_serve(settings, config, found, host or socket.gethostname(), wait))
    path.unlink(missing_ok=True)
    return 0


async def _serve(
    settings: Settings, config: ServiceConfig, found: socket.socket, host: str, wait: float
) -> None:
    async with gating(
        settings, config, "containerd", readable=_readable, wait=wait, budget=_BUDGET_SECONDS
    ) as (decider, _):
        verifier = Verifier(decider, host, _tell)
        server = await asyncio.start_unix_server(verifier.connected, sock=found)
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        logs.logger().info("gate open", gate="containerd", host=host)
        await stop.wait()
        server.close()


def _readable(question: Question) -> AbstractContextManager[str]:
    """containerd asks before it fetches: only the registry has it."""
    return nullcontext(question.names[0] if question.names else "")


def _tell(context: Context, name: str, answer: Answer) -> None:
    logs.logger().warning(
        "gate",
        gate=context.gate,
        image=name,
        decision=str(answer.decision),
        decided=str(answer.decided),
        mode=str(answer.mode),
        cause=str(answer.cause),
        reason=answer.reason,
    )
