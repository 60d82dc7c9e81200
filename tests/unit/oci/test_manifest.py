"""Manifests, indexes and configs: what is refused, and what an image becomes."""

import json
import os
from dataclasses import replace
from hashlib import sha256, sha512

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
from layerproof.model.image import Image, Platform
from layerproof.oci.limits import Limits
from layerproof.oci.manifest import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    ImageIndex,
    IndexEntry,
    Manifest,
    build_image,
    choose,
    host_platform,
    parse_json,
    parse_json_list,
    parse_manifest,
    runs_on,
    verify_digest,
)
from layerproof.testing.images import BuiltImage, build, index

LIMITS = Limits()
IMAGE = build([{"a": "1"}, {"b": "2"}])


def parsed(data: bytes, limits: Limits = LIMITS) -> dict[str, object]:
    return parse_json(data, where="doc", limits=limits)


def manifest_of(
    data: bytes, media_type: str = "", limits: Limits = LIMITS
) -> Manifest | ImageIndex:
    return parse_manifest(data, media_type=media_type, where="doc", limits=limits)


def changed(document: bytes, **keys: object) -> bytes:
    return json.dumps(json.loads(document) | keys).encode()


# --- strict JSON ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", ManifestError),
        (b"[]", ManifestError),
        (b"{} {}", ManifestError),
        (b"\xef\xbb\xbf{}", ManifestError),
        (b'{"a":"\xff"}', ManifestError),
        ('{"a":1}'.encode("utf-16"), ManifestError),
        (b'{"a":NaN}', ManifestError),
        (b'{"a":-Infinity}', ManifestError),
        (b'{"a":1e999}', ManifestError),
        (b'{"a":' + b"9" * 5000 + b"}", ManifestError),
        (b'{"a":"\\ud800"}', ManifestError),
        (b'{"\\udfff":1}', ManifestError),
        (b'{"a":1,"a":1}', ManifestError),
        (b'{"a":1,"\\u0061":2}', ManifestError),
        (b'{"a":{"b":1,"b":2}}', ManifestError),
        (b'{"a":[{"b":1,"b":2}]}', ManifestError),
        (b'{"layers":1,"Layers":2}', ManifestError),
        (b'{"layers":1,"layer\\u017f":2}', ManifestError),  # the long s, which Go folds to s
        (b'{"labels":{"a":1,"a":2}}', ManifestError),
        (b'{"a":' * 65 + b"1" + b"}" * 65, LimitExceededError),
        (b"[" * 1_000_000, LimitExceededError),
        (b'{"a":' * 500_000, LimitExceededError),
        (b'{"a":"' + b"x" * LIMITS.json_bytes + b'"}', LimitExceededError),
    ],
)
def test_ambiguous_or_endless_json_is_refused(data: bytes, error: type[LayerproofError]) -> None:
    with pytest.raises(error) as caught:
        parsed(data)
    assert caught.value.where == "doc"


def test_repeated_key_is_named() -> None:
    with pytest.raises(ManifestError, match="'digest' stands twice"):
        parsed(b'{"x":[{"digest":"a","size":1,"digest":"b"}]}')


def test_labels_that_differ_only_in_case_are_two_labels() -> None:
    document = b'{"config":{"Labels":{"Version":"1","version":"2"}}}'
    assert parsed(document) == {"config": {"Labels": {"Version": "1", "version": "2"}}}


def test_paired_surrogates_are_one_character() -> None:
    assert parsed(b'{"a":"\\ud83d\\ude00"}') == {"a": "\U0001f600"}


def test_depth_at_the_limit_is_accepted() -> None:
    parsed(b'{"a":' * 64 + b"1" + b"}" * 64)


def test_list_documents() -> None:
    assert parse_json_list(b"[1]", where="doc", limits=LIMITS) == [1]
    with pytest.raises(ManifestError):
        parse_json_list(b"{}", where="doc", limits=LIMITS)


def test_digests_are_checked_in_both_algorithms() -> None:
    verify_digest(b"x", Digest("sha256:" + sha256(b"x").hexdigest()), where="")
    verify_digest(b"x", Digest("sha512:" + sha512(b"x").hexdigest()), where="")
    with pytest.raises(DigestMismatchError):
        verify_digest(b"y", Digest("sha512:" + sha512(b"x").hexdigest()), where="")


# --- manifests -----------------------------------------------------------------------------------


@pytest.mark.parametrize("docker", [False, True])
def test_manifest_of_both_kinds(docker: bool) -> None:
    built = build([{"a": "1"}], docker=docker, annotations={"k": "v"})
    found = manifest_of(built.manifest, built.manifest_media_type)
    assert isinstance(found, Manifest)
    assert found.media_type == (DOCKER_MANIFEST if docker else OCI_MANIFEST)
    assert found.config.digest == built.config_digest
    assert [layer.digest for layer in found.layers] == [built.layers[0].digest]
    assert found.layers[0].size == len(built.layers[0].blob)
    assert found.annotations == {"k": "v"}


@pytest.mark.parametrize("docker", [False, True])
def test_index_of_both_kinds(docker: bool) -> None:
    built = index(IMAGE, attestations=[build([])], docker=docker)
    found = manifest_of(built.manifest, built.manifest_media_type)
    assert isinstance(found, ImageIndex)
    assert found.media_type == (DOCKER_LIST if docker else OCI_INDEX)
    assert [entry.is_attestation for entry in found.manifests] == [False, True]
    assert found.manifests[0].platform == Platform("linux", "amd64")


@pytest.mark.parametrize("given", ["", "application/json", f"{OCI_MANIFEST}; charset=utf-8"])
def test_media_type_may_be_told_by_the_document_alone(given: str) -> None:
    assert isinstance(manifest_of(IMAGE.manifest, given), Manifest)


def test_oci_documents_without_media_type_are_told_by_their_list() -> None:
    bare = json.loads(IMAGE.manifest)
    del bare["mediaType"]
    assert manifest_of(json.dumps(bare).encode()).media_type == OCI_MANIFEST
    assert manifest_of(b'{"schemaVersion":2,"manifests":[]}').media_type == OCI_INDEX


def test_layers_beside_manifests_are_refused() -> None:
    both = changed(IMAGE.manifest, manifests=[])
    for media_type in ("", OCI_MANIFEST, OCI_INDEX):
        with pytest.raises(ManifestError):
            manifest_of(both, media_type)
    with pytest.raises(ManifestError, match="both `layers` and `manifests`"):
        manifest_of(both, OCI_MANIFEST)


def test_manifests_in_capitals_are_not_overlooked() -> None:
    with pytest.raises(ManifestError, match="must be written 'manifests'"):
        manifest_of(changed(IMAGE.manifest, Manifests=[]), OCI_MANIFEST)


def test_media_type_that_contradicts_the_document_is_refused() -> None:
    with pytest.raises(ManifestError, match="delivered as"):
        manifest_of(IMAGE.manifest, DOCKER_MANIFEST)


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (b'{"schemaVersion":1,"fsLayers":[],"history":[]}', ""),
        (
            b'{"schemaVersion":1,"fsLayers":[]}',
            "application/vnd.docker.distribution.manifest.v1+prettyjws",
        ),
        (b'{"schemaVersion":2,"layers":[]}', "application/vnd.cncf.oras.artifact.manifest.v1+json"),
        (b'{"schemaVersion":2,"blobs":[]}', ""),
    ],
)
def test_other_documents_are_unsupported(data: bytes, media_type: str) -> None:
    with pytest.raises(UnsupportedError):
        manifest_of(data, media_type)


def test_schema_1_error_says_how_to_go_on() -> None:
    with pytest.raises(UnsupportedError) as caught:
        manifest_of(b'{"schemaVersion":1}')
    assert "skopeo" in caught.value.remedy


@pytest.mark.parametrize(
    "part",
    [
        {"config": {"mediaType": "application/vnd.oci.empty.v1+json"}},
        {"config": {"mediaType": "application/vnd.cncf.helm.config.v1+json"}},
        {"layers": {"mediaType": "application/vnd.dev.cosign.simplesigning.v1+json"}},
        {"layers": {"mediaType": "application/vnd.oci.image.layer.v1.tar+encrypted"}},
    ],
)
def test_artifacts_are_not_images(part: dict[str, dict[str, object]]) -> None:
    document = json.loads(IMAGE.manifest)
    if "config" in part:
        document["config"] |= part["config"]
    else:
        document["layers"][0] |= part["layers"]
    with pytest.raises(UnsupportedError):
        manifest_of(json.dumps(document).encode())


@pytest.mark.parametrize(
    "media_type",
    [
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.oci.image.layer.v1.tar+zstd",
        "application/vnd.oci.image.layer.v1.tar",
    ],
)
def test_foreign_and_compressed_layers_are_layers(media_type: str) -> None:
    document = json.loads(IMAGE.manifest)
    document["layers"][0]["mediaType"] = media_type
    assert isinstance(manifest_of(json.dumps(document).encode()), Manifest)


@pytest.mark.parametrize(
    "descriptor",
    [
        None,
        [],
        {},
        {"mediaType": "", "digest": "sha256:" + "0" * 64, "size": 1},
        {"mediaType": "x", "digest": "sha256:0", "size": 1},
        {"mediaType": "x", "digest": 5, "size": 1},
        {"mediaType": "x", "digest": "md5:" + "0" * 32, "size": 1},
        {"mediaType": "x", "digest": "sha256:" + "0" * 64, "size": -1},
        {"mediaType": "x", "digest": "sha256:" + "0" * 64, "size": 1.5},
        {"mediaType": "x", "digest": "sha256:" + "0" * 64, "size": True},
        {"mediaType": "x", "digest": "sha256:" + "0" * 64, "size": "1"},
        {"mediaType": "x", "digest": "sha256:" + "0" * 64, "size": 1 << 64},
        {"mediaType": "x", "digest": "sha256:" + "0" * 64},
        {"mediaType": "x", "digest": "sha256:" + "0" * 64, "size": 1, "annotations": {"a": 1}},
        {"mediaType": "x", "digest": "sha256:" + "0" * 64, "size": 1, "Digest": "sha256:"},
    ],
)
def test_malformed_descriptors_are_refused(descriptor: object) -> None:
    with pytest.raises(ManifestError):
        manifest_of(changed(IMAGE.manifest, layers=[descriptor]))
    with pytest.raises(ManifestError):
        manifest_of(changed(IMAGE.manifest, config=descriptor))


@pytest.mark.parametrize(
    "keys", [{"layers": {}}, {"schemaVersion": "2"}, {"mediaType": 5}, {"annotations": []}]
)
def test_malformed_manifests_are_refused(keys: dict[str, object]) -> None:
    with pytest.raises(ManifestError):
        manifest_of(changed(IMAGE.manifest, **keys))


def test_too_many_layers_or_manifests_are_refused() -> None:
    with pytest.raises(LimitExceededError) as caught:
        manifest_of(IMAGE.manifest, limits=replace(LIMITS, layers=1))
    assert caught.value.limit == "layers"
    with pytest.raises(LimitExceededError) as caught:
        manifest_of(index(IMAGE, IMAGE).manifest, limits=replace(LIMITS, index_manifests=1))
    assert caught.value.limit == "index_manifests"


# --- platforms -----------------------------------------------------------------------------------


def entries(*names: str) -> ImageIndex:
    built = index(*(build([], platform=platform(name)) for name in names))
    found = manifest_of(built.manifest)
    assert isinstance(found, ImageIndex)
    return found


def platform(name: str) -> Platform:
    return Platform(*name.split("/"))


@pytest.mark.parametrize(
    ("there", "wanted", "chosen"),
    [
        (["linux/amd64", "linux/arm64"], "linux/arm64", 1),
        (["linux/amd64", "linux/arm64/v8"], "linux/arm64", 1),
        (["linux/arm64"], "linux/arm64/v8", 0),
        (["linux/arm/v6", "linux/arm/v7"], "linux/arm/v7", 1),
        (["linux/arm/v5", "linux/arm/v6"], "linux/arm/v7", 1),
        (["linux/arm"], "linux/arm/v7", 0),
        (["linux/arm/v6"], "linux/arm", 0),
        (["linux/amd64/v3", "linux/amd64"], "linux/amd64", 1),
        (["linux/amd64", "linux/amd64/v2"], "linux/amd64/v3", 1),
        (["linux/amd64/v1"], "linux/amd64", 0),
        (["windows/amd64", "linux/amd64"], "linux/amd64", 1),
        (["linux/s390x", "linux/ppc64le"], "linux/ppc64le", 1),
        (["linux/amd64", "linux/amd64"], "linux/amd64", 0),
    ],
)
def test_platform_chosen_from_an_index(there: list[str], wanted: str, chosen: int) -> None:
    found = entries(*there)
    assert choose(found, platform(wanted), where="doc") is found.manifests[chosen]


@pytest.mark.parametrize(
    ("there", "wanted"),
    [
        (["linux/arm64"], "linux/amd64"),
        (["linux/386"], "linux/amd64"),
        (["linux/arm/v7"], "linux/arm64"),
        (["linux/arm/v7"], "linux/arm/v6"),
        (["linux/amd64/v2"], "linux/amd64"),
        (["windows/amd64"], "linux/amd64"),
    ],
)
def test_missing_platform_is_told_with_those_that_exist(there: list[str], wanted: str) -> None:
    with pytest.raises(ImageNotFoundError) as caught:
        choose(entries(*there), platform(wanted), where="doc")
    assert all(name in str(caught.value) for name in [*there, wanted])


def test_attestation_is_never_chosen() -> None:
    built = index(attestations=[IMAGE])
    found = manifest_of(built.manifest)
    assert isinstance(found, ImageIndex)
    for wanted in (Platform("unknown", "unknown"), host_platform()):
        with pytest.raises(ImageNotFoundError):
            choose(found, wanted, where="doc")


def test_single_entry_without_platform_is_chosen_and_two_are_not() -> None:
    one = entries("linux/amd64")
    bare = tuple(IndexEntry(e.descriptor, None, False) for e in one.manifests)
    assert choose(replace(one, manifests=bare), None, where="doc") is bare[0]
    with pytest.raises(ImageNotFoundError):
        choose(replace(one, manifests=bare * 2), None, where="doc")


@pytest.mark.parametrize(
    ("machine", "expected"),
    [("x86_64", "linux/amd64"), ("aarch64", "linux/arm64"), ("armv7l", "linux/arm/v7")],
)
def test_host_platform(machine: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    uname = os.uname_result(("Darwin", "", "", "", machine))
    monkeypatch.setattr(os, "uname", lambda: uname)
    assert str(host_platform()) == expected


def test_runs_on() -> None:
    assert runs_on(platform("linux/arm/v6"), platform("linux/arm/v7"))
    assert not runs_on(platform("linux/arm/v7"), platform("linux/arm/v6"))


# --- images --------------------------------------------------------------------------------------


def image_of(built: BuiltImage, **options: object) -> Image:
    manifest = manifest_of(built.manifest)
    assert isinstance(manifest, Manifest)
    return build_image(
        reference="ref",
        config_bytes=built.config,
        manifest=manifest,
        where="doc",
        limits=LIMITS,
        **options,  # type: ignore[arg-type]  because the tests name them
    )


def test_image_has_the_specified_identities() -> None:
    built = build([{"a": "1"}, {"b": "2"}, {"a": "1"}], env=["A=b"], labels={"k": "v"})
    image = image_of(built, manifest_digest=built.manifest_digest)
    assert image.config_digest == built.config_digest
    assert image.manifest_digest == built.manifest_digest
    assert tuple(layer.diff_id for layer in image.layers) == built.diff_ids
    assert tuple(layer.chain_id for layer in image.layers) == built.chain_ids
    assert [layer.position for layer in image.layers] == [0, 1, 2]
    assert [layer.blob.digest for layer in image.layers if layer.blob] == [
        layer.digest for layer in built.layers
    ]
    assert [layer.created_by for layer in image.layers] == [f"COPY layer-{n} /" for n in range(3)]
    assert [entry.empty_layer for entry in image.history] == [False, False, False, True, True]
    assert image.platform == Platform("linux", "amd64")
    assert image.environment == ("A=b",)
    assert image.labels == {"k": "v"}
    assert image.notes == ()


@pytest.mark.parametrize("history", [[], [{"created_by": "x"}] * 3, None])
def test_history_that_does_not_match_leaves_commands_unknown(history: object) -> None:
    image = image_of(build([{"a": "1"}, {"b": "2"}], config_extra={"history": history}))
    assert [layer.created_by for layer in image.layers] == [None, None]
    assert len(image.layers) == 2
    assert "unknown" in image.notes[0]


def test_image_without_layers() -> None:
    image = image_of(build([], config_extra={"rootfs": {"type": "layers", "diff_ids": None}}))
    assert image.layers == ()
    assert image.top is None


def test_config_that_says_no_platform_is_noted() -> None:
    image = image_of(build([{"a": "1"}], config_extra={"os": "", "architecture": ""}))
    assert image.platform == Platform("unknown", "unknown")
    assert image.notes


def test_config_bytes_of_another_digest_are_refused() -> None:
    other = build([{"a": "1"}, {"b": "2"}], env=["LD_PRELOAD=/evil.so"])
    with pytest.raises(DigestMismatchError):
        image_of(replace(IMAGE, config=other.config))


@pytest.mark.parametrize(
    "config",
    [
        {"rootfs": None},
        {"rootfs": {"type": "layers"}},
        {"rootfs": {"type": "other", "diff_ids": []}},
        {"rootfs": {"type": "layers", "diff_ids": ["sha256:0"]}},
        {"rootfs": {"type": "layers", "diff_ids": ["sha512:" + "0" * 128] * 2}},
        {"rootfs": {"type": "layers", "diff_ids": ["sha256:" + "0" * 64]}},
        {"rootfs": {"type": "layers", "diff_ids": ["sha256:" + "0" * 64] * 3}},
        {"history": {}},
        {"history": [5]},
        {"history": [{"empty_layer": "true"}]},
        {"history": [{"created_by": ["x"]}]},
        {"os": 5},
        {"config": []},
        {"RootFS": {}},
        {"config": {"env": ["A=b"]}},
        {"Config": {"Env": ["A=b"]}},
    ],
)
def test_malformed_or_ambiguous_configs_are_refused(config: dict[str, object]) -> None:
    with pytest.raises(ManifestError):
        image_of(build([{"a": "1"}, {"b": "2"}], config_extra=config))


def test_layer_count_contradiction_is_told_in_numbers() -> None:
    built = build([{"a": "1"}], manifest_extra={"layers": []})
    with pytest.raises(ManifestError, match="0 layers but the config 1"):
        image_of(built)


def test_image_of_another_platform_than_asked_for_is_refused() -> None:
    image_of(IMAGE, platform=Platform("linux", "amd64", "v1"))
    with pytest.raises(ImageNotFoundError):
        image_of(IMAGE, platform=Platform("linux", "arm64"))


def test_too_many_diff_ids_are_refused() -> None:
    with pytest.raises(LimitExceededError):
        build_image(
            reference="",
            config_bytes=IMAGE.config,
            where="doc",
            limits=replace(LIMITS, layers=1),
        )
