"""The registry gate in front of a real registry, asked by the programs that pull images.

What was declared trusted is pulled, by tag and by digest; what was not is refused with the reason;
and there is no way round: not by blobs, not by another name, not by pushing.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from tests.e2e.daemons import CannotStartError, DockerEngine, Registry, free_port, registry
from tests.e2e.service import clean, until

from layerproof.testing.images import BuiltImage, BuiltIndex, build, index, write_oci_layout

pytestmark = pytest.mark.real
GOOD, EVIL, LIST = "team/good", "team/evil", "team/list"


def images() -> dict[str, BuiltImage | BuiltIndex]:
    """A trusted image, one that nobody vouches for, and an index of both."""
    good = build([{"etc/motd": b"hello\n", "usr/bin/app": os.urandom(3 << 20)}])
    evil = build([{"tmp/miner": os.urandom(1 << 20)}])
    return {"good": good, "evil": evil, "list": index(good)}


@dataclass(frozen=True, slots=True)
class World:
    """A registry, a gateway before it, and the images in both."""

    registry: Registry
    gateway: str  # host:port
    images: Mapping[str, BuiltImage | BuiltIndex]
    folder: Path

    def digest(self, name: str) -> str:
        return str(self.images[name].manifest_digest)

    def get(self, path: str, **headers: str) -> httpx.Response:
        return httpx.get(f"http://{self.gateway}/v2/{path}", headers=headers, timeout=120)


@contextmanager
def gateway(
    folder: Path, host: str, *arguments: str, environment: Mapping[str, str] | None = None
) -> Iterator[str]:
    """`layerproof gate registry serve`; its host:port."""
    port = free_port()
    command = [sys.executable, "-m", "layerproof.cli.main", "gate", "registry", "serve"]
    command += ["--upstream", f"http://{host}", "--listen", f"127.0.0.1:{port}", *arguments]
    with (folder / "gateway.log").open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=variables(folder, host, environment or {}),
        )

    def ready() -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    try:
        until(lambda: process.poll() is not None or ready())
        assert process.poll() is None, (folder / "gateway.log").read_text()
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def variables(folder: Path, host: str, more: Mapping[str, str]) -> dict[str, str]:
    return clean(
        {
            "LAYERPROOF_INDEX": str(folder / "index.db"),
            "LAYERPROOF_INSECURE_REGISTRIES": host,
            "DOCKER_CONFIG": str(folder),
            **more,
        }
    )


def copy(layout: Path, name: str, target: str, *options: str) -> None:
    subprocess.run(
        ["skopeo", "copy", "--all", "--dest-tls-verify=false", *options,
         f"oci:{layout}:{name}", f"docker://{target}"],
        check=True, capture_output=True,
    )  # fmt: skip


def trust(
    folder: Path,
    host: str,
    reference: str,
    more: Mapping[str, str] | None = None,
    *options: str,
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "layerproof.cli.main", "trust", "add", reference,
         "--reason", "ours", "--quiet", *options],
        env=variables(folder, host, more or {}), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def world(short_folder: Path) -> Iterator[World]:
    folder = short_folder / "gateway"
    folder.mkdir()
    if not shutil.which("skopeo"):
        pytest.skip("not installed: skopeo")
    made = images()
    write_oci_layout(folder / "layout", made)
    try:
        with registry(folder / "registry") as running:
            for name in made:
                copy(folder / "layout", name, f"{running.host}/team/{name}:1")
            trust(folder, running.host, f"docker://{running.host}/{GOOD}:1")
            options = ("--cache", str(folder / "cache"), "--tag-seconds", "2")
            with gateway(folder, running.host, *options) as found:
                yield World(running, found, made, folder)
    except CannotStartError as error:
        pytest.skip(f"no registry: {error}")


# --- over HTTP -----------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["tag", "digest"])
def test_a_trusted_image_is_served_and_an_untrusted_one_denied(world: World, by: str) -> None:
    good = "1" if by == "tag" else world.digest("good")
    evil = "1" if by == "tag" else world.digest("evil")
    served = world.get(f"{GOOD}/manifests/{good}")
    assert served.status_code == 200, served.text
    assert served.headers["docker-content-digest"] == world.digest("good")
    assert served.content == world.images["good"].manifest
    denied = world.get(f"{EVIL}/manifests/{evil}")
    assert denied.status_code == 403
    error = denied.json()["errors"][0]
    assert error["code"] == "DENIED"
    assert "trusted-base" in error["message"]
    assert error["detail"]["verdict"] == "untrusted"


def test_blobs_of_a_refused_image_cannot_be_fetched_by_their_digest(world: World) -> None:
    evil = world.images["evil"]
    world.get(f"{EVIL}/manifests/1")
    for digest in evil.blobs:
        for name in (EVIL, GOOD, "other/name"):
            answer = world.get(f"{name}/blobs/{digest}")
            assert answer.status_code == 403, name
            assert answer.json()["errors"][0]["code"] == "DENIED"


def test_blobs_of_an_admitted_image_come_whole_and_in_parts(world: World) -> None:
    world.get(f"{GOOD}/manifests/1")
    digest, data = max(world.images["good"].blobs.items(), key=lambda item: len(item[1]))
    for _ in range(2):  # from the registry, and from the cache
        whole = world.get(f"{GOOD}/blobs/{digest}")
        assert whole.status_code == 200
        assert whole.content == data
    part = world.get(f"{GOOD}/blobs/{digest}", Range="bytes=1000-1999")
    assert part.status_code == 206
    assert part.content == data[1000:2000]
    assert part.headers["content-range"] == f"bytes 1000-1999/{len(data)}"
    rest = world.get(f"{GOOD}/blobs/{digest}", Range=f"bytes={len(data) - 10}-")
    assert rest.content == data[-10:]
    assert world.get(f"{GOOD}/blobs/{digest}", Range=f"bytes={len(data)}-").status_code == 416
    head = httpx.head(f"http://{world.gateway}/v2/{GOOD}/blobs/{digest}")
    assert head.headers["content-length"] == str(len(data))


def test_blobs_are_found_by_the_index_after_a_restart(world: World) -> None:
    with gateway(world.folder, world.registry.host) as again:
        for digest, data in world.images["good"].blobs.items():
            answer = httpx.get(f"http://{again}/v2/{GOOD}/blobs/{digest}")
            assert answer.status_code == 200, answer.text
            assert answer.content == data
        for digest in world.images["evil"].blobs:
            assert httpx.get(f"http://{again}/v2/{EVIL}/blobs/{digest}").status_code == 403


def test_an_index_is_served_and_its_manifests_are_judged(world: World) -> None:
    answer = world.get(f"{LIST}/manifests/1")
    assert answer.status_code == 200
    assert answer.headers["docker-content-digest"] == world.digest("list")
    assert world.get(f"{LIST}/manifests/{world.digest('good')}").status_code == 200


def test_nothing_can_be_pushed_through_the_gateway(world: World) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        answer = httpx.request(method, f"http://{world.gateway}/v2/{GOOD}/manifests/1")
        assert answer.status_code == 405
        assert "push to" in answer.json()["errors"][0]["message"]


def test_another_registry_than_the_one_behind_is_not_served(world: World) -> None:
    assert world.get(f"{GOOD}/manifests/1?ns=docker.io").status_code == 404
    assert world.get(f"{GOOD}/manifests/1?ns={world.registry.host}").status_code == 200


def test_a_document_that_is_two_manifests_at_once_is_refused(world: World) -> None:
    """GHSA-qq97-vm5h-rrhg: `layers` for one reader, `manifests` for another."""
    document = json.loads(world.images["good"].manifest)
    document["manifests"] = json.loads(world.images["list"].manifest)["manifests"]
    media_type = document["mediaType"]
    put = httpx.put(
        f"http://{world.registry.host}/v2/{GOOD}/manifests/both",
        content=json.dumps(document).encode(),
        headers={"Content-Type": media_type},
    )
    if put.status_code >= 400:
        pytest.skip(f"this registry refuses such a document itself: {put.text[:100]}")
    answer = world.get(f"{GOOD}/manifests/both")
    assert answer.status_code == 403
    assert "corrupt" in answer.json()["errors"][0]["message"]


def test_metrics_count_what_was_served_and_denied(world: World) -> None:
    world.get(f"{EVIL}/manifests/1")
    text = httpx.get(f"http://{world.gateway}/metrics").text
    assert 'layerproof_gateway_requests_total{kind="manifest",outcome="denied"}' in text
    assert 'layerproof_gate_answers_total{cause="verdict"' in text


# --- by the programs that pull -------------------------------------------------------------------


def run(*command: str, env: Mapping[str, str] | None = None) -> tuple[int, str]:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=300,
        env=None if env is None else {**os.environ, **env},
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def references(world: World, name: str) -> list[str]:
    digest = world.digest(name)
    return [f"{world.gateway}/team/{name}:1", f"{world.gateway}/team/{name}@{digest}"]


def test_skopeo(world: World, tmp_path: Path) -> None:
    for number, reference in enumerate(references(world, "good")):
        code, said = run(
            "skopeo", "copy", "--src-tls-verify=false", f"docker://{reference}",
            f"dir:{tmp_path}/{number}",
        )  # fmt: skip
        assert code == 0, said
    for reference in references(world, "evil"):
        code, said = run(
            "skopeo", "copy", "--src-tls-verify=false", f"docker://{reference}", f"dir:{tmp_path}/x"
        )
        assert code != 0
        assert "layerproof refuses" in said


def test_podman(world: World, short_folder: Path) -> None:
    if not shutil.which("podman") or os.geteuid() != 0:
        pytest.skip("needs podman, and root")
    root = ["podman", "--root", f"{short_folder}/pm", "--runroot", f"{short_folder}/pr",
            "--storage-driver", "vfs"]  # fmt: skip
    for reference in references(world, "good"):
        code, said = run(*root, "pull", "--tls-verify=false", reference)
        assert code == 0, said
    for reference in references(world, "evil"):
        code, said = run(*root, "pull", "--tls-verify=false", reference)
        assert code != 0
        assert "layerproof refuses" in said


def test_docker(world: World, engine: DockerEngine) -> None:
    docker = ["docker", "--host", engine.url]
    for reference in [*references(world, "good"), f"{world.gateway}/{LIST}:1"]:
        code, said = run(*docker, "pull", reference)
        assert code == 0, said
    for reference in references(world, "evil"):
        code, said = run(*docker, "pull", reference)
        assert code != 0
        assert "layerproof refuses" in said


def test_containerd(world: World, engine: DockerEngine) -> None:
    if not shutil.which("ctr"):
        pytest.skip("not installed: ctr")
    ctr = ["ctr", "--address", str(engine.containerd), "--namespace", "gateway", "images", "pull"]
    for reference in references(world, "good"):
        code, said = run(*ctr, "--plain-http", "--snapshotter", "native", reference)
        assert code == 0, said
    for reference in references(world, "evil"):
        code, said = run(*ctr, "--plain-http", "--snapshotter", "native", reference)
        assert code != 0
        assert "403" in said or "refuses" in said
