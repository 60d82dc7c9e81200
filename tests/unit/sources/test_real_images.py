"""Archives of real tools: identities equal those computed here with the standard library."""

import gzip
import json
import tarfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from layerproof.engine.ports import ImageSource
from layerproof.oci.decompress import decompress
from layerproof.oci.limits import Limits
from layerproof.sources.detect import read_reference
from layerproof.sources.docker_archive import DockerArchiveSource
from layerproof.sources.oci_archive import OciArchiveSource
from layerproof.sources.rootfs import RootfsSource

LIMITS = Limits()
SOURCES = {
    "docker-archive": DockerArchiveSource,
    "oci-archive": OciArchiveSource,
    "rootfs": RootfsSource,
}
DOCKER = [
    "dive-test-docker-image.tar",
    "ggcr-hello-world-v25.tar",
    "ggcr-overwritten_file.tar",
    "ggcr-whiteout_image.tar",
    "scalibr-basic.tar",
    "scalibr-overwrite-file.tar",
    "scalibr-symlink-basic.tar",
    "trivy-alpine-310.tar.gz",
    "trivy-image3_gz_layers.tar",
]
OCI = [
    "dive-test-oci-gzip-image.tar",
    "dive-test-oci-uncompressed-image.tar",
    "dive-test-oci-zstd-image.tar",
]
ROOT = [
    "alpine-minirootfs-3.10.3-x86_64.tar.gz",
    "alpine-minirootfs-3.16.9-x86_64.tar.gz",
    "alpine-minirootfs-3.20.3-x86_64.tar.gz",
]


def opened(file: Path) -> ImageSource:
    reference = read_reference(str(file))
    return SOURCES[reference.transport](reference, LIMITS)


def unpacked(data: bytes) -> bytes:
    if data[:2] == b"\x1f\x8b":
        return gzip.decompress(data)
    if data[:4] == b"\x28\xb5\x2f\xfd":
        from layerproof.oci.zstd import unpack

        return unpack(data)
    return data


def digest(data: bytes) -> str:
    return "sha256:" + sha256(data).hexdigest()


def chains(diff_ids: list[str]) -> Iterator[str]:
    chain = ""
    for diff_id in diff_ids:
        chain = digest(f"{chain} {diff_id}".encode()) if chain else diff_id
        yield chain


def check(source: ImageSource, config: bytes, layers: list[bytes]) -> None:
    image = source.resolve(None)
    diff_ids = [digest(unpacked(layer)) for layer in layers]
    assert image.config_digest == digest(config)
    assert image.config == json.loads(config)
    assert [layer.diff_id for layer in image.layers] == diff_ids
    assert [layer.chain_id for layer in image.layers] == list(chains(diff_ids))
    delivered = {
        layer.position: digest(b"".join(decompress(chunks, LIMITS)))
        for layer, chunks in source.layers(range(len(layers)))
        if layer is not None
    }
    assert delivered == dict(enumerate(diff_ids))
    source.close()


def member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file is not None
    return file.read()


@pytest.mark.parametrize("name", DOCKER)
def test_docker_archive_of_a_real_tool(shared_data: Path, name: str) -> None:
    file = shared_data / "images" / name
    with tarfile.open(file) as archive:
        saved = json.loads(member(archive, "manifest.json"))[0]
        config = member(archive, saved["Config"])
        layers = [member(archive, layer) for layer in saved["Layers"]]
    check(opened(file), config, layers)


@pytest.mark.parametrize("name", OCI)
def test_oci_archive_of_a_real_tool(shared_data: Path, name: str) -> None:
    file = shared_data / "images" / name
    with tarfile.open(file) as archive:

        def blob(descriptor: dict[str, str]) -> bytes:
            return member(archive, "blobs/" + descriptor["digest"].replace(":", "/"))

        manifest = json.loads(blob(json.loads(member(archive, "index.json"))["manifests"][0]))
        config = blob(manifest["config"])
        layers = [blob(layer) for layer in manifest["layers"]]
    source = opened(file)
    check(source, config, layers)
    assert source.resolve(None).manifest == manifest


@pytest.mark.parametrize("name", ROOT)
def test_root_file_system_of_a_real_distribution(shared_data: Path, name: str) -> None:
    file = shared_data / "images" / name
    image = opened(file).resolve(None)
    assert [layer.diff_id for layer in image.layers] == [digest(gzip.decompress(file.read_bytes()))]
