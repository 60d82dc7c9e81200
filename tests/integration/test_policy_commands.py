"""`layerproof policy`: from an empty folder to a policy that `check` takes."""

import json
from pathlib import Path

import pytest

from layerproof.cli.main import run
from layerproof.testing.images import Whiteout, build, write_oci_layout


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAYERPROOF_INDEX", str(tmp_path / "index.db"))
    return tmp_path


def test_init_writes_a_policy_that_validate_and_check_take(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = build([{"etc/shadow": "root:!:\n"}])
    bad = build([{"etc/shadow": Whiteout()}], base=base)
    write_oci_layout(folder / "images", {"base": base, "bad": bad})
    assert run(["policy", "init"]) == 0
    assert run(["policy", "validate", "policy.yaml"]) == 0
    assert run(["trust", "add", "oci:images:base", "-r", "golden"]) == 0
    assert run(["check", "--policy", "policy.yaml", "oci:images:base"]) == 0
    assert run(["check", "--policy", "policy.yaml", "oci:images:bad"]) == 1
    with (folder / "policy.yaml").open("a") as policy:
        policy.write(
            f"exceptions:\n  - images: ['{bad.manifest_digest}']\n    rules: [protected-path]\n"
            "    reason: a test\n    owner: alice\n    until: 9000-01-01\n"
        )
    capsys.readouterr()
    assert run(["check", "--policy", "policy.yaml", "oci:images:bad"]) == 0
    out = capsys.readouterr().out
    assert "excused until 9000-01-01 by alice: a test" in out
    assert "high protected-path, excused" in out


def test_init_leaves_a_file_that_is_there(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "policy.yaml").write_text("mine")
    assert run(["policy", "init"]) == 2
    assert (folder / "policy.yaml").read_text() == "mine"
    assert "is left as it is" in capsys.readouterr().err


def test_init_follows_no_link_to_another_file(folder: Path) -> None:
    (folder / "policy.yaml").symlink_to(folder / "elsewhere")
    assert run(["policy", "init"]) == 2
    assert not (folder / "elsewhere").exists()


def test_init_prints_to_standard_output(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["policy", "init", "-"]) == 0
    assert "kind: Policy" in capsys.readouterr().out
    assert list(folder.iterdir()) == []


def test_init_into_a_folder_that_is_not_there_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["policy", "init", "nowhere/policy.yaml"]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_validate_names_every_mistake_of_every_file(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "a.yaml").write_text("apiVersion: layerproof/v1\nkind: Policy\nrulez: {}\nx: 1\n")
    (folder / "b.yaml").write_text("apiVersion: layerproof/v1\nkind: Policy\n")
    assert run(["policy", "validate", "a.yaml", "b.yaml", "c.yaml"]) == 2
    out, err = capsys.readouterr()
    assert "a.yaml:3:1: unknown key 'rulez'" in err
    assert "a.yaml:4:1: unknown key 'x'" in err
    assert "c.yaml: cannot be read" in err
    assert out.startswith("b.yaml: can be used; 0 exceptions; sha256:")


def test_validate_prints_documents_for_programs(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["policy", "init", "--quiet"]) == 0
    assert run(["policy", "validate", "-o", "json", "policy.yaml"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["kind"] == "PolicyFile"
    assert document["rules"]["protected-path"] == "refuse"
    assert document["exceptions"] == 0


def test_a_block_decides_for_the_place_that_check_is_told(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = build([{"etc/x": "1"}])
    write_oci_layout(folder / "images", {"bad": bad})
    (folder / "p.yaml").write_text(
        "apiVersion: layerproof/v1\nkind: Policy\nmessage: ask the platform team\n"
        "blocks:\n  - name: laboratory\n    scope: {namespaces: [lab-*], labels: {env: dev}}\n"
        "    rules: {trusted-base: {effect: alert}}\n"
    )
    check = ["check", "--policy", "p.yaml", "oci:images:bad"]
    assert run([*check, "--namespace", "lab-1", "--label", "env=dev"]) == 0
    assert "ALERT" in capsys.readouterr().out
    assert run([*check, "--namespace", "lab-1"]) == 1
    assert "ask the platform team" in capsys.readouterr().out
    assert run([*check, "--label", "env"]) == 2
    assert "NAME=VALUE" in capsys.readouterr().err
