"""An engine, an index and the gate between them, in memory: what the engine sends goes in as bytes,
what it would read comes out."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.unit.attacks.world import NOW, World

from layerproof.config import settings
from layerproof.engine.intake import Intake
from layerproof.errors import UnreachableError
from layerproof.gates.docker.plugin import Plugin
from layerproof.model.gate import Tally
from layerproof.policy.defaults import DEFAULT_POLICY
from layerproof.policy.model import Policy
from layerproof.server.decisions import Decisions, Freshness
from layerproof.server.gating import Gating
from layerproof.server.metrics import Metrics
from layerproof.server.service import Service
from layerproof.server.tallies import Tallies
from layerproof.service_config import ServiceConfig
from layerproof.testing.advisories import nothing_known
from layerproof.testing.images import BuiltImage, File, build
from layerproof.testing.ledger import MemoryLedger
from layerproof.testing.queue import MemoryQueue
from layerproof.wiring import Stores

GOOD = build([{"etc/os-release": "ID=test\n"}], user="1000")
EVIL = build([{"bin/login": File(b"#!/bin/sh\nsteal\n", mode=0o755)}], base=GOOD)


class Clock:
    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> Any:
        return self.time

    def monotonic(self) -> float:
        return 0.0


@dataclass
class FakeEngine:
    """What an engine has under names. `gone`: it does not answer."""

    images: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    containers: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    gone: bool = False

    def put(self, name: str, built: BuiltImage, repo_digests: tuple[str, ...] = ()) -> None:
        told = {
            "Id": str(built.config_digest),
            "RepoDigests": list(repo_digests),
            "RootFS": {"Type": "layers", "Layers": [str(d) for d in built.diff_ids]},
        }
        self.images[name] = self.images[str(built.config_digest)] = told

    async def image(self, name: str) -> Mapping[str, Any] | None:
        if self.gone:
            raise UnreachableError("the Docker Engine does not answer", where="test")
        return self.images.get(name)

    async def container(self, name: str) -> Mapping[str, Any] | None:
        if self.gone:
            raise UnreachableError("the Docker Engine does not answer", where="test")
        return self.containers.get(name)


class GateWorld:
    """`good` and `evil` are there, indexed; only the first is trusted."""

    def __init__(self, folder: Path, policy: Policy = DEFAULT_POLICY) -> None:
        self.world = World()
        self.clock = Clock()
        self.policy = policy
        self.ledger = MemoryLedger()
        self.engine = FakeEngine()
        self.world.trust(GOOD, "docker://registry.example/good:1")
        self.world.read(EVIL, "docker://registry.example/evil:1")
        for name, built in (("good", GOOD), ("evil", EVIL)):
            self.engine.put(name, built)
        queue = MemoryQueue(self.clock)
        self.service = Service(
            settings=settings({"LAYERPROOF_INDEX": str(folder / "index.db")}),
            config=ServiceConfig(),
            stores=Stores(self.world.index, self.ledger, queue),
            intake=Intake(self.world.index, queue, self.clock),
            clock=self.clock,
            metrics=Metrics(),
            load_policy=lambda: self.policy,
            load_advisories=lambda: nothing_known(NOW),
        )
        self.kept = folder / "kept.policy"

    def ask(self, *requests: Mapping[str, Any] | bytes) -> list[dict[str, Any]]:
        """The gate's answers to what the engine sends, one after the other."""
        return asyncio.run(self._ask(requests))

    def one(self, method: str, uri: str, body: object = None, **more: Any) -> dict[str, Any]:
        """The answer to one request. `body`: an object, or the very bytes."""
        return self.ask(request(method, uri, body, **more))[0]

    def refuses(self, method: str, uri: str, body: object = None, **more: Any) -> str:
        """Why it is refused; fails if it is not."""
        answer = self.one(method, uri, body, **more)
        assert answer["Allow"] is False, answer
        assert not answer.get("Err")
        text: str = answer["Msg"]
        return text

    def admits(self, method: str, uri: str, body: object = None, **more: Any) -> None:
        answer = self.one(method, uri, body, **more)
        assert answer == {"Allow": True}, answer

    def tallies(self) -> list[Tally]:
        return self.ledger.tallies()

    async def _ask(self, requests: Any) -> list[dict[str, Any]]:
        freshness, decisions = Freshness(reading(self.service)), Decisions(self.service, 2)
        tallies = Tallies(self.ledger.add_tallies, self.clock)
        gating = Gating(self.service, freshness, decisions, tallies, kept=self.kept)
        gating.policy()
        plugin = Plugin(gating, self.engine, "node-1")
        try:
            return [await _through(plugin, item) for item in requests]
        finally:
            tallies.close()
            decisions.close()


def reading(service: Service) -> Callable[[], Awaitable[Any]]:
    """The stamp, as it is read on an event loop."""

    async def read() -> Any:
        return service.stamp()

    return read


def request(
    method: str, uri: str, body: object = None, headers: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """As the engine sends it: fields that are empty are left out."""
    data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    kind = {"Content-Type": "application/json"} if data else {}
    told: dict[str, Any] = {
        "RequestMethod": method,
        "RequestUri": uri,
        "RequestHeaders": kind if headers is None else dict(headers),
    }
    if data:
        told["RequestBody"] = base64.b64encode(data).decode()
    return told


async def _through(plugin: Plugin, told: Any) -> dict[str, Any]:
    data = told if isinstance(told, bytes) else json.dumps(told).encode()
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": data}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "path": "/AuthZPlugin.AuthZReq"}
    await plugin(scope, receive, send)
    answer: dict[str, Any] = json.loads(sent[1]["body"])
    return answer
