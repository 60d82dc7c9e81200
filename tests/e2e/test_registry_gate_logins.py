"""The registry gate before a registry with passwords: the gateway's own login, or the client's."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from tests.e2e.daemons import CannotStartError, Registry, registry
from tests.e2e.test_registry_gate import copy, gateway, run, trust

from layerproof.testing.images import BuiltImage, build, write_oci_layout

pytestmark = pytest.mark.real
USER, PASSWORD = "alice", "correct horse"


@dataclass(frozen=True)
class World:
    registry: Registry
    folder: Path
    good: BuiltImage
    evil: BuiltImage


@pytest.fixture(scope="module")
def world(short_folder: Path) -> Iterator[World]:
    folder = short_folder / "logins"
    folder.mkdir()
    if not shutil.which("skopeo"):
        pytest.skip("not installed: skopeo")
    good, evil = build([{"etc/motd": "hello\n"}]), build([{"tmp/miner": "x"}])
    write_oci_layout(folder / "layout", {"good": good, "evil": evil})
    try:
        with registry(folder / "registry", USER, PASSWORD) as running:
            for name in ("good", "evil"):
                login = ("--dest-creds", f"{USER}:{PASSWORD}")
                copy(folder / "layout", name, f"{running.host}/team/{name}:1", *login)
            running.docker_config(folder)
            trust(folder, running.host, f"docker://{running.host}/team/good:1")
            yield World(running, folder, good, evil)
    except CannotStartError as error:
        pytest.skip(f"no registry with passwords: {error}")


def test_with_its_own_login_the_gateway_reads_for_everybody(world: World) -> None:
    with gateway(world.folder, world.registry.host) as found:
        assert httpx.get(f"http://{found}/v2/").status_code == 200
        assert httpx.get(f"http://{found}/v2/team/good/manifests/1").status_code == 200
        assert httpx.get(f"http://{found}/v2/team/evil/manifests/1").status_code == 403


def test_with_the_clients_logins_only_they_can_pull(world: World, tmp_path: Path) -> None:
    options = ("--auth", "pass", "--cache", str(tmp_path / "cache"))
    with gateway(world.folder, world.registry.host, *options) as found:
        base = f"http://{found}/v2"
        asked = httpx.get(f"{base}/")
        assert asked.status_code == 401
        assert asked.headers["www-authenticate"].startswith("Basic realm=")
        right, wrong = (USER, PASSWORD), (USER, "wrong")
        assert httpx.get(f"{base}/", auth=right).status_code == 200
        assert httpx.get(f"{base}/", auth=wrong).status_code == 401
        manifest = f"{base}/team/good/manifests/1"
        assert httpx.get(manifest).status_code == 401
        assert httpx.get(manifest, auth=right).status_code == 200
        blob = f"{base}/team/good/blobs/{next(iter(world.good.blobs))}"
        for _ in range(2):  # the second time from the cache
            assert httpx.get(blob, auth=right).status_code == 200
            assert httpx.get(blob, auth=wrong).status_code == 401
            assert httpx.get(blob).status_code == 401
        assert httpx.get(manifest, auth=wrong).status_code == 401
        target = f"dir:{tmp_path}/image"
        pull = ("skopeo", "copy", "--src-tls-verify=false", "--src-creds", f"{USER}:{PASSWORD}")
        code, said = run(*pull, f"docker://{found}/team/good:1", target)
        assert code == 0, said
        code, said = run(*pull, f"docker://{found}/team/evil:1", target)
        assert code != 0
        assert "layerproof refuses" in said
    text = (world.folder / "gateway.log").read_text()
    assert PASSWORD not in text
