"""`layerproof pull`: what is not trusted is kept apart, refused everywhere, and can come back."""

import gzip
import json
import subprocess
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from layerproof.cli.main import run
from layerproof.testing.images import (
    BuiltImage,
    Whiteout,
    build,
    layer,
    write_docker_archive,
    write_oci_layout,
)
from layerproof.testing.registry import InMemoryRegistry

BASE = build([{"etc/shadow": "root:!:\n", "etc/os-release": "ID=demo\n"}])
CLEAN = build([{"srv/app": "app\n"}], base=BASE)
BAD = build([layer({"etc/shadow": Whiteout()}, created_by="RUN evil")], base=CLEAN)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAYERPROOF_INDEX", str(tmp_path / "index.db"))
    return tmp_path


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemoryRegistry]:
    with InMemoryRegistry() as opened:
        for name, image in {"base": BASE, "clean": CLEAN, "bad": BAD}.items():
            opened.add_image("team/app", name, image)
        monkeypatch.setenv("LAYERPROOF_INSECURE_REGISTRIES", opened.host)
        assert run(["trust", "add", f"{opened.host}/team/app:base", "-r", "golden", "-q"]) == 0
        yield opened


def out(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def pull(image: str, *options: str) -> int:
    return run(["pull", image, "--output", "json", *options])


def test_exactly_the_untrusted_layer_is_fetched_and_verified(
    registry: InMemoryRegistry, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["check", f"{registry.host}/team/app:bad", "-q"]) == 1
    capsys.readouterr()
    asked = len(registry.requests)
    assert pull(f"{registry.host}/team/app:bad") == 0
    document = out(capsys)
    blobs = [r for r in registry.requests[asked:] if "/blobs/" in r.path]
    top = BAD.layers[-1]
    fetched = [r for r in blobs if top.digest in r.path]
    others = [la.digest for la in BAD.layers[:-1]]
    assert len(fetched) == 1
    assert not [r for r in blobs if any(digest in r.path for digest in others)]
    assert [la["position"] for la in document["layers"]] == [2]
    assert document["fetchedBytes"] == len(top.blob)
    assert document["sparedBytes"] == sum(len(la.blob) for la in BAD.layers[:-1])
    kept = Path(document["quarantine"]) / "blobs" / top.digest.replace(":", "/")
    assert kept.read_bytes() == top.blob
    assert kept.stat().st_mode & 0o777 == 0o600


def test_a_pulled_layer_is_refused_everywhere_whatever_the_policy_says(
    registry: InMemoryRegistry, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = ["trusted-base", "protected-path", "lying-base-label", "image-config"]
    lenient = "apiVersion: layerproof/v1\nkind: Policy\nrules:\n"
    lenient += "".join(f"  {rule}: {{effect: alert}}\n" for rule in rules)
    (folder / "lenient.yaml").write_text(lenient)
    other = build([{"srv/more": "x"}], base=BAD)
    moved = build([layer({"etc/shadow": Whiteout()}, created_by="RUN evil")], base=BASE)
    write_oci_layout(folder / "images", {"other": other, "moved": moved})
    images = [f"{registry.host}/team/app:bad", "oci:images:other", "oci:images:moved"]
    for image in images:
        assert run(["check", "--policy", "lenient.yaml", image, "-q"]) == 0
    assert pull(images[0], "--reason", "evil") == 0
    capsys.readouterr()
    for image in images:
        assert run(["check", "--policy", "lenient.yaml", image, "--output", "json"]) == 1
        found = [f for la in out(capsys)["layers"] for f in la["findings"]]
        assert [f["effect"] for f in found if f["rule"] == "withdrawn"] == ["refuse"]
    assert run(["check", f"{registry.host}/team/app:clean", "-q"]) == 0


def test_a_release_lets_it_run_again_and_stays_on_record(
    registry: InMemoryRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    image = f"{registry.host}/team/app:bad"
    assert pull(image) == 0
    identity = out(capsys)["layers"][0]["withdrawal"]
    assert run(["pull", "--release", identity]) == 2
    assert "a release needs a reason" in capsys.readouterr().err
    assert run(["pull", "--release", identity[:6], "-r", "reviewed", "--by", "bob"]) == 0
    assert run(["pull", "--release", identity, "-r", "again"]) == 2
    assert "was released already" in capsys.readouterr().err
    assert run(["check", image, "--output", "json"]) == 1
    assert "withdrawn" not in {f["rule"] for la in out(capsys)["layers"] for f in la["findings"]}
    assert run(["withdrawals", "--all", "--output", "json"]) == 0
    record = out(capsys)
    assert (record["state"], record["releasedBy"], record["releaseReason"]) == (
        "released",
        "bob",
        "reviewed",
    )
    assert run(["withdrawals", "--output", "json"]) == 0
    assert capsys.readouterr().out == ""


def test_inspect_only_withdraws_nothing(
    registry: InMemoryRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pull(f"{registry.host}/team/app:bad", "--inspect-only") == 0
    assert out(capsys)["layers"][0]["withdrawal"] is None
    assert run(["withdrawals", "--all", "--output", "json"]) == 0
    assert capsys.readouterr().out == ""


def test_pulling_again_fetches_nothing_and_withdraws_nothing_twice(
    registry: InMemoryRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    image = f"{registry.host}/team/app:bad"
    assert pull(image) == 0
    first = out(capsys)
    assert pull(image) == 0
    second = out(capsys)
    assert (second["fetchedBytes"], second["layers"][0]["fetched"]) == (0, False)
    assert second["layers"][0]["withdrawal"] == first["layers"][0]["withdrawal"]


def test_a_trusted_image_leaves_nothing_to_pull(
    registry: InMemoryRegistry, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["pull", f"{registry.host}/team/app:clean"]) == 0
    assert "nothing to pull" in capsys.readouterr().out
    assert not (folder / "quarantine").exists()


def test_a_registry_that_serves_other_bytes_leaves_quarantine_and_index_as_they_were(
    registry: InMemoryRegistry, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = f"{registry.host}/team/app:bad"
    assert run(["check", image, "-q"]) == 1
    top = BAD.layers[-1]
    other = gzip.compress(b"\0" * 10_240)
    registry.faults.wrong_bytes[top.digest] = other[: len(top.blob)].ljust(len(top.blob), b"x")
    assert run(["pull", image]) == 3
    assert "layer 2" in capsys.readouterr().err
    kept = folder / "quarantine" / "blobs" / "sha256"
    assert list(kept.iterdir()) == []
    assert list((folder / "quarantine" / "incoming").iterdir()) == []
    assert run(["withdrawals", "--output", "json"]) == 0
    assert capsys.readouterr().out == ""


def test_a_full_quarantine_is_a_clear_error(
    registry: InMemoryRegistry, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LAYERPROOF_LIMIT_QUARANTINE_BYTES", "10")
    assert run(["pull", f"{registry.host}/team/app:bad"]) == 3
    assert "LAYERPROOF_LIMIT_QUARANTINE_BYTES" in capsys.readouterr().err


def test_a_folder_with_other_things_is_no_quarantine(
    registry: InMemoryRegistry, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "mine").mkdir(mode=0o755)
    (folder / "mine" / "letter.txt").write_text("dear")
    assert run(["pull", f"{registry.host}/team/app:bad", "--quarantine", "mine"]) == 3
    assert "holds other things" in capsys.readouterr().err
    assert [p.name for p in (folder / "mine").iterdir()] == ["letter.txt"]
    assert (folder / "mine").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("compress", [True, False], ids=["gzip", "plain"])
def test_an_archive_without_a_manifest_is_pulled_by_its_diff_ids(
    folder: Path, capsys: pytest.CaptureFixture[str], compress: bool
) -> None:
    archive = docker_archive(folder, BAD, compress=compress)
    write_oci_layout(folder / "images", {"base": BASE})
    assert run(["trust", "add", "oci:images:base", "-r", "golden", "-q"]) == 0
    assert pull(f"docker-archive:{archive}") == 0
    (pulled,) = out(capsys)["layers"]
    assert pulled["diffId"] == BAD.layers[-1].diff_id
    assert pulled["mediaType"].endswith("tar+gzip") == compress


def docker_archive(folder: Path, image: BuiltImage, *, compress: bool) -> Path:
    """As `docker save` writes it, of the same layers."""
    path = folder / "image.tar"
    write_docker_archive(path, {"team/app:bad": image}, compress_layers=compress)
    return path


@pytest.mark.real
def test_the_quarantine_is_a_layout_that_other_tools_read(
    registry: InMemoryRegistry, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pull(f"{registry.host}/team/app:bad") == 0
    document = out(capsys)
    place = f"oci:{document['quarantine']}:{document['name']}"
    done = subprocess.run(
        ["skopeo", "inspect", "--raw", place],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    manifest = json.loads(done.stdout)
    verdict, blob = manifest["layers"]
    assert blob["digest"] == BAD.layers[-1].digest
    assert blob["annotations"]["layerproof.rules"] == "protected-path"
    data = Path(document["quarantine"], "blobs", verdict["digest"].replace(":", "/")).read_bytes()
    assert "sha256:" + sha256(data).hexdigest() == verdict["digest"]
    assert json.loads(data)["decision"] == "refuse"
