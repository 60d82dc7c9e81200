"""A gate as a process of its own: what it decides with, and the socket that it listens on."""

import asyncio
import os
import signal
import socket
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import (
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
    nullcontext,
    suppress,
)
from pathlib import Path
from typing import Any

import uvicorn

from layerproof import wiring
from layerproof.config import Settings
from layerproof.engine.notices import Throttle
from layerproof.engine.ports import Clock
from layerproof.errors import UsageError
from layerproof.model.facts import Context
from layerproof.model.gate import Answer, Mode, Question
from layerproof.server import logs
from layerproof.server.decisions import Decisions, Freshness
from layerproof.server.gating import BUDGET_SECONDS, Gating
from layerproof.server.learner import Learner
from layerproof.server.run import make_service
from layerproof.server.service import Service, stamps
from layerproof.server.tallies import Tallies
from layerproof.server.telling import Telling, at_a_gate
from layerproof.server.work import environment_of
from layerproof.service_config import ServiceConfig

BACKLOG = 1024
LOOK_SECONDS = 1.0


@asynccontextmanager
async def gating(
    settings: Settings,
    config: ServiceConfig,
    gate: str,
    *,
    readable: Callable[[Question], AbstractContextManager[str]] = lambda _: nullcontext(""),
    wait: float = 10.0,
    budget: float = BUDGET_SECONDS,
) -> AsyncIterator[tuple[Gating, Service]]:
    """What answers a gate's questions, on connections of its own. `readable` and `wait`: by
    which reference images that the index does not know are read, and how long a question waits."""
    stores = wiring.open_stores(settings)
    service = make_service(settings, config, stores)
    freshness, decisions = Freshness(stamps(settings)), Decisions(service)
    tallies = Tallies(stores.ledger.add_tallies, service.clock)
    learner = Learner(environment_of(settings, 2), readable, wait)
    found = Gating(
        service,
        freshness,
        decisions,
        tallies,
        budget=budget,
        kept=settings.index.with_name(f"gate-{gate}.policy"),
        learn=learner,
    )
    tallies.start()
    await asyncio.to_thread(found.policy)
    looking = asyncio.create_task(_look(found))
    try:
        yield found, service
    finally:
        looking.cancel()
        await learner.close()
        tallies.close()
        decisions.close()
        stores.close()


@contextmanager
def gate_log(
    config: ServiceConfig, clock: Clock
) -> Iterator[Callable[[Context, str, Answer], None]]:
    """What hears of a gate's answers: the log all of them, whoever is to be told those that count
    (in the mode `observe` nobody)."""
    telling = Telling(wiring.open_notifiers(config), Throttle())
    telling.start()

    def tell(context: Context, what: str, answer: Answer) -> None:
        logs.logger().warning(
            "gate",
            gate=context.gate,
            asked=what,
            image=answer.reference,
            decision=str(answer.decision),
            decided=str(answer.decided),
            mode=str(answer.mode),
            cause=str(answer.cause),
            reason=answer.reason,
        )
        if answer.mode is not Mode.OBSERVE:
            telling.tell(at_a_gate(context, what, answer, clock.now()))

    try:
        yield tell
    finally:
        telling.close()


async def _look(found: Gating) -> None:
    """Calls that name no image are answered by the policy of a second ago."""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        await asyncio.to_thread(found.policy)


def listen_at(path: Path) -> socket.socket:
    """A Unix socket that only its owner may use. One that nobody listens on any more is replaced;
    the path never names a half-made one. Raises UsageError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not stat.S_ISSOCK(path.stat().st_mode):
            raise UsageError("there is something else", where=str(path), remedy="name another path")
        if _answers(path):
            raise UsageError(
                "somebody listens there already", where=str(path), remedy="end it first"
            )
        made = path.with_name(f".{path.name}.{os.getpid()}")
        found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with suppress(FileNotFoundError):
            made.unlink()
        before = os.umask(0o177)
        try:
            found.bind(str(made))
        finally:
            os.umask(before)
        found.listen(BACKLOG)
        os.replace(made, path)
    except OSError as error:
        raise UsageError(
            f"cannot listen there: {error.strerror or error}",
            where=str(path),
            remedy="run as root, or name a path in a folder of your own",
        ) from error
    return found


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True


async def answer_on(found: socket.socket, application: Any) -> None:
    """Until a signal ends it."""
    config = uvicorn.Config(
        application,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        lifespan="on",
        timeout_keep_alive=300,
        timeout_graceful_shutdown=10,
        backlog=BACKLOG,
    )
    # At its end uvicorn raises the signal again, which must not cut off what is left to be done.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    await uvicorn.Server(config).serve([found])
