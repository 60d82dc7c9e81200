"""Real programs against the in-memory registry, and our client against a real registry."""

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from layerproof.model.digest import DiffId, Digest, chain_ids
from layerproof.model.image import Image
from layerproof.model.reference import parse_reference
from layerproof.oci.limits import Limits
from layerproof.sources.registry.credentials import CredentialProvider, NoCredentials
from layerproof.sources.registry.docker_config import DockerConfig
from layerproof.sources.registry.settings import RegistrySettings
from layerproof.sources.registry.source import RegistrySource
from layerproof.testing.registry import InMemoryRegistry

pytestmark = pytest.mark.real

IMAGE = "dive-test-docker-image.tar"


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def attempt(*command: str | Path, **options: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,  # the caller looks
        **options,
    )


def run(*command: str | Path, **options: object) -> str:
    done = attempt(*command, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def read_all(host: str, name: str, credentials: CredentialProvider) -> Image:
    """Resolve an image and check every layer against its descriptor."""
    source = RegistrySource(
        parse_reference(f"docker://{host}/{name}"),
        limits=Limits(),
        credentials=credentials,
        settings=RegistrySettings(insecure_hosts=frozenset({host})),
    )
    try:
        image = source.resolve(None)
        for layer, chunks in source.layers(range(len(image.layers))):
            assert layer is not None
            assert layer.blob is not None
            assert Digest.of(b"".join(chunks)) == layer.blob.digest
        return image
    finally:
        source.close()


@pytest.fixture
def archive(shared_data: Path) -> Path:
    found = shared_data / "images" / IMAGE
    if not found.is_file():
        pytest.skip(f"{found.name} is not there")
    return found


def copy(archive: Path, host: str, name: str, login: str = "") -> None:
    creds = ["--dest-creds", login] if login else []
    run(
        program("skopeo"), "copy", "--quiet", "--dest-tls-verify=false", *creds,
        f"docker-archive:{archive}", f"docker://{host}/{name}",
    )  # fmt: skip


# --- skopeo and podman against the registry in memory --------------------------------------------


@pytest.mark.parametrize("token_auth", [False, True])
def test_skopeo_pushes_and_pulls(archive: Path, tmp_path: Path, token_auth: bool) -> None:
    skopeo = program("skopeo")
    with InMemoryRegistry(accounts={"alice": "pw"}, token_auth=token_auth) as registry:
        copy(archive, registry.host, "team/app:1", "alice:pw")
        run(
            skopeo, "copy", "--quiet", "--src-tls-verify=false", "--src-creds", "alice:pw",
            f"docker://{registry.host}/team/app:1", f"dir:{tmp_path}/out",
        )  # fmt: skip
        stored = registry.manifest("team/app", "1")
        assert stored is not None
        assert (tmp_path / "out" / "manifest.json").read_bytes() == stored.data
        tags = run(
            skopeo, "list-tags", "--tls-verify=false", "--creds", "alice:pw",
            f"docker://{registry.host}/team/app",
        )  # fmt: skip
        assert json.loads(tags)["Tags"] == ["1"]
        assert registry.errors == []
        assert {r.user for r in registry.requests if r.status == 201} == {"alice"}


def test_skopeo_is_refused_with_a_wrong_password(archive: Path) -> None:
    skopeo = program("skopeo")
    with InMemoryRegistry(accounts={"alice": "pw"}, token_auth=True) as registry:
        done = attempt(
            skopeo, "copy", "--dest-tls-verify=false", "--dest-creds", "alice:no",
            f"docker-archive:{archive}", f"docker://{registry.host}/team/app:1",
        )  # fmt: skip
        assert done.returncode != 0
        assert registry.repositories() == []


def test_anybody_pulls_where_only_pushing_needs_a_login(archive: Path) -> None:
    skopeo = program("skopeo")
    for token_auth in (False, True):
        with InMemoryRegistry(
            accounts={"alice": "pw"}, token_auth=token_auth, anonymous_pull=True
        ) as registry:
            copy(archive, registry.host, "team/app:1", "alice:pw")
            run(skopeo, "inspect", "--tls-verify=false", f"docker://{registry.host}/team/app:1")
            read_all(registry.host, "team/app:1", NoCredentials())


def test_podman_pulls_and_pushes(archive: Path, short_folder: Path) -> None:
    podman = (
        program("podman"), "--root", short_folder / "root", "--runroot", short_folder / "run",
        "--tmpdir", short_folder / "tmp", "--storage-driver", "vfs", "--events-backend", "none",
    )  # fmt: skip
    with InMemoryRegistry() as registry:
        copy(archive, registry.host, "team/app:1")
        name = f"{registry.host}/team/app"
        pulled = attempt(*podman, "pull", "--quiet", "--tls-verify=false", f"{name}:1")
        if pulled.returncode != 0 and "not permitted" in pulled.stderr:
            pytest.skip(f"podman cannot store images here: {pulled.stderr.strip()[-200:]}")
        assert pulled.returncode == 0, pulled.stderr
        run(*podman, "tag", f"{name}:1", f"{name}:2")
        run(*podman, "push", "--quiet", "--tls-verify=false", f"{name}:2")
        first, second = (
            read_all(registry.host, f"team/app:{tag}", NoCredentials()) for tag in "12"
        )
        assert first.top == second.top
        assert registry.errors == []


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """Podman takes no run folder of more than 50 characters."""
    with tempfile.TemporaryDirectory(prefix="pod") as folder:
        yield Path(folder)


def test_mount_tags_catalog_referrers_and_ranges(archive: Path) -> None:
    """What the tools above do not ask for (OCI distribution-spec, "Endpoints")."""
    with InMemoryRegistry() as registry:
        blob = registry.add_blob("a/one", b"0123456789")
        manifest = b'{"schemaVersion": 2, "config": null, "layers": []}'
        for repository, tag in (("a/one", "1"), ("a/one", "2"), ("b/two", "1")):
            subject = registry.add_manifest(repository, tag, manifest)
        signature = json.dumps({"artifactType": "x/sig", "subject": {"digest": subject}}).encode()
        registry.add_manifest("a/one", None, signature)

        def ask(path: str, method: str = "GET", **headers: str) -> tuple[int, bytes]:
            request = Request(registry.url + path, method=method, headers=headers)
            with urlopen(request, timeout=5) as answer:
                return answer.status, answer.read()

        mount = f"/v2/b/two/blobs/uploads/?mount={blob}&from=a/one"
        assert ask(mount, "POST") == (201, b"")
        assert ask(f"/v2/b/two/blobs/{blob}", Range="bytes=2-4") == (206, b"234")
        assert json.loads(ask("/v2/_catalog?n=1")[1]) == {"repositories": ["a/one"]}
        assert json.loads(ask("/v2/a/one/tags/list?last=1")[1]) == {"name": "a/one", "tags": ["2"]}
        found = json.loads(ask(f"/v2/a/one/referrers/{subject}?artifactType=x/sig")[1])
        assert [entry["digest"] for entry in found["manifests"]] == [Digest.of(signature)]
        other = json.loads(ask(f"/v2/a/one/referrers/{subject}?artifactType=x/other")[1])
        assert other["manifests"] == []


# --- our client against the registry of the CNCF distribution project ----------------------------


@pytest.fixture
def real_registry(tmp_path: Path) -> Iterator[str]:
    """Debian's docker-registry with one account, alice:s3cr3t; its host."""
    serve, htpasswd = program("docker-registry"), program("htpasswd")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        host = f"127.0.0.1:{probe.getsockname()[1]}"
    (tmp_path / "htpasswd").write_text(run(htpasswd, "-Bbn", "alice", "s3cr3t"))
    (tmp_path / "config.yml").write_text(
        "version: 0.1\n"
        f"storage: {{filesystem: {{rootdirectory: {tmp_path}/data}}}}\n"
        f"http: {{addr: '{host}', secret: testing}}\n"
        f"auth: {{htpasswd: {{realm: testing, path: {tmp_path}/htpasswd}}}}\n"
    )
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [serve, "serve", tmp_path / "config.yml"], stdout=log, stderr=log
        )
    try:
        wait_for(host, process, tmp_path / "log")
        yield host
    finally:
        process.kill()
        process.wait()


def wait_for(host: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    name, _, port = host.partition(":")
    for _ in range(200):
        assert process.poll() is None, log.read_text()
        try:
            socket.create_connection((name, int(port)), 1).close()
            return
        except OSError:
            time.sleep(0.05)  # no event tells when another program listens
    pytest.fail(f"the registry does not listen: {log.read_text()}")


def test_real_registry_is_read_with_the_login_of_docker_config(
    real_registry: str, archive: Path, tmp_path: Path
) -> None:
    copy(archive, real_registry, "team/app:1", "alice:s3cr3t")
    login = tmp_path / "auth" / "config.json"
    run(
        program("skopeo"), "login", "--tls-verify=false", "--username", "alice",
        "--password-stdin", real_registry,
        input="s3cr3t", env={**os.environ, "REGISTRY_AUTH_FILE": str(login)},
    )  # fmt: skip
    credentials = DockerConfig.from_environment({"REGISTRY_AUTH_FILE": str(login)}, tmp_path)
    image = read_all(real_registry, "team/app:1", credentials)
    diff_ids = inspect_diff_ids(archive)
    assert [layer.chain_id for layer in image.layers] == list(chain_ids(diff_ids))
    by_digest = read_all(real_registry, f"team/app@{image.manifest_digest}", credentials)
    assert by_digest.top == image.top


def inspect_diff_ids(archive: Path) -> list[DiffId]:
    """As skopeo finds them in the archive."""
    config = json.loads(run(program("skopeo"), "inspect", "--config", f"docker-archive:{archive}"))
    return [DiffId(diff_id) for diff_id in config["rootfs"]["diff_ids"]]
