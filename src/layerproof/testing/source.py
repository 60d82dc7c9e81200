"""An image source in memory, held to the same contract as the real ones."""

from collections.abc import Callable, Collection, Iterator, Mapping

from layerproof.errors import ImageNotFoundError
from layerproof.model.digest import Digest
from layerproof.model.image import Image, Layer, Platform
from layerproof.oci.limits import Limits
from layerproof.oci.manifest import Manifest, build_image, parse_manifest, verify_digest
from layerproof.testing.images import BuiltImage

_CHUNK = 1 << 18


class MemorySource:
    """Serves one built image.

    `replaced`: other bytes for some blobs, as a hostile or broken source would serve them.
    `random_access=False`: one stream that does not know which layer is which.
    """

    def __init__(
        self,
        image: BuiltImage,
        reference: str = "memory:image",
        *,
        limits: Limits | None = None,
        random_access: bool = True,
        replaced: Mapping[Digest, bytes] | None = None,
        on_read: Callable[[int], None] = lambda position: None,
    ) -> None:
        self._image = image
        self._reference = reference
        self._limits = limits or Limits()
        self._random_access = random_access
        self._blobs = {**image.blobs, **(replaced or {})}
        self._on_read = on_read
        self._layers: tuple[Layer, ...] = ()

    @property
    def random_access(self) -> bool:
        """See `engine.ports.ImageSource`."""
        return self._random_access

    def resolve(self, platform: Platform | None) -> Image:
        """See `engine.ports.ImageSource`."""
        where = self._reference
        verify_digest(self._image.manifest, self._image.manifest_digest, where=where)
        manifest = parse_manifest(
            self._image.manifest,
            media_type=self._image.manifest_media_type,
            where=where,
            limits=self._limits,
        )
        assert isinstance(manifest, Manifest)
        config = self._blobs[manifest.config.digest]
        verify_digest(config, manifest.config.digest, where=where)
        image = build_image(
            reference=where,
            config_bytes=config,
            manifest=manifest,
            manifest_digest=self._image.manifest_digest,
            layers=manifest.layers,
            where=where,
            limits=self._limits,
        )
        if platform is not None and platform != image.platform:
            raise ImageNotFoundError(f"no image for {platform}", where=where)
        self._layers = image.layers
        return image

    def layers(self, wanted: Collection[int]) -> Iterator[tuple[Layer | None, Iterator[bytes]]]:
        """See `engine.ports.ImageSource`."""
        for layer in self._layers:
            if self._random_access and layer.position not in wanted:
                continue
            self._on_read(layer.position)
            assert layer.blob is not None
            yield (layer if self._random_access else None), self._chunks(layer.blob.digest)

    def _chunks(self, digest: Digest) -> Iterator[bytes]:
        data = self._blobs[digest]
        return (data[start : start + _CHUNK] for start in range(0, len(data), _CHUNK))

    def close(self) -> None:
        """See `engine.ports.ImageSource`."""
