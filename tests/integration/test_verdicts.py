"""`layerproof verdicts` and `check --at`: what was decided, and whether it still would be."""

import json
from pathlib import Path
from typing import Any

import pytest

from layerproof.cli.main import run
from layerproof.testing.images import Whiteout, build, write_oci_layout


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAYERPROOF_INDEX", str(tmp_path / "index.db"))
    base = build([{"etc/shadow": "root:!:\n"}])
    bad = build([{"etc/shadow": Whiteout()}], base=base)
    write_oci_layout(tmp_path / "i", {"base": base, "bad": bad})
    assert run(["trust", "add", "oci:i:base", "-r", "golden", "-q"]) == 0
    lenient = "apiVersion: layerproof/v1\nkind: Policy\nrules: {protected-path: {effect: alert}}\n"
    (tmp_path / "lenient.yaml").write_text(lenient)
    return tmp_path


def documents(capsys: pytest.CaptureFixture[str], *command: str) -> list[dict[str, Any]]:
    capsys.readouterr()
    run([*command, "--output", "json"])
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_the_same_question_is_one_record_and_another_is_another(
    capsys: pytest.CaptureFixture[str],
) -> None:
    (first,) = documents(capsys, "check", "oci:i:bad")
    (again,) = documents(capsys, "check", "oci:i:bad")
    assert again == first
    documents(capsys, "check", "oci:i:bad", "--policy", "lenient.yaml")
    documents(capsys, "check", "oci:i:base")
    assert len(documents(capsys, "verdicts")) == 3
    assert len(documents(capsys, "verdicts", "oci:i:bad")) == 2
    assert [d["decision"] for d in documents(capsys, "verdicts", "--decision", "refuse")] == [
        "refuse"
    ]
    assert documents(capsys, "verdicts", first["id"][:8]) == [first]


def test_a_kept_verdict_is_made_again_with_its_own_policy(
    capsys: pytest.CaptureFixture[str],
) -> None:
    (kept,) = documents(capsys, "check", "oci:i:bad", "--policy", "lenient.yaml")
    assert kept["decision"] == "alert"
    assert run(["check", "oci:i:bad", "--at", kept["id"]]) == 0
    assert "the same verdict as" in capsys.readouterr().err
    assert run(["trust", "revoke", "oci:i:base", "-r", "old", "-q"]) == 0
    assert run(["check", "oci:i:bad"]) == 1  # now
    assert run(["check", "oci:i:bad", "--at", kept["id"]]) == 0  # then
    assert run(["check", "oci:i:base", "--at", kept["id"]]) == 2
    assert "is about another image" in capsys.readouterr().err


def test_a_decision_as_of_another_time(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", "oci:i:base"]) == 0
    assert run(["check", "oci:i:base", "--at", "2020-01-01T00:00"]) == 1
    kept = documents(capsys, "verdicts")
    assert len(kept) == 1  # the past is not kept
    assert run(["check", "oci:i:base", "--at", "yesterday"]) == 2
    assert "neither a time nor the id" in capsys.readouterr().err


def test_a_list_fits_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    run(["check", "oci:i:bad", "-q"])
    capsys.readouterr()
    assert run(["verdicts"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all(len(line) <= 80 for line in lines)
