"""What the gates of Kubernetes and of registries do when something that they need is gone: what the
policy says, in time, with the reason; and they mend by themselves."""

import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
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
def kubernetes_gate(folder: Path, host: str, config: str, *more: str) -> Iterator[str]:
    port = free_port()
    (folder / "service.yaml").write_text(config)
    command = [sys.executable, "-m", "layerproof.cli.main", "gate", "kubernetes", "serve"]
    command += ["--listen", f"127.0.0.1:{port}", "--config", str(folder / "service.yaml"), *more]
    with (folder / "kubernetes.log").open("ab") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env=variables(folder, host, {}),
        )  # fmt: skip
    try:
        address = ("127.0.0.1", port)
        until(lambda: process.poll() is not None or accepts(socket.AF_INET, address))
        assert process.poll() is None, (folder / "kubernetes.log").read_text()
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def same_registry(folder: Path, port: int) -> Iterator[None]:
    """One that was there before, at the same port."""
    command = ["docker-registry", "serve", str(folder / "config.yml")]
    with serving(command, folder / "log", lambda: accepts(socket.AF_INET, ("127.0.0.1", port))):
        yield


def prepared(folder: Path) -> tuple[str, BuiltImage]:
    """A registry's data, and an index that trusts what is in it; the registry has ended."""
    image = build([{"etc/motd": "hello\n"}])
    write_oci_layout(folder / "layout", {"app": image})
    with registry(folder / "registry") as running:
        copy(folder / "layout", "app", f"{running.host}/team/app:1")
        trust(folder, running.host, f"docker://{running.host}/team/app:1")
        return running.host, image


@pytest.fixture
def folder(short_folder: Path) -> Iterator[Path]:
    found = short_folder / "trouble"
    found.mkdir()
    if not shutil.which("skopeo"):
        pytest.skip("not installed: skopeo")
    yield found
    shutil.rmtree(found)


def test_a_registry_that_is_gone_and_comes_back(folder: Path) -> None:
    try:
        host, image = prepared(folder)
    except CannotStartError as error:
        pytest.skip(f"no registry: {error}")
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
    try:
        host, image = prepared(folder)
    except CannotStartError as error:
        pytest.skip(f"no registry: {error}")
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
