"""A cluster's side of the gate: reviews in, answers out, through the application itself."""

import asyncio
import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from layerproof.engine import gate
from layerproof.errors import SourceError, UnreachableError
from layerproof.gates.kubernetes.app import App
from layerproof.gates.kubernetes.interface import Grant
from layerproof.gates.kubernetes.judge import Judge
from layerproof.gates.kubernetes.settings import KubernetesSettings
from layerproof.model.digest import Digest
from layerproof.model.facts import Context
from layerproof.model.gate import Answer, Cause, Mode, Question
from layerproof.model.reference import Reference, parse_name
from layerproof.model.verdict import Decision, Trust
from layerproof.policy.defaults import DEFAULT_POLICY

NOW = datetime(2026, 11, 28, 3, 0, tzinfo=UTC)
DENIED = "untrusted: layer 2 foreign-executable: /tmp/miner"


def digest_of(name: str) -> Digest:
    return Digest.of(name.encode())


@dataclass
class World:
    """What index and registry say, and what was asked of them."""

    mode: Mode = Mode.ENFORCE
    settings: KubernetesSettings = field(default_factory=KubernetesSettings)
    trusted: set[str] = field(default_factory=lambda: {"good", "base"})
    refused: set[str] = field(default_factory=lambda: {"evil"})
    unreachable: set[str] = field(default_factory=set)
    unavailable: Decision = Decision.REFUSE
    slow: float = 0.0
    now: datetime = NOW
    questions: list[Question] = field(default_factory=list)
    looked_up: list[str] = field(default_factory=list)
    noted: list[tuple[Context, Answer]] = field(default_factory=list)
    grants: list[Grant] = field(default_factory=list)
    used: list[str] = field(default_factory=list)
    moved: dict[str, Digest] = field(default_factory=dict)  # what a tag names instead
    judge: Judge = field(init=False)

    def __post_init__(self) -> None:
        self.judge = Judge(_Decider(self), _Tags(self), _Grants(self), _Clock(self), self.settings)
        self._app = App(self.judge)

    def post(self, path: str, body: bytes) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://gate") as client:
                return await client.post(path, content=body)

        return asyncio.run(ask())

    def validate(self, document: Mapping[str, Any], path: str = "/validate") -> dict[str, Any]:
        """The response of an AdmissionReview that was answered by 200."""
        answer = self.post(path, json.dumps(document).encode())
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()["response"]
        assert found["uid"] == document["request"]["uid"]
        return found

    def allows(self, document: Mapping[str, Any]) -> bool:
        return bool(self.validate(document)["allowed"])

    def patch(self, document: Mapping[str, Any]) -> list[dict[str, str]]:
        """What the mutating webhook changes."""
        response = self.validate(document, "/mutate")
        assert response["allowed"]
        if "patch" not in response:
            return []
        assert response["patchType"] == "JSONPatch"
        found: list[dict[str, str]] = json.loads(base64.b64decode(response["patch"]))
        return found


class _Decider:
    """Images are judged by their repository's last segment; what is in neither set is unknown."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._policy = replace(DEFAULT_POLICY, mode=world.mode)

    async def ask(self, question: Question) -> Answer:
        world = self._world
        world.questions.append(question)
        if world.slow:
            await asyncio.sleep(world.slow)
        name = question.names[0].partition("@")[0].rpartition("/")[2]
        by_digest = {digest_of(n): n for n in world.trusted | world.refused}
        digest = Digest.parse(question.names[0].partition("@")[2])
        name = by_digest.get(digest, name)
        if name in world.trusted:
            return self._answer(Decision.ADMIT, Trust.TRUSTED, "", question)
        if name in world.refused:
            return self._answer(Decision.REFUSE, Trust.UNTRUSTED, DENIED, question)
        return gate.unknown(self._policy, question.names[0], question.context, "index it")

    def _answer(self, decided: Decision, verdict: Trust, reason: str, question: Question) -> Answer:
        mode = self._world.mode
        return Answer(
            gate.with_mode(decided, mode), decided, mode, Cause.VERDICT, reason,
            reference=question.names[0], verdict=verdict, verdict_id="v1",
            manifest_digest=Digest.parse(question.names[0].partition("@")[2]),
            rules=("foreign-executable",) if reason else (),
        )  # fmt: skip

    def unavailable(self, context: Context, reference: str, reason: str, remedy: str) -> Answer:
        decided = self._world.unavailable
        mode = self._world.mode
        decision = gate.with_mode(decided, mode)
        return Answer(decision, decided, mode, Cause.UNAVAILABLE, reason, remedy, reference)

    def forbid(self, context: Context, reason: str, remedy: str, reference: str = "") -> Answer:
        return gate.forbidden(self._policy, context, reason, remedy, reference)

    def call(self, context: Context, kind: str, default: Decision, reason: str) -> Answer:
        raise NotImplementedError

    def note(self, context: Context, answer: Answer) -> None:
        self._world.noted.append((context, answer))


class _Tags:
    def __init__(self, world: World) -> None:
        self._world = world

    async def digest_of(self, reference: Reference) -> Digest:
        world = self._world
        world.looked_up.append(str(reference))
        name = reference.repository.rpartition("/")[2]
        if name in world.unreachable:
            error: SourceError = UnreachableError("no route to host", where=reference.host)
            raise error
        return world.moved.get(f"{name}:{reference.tag}", digest_of(name))


class _Grants:
    def __init__(self, world: World) -> None:
        self._world = world

    async def find(self, namespace: str, image: str) -> Grant | None:
        found = [g for g in self._world.grants if (g.namespace, g.image) == (namespace, image)]
        return found[-1] if found else None

    async def add(self, grant: Grant, target: str) -> None:
        self._world.grants.append(grant)
        self._world.used.append(target)


class _Clock:
    def __init__(self, world: World) -> None:
        self._world = world

    def now(self) -> datetime:
        return self._world.now

    def monotonic(self) -> float:
        return 0.0


def pinned(name: str) -> str:
    """An image by its digest."""
    return f"registry.example/{name}@{digest_of(name)}"


def pod_spec(*images: str, **more: Any) -> dict[str, Any]:
    return {"containers": [{"name": f"c{n}", "image": i} for n, i in enumerate(images)], **more}


def review(spec: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A review of a pod; `more` goes into the request."""
    metadata = more.pop("metadata", {"name": "web"})
    request: dict[str, Any] = {
        "uid": "0c3331b6",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "operation": "CREATE",
        "namespace": "shop",
        "userInfo": {"username": "jane", "groups": ["developers"]},
        "object": None if spec is None else {"metadata": metadata, "spec": dict(spec)},
    }
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {**request, **more},
    }


def update(old: Mapping[str, Any], new: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """A review of a pod that changes."""
    metadata = more.pop("metadata", {"name": "web"})
    before = {"metadata": {"name": "web"}, "spec": dict(old)}
    return review(new, operation="UPDATE", oldObject=before, metadata=metadata, **more)


def of_kind(group: str, kind: str, resource: str) -> dict[str, Any]:
    """For another kind than a pod."""
    return {
        "kind": {"group": group, "version": "v1", "kind": kind},
        "resource": {"group": group, "version": "v1", "resource": resource},
    }


def hours(count: float) -> timedelta:
    return timedelta(hours=count)


__all__ = ["NOW", "World", "digest_of", "hours", "of_kind", "parse_name", "pinned", "pod_spec",
           "review", "update"]  # fmt: skip
