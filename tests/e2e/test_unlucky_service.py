"""The service in bad luck: killed at the worst moment, with registries that are down, slow or lie.
Nothing that it accepted is lost, nothing that it was told is believed."""

import json
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.e2e.daemons import REGISTRY_CONFIG, Registry, accepts, free_port, serving
from tests.e2e.made_image import write_image
from tests.e2e.service import Running, pretty, service, until

from layerproof.model.digest import Digest
from layerproof.testing.images import BuiltImage, build
from layerproof.testing.registry import InMemoryRegistry

pytestmark = pytest.mark.real
OCI = "application/vnd.oci.image.manifest.v1+json"


@dataclass
class World:
    """A service in a folder, which can be killed and started again, and its registry."""

    folder: Path
    registry: InMemoryRegistry

    @property
    def environment(self) -> dict[str, str]:
        return {"LAYERPROOF_INSECURE_REGISTRIES": self.registry.host}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with InMemoryRegistry() as registry:
        yield World(tmp_path, registry)


def image(name: str) -> BuiltImage:
    return build([{f"etc/{name}": name.encode()}, {f"opt/{name}": name.encode()}])


def pushed(identity: str, digest: str, repository: str, **more: Any) -> dict[str, Any]:
    """A push, as CNCF Distribution reports it."""
    return {
        "id": identity,
        "timestamp": datetime.now(UTC).isoformat(),
        "action": "push",
        "target": {"mediaType": OCI, "digest": digest, "repository": repository, "tag": "1"},
        "request": {"addr": "192.0.2.1:1234", "host": "elsewhere.example"},
        "actor": {"name": "alice"},
        **more,
    }


def tell(running: Running, token: str, *events: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"}
    where = f"{running.url}/api/v1/notifications"
    return httpx.post(where, json={"events": list(events)}, headers=headers, timeout=30)


def jobs(running: Running) -> dict[str, dict[str, Any]]:
    """By repository and tag."""
    found = {}
    for job in running.items("/jobs?limit=500"):
        if job["job"] == "index":
            found[job["key"].split("/", 3)[-1].partition("@")[0]] = job
    return found


def judged(running: Running) -> set[str]:
    return {item["manifestDigest"] for item in running.items("/verdicts?limit=500")}


def test_killed_right_after_its_answer_it_loses_nothing(world: World) -> None:
    digest = world.registry.add_image("team/app", "1", image("app"))
    with service(world.folder, world.environment) as running:
        token = running.notifier(world.registry.host)
        answer = tell(running, token, pushed("1", digest, "team/app"))
        running.process.send_signal(signal.SIGKILL)
        assert answer.status_code == 202
        running.process.wait()
    with service(world.folder, world.environment) as running:
        until(lambda: digest in judged(running))
        assert [event["event"] for event in running.items("/events")] == ["push"]
        until(lambda: jobs(running)["team/app:1"]["state"] == "done")


def test_killed_before_its_answer_a_report_that_comes_again_counts_once(world: World) -> None:
    digest = world.registry.add_image("team/app", "1", image("app"))
    events = [pushed(f"id-{number}", digest, f"team/app{number}") for number in range(400)]
    answered: set[int] = set()
    with service(world.folder, world.environment, "--workers", "0") as running:
        token = running.notifier(world.registry.host)

        def send(numbers: range) -> None:
            for number in numbers:
                try:
                    if tell(running, token, events[number]).status_code == 202:
                        answered.add(number)
                except httpx.HTTPError:
                    return

        senders = [threading.Thread(target=send, args=(range(n, 400, 4),)) for n in range(4)]
        for sender in senders:
            sender.start()
        until(lambda: len(answered) > 20)
        running.process.send_signal(signal.SIGKILL)
        for sender in senders:
            sender.join()
        running.process.wait()
    assert len(answered) < 400
    with service(world.folder, world.environment, "--workers", "0") as running:
        kept = {event["id"].split()[-1] for event in everything(running, "/events")}
        assert kept >= {f"id-{number}" for number in answered}
        for number, event in enumerate(events):
            if number not in answered or number % 7 == 0:
                assert tell(running, token, event).status_code == 202
        found = everything(running, "/events")
        assert len(found) == len({event["id"] for event in found}) == 400
        assert len({job["key"] for job in everything(running, "/jobs")}) >= 400


def everything(running: Running, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    after = ""
    while True:
        page = running.ask("GET", f"{path}?limit=200&after={after}").json()
        found += page["items"]
        if page["after"] is None:
            return found
        after = page["after"]


@pytest.fixture
def running(world: World) -> Iterator[Running]:
    with service(world.folder, world.environment) as found:
        yield found


def test_hostile_reports_change_nothing_and_the_next_one_is_taken(
    world: World, running: Running
) -> None:
    token = running.notifier(world.registry.host)
    other = running.notifier("other.example")
    digest = world.registry.add_image("team/app", "1", image("app"))
    where = f"{running.url}/api/v1/notifications"
    good = json.dumps({"events": [pushed("1", digest, "team/app")]}).encode()
    events_type = "application/vnd.docker.distribution.events.v2+json"

    def post(data: bytes, given: str = token, kind: str = events_type) -> int:
        headers = {"Authorization": f"Bearer {given}", "Content-Type": kind}
        return httpx.post(where, content=data, headers=headers, timeout=60).status_code

    assert post(good, given="lp_000000000000_wrong") == 401
    assert post(good, given="eyJhbGciOiJub25lIn0.e30.") == 401
    assert post(good, given=running.token) == 422  # an administrator speaks for no registry
    assert post(good, kind="text/plain") == 415
    assert post(good[:-1]) == 400
    assert post(b"[" * 100_000) == 400
    assert post(b'{"events":' + b"[" * 5_000 + b"]" * 5_000 + b"}") == 400
    assert post(b'{"a":' * 3_000 + b"1" + b"}" * 3_000) == 400
    assert post(good.replace(b'"alice"', b'"a\\u001b[2J"')) == 400
    assert post(b"x" * (17 << 20)) == 413
    assert running.items("/events") == []
    # A token of another registry speaks for that one, whatever the report says.
    assert post(good, given=other) == 202
    assert {event["registry"] for event in running.items("/events")} == {"other.example"}
    assert post(good) == 202
    assert post(good) == 202
    until(lambda: digest in judged(running))
    mine = [e for e in running.items("/events") if e["registry"] == world.registry.host]
    assert len(mine) == 1
    metrics = running.ask_root("/metrics").text
    assert 'layerproof_notifications_refused_total{reason="bad-event"}' in metrics
    assert 'layerproof_notifications_refused_total{reason="bad-media-type"}' in metrics


def test_reports_in_any_order_and_from_any_time_add_up_to_the_same(
    world: World, running: Running
) -> None:
    token = running.notifier(world.registry.host)
    digest = world.registry.add_image("team/app", "1", image("app"))
    now = datetime.now(UTC)

    def at(days: float) -> str:
        return (now + timedelta(days=days)).isoformat()

    bob = {"name": "bob"}
    for event in (
        pushed("3", digest, "team/app", action="delete", timestamp=at(-1)),
        pushed("2", digest, "team/app", action="pull", actor=bob, timestamp=at(-8)),
        pushed("4", digest, "team/app", timestamp=at(40_000), actor=bob),
        pushed("1", digest, "team/app", timestamp=at(-9)),
    ):
        assert tell(running, token, event).status_code == 202
    until(lambda: digest in judged(running))
    chain = running.ask("GET", "/verdicts").json()["items"][0]["layers"][0]["chainId"]
    context = running.ask("GET", f"/layers/{chain}").json()["context"]
    host = world.registry.host
    assert context["pushers"] == [f"alice@{host}", f"bob@{host}"]
    assert context["pullers"] == [f"bob@{host}"]
    assert context["firstSeen"] == at(-9)
    assert datetime.fromisoformat(context["lastSeen"]) < datetime.now(UTC) + timedelta(minutes=1)
    late = next(e for e in running.items("/events") if e["id"].endswith(" 4"))
    assert late["details"]["claimedAt"] == at(40_000)


def test_a_registry_that_lies_is_not_believed_and_hinders_no_other(
    world: World, running: Running
) -> None:
    token = running.notifier(world.registry.host)
    registry = world.registry
    good, manifest, blob = image("good"), image("manifest"), image("blob")
    digests = {
        "good": registry.add_image("lies/good", "1", good),
        "manifest": registry.add_image("lies/manifest", "1", manifest),
        "blob": registry.add_image("lies/blob", "1", blob),
        "tag": registry.add_image("lies/tag", "1", image("tag")),
    }
    registry.faults.wrong_bytes[digests["manifest"]] = good.manifest
    lied = next(iter(blob.blobs))
    registry.faults.wrong_bytes[lied] = blob.blobs[lied][:-1] + b"\xff"
    # By the time that it is fetched, the tag names another image.
    moved = registry.add_image("lies/tag", "1", image("moved"))
    for name in ("manifest", "blob", "tag", "good"):
        event = pushed(name, digests[name], f"lies/{name}")
        assert tell(running, token, event).status_code == 202
    until(lambda: {digests["good"], digests["tag"]} <= judged(running))
    lies = ("lies/manifest:1", "lies/blob:1")
    until(lambda: {jobs(running)[name]["state"] for name in lies} == {"failed"})
    found = jobs(running)
    assert found["lies/manifest:1"]["error"]["code"] == "digest-mismatch", pretty(found)
    assert found["lies/blob:1"]["error"]["code"] in ("digest-mismatch", "corrupt"), pretty(found)
    assert judged(running) == {digests["good"], digests["tag"]}
    assert moved not in judged(running)
    images = {item["manifestDigest"] for item in running.items("/images")}
    assert images == {digests["good"], digests["tag"]}


def test_a_slow_registry_keeps_no_other_job_waiting(world: World, running: Running) -> None:
    with InMemoryRegistry() as slow:
        slow.faults.slow_seconds = 0.5
        # its host is not one that may be spoken to plainly, but loopback is
        crawling = slow.add_image("slow/app", "1", image("slow"))
        token, other = running.notifier(world.registry.host), running.notifier(slow.host)
        digest = world.registry.add_image("team/app", "1", image("quick"))
        assert tell(running, other, pushed("1", crawling, "slow/app")).status_code == 202
        until(lambda: jobs(running)["slow/app:1"]["state"] == "running")
        assert tell(running, token, pushed("1", digest, "team/app")).status_code == 202
        until(lambda: digest in judged(running))
        assert crawling not in judged(running)
        job = jobs(running)["slow/app:1"]
        assert running.ask("POST", f"/jobs/{job['id']}/cancel").status_code == 200
        until(lambda: jobs(running)["slow/app:1"]["state"] == "cancelled")


@pytest.fixture
def real_registry(tmp_path: Path) -> tuple[list[str], int]:
    """What starts a CNCF registry, and where it listens."""
    import shutil

    if missing := [name for name in ("docker-registry", "skopeo") if not shutil.which(name)]:
        pytest.skip(f"not installed: {', '.join(missing)}")
    folder = tmp_path / "real"
    folder.mkdir()
    port = free_port()
    (folder / "config.yml").write_text(REGISTRY_CONFIG.format(folder=folder, port=port))
    return ["docker-registry", "serve", str(folder / "config.yml")], port


def listens(port: int) -> bool:
    return accepts(socket.AF_INET, ("127.0.0.1", port))


def copy_to(registry: Registry, layout: Path, name: str) -> Digest:
    done = subprocess.run(
        ["skopeo", "copy", "--dest-tls-verify=false", "--digestfile", f"{layout}.digest",
         f"oci:{layout}:latest", f"docker://{registry.host}/{name}"],
        capture_output=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return Digest(Path(f"{layout}.digest").read_text().strip())


def test_a_registry_that_is_down_is_asked_again_until_it_answers(
    tmp_path: Path, real_registry: tuple[list[str], int]
) -> None:
    command, port = real_registry
    registry = Registry(f"127.0.0.1:{port}", "", "")
    write_image(tmp_path / "image", layers=1, files=3)
    with serving(command, tmp_path / "log", lambda: listens(port)):
        digest = copy_to(registry, tmp_path / "image", "team/app:1")
    environment = {"LAYERPROOF_INSECURE_REGISTRIES": registry.host}
    with service(tmp_path, environment) as running:
        token = running.notifier(registry.host)
        assert tell(running, token, pushed("1", digest, "team/app")).status_code == 202
        until(lambda: bool(jobs(running)["team/app:1"]["error"]))
        job = jobs(running)["team/app:1"]
        assert (job["state"], job["error"]["code"]) == ("queued", "unreachable"), pretty(job)
        assert job["dueAt"] is not None
        with serving(command, tmp_path / "log", lambda: listens(port)):
            until(lambda: digest in judged(running))
            until(lambda: jobs(running)["team/app:1"]["state"] == "done")


CONFIG = """\
registries:
  - host: "{host}"
    repositories: ["team/**", tools/base]
    interval: 5s
    newestTags: 2
"""


def test_what_was_pushed_while_the_service_was_down_is_found_by_looking(
    tmp_path: Path, real_registry: tuple[list[str], int]
) -> None:
    command, port = real_registry
    registry = Registry(f"127.0.0.1:{port}", "", "")
    config = tmp_path / "service.yaml"
    config.write_text(CONFIG.format(host=registry.host))
    environment = {"LAYERPROOF_INSECURE_REGISTRIES": registry.host}
    wanted = {}
    names = ("team/app:1.9", "team/app:1.10", "team/deep/app:1", "tools/base:1")
    with serving(command, tmp_path / "log", lambda: listens(port)):
        for number, name in enumerate((*names, "team/app:1.8", "other/app:1")):
            layout = tmp_path / f"image{number}"
            write_image(layout, layers=1, files=number + 1)
            wanted[name] = copy_to(registry, layout, name)
        with service(tmp_path, environment, "--config", str(config)) as running:
            until(lambda: judged(running) >= {wanted[name] for name in names})
            events = running.items("/events?limit=500")
            assert {event["event"] for event in events} == {"sighting"}
            seen = {f"{event['repository']}:{event['tag']}" for event in events}
            assert seen == set(names)  # two newest tags of each, of what the globs choose
            # And what is pushed now, though nobody reports it.
            layout = tmp_path / "later"
            write_image(layout, layers=1, files=9)
            later = copy_to(registry, layout, "team/app:1.11")
            until(lambda: later in judged(running))
            assert len(running.items("/events?limit=500")) == len(names) + 1
