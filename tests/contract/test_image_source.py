"""What every image source promises (`engine.ports.ImageSource`), whatever holds the image.

A new source adds one `Holder` to `HOLDERS`. The same image through each gives the same config,
DiffIDs, ChainIDs and layer contents.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest

from layerproof.engine.ports import ImageSource
from layerproof.errors import ImageNotFoundError, UsageError
from layerproof.model.image import Image, Platform
from layerproof.model.reference import Reference, parse_reference
from layerproof.oci.decompress import decompress
from layerproof.oci.limits import Limits
from layerproof.sources.docker_archive import DockerArchiveSource
from layerproof.sources.oci_archive import OciArchiveSource
from layerproof.sources.oci_layout import OciLayoutSource
from layerproof.sources.registry.settings import RegistrySettings
from layerproof.sources.registry.source import RegistrySource
from layerproof.testing.images import (
    BuiltImage,
    Symlink,
    Whiteout,
    build,
    write_docker_archive,
    write_oci_archive,
    write_oci_layout,
)
from layerproof.testing.registry import InMemoryRegistry

LIMITS = Limits()
NAME = "team/app:1.0"

BASE = build([{"etc/passwd": "root:x:0:0::/root:/bin/sh\n", "bin/sh": b"\x7fELF" * 100_000}])
APP = build(
    [
        {"bin/sh": Whiteout()},
        {"app/run": "#!/bin/sh\n", "l": Symlink("app/run")},
        BASE.layers[0].tar,
    ],
    base=BASE,
    env=["PATH=/usr/bin"],
    labels={"Version": "1", "version": "2"},
)


@dataclass(frozen=True)
class Holder:
    """A way to hold an image: puts it somewhere and opens it there."""

    name: str
    hold: Callable[[Path, BuiltImage], Iterator[ImageSource]]
    has_manifest: bool  # whether the image's own manifest comes with it
    one_pass: bool = False


def oci_layout(folder: Path, image: BuiltImage) -> Iterator[ImageSource]:
    write_oci_layout(folder / "layout", {"v1": image})
    yield OciLayoutSource(parse_reference(f"oci:{folder}/layout:v1"), LIMITS)


def oci_archive(folder: Path, image: BuiltImage) -> Iterator[ImageSource]:
    write_oci_archive(folder / "image.tar", {"v1": image})
    yield OciArchiveSource(parse_reference(f"oci-archive:{folder}/image.tar:v1"), LIMITS)


def oci_archive_gzip(folder: Path, image: BuiltImage) -> Iterator[ImageSource]:
    write_oci_archive(folder / "image.tgz", {"v1": image}, compression="gzip")
    yield OciArchiveSource(parse_reference(f"oci-archive:{folder}/image.tgz:v1"), LIMITS)


def docker_archive(
    layout: str, compress_layers: bool, compression: str
) -> Callable[[Path, BuiltImage], Iterator[ImageSource]]:
    def hold(folder: Path, image: BuiltImage) -> Iterator[ImageSource]:
        write_docker_archive(
            folder / "saved",
            {NAME: image},
            layout=layout,  # type: ignore[arg-type]  because the parameters are plain text
            compress_layers=compress_layers,
            compression=compression,  # type: ignore[arg-type]  as above
        )
        yield DockerArchiveSource(parse_reference(f"docker-archive:{folder}/saved:{NAME}"), LIMITS)

    return hold


def registry(_: Path, image: BuiltImage) -> Iterator[ImageSource]:
    with InMemoryRegistry() as server:
        server.add_image("team/app", "1.0", image)
        yield RegistrySource(
            parse_reference(f"docker://{server.host}/team/app:1.0"),
            limits=LIMITS,
            settings=RegistrySettings(insecure_hosts=frozenset({server.host})),
        )


HOLDERS = [
    Holder("oci-layout", oci_layout, has_manifest=True),
    Holder("oci-archive", oci_archive, has_manifest=True),
    Holder("oci-archive-gzip", oci_archive_gzip, has_manifest=True, one_pass=True),
    Holder("docker-old", docker_archive("old", False, "none"), has_manifest=False),
    Holder("docker-old-gzip-layers", docker_archive("old", True, "none"), has_manifest=False),
    Holder("docker-old-gzip", docker_archive("old", False, "gzip"), False, one_pass=True),
    Holder("docker-old-zstd", docker_archive("old", False, "zstd"), False, one_pass=True),
    Holder("docker-new", docker_archive("new", False, "none"), has_manifest=False),
    Holder("docker-new-gzip-layers", docker_archive("new", True, "none"), has_manifest=True),
    Holder("docker-new-gzip", docker_archive("new", True, "gzip"), True, one_pass=True),
    Holder("registry", registry, has_manifest=True),
]


@pytest.fixture(params=HOLDERS, ids=lambda holder: holder.name)
def holder(request: pytest.FixtureRequest) -> Holder:
    found: Holder = request.param
    return found


@pytest.fixture
def source(holder: Holder, tmp_path: Path) -> Iterator[ImageSource]:
    for opened in holder.hold(tmp_path, APP):
        with closing(opened):
            yield opened


def contents(source: ImageSource, wanted: list[int]) -> dict[int, str]:
    """DiffID of what is delivered for each position."""
    found = {}
    for layer, chunks in source.layers(wanted):
        assert layer is not None
        digest = sha256()
        for piece in decompress(chunks, LIMITS):
            digest.update(piece)
        found[layer.position] = f"sha256:{digest.hexdigest()}"
    return found


def test_identities_are_those_of_the_image(source: ImageSource) -> None:
    image = source.resolve(None)
    assert image.config_digest == APP.config_digest
    assert tuple(layer.diff_id for layer in image.layers) == APP.diff_ids
    assert tuple(layer.chain_id for layer in image.layers) == APP.chain_ids
    assert image.platform == APP.platform
    assert image.labels == {"Version": "1", "version": "2"}
    assert image.notes == ()


def test_manifest_is_the_image_s_own_where_it_comes_along(
    source: ImageSource, holder: Holder
) -> None:
    image = source.resolve(None)
    if holder.has_manifest:
        assert image.manifest_digest == APP.manifest_digest
        assert [layer.blob and layer.blob.digest for layer in image.layers] == [
            layer.digest for layer in APP.layers
        ]
    else:
        assert image.manifest_digest != APP.manifest_digest


def test_every_layer_is_delivered_with_its_contents(source: ImageSource) -> None:
    source.resolve(None)
    assert contents(source, [0, 1, 2, 3]) == dict(enumerate(APP.diff_ids))


def test_only_wanted_layers_are_delivered(source: ImageSource) -> None:
    source.resolve(None)
    assert contents(source, [2, 1]) == {1: APP.diff_ids[1], 2: APP.diff_ids[2]}
    assert contents(source, []) == {}


def test_chunks_are_bounded(source: ImageSource) -> None:
    source.resolve(None)
    for _, chunks in source.layers([0]):
        assert all(0 < len(chunk) <= 1 << 20 for chunk in chunks)


def test_layer_closed_half_read_does_not_disturb_the_next(source: ImageSource) -> None:
    image = source.resolve(None)
    seen = []
    for layer, chunks in source.layers([0, 1, 2]):
        assert layer is not None
        next(chunks)
        chunks.close()  # type: ignore[attr-defined]  because all sources give generators
        seen.append(layer.position)
    assert sorted(seen) == [0, 1, 2]
    assert contents(source, [0, 1, 2, 3]) == dict(enumerate(APP.diff_ids))
    assert source.resolve(None) == image


def test_closed_source_can_be_used_again(source: ImageSource) -> None:
    source.resolve(None)
    source.close()
    assert contents(source, [1]) == {1: APP.diff_ids[1]}
    source.close()
    source.close()


def test_random_access_allows_many_calls(source: ImageSource, holder: Holder) -> None:
    assert source.random_access is not holder.one_pass
    image = source.resolve(None)
    if source.random_access:
        for layer in reversed(image.layers):
            assert contents(source, [layer.position]) == {layer.position: layer.diff_id}


def test_layers_before_resolve_are_wrong_use(source: ImageSource) -> None:
    with pytest.raises(UsageError):
        list(source.layers([0]))


def test_other_platform_than_the_image_s_is_not_found(source: ImageSource) -> None:
    assert source.resolve(Platform("linux", "amd64")).platform == APP.platform
    with pytest.raises(ImageNotFoundError, match="linux/s390x"):
        source.resolve(Platform("linux", "s390x"))


def test_images_are_equal_through_all_sources(tmp_path: Path) -> None:
    found: list[Image] = []
    for number, holder in enumerate(HOLDERS):
        folder = tmp_path / str(number)
        folder.mkdir()
        for source in holder.hold(folder, APP):
            with closing(source):
                found.append(source.resolve(None))
    assert len({image.config_digest for image in found}) == 1
    assert all(image.config == found[0].config for image in found)
    assert all(image.history == found[0].history for image in found)
    assert len({image.reference for image in found}) == len(found)
    assert all(str(parse_reference(image.reference)) == image.reference for image in found)
    assert isinstance(parse_reference(found[0].reference), Reference)
