"""`layerproof gate docker serve`: the plugin, until a signal ends it."""

import os
import socket
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import uvloop

from layerproof import wiring
from layerproof.config import Settings
from layerproof.gates.docker.calls import Call
from layerproof.gates.docker.plugin import Plugin
from layerproof.model.facts import Context
from layerproof.model.gate import Answer, Question
from layerproof.server import logs
from layerproof.server.gate_host import answer_on, gate_log, gating, listen_at
from layerproof.service_config import ServiceConfig

ENGINE_SECONDS = 5.0  # a name is looked up in no time, or the engine is in trouble


def serve(
    settings: Settings,
    config: ServiceConfig,
    path: Path,
    *,
    host: str = "",
    wait: float = 10.0,
    log_json: bool = True,
) -> int:
    """Listen at `path`; the exit code. `host`: what policies call this machine."""
    logs.configure(as_json=log_json)
    found = listen_at(path)
    name = host or socket.gethostname()
    uvloop.run(_serve(settings, config, found, name, wait))
    path.unlink(missing_ok=True)
    return 0


async def _serve(
    settings: Settings, config: ServiceConfig, found: socket.socket, host: str, wait: float
) -> None:
    engine = wiring.open_async_engine(os.environ, settings, timeout=ENGINE_SECONDS)
    async with gating(settings, config, "docker", readable=_readable, wait=wait) as (
        decider,
        service,
    ):
        with gate_log(config, service.clock) as log:

            def tell(context: Context, call: Call, answer: Answer) -> None:
                log(context, " ".join((call.ruled or call.kind, *call.images)), answer)

            plugin = Plugin(decider, engine, host, tell=tell, metrics=service.metrics.text)
            logs.logger().info("gate open", gate="docker", host=host)
            try:
                await answer_on(found, plugin)
            finally:
                engine.close()


def _readable(question: Question) -> AbstractContextManager[str]:
    """What the engine has is read from the engine."""
    if question.identity is not None:
        return nullcontext(f"docker-daemon:{question.identity}")
    return nullcontext(question.names[0] if question.names else "")
