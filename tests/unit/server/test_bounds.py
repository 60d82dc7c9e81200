"""What others may make the service keep, hold or do at once is bounded."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.contract.index_examples import chains, image
from tests.unit.server.test_routes import REGISTRY, TestClient, World

from layerproof.model.access import Role

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
