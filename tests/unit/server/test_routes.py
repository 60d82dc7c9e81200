"""Every route has its role, and nobody gets by without it. On the fakes, without a socket."""

import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from layerproof.config import settings
from layerproof.engine.access import ID_BYTES, SECRET_BYTES, issue
from layerproof.engine.intake import Intake
from layerproof.model.access import Role, allows
from layerproof.policy.defaults import DEFAULT_POLICY
from layerproof.server.app import make_app
from layerproof.server.metrics import Metrics
from layerproof.server.routes import decisions, notifications
from layerproof.server.service import Service
from layerproof.service_config import ServiceConfig
from layerproof.testing.index import MemoryIndex
from layerproof.testing.ledger import MemoryLedger
from layerproof.testing.queue import MemoryQueue
from layerproof.wiring import Stores, SystemClock

with warnings.catch_warnings():
    # because it prefers a newer client than the one that we use
    warnings.simplefilter("ignore")
    from fastapi.testclient import TestClient

REGISTRY = "registry.example"
DIGEST = "sha256:" + "a" * 64
PUBLIC = {("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/api/v1/openapi.json"),
          ("HEAD", "/api/v1/openapi.json")}  # fmt: skip


class World:
    """A service on fakes, with a token of each role."""

    def __init__(self, folder: Path, config: ServiceConfig | None = None) -> None:
        clock = SystemClock()
        index, ledger, queue = MemoryIndex(), MemoryLedger(), MemoryQueue(clock)
        self.index, self.ledger, self.queue = index, ledger, queue
        service = Service(
            settings=settings({"LAYERPROOF_INDEX": str(folder / "index.db")}),
            config=config or ServiceConfig(),
            stores=Stores(index, ledger, queue),
            intake=Intake(index, queue, clock),
            clock=clock,
            metrics=Metrics(),
            load_policy=lambda: DEFAULT_POLICY,
            load_advisories=lambda: None,
        )
        self.app: FastAPI = make_app(service)
        self.tokens = {
            role: issue(
                ledger,
                name=str(role),
                role=role,
                by="test",
                now=clock.now(),
                days=1,
                random=bytes([number]) * (ID_BYTES + SECRET_BYTES),
                registry=REGISTRY if role is Role.NOTIFIER else "",
            ).text
            for number, role in enumerate(Role, 1)
        }

    def headers(self, role: Role) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens[role]}"}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def client(world: World) -> Iterator[TestClient]:
    with TestClient(world.app, raise_server_exceptions=False) as found:
        yield found


def operations(app: FastAPI) -> list[tuple[str, str]]:
    """Method and path of everything that the OpenAPI document describes."""
    return sorted(
        (method.upper(), path) for path, item in app.openapi()["paths"].items() for method in item
    )


def filled(path: str) -> str:
    return path.replace("{digest}", DIGEST).replace("{identity}", "12345678")


def test_no_route_answers_without_a_token_but_those_that_are_public(
    world: World, client: TestClient
) -> None:
    found = operations(world.app)
    assert len(found) > 35
    for method, path in found:
        answer = client.request(method, filled(path))
        expected = {200} if (method, path) in PUBLIC else {401}
        assert answer.status_code in expected, (method, path, answer.status_code)


def test_every_route_of_the_application_is_described(world: World) -> None:
    described = set(operations(world.app)) | PUBLIC
    for route in _routes(world.app):
        for method in route.methods or ():
            assert (method, route.path) in described or method == "HEAD", route.path


@pytest.mark.parametrize("path", ["/images", "/quarantine"])
@pytest.mark.parametrize(
    ("reference", "status"),
    [
        ("docker://registry.example/team/app:1", 202),
        ("registry.example/team/app@" + DIGEST, 202),
        ("docker://169.254.169.254:80/latest/meta-data:1", 403),
        ("docker://registry.example:5000/team/app:1", 403),
        ("docker://registry.example.evil.example/team/app:1", 403),
        ("alpine", 403),
    ],
)
def test_an_operator_sends_the_service_to_no_registry_that_is_not_allowed(
    tmp_path: Path, path: str, reference: str, status: int
) -> None:
    world = World(tmp_path, ServiceConfig(allowed_registries=frozenset({REGISTRY})))
    with TestClient(world.app) as client:
        answer = client.post(
            f"/api/v1{path}", json={"reference": reference}, headers=world.headers(Role.OPERATOR)
        )
    assert answer.status_code == status, answer.text
    assert bool(world.queue.counts()) is (status == 202)
    if status == 403:
        assert answer.json()["code"] == "registry-not-allowed"


@pytest.mark.parametrize("role", list(Role))
def test_no_role_may_do_what_needs_another(world: World, client: TestClient, role: Role) -> None:
    needed = _needed(world.app)
    for method, path in operations(world.app):
        if (method, path) in PUBLIC:
            continue
        answer = client.request(method, filled(path), headers=world.headers(role))
        refused = answer.status_code == 403
        assert refused != allows(role, needed[method, path]), (method, path, answer.text)


def test_a_token_that_was_revoked_is_refused_at_once(world: World, client: TestClient) -> None:
    headers = world.headers(Role.VIEWER)
    assert client.get("/api/v1/me", headers=headers).status_code == 200
    identity = next(t.id for t in world.ledger.tokens() if t.name == "viewer")
    admin = world.headers(Role.ADMIN)
    assert client.delete(f"/api/v1/tokens/{identity}", headers=admin).status_code == 200
    assert client.get("/api/v1/me", headers=headers).status_code == 401
    body = {"image": DIGEST}
    assert client.post("/api/v1/decisions", headers=headers, json=body).status_code == 401


def test_a_path_that_is_none_of_ours_is_not_redirected_to_whom_the_host_header_names(
    world: World, client: TestClient
) -> None:
    headers = {**world.headers(Role.VIEWER), "Host": "attacker.example"}
    for method, path in (("POST", "/api/v1/decisions/"), ("GET", "/api/v1/me/")):
        answer = client.request(method, path, headers=headers, follow_redirects=False)
        assert answer.status_code == 404, path
        assert "location" not in answer.headers


def test_guessing_tokens_is_slowed_down(client: TestClient) -> None:
    codes = [
        client.get("/api/v1/me", headers={"Authorization": f"Bearer lp_{number}"}).status_code
        for number in range(40)
    ]
    assert codes[0] == 401
    assert codes[-1] == 429


def test_a_change_stands_in_the_audit_and_its_token_does_not(
    world: World, client: TestClient
) -> None:
    admin = world.headers(Role.ADMIN)
    body = {"name": "ci", "role": "viewer"}
    made = client.post("/api/v1/tokens", headers=admin, json=body).json()
    audit = client.get("/api/v1/audit", headers=admin)
    assert audit.json()["items"][0]["action"] == "token.make"
    assert made["token"] not in audit.text
    listed = client.get("/api/v1/tokens", headers=admin)
    assert made["token"] not in listed.text


def notification(**changes: Any) -> dict[str, Any]:
    event = {
        "id": "1",
        "timestamp": datetime.now(UTC).isoformat(),
        "action": "push",
        "target": {
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": DIGEST,
            "repository": "team/app",
            "tag": "v1",
        },
        "request": {"addr": "192.0.2.1:1234", "host": "elsewhere.example"},
        "actor": {"name": "alice"},
    }
    return {"events": [{**event, **changes}]}


def notify(world: World, client: TestClient, document: Any) -> int:
    answer = client.post(
        "/api/v1/notifications", headers=world.headers(Role.NOTIFIER), json=document
    )
    return answer.status_code


def test_a_push_becomes_one_event_and_one_job_however_often_it_is_told(
    world: World, client: TestClient
) -> None:
    for _ in range(3):
        assert notify(world, client, notification()) == 202
    assert len(list(world.index.events())) == 1
    assert [job.key for job in world.queue.page(9).items] == [
        f"index docker://{REGISTRY}/team/app:v1@{DIGEST}"
    ]


def test_a_notifier_speaks_for_its_own_registry_only(world: World, client: TestClient) -> None:
    assert notify(world, client, notification()) == 202
    (event,) = world.index.events()
    assert event.registry == REGISTRY


@pytest.mark.parametrize(
    "document",
    [
        {},
        [],
        {"events": "x"},
        {"events": [1]},
        notification(timestamp="yesterday"),
        notification(target={"mediaType": "application/vnd.oci.image.manifest.v1+json",
                             "digest": "sha256:zz"}),
        notification(actor={"name": "a\nb"}),
        notification(actor={"name": "x" * 5000}),
    ],
)  # fmt: skip
def test_a_malformed_notification_is_refused_whole(
    world: World, client: TestClient, document: Any
) -> None:
    assert notify(world, client, document) == 400
    assert list(world.index.events()) == []
    assert world.queue.page(9).items == ()


def test_an_oversized_notification_is_refused_unread(world: World, client: TestClient) -> None:
    answer = client.post(
        "/api/v1/notifications",
        headers={**world.headers(Role.NOTIFIER), "Content-Type": "application/json"},
        content=iter([b"x" * (1 << 20)] * 17),
    )
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"


def test_an_unknown_image_is_not_decided_on(world: World, client: TestClient) -> None:
    answer = client.post(
        "/api/v1/decisions", headers=world.headers(Role.VIEWER), json={"image": DIGEST}
    )
    assert answer.status_code == 404
    assert answer.json()["code"] == "not-found"


def _routes(app: FastAPI) -> list[Any]:
    found: list[Any] = []
    pending: list[Any] = list(app.routes)
    while pending:
        route = pending.pop()
        if hasattr(route, "methods"):
            found.append(route)
        pending += getattr(route, "routes", None) or []
    return found


def _needed(app: FastAPI) -> dict[tuple[str, str], Role]:
    """The role that each operation asks for, by what a caller of the lowest role is told."""
    needed = {("POST", module.PATH): module.ROLE for module in (decisions, notifications)}
    for method, path in operations(app):
        needed.setdefault((method, path), EXPECTED.get((method, path), _default(method, path)))
    return needed


def _default(method: str, path: str) -> Role:
    if path.startswith(("/api/v1/tokens", "/api/v1/audit")):
        return Role.ADMIN
    return Role.VIEWER if method == "GET" else Role.OPERATOR


# What differs from "reading needs a viewer, changing an operator".
EXPECTED = {
    ("PUT", "/api/v1/policy"): Role.ADMIN,
    ("POST", "/api/v1/policy/check"): Role.VIEWER,
}
