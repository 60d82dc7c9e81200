"""The service against a real registry with accounts: pushes arrive, are indexed and judged."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.e2e.daemons import CannotStartError, Registry, free_port
from tests.e2e.made_image import write_image
from tests.e2e.service import Running, clean, pretty, push, reporting_registry, service, until

pytestmark = pytest.mark.real
ALICE, MALLORY = "alice", "mallory"
POLICY = """\
apiVersion: layerproof/v1
kind: Policy
identities:
  builders:
    registries: ["{host}"]
    accounts: [alice]
"""


@dataclass(frozen=True)
class World:
    service: Running
    registries: dict[str, Registry]
    folder: Path

    @property
    def host(self) -> str:
        return self.registries[ALICE].host

    def push(self, layout: Path, account: str, name: str) -> None:
        push(layout, self.registries[account], name, self.folder)

    def until_judged(self, name: str) -> dict[str, Any]:
        """The verdict that the service made by itself on what was pushed under this name."""
        found: list[dict[str, Any]] = []

        def judged() -> bool:
            wanted = f"docker://{self.host}/{name}"
            kept = self.service.items("/verdicts?limit=500")
            found[:] = [item for item in kept if item["reference"].startswith(wanted)]
            return bool(found)

        until(judged)
        return found[0]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("service")
    port = free_port()
    host = f"127.0.0.1:{port}"
    (folder / "docker").mkdir()
    registry = Registry(host, ALICE, "one")
    environment = {
        "LAYERPROOF_INSECURE_REGISTRIES": host,
        "DOCKER_CONFIG": str(registry.docker_config(folder / "docker")),
    }
    with service(folder, environment) as running:
        policy = POLICY.format(host=host)
        body = {"text": policy, "reason": "who builds here"}
        answer = running.ask("PUT", "/policy", json=body)
        assert answer.status_code == 200, answer.text
        token = running.notifier(host)
        accounts = {ALICE: "one", MALLORY: "two"}
        try:
            with reporting_registry(folder / "registry", port, running, token, accounts) as found:
                yield World(running, found, folder)
        except CannotStartError as error:
            pytest.skip(f"no registry with accounts: {error}")


def rules(verdict: dict[str, Any], position: int) -> dict[str, str]:
    """By rule, whether it fails on the layer."""
    found = verdict["layers"][position]["findings"]
    return {finding["rule"]: finding["status"] for finding in found}


def test_trusted_pusher_tells_two_accounts_apart_and_a_mounted_layer_keeps_its_history(
    world: World,
) -> None:
    good, evil = world.folder / "good", world.folder / "evil"
    write_image(good, layers=2, files=20)
    write_image(evil, layers=3, files=20)
    world.push(good, ALICE, "team/app:1")
    first = world.until_judged("team/app:1")
    assert "trusted-pusher" not in rules(first, 0), pretty(first)
    world.push(evil, MALLORY, "other/app:1")
    second = world.until_judged("other/app:1")
    assert first["layers"][1]["chainId"] == second["layers"][1]["chainId"]
    # The lower layers were pushed by alice first, and mounted by mallory: their history stays.
    assert "trusted-pusher" not in rules(second, 1), pretty(second)
    assert rules(second, 2)["trusted-pusher"] == "fail", pretty(second)
    layer = world.service.ask("GET", f"/layers/{first['layers'][0]['chainId']}").json()
    context = layer["context"]
    assert context["pushers"] == [f"{ALICE}@{world.host}", f"{MALLORY}@{world.host}"]
    assert context["repositories"] == [f"{world.host}/other/app", f"{world.host}/team/app"]
    accounts = {item["account"] for item in world.service.items("/identities")}
    assert {ALICE, MALLORY} <= accounts
    mounts = world.service.items("/events?event=mount&limit=500")
    told = {
        (event["blobDigest"], event["account"], event["repository"],
         event["details"]["fromRepository"])
        for event in mounts
    }  # fmt: skip
    image = world.service.ask("GET", f"/images/{second['configDigest']}").json()
    lower = [layer["blobDigest"] for layer in image["layers"][:2]]
    assert {(blob, MALLORY, "other/app", "team/app") for blob in lower} <= told, pretty(mounts)
    assert all(event["manifestDigest"] is None for event in mounts)
    mounted = {item["account"]: item for item in context["mounts"]}
    assert mounted[MALLORY]["repository"] == f"{world.host}/other/app", pretty(context)
    # What makes no event is counted: blobs that were pushed, and pulled by our own indexing.
    metrics = world.service.ask_root("/metrics").text
    assert 'layerproof_notifications_left_out_total{what="blob-push"}' in metrics


def test_a_client_cannot_choose_where_it_comes_from_nor_silence_the_registry(world: World) -> None:
    layout = world.folder / "claimed"
    write_image(layout, layers=1, files=5)
    world.push(layout, ALICE, "team/claimed:1")
    world.until_judged("team/claimed:1")
    headers = {
        "X-Forwarded-For": "203.0.113.9",
        "User-Agent": "a\t" + "x" * 3000,
        "Accept": "application/vnd.oci.image.manifest.v1+json",
    }
    answer = httpx.get(
        f"http://{world.host}/v2/team/claimed/manifests/1", headers=headers, auth=(MALLORY, "two")
    )
    assert answer.status_code == 200

    def pulled() -> list[dict[str, Any]]:
        found = world.service.items(f"/events?event=pull&account={MALLORY}&limit=500")
        return [event for event in found if event["repository"] == "team/claimed"]

    until(lambda: bool(pulled()))
    (event,) = pulled()
    assert event["address"] is None
    assert event["details"]["claimedAddress"] == "203.0.113.9"


def test_a_forged_report_is_refused_and_changes_nothing(world: World) -> None:
    before = world.service.ask("GET", "/events?limit=500").json()["items"]
    report: dict[str, list[str]] = {"events": []}
    for token in ("", "Bearer wrong", f"Basic {world.service.token}"):
        headers = {"Authorization": token} if token else {}
        answer = httpx.post(
            f"{world.service.url}/api/v1/notifications", json=report, headers=headers
        )
        assert answer.status_code == 401
        assert answer.headers["content-type"] == "application/problem+json"
    assert world.service.ask("GET", "/events?limit=500").json()["items"] == before


def test_a_decision_by_digest_is_that_of_the_verdict(world: World) -> None:
    layout = world.folder / "decided"
    write_image(layout, layers=1, files=5)
    world.push(layout, ALICE, "team/decided:1")
    verdict = world.until_judged("team/decided:1")
    answers = [
        world.service.ask("POST", "/decisions", json={"image": verdict["manifestDigest"]})
        for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json()["decision"] == verdict["decision"]
    assert answers[0].content == answers[1].content


def test_the_command_line_asks_the_service_as_it_asks_an_index(world: World) -> None:
    layout = world.folder / "asked"
    write_image(layout, layers=2, files=5)
    world.push(layout, ALICE, "team/asked:1")
    verdict = world.until_judged("team/asked:1")
    name = f"docker://{world.host}/team/asked:1"
    code, shown = run(world, "check", name)
    assert code == 1, shown  # no base is trusted
    assert "REFUSE" in shown
    assert run(world, "show", name)[0] == 0
    code, shown = run(world, "trust", "add", verdict["manifestDigest"], "--reason", "a base")
    assert code == 0, shown
    code, shown = run(world, "--server", world.service.url, "trust", "list", "--output", "json")
    assert "team/asked" in shown
    for command in (["events", "list"], ["jobs", "list"], ["token", "list"], ["verdicts"],
                    ["withdrawals"], ["find", "path", "/usr"]):  # fmt: skip
        code, shown = run(world, *command)
        assert code in (0, 1), shown
        assert "defect" not in shown
    code, shown = run(world, "diff", name)
    assert code == 2
    assert "--server" in shown


def run(world: World, *arguments: str) -> tuple[int, str]:
    """The program with the service's address and token: exit code, and all that it said."""
    environment = clean(
        {"LAYERPROOF_SERVER": world.service.url, "LAYERPROOF_TOKEN": world.service.token}
    )
    done = subprocess.run(
        [sys.executable, "-m", "layerproof.cli.main", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr
