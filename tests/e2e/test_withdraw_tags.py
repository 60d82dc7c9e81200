"""Tags of withdrawn images in a real registry: moved aside, deleted, brought back."""

import subprocess
from pathlib import Path

import httpx
import pytest
from tests.e2e.daemons import Registry
from tests.e2e.program import Program
from tests.e2e.service import push

from layerproof.testing.images import BuiltImage, File, build, write_oci_layout

pytestmark = pytest.mark.real
EVIL = build([{"bin/login": File(b"#!/bin/sh\nsteal\n", mode=0o755)}])
OTHER = build([{"srv/page": "hello"}])


def put(registry: Registry, folder: Path, name: str, image: BuiltImage) -> None:
    layout = folder / f"layout-{len(list(folder.iterdir()))}"
    write_oci_layout(layout, {"latest": image})
    try:
        push(layout, registry, name, folder)
    except FileNotFoundError:
        pytest.skip("not installed: skopeo")
    except subprocess.CalledProcessError as error:
        pytest.fail(error.stderr.decode())


def digest_of(registry: Registry, name: str, tag: str) -> str | None:
    accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
    answer = httpx.head(f"http://{registry.host}/v2/{name}/manifests/{tag}", headers=accept)
    return answer.headers.get("Docker-Content-Digest") if answer.status_code == 200 else None


def program(folder: Path, registry: Registry, action: str) -> Program:
    policy = folder / "policy.yaml"
    policy.write_text(f"apiVersion: layerproof/v1\nkind: Policy\nwithdrawn: {{tags: {action}}}\n")
    return Program(
        folder / "index.db",
        {"LAYERPROOF_INSECURE_REGISTRIES": registry.host, "LAYERPROOF_POLICY": str(policy)},
    )


@pytest.mark.parametrize("action", ["keep", "move", "delete"])
def test_tag_goes_as_the_policy_says_and_comes_back(
    open_registry: Registry, tmp_path: Path, action: str
) -> None:
    name = f"withdraw/{action}"
    put(open_registry, tmp_path, f"{name}:1", EVIL)
    asked = program(tmp_path, open_registry, action)
    pulled = asked.run("pull", f"docker://{open_registry.host}/{name}:1")
    assert pulled.code == 0, pulled.complaints
    evil = str(EVIL.manifest_digest)
    assert digest_of(open_registry, name, "1") == (evil if action == "keep" else None)
    aside = digest_of(open_registry, name, "withdrawn-1")
    assert aside == (evil if action == "move" else None)
    outcomes = [d["outcome"] for d in pulled.documents if d["kind"] == "Tag"]
    assert outcomes == {"keep": [], "move": ["moved"], "delete": ["deleted"]}[action]

    (withdrawal,) = asked.run("withdrawals").documents
    released = asked.run("pull", "--release", withdrawal["id"], "--reason", "it was sound")
    assert released.code == 0, released.complaints
    assert digest_of(open_registry, name, "1") == evil


def test_tag_that_names_another_image_by_now_is_left(
    open_registry: Registry, tmp_path: Path
) -> None:
    name = "withdraw/moved-on"
    put(open_registry, tmp_path, f"{name}:1", EVIL)
    asked = program(tmp_path, open_registry, "delete")
    reference = f"docker://{open_registry.host}/{name}"
    assert asked.run("index", f"{reference}:1").code == 0
    put(open_registry, tmp_path, f"{name}:1", OTHER)
    pulled = asked.run("pull", f"{reference}@{EVIL.manifest_digest}")
    assert pulled.code == 0, pulled.complaints
    assert [d["outcome"] for d in pulled.documents if d["kind"] == "Tag"] == ["other"]
    assert digest_of(open_registry, name, "1") == str(OTHER.manifest_digest)


def test_registry_that_is_gone_is_told_and_the_withdrawal_holds(
    open_registry: Registry, tmp_path: Path
) -> None:
    name = "withdraw/gone"
    put(open_registry, tmp_path, f"{name}:1", EVIL)
    asked = program(tmp_path, open_registry, "delete")
    reference = f"docker://{open_registry.host}/{name}:1"
    assert asked.run("index", reference).code == 0
    layout = tmp_path / "here"
    write_oci_layout(layout, {"latest": EVIL})
    # The registry asks for TLS from now on, as far as this program is concerned.
    away = Program(asked.index, {"LAYERPROOF_POLICY": str(tmp_path / "policy.yaml")})
    pulled = away.run("pull", f"oci:{layout}:latest")
    assert pulled.code == 3
    assert [d["outcome"] for d in pulled.documents if d["kind"] == "Tag"] == ["failed"]
    assert len(away.run("withdrawals").documents) == 1
