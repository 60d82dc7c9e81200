"""OCI layouts: which image is chosen, and what lies is refused."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from layerproof.errors import (
    CompressionError,
    DigestMismatchError,
    ImageNotFoundError,
    LayerproofError,
    LimitExceededError,
    ManifestError,
    TarError,
    UnreachableError,
    UnsupportedError,
)
from layerproof.model.digest import Digest
from layerproof.model.image import Image, Platform
from layerproof.model.reference import Reference
from layerproof.oci.limits import Limits
from layerproof.sources.oci_archive import OciArchiveSource
from layerproof.sources.oci_layout import OciLayoutSource
from layerproof.testing.images import (
    Node,
    Symlink,
    build,
    compress,
    index,
    layout_files,
    tar,
    write_oci_archive,
    write_oci_layout,
)

LIMITS = Limits()
ONE = build([{"a": "1"}])
TWO = build([{"a": "2"}])
ARM = build([{"a": "arm"}], platform=Platform("linux", "arm64"))


def source(folder: Path, tag: str = "", digest: Digest | None = None) -> OciLayoutSource:
    return OciLayoutSource(Reference("oci", tag=tag, digest=digest, path=str(folder)), LIMITS)


def resolve(
    folder: Path, tag: str = "", digest: Digest | None = None, platform: Platform | None = None
) -> Image:
    return source(folder, tag, digest).resolve(platform)


def read_all(opened: OciLayoutSource) -> None:
    opened.resolve(None)
    list(opened.layers([0]))


def blob(folder: Path, digest: Digest) -> Path:
    return folder / "blobs" / "sha256" / digest.hex


def rewrite_index(
    folder: Path, change: Callable[[dict[str, list[dict[str, object]]]], None]
) -> None:
    document = json.loads((folder / "index.json").read_bytes())
    change(document)
    (folder / "index.json").write_text(json.dumps(document))


# --- which image ---------------------------------------------------------------------------------


def test_tag_and_digest_choose_and_the_digest_wins(tmp_path: Path) -> None:
    write_oci_layout(tmp_path, {"one": ONE, "two": TWO})
    assert resolve(tmp_path, "two").config_digest == TWO.config_digest
    assert resolve(tmp_path, digest=ONE.manifest_digest).config_digest == ONE.config_digest
    assert resolve(tmp_path, "two", ONE.manifest_digest).config_digest == ONE.config_digest


def test_full_name_beside_the_tag_chooses_too(tmp_path: Path) -> None:
    write_oci_layout(tmp_path, {"one": ONE, "two": TWO})
    name = {"io.containerd.image.name": "docker.io/team/app:1"}
    rewrite_index(tmp_path, lambda doc: doc["manifests"][1].update(annotations=name))
    assert resolve(tmp_path, "docker.io/team/app:1").config_digest == TWO.config_digest


def test_single_image_needs_no_name_and_several_do(tmp_path: Path) -> None:
    write_oci_layout(tmp_path / "one", {"one": ONE})
    assert resolve(tmp_path / "one").config_digest == ONE.config_digest
    write_oci_layout(tmp_path / "two", {"one": ONE, "two": TWO})
    with pytest.raises(ImageNotFoundError, match="several images; there is one, two") as caught:
        resolve(tmp_path / "two")
    assert ":NAME" in caught.value.remedy


def test_one_image_under_two_names_needs_no_name(tmp_path: Path) -> None:
    write_oci_layout(tmp_path, {"one": ONE, "latest": ONE})
    assert resolve(tmp_path).config_digest == ONE.config_digest


def test_unknown_tag_is_told_with_those_that_exist(tmp_path: Path) -> None:
    write_oci_layout(tmp_path, {"one": ONE, "": TWO})
    with pytest.raises(ImageNotFoundError, match="no image named 'three'; there is one"):
        resolve(tmp_path, "three")


def test_platform_chooses_inside_an_index_and_the_index_is_remembered(tmp_path: Path) -> None:
    both = index(ONE, ARM, attestations=[TWO])
    write_oci_layout(tmp_path, {"multi": both})
    for image in (ONE, ARM):
        found = resolve(tmp_path, "multi", platform=image.platform)
        assert found.config_digest == image.config_digest
        assert found.manifest_digest == image.manifest_digest
        assert found.index_digest == both.manifest_digest
    with pytest.raises(ImageNotFoundError, match="linux/amd64, linux/arm64"):
        resolve(tmp_path, "multi", platform=Platform("linux", "s390x"))


def test_platform_chooses_among_entries_of_one_tag(tmp_path: Path) -> None:
    write_oci_layout(tmp_path, {"": ONE})
    write_oci_layout(tmp_path, {"": ARM})
    entries = index(ONE, ARM).manifest
    (tmp_path / "index.json").write_bytes(entries)
    found = resolve(tmp_path, platform=ARM.platform)
    assert found.config_digest == ARM.config_digest
    assert found.index_digest is None


def test_manifest_inside_an_index_is_found_by_its_digest(tmp_path: Path) -> None:
    write_oci_layout(tmp_path, {"multi": index(ONE, ARM)})
    assert resolve(tmp_path, digest=ARM.manifest_digest).config_digest == ARM.config_digest


def test_attestation_is_no_image(tmp_path: Path) -> None:
    write_oci_layout(tmp_path, {"only": index(attestations=[ONE])})
    with pytest.raises(ImageNotFoundError):
        resolve(tmp_path)


def test_indexes_inside_indexes_without_end_are_refused(tmp_path: Path) -> None:
    nested = index(ONE)
    for _ in range(6):
        entry = {
            "mediaType": nested.manifest_media_type,
            "digest": nested.manifest_digest,
            "size": len(nested.manifest),
            "platform": {"os": "linux", "architecture": "amd64"},
        }
        write_oci_layout(tmp_path, {"deep": nested})
        document = json.loads(nested.manifest) | {"manifests": [entry]}
        nested = replace(nested, manifest=json.dumps(document).encode())
    write_oci_layout(tmp_path, {"deep": nested})
    with pytest.raises(ManifestError, match="without end"):
        resolve(tmp_path, platform=ONE.platform)


# --- lies and damage -----------------------------------------------------------------------------


def test_manifest_bytes_of_another_digest_are_refused(tmp_path: Path) -> None:
    write_oci_layout(tmp_path, {"one": ONE})
    blob(tmp_path, ONE.manifest_digest).write_bytes(TWO.manifest)
    with pytest.raises(DigestMismatchError):
        resolve(tmp_path)


def test_config_bytes_of_another_digest_are_refused(tmp_path: Path) -> None:
    write_oci_layout(tmp_path, {"one": ONE})
    blob(tmp_path, ONE.config_digest).write_bytes(TWO.config)
    with pytest.raises(DigestMismatchError):
        resolve(tmp_path)


def test_index_bytes_of_another_digest_are_refused(tmp_path: Path) -> None:
    both = index(ONE, ARM)
    write_oci_layout(tmp_path, {"multi": both})
    blob(tmp_path, both.manifest_digest).write_bytes(index(ARM, ONE).manifest)
    with pytest.raises(DigestMismatchError):
        resolve(tmp_path)


@pytest.mark.parametrize("which", ["manifest", "config", "layer"])
def test_missing_blob_is_not_found(tmp_path: Path, which: str) -> None:
    write_oci_layout(tmp_path, {"one": ONE})
    digests = {
        "manifest": ONE.manifest_digest,
        "config": ONE.config_digest,
        "layer": ONE.layers[0].digest,
    }
    blob(tmp_path, digests[which]).unlink()
    with pytest.raises(ImageNotFoundError):
        read_all(source(tmp_path))


def test_size_that_differs_from_the_descriptor_is_refused(tmp_path: Path) -> None:
    write_oci_layout(tmp_path, {"one": ONE})
    rewrite_index(tmp_path, lambda doc: doc["manifests"][0].update(size=5))
    with pytest.raises(ManifestError, match="says 5 bytes"):
        resolve(tmp_path)


def test_layer_of_another_size_is_refused_before_it_is_read(tmp_path: Path) -> None:
    write_oci_layout(tmp_path, {"one": ONE})
    with blob(tmp_path, ONE.layers[0].digest).open("ab") as file:
        file.write(b"more")
    opened = source(tmp_path)
    opened.resolve(None)
    with pytest.raises(ManifestError, match="descriptor"):
        list(opened.layers([0]))


def test_manifest_that_is_an_index_too_is_refused(tmp_path: Path) -> None:
    write_oci_layout(tmp_path, {"bad": build([{"a": "1"}], manifest_extra={"manifests": []})})
    with pytest.raises(ManifestError, match="both"):
        resolve(tmp_path)


def test_manifest_of_another_type_than_the_index_says_is_refused(tmp_path: Path) -> None:
    write_oci_layout(tmp_path, {"one": ONE})
    docker = "application/vnd.docker.distribution.manifest.v2+json"
    rewrite_index(tmp_path, lambda doc: doc["manifests"][0].update(mediaType=docker))
    with pytest.raises(ManifestError, match="delivered as"):
        resolve(tmp_path)


@pytest.mark.parametrize(
    ("name", "data", "error"),
    [
        ("index.json", b"{", ManifestError),
        ("index.json", b"[" * 100_000, LimitExceededError),
        ("index.json", b'{"schemaVersion":2,"manifests":[],"Manifests":[]}', ManifestError),
        ("index.json", b'{"schemaVersion":2,"layers":[],"manifests":[]}', ManifestError),
        ("index.json", ONE.manifest, ManifestError),
        ("index.json", b'{"schemaVersion":2,"manifests":[]}', ImageNotFoundError),
        ("index.json", b" " * (LIMITS.json_bytes + 1), LimitExceededError),
        ("oci-layout", b'{"imageLayoutVersion":"2.0.0"}', UnsupportedError),
        ("oci-layout", b"{}", UnsupportedError),
        ("oci-layout", b"", ManifestError),
    ],
)
def test_bad_layout_documents_are_refused(
    tmp_path: Path, name: str, data: bytes, error: type[LayerproofError]
) -> None:
    write_oci_layout(tmp_path, {"one": ONE})
    (tmp_path / name).write_bytes(data)
    with pytest.raises(error) as caught:
        resolve(tmp_path)
    assert caught.value.where.startswith("oci:")


@pytest.mark.parametrize("name", ["index.json", "oci-layout"])
def test_folder_without_layout_documents_is_not_found(tmp_path: Path, name: str) -> None:
    write_oci_layout(tmp_path, {"one": ONE})
    (tmp_path / name).unlink()
    with pytest.raises(ImageNotFoundError, match=name):
        resolve(tmp_path)


def test_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ImageNotFoundError):
        resolve(tmp_path / "gone")


def test_named_pipe_in_place_of_a_blob_does_not_hang(tmp_path: Path) -> None:
    write_oci_layout(tmp_path, {"one": ONE})
    blob(tmp_path, ONE.manifest_digest).unlink()
    os.mkfifo(blob(tmp_path, ONE.manifest_digest))
    with pytest.raises(UnreachableError, match="not a regular file"):
        resolve(tmp_path)


# --- the same in a tar ---------------------------------------------------------------------------


def archive(file: Path, tag: str = "") -> OciArchiveSource:
    return OciArchiveSource(Reference("oci-archive", tag=tag, path=str(file)), LIMITS)


def test_archive_that_is_not_there_fails_when_it_is_used(tmp_path: Path) -> None:
    opened = archive(tmp_path / "gone.tar")
    with pytest.raises(ImageNotFoundError, match=r"gone\.tar"):
        opened.resolve(None)


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_cut_archive_is_refused(tmp_path: Path, compression: str) -> None:
    file = tmp_path / "cut.tar"
    write_oci_archive(file, {"one": ONE}, compression=compression)  # type: ignore[arg-type]  a word
    whole = file.read_bytes()
    for length in range(5, len(whole) - 1024 if compression == "none" else len(whole) - 9, 101):
        file.write_bytes(whole[:length])
        with pytest.raises((TarError, CompressionError, ImageNotFoundError)):
            archive(file).resolve(None)


def test_blob_that_stands_twice_in_an_archive_is_refused(tmp_path: Path) -> None:
    files = layout_files({"one": ONE})
    name = f"blobs/sha256/{ONE.config_digest.hex}"
    file = tmp_path / "twice.tar"
    file.write_bytes(tar(files)[:-1024] + tar({name: TWO.config}))
    with pytest.raises(TarError, match="stands twice"):
        archive(file).resolve(None)


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_symlink_out_of_an_archive_is_refused(tmp_path: Path, compression: str) -> None:
    files: dict[str, Node | bytes | str] = dict(layout_files({"one": ONE}))
    files[f"blobs/sha256/{ONE.config_digest.hex}"] = Symlink("/etc/passwd")
    file = tmp_path / "link.tar"
    file.write_bytes(compress(tar(files), compression))  # type: ignore[arg-type]  a word
    with pytest.raises(ManifestError, match="leads out"):
        archive(file).resolve(None)


def test_document_that_is_none_in_a_streamed_archive_is_refused(tmp_path: Path) -> None:
    files = layout_files({"one": ONE}) | {"index.json": b"not json"}
    file = tmp_path / "bad.tgz"
    file.write_bytes(compress(tar(files), "gzip"))
    with pytest.raises(ManifestError, match="not a JSON document"):
        archive(file).resolve(None)
