"""What is left to do for an image's layers: step 2 of the indexer, which a look-up needs alone.

Imports little: `check` of an indexed image asks this and nothing else of indexing.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum

from layerproof.engine.ports import Index
from layerproof.errors import DigestMismatchError
from layerproof.model.digest import DiffId, Digest
from layerproof.model.image import Image, Layer


class Need(Enum):
    """What has to be done for a layer."""

    READ = "read"
    VERIFY = "verify"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Indexed:
    """What one run of the indexer did. Positions of the image's layers."""

    image: Image
    needs: Mapping[int, Need]

    def positions(self, need: Need) -> tuple[int, ...]:
        """The layers with this need, lowest first."""
        return tuple(p for p, n in sorted(self.needs.items()) if n is need)


def needs_of(index: Index, image: Image, analysers: str) -> dict[int, Need]:
    """Per position. Raises DigestMismatchError for a blob known to hold other contents."""
    known = index.known_contents({layer.diff_id for layer in image.layers}, analysers)
    blobs = index.blobs({layer.blob.digest for layer in image.layers if layer.blob is not None})
    needs = {}
    planned: set[DiffId] = set()
    verified: set[tuple[DiffId, str]] = set()
    for layer in image.layers:
        if (layer.diff_id, _blob_name(layer)) in verified:
            needs[layer.position] = Need.NOTHING  # a layer that stands twice in the image
            continue
        needs[layer.position] = _need(layer, known | planned, blobs)
        planned.add(layer.diff_id)
        verified.add((layer.diff_id, _blob_name(layer)))
    return needs


def need_now(index: Index, layer: Layer, analysers: str) -> Need:
    """Again for one layer, once it is claimed: another process may have read it meanwhile."""
    known = index.known_contents([layer.diff_id], analysers)
    blobs = index.blobs([layer.blob.digest]) if layer.blob is not None else {}
    return _need(layer, known, blobs)


def is_indexed(index: Index, image: Image, analysers: str) -> bool:
    """Whether nothing is left to do: the image, its name, its chains and its blobs are known.
    Raises DigestMismatchError."""
    named = index.images_by_name(image.reference)[:1]
    chains = {layer.chain_id for layer in image.layers}
    return (
        [record.image for record in named] == [image]
        and index.known_chains(chains, analysers) == chains
        and all(n is Need.NOTHING for n in needs_of(index, image, analysers).values())
    )


def wrong_contents(layer: Layer, found: DiffId) -> DigestMismatchError:
    """The blob and the config contradict each other."""
    return DigestMismatchError(
        f"layer {layer.position} decompresses to {found}, the config states {layer.diff_id}",
        remedy="manifest and config contradict each other: do not use this image",
    )


def _need(layer: Layer, known: Collection[DiffId], blobs: Mapping[Digest, DiffId]) -> Need:
    if layer.blob is None or layer.blob.digest == layer.diff_id:
        return Need.NOTHING if layer.diff_id in known else Need.READ
    held = blobs.get(layer.blob.digest)
    if held is not None and held != layer.diff_id:
        raise wrong_contents(layer, held)
    if layer.diff_id not in known:
        return Need.READ
    return Need.NOTHING if held is not None else Need.VERIFY


def _blob_name(layer: Layer) -> str:
    return layer.blob.digest if layer.blob is not None else layer.diff_id
