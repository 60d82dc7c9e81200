"""`layerproof watch`: the watching of one runtime as a process of its own."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress

from layerproof import wiring
from layerproof.config import Settings
from layerproof.engine.notices import Throttle
from layerproof.errors import QuarantineError
from layerproof.model.gate import Answer, Question
from layerproof.model.running import Running
from layerproof.monitors.interface import Runtime
from layerproof.server import logs
from layerproof.server.gate_host import gating
from layerproof.server.gating import Gating
from layerproof.server.service import Service
from layerproof.server.telling import Telling
from layerproof.server.watching import RECONCILE_SECONDS, Parts, Watching
from layerproof.server.work import environment_of
from layerproof.service_config import ServiceConfig

_LEARN_SECONDS = 120.0
_PULL_SECONDS = 900

States = Sequence[tuple[Running, Answer | None]]


def watch(
    settings: Settings,
    config: ServiceConfig,
    runtime: Runtime,
    *,
    host: str = "",
    every: float = RECONCILE_SECONDS,
    once: bool = False,
    log_json: bool = True,
) -> States:
    """Until a signal ends it, or `once` through everything that runs; what ran at the end."""
    logs.configure(as_json=log_json)
    name = host or socket.gethostname()
    return asyncio.run(_watch(settings, config, runtime, name, every, once=once))


async def _watch(
    settings: Settings,
    config: ServiceConfig,
    runtime: Runtime,
    host: str,
    every: float,
    *,
    once: bool,
) -> States:
    telling = Telling(wiring.open_notifiers(config), Throttle())
    telling.start()
    found: list[Watching] = []

    def readable(question: Question) -> AbstractContextManager[str]:
        return _readable(runtime, found[0], question)

    try:
        async with gating(
            settings, config, f"watch-{runtime.name}", readable=readable, wait=_LEARN_SECONDS
        ) as (decider, service):
            parts = _parts(decider, service, runtime, host, settings, telling)
            watching = Watching(parts, every)
            found.append(watching)
            if once:
                await watching.reconcile()
                await watching.settle()
            else:
                await _until_signalled(watching)
            return watching.seen()
    finally:
        telling.close()


def _parts(
    decider: Gating,
    service: Service,
    runtime: Runtime,
    host: str,
    settings: Settings,
    telling: Telling,
) -> Parts:
    actor = f"watch {runtime.name} on {host}"

    def audit(action: str, target: str, details: dict[str, object], outcome: str) -> None:
        service.audit(
            actor=actor, role="monitor", action=action, target=target, address=host,
            details=details, outcome=outcome,
        )  # fmt: skip

    def pull_aside(running: Running, reason: str) -> None:
        with runtime.readable(running) as name:
            _pull(name, actor, reason, environment_of(settings, 2))

    return Parts(
        runtime=runtime,
        decider=decider,
        index=service.stores.index,
        policy=decider.policy,
        clock=service.clock,
        host=host,
        tell=telling.tell,
        audit=audit,
        pull_aside=pull_aside,
    )


async def _until_signalled(watching: Watching) -> None:
    task = asyncio.create_task(watching.run())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    with suppress(asyncio.CancelledError):
        await task


@contextmanager
def _readable(runtime: Runtime, watching: Watching, question: Question) -> Iterator[str]:
    """From the runtime that runs it."""
    running = next(
        (
            running
            for running, _ in watching.seen()
            if (running.identity, running.top) == (question.identity, question.top)
            or (question.identity is None and running.top == question.top)
        ),
        None,
    )
    if running is None:
        yield ""
        return
    with runtime.readable(running) as name:
        yield name


def _pull(name: str, by: str, reason: str, environment: Mapping[str, str]) -> None:
    """Into quarantine, by a process of its own: the image is hostile. Raises QuarantineError."""
    if not name:
        raise QuarantineError("there is nothing to fetch the image from", where=by)
    command = [sys.executable, "-m", "layerproof.cli.main", "pull", name, "--quiet"]
    command += ["--by", by, "--reason", reason[:300]]
    try:
        done = subprocess.run(
            command,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PULL_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise QuarantineError(f"not pulled: {type(error).__name__}", where=name) from error
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()[:500]
        raise QuarantineError(f"not pulled: {said}", where=name)
