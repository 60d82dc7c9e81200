"""Bare paths are recognised by their contents; everything else is a written reference."""

from pathlib import Path

import pytest

from layerproof.errors import LayerproofError, LimitExceededError, ReferenceSyntaxError, TarError
from layerproof.oci.limits import Limits
from layerproof.sources.detect import read_reference
from layerproof.testing.images import (
    Compression,
    Dir,
    build,
    compress,
    tar,
    write_docker_archive,
    write_oci_archive,
    write_oci_layout,
)

IMAGE = build([{"etc/passwd": "root"}])


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_archives_are_told_apart_compressed_or_not(
    tmp_path: Path, compression: Compression
) -> None:
    write_docker_archive(tmp_path / "old", {"a:1": IMAGE}, compression=compression)
    write_docker_archive(tmp_path / "new", {"a:1": IMAGE}, layout="new", compression=compression)
    write_oci_archive(tmp_path / "oci", {"a": IMAGE}, compression=compression)
    (tmp_path / "root").write_bytes(compress(IMAGE.layers[0].tar, compression))
    found = {
        name: read_reference(str(tmp_path / name)).transport
        for name in ("old", "new", "oci", "root")
    }
    assert found == {
        "old": "docker-archive",
        "new": "docker-archive",
        "oci": "oci-archive",
        "root": "rootfs",
    }


def test_path_is_kept_even_with_colons(tmp_path: Path) -> None:
    file = tmp_path / "a:b.tar"
    write_oci_archive(file, {"a": IMAGE})
    found = read_reference(str(file))
    assert found.path == str(file)
    assert read_reference(str(found)) == found


def test_layout_folder(tmp_path: Path) -> None:
    write_oci_layout(tmp_path, {"a": IMAGE})
    assert str(read_reference(str(tmp_path))) == f"oci:{tmp_path}"


def test_root_file_system_is_recognised_by_its_first_usual_folder(tmp_path: Path) -> None:
    file = tmp_path / "root.tar"
    file.write_bytes(tar({"./": Dir(), "./etc/": Dir(), "manifest.json": b"[]"}))
    assert read_reference(str(file)).transport == "rootfs"


def test_tar_without_usual_folders_is_a_root_file_system_too(tmp_path: Path) -> None:
    file = tmp_path / "root.tar"
    file.write_bytes(tar({"hello": b"x"}))
    assert read_reference(str(file)).transport == "rootfs"


def test_written_transport_is_never_taken_for_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_oci_archive(tmp_path / "rootfs:x", {"a": IMAGE})
    assert read_reference("rootfs:x").transport == "rootfs"


def test_folder_of_an_image_s_name_does_not_hide_the_registry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "python").mkdir()
    assert str(read_reference("python")) == "docker://docker.io/library/python:latest"
    with pytest.raises(ReferenceSyntaxError, match="no OCI layout"):
        read_reference("./python")


def test_path_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ReferenceSyntaxError, match="no such file"):
        read_reference(str(tmp_path / "gone.tar"))


@pytest.mark.parametrize("data", [b"", b"\0", b"hello\n" * 200, b"\x7fELF" * 1000])
def test_file_that_is_no_tar_is_an_error(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "file"
    file.write_bytes(data)
    with pytest.raises(LayerproofError) as caught:
        read_reference(str(file))
    assert str(file) in str(caught.value)


def test_damage_behind_the_first_member_is_a_damaged_tar(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(tar({"hello": b"x"})[:-1024] + b"damage" * 100)
    with pytest.raises(TarError):
        read_reference(str(file))


def test_limits_hold(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(tar({"one": b"", "two": b""}))
    with pytest.raises(LimitExceededError):
        read_reference(str(file), Limits(archive_members=1))
