"""The image builder: the same bytes every time, and tars that others read as they were meant."""

import io
import json
import tarfile
from pathlib import Path

import pytest

from layerproof.model.image import Platform
from layerproof.testing.images import (
    Compression,
    Device,
    Dir,
    File,
    Hardlink,
    Opaque,
    Symlink,
    Tree,
    Whiteout,
    build,
    compress,
    index,
    layer,
    tar,
    write_docker_archive,
    write_oci_layout,
)

TREE: Tree = {
    "d": Dir(mode=0o700, uid=5, gid=6),
    "d/file": File(b"abc", mode=0o4755, mtime=7, xattrs={"security.capability": b"\1\0\xff\n"}),
    "text": "hello",
    "n" * 150: b"long",
    "sym": Symlink("/" + "t" * 120),
    "hard": Hardlink("d/file"),
    "c": Device("c", 1, 3),
    "p": Device("p"),
    "big-owner": File(b"", uid=3_000_000, gid=4_000_000),
    "etc/shadow": Whiteout(),
    "var": Opaque(),
}


def test_tarfile_reads_what_was_meant() -> None:
    with tarfile.open(fileobj=io.BytesIO(tar(TREE)), errorlevel=2) as archive:
        found = {member.name: member for member in archive}
        assert list(found) == [
            *("d", "d/file", "text", "n" * 150, "sym", "hard", "c", "p", "big-owner"),
            *("etc/.wh.shadow", "var/.wh..wh..opq"),
        ]
        file = archive.extractfile("d/file")
        assert file is not None
        assert file.read() == b"abc"
    assert (found["d"].isdir(), found["d"].mode, found["d"].uid, found["d"].gid) == (
        True,
        0o700,
        5,
        6,
    )
    assert (found["d/file"].mode, found["d/file"].mtime) == (0o4755, 7)
    assert "SCHILY.xattr.security.capability" in found["d/file"].pax_headers
    assert (found["sym"].issym(), found["sym"].linkname) == (True, "/" + "t" * 120)
    assert (found["hard"].islnk(), found["hard"].linkname) == (True, "d/file")
    assert (found["c"].ischr(), found["c"].devmajor, found["c"].devminor) == (True, 1, 3)
    assert found["p"].isfifo()
    assert (found["big-owner"].uid, found["big-owner"].gid) == (3_000_000, 4_000_000)


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_same_values_give_the_same_bytes(compression: Compression) -> None:
    assert compress(tar(TREE), compression) == compress(tar(TREE), compression)
    one, two = (build([TREE], compression=compression, env=["A=b"]) for _ in range(2))
    assert one == two
    assert one.manifest_digest == two.manifest_digest


def test_image_on_a_base_shares_its_chains_and_inherits_its_config() -> None:
    base = build([{"a": "1"}], env=["A=1", "B=1"], labels={"x": "1"}, user="app")
    top = build([{"b": "2"}], base=base, env=["A=2"], labels={"y": "2"}, cmd=["run"])
    assert top.chain_ids[:1] == base.chain_ids
    config = json.loads(top.config)
    assert config["config"] == {
        "Env": ["B=1", "A=2"],
        "Labels": {"x": "1", "y": "2"},
        "User": "app",
        "Cmd": ["run"],
    }
    assert sum(not entry.get("empty_layer") for entry in config["history"]) == 2


def test_blobs_are_found_under_their_digests() -> None:
    image = build([{"a": "1"}, b"not a tar"])
    for digest, blob in image.blobs.items():
        assert digest == type(digest).of(blob)
    assert set(image.blobs) == {image.config_digest, *(part.digest for part in image.layers)}


def test_raw_bytes_and_ready_layers_are_taken_as_they_are() -> None:
    ready = layer({"a": "1"}, compression="zstd", created_by="RUN x")
    image = build([ready, b"bytes"], compression="none")
    assert image.layers[0] is ready
    assert image.layers[1].blob == b"bytes"


def test_index_lists_platforms_and_attestations() -> None:
    arm = build([], platform=Platform("linux", "arm", "v7"))
    document = json.loads(index(build([]), arm, attestations=[build([{"a": "1"}])]).manifest)
    assert [entry["platform"] for entry in document["manifests"]] == [
        {"os": "linux", "architecture": "amd64"},
        {"os": "linux", "architecture": "arm", "variant": "v7"},
        {"os": "unknown", "architecture": "unknown"},
    ]


def test_written_files_are_complete(tmp_path: Path) -> None:
    image = build([{"a": "1"}, {"b": "2"}, {"a": "1"}])
    write_oci_layout(tmp_path / "layout", {"x": image})
    blobs = {path.name for path in (tmp_path / "layout/blobs/sha256").iterdir()}
    assert blobs == {digest.hex for digest in (*image.blobs, image.manifest_digest)}
    write_docker_archive(tmp_path / "saved.tar", {"r.example:5000/a:1": image})
    with tarfile.open(tmp_path / "saved.tar") as archive:
        saved = json.loads(archive.extractfile("manifest.json").read())  # type: ignore[union-attr]  it is a file
        layers = [archive.extractfile(name).read() for name in saved[0]["Layers"]]  # type: ignore[union-attr]  as above
        assert any(member.issym() for member in archive)
    assert layers == [part.tar for part in image.layers]
    assert saved[0]["RepoTags"] == ["r.example:5000/a:1"]
