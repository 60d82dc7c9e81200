"""`layerproof learn`: from an empty index to a model in use, and to a trusted image."""

import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from tests.unit.learning.organisation import REGISTRY, START, Organisation

from layerproof.cli.main import run
from layerproof.model.event import Event
from layerproof.report.output_schema import output_schema
from layerproof.store.index import SqlIndex
from layerproof.store.sqlite import SqliteExecutor

DAYS = 110


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index on disk, with two months that end today."""
    file = tmp_path_factory.mktemp("learn") / "index.db"
    made = Organisation()
    made.live(DAYS, teams=3)
    shift = datetime.now(UTC) - (START + timedelta(days=DAYS))
    target = SqlIndex(SqliteExecutor(file))
    for row in made.index._contents.values():
        target.put_contents(row, None)
    chains = made.index._chains
    for record in made.index.images():
        mine = [chains[la.chain_id] for la in record.image.layers]
        target.put_image(record.image, mine, record.indexed_at + shift)
    target.put_events([moved(event, shift) for event in made.events])
    target.close()
    return file


def moved(event: Event, shift: timedelta) -> Event:
    from dataclasses import replace

    return replace(event, at=event.at + shift)


def learn(index: Path, capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert run(["learn", *arguments, "--index", str(index)]) == code
    said = capsys.readouterr()
    return said.out + said.err


def test_a_fresh_installation_has_no_model_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fresh = tmp_path / "fresh.db"
    assert "abstains" in learn(fresh, capsys, "status")
    assert "not enough history" in learn(fresh, capsys, "train", code=2)
    assert "no challenger" in learn(fresh, capsys, "promote", code=3)


def test_from_training_to_a_suggestion_that_somebody_approves(
    index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card = tmp_path / "card.md"
    said = learn(index, capsys, "train", "--seed", "1", "--rate", "0.04", "--card", str(card))
    assert "in the shadow" in said
    assert "What it cannot do" in card.read_text()
    status = json.loads(learn(index, capsys, "status", "--output", "json"))
    _check_schema(status)
    assert status["champion"] is None
    assert status["challenger"]["model"].startswith("sha256:")
    learn(index, capsys, "promote", "--by", "alice", "--despite", "a test")
    assert "champion: sha256:" in learn(index, capsys, "status")
    learn(index, capsys, "refresh")
    one = f"docker://{REGISTRY}/team0/app1"
    found = SqlIndex(SqliteExecutor(index))
    image = next(r.image for r in found.images() if r.image.reference.startswith(one))
    found.close()
    text = learn(index, capsys, "explain", image.reference, "--offline")
    assert "in all" in text
    document = json.loads(
        learn(index, capsys, "explain", image.reference, "--offline", "--output", "json")
    )
    _check_schema(document)
    for part in document["parts"]:
        total = part["constant"] + sum(c["contribution"] for c in part["contributions"])
        assert total == pytest.approx(part["raw"], abs=1e-6)
    waiting = json_lines(index, capsys, "suggestions")
    assert len(waiting) > 1
    first, second = waiting[0], waiting[1]
    assert first["state"] == "waiting"
    assert "trusted" in learn(index, capsys, "approve", first["id"], "-r", "looked at it")
    assert "no suggestion" in learn(index, capsys, "approve", first["id"], "-r", "x", code=2)
    assert "dismissed" in learn(index, capsys, "dismiss", second["id"], "-r", "not ours")
    learn(index, capsys, "refresh")
    left = {item["id"] for item in json_lines(index, capsys, "suggestions")}
    assert left.isdisjoint((first["id"], second["id"]))
    kept = SqlIndex(SqliteExecutor(index))
    assert [record.reason for record in kept.trust_records()] == ["looked at it"]
    kept.close()


def json_lines(
    index: Path, capsys: pytest.CaptureFixture[str], *arguments: str
) -> list[dict[str, Any]]:
    said = learn(index, capsys, *arguments, "-o", "json")
    found = [json.loads(line) for line in said.splitlines()]
    for document in found:
        _check_schema(document)
    return found


def _check_schema(document: dict[str, Any]) -> None:
    one = {**output_schema(), "oneOf": [{"$ref": f"#/$defs/{document['kind']}"}]}
    jsonschema.validate(document, one)


def test_a_model_travels_signed_and_only_so(
    index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    learn(index, capsys, "train", "--rate", "0.04", "--quiet")
    learn(index, capsys, "promote", "--despite", "a test")
    keys = [tmp_path / name for name in ("mine.pem", "other.pem")]
    for key in keys:
        public = key.with_suffix(".pub")
        subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", key], check=True)
        subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-out", public], check=True)
    file, mine, other = tmp_path / "model.signed", keys[0], keys[1]
    learn(index, capsys, "export", str(file), "--key", str(mine))
    assert "not one of this key" in learn(
        index, capsys, "import", str(file), "--public-key", str(other.with_suffix(".pub")), code=3
    )
    changed = tmp_path / "changed.signed"
    changed.write_bytes(file.read_bytes().replace(b'"alpha":0.04', b'"alpha":0.01'))
    public = str(mine.with_suffix(".pub"))
    assert "not one of this key" in learn(
        index, capsys, "import", str(changed), "--public-key", public, code=3
    )
    said = learn(index, capsys, "import", str(file), "--public-key", public)
    assert "in the shadow" in said
    assert "trained elsewhere" in learn(index, capsys, "promote", code=3)


def test_evaluate_tells_rates_and_changes_nothing(
    index: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "called untrusted" in learn(index, capsys, "evaluate")
    (document,) = json_lines(index, capsys, "evaluate")
    assert document["kind"] == "LearnedEvaluation"


def test_training_for_a_program_gives_the_card(
    index: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (card,) = json_lines(index, capsys, "train", "--rate", "0.04")
    assert card["kind"] == "LearnedModel"
    assert card["limits"]
