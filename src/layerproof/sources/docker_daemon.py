"""`docker-daemon:NAME`: an image that a Docker Engine holds, over the Engine API.

1. `GET /images/NAME/json` gives the image's ID. From here on only the ID is used: a name may move.
2. If the caller knows the image by that ID already (`known`), nothing more is asked for: its
   config was seen and checked before. The engine's DiffIDs must be the known ones.
3. Else `GET /images/ID/get` (what `docker save` does) is passed over for its documents. The ID
   must be the digest of the config (Docker's own image store) or of the manifest or index
   (containerd's store: Docker 29, and before if so configured), and the DiffIDs those of step 1.
4. Layers come from a second such export, and only if any are wanted.

Why two: the API does not give a config's bytes in any other way, what `inspect` tells cannot be
checked against a digest, and layers precede the documents that say which is which. Engines write
the whole export before they send its first byte, so leaving early would gain little.

Source: Docker Engine API v1.41 and v1.52, ImageInspect and ImageGet.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from urllib.parse import quote

from layerproof.errors import DigestMismatchError, ProtocolError
from layerproof.model.digest import DiffId, Digest
from layerproof.model.image import Image, Layer, Platform
from layerproof.model.reference import Reference
from layerproof.oci.limits import Limits
from layerproof.oci.manifest import runs_on
from layerproof.sources._files import StreamedFiles
from layerproof.sources.docker_archive import DockerArchiveSource
from layerproof.sources.docker_engine import DEFAULT_HOST, Engine


class DockerDaemonSource:
    """An image of an engine. Implements `engine.ports.ImageSource`.

    `known` looks an image up by its config, manifest or index digest; see step 2 above.
    """

    random_access = False

    def __init__(
        self,
        reference: Reference,
        limits: Limits,
        *,
        host: str = DEFAULT_HOST,
        known: Callable[[Digest], Image | None] = lambda digest: None,
    ) -> None:
        self._reference = reference
        self._where = str(reference)
        self._limits = limits
        self._known = known
        self._engine = Engine(host, limits)
        self._platform: Platform | None = None
        self._id: Digest | None = None
        self._export: DockerArchiveSource | None = None

    def resolve(self, platform: Platform | None) -> Image:
        """See `ImageSource.resolve`."""
        self._platform = platform
        self._export = None
        self._id, diff_ids = self._inspect()
        known = self._known(self._id)
        if known is not None and _matches(known, diff_ids, platform):
            return _as_seen_here(known, self._where, self._id)
        image = self._resolve_export(self._id)
        if self._id not in (image.config_digest, image.manifest_digest, image.index_digest):
            raise DigestMismatchError(
                f"the engine exported an image that is not {self._id}", where=self._where
            )
        if [layer.diff_id for layer in image.layers] != diff_ids:
            raise DigestMismatchError(
                "the engine exported other layers than it told of", where=self._where
            )
        return image

    def layers(self, wanted: Collection[int]) -> Iterator[tuple[Layer | None, Iterator[bytes]]]:
        """See `ImageSource.layers`. Nothing is exported when nothing is wanted."""
        if not wanted:
            return
        if self._id is None:
            self.resolve(self._platform)
        if self._export is None and self._id is not None:
            self._resolve_export(self._id)
        if self._export is not None:
            yield from self._export.layers(wanted)

    def close(self) -> None:
        """No connection outlives its answer."""
        if self._export is not None:
            self._export.close()

    def _inspect(self) -> tuple[Digest, list[DiffId]]:
        name = self._reference.name
        if not name:
            name = str(self._reference.digest)
        elif self._reference.digest:
            name += f"@{self._reference.digest}"
        else:
            name += f":{self._reference.tag}"
        told = self._engine.json(f"/images/{quote(name, safe='/:@')}/json", self._where)
        root = told.get("RootFS")
        layers = (root.get("Layers") or []) if isinstance(root, dict) else None
        if not isinstance(layers, list):
            raise ProtocolError("the engine tells of no layers", where=self._where)
        diff_ids = [DiffId.parse(layer, where=self._where) for layer in layers]
        return Digest.parse(told.get("Id"), where=self._where), diff_ids

    def _resolve_export(self, image_id: Digest) -> Image:
        files = StreamedFiles(
            lambda: self._engine.stream(f"/images/{image_id}/get", self._where),
            where=self._where,
            limits=self._limits,
        )
        # The export of an ID holds one image, without a name.
        reference = Reference(self._reference.transport, path=self._where)
        export = DockerArchiveSource(reference, self._limits, files=files)
        image = replace(export.resolve(self._platform), reference=self._where)
        self._export = export
        return image


def _matches(known: Image, diff_ids: list[DiffId], platform: Platform | None) -> bool:
    return [layer.diff_id for layer in known.layers] == diff_ids and (
        platform is None or runs_on(known.platform, platform)
    )


def _as_seen_here(known: Image, reference: str, image_id: Digest) -> Image:
    """What an export would have given: an ID that is a config digest tells of no manifest."""
    if image_id != known.config_digest:
        return replace(known, reference=reference)
    layers = tuple(replace(layer, blob=None) for layer in known.layers)
    return replace(
        known,
        reference=reference,
        layers=layers,
        manifest=None,
        manifest_digest=None,
        index_digest=None,
    )
