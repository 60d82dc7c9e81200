"""`docker-archive:FILE[:NAME]`: what `docker save`, podman, skopeo, kaniko and others write.

manifest.json lists the images: config, layers from the lowest up, names. The layers are tars or
gzipped tars, in the old layout `<id>/layer.tar` (links where one stands twice), in the new one
blobs of an OCI layout beside (`index.json`). That layout must then hold an image of the same
config and layers, since engines disagree on which of the two documents counts; its manifest gives
the blob digests. Without it no layer has a descriptor, and DiffIDs are all there is to check.

Sources: moby image/spec/v1.2.md, "Combined Image JSON + Filesystem Changeset Format"; moby 25,
"docker save" writes OCI layouts.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from layerproof.errors import (
    ImageNotFoundError,
    LimitExceededError,
    ManifestError,
    ReferenceSyntaxError,
    UnsupportedError,
)
from layerproof.model.digest import Digest
from layerproof.model.image import Image, Layer, Platform
from layerproof.model.reference import Reference, parse_name
from layerproof.oci.limits import Limits
from layerproof.oci.manifest import (
    Manifest,
    build_image,
    exact_keys,
    parse_json_list,
    verify_digest,
)
from layerproof.sources._files import ArchiveFiles, Files, blob_name, stream_layers
from layerproof.sources._layout import find_by_config
from layerproof.sources._members import normalise

_KEYS = {key.casefold(): key for key in ("Config", "RepoTags", "Layers", "LayerSources", "Parent")}
# Config names that are digests: ID.json, sha256:ID, blobs/sha256/ID
_NAMED_BY_DIGEST = re.compile(r"(?:blobs/sha256/|sha256:)?([a-f0-9]{64})(?:\.json)?")


@dataclass(frozen=True, slots=True)
class SavedImage:
    """One image of manifest.json; the names of its files are clean."""

    config: str
    layers: tuple[str, ...]
    names: tuple[str, ...]  # RepoTags as written


class DockerArchiveSource:
    """An image of an archive. Implements `engine.ports.ImageSource`."""

    def __init__(self, reference: Reference, limits: Limits, *, files: Files | None = None) -> None:
        self._reference = reference
        self._where = str(reference)
        self._limits = limits
        self._files = files or ArchiveFiles(reference.path, where=self._where, limits=limits)
        self._layers: Sequence[Layer] = ()
        self._names: Mapping[int, str] = {}

    @property
    def random_access(self) -> bool:
        """False for compressed archives."""
        return self._files.random_access

    def resolve(self, platform: Platform | None) -> Image:
        """See `ImageSource.resolve`."""
        saved = self._select(read_saved(self._files, where=self._where, limits=self._limits))
        config = self._config(saved)
        manifest, digest, index = self._manifest(saved, Digest.of(config))
        image = build_image(
            reference=self._where,
            config_bytes=config,
            manifest=manifest,
            manifest_digest=digest,
            index_digest=index,
            layers=None if manifest else [None] * len(saved.layers),
            platform=platform,
            where=self._where,
            limits=self._limits,
        )
        self._layers = image.layers
        self._names = dict(enumerate(saved.layers))
        return image

    def layers(self, wanted: Collection[int]) -> Iterator[tuple[Layer | None, Iterator[bytes]]]:
        """See `ImageSource.layers`."""
        return stream_layers(self._files, self._layers, self._names, wanted, where=self._where)

    def close(self) -> None:
        """See `ImageSource.close`."""
        self._files.close()

    def _select(self, images: Sequence[SavedImage]) -> SavedImage:
        wanted = self._reference
        if wanted.digest is not None:
            found = [saved for saved in images if Digest.of(self._config(saved)) == wanted.digest]
        elif wanted.name:
            name = f"{wanted.name}:{wanted.tag}"
            found = [saved for saved in images if name in map(_full_name, saved.names)]
        else:
            found = list(images)
        # The same image under several names, each with an entry of its own, is one image.
        if len({(saved.config, saved.layers) for saved in found}) == 1:
            return found[0]
        names = ", ".join(name[:100] for saved in images[:40] for name in saved.names[:10])
        raise ImageNotFoundError(
            f"{'several images' if found else 'no such image'}; "
            f"there is {names or 'nothing with a name'}",
            where=self._where,
            remedy="write docker-archive:FILE:NAME, or docker-archive:FILE@ID with the image's ID",
        )

    def _config(self, saved: SavedImage) -> bytes:
        data = self._files.read(saved.config)
        named = _NAMED_BY_DIGEST.fullmatch(saved.config)
        if named:
            where = f"{self._where}: {saved.config}"
            verify_digest(data, Digest(f"sha256:{named[1]}"), where=where)
        return data

    def _manifest(
        self, saved: SavedImage, config: Digest
    ) -> tuple[Manifest | None, Digest | None, Digest | None]:
        """The OCI manifest beside, if there is one; it must tell of the same image."""
        try:
            self._files.locate("index.json")
        except ImageNotFoundError:
            return None, None, None
        found = find_by_config(self._files, config, where=self._where, limits=self._limits)
        if found is None:
            return None, None, None
        blobs = tuple(blob_name(layer.digest) for layer in found[0].layers)
        if blobs != saved.layers:
            raise ManifestError(
                "manifest.json and index.json name different layers",
                where=self._where,
                remedy="engines disagree on which of the two counts: save the image again",
            )
        return found


def read_saved(files: Files, *, where: str, limits: Limits) -> list[SavedImage]:
    """The images that manifest.json lists. Raises UnsupportedError for archives without it."""
    try:
        data = files.read("manifest.json")
    except ImageNotFoundError as error:
        raise UnsupportedError(
            "the archive has no manifest.json",
            where=where,
            remedy="if it comes from a Docker older than 1.10, load it into a current one and "
            "save it again; if it is an OCI archive, write oci-archive:FILE",
        ) from error
    where = f"{where}: manifest.json"
    items = parse_json_list(data, where=where, limits=limits)
    if len(items) > limits.index_manifests:
        raise LimitExceededError(
            f"{len(items)} images, more than {limits.index_manifests}",
            limit="index_manifests",
            where=where,
        )
    return [_saved(item, f"{where}: image {n}") for n, item in enumerate(items)]


def _saved(item: object, where: str) -> SavedImage:
    if not isinstance(item, dict):
        raise ManifestError("not an object", where=where)
    exact_keys(item, _KEYS, where)
    return SavedImage(
        config=_clean(item.get("Config"), where),
        layers=tuple(_clean(name, where) for name in _list(item, "Layers", where)),
        names=tuple(str(name) for name in _list(item, "RepoTags", where)),
    )


def _list(item: Mapping[str, object], key: str, where: str) -> list[object]:
    value = item.get(key)
    if value is None:  # what Go writes for an empty list
        return []
    if not isinstance(value, list):
        raise ManifestError(f"`{key}` is not a list", where=where)
    return value


def _clean(name: object, where: str) -> str:
    """A member's name. One that leads anywhere but into the archive is an attack."""
    clean = normalise(name) if isinstance(name, str) and not name.startswith("/") else None
    if not clean:
        raise ManifestError(f"{str(name)[:100]!r} is not a file in the archive", where=where)
    return clean


def _full_name(tag: str) -> str:
    try:
        return str(parse_name(tag)).removeprefix("docker://")
    except ReferenceSyntaxError:
        return tag
