"""Layers whose digests are known already, and images made of them.

The image builder of `layerproof.testing` computes digests anew from the bytes whenever it is asked,
which is right for tests and too slow for thousands of images on the same big layers.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from layerproof.model.digest import DiffId, Digest
from layerproof.model.image import Descriptor, Image, Layer, Platform
from layerproof.oci.limits import Limits
from layerproof.oci.manifest import Manifest, build_image, parse_manifest
from layerproof.testing.images import Tree, tar

_LAYER = "application/vnd.oci.image.layer.v1.tar"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_CHUNK = 1 << 18


@dataclass(frozen=True)
class Prepared:
    """One layer: its blob, its tar, what both are called."""

    tar: bytes
    blob: bytes
    media_type: str
    digest: Digest
    diff_id: DiffId
    created_by: str

    @staticmethod
    def of(tar_bytes: bytes, created_by: str, blob: bytes = b"") -> "Prepared":
        """`blob`: the tar as gzip; without it the tar itself is the blob."""
        diff_id = DiffId("sha256:" + hashlib.sha256(tar_bytes).hexdigest())
        if not blob:
            return Prepared(tar_bytes, tar_bytes, _LAYER, Digest(diff_id), diff_id, created_by)
        digest = Digest("sha256:" + hashlib.sha256(blob).hexdigest())
        return Prepared(tar_bytes, blob, f"{_LAYER}+gzip", digest, diff_id, created_by)

    @staticmethod
    def of_tree(tree: Tree, created_by: str) -> "Prepared":
        """Of entries."""
        return Prepared.of(tar(tree), created_by)

    @cached_property
    def files(self) -> Mapping[str, tuple[int, int]]:
        """Size and mode of every regular file, by its path."""
        with tarfile.open(fileobj=io.BytesIO(self.tar)) as members:
            return {
                member.name.removeprefix("./"): (member.size, member.mode)
                for member in members
                if member.isreg()
            }

    @property
    def descriptor(self) -> Descriptor:
        """As a manifest has it."""
        return Descriptor(self.media_type, self.digest, len(self.blob))


@dataclass(frozen=True, slots=True)
class Picture:
    """An image before it is pushed."""

    layers: tuple[Prepared, ...]
    reference: str
    created: str  # RFC 3339
    run: Mapping[str, object] = field(default_factory=dict)  # the config's `config`

    def config(self) -> bytes:
        """The config document."""
        history = [{"created": self.created, "created_by": la.created_by} for la in self.layers]
        document = {
            "architecture": "amd64",
            "os": "linux",
            "created": self.created,
            "config": dict(self.run),
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in self.layers]},
            "history": history,
        }
        return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()

    def manifest(self) -> bytes:
        """The manifest document."""
        config = self.config()
        document = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": {"mediaType": _CONFIG, "digest": Digest.of(config), "size": len(config)},
            "layers": [
                {"mediaType": la.media_type, "digest": la.digest, "size": len(la.blob)}
                for la in self.layers
            ],
        }
        return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()

    @property
    def digest(self) -> Digest:
        """Of the manifest."""
        return Digest.of(self.manifest())


class PictureSource:
    """Serves one. Implements `engine.ports.ImageSource`."""

    random_access = True

    def __init__(self, picture: Picture, limits: Limits) -> None:
        self._picture = picture
        self._limits = limits
        self._layers: Sequence[Layer] = ()

    def resolve(self, platform: Platform | None) -> Image:
        """See `ImageSource.resolve`."""
        data, where = self._picture.manifest(), self._picture.reference
        manifest = parse_manifest(data, media_type=_MANIFEST, where=where, limits=self._limits)
        assert isinstance(manifest, Manifest), "what we write is no index"
        image = build_image(
            reference=where,
            config_bytes=self._picture.config(),
            manifest=manifest,
            manifest_digest=Digest.of(data),
            where=where,
            limits=self._limits,
            platform=platform,
        )
        self._layers = image.layers
        return image

    def layers(self, wanted: Collection[int]) -> Iterator[tuple[Layer | None, Iterator[bytes]]]:
        """See `ImageSource.layers`."""
        for position in sorted(set(wanted)):
            blob = self._picture.layers[position].blob
            chunks = (blob[start : start + _CHUNK] for start in range(0, len(blob), _CHUNK))
            yield self._layers[position], chunks

    def close(self) -> None:
        """Nothing is open."""
