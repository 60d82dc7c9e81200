"""What others may make the service keep, hold or do at once is bounded."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.contract.index_examples import chains, image
from tests.unit.server.test_routes import REGISTRY, TestClient, World

from layerproof.engine.access import revoke
from layerproof.engine.intake import Accepted
from layerproof.model.access import AccessToken, Role
from layerproof.model.event import Event, EventKind
from layerproof.server.auth import Buckets, Gatekeeper
from layerproof.server.intake import Batches
from layerproof.server.problems import Problem
from layerproof.wiring import SystemClock

NOW = datetime.now(UTC)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def client(world: World) -> Iterator[TestClient]:
    with TestClient(world.app, raise_server_exceptions=False) as found:
        yield found


def known_image(world: World) -> str:
    found = image("ab", reference=f"docker://{REGISTRY}/team/app:1")
    world.index.put_image(found, chains(found), NOW, NOW)
    return str(found.manifest_digest)


def test_a_question_padded_to_a_megabyte_is_answered_and_not_remembered(
    world: World, client: TestClient
) -> None:
    headers, plain = world.headers(Role.VIEWER), json.dumps({"image": known_image(world)})
    decisions = world.app.state.decisions
    for padding in range(3):
        body = plain + " " * (900_000 + padding)
        answer = client.post("/api/v1/decisions", headers=headers, content=body)
        assert answer.status_code == 200, answer.text
    assert not decisions._kept
    client.post("/api/v1/decisions", headers=headers, content=plain)
    assert decisions._bytes == sum(len(k) + len(a.body) for k, (_, a) in decisions._kept.items())
    assert len(decisions._kept) == 1


def test_a_viewer_who_asks_about_ever_other_places_does_not_fill_the_index(
    world: World, client: TestClient
) -> None:
    headers, known = world.headers(Role.VIEWER), known_image(world)
    world.app.state.decisions._records = Buckets(0.001, 2)
    decided = set()
    for number in range(6):
        body = {"image": known, "namespace": f"n{number}"}
        answer = client.post("/api/v1/decisions", headers=headers, json=body)
        assert answer.status_code == 200
        decided.add(answer.json()["decision"])
    assert len(decided) == 1
    assert len(world.index.verdicts_page(10).items) == 2


def test_bodies_of_all_requests_together_are_bounded_and_forgotten(
    world: World, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = world.headers(Role.VIEWER)
    body = json.dumps({"image": known_image(world)})
    monkeypatch.setattr("layerproof.server.app.MOST_HELD", 1000)
    for _ in range(3):
        answer = client.post("/api/v1/decisions", headers=headers, content=body + " " * 1000)
        assert answer.status_code == 503
        assert answer.json()["code"] == "overloaded"
        assert int(answer.headers["retry-after"]) >= 1
    for _ in range(20):  # each of them fits, all of them do not
        assert client.post("/api/v1/decisions", headers=headers, content=body).status_code == 200


def test_whoever_guesses_tokens_asks_the_database_nothing(
    world: World, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = world.headers(Role.VIEWER)
    assert client.get("/api/v1/me", headers=headers).status_code == 200
    read = []
    tokens = world.ledger.tokens
    monkeypatch.setattr(world.ledger, "tokens", lambda: read.append(1) or tokens())
    for number in range(100):
        client.get("/api/v1/me", headers={"Authorization": f"Bearer lp_{number}"})
    assert not read
    assert client.get("/api/v1/me", headers=headers).status_code == 200


def test_a_token_revoked_while_another_thread_looks_it_up_is_refused_from_then_on(
    world: World,
) -> None:
    ledger = world.ledger
    keeper = Gatekeeper(ledger, SystemClock(), requests_per_second=1000)
    authorization = world.headers(Role.VIEWER)["Authorization"]
    mine = next(token for token in ledger.tokens() if token.role is Role.VIEWER)
    old = ledger.access_state()
    read, revoked = ledger.tokens, []

    def slow() -> list[AccessToken]:
        found = read()
        if not revoked:
            revoked.append(mine.id)
            revoke(ledger, mine.id, by="test", now=NOW)
            with pytest.raises(Problem):  # another thread, which knows of it already
                keeper.authenticate(authorization, "", ledger.access_state())
        return found

    ledger.tokens = slow  # type: ignore[method-assign]  # as a thread in the middle of reading
    assert keeper.authenticate(authorization, "", old).name == "viewer"
    with pytest.raises(Problem):
        keeper.authenticate(authorization, "", ledger.access_state())


def test_a_report_that_cannot_be_written_fails_alone() -> None:
    def event(name: str) -> Event:
        return Event(name, EventKind.PULL, NOW, REGISTRY, "team/app")

    def accept(events: Sequence[Event]) -> Accepted:
        if any(found.identity == "poison" for found in events):
            raise ValueError("nothing takes this")
        written.extend(found.identity for found in events)
        return Accepted(len(events), 0)

    async def report() -> list[object]:
        batches = Batches(accept)
        names = ("first", "a", "poison", "b")  # all but the first wait while it is written
        try:
            sent = (batches.accept([event(name)]) for name in names)
            return list(await asyncio.gather(*sent, return_exceptions=True))
        finally:
            batches.close()

    written: list[str] = []
    outcomes = asyncio.run(report())
    assert [isinstance(found, ValueError) for found in outcomes] == [False, False, True, False]
    assert sorted(written) == ["a", "b", "first"]
