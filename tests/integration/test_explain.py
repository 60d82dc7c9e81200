"""`layerproof explain`: the reasoning, in plain words."""

import json
from pathlib import Path

import pytest

from layerproof.cli.main import run
from layerproof.testing.images import Whiteout, build, layer, write_oci_layout


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAYERPROOF_INDEX", str(tmp_path / "index.db"))
    monkeypatch.setenv("COLUMNS", "80")
    base = build([{"etc/shadow": "root:!:\n"}])
    app = layer({"srv/app": "x"}, created_by="COPY app /srv/")
    evil = layer({"etc/shadow": Whiteout()}, created_by="RUN \x1b[31mevil")
    write_oci_layout(tmp_path / "i", {"base": base, "bad": build([app, evil], base=base)})
    assert run(["trust", "add", "oci:i:base", "-r", "our golden base", "--by", "alice", "-q"]) == 0
    return tmp_path


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert run(["explain", "oci:i:bad", *arguments]) == 0
    out = capsys.readouterr().out
    assert all(len(line) <= 80 for line in out.splitlines())
    return " ".join(out.split())


def test_a_bad_layer_is_told_from_what_it_did_to_what_follows(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = told(capsys)
    for part in (
        "layer 2 of oci:i:bad",
        r"It was made by: RUN \x1b[31mevil",
        "Of the paths below it: 1 deleted.",
        "alice declared it trusted",
        "our golden base",
        "above the base, and every rule of the policy judges it",
        "protected-path fails",
        "deletes /etc/shadow",
        "trusted-pusher is not asked",
        "secret has nothing against it",
        "1 finding on the layer: it is untrusted.",
        "the decision is refuse: it may not run.",
    ):
        assert part in text


def test_a_layer_of_the_base_and_a_good_one_are_told_apart(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert "This layer is in the base" in told(capsys, "0")
    assert "Nothing is said against the layer: it is trusted." in told(capsys, "1")


def test_a_layer_is_named_by_position_or_chain_id(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", "oci:i:bad", "1", "-o", "json"]) == 0
    chain = json.loads(capsys.readouterr().out)["chainId"]
    assert "layer 1 of" in told(capsys, chain)
    assert "layer 1 of" in told(capsys, chain[7:15])
    for wrong in ("3", "-1", "zz", "a"):
        assert run(["explain", "oci:i:bad", "--", wrong]) == 2
        assert "no layer of the image" in capsys.readouterr().err


def test_a_withdrawn_layer_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["pull", "oci:i:bad", "-q"]) == 0
    text = told(capsys)
    assert "critical withdrawn" in text
    assert "holds whatever the policy says" in text
