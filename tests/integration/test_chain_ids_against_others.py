"""Our ChainIDs equal those of other implementations, for real images.

- Docker Engine keeps each layer under its ChainID, with the DiffID and the parent's ChainID beside.
- containerd names the committed snapshots of an unpacked image by their ChainIDs.
- umoci and skopeo write the DiffIDs; from these the formula of the OCI image specification
  (config.md, "Layer ChainID") follows, computed here once more by itself.
- podman and docker inspect list DiffIDs of what they unpacked themselves.
"""

import hashlib
import json
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from tests.e2e.daemons import DockerEngine
from tests.e2e.program import Program, chain_ids
from tests.e2e.real_images import TAGS, RealImages

pytestmark = pytest.mark.real

DOCKER_ARCHIVES = (
    "dive-test-docker-image.tar",
    "ggcr-hello-world-v25.tar",
    "ggcr-overwritten_file.tar",
    "ggcr-whiteout_image.tar",
    "scalibr-basic.tar",
    "scalibr-overwrite-file.tar",
    "scalibr-symlink-basic.tar",
    "trivy-alpine-310.tar.gz",
    "trivy-image3_gz_layers.tar",
)
OCI_ARCHIVES = (
    "dive-test-oci-gzip-image.tar",
    "dive-test-oci-uncompressed-image.tar",
    "dive-test-oci-zstd-image.tar",
)
ROOT_FILE_SYSTEMS = (
    "alpine-minirootfs-3.10.3-x86_64.tar.gz",
    "alpine-minirootfs-3.16.9-x86_64.tar.gz",
    "alpine-minirootfs-3.20.3-x86_64.tar.gz",
)


def output_of(*command: str | Path) -> str:
    """Standard output; the test fails with what the program said."""
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def formula(diff_ids: Sequence[str]) -> Iterator[str]:
    """The lowest is its DiffID; any other the digest of "<ChainID below> <DiffID>"."""
    chain = ""
    for diff_id in diff_ids:
        if chain:
            text = f"{chain} {diff_id}".encode()
            chain = "sha256:" + hashlib.sha256(text).hexdigest()
        else:
            chain = diff_id
        yield chain


def docker(engine: DockerEngine, *arguments: str | Path) -> str:
    return output_of("docker", "--host", engine.url, *arguments)


def skopeo_to_docker(engine: DockerEngine, source: str, name: str) -> None:
    host = f"--dest-daemon-host={engine.url}"
    output_of("skopeo", "--insecure-policy", "copy", host, source, f"docker-daemon:{name}")


def assert_docker_agrees(engine: DockerEngine, name: str, ours: Sequence[str]) -> None:
    """Docker has each of our ChainIDs, with its own DiffID and with our ChainID below."""
    root = json.loads(docker(engine, "image", "inspect", "--format", "{{json .RootFS}}", name))
    below = ["", *ours[:-1]]
    assert [engine.layer(chain) for chain in ours] == list(zip(root["Layers"], below, strict=True))


def our_chain_ids(reference: str, folder: Path) -> list[str]:
    return chain_ids(Program(folder / "index.db").indexed(reference))


@pytest.mark.parametrize("tag", TAGS)
def test_chain_ids_of_built_images_equal_docker_and_the_formula(
    engine: DockerEngine, images: RealImages, tag: str, tmp_path: Path
) -> None:
    reference = f"oci:{images.layout}:{tag}"
    ours = our_chain_ids(reference, tmp_path)
    assert ours == list(formula(images.diff_ids(tag)))
    skopeo_to_docker(engine, reference, f"chains:{tag}")
    assert_docker_agrees(engine, f"chains:{tag}", ours)


def test_chain_ids_equal_the_names_of_containerd_snapshots(
    engine: DockerEngine, images: RealImages, tmp_path: Path
) -> None:
    reference = f"oci:{images.layout}:changed"
    ours = our_chain_ids(reference, tmp_path)
    archive = tmp_path / "image.tar"
    output_of("skopeo", "--insecure-policy", "copy", reference, f"oci-archive:{archive}")
    ctr = ("ctr", "--address", engine.containerd, "--namespace", "chains")
    output_of(*ctr, "images", "import", "--digests", "--base-name", "example.org/real", archive)
    listed = [line.split() for line in output_of(*ctr, "snapshots", "ls").splitlines()[1:]]
    parents = {words[0]: words[1] if len(words) == 3 else "" for words in listed}
    assert parents == dict(zip(ours, ["", *ours[:-1]], strict=True))


def test_chain_ids_follow_from_the_diff_ids_that_podman_computed(
    images: RealImages, short_folder: Path, tmp_path: Path
) -> None:
    reference = f"oci:{images.layout}:changed"
    podman = (
        "podman",
        f"--root={short_folder}/podman",
        f"--runroot={short_folder}/podman-run",
        "--storage-driver=overlay",
    )
    archive = tmp_path / "image.tar"
    output_of("skopeo", "--insecure-policy", "copy", reference, f"docker-archive:{archive}")
    try:
        identity = output_of(*podman, "load", "--quiet", "--input", archive).partition(": ")[2]
        layers = output_of(
            *podman, "image", "inspect", "--format", "{{json .RootFS.Layers}}", identity.strip()
        )
    except FileNotFoundError:
        pytest.skip("not installed: podman")
    assert our_chain_ids(reference, tmp_path) == list(formula(json.loads(layers)))


@pytest.mark.parametrize("name", DOCKER_ARCHIVES)
def test_chain_ids_of_collected_docker_archives_equal_docker(
    engine: DockerEngine, shared_data: Path, name: str, tmp_path: Path
) -> None:
    archive = shared_data / "images" / name
    loaded = docker(engine, "load", "--quiet", "--input", archive).strip()
    image = loaded.partition(": ")[2]
    assert_docker_agrees(engine, image, our_chain_ids(f"docker-archive:{archive}", tmp_path))


@pytest.mark.parametrize("name", OCI_ARCHIVES)
def test_chain_ids_of_collected_oci_archives_equal_docker(
    engine: DockerEngine, shared_data: Path, name: str, tmp_path: Path
) -> None:
    reference = f"oci-archive:{shared_data / 'images' / name}"
    ours = our_chain_ids(reference, tmp_path)
    # Unpacked by skopeo on the way: Docker's own formats have no zstd.
    plain = f"dir:{tmp_path / 'plain'}"
    output_of("skopeo", "--insecure-policy", "copy", "--dest-decompress", reference, plain)
    skopeo_to_docker(engine, plain, "chains:oci-archive")
    assert_docker_agrees(engine, "chains:oci-archive", ours)


@pytest.mark.parametrize("name", ROOT_FILE_SYSTEMS)
def test_chain_id_of_a_root_file_system_equals_docker_and_gzip(
    engine: DockerEngine, shared_data: Path, name: str, tmp_path: Path
) -> None:
    archive = shared_data / "images" / name
    ours = our_chain_ids(str(archive), tmp_path)
    unpacked = output_of("sh", "-c", 'gzip -dc "$1" | sha256sum', "sh", archive)
    assert ours == [f"sha256:{unpacked.split()[0]}"]
    image = docker(engine, "import", archive).strip()
    assert_docker_agrees(engine, image, ours)
