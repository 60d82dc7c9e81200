"""What the gates of Kubernetes and of registries do when something that they need is gone: what the
policy says, in time, with the reason; and they mend by themselves."""

import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import pytest
from tests import postgres
from tests.e2e.daemons import CannotStartError, accepts, free_port, registry, serving
from tests.e2e.service import until
from tests.e2e.test_registry_gate import copy, gateway, trust, variables

from layerproof.testing.images import BuiltImage, build, write_oci_layout

pytestmark = pytest.mark.real
SERVICE = "kubernetes: {pin: none, tagSeconds: 1, budgetSeconds: 2}\n"


@dataclass(frozen=True)
class World:
    folder: Path
    host: str
    image: BuiltImage
    url: str  # of the Kubernetes gate

    def ask(self, image: str, namespace: str = "shop") -> tuple[bool, str, float]:
        """Whether a pod is allowed, what is said, and how long that took."""
        review = {
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "request": {
                "uid": "u", "operation": "CREATE", "namespace": namespace,
                "kind": {"group": "", "version": "v1", "kind": "Pod"},
                "resource": {"group": "", "version": "v1", "resource": "pods"},
                "object": {"spec": {"containers": [{"name": "a", "image": image}]}},
            },
        }  # fmt: skip
        began = time.monotonic()
        answer = httpx.post(f"{self.url}/validate", json=review, timeout=60)
        response = answer.json()["response"]
        message = (response.get("status") or {}).get("message", "")
        return response["allowed"], message, time.monotonic() - began

    @property
    def tagged(self) -> str:
        return f"{self.host}/team/app:1"

    @property
    def pinned(self) -> str:
        return f"{self.host}/team/app@{self.image.manifest_digest}"


@contextmanager
def kubernetes_gate(
    folder: Path,
    host: str,
    config: str,
    *more: str,
    environment: Mapping[str, str] | None = None,
    end: Callable[["subprocess.Popen[bytes]"], None] = subprocess.Popen.terminate,
) -> Iterator[str]:
    port = free_port()
    (folder / "service.yaml").write_text(config)
    command = [sys.executable, "-m", "layerproof.cli.main", "gate", "kubernetes", "serve"]
    command += ["--listen", f"127.0.0.1:{port}", "--config", str(folder / "service.yaml"), *more]
    with (folder / "kubernetes.log").open("ab") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env=variables(folder, host, environment or {}),
        )  # fmt: skip
    try:
        address = ("127.0.0.1", port)
        until(lambda: process.poll() is not None or accepts(socket.AF_INET, address))
        assert process.poll() is None, (folder / "kubernetes.log").read_text()
        yield f"http://127.0.0.1:{port}"
    finally:
        end(process)
        process.wait(30)


@contextmanager
def same_registry(folder: Path, port: int) -> Iterator[None]:
    """One that was there before, at the same port."""
    command = ["docker-registry", "serve", str(folder / "config.yml")]
    with serving(command, folder / "log", lambda: accepts(socket.AF_INET, ("127.0.0.1", port))):
        yield


def prepared(
    folder: Path, environment: Mapping[str, str] | None = None, *options: str
) -> tuple[str, BuiltImage]:
    """A registry's data, and an index that trusts what is in it; the registry has ended."""
    image = build([{"etc/motd": "hello\n"}])
    write_oci_layout(folder / "layout", {"app": image})
    try:
        with registry(folder / "registry") as running:
            copy(folder / "layout", "app", f"{running.host}/team/app:1")
            target = f"docker://{running.host}/team/app:1"
            trust(folder, running.host, target, environment, *options)
            return running.host, image
    except CannotStartError as error:
        pytest.skip(f"no registry: {error}")


@pytest.fixture
def folder(short_folder: Path) -> Iterator[Path]:
    found = short_folder / "trouble"
    found.mkdir()
    if not shutil.which("skopeo"):
        pytest.skip("not installed: skopeo")
    yield found
    shutil.rmtree(found)


def test_a_registry_that_is_gone_and_comes_back(folder: Path) -> None:
    host, image = prepared(folder)
    port = int(host.rpartition(":")[2])
    with (
        kubernetes_gate(folder, host, SERVICE) as url,
        gateway(folder, host, "--tag-seconds", "1") as before,
    ):
        world = World(folder, host, image, url)
        manifest = f"http://{before}/v2/team/app/manifests"
        with same_registry(folder / "registry", port):
            assert world.ask(world.tagged)[0]
            assert httpx.get(f"{manifest}/1").status_code == 200
        time.sleep(1.5)  # the tag is forgotten
        allowed, message, seconds = world.ask(world.tagged)
        assert not allowed
        assert "refuses connections" in message
        assert seconds < 3
        assert world.ask(world.pinned)[0], "what is known by its digest needs no registry"
        assert httpx.get(f"{manifest}/1").status_code == 503
        assert httpx.get(f"{manifest}/{image.manifest_digest}").status_code == 200
        with same_registry(folder / "registry", port):
            until(lambda: world.ask(world.tagged)[0])
            until(lambda: httpx.get(f"{manifest}/1").status_code == 200)


def test_a_registry_that_never_answers_is_given_up_within_the_budget(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        held: list[socket.socket] = []
        ended = threading.Event()

        def hold() -> None:
            silent.settimeout(0.2)
            while not ended.is_set():
                try:
                    held.append(silent.accept()[0])
                except TimeoutError:
                    continue

        thread = threading.Thread(target=hold)
        thread.start()
        try:
            with kubernetes_gate(folder, host, SERVICE) as url:
                answers = httpx.get(f"{url}/healthz")
                assert answers.status_code == 200
                world = World(folder, host, build([{"a": "b"}]), url)
                allowed, message, seconds = world.ask(world.tagged)
                assert not allowed
                assert "no answer within 2 seconds" in message
                assert seconds < 4
        finally:
            ended.set()
            thread.join()
            for connection in held:
                connection.close()


def test_an_index_that_is_damaged_and_mended(folder: Path) -> None:
    host, image = prepared(folder)
    file = folder / "index.db"
    with kubernetes_gate(folder, host, SERVICE) as url, gateway(folder, host) as before:
        world = World(folder, host, image, url)
        assert world.ask(world.pinned)[0]
        sound = file.read_bytes()
        with file.open("r+b") as out:
            out.write(b"\xff" * min(len(sound), 64 * 4096))
        allowed, message, _ = world.ask(world.pinned, namespace="another")
        assert not allowed
        assert "index" in message
        answer = httpx.get(f"http://{before}/v2/team/app/blobs/{next(iter(image.blobs))}")
        assert answer.status_code == 403
        with file.open("r+b") as out:
            out.write(sound)
        until(lambda: world.ask(world.pinned, namespace="a-third")[0])


def test_a_policy_that_admits_the_unavailable_is_followed(folder: Path) -> None:
    policy = {
        "apiVersion": "layerproof/v1",
        "kind": "Policy",
        "gates": {"kubernetes": {"unavailable": "alert"}},
    }
    (folder / "policy.yaml").write_text(json.dumps(policy))
    host = "127.0.0.1:1"
    with kubernetes_gate(folder, host, SERVICE, "--policy", str(folder / "policy.yaml")) as url:
        world = World(folder, host, build([{"a": "b"}]), url)
        assert world.ask(world.tagged)[0]


def blob(before: str, image: BuiltImage) -> int:
    """What the gateway answers for a blob of the image."""
    url = f"http://{before}/v2/team/app/blobs/{next(iter(image.blobs))}"
    return httpx.get(url, timeout=30).status_code


def test_a_database_that_is_gone_and_comes_back(folder: Path) -> None:
    url = postgres.fresh_database()
    environment = {"LAYERPROOF_INDEX": url}
    host, image = prepared(folder, environment)
    port = int(host.rpartition(":")[2])
    with (
        same_registry(folder / "registry", port),
        kubernetes_gate(folder, host, SERVICE, environment=environment) as gate,
        gateway(folder, host, environment=environment) as before,
    ):
        world = World(folder, host, image, gate)
        manifest = f"http://{before}/v2/team/app/manifests/{image.manifest_digest}"
        assert world.ask(world.pinned)[0]
        assert httpx.get(manifest).status_code == 200
        with postgres.stopped(postgres.cluster()):
            allowed, message, seconds = world.ask(world.pinned, namespace="another")
            assert not allowed
            assert "index" in message
            assert seconds < 4
            assert httpx.get(manifest, timeout=30).status_code in (403, 503)
            assert httpx.get(f"http://{before}/healthz").status_code == 200
        until(lambda: world.ask(world.pinned, namespace="a-third")[0])
        until(lambda: httpx.get(manifest).status_code == 200)


def test_a_gate_that_is_killed_answers_right_as_soon_as_it_is_started_again(folder: Path) -> None:
    host, image = prepared(folder)
    port = int(host.rpartition(":")[2])
    with same_registry(folder / "registry", port):
        for _ in range(3):
            kill = subprocess.Popen.kill
            with kubernetes_gate(folder, host, SERVICE, end=kill) as gate:
                world = World(folder, host, image, gate)
                assert world.ask(world.pinned)[0]
                assert world.ask(world.tagged)[0]
                allowed, message, _ = world.ask(f"{host}/team/app@sha256:{'0' * 64}")
                assert not allowed
                assert message


def test_a_disk_that_is_full_keeps_nobody_from_an_answer(folder: Path) -> None:
    disk = folder / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "none", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted: {mounted.stderr.decode().strip()}")
    try:
        environment = {"LAYERPROOF_INDEX": str(disk / "index.db")}
        host, image = prepared(folder, environment)
        port = int(host.rpartition(":")[2])
        other = build([{"etc/motd": "other\n"}])
        write_oci_layout(folder / "more", {"other": other})
        with (
            same_registry(folder / "registry", port),
            kubernetes_gate(folder, host, SERVICE, environment=environment) as gate,
            gateway(folder, host, environment=environment) as before,
        ):
            copy(folder / "more", "other", f"{host}/team/app:2")
            world = World(folder, host, image, gate)
            filler = disk / "filler"
            with filler.open("wb", buffering=0) as out, suppress(OSError):
                while True:
                    out.write(bytes(4096))
            for _ in range(3):
                assert world.ask(world.pinned)[0]
                assert world.ask(world.tagged)[0]
                assert blob(before, image) == 200
            allowed, message, _ = world.ask(f"{host}/team/app:2")
            assert not allowed
            assert message
            assert blob(before, other) == 403
            filler.unlink()
            assert world.ask(world.pinned, namespace="another")[0]
            trust(folder, host, f"docker://{host}/team/app:2", environment)
            until(lambda: world.ask(f"{host}/team/app:2")[0])
            until(lambda: blob(before, other) == 200)
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def test_a_clock_that_jumps_ends_trust_and_comes_back(folder: Path) -> None:
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    if not found:
        pytest.skip("not installed: faketime")
    offset = folder / "offset"
    offset.write_text("+0d\n")
    host, image = prepared(folder, {}, "--expires", "30d")
    port = int(host.rpartition(":")[2])
    moved = {
        "LD_PRELOAD": str(found[0]),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",  # which no machine lets jump
    }
    with (
        same_registry(folder / "registry", port),
        kubernetes_gate(folder, host, SERVICE, environment=moved) as gate,
        gateway(folder, host, environment=moved) as before,
    ):
        world = World(folder, host, image, gate)

        def judged(admitted: bool) -> bool:
            status = 200 if admitted else 403
            return world.ask(world.pinned)[0] is admitted and blob(before, image) == status

        for jump, admitted in (("+0d", True), ("+400d", False), ("+0d", True)):
            offset.write_text(f"{jump}\n")
            until(partial(judged, admitted))
            assert world.ask(world.tagged)[0] is admitted
