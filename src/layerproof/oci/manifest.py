"""Manifests, image indexes and configs: hostile JSON in, model out, or a named error. No I/O.

Rules, in the order in which they are checked:

1. A document is UTF-8 JSON, within `Limits.json_bytes` and
   `Limits.json_depth`; NaN, Infinity and lone surrogates are refused.
2. No object has a key twice, nor two keys that differ only in case: Go's clients read keys without
   regard to case and let the last one win, so one digest would be read as two manifests. Free maps
   (labels, annotations, …) are exact in Go too: there only exact duplicates are refused. For the
   same reason a known key in another case is refused.
3. A document with both `layers` and `manifests` is refused (GHSA-qq97-vm5h-rrhg), and so is one
   whose `mediaType` disagrees with the media type under which it was delivered
   (GHSA-77vh-xpmg-72qh; image-spec, manifest.md and image-index.md).
4. Schema 1, artifacts that are not images and unknown media types are UnsupportedError: valid
   perhaps, but nothing that Layerproof guesses at.

Sources: OCI image-spec v1.1 manifest.md, image-index.md, descriptor.md, config.md; distribution,
"Image Manifest Version 2, Schema 2".
"""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import new as new_hash
from math import isfinite
from typing import NoReturn

from layerproof.errors import (
    DigestMismatchError,
    ImageNotFoundError,
    LimitExceededError,
    ManifestError,
    UnsupportedError,
)
from layerproof.model.digest import DiffId, Digest, chain_ids
from layerproof.model.image import Descriptor, History, Image, Layer, Platform
from layerproof.oci.limits import Limits

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"

MANIFEST_TYPES = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
INDEX_TYPES = frozenset({OCI_INDEX, DOCKER_LIST})
# What a client asks a registry for.
ACCEPTED_TYPES = (OCI_MANIFEST, DOCKER_MANIFEST, OCI_INDEX, DOCKER_LIST)

_SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+"  # …json and …prettyjws
# Says nothing about the document: it must say itself what it is.
_GENERIC_TYPES = frozenset({"", "application/json", "application/octet-stream", "text/plain"})
# Early registries lost the type of schema 2 configs; Docker pulls such images to this day.
_LOST_CONFIG_TYPES = frozenset({"application/octet-stream", "application/json", "text/html"})
_LAYER_TYPE = re.compile(
    r"application/vnd\.oci\.image\.layer\.(?:nondistributable\.)?v1\.tar(?:\+gzip|\+zstd)?"
    r"|application/vnd\.docker\.image\.rootfs\.(?:foreign\.)?diff\.tar(?:\.gzip|\.zstd)?"
)

_ATTESTATION = "vnd.docker.reference.type"
_UNKNOWN = "unknown"


def _fields(names: str) -> Mapping[str, str]:
    return {name.casefold(): name for name in names.split()}


_MANIFEST_KEYS = _fields(
    "schemaVersion mediaType artifactType config layers manifests fsLayers subject annotations"
)
_DESCRIPTOR_KEYS = _fields("mediaType digest size urls annotations data artifactType platform")
_PLATFORM_KEYS = _fields("architecture os os.version os.features variant features")
_CONFIG_KEYS = _fields(
    "created author architecture os os.version os.features variant config container "
    "container_config docker_version rootfs history"
)
_RUN_KEYS = _fields(
    "User ExposedPorts Env Entrypoint Cmd Volumes WorkingDir Labels StopSignal ArgsEscaped Shell "
    "Healthcheck OnBuild Hostname Domainname Image"
)
_ROOTFS_KEYS = _fields("type diff_ids")
_HISTORY_KEYS = _fields("created created_by comment author empty_layer")
# Objects whose keys are data, not field names.
_FREE_MAPS = frozenset({"labels", "annotations", "volumes", "exposedports"})

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


# --- strict JSON -------------------------------------------------------------------------------


def parse_json(data: bytes, *, where: str, limits: Limits) -> dict[str, object]:
    """Parse one document strictly (rules 1 and 2). Raises ManifestError, LimitExceededError."""
    document = _parse(data, where, limits)
    if not isinstance(document, dict):
        raise ManifestError("the document is not a JSON object", where=where)
    return document


def parse_json_list(data: bytes, *, where: str, limits: Limits) -> list[object]:
    """As `parse_json`, for a document that is a list (the manifest.json of a docker-archive)."""
    document = _parse(data, where, limits)
    if not isinstance(document, list):
        raise ManifestError("the document is not a JSON list", where=where)
    return document


def _parse(data: bytes, where: str, limits: Limits) -> object:
    if len(data) > limits.json_bytes:
        raise LimitExceededError(
            f"the document has {len(data)} bytes, more than {limits.json_bytes}",
            limit="json_bytes",
            where=where,
        )
    parser = _Parser(where)
    try:
        document = parser.parse(data)
    except RecursionError as error:
        raise _too_deep(where, limits) from error
    except ValueError as error:  # JSONDecodeError, UnicodeDecodeError, too many digits
        raise ManifestError(f"not valid JSON: {error}", where=where) from error
    _check_tree(document, parser.case_variants, where, limits)
    if _SURROGATE.search(data):
        _check_surrogates(document, where)
    return document


class _Parser:
    """The standard library's parser, told to refuse what it would let pass."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.case_variants: dict[int, str] = {}  # id of an object → one of its doubtful keys

    def parse(self, data: bytes) -> object:
        document: object = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=self._object,
            parse_constant=self._constant,
            parse_float=self._float,
        )
        return document

    def _object(self, pairs: list[tuple[str, object]]) -> dict[str, object]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ManifestError(
                f"the key {_repeated([key for key, _ in pairs])!r} stands twice in one object",
                where=self.where,
            )
        if len({key.casefold() for key in found}) != len(found):
            self.case_variants[id(found)] = _repeated([key.casefold() for key in found])
        return found

    def _constant(self, name: str) -> NoReturn:
        raise ManifestError(f"{name} is not a JSON number", where=self.where)

    def _float(self, text: str) -> float:
        number = float(text)
        if not isfinite(number):
            raise ManifestError(f"the number {text[:40]} is too large", where=self.where)
        return number


def _repeated(keys: list[str]) -> str:
    seen: set[str] = set()
    for key in keys:
        if key in seen:
            return key[:100]
        seen.add(key)
    return ""


def _check_tree(document: object, variants: Mapping[int, str], where: str, limits: Limits) -> None:
    """Depth, level by level (never recursively), and case-variant keys outside free maps."""
    level: list[tuple[str, object]] = [("", document)]
    depth = 1
    while level:
        if depth > limits.json_depth:
            raise _too_deep(where, limits)
        below: list[tuple[str, object]] = []
        for name, node in level:
            if isinstance(node, dict):
                if id(node) in variants and name.casefold() not in _FREE_MAPS:
                    raise ManifestError(
                        f"the key {variants[id(node)]!r} stands in one object in two spellings "
                        "that differ only in case",
                        where=where,
                        remedy="tools disagree on which of the two counts: rebuild the image",
                    )
                below += [(k, v) for k, v in node.items() if isinstance(v, dict | list)]
            elif isinstance(node, list):
                below += [("", v) for v in node if isinstance(v, dict | list)]
        level = below
        depth += 1


def _check_surrogates(document: object, where: str) -> None:
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ManifestError("a string holds half a surrogate pair", where=where) from error


def _too_deep(where: str, limits: Limits) -> LimitExceededError:
    return LimitExceededError(
        f"the document is nested deeper than {limits.json_depth} levels",
        limit="json_depth",
        where=where,
    )


def verify_digest(data: bytes, digest: Digest, *, where: str) -> None:
    """Raises DigestMismatchError unless `data` has this digest."""
    found = new_hash(digest.algorithm, data).hexdigest()
    if found != digest.hex:
        raise DigestMismatchError(
            f"the bytes have the digest {digest.algorithm}:{found}, not {digest}", where=where
        )


# --- manifests and indexes ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Manifest:
    """One platform's image manifest."""

    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]  # lowest first
    annotations: Mapping[str, str]
    document: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One manifest of an image index."""

    descriptor: Descriptor
    platform: Platform | None
    is_attestation: bool  # BuildKit's provenance and SBOM manifests, which are no platforms


@dataclass(frozen=True, slots=True)
class ImageIndex:
    """An OCI image index or a Docker manifest list."""

    media_type: str
    manifests: tuple[IndexEntry, ...]
    document: Mapping[str, object]


def parse_manifest(
    data: bytes, *, media_type: str, where: str, limits: Limits
) -> Manifest | ImageIndex:
    """Parse a manifest or an index strictly (rules 1 to 4).

    `media_type` is what the descriptor or the registry said; empty or a generic type where nobody
    did: then the document says it. Raises ManifestError, UnsupportedError, LimitExceededError.
    """
    document = parse_json(data, where=where, limits=limits)
    exact_keys(document, _MANIFEST_KEYS, where)
    media_type = _agreed_type(document, media_type.partition(";")[0].strip(), where)
    if media_type in INDEX_TYPES:
        return _parse_index(document, media_type, where, limits)
    return _parse_image_manifest(document, media_type, where, limits)


def is_layer_type(media_type: str) -> bool:
    """Whether runtimes unpack what is stored under this media type."""
    return _LAYER_TYPE.fullmatch(media_type) is not None or "tar" in media_type.lower()


def _agreed_type(document: Mapping[str, object], given: str, where: str) -> str:
    shapes = [key for key in ("layers", "manifests", "fsLayers") if key in document]
    if len(shapes) > 1:
        raise ManifestError(
            f"the document carries both `{shapes[0]}` and `{shapes[1]}`",
            where=where,
            remedy="tools disagree on what such a document is: rebuild the image",
        )
    said = document.get("mediaType", "")
    if not isinstance(said, str):
        raise _wrong("mediaType", "a string", where)
    version = document.get("schemaVersion")
    if given.startswith(_SCHEMA_1) or said.startswith(_SCHEMA_1) or version == 1:
        raise UnsupportedError(
            "a schema 1 manifest, which names no config and no DiffIDs",
            where=where,
            remedy="pull and push the image once with a current Docker or skopeo to convert it",
        )
    if version != 2 or isinstance(version, bool):
        raise _wrong("schemaVersion", "2", where)
    if said and given not in _GENERIC_TYPES and said != given:
        raise ManifestError(
            f"`mediaType` is {said[:100]!r} but it was delivered as {given[:100]!r}", where=where
        )
    media_type = said or (given if given not in _GENERIC_TYPES else _type_by_shape(shapes))
    if media_type not in MANIFEST_TYPES and media_type not in INDEX_TYPES:
        raise UnsupportedError(
            f"{media_type[:100]!r} is no image manifest and no image index", where=where
        )
    return media_type


def _type_by_shape(shapes: list[str]) -> str:
    """OCI lets `mediaType` be absent; then only one list says what the document is."""
    return {"manifests": OCI_INDEX, "layers": OCI_MANIFEST}.get("".join(shapes), "")


def _parse_image_manifest(
    document: dict[str, object], media_type: str, where: str, limits: Limits
) -> Manifest:
    config = _descriptor(document.get("config"), "config", where)
    items = _list(document, "layers", where)
    _check_count(len(items), "layers", limits.layers, where)
    config_types = {OCI_CONFIG, DOCKER_CONFIG}
    if media_type == DOCKER_MANIFEST:
        config_types |= _LOST_CONFIG_TYPES
    if config.media_type not in config_types:
        kind = document.get("artifactType") or config.media_type
        raise UnsupportedError(
            f"an artifact of type {str(kind)[:100]!r}, not a container image", where=where
        )
    layers = tuple(_descriptor(item, f"layers[{n}]", where) for n, item in enumerate(items))
    for number, layer in enumerate(layers):
        if not _LAYER_TYPE.fullmatch(layer.media_type):
            raise UnsupportedError(
                f"layers[{number}] has the media type {layer.media_type[:100]!r}, "
                "which is no layer that Layerproof can read",
                where=where,
            )
    annotations = _annotations(document.get("annotations"), "annotations", where)
    return Manifest(media_type, config, layers, annotations, document)


def _parse_index(
    document: dict[str, object], media_type: str, where: str, limits: Limits
) -> ImageIndex:
    items = _list(document, "manifests", where)
    _check_count(len(items), "index_manifests", limits.index_manifests, where)
    entries = tuple(_index_entry(item, f"manifests[{n}]", where) for n, item in enumerate(items))
    return ImageIndex(media_type, entries, document)


def _index_entry(item: object, key: str, where: str) -> IndexEntry:
    descriptor = _descriptor(item, key, where)
    platform = None
    if isinstance(item, dict) and item.get("platform") is not None:
        platform = _platform(item["platform"], f"{key}.platform", where)
    unknown = platform is not None and _UNKNOWN in (platform.os, platform.architecture)
    return IndexEntry(descriptor, platform, _ATTESTATION in descriptor.annotations or unknown)


def _platform(value: object, key: str, where: str) -> Platform:
    table = _table(value, key, where)
    exact_keys(table, _PLATFORM_KEYS, f"{where}: {key}")
    return Platform(
        os=_text(table, "os", key, where),
        architecture=_text(table, "architecture", key, where),
        variant=_text(table, "variant", key, where),
    )


def _descriptor(value: object, key: str, where: str) -> Descriptor:
    table = _table(value, key, where)
    exact_keys(table, _DESCRIPTOR_KEYS, f"{where}: {key}")
    media_type = table.get("mediaType")
    if not isinstance(media_type, str) or not media_type:
        raise _wrong(f"{key}.mediaType", "a media type", where)
    size = table.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < 1 << 63:
        raise _wrong(f"{key}.size", "a whole number of bytes", where)
    digest = Digest.parse(table.get("digest"), where=f"{where}: {key}.digest")
    annotations = _annotations(table.get("annotations"), f"{key}.annotations", where)
    return Descriptor(media_type, digest, size, annotations)


def _annotations(value: object, key: str, where: str) -> Mapping[str, str]:
    table = {} if value is None else _table(value, key, where)
    if not all(isinstance(text, str) for text in table.values()):
        raise _wrong(key, "a map of strings", where)
    return {name: str(text) for name, text in table.items()}


def _check_count(count: int, limit: str, most: int, where: str) -> None:
    if count > most:
        raise LimitExceededError(f"{count} {limit}, more than {most}", limit=limit, where=where)


# --- platforms -----------------------------------------------------------------------------------

_MACHINES = {  # uname(2) machine → Go's GOARCH and variant
    "x86_64": ("amd64", ""),
    "amd64": ("amd64", ""),
    "i386": ("386", ""),
    "i486": ("386", ""),
    "i586": ("386", ""),
    "i686": ("386", ""),
    "aarch64": ("arm64", ""),
    "arm64": ("arm64", ""),
    "armv8l": ("arm", "v8"),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
    "armv5tel": ("arm", "v5"),
    "loongarch64": ("loong64", ""),
}
_VARIANTS = {"amd64": ("v1", "v1"), "arm64": ("v8", "v8"), "arm": ("v7", "v5")}  # default, lowest


def host_platform() -> Platform:
    """Linux on this machine's processor: containers run Linux, whatever the desktop does."""
    machine = os.uname().machine
    return Platform("linux", *_MACHINES.get(machine, (machine, "")))


def choose(index: ImageIndex, platform: Platform | None, *, where: str) -> IndexEntry:
    """The entry for a platform (default: the host's); the first of equals, as the OCI asks.

    Variants match as in containerd: arm64 is arm64/v8, amd64 is amd64/v1, and a processor also
    runs lower variants, the highest first. Never another architecture: amd64 does not fall back
    to 386. A single entry without a platform matches, since its config will tell.
    Raises ImageNotFoundError, which lists the platforms that exist.
    """
    wanted = platform or host_platform()
    images = [entry for entry in index.manifests if not entry.is_attestation]
    for variant in _runnable_variants(wanted):
        for entry in images:
            if entry.platform is not None and _key(entry.platform) == (
                wanted.os,
                wanted.architecture,
                variant,
            ):
                return entry
    if len(images) == 1 and images[0].platform is None:
        return images[0]
    there = ", ".join(dict.fromkeys(str(e.platform or "unnamed") for e in images[:40]))
    raise ImageNotFoundError(
        f"no image for {wanted}; there is {there or 'none at all'}",
        where=where,
        remedy="name one of these platforms with --platform" if there else "",
    )


def runs_on(found: Platform, wanted: Platform) -> bool:
    """Whether an image of platform `found` satisfies a request for `wanted`."""
    return (found.os, found.architecture) == (wanted.os, wanted.architecture) and _key(found)[
        2
    ] in _runnable_variants(wanted)


def _key(platform: Platform) -> tuple[str, str, str]:
    default = _VARIANTS.get(platform.architecture, ("", ""))[0]
    return platform.os, platform.architecture, platform.variant or default


def _runnable_variants(wanted: Platform) -> Sequence[str]:
    variant = _key(wanted)[2]
    lowest = _VARIANTS.get(wanted.architecture, ("", ""))[1]
    number, least = variant.removeprefix("v"), lowest.removeprefix("v")
    if re.fullmatch("[0-9]{1,2}", number) and least:
        return [variant, *(f"v{n}" for n in range(int(number) - 1, int(least) - 1, -1))]
    return [variant]


# --- images --------------------------------------------------------------------------------------


def build_image(
    *,
    reference: str,
    config_bytes: bytes,
    where: str,
    limits: Limits,
    manifest: Manifest | None = None,
    manifest_digest: Digest | None = None,
    index_digest: Digest | None = None,
    layers: Sequence[Descriptor | None] | None = None,
    platform: Platform | None = None,
) -> Image:
    """An image from the bytes of its config and from what is known about its blobs.

    `layers`: blob descriptors, lowest first, for sources without a manifest. `platform`: the one
    that was asked for, if any; an image of another one is refused. `manifest_digest` and
    `index_digest` were checked by the caller against the bytes that it parsed.
    Raises ManifestError, DigestMismatchError, ImageNotFoundError, LimitExceededError.
    """
    if manifest is not None:
        verify_digest(config_bytes, manifest.config.digest, where=f"{where}: config")
    config = parse_json(config_bytes, where=f"{where}: config", limits=limits)
    where = f"{where}: config"
    exact_keys(config, _CONFIG_KEYS, where)
    exact_keys(_optional_table(config, "config", where), _RUN_KEYS, f"{where}: config")
    notes: list[str] = []
    diff_ids = _diff_ids(config, where, limits)
    blobs = layers if layers is not None or manifest is None else manifest.layers
    if blobs is None:
        blobs = [None] * len(diff_ids)
    if len(blobs) != len(diff_ids):
        raise ManifestError(
            f"the manifest names {len(blobs)} layers but the config {len(diff_ids)} DiffIDs",
            where=where,
        )
    history = _history(config, where)
    found = _image_platform(config, notes, where)
    if platform is not None and not runs_on(found, platform):
        raise ImageNotFoundError(
            f"no image for {platform}; there is {found}", where=where.removesuffix(": config")
        )
    return Image(
        reference=reference,
        config_digest=Digest.of(config_bytes),
        platform=found,
        layers=tuple(_layers(diff_ids, blobs, _commands(history, len(diff_ids), notes))),
        config=config,
        manifest_digest=manifest_digest,
        index_digest=index_digest,
        manifest=manifest.document if manifest else None,
        history=history,
        notes=tuple(notes),
    )


def _diff_ids(config: Mapping[str, object], where: str, limits: Limits) -> list[DiffId]:
    rootfs = _table(config.get("rootfs"), "rootfs", where)
    exact_keys(rootfs, _ROOTFS_KEYS, f"{where}: rootfs")
    if rootfs.get("type") != "layers":
        raise _wrong("rootfs.type", '"layers"', where)
    items = _list(rootfs, "diff_ids", f"{where}: rootfs")
    _check_count(len(items), "layers", limits.layers, where)
    ids = [
        DiffId.parse(item, where=f"{where}: rootfs.diff_ids[{n}]") for n, item in enumerate(items)
    ]
    if any(diff_id.algorithm != "sha256" for diff_id in ids):
        raise _wrong("rootfs.diff_ids", "a list of sha256 digests", where)
    return ids


def _history(config: Mapping[str, object], where: str) -> tuple[History, ...]:
    items = _list(config, "history", where) if "history" in config else []
    return tuple(_history_entry(item, f"history[{n}]", where) for n, item in enumerate(items))


def _history_entry(item: object, key: str, where: str) -> History:
    table = _table(item, key, where)
    exact_keys(table, _HISTORY_KEYS, f"{where}: {key}")
    empty = table.get("empty_layer")
    if empty is not None and not isinstance(empty, bool):
        raise _wrong(f"{key}.empty_layer", "true or false", where)
    return History(
        created=_text(table, "created", key, where),
        created_by=_text(table, "created_by", key, where),
        comment=_text(table, "comment", key, where),
        author=_text(table, "author", key, where),
        empty_layer=bool(empty),
    )


def _commands(history: Sequence[History], count: int, notes: list[str]) -> list[str | None]:
    """Which command made which layer; unknown for all when the numbers differ. Never a guess."""
    made = [entry.created_by for entry in history if not entry.empty_layer]
    if len(made) == count:
        return list(made)
    notes.append(
        f"the history tells of {len(made)} layers, the image has {count}: "
        "which command made which layer is unknown"
    )
    return [None] * count


def _layers(
    diff_ids: Sequence[DiffId],
    blobs: Sequence[Descriptor | None],
    commands: Sequence[str | None],
) -> Iterator[Layer]:
    rows = zip(diff_ids, chain_ids(diff_ids), blobs, commands, strict=True)
    for position, (diff_id, chain_id, blob, created_by) in enumerate(rows):
        yield Layer(position, diff_id, chain_id, blob, created_by)


def _image_platform(config: Mapping[str, object], notes: list[str], where: str) -> Platform:
    system = _text(config, "os", "", where)
    architecture = _text(config, "architecture", "", where)
    if not system or not architecture:
        notes.append("the config does not say for which platform the image is")
    return Platform(
        system or _UNKNOWN, architecture or _UNKNOWN, _text(config, "variant", "", where)
    )


# --- small checks --------------------------------------------------------------------------------


def exact_keys(table: Mapping[str, object], fields: Mapping[str, str], where: str) -> None:
    """Refuse a known key in another case, which Go's clients would read and others not.

    `fields`: the known keys by their case-folded form. Raises ManifestError.
    """
    for key in table:
        meant = fields.get(key.casefold())
        if meant is not None and meant != key:
            raise ManifestError(
                f"the key {key[:100]!r} must be written {meant!r}",
                where=where,
                remedy="tools disagree on whether such a key counts: rebuild the image",
            )


def _table(value: object, key: str, where: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise _wrong(key, "an object", where)
    return value


def _list(table: Mapping[str, object], key: str, where: str) -> list[object]:
    """A list that must be there; `null` is what Go writes for an empty one."""
    value = table.get(key, "")
    if value is None:
        return []
    if not isinstance(value, list):
        raise _wrong(key, "a list", where)
    return value


def _optional_table(table: Mapping[str, object], key: str, where: str) -> dict[str, object]:
    value = table.get(key)
    return {} if value is None else _table(value, key, where)


def _text(table: Mapping[str, object], name: str, key: str, where: str) -> str:
    value = table.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _wrong(f"{key}.{name}" if key else name, "a string", where)
    return value


def _wrong(key: str, wanted: str, where: str) -> ManifestError:
    return ManifestError(f"`{key}` is not {wanted}", where=where)
