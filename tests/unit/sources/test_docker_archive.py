"""Docker archives: which image is chosen, and what lies is refused."""

import json
from pathlib import Path

import pytest

from layerproof.errors import (
    DigestMismatchError,
    ImageNotFoundError,
    LayerproofError,
    LimitExceededError,
    ManifestError,
    UnsupportedError,
)
from layerproof.model.digest import Digest
from layerproof.model.image import Image
from layerproof.model.reference import parse_reference
from layerproof.oci.limits import Limits
from layerproof.sources.docker_archive import DockerArchiveSource
from layerproof.testing.images import (
    File,
    Node,
    Symlink,
    build,
    index,
    layout_files,
    tar,
    write_docker_archive,
)

LIMITS = Limits()
ONE = build([{"a": "1"}])
TWO = build([{"a": "2"}], base=ONE)
CONFIG = f"{ONE.config_digest.hex}.json"

Files = dict[str, Node | bytes | str]


def source(file: Path, name: str = "") -> DockerArchiveSource:
    return DockerArchiveSource(parse_reference(f"docker-archive:{file}{name}"), LIMITS)


def resolve(file: Path, name: str = "") -> Image:
    return source(file, name).resolve(None)


def saved(file: Path, files: Files, entry: object) -> Path:
    document = entry if isinstance(entry, bytes) else json.dumps([entry]).encode()
    file.write_bytes(tar(files | {"manifest.json": document}))
    return file


def parts(config: str = CONFIG, layer: str = "l/layer.tar") -> tuple[Files, dict[str, object]]:
    files: Files = {"l/layer.tar": ONE.layers[0].tar, CONFIG: ONE.config}
    return files, {"Config": config, "RepoTags": ["a/b:1"], "Layers": [layer]}


# --- which image ---------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["old", "new"])
def test_name_or_id_chooses_among_several_images(tmp_path: Path, layout: str) -> None:
    file = tmp_path / "saved.tar"
    write_docker_archive(file, {"team/one:1": ONE, "two:latest": TWO}, layout=layout)  # type: ignore[arg-type]  a word
    assert resolve(file, ":team/one:1").config_digest == ONE.config_digest
    assert resolve(file, ":docker.io/library/two").config_digest == TWO.config_digest
    assert resolve(file, f"@{TWO.config_digest}").config_digest == TWO.config_digest
    with pytest.raises(ImageNotFoundError, match="several images; there is team/one:1, two"):
        resolve(file)
    with pytest.raises(ImageNotFoundError, match="no such image; there is team/one:1, two"):
        resolve(file, ":team/one:2")
    with pytest.raises(ImageNotFoundError, match="no such image"):
        resolve(file, f"@{Digest.of(b'')}")


def test_image_without_a_name_is_the_only_one(tmp_path: Path) -> None:
    file = tmp_path / "saved.tar"
    write_docker_archive(file, {"": ONE})
    assert resolve(file).config_digest == ONE.config_digest


def test_names_in_the_archive_that_are_no_names_are_compared_as_they_are(tmp_path: Path) -> None:
    files, entry = parts()
    file = saved(tmp_path / "f", files, entry | {"RepoTags": ["NOT A NAME"]})
    assert resolve(file).config_digest == ONE.config_digest
    with pytest.raises(ImageNotFoundError, match="NOT A NAME"):
        resolve(file, ":a/b:1")


@pytest.mark.parametrize("config", ["config.json", f"sha256:{ONE.config_digest.hex}"])
def test_configs_as_other_tools_name_them(tmp_path: Path, config: str) -> None:
    files, entry = parts(config)
    files[config] = files.pop(CONFIG)
    assert resolve(saved(tmp_path / "f", files, entry)).config_digest == ONE.config_digest


def test_equal_layers_that_are_links_are_delivered_at_both_places(tmp_path: Path) -> None:
    image = build([{"a": "1"}, {"b": "2"}, {"a": "1"}])
    file = tmp_path / "saved.tar"
    write_docker_archive(file, {"a:1": image})
    opened = source(file)
    opened.resolve(None)
    found = {layer.position: b"".join(data) for layer, data in opened.layers([0, 2]) if layer}
    assert found == {0: image.layers[0].tar, 2: image.layers[0].tar}


# --- lies and damage -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "..", "", ".", "a/../../b", None, 5, ["x"]]
)
def test_path_out_of_the_archive_is_refused(tmp_path: Path, name: object) -> None:
    files, entry = parts()
    with pytest.raises(ManifestError, match="not a file in the archive"):
        resolve(saved(tmp_path / "f", files, entry | {"Config": name}))
    with pytest.raises(ManifestError, match="not a file in the archive"):
        resolve(saved(tmp_path / "f", files, entry | {"Layers": [name]}))


@pytest.mark.parametrize("target", ["/etc/passwd", "../../etc/passwd"])
def test_symlink_out_of_the_archive_is_refused(tmp_path: Path, target: str) -> None:
    files, entry = parts(config="link", layer="link")
    file = saved(tmp_path / "f", files | {"link": Symlink(target)}, entry)
    with pytest.raises(ManifestError, match="leads out"):
        resolve(file)
    file = saved(tmp_path / "f", files | {"link": Symlink(target)}, entry | {"Config": CONFIG})
    opened = source(file)
    opened.resolve(None)
    with pytest.raises(ManifestError, match="leads out"):
        list(opened.layers([0]))


def test_config_that_is_not_what_its_name_says_is_refused(tmp_path: Path) -> None:
    files, entry = parts()
    with pytest.raises(DigestMismatchError):
        resolve(saved(tmp_path / "f", files | {CONFIG: TWO.config}, entry))


def test_missing_config_and_missing_layer_are_not_found(tmp_path: Path) -> None:
    files, entry = parts()
    with pytest.raises(ImageNotFoundError):
        resolve(saved(tmp_path / "f", files, entry | {"Config": "gone.json"}))
    opened = source(saved(tmp_path / "f", files, entry | {"Layers": ["gone"]}))
    opened.resolve(None)
    with pytest.raises(ImageNotFoundError):
        list(opened.layers([0]))


@pytest.mark.parametrize("layers", [[], ["l/layer.tar", "l/layer.tar"], None])
def test_layer_count_that_contradicts_the_config_is_refused(tmp_path: Path, layers: object) -> None:
    files, entry = parts()
    with pytest.raises(ManifestError, match="but the config 1"):
        resolve(saved(tmp_path / "f", files, entry | {"Layers": layers}))


@pytest.mark.parametrize(
    ("document", "error"),
    [
        (b"{}", ManifestError),
        (b"[5]", ManifestError),
        (b"[]", ImageNotFoundError),
        (b'[{"Config":"a","Config":"b","Layers":[]}]', ManifestError),
        (b'[{"Config":"a","config":"b","Layers":[]}]', ManifestError),
        (b'[{"config":"a","Layers":[]}]', ManifestError),
        (b'[{"Config":"a","Layers":{}}]', ManifestError),
        (b'[{"Config":"a","RepoTags":"x"}]', ManifestError),
        (b"[" * 100_000, LimitExceededError),
        (b"[" + b'{"Config":"a"},' * 1024 + b'{"Config":"a"}]', LimitExceededError),
    ],
)
def test_bad_manifest_json_is_refused(
    tmp_path: Path, document: bytes, error: type[LayerproofError]
) -> None:
    files, _ = parts()
    with pytest.raises(error):
        resolve(saved(tmp_path / "f", files, document))


def test_archive_without_manifest_json_is_unsupported(tmp_path: Path) -> None:
    file = tmp_path / "old.tar"
    file.write_bytes(tar({"repositories": b"{}", "l/layer.tar": ONE.layers[0].tar}))
    with pytest.raises(UnsupportedError) as caught:
        resolve(file)
    assert caught.value.remedy


def test_oci_index_beside_that_names_another_image_is_refused(tmp_path: Path) -> None:
    files, entry = parts()
    files |= layout_files({"": TWO})
    with pytest.raises(ManifestError, match=r"index\.json does not"):
        resolve(saved(tmp_path / "f", files, entry))


def test_oci_index_beside_that_names_other_layers_is_refused(tmp_path: Path) -> None:
    files, entry = parts()
    files |= layout_files({"": ONE})
    with pytest.raises(ManifestError, match="different layers"):
        resolve(saved(tmp_path / "f", files, entry))


def test_oci_manifest_beside_that_lies_about_its_digest_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "saved.tar"
    files = layout_files({"": ONE}) | {f"blobs/sha256/{ONE.manifest_digest.hex}": TWO.manifest}
    entry = {
        "Config": f"blobs/sha256/{ONE.config_digest.hex}",
        "Layers": [f"blobs/sha256/{ONE.layers[0].digest.hex}"],
    }
    with pytest.raises(DigestMismatchError):
        resolve(saved(file, dict(files), entry))


def test_oci_index_beside_without_images_says_nothing(tmp_path: Path) -> None:
    files, entry = parts()
    files["index.json"] = b'{"schemaVersion":2,"manifests":null}'
    assert resolve(saved(tmp_path / "f", files, entry)).manifest_digest is None


def test_platforms_that_were_not_saved_are_passed_over(tmp_path: Path) -> None:
    other = build([{"a": "arm"}])
    both = index(other, ONE)
    files: Files = dict(layout_files({"": both}))
    for digest in (other.manifest_digest, other.config_digest, other.layers[0].digest):
        del files[f"blobs/sha256/{digest.hex}"]
    entry = {
        "Config": f"blobs/sha256/{ONE.config_digest.hex}",
        "Layers": [f"blobs/sha256/{ONE.layers[0].digest.hex}"],
    }
    image = resolve(saved(tmp_path / "f", files, entry))
    assert image.manifest_digest == ONE.manifest_digest
    assert image.index_digest == both.manifest_digest


def test_too_many_documents_in_a_stream_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("layerproof.sources._files._DOCUMENTS_BYTES", 5000)
    file = tmp_path / "many.tgz"
    files: Files = {f"{n}.json": File(b"{" + b" " * 999) for n in range(6)}
    write_docker_archive(file, {"a:1": ONE}, compression="gzip")
    resolve(file)
    from layerproof.testing.images import compress

    file.write_bytes(compress(tar(files), "gzip"))
    with pytest.raises(LimitExceededError):
        resolve(file)
