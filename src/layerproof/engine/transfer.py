"""An index into another one: for the air gap, for moving to another database.

1. Everything goes through the index's own methods: what arrives is as if it had been indexed there.
2. What is there already stays, but for layers that this version's analysers have read in the source
   and not in the target: a machine behind an air gap cannot read them again by itself. Done twice,
   it changes nothing more. A crash leaves whole layers.
3. Trust, withdrawals and activity are somebody's word, and are only copied when asked for. Of a
   trust record that both have, a revocation is taken over, never its absence.
4. ChainIDs are computed again from the DiffIDs: a file cannot claim another place for a layer.
5. No name is taken over as of a time that has not come: it would stand for that image against all
   that is seen until then.
6. `check` reads all that would be copied, and changes nothing: after it, a damaged source is no
   reason any more to stop half-way.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import TypeVar

from layerproof.engine.ports import ImageRecord, Index
from layerproof.errors import DigestMismatchError
from layerproof.model.contents import BlobRecord, ChainRecord
from layerproof.model.digest import ChainId, DiffId, chain_ids
from layerproof.model.image import Image
from layerproof.model.trust import TrustRecord

_ROWS_AT_ONCE = 2000
_MOST_REMEMBERED = 100_000  # layers that were checked already; a shared one may be checked again

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Copied:
    """How much was copied; what was there already is not counted."""

    images: int = 0  # all that were asked for
    layers: int = 0
    trust: int = 0
    withdrawals: int = 0
    events: int = 0


def copy(
    source: Index,
    target: Index,
    records: Iterable[ImageRecord],
    *,
    analysers: str,
    word: bool,
    now: datetime,
    progress: Callable[[str, int], None] = lambda _what, _count: None,
) -> Copied:
    """Copy these images, and with `word` all trust, withdrawals, events and what these add up to.
    `analysers`: this version's. `progress` is told how many "images" are through,
    then how many "events". Raises IndexUnavailableError, DigestMismatchError."""
    images = layers = 0
    for record in records:
        verified = _verified(source, record.image)
        layers += _contents(source, target, record.image, verified, analysers)
        _image(source, target, record, analysers, now)
        images += 1
        progress("images", images)
    if not word:
        return Copied(images, layers)
    trust = _trust(source, target)
    there = {withdrawal.id for withdrawal in target.withdrawals()}
    withdrawals = [item for item in source.withdrawals() if item.id not in there]
    target.put_withdrawals(withdrawals[::-1])
    events = seen = 0
    for some in _some(source.events()):
        events += target.put_events(some)
        seen += len(some)
        progress("events", seen)
    for deeds in _some(source.deeds()):  # those whose events were pruned are known by them alone
        target.put_deeds(deeds)
    return Copied(images, layers, trust, len(withdrawals), events)


def check(source: Index, records: Iterable[ImageRecord], *, word: bool) -> None:
    """Read all that `copy` would. Raises IndexUnavailableError, DigestMismatchError."""
    seen: set[DiffId] = set()
    for record in records:
        _verified(source, record.image)
        source.sightings_of(record.image.config_digest)
        source.chains([layer.chain_id for layer in record.image.layers])
        for diff_id in {layer.diff_id for layer in record.image.layers} - seen:
            source.contents(diff_id)
            seen.add(diff_id)
        if len(seen) > _MOST_REMEMBERED:
            seen.clear()
    if word:
        source.trust_records()
        source.withdrawals()
        for _ in (*_none(source.events()), *_none(source.deeds())):
            pass


def _none(rows: Iterator[T]) -> Iterator[T]:
    """Reads all, yields nothing."""
    for _ in rows:
        pass
    return iter(())


def _verified(source: Index, image: Image) -> dict[DiffId, BlobRecord]:
    """The blobs that the source verified for the image's layers, after a look at its ChainIDs."""
    if list(chain_ids([layer.diff_id for layer in image.layers])) != [
        layer.chain_id for layer in image.layers
    ]:
        raise _altered("a layer another ChainID than its contents have", image)
    found = source.blobs({layer.blob.digest for layer in image.layers if layer.blob is not None})
    verified = {}
    for layer in image.layers:
        blob = layer.blob
        if blob is not None and blob.digest in found:
            if found[blob.digest] != layer.diff_id:
                raise _altered("a blob other contents than its image does", image)
            verified[layer.diff_id] = BlobRecord(
                blob.digest, layer.diff_id, blob.size, blob.media_type
            )
    return verified


def _altered(what: str, image: Image) -> DigestMismatchError:
    return DigestMismatchError(
        f"the index that is copied gives {what}",
        where=image.reference,
        remedy="do not use that index: it was altered, or is damaged",
    )


def _contents(
    source: Index,
    target: Index,
    image: Image,
    verified: dict[DiffId, BlobRecord],
    analysers: str,
) -> int:
    diff_ids = {layer.diff_id for layer in image.layers}
    there = target.contents_summaries(diff_ids)
    newer = source.known_contents(diff_ids, analysers) - target.known_contents(diff_ids, analysers)
    blobs = target.blobs([blob.digest for blob in verified.values()])
    count = 0
    for diff_id in dict.fromkeys(layer.diff_id for layer in image.layers):
        blob = verified.get(diff_id)
        contents = source.contents(diff_id) if diff_id not in there or diff_id in newer else None
        if contents is not None:
            target.put_contents(contents, blob)
            count += 1
        elif blob is not None and blob.digest not in blobs:
            target.put_blob(blob)
    return count


def _image(
    source: Index, target: Index, record: ImageRecord, analysers: str, now: datetime
) -> None:
    config = record.image.config_digest
    chains = _chains(source, target, [layer.chain_id for layer in record.image.layers], analysers)
    known = target.image_by_config(config)
    indexed_at = record.indexed_at if known is None else known.indexed_at
    there = {_key(s.image): s.seen_at for s in target.sightings_of(config)}
    sightings = [replace(s, seen_at=min(s.seen_at, now)) for s in source.sightings_of(config)]
    new = [s for s in sightings if _key(s.image) not in there or there[_key(s.image)] < s.seen_at]
    for sighting in new or (sightings[-1:] if chains else []):
        target.put_image(sighting.image, chains, indexed_at, sighting.seen_at)
        chains = []


def _key(image: Image) -> str:
    """The same for what is presented alike. An image itself has no hash."""
    return repr(image)


def _chains(
    source: Index, target: Index, wanted: list[ChainId], analysers: str
) -> list[ChainRecord]:
    """The rows that the target has not, or made by other analysers than this version's."""
    return [
        ours
        for ours, theirs in zip(source.chains(wanted), target.chains(wanted), strict=True)
        if ours is not None
        and (theirs is None or (ours.analysers == analysers != theirs.analysers))
    ]


def _trust(source: Index, target: Index) -> int:
    known = {record.id: record for record in target.trust_records()}
    count = 0
    for record in reversed(source.trust_records()):
        there = known.get(record.id)
        if there is None or _revokes(record, there):
            target.put_trust(record)
            count += 1
    return count


def _revokes(record: TrustRecord, there: TrustRecord) -> bool:
    """Whether it is the same trust, which ends earlier than the target knows."""
    if record.revoked_at is None or record.chain_ids != there.chain_ids:
        return False
    return there.revoked_at is None or record.revoked_at < there.revoked_at


def _some(rows: Iterator[T]) -> Iterator[list[T]]:
    while batch := list(islice(rows, _ROWS_AT_ONCE)):
        yield batch
