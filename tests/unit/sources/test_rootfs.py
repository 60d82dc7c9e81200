"""A bare root file system as an image of one layer."""

import json
from hashlib import sha256
from pathlib import Path

import pytest

from layerproof.errors import CompressionError, ImageNotFoundError, LimitExceededError
from layerproof.model.digest import Digest
from layerproof.model.image import Image, Platform
from layerproof.model.reference import Reference
from layerproof.oci.limits import Limits
from layerproof.sources.rootfs import RootfsSource
from layerproof.testing.images import Compression, compress, tar

ROOT = tar({"etc/os-release": "ID=x\n", "bin/sh": b"x" * 1_000_000})
DIFF_ID = "sha256:" + sha256(ROOT).hexdigest()


def source(file: Path, limits: Limits | None = None) -> RootfsSource:
    return RootfsSource(Reference("rootfs", path=str(file)), limits or Limits())


def held(file: Path, compression: Compression) -> RootfsSource:
    file.write_bytes(compress(ROOT, compression))
    return source(file)


def image(file: Path, compression: Compression) -> Image:
    return held(file, compression).resolve(None)


@pytest.mark.parametrize(
    ("compression", "suffix"), [("none", ""), ("gzip", "+gzip"), ("zstd", "+zstd")]
)
def test_layer_has_the_digests_of_the_file_and_of_what_is_in_it(
    tmp_path: Path, compression: Compression, suffix: str
) -> None:
    opened = held(tmp_path / "root", compression)
    found = opened.resolve(None)
    stored = (tmp_path / "root").read_bytes()
    assert [layer.diff_id for layer in found.layers] == [DIFF_ID]
    assert [layer.chain_id for layer in found.layers] == [DIFF_ID]
    blob = found.layers[0].blob
    assert blob is not None
    assert (blob.digest, blob.size) == (Digest.of(stored), len(stored))
    assert blob.media_type == f"application/vnd.oci.image.layer.v1.tar{suffix}"
    assert [b"".join(chunks) for _, chunks in opened.layers([0])] == [stored]


def test_config_depends_on_the_contents_alone(tmp_path: Path) -> None:
    one = image(tmp_path / "one", "gzip")
    two = image(tmp_path / "two", "zstd")
    assert one.config_digest == two.config_digest
    expected = json.dumps(
        {
            "architecture": "",
            "config": {},
            "history": [{"created_by": "rootfs"}],
            "os": "linux",
            "rootfs": {"diff_ids": [DIFF_ID], "type": "layers"},
        },
        separators=(",", ":"),
    )
    assert one.config_digest == Digest.of(expected.encode())
    assert one.platform == Platform("linux", "unknown")
    assert one.notes == ()


def test_cut_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "cut"
    file.write_bytes(compress(ROOT, "gzip")[:-20])
    with pytest.raises(CompressionError) as caught:
        source(file).resolve(None)
    assert caught.value.where == f"rootfs:{file}"


def test_bomb_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "bomb"
    file.write_bytes(compress(ROOT, "gzip"))
    with pytest.raises(LimitExceededError):
        source(file, Limits(layer_bytes=1000)).resolve(None)


def test_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(ImageNotFoundError):
        source(tmp_path / "gone").resolve(None)
