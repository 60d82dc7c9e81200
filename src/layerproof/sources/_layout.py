"""An OCI image layout over `Files`: index.json → index → manifest → config, every step verified.

Sources: OCI image-spec v1.1, image-layout.md; annotations.md. The entry of index.json is found

1. by digest: one of its entries, or any manifest that the layout holds;
2. by tag: `org.opencontainers.image.ref.name` as skopeo, podman and umoci write it, or the full
   name that BuildKit and containerd put beside it;
3. without either: the only image, or the only name, of which the platform decides.
"""

from collections.abc import Collection, Iterator, Sequence

from layerproof.errors import ImageNotFoundError, ManifestError, UnsupportedError
from layerproof.model.digest import Digest
from layerproof.model.image import Descriptor, Image, Layer, Platform
from layerproof.model.reference import Reference
from layerproof.oci.limits import Limits
from layerproof.oci.manifest import (
    OCI_INDEX,
    ImageIndex,
    IndexEntry,
    Manifest,
    build_image,
    choose,
    parse_json,
    parse_manifest,
)
from layerproof.sources._files import Files, blob_name, read_blob, stream_layers

_REF_NAME = "org.opencontainers.image.ref.name"
_FULL_NAME = "io.containerd.image.name"
_MAX_NESTING = 4  # indexes inside indexes; real ones have two


class LayoutSource:
    """An image of a layout. Implements `engine.ports.ImageSource` for folders and archives."""

    def __init__(self, reference: Reference, files: Files, limits: Limits) -> None:
        self._reference = reference
        self._where = str(reference)
        self._files = files
        self._limits = limits
        self._layers: Sequence[Layer] = ()

    @property
    def random_access(self) -> bool:
        """As the files have it."""
        return self._files.random_access

    def resolve(self, platform: Platform | None) -> Image:
        """See `ImageSource.resolve`."""
        _check_version(self._files, self._where, self._limits)
        index = read_index(self._files, self._where, self._limits)
        entry = self._select(index, platform)
        data = read_blob(self._files, entry.digest, where=self._where, size=entry.size or None)
        digest, outer = entry.digest, None
        document = self._parse(data, entry.media_type)
        for _ in range(_MAX_NESTING):
            if isinstance(document, Manifest):
                break
            outer = outer or digest
            chosen = choose(document, platform, where=self._where).descriptor
            data = read_blob(self._files, chosen.digest, where=self._where, size=chosen.size)
            digest, document = chosen.digest, self._parse(data, chosen.media_type)
        if not isinstance(document, Manifest):
            raise ManifestError("indexes inside indexes without end", where=self._where)
        config = document.config
        image = build_image(
            reference=self._where,
            config_bytes=read_blob(self._files, config.digest, where=self._where, size=config.size),
            manifest=document,
            manifest_digest=digest,
            index_digest=outer,
            platform=platform,
            where=self._where,
            limits=self._limits,
        )
        self._layers = image.layers
        return image

    def layers(self, wanted: Collection[int]) -> Iterator[tuple[Layer | None, Iterator[bytes]]]:
        """See `ImageSource.layers`."""
        names = {
            layer.position: blob_name(layer.blob.digest) for layer in self._layers if layer.blob
        }
        return stream_layers(self._files, self._layers, names, wanted, where=self._where)

    def close(self) -> None:
        """See `ImageSource.close`."""
        self._files.close()

    def _parse(self, data: bytes, media_type: str) -> Manifest | ImageIndex:
        return parse_manifest(data, media_type=media_type, where=self._where, limits=self._limits)

    def _select(self, index: ImageIndex, platform: Platform | None) -> Descriptor:
        wanted = self._reference
        if wanted.digest is not None:
            return _by_digest(index, wanted.digest)
        entries = [entry for entry in index.manifests if not entry.is_attestation]
        if wanted.tag:
            entries = [entry for entry in entries if wanted.tag in _names(entry)]
        if len({entry.descriptor.digest for entry in entries}) == 1:
            return entries[0].descriptor  # also one image under several names
        names = {_names(entry) for entry in entries}
        if entries and len(names) == 1 and all(entry.platform for entry in entries):
            alternatives = ImageIndex(index.media_type, tuple(entries), index.document)
            return choose(alternatives, platform, where=self._where).descriptor
        raise _ambiguous(index, wanted, bool(entries), self._where)


def read_index(files: Files, where: str, limits: Limits) -> ImageIndex:
    """The index.json of a layout."""
    where = f"{where}: index.json"
    data = files.read("index.json")
    index = parse_manifest(data, media_type=OCI_INDEX, where=where, limits=limits)
    if not isinstance(index, ImageIndex):
        raise ManifestError("not an image index", where=where)
    return index


def find_by_config(
    files: Files, config: Digest, *, where: str, limits: Limits
) -> tuple[Manifest, Digest, Digest | None] | None:
    """The manifest in a layout that has this config, its digest, and that of the index around it.

    None if the layout names no image at all. Blobs that an index names but the layout does not
    hold (other platforms) are passed over. Raises ManifestError if there are images, and none has
    this config.
    """
    queue: list[tuple[IndexEntry, Digest | None]] = [
        (entry, None) for entry in read_index(files, where, limits).manifests
    ]
    seen: set[Digest] = set()
    for entry, outer in queue:  # grows while it is walked
        descriptor = entry.descriptor
        if entry.is_attestation or descriptor.digest in seen:
            continue
        seen.add(descriptor.digest)
        try:
            data = read_blob(files, descriptor.digest, where=where, size=descriptor.size)
        except ImageNotFoundError:
            continue
        document = parse_manifest(
            data, media_type=descriptor.media_type, where=where, limits=limits
        )
        if isinstance(document, ImageIndex):
            queue += [(inner, outer or descriptor.digest) for inner in document.manifests]
        elif document.config.digest == config:
            return document, descriptor.digest, outer
        if len(queue) > limits.index_manifests:
            raise ManifestError("too many manifests in one layout", where=where)
    if not seen:
        return None
    raise ManifestError(
        f"manifest.json names the config {config}, index.json does not",
        where=where,
        remedy="engines disagree on which of the two counts: save the image again",
    )


def _check_version(files: Files, where: str, limits: Limits) -> None:
    where = f"{where}: oci-layout"
    version = parse_json(files.read("oci-layout"), where=where, limits=limits).get(
        "imageLayoutVersion"
    )
    if version != "1.0.0":
        raise UnsupportedError(f"layout version {str(version)[:40]!r}, not '1.0.0'", where=where)


def _by_digest(index: ImageIndex, digest: Digest) -> Descriptor:
    for entry in index.manifests:
        if entry.descriptor.digest == digest:
            return entry.descriptor
    return Descriptor(media_type="", digest=digest, size=0)


def _names(entry: IndexEntry) -> tuple[str, ...]:
    annotations = entry.descriptor.annotations
    names = (annotations.get(_REF_NAME), annotations.get(_FULL_NAME))
    return tuple(dict.fromkeys(name for name in names if name))


def _ambiguous(
    index: ImageIndex, wanted: Reference, several: bool, where: str
) -> ImageNotFoundError:
    names = [name for entry in index.manifests for name in _names(entry)[:1]]
    there = ", ".join(dict.fromkeys(name[:100] for name in names[:40]))
    problem = "several images" if several else "no image"
    if wanted.tag:
        problem += f" named {wanted.tag!r}"
    example = f"{wanted.transport}:{wanted.path}"
    return ImageNotFoundError(
        f"{problem}; there is {there or 'nothing with a name'}",
        where=where,
        remedy=f"write {example}:NAME or {example}@DIGEST",
    )
