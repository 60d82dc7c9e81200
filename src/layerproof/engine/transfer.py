"""An index into another one: for the air gap, for moving to another database.

1. Everything goes through the index's own methods: what arrives is as if it had been indexed there.
2. What is there already stays; done twice, it changes nothing more. A crash leaves whole layers.
3. Contents made by other analysers than the target's newest are copied all the same: the target
   reads those layers again when it is asked about them, if it can reach them.
4. Trust, withdrawals and events are somebody's word, and are only copied when asked for. ChainIDs
   are computed again from the DiffIDs: a file cannot claim another place for a layer.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from layerproof.engine.ports import ImageRecord, Index
from layerproof.errors import DigestMismatchError
from layerproof.model.contents import BlobRecord
from layerproof.model.digest import chain_ids
from layerproof.model.event import Event
from layerproof.model.image import Image, Layer

_EVENTS_AT_ONCE = 2000


@dataclass(frozen=True, slots=True)
class Copied:
    """How much was copied; what was there already is not counted."""

    images: int = 0
    layers: int = 0
    trust: int = 0
    withdrawals: int = 0
    events: int = 0


def copy(
    source: Index,
    target: Index,
    records: Iterable[ImageRecord],
    *,
    word: bool,
    progress: Callable[[str, int], None] = lambda _what, _count: None,
) -> Copied:
    """Copy these images, and with `word` all trust, withdrawals and events. `progress` is told how
    many "images" are through, then how many "events". Raises IndexUnavailableError,
    DigestMismatchError."""
    images = layers = 0
    for record in records:
        layers += _contents(source, target, record.image)
        _image(source, target, record)
        images += 1
        progress("images", images)
    if not word:
        return Copied(images, layers)
    known = {trust.id for trust in target.trust_records()}
    trust = [item for item in source.trust_records() if item.id not in known]
    for item in reversed(trust):
        target.put_trust(item)
    there = {withdrawal.id for withdrawal in target.withdrawals()}
    withdrawals = [item for item in source.withdrawals() if item.id not in there]
    target.put_withdrawals(withdrawals[::-1])
    events = seen = 0
    for some in _some(source.events()):
        events += target.put_events(some)
        seen += len(some)
        progress("events", seen)
    return Copied(images, layers, len(trust), len(withdrawals), events)


def _contents(source: Index, target: Index, image: Image) -> int:
    count = 0
    diff_ids = {layer.diff_id for layer in image.layers}
    known = target.contents_summaries(diff_ids)
    blobs = {layer.blob.digest for layer in image.layers if layer.blob is not None}
    verified = source.blobs(blobs)
    for layer in {layer.diff_id: layer for layer in image.layers}.values():
        blob = _blob(layer) if layer.blob and layer.blob.digest in verified else None
        if layer.diff_id in known:
            if blob is not None:
                target.put_blob(blob)
            continue
        contents = source.contents(layer.diff_id)
        if contents is not None:
            target.put_contents(contents, blob)
            count += 1
    return count


def _blob(layer: Layer) -> BlobRecord:
    assert layer.blob is not None
    return BlobRecord(layer.blob.digest, layer.diff_id, layer.blob.size, layer.blob.media_type)


def _image(source: Index, target: Index, record: ImageRecord) -> None:
    image = record.image
    if list(chain_ids([layer.diff_id for layer in image.layers])) != [
        layer.chain_id for layer in image.layers
    ]:
        raise DigestMismatchError(
            "the index that is copied gives a layer another ChainID than its contents have",
            where=image.reference,
            remedy="do not use that index: it was altered, or is damaged",
        )
    chains = [row for row in source.chains([la.chain_id for la in image.layers]) if row is not None]
    # The oldest name first, so that the newest one is put last.
    for name in reversed(record.names):
        for other in reversed(source.images_by_name(name)):
            if other.image.config_digest == image.config_digest:
                target.put_image(other.image, chains, record.indexed_at)


def _some(events: Iterator[Event]) -> Iterator[list[Event]]:
    while batch := list(islice(events, _EVENTS_AT_ONCE)):
        yield batch
