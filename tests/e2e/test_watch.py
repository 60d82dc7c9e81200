"""The monitors at a real engine and a real containerd: what starts behind a gate's back."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.daemons import CannotStartError, DockerEngine, containerd
from tests.e2e.program import Program
from tests.e2e.service import clean, until
from tests.e2e.small_images import imported

pytestmark = pytest.mark.real


@dataclass
class Watch:
    """A running monitor and its log."""

    log: Path

    def lines(self) -> list[dict[str, Any]]:
        text = self.log.read_text(errors="replace").splitlines()
        return [json.loads(line) for line in text if line.startswith("{")]

    def notices(self, kind: str) -> list[dict[str, Any]]:
        found = [line for line in self.lines() if line.get("event") == "notice"]
        return [line for line in found if line["kind"] == kind]


@contextmanager
def watching(
    program: Program, policy: str, log: Path, *words: str, **variables: str
) -> Iterator[Watch]:
    file = log.with_suffix(".yaml")
    file.write_text("apiVersion: layerproof/v1\nkind: Policy\n" + policy)
    command = [sys.executable, "-m", "layerproof.cli.main", "watch", *words, "--host", "node-1"]
    environment = clean(
        {"LAYERPROOF_INDEX": str(program.index), "LAYERPROOF_POLICY": str(file), **variables}
    )
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
    try:
        yield Watch(log)
        assert process.poll() is None, log.read_text()
    finally:
        process.terminate()
        process.wait(30)


def docker(engine: DockerEngine, *words: str) -> str:
    done = subprocess.run(
        ["docker", "--host", engine.url, *words], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def stays(engine: DockerEngine, image: str) -> str:
    return docker(engine, "run", "-d", "--network", "none", image, "/run-me", "stay")


@dataclass
class Place:
    engine: DockerEngine
    folder: Path
    program: Program
    good: str
    evil: str


@pytest.fixture(scope="module")
def place(engine: DockerEngine, short_folder: Path) -> Iterator[Place]:
    folder = short_folder / "watch"
    folder.mkdir()
    try:
        good = imported(engine.url, "good", "watch-good:1", folder)
        evil = imported(engine.url, "evil", "watch-evil:1", folder)
    except CannotStartError as error:
        pytest.skip(str(error))
    program = Program(folder / "index.db", {"DOCKER_HOST": engine.url})
    assert program.run("trust", "add", f"docker-daemon:{good}", "--reason", "golden").code == 0
    yield Place(engine, folder, program, good, evil)
    for container in docker(engine, "ps", "-aq").split():
        docker(engine, "rm", "-f", container)


def test_what_is_started_without_a_gate_is_found_within_seconds_and_killed(place: Place) -> None:
    policy = "gates: {docker: {running: kill}}\n"
    log = place.folder / "kill.log"
    with watching(place.program, policy, log, "docker", DOCKER_HOST=place.engine.url) as watch:
        good = stays(place.engine, "watch-good:1")
        until(lambda: any(line.get("container") == good[:12] for line in watch.lines()))
        began = time.time()
        evil = stays(place.engine, "watch-evil:1")
        until(lambda: any(line.get("container") == evil[:12] for line in watch.lines()))
        found = next(line for line in watch.lines() if line.get("container") == evil[:12])
        assert _seconds(found["timestamp"]) - began < 5
        until(lambda: watch.notices("reaction") != [])
        assert evil[:12] not in docker(place.engine, "ps", "-q")
        assert good[:12] in docker(place.engine, "ps", "-q")
        until(lambda: {"start", "stop"} <= kinds(place.program))
    docker(place.engine, "rm", "-f", good, evil)


def kinds(program: Program) -> set[str]:
    events = program.run("events", "list").documents
    return {event["event"] for event in events if event["host"] == "node-1"}


def test_trust_that_ends_while_it_runs_is_found_and_the_container_paused(place: Place) -> None:
    policy = "gates: {docker: {running: pause}}\n"
    log = place.folder / "pause.log"
    made = stays(place.engine, "watch-good:1")
    with watching(place.program, policy, log, "docker", DOCKER_HOST=place.engine.url) as watch:
        until(lambda: any(line.get("container") == made[:12] for line in watch.lines()))
        listed = place.program.run("trust", "list").documents
        record = next(r for r in listed if r["configDigest"] == place.good)
        revoked = place.program.run("trust", "revoke", record["id"], "--reason", "stolen")
        assert revoked.code == 0, revoked.complaints
        until(lambda: watch.notices("reaction") != [])
    state = docker(place.engine, "inspect", "-f", "{{.State.Paused}}", made)
    assert state == "true"
    docker(place.engine, "unpause", made)  # as the audit says how
    docker(place.engine, "rm", "-f", made)
    again = place.program.run("trust", "add", place.good, "--reason", "again")
    assert again.code == 0, again.complaints


def test_quarantine_kills_fetches_and_withdraws(place: Place) -> None:
    policy = "gates: {docker: {running: quarantine}}\n"
    log = place.folder / "quarantine.log"
    evil = stays(place.engine, "watch-evil:1")
    with watching(place.program, policy, log, "docker", DOCKER_HOST=place.engine.url) as watch:
        until(lambda: watch.notices("reaction") != [])
    assert evil[:12] not in docker(place.engine, "ps", "-q")
    found = place.program.run("withdrawals").documents
    assert [w["withdrawnBy"] for w in found] == ["watch docker on node-1"]
    released = place.program.run("pull", "--release", found[0]["id"], "--reason", "a test")
    assert released.code == 0, released.complaints
    docker(place.engine, "rm", "-f", evil)


def test_once_lists_what_runs_and_says_whether_all_is_well(place: Place) -> None:
    good = stays(place.engine, "watch-good:1")
    fine = place.program.run("watch", "docker", "--once")
    assert fine.code == 0, fine.complaints
    evil = stays(place.engine, "watch-evil:1")
    bad = place.program.run("watch", "docker", "--once")
    assert bad.code == 1
    by_id = {d["container"]: d["decided"] for d in bad.documents}
    assert by_id == {good: "admit", evil: "refuse"}
    docker(place.engine, "rm", "-f", good, evil)


@pytest.fixture(scope="module")
def runtime(short_folder: Path) -> Iterator[Path]:
    try:
        with containerd(short_folder / "cd") as path:
            yield path
    except CannotStartError as error:
        pytest.skip(f"no containerd: {error}")


def ctr(path: Path, *words: str) -> str:
    done = subprocess.run(
        ["ctr", "--address", str(path), *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_container_of_ctr_is_known_by_its_snapshot_whatever_its_image_is_called(
    place: Place, runtime: Path
) -> None:
    for image in ("watch-good:1", "watch-evil:1"):
        file = place.folder / "image.tar"
        docker(place.engine, "save", "-o", str(file), image)
        ctr(runtime, "images", "import", str(file))
    log = place.folder / "containerd.log"
    policy = "gates: {containerd: {running: kill}}\n"
    # An index that has never seen the image: it is read from containerd.
    program = Program(place.folder / "other.db", {"DOCKER_HOST": place.engine.url})
    assert program.run("trust", "add", f"docker-daemon:{place.good}", "--reason", "g").code == 0
    with watching(program, policy, log, "containerd", "--address", str(runtime)) as watch:
        run = ("run", "-d", "--null-io", "docker.io/library/watch-good:1", "fine")
        ctr(runtime, *run, "/run-me", "stay")
        until(lambda: any(line.get("container") == "fine" for line in watch.lines()))
        began = time.time()
        evil = "docker.io/library/watch-evil:1"
        ctr(runtime, "run", "-d", "--null-io", evil, "hidden", "/run-me", "stay")
        # The name is moved away at once; the snapshot stays what it is.
        good = "docker.io/library/watch-good:1"
        ctr(runtime, "images", "tag", "--force", good, evil)
        until(lambda: any(line.get("container") == "hidden" for line in watch.lines()))
        found = next(line for line in watch.lines() if line.get("container") == "hidden")
        assert _seconds(found["timestamp"]) - began < 5
        until(lambda: watch.notices("reaction") != [])
        tasks = ctr(runtime, "tasks", "ls")
        assert "fine" in tasks
        assert not any("hidden" in line and "RUNNING" in line for line in tasks.splitlines())
    for name in ("fine", "hidden"):
        subprocess.run(
            ["ctr", "--address", str(runtime), "tasks", "rm", "-f", name],
            capture_output=True,
            check=False,
        )
        ctr(runtime, "containers", "rm", name)


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
