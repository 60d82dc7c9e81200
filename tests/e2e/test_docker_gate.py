"""The Docker gate at a real engine."""

import http.client
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.daemons import CannotStartError, DockerEngine, Registry, docker_engine
from tests.e2e.program import Program
from tests.e2e.service import clean, until
from tests.e2e.small_images import imported

pytestmark = pytest.mark.real
PLUGINS = Path("/run/docker/plugins")


@dataclass
class Guarded:
    """An engine with the gate before it."""

    engine: DockerEngine
    folder: Path
    program: Program
    name: str
    process: "subprocess.Popen[bytes] | None" = None

    def docker(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """The client."""
        return subprocess.run(
            ["docker", "--host", self.engine.url, *words],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def open(self) -> None:
        """Start the gate."""
        environment = {
            **clean({"LAYERPROOF_INDEX": str(self.program.index), "DOCKER_HOST": self.engine.url}),
            "LAYERPROOF_POLICY": str(self.folder / "policy.yaml"),
        }
        command = [sys.executable, "-m", "layerproof.cli.main", "gate", "docker", "serve"]
        command += ["--socket", str(self.socket), "--host", "node-1", "--wait", "60"]
        with (self.folder / "gate.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        until(self._answers)

    def close(self, *, kill: bool = False) -> None:
        """End the gate."""
        assert self.process is not None
        if kill:
            self.process.kill()
        else:
            self.process.terminate()
        self.process.wait(30)

    @property
    def socket(self) -> Path:
        return PLUGINS / f"{self.name}.sock"

    def policy(self, text: str) -> None:
        """Another policy."""
        head = "apiVersion: layerproof/v1\nkind: Policy\n"
        new = self.folder / "policy.new"
        new.write_text(head + text)
        os.replace(new, self.folder / "policy.yaml")

    def raw(self, method: str, target: str, body: bytes, kind: str = "application/json") -> Any:
        """A request as no client writes it; status and body."""
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(self.engine.socket))
        connection.putrequest(method, target, skip_host=False)
        connection.putheader("Content-Type", kind)
        connection.putheader("Content-Length", str(len(body)))
        try:
            connection.endheaders()
            with suppress(BrokenPipeError):  # the engine may refuse before it has read all
                connection.send(body)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "gate.log").read_text()
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.socket)) == 0


@contextmanager
def guarded(folder: Path, name: str) -> Iterator[Guarded]:
    """An engine of its own, the gate, a trusted image `good:1` and one that is not, `evil:1`."""
    folder.mkdir(parents=True, exist_ok=True)
    program = Program(folder / "index.db")
    with docker_engine(folder / "e") as bare:
        good = imported(bare.url, "good", "good:1", folder)
        imported(bare.url, "evil", "evil:1", folder)
        trusted = Program(program.index, {"DOCKER_HOST": bare.url})
        outcome = trusted.run("trust", "add", f"docker-daemon:{good}", "--reason", "golden")
        assert outcome.code == 0, outcome.complaints
    found = Guarded(DockerEngine(folder / "e" / "docker.sock", folder / "e"), folder, program, name)
    found.policy("")
    PLUGINS.mkdir(parents=True, exist_ok=True)
    found.open()
    try:
        with docker_engine(folder / "e", f"--authorization-plugin={name}"):
            yield found
    finally:
        found.close()


@pytest.fixture(scope="module")
def gate(short_folder: Path) -> Iterator[Guarded]:
    try:
        with guarded(short_folder / "gate", f"lp{os.getpid()}") as found:
            yield found
    except CannotStartError as error:
        pytest.skip(f"no Docker Engine: {error}")


def run(gate: Guarded, image: str) -> "subprocess.CompletedProcess[str]":
    return gate.docker("run", "--rm", "--network", "none", image, "/run-me")


def create(gate: Guarded, image: str, target: str = "/v1.41/containers/create") -> int:
    body = json.dumps({"Image": image, "Cmd": ["/run-me"]}).encode()
    status: int = gate.raw("POST", target, body)[0]
    return status


def test_untrusted_image_is_refused_and_a_trusted_one_runs(gate: Guarded) -> None:
    done = run(gate, "good:1")
    assert (done.returncode, done.stdout) == (0, "good ran\n"), done.stderr
    for words in (("run", "--rm"), ("create",)):
        refused = gate.docker(*words, "--network", "none", "evil:1", "/run-me")
        assert refused.returncode != 0
        assert "Layerproof: untrusted" in refused.stderr
        assert "evil ran" not in refused.stdout


def test_by_id_and_by_the_api_as_compose_asks_it(gate: Guarded) -> None:
    for image, status in (("good:1", 201), ("evil:1", 403)):
        identity = gate.docker("image", "inspect", "-f", "{{.Id}}", image).stdout.strip()
        assert create(gate, image) == status
        assert create(gate, identity) == status
        assert create(gate, identity.removeprefix("sha256:")[:12]) == status


def test_name_that_was_moved_to_an_untrusted_image_is_refused(gate: Guarded) -> None:
    assert gate.docker("tag", "evil:1", "moved:1").returncode == 0
    assert create(gate, "moved:1") == 403
    assert gate.docker("tag", "good:1", "moved:1").returncode == 0
    assert create(gate, "moved:1") == 201


def test_by_digest_pulled_from_a_registry(gate: Guarded, open_registry: Registry) -> None:
    for image, code in (("good", 0), ("evil", 125)):
        name = f"{open_registry.host}/{image}"
        assert gate.docker("tag", f"{image}:1", f"{name}:1").returncode == 0
        pushed = gate.docker("push", f"{name}:1")
        assert pushed.returncode == 0, pushed.stderr
        gate.docker("image", "rm", f"{name}:1")
        digest = next(w for w in pushed.stdout.split() if w.startswith("sha256:") and len(w) == 71)
        pulled = gate.docker("pull", f"{name}@{digest}")
        assert pulled.returncode == 0, pulled.stderr
        assert run(gate, f"{name}@{digest}").returncode == code


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("/v1.41/containers/create", b'{"Image":"good:1","image":"evil:1"}'),
        ("/v1.41/containers/create", b'{"Image":"good:1","Image":"evil:1"}'),
        ("/v1.41/containers/create", b""),
        ("//v1.41/containers/create", b'{"Image":"evil:1"}'),
        ("http://localhost/v1.41/containers/create", b'{"Image":"evil:1"}'),
        ("/v1.41/%63ontainers/create", b'{"Image":"evil:1"}'),
        ("/v1.41/containers%2fcreate", b'{"Image":"evil:1"}'),
        ("/v1.41/containers/create", b'{"Image":"evil:1","x":"' + b"y" * (1 << 20) + b'"}'),
    ],
)
def test_request_made_to_get_by_makes_no_container(gate: Guarded, target: str, body: bytes) -> None:
    before = gate.docker("ps", "-aq").stdout
    status, said = gate.raw("POST", target, body)
    assert status != 201, said
    assert gate.docker("ps", "-aq").stdout == before


def test_start_is_refused_once_trust_has_ended_and_the_rest_goes_on(gate: Guarded) -> None:
    made = gate.docker("create", "--network", "none", "good:1", "/run-me").stdout.strip()
    (record,) = gate.program.run("trust", "list").documents
    revoked = gate.program.run("trust", "revoke", record["id"], "--reason", "stolen")
    assert revoked.code == 0, revoked.complaints
    refused = gate.docker("start", made)
    assert "Layerproof" in refused.stderr
    again = gate.program.run("trust", "add", record["configDigest"], "--reason", "new key")
    assert again.code == 0, again.complaints
    assert gate.docker("start", made).returncode == 0
    assert gate.docker("ps").returncode == 0


def test_build_plugins_and_copies_into_containers_are_refused(gate: Guarded) -> None:
    context = gate.folder / "context"
    context.mkdir(exist_ok=True)
    (context / "Dockerfile").write_text('FROM good:1\nRUN ["/run-me"]\n')
    built = subprocess.run(
        ["docker", "--host", gate.engine.url, "build", str(context)],
        env={**os.environ, "DOCKER_BUILDKIT": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "gates.docker.calls.build" in built.stderr
    made = gate.docker("create", "--network", "none", "good:1", "/run-me").stdout.strip()
    copied = gate.docker("cp", str(context / "Dockerfile"), f"{made}:/run-me")
    assert "gates.docker.calls.archive" in copied.stderr
    assert "plugins" in gate.docker("plugin", "disable", "x").stderr


def test_swarm_service_passes_the_gate_only_with_a_trusted_digest(gate: Guarded) -> None:
    def ask(image: str) -> tuple[int, str]:
        body = {"Name": "s", "TaskTemplate": {"ContainerSpec": {"Image": image}}}
        found = gate.raw("POST", "/v1.41/services/create", json.dumps(body).encode())
        return found[0], found[1]

    assert ask("good:1")[0] == 403
    assert ask("good@sha256:" + "0" * 64)[0] == 403
    good = gate.docker("image", "inspect", "-f", "{{.Id}}", "good:1").stdout.strip()
    record = gate.program.run("show", good).documents[0]
    if record["manifestDigest"]:
        status, said = ask(f"good:1@{record['manifestDigest']}")
        assert status != 403, said  # the engine itself answers: it is in no swarm


def test_observed_refusals_are_counted_and_reported(gate: Guarded) -> None:
    gate.policy("mode: observe\n")
    until(lambda: run(gate, "evil:1").stdout == "evil ran\n")

    def counted() -> bool:
        found = gate.program.run("gate", "report", "--gate", "docker")
        return any(
            (d["decided"], d["decision"], d["mode"]) == ("refuse", "admit", "observe")
            for d in found.documents
        )

    until(counted)
    gate.policy("")
    until(lambda: run(gate, "evil:1").returncode == 125)


def test_gate_that_is_killed_refuses_all_and_recovers_by_itself(gate: Guarded) -> None:
    gate.close(kill=True)
    refused = gate.docker("run", "--rm", "--network", "none", "evil:1", "/run-me")
    assert refused.returncode != 0
    assert "evil ran" not in refused.stdout
    gate.open()  # over the socket that was left behind
    assert run(gate, "good:1").stdout == "good ran\n"
    assert run(gate, "evil:1").returncode == 125


def test_status_says_that_it_bites_and_that_it_does_not(gate: Guarded) -> None:
    daemon = gate.folder / "daemon.json"
    daemon.write_text(json.dumps({"authorization-plugins": [gate.name]}))
    asked = Program(gate.program.index, {"DOCKER_HOST": gate.engine.url})
    words = ("gate", "docker", "status", "--daemon-json", str(daemon))
    good = asked.run(*words, "--socket", str(gate.socket))
    assert good.code == 0, good.output
    assert good.documents[0]["bites"] is True
    bad = asked.run(*words, "--socket", str(gate.folder / "nobody.sock"))
    assert bad.code == 1
    assert bad.documents[0]["bites"] is False
