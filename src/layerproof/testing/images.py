"""Builds container images from Python values, in memory, for tests and for the demo.

    base = build([{"etc/passwd": "root:x:0:0::/root:/bin/sh\\n", "bin/sh": File(b"…", mode=0o755)}])
    app = build([{"bin/sh": Whiteout(), "app/run": "#!/bin/sh\\n"}], base=base, env=["A=b"])
    write_oci_layout(folder, {"base": base, "app": app})

The same values give the same bytes: times are fixed, keys sorted, gzip headers empty. Digests,
DiffIDs and ChainIDs are computed here from the bytes by the words of the specification, with
nothing of the code that they are meant to test. `config_extra` and `manifest_extra` override
single keys, to make images that lie.

Sources: OCI image-spec v1.1, layer.md, config.md, manifest.md, image-layout.md; moby
image/spec/v1.2.md; POSIX pax.
"""

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Literal

from layerproof.model.digest import ChainId, DiffId, Digest
from layerproof.model.image import Platform

Compression = Literal["none", "gzip", "zstd"]

CREATED = "2024-01-01T00:00:00Z"
AMD64 = Platform("linux", "amd64")

_OCI = "application/vnd.oci.image"
_DOCKER = "application/vnd.docker"
_BLOCK = 512
_MOST_ID = 0o7777777  # what seven octal digits hold


# --- what a layer is made of ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Node:
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    xattrs: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class File(_Node):
    """A regular file."""

    data: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dir(_Node):
    """A folder."""

    mode: int = 0o755


@dataclass(frozen=True, slots=True)
class Symlink(_Node):
    """A symbolic link; the target is written as it is."""

    target: str | bytes
    mode: int = field(default=0o777, kw_only=True)


@dataclass(frozen=True, slots=True)
class Hardlink(_Node):
    """Another name for a path of the same layer or of one below."""

    target: str | bytes


@dataclass(frozen=True, slots=True)
class Device(_Node):
    """A character ("c") or block ("b") device, or a named pipe ("p")."""

    kind: Literal["c", "b", "p"]
    major: int = 0
    minor: int = 0


@dataclass(frozen=True, slots=True)
class Whiteout:
    """Hides its path in the layers below: written as `.wh.NAME` beside it."""


@dataclass(frozen=True, slots=True)
class Opaque:
    """Hides what the layers below have in its folder: written as `.wh..wh..opq` inside it."""


Node = File | Dir | Symlink | Hardlink | Device | Whiteout | Opaque
# Path → what stands there; bytes and text are files. Written in the order given.
Tree = Mapping[str, Node | bytes | str] | Mapping[bytes, Node | bytes | str]


def tar(tree: Tree) -> bytes:
    """A layer tar of these entries."""
    members = b"".join(_entry(_raw(path), node) for path, node in tree.items())
    return members + bytes(2 * _BLOCK)


def member(
    name: bytes,
    kind: bytes = b"0",
    *,
    data: bytes = b"",
    mode: int = 0o644,
    uid: int = 0,
    gid: int = 0,
    mtime: int = 0,
    link: bytes = b"",
    device: tuple[int, int] = (0, 0),
    xattrs: Mapping[str, bytes] | None = None,
) -> bytes:
    """One tar member: ustar, with a pax header before it for what ustar cannot hold."""
    pax = {f"SCHILY.xattr.{key}".encode(): value for key, value in (xattrs or {}).items()}
    if len(name) > 100:
        pax[b"path"] = name
    if len(link) > 100:
        pax[b"linkpath"] = link
    if uid > _MOST_ID:
        pax[b"uid"] = b"%d" % uid
    if gid > _MOST_ID:
        pax[b"gid"] = b"%d" % gid
    records = b"".join(_pax_record(key, pax[key]) for key in sorted(pax))
    extended = _header(b"PaxHeaders/" + name[:80], b"x", records) if pax else b""
    header = _header(
        name, kind, data, mode=mode, uid=uid, gid=gid, mtime=mtime, link=link, device=device
    )
    return extended + header


def compress(data: bytes, compression: Compression) -> bytes:
    """The same bytes every time."""
    if compression == "gzip":
        return gzip.compress(data, mtime=0)
    if compression == "zstd":
        from layerproof.oci.zstd import pack  # only here: most tests need gzip only

        return pack(data)
    return data


def _entry(path: bytes, node: Node | bytes | str) -> bytes:
    if isinstance(node, bytes | str):
        node = File(_raw(node))
    folder, slash, name = path.rpartition(b"/")
    if isinstance(node, Whiteout):
        return member(folder + slash + b".wh." + name)
    if isinstance(node, Opaque):
        return member(path + b"/.wh..wh..opq")
    kind, data, link, device = _parts(node)
    return member(
        path + b"/" if kind == b"5" else path,
        kind,
        data=data,
        mode=node.mode,
        uid=node.uid,
        gid=node.gid,
        mtime=node.mtime,
        link=link,
        device=device,
        xattrs=node.xattrs,
    )


def _parts(
    node: File | Dir | Symlink | Hardlink | Device,
) -> tuple[bytes, bytes, bytes, tuple[int, int]]:
    """Type, contents, link target, device numbers."""
    match node:
        case File():
            return b"0", node.data, b"", (0, 0)
        case Dir():
            return b"5", b"", b"", (0, 0)
        case Symlink():
            return b"2", b"", _raw(node.target), (0, 0)
        case Hardlink():
            return b"1", b"", _raw(node.target), (0, 0)
        case Device():
            kind = {"c": b"3", "b": b"4", "p": b"6"}[node.kind]
            return kind, b"", b"", (node.major, node.minor)


def _header(
    name: bytes,
    kind: bytes,
    data: bytes,
    *,
    mode: int = 0o644,
    uid: int = 0,
    gid: int = 0,
    mtime: int = 0,
    link: bytes = b"",
    device: tuple[int, int] = (0, 0),
) -> bytes:
    block = bytearray(
        name[:100].ljust(100, b"\0")
        + b"%07o\0%07o\0%07o\0" % (mode, min(uid, _MOST_ID), min(gid, _MOST_ID))
        + b"%011o\0%011o\0" % (len(data), mtime)
        + b" " * 8
        + kind
        + link[:100].ljust(100, b"\0")
        + b"ustar\x0000"
        + bytes(64)
        + b"%07o\0%07o\0" % device
    ).ljust(_BLOCK, b"\0")
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + data + bytes(-len(data) % _BLOCK)


def _pax_record(key: bytes, value: bytes) -> bytes:
    """`LENGTH KEY=VALUE\\n`; the length counts its own digits."""
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest)
    while length != len(str(length)) + len(rest):
        length = len(str(length)) + len(rest)
    return str(length).encode() + rest


def _raw(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text


# --- images --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BuiltLayer:
    """A layer's tar, its blob, and what the history says of it."""

    tar: bytes
    blob: bytes
    compression: Compression
    created_by: str

    @property
    def diff_id(self) -> DiffId:
        """sha256 of the tar."""
        return DiffId(_sha256(self.tar))

    @property
    def digest(self) -> Digest:
        """sha256 of the blob."""
        return Digest(_sha256(self.blob))

    def descriptor(self, *, docker: bool = False) -> dict[str, object]:
        """As manifests hold it."""
        if docker:
            suffix = "" if self.compression == "none" else f".{self.compression}"
            media_type = f"{_DOCKER}.image.rootfs.diff.tar{suffix}"
        else:
            suffix = "" if self.compression == "none" else f"+{self.compression}"
            media_type = f"{_OCI}.layer.v1.tar{suffix}"
        return {"mediaType": media_type, "digest": self.digest, "size": len(self.blob)}


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """One platform's image."""

    manifest: bytes
    manifest_media_type: str
    config: bytes
    layers: tuple[BuiltLayer, ...]  # lowest first
    platform: Platform

    @property
    def manifest_digest(self) -> Digest:
        """sha256 of the manifest."""
        return Digest(_sha256(self.manifest))

    @property
    def config_digest(self) -> Digest:
        """sha256 of the config: Docker's image ID."""
        return Digest(_sha256(self.config))

    @property
    def blobs(self) -> Mapping[Digest, bytes]:
        """Config and layers."""
        return {self.config_digest: self.config} | {la.digest: la.blob for la in self.layers}

    @property
    def diff_ids(self) -> tuple[DiffId, ...]:
        """Lowest first."""
        return tuple(layer.diff_id for layer in self.layers)

    @property
    def chain_ids(self) -> tuple[ChainId, ...]:
        """Lowest first, by config.md "Layer ChainID"."""
        chains: list[ChainId] = []
        for diff_id in self.diff_ids:
            text = f"{chains[-1]} {diff_id}" if chains else None
            chains.append(ChainId(_sha256(text.encode()) if text else diff_id))
        return tuple(chains)


@dataclass(frozen=True, slots=True)
class BuiltIndex:
    """Images of several platforms under one digest."""

    manifest: bytes
    manifest_media_type: str
    images: tuple[BuiltImage, ...]

    @property
    def manifest_digest(self) -> Digest:
        """sha256 of the index."""
        return Digest(_sha256(self.manifest))

    @property
    def blobs(self) -> Mapping[Digest, bytes]:
        """Config and layers of every image; not their manifests."""
        return {digest: blob for image in self.images for digest, blob in image.blobs.items()}

    @property
    def manifests(self) -> Mapping[Digest, bytes]:
        """The images' manifests."""
        return {image.manifest_digest: image.manifest for image in self.images}


def layer(
    contents: Tree | bytes, *, compression: Compression = "gzip", created_by: str = ""
) -> BuiltLayer:
    """A layer of entries, or of the bytes of a tar (which need not be a good one)."""
    data = contents if isinstance(contents, bytes) else tar(contents)
    return BuiltLayer(data, compress(data, compression), compression, created_by)


def build(
    layers: Sequence[BuiltLayer | Tree | bytes] = (),
    *,
    base: BuiltImage | None = None,
    platform: Platform | None = None,
    compression: Compression = "gzip",
    env: Sequence[str] = (),
    labels: Mapping[str, str] | None = None,
    entrypoint: Sequence[str] | None = None,
    cmd: Sequence[str] | None = None,
    user: str = "",
    annotations: Mapping[str, str] | None = None,
    docker: bool = False,
    config_extra: Mapping[str, object] | None = None,
    manifest_extra: Mapping[str, object] | None = None,
) -> BuiltImage:
    """An image: the base's layers, then these. `docker`: Docker's media types instead of OCI's."""
    platform = platform or (base.platform if base else AMD64)
    made = tuple(
        item
        if isinstance(item, BuiltLayer)
        else layer(item, compression=compression, created_by=f"COPY layer-{number} /")
        for number, item in enumerate(layers)
    )
    run = _run_config(base, env, labels, entrypoint, cmd, user)
    config = _config(base, made, platform, run) | dict(config_extra or {})
    return _image(
        (base.layers if base else ()) + made,
        _json(config),
        platform,
        docker=docker,
        annotations=annotations or {},
        extra=manifest_extra or {},
    )


def index(
    *images: BuiltImage, docker: bool = False, attestations: Sequence[BuiltImage] = ()
) -> BuiltIndex:
    """An image index; attestations are listed as BuildKit does, as platform unknown/unknown."""
    media_type = (
        f"{_DOCKER}.distribution.manifest.list.v2+json" if docker else f"{_OCI}.index.v1+json"
    )
    entries = [_index_entry(image, image.platform) for image in images]
    for image in attestations:
        entry = _index_entry(image, Platform("unknown", "unknown"))
        kind = {"vnd.docker.reference.type": "attestation-manifest"}
        entries.append(entry | {"annotations": kind})
    document = {"schemaVersion": 2, "mediaType": media_type, "manifests": entries}
    return BuiltIndex(_json(document), media_type, images + tuple(attestations))


def _run_config(
    base: BuiltImage | None,
    env: Sequence[str],
    labels: Mapping[str, str] | None,
    entrypoint: Sequence[str] | None,
    cmd: Sequence[str] | None,
    user: str,
) -> dict[str, object]:
    run: dict[str, object] = dict(json.loads(base.config)["config"]) if base else {}
    if env:
        inherited = run.get("Env")
        kept = inherited if isinstance(inherited, list) else []
        names = {text.partition("=")[0] for text in env}
        run["Env"] = [text for text in kept if text.partition("=")[0] not in names] + list(env)
    if labels is not None:
        inherited = run.get("Labels")
        run["Labels"] = (inherited if isinstance(inherited, dict) else {}) | dict(labels)
    if entrypoint is not None:
        run["Entrypoint"] = list(entrypoint)
    if cmd is not None:
        run["Cmd"] = list(cmd)
    if user:
        run["User"] = user
    return run


def _config(
    base: BuiltImage | None,
    made: Sequence[BuiltLayer],
    platform: Platform,
    run: Mapping[str, object],
) -> dict[str, object]:
    below = json.loads(base.config) if base else {"history": [], "config": {}}
    history = [*below["history"]]
    history += [{"created": CREATED, "created_by": la.created_by} for la in made]
    for key, value in run.items():
        if below["config"].get(key) != value:
            command = f"{key.upper()} {json.dumps(value)}"
            history.append({"created": CREATED, "created_by": command, "empty_layer": True})
    diff_ids = [la.diff_id for la in (*(base.layers if base else ()), *made)]
    return {
        **_platform(platform),
        "created": CREATED,
        "config": dict(run),
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": history,
    }


def _image(
    layers: tuple[BuiltLayer, ...],
    config: bytes,
    platform: Platform,
    *,
    docker: bool,
    annotations: Mapping[str, str],
    extra: Mapping[str, object],
) -> BuiltImage:
    kind = "container.image.v1+json" if docker else "config.v1+json"
    media_type = (
        f"{_DOCKER}.distribution.manifest.v2+json" if docker else f"{_OCI}.manifest.v1+json"
    )
    document: dict[str, object] = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": {
            "mediaType": f"{_DOCKER if docker else _OCI}.{kind}",
            "digest": _sha256(config),
            "size": len(config),
        },
        "layers": [la.descriptor(docker=docker) for la in layers],
    }
    if annotations:
        document["annotations"] = dict(annotations)
    return BuiltImage(_json(document | dict(extra)), media_type, config, layers, platform)


def _platform(platform: Platform) -> dict[str, object]:
    found: dict[str, object] = {"os": platform.os, "architecture": platform.architecture}
    return found | ({"variant": platform.variant} if platform.variant else {})


def _index_entry(image: BuiltImage, platform: Platform) -> dict[str, object]:
    return _descriptor(image) | {"platform": _platform(platform)}


def _descriptor(image: BuiltImage | BuiltIndex) -> dict[str, object]:
    return {
        "mediaType": image.manifest_media_type,
        "digest": image.manifest_digest,
        "size": len(image.manifest),
    }


def _json(document: object) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _sha256(data: bytes) -> str:
    return "sha256:" + sha256(data).hexdigest()


# --- writers -------------------------------------------------------------------------------------


def write_oci_layout(folder: Path, images: Mapping[str, BuiltImage | BuiltIndex]) -> None:
    """An OCI layout; the keys are tags, an empty one stands for none."""
    for name, data in layout_files(images).items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


def write_oci_archive(
    file: Path,
    images: Mapping[str, BuiltImage | BuiltIndex],
    *,
    compression: Compression = "none",
) -> None:
    """The same in a tar."""
    file.write_bytes(compress(tar(layout_files(images)), compression))


def write_docker_archive(
    file: Path,
    images: Mapping[str, BuiltImage],
    *,
    layout: Literal["old", "new"] = "old",
    compress_layers: bool = False,
    compression: Compression = "none",
) -> None:
    """What `docker save` writes; the keys are names, an empty one stands for none.

    `old`: a folder per layer, the second of two equal layers a symlink to the first. `new`: blobs
    with an OCI layout beside. `compress_layers` keeps the layers' blobs, which tools other than
    the engine's classic store do; otherwise they are bare tars.
    """
    files: dict[str, Node | bytes | str]
    if layout == "old":
        files = _old_archive(images, compress_layers)
    else:
        files = _new_archive(images, compress_layers)
    file.write_bytes(compress(tar(files), compression))


def layout_files(images: Mapping[str, BuiltImage | BuiltIndex]) -> dict[str, bytes]:
    """The files of an OCI layout by name."""
    files: dict[str, bytes] = {}
    entries = []
    for tag, image in images.items():
        files |= {_blob(digest): blob for digest, blob in image.blobs.items()}
        if isinstance(image, BuiltIndex):
            files |= {_blob(digest): data for digest, data in image.manifests.items()}
        files[_blob(image.manifest_digest)] = image.manifest
        named = {"annotations": {"org.opencontainers.image.ref.name": tag}} if tag else {}
        entries.append(_descriptor(image) | named)
    files = dict(sorted(files.items()))
    files["index.json"] = _json({"schemaVersion": 2, "manifests": entries})
    files["oci-layout"] = _json({"imageLayoutVersion": "1.0.0"})
    return files


def _old_archive(
    images: Mapping[str, BuiltImage], compress_layers: bool
) -> dict[str, Node | bytes | str]:
    files: dict[str, Node | bytes | str] = {}
    listed = []
    repositories: dict[str, dict[str, str]] = {}
    first: dict[DiffId, str] = {}
    for name, image in images.items():
        members = []
        top = ""
        for chain_id, part in zip(image.chain_ids, image.layers, strict=True):
            top = sha256(f"v1 {chain_id}".encode()).hexdigest()  # any name does, if it is its own
            members.append(f"{top}/layer.tar")
            files[f"{top}/VERSION"] = "1.0"
            files[f"{top}/json"] = _json({"id": top})
            target = first.setdefault(part.diff_id, top)
            contents = part.blob if compress_layers else part.tar
            same = target == top
            files[f"{top}/layer.tar"] = (
                File(contents) if same else Symlink(f"../{target}/layer.tar")
            )
        config = f"{image.config_digest.hex}.json"
        files[config] = image.config
        listed.append({"Config": config, "RepoTags": [name] if name else None, "Layers": members})
        if name:
            repository, _, tag = name.rpartition(":")
            repositories.setdefault(repository, {})[tag] = top
    files["manifest.json"] = _json(listed)
    files["repositories"] = _json(repositories)
    return files


def _new_archive(
    images: Mapping[str, BuiltImage], compress_layers: bool
) -> dict[str, Node | bytes | str]:
    saved = {
        name: image if compress_layers else _uncompressed(image) for name, image in images.items()
    }
    listed = [
        {
            "Config": _blob(image.config_digest),
            "RepoTags": [name] if name else None,
            "Layers": [_blob(part.digest) for part in image.layers],
        }
        for name, image in saved.items()
    ]
    return {**layout_files(saved), "manifest.json": _json(listed)}


def _uncompressed(image: BuiltImage) -> BuiltImage:
    """The image as the engine's classic store saves it: the same config, bare tars."""
    bare = tuple(BuiltLayer(la.tar, la.tar, "none", la.created_by) for la in image.layers)
    return _image(bare, image.config, image.platform, docker=False, annotations={}, extra={})


def _blob(digest: Digest) -> str:
    return f"blobs/sha256/{digest.hex}"
