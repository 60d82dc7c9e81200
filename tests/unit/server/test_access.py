"""Tokens over HTTP: limits that no header gets around, rotation, expiry; changes are audited."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from tests.contract.index_examples import chains, image, withdrawal
from tests.unit.server.test_routes import DIGEST, REGISTRY, TestClient, World, operations

from layerproof.engine.access import issue
from layerproof.errors import AccessError, IndexUnavailableError
from layerproof.model.access import Role
from layerproof.server.app import make_app
from layerproof.server.auth import WRONG_PER_MINUTE, Buckets, Principal
from layerproof.server.routes._common import audited
from layerproof.testing.ledger import MemoryLedger

SPOOFED = ("X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Client-IP", "True-Client-IP")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def client(world: World) -> Iterator[TestClient]:
    with TestClient(world.app, raise_server_exceptions=False) as found:
        yield found


def limited(world: World, per_second: int) -> TestClient:
    service = world.app.state.service
    service.config = replace(service.config, requests_per_second=per_second)
    return TestClient(make_app(service), raise_server_exceptions=False)


def spoofed(number: int) -> dict[str, str]:
    return dict.fromkeys(SPOOFED, f"198.51.100.{number % 250}")


def test_a_caller_who_asks_too_often_waits_whatever_his_headers_say_and_others_do_not(
    world: World,
) -> None:
    with limited(world, 1) as client:
        viewer, admin = world.headers(Role.VIEWER), world.headers(Role.ADMIN)
        answers = [
            client.get("/api/v1/me", headers={**viewer, **spoofed(number)}) for number in range(40)
        ]
        assert [answer.status_code for answer in answers[:10]] == [200] * 10
        last = answers[-1]
        assert last.status_code == 429
        assert last.headers["content-type"] == "application/problem+json"
        assert int(last.headers["retry-after"]) >= 1
        assert client.get("/api/v1/me", headers=admin).status_code == 200
        decision = client.post("/api/v1/decisions", headers=viewer, json={"image": DIGEST})
        assert decision.status_code == 429


def test_what_is_forbidden_counts_too(world: World) -> None:
    with limited(world, 1) as client:
        headers = world.headers(Role.VIEWER)
        codes = [client.get("/api/v1/tokens", headers=headers).status_code for _ in range(40)]
    assert (codes[0], codes[-1]) == (403, 429)


def test_guessing_is_slowed_down_whatever_the_headers_say(client: TestClient) -> None:
    codes = [
        client.get(
            "/api/v1/me", headers={"Authorization": f"Bearer lp_{number}", **spoofed(number)}
        ).status_code
        for number in range(2 * WRONG_PER_MINUTE)
    ]
    assert codes.count(401) <= WRONG_PER_MINUTE + 2
    assert codes[-1] == 429


def test_whoever_guesses_does_not_lock_out_who_knows(world: World, client: TestClient) -> None:
    for number in range(2 * WRONG_PER_MINUTE):
        client.get("/api/v1/me", headers={"Authorization": f"Bearer lp_{number}"})
    assert client.get("/api/v1/me", headers=world.headers(Role.VIEWER)).status_code == 200


def test_buckets_forget_the_oldest_and_fill_again() -> None:
    buckets = Buckets(per_second=1000, burst=1)
    assert buckets.take("a") == 0
    wait = buckets.take("a")
    assert 0 < wait <= 0.001


def test_a_token_is_rotated_and_the_old_one_ends(world: World, client: TestClient) -> None:
    admin = world.headers(Role.ADMIN)
    made = client.post("/api/v1/tokens", headers=admin, json={"name": "ci", "role": "viewer"})
    old = {"Authorization": f"Bearer {made.json()['token']}"}
    where = f"/api/v1/tokens/{made.json()['id']}/rotate"
    kept = client.post(where, headers=admin, json={"graceHours": 1})
    assert kept.status_code == 201
    new = {"Authorization": f"Bearer {kept.json()['token']}"}
    assert [client.get("/api/v1/me", headers=h).status_code for h in (old, new)] == [200, 200]
    where = f"/api/v1/tokens/{kept.json()['id']}/rotate"
    newest = client.post(where, headers=admin, json={"graceHours": 0})
    last = {"Authorization": f"Bearer {newest.json()['token']}"}
    assert [client.get("/api/v1/me", headers=h).status_code for h in (new, last)] == [401, 200]
    assert client.post(where, headers=admin, json={"graceHours": 0}).status_code == 422


def test_a_token_that_ended_is_refused_even_if_it_was_known(
    world: World, client: TestClient
) -> None:
    headers = world.headers(Role.VIEWER)
    assert client.get("/api/v1/me", headers=headers).status_code == 200
    keeper = world.app.state.gatekeeper

    class Later:
        def now(self) -> datetime:
            return datetime.now(UTC) + timedelta(days=2)

        def monotonic(self) -> float:
            return 0.0

    keeper._clock = Later()
    assert client.get("/api/v1/me", headers=headers).status_code == 401


@pytest.mark.parametrize(
    "registry", ["registry", "https://registry.example", "a b", "r.example/x", "a@r.example", "*"]
)
def test_a_notifier_of_what_is_no_registry_is_not_made(registry: str) -> None:
    with pytest.raises(AccessError):
        issue(
            MemoryLedger(),
            name="n",
            role=Role.NOTIFIER,
            by="test",
            now=datetime.now(UTC),
            days=1,
            random=bytes(38),
            registry=registry,
        )


NOW = datetime.now(UTC)
POLICY = "apiVersion: layerproof/v1\nkind: Policy\n"
EXCEPTION = {
    "images": ["registry.example/team/app"],
    "rules": ["secret"],
    "reason": "test key",
    "owner": "team",
    "until": (NOW + timedelta(days=9)).date().isoformat(),
}


def test_every_change_that_is_made_stands_in_the_audit_with_who_and_whence(
    world: World, client: TestClient
) -> None:
    admin = world.headers(Role.ADMIN)
    done: set[tuple[str, str]] = set()

    def ask(method: str, path: str, route: str, body: Any = None) -> Any:
        before = len(world.ledger.audit(500).items)
        answer = client.request(method, f"/api/v1{path}", headers=admin, json=body)
        assert answer.status_code < 300, (method, path, answer.text)
        records = world.ledger.audit(500).items
        assert len(records) == before + 2, (method, path)
        ended, begun = records[:2]
        assert (begun.outcome, ended.outcome) == ("begun", "done")
        assert begun.action == ended.action
        for record in (begun, ended):
            assert (record.actor, record.role) == ("admin", "admin")
            assert record.address == "testclient"
            assert record.details["request"] == answer.headers["x-request-id"]
        done.add((method, f"/api/v1{route}"))
        return answer.json()

    token = ask("POST", "/tokens", "/tokens", {"name": "a", "role": "viewer"})
    where = f"/tokens/{token['id']}"
    new = ask("POST", f"{where}/rotate", "/tokens/{identity}/rotate", {"graceHours": 0})
    ask("DELETE", f"/tokens/{new['id']}", "/tokens/{identity}")
    ask("PUT", "/policy", "/policy", {"text": POLICY, "reason": "why"})
    ask("POST", "/images", "/images", {"reference": f"docker://{REGISTRY}/team/app:1"})
    job = world.queue.page(1).items[0]
    ask("POST", f"/jobs/{job.id}/cancel", "/jobs/{identity}/cancel")
    report = {"id": "1", "event": "start", "at": datetime.now(UTC).isoformat()}
    ask("POST", "/events", "/events", {"events": [report]})
    found = image("ab", reference=f"docker://{REGISTRY}/team/base:1")
    world.index.put_image(found, chains(found), NOW, NOW)
    trusted = ask("POST", "/trust", "/trust", {"image": found.manifest_digest, "reason": "base"})
    because = {"reason": "why"}
    ask("POST", f"/trust/{trusted['id']}/revoke", "/trust/{identity}/revoke", because)
    made = ask("POST", "/exceptions", "/exceptions", EXCEPTION)
    ask("POST", f"/exceptions/{made['id']}/end", "/exceptions/{identity}/end")
    pulled = {"reference": f"docker://{REGISTRY}/team/app:1", "reason": "why"}
    ask("POST", "/quarantine", "/quarantine", pulled)
    world.index.put_withdrawals([withdrawal("abcdef0123")])
    where = "/quarantine/abcdef0123/release"
    ask("POST", where, "/quarantine/{identity}/release", because)
    changing = {(method, path) for method, path in operations(world.app) if method != "GET"}
    assert done == changing - READING


def test_a_change_that_the_service_did_not_survive_stands_in_the_audit_as_begun(
    world: World,
) -> None:
    class Killed(BaseException):
        """As by a signal: nothing more is written."""

    scope = {"type": "http", "headers": [], "client": ("a", 1), "state": {"identity": "1f"}}
    who = Principal("alice", Role.OPERATOR)
    with (
        suppress(Killed),
        audited(world.app.state.service, Request(scope), who, "trust.add", "app", reason="why"),
    ):
        raise Killed
    (record,) = world.ledger.audit(9).items
    assert (record.actor, record.action, record.outcome) == ("alice", "trust.add", "begun")
    assert record.details == {"reason": "why", "request": "1f"}


def test_a_change_that_failed_stands_in_the_audit_with_why(
    world: World, client: TestClient
) -> None:
    admin = world.headers(Role.ADMIN)
    for _ in range(2):
        client.post("/api/v1/tokens", headers=admin, json={"name": "a", "role": "viewer"})
    outcomes = [record.outcome for record in world.ledger.audit(9).items]
    assert outcomes[1:] == ["begun", "done", "begun"]
    assert outcomes[0] not in ("begun", "done")


def test_nothing_is_changed_where_the_audit_cannot_be_written(
    world: World, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: object) -> None:
        raise IndexUnavailableError("the disk is full")

    monkeypatch.setattr(world.ledger, "add_audit", full)
    admin = world.headers(Role.ADMIN)
    put = {"text": POLICY, "reason": "why"}
    assert client.post("/api/v1/exceptions", headers=admin, json=EXCEPTION).status_code == 503
    assert client.put("/api/v1/policy", headers=admin, json=put).status_code == 503
    assert not world.ledger.exceptions()
    assert not world.ledger.policies()


READING = {
    ("HEAD", "/api/v1/openapi.json"),
    ("POST", "/api/v1/decisions"),
    ("POST", "/api/v1/policy/check"),
    ("POST", "/api/v1/notifications"),  # each becomes an event, which says who told it
}


def test_an_event_that_an_operator_reports_cannot_take_the_place_of_another_ones(
    world: World, client: TestClient
) -> None:
    """Names and ids are free texts: `a b` + `c` must not be `a` + `b c`."""
    admin = world.headers(Role.ADMIN)
    for name, identity in (("a b", "c"), ("a", "b c")):
        body = {"name": name, "role": "operator"}
        made = client.post("/api/v1/tokens", headers=admin, json=body).json()
        report = {"id": identity, "event": "start", "at": datetime.now(UTC).isoformat()}
        answer = client.post(
            "/api/v1/events",
            headers={"Authorization": f"Bearer {made['token']}"},
            json={"events": [report]},
        )
        assert answer.json()["newEvents"] == 1
    assert len(list(world.index.events())) == 2


def test_no_log_line_holds_a_token_or_a_body(
    world: World, client: TestClient, capfd: pytest.CaptureFixture[str]
) -> None:
    secret = "hunter2-hunter2"
    admin = world.headers(Role.ADMIN)
    made = client.post("/api/v1/tokens", headers=admin, json={"name": "a", "role": "viewer"})
    client.post("/api/v1/tokens", headers=admin, json={"name": secret, "role": secret})
    client.post("/api/v1/images", headers=admin, json={"reference": f"docker://u:{secret}@r.x/a"})
    client.get(f"/api/v1/{secret}?token={secret}", headers=admin)
    client.get("/api/v1/me", headers={"Authorization": f"Bearer {secret}"})
    client.get("/api/v1/me", headers={"Authorization": f"Basic {secret}"})
    client.post("/api/v1/notifications", headers=admin, content=secret.encode())
    told = "".join(capfd.readouterr())
    assert "status" in told
    assert secret not in told
    assert made.json()["token"] not in told
    for token in world.tokens.values():
        assert token not in told
