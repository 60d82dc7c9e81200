"""Pulling what is not trusted: fetched into quarantine, and withdrawn.

1. Exactly the layers whose verdict is not `trusted` are fetched, each verified to its end: blob
   digest, size, and the DiffID that it decompresses to. Nothing is unpacked. A blob that is in
   quarantine already is not fetched again; trusted layers are never fetched.
2. They are listed with the verdict beside them.
3. They are withdrawn, all or none: from then on every verdict refuses them (`engine.withdrawn`). A
   layer that is withdrawn already stays so.

If something fails on the way, nothing is withdrawn and what was fetched stays. Records are never
deleted: a release is added to them.
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256

from layerproof.engine.ports import Clock, ImageSource, Incoming, Index, Quarantine
from layerproof.engine.trust import check_text
from layerproof.errors import DigestMismatchError, LayerproofError, WithdrawalError
from layerproof.model.digest import ChainId, Digest
from layerproof.model.finding import Effect
from layerproof.model.image import Descriptor, Image, Layer
from layerproof.model.verdict import LayerVerdict, Trust, Verdict
from layerproof.model.withdrawal import Withdrawal
from layerproof.oci.limits import Limits
from layerproof.oci.reader import BlobReader, verify_blob

_ID_DIGITS = 12
_TYPES = (
    (b"\x1f\x8b", "application/vnd.oci.image.layer.v1.tar+gzip"),
    (b"\x28\xb5\x2f\xfd", "application/vnd.oci.image.layer.v1.tar+zstd"),
)
_TAR = "application/vnd.oci.image.layer.v1.tar"


@dataclass(frozen=True, slots=True)
class PulledLayer:
    """One layer in quarantine."""

    layer: Layer
    verdict: LayerVerdict
    blob: Descriptor
    fetched: int  # bytes; 0 when it was there
    withdrawal: Withdrawal | None = None  # the one that holds for it, unless only inspected


@dataclass(frozen=True, slots=True)
class Pulled:
    """What one pull did."""

    image: Image
    verdict: Verdict
    name: str  # in the quarantine; "" when everything is trusted
    layers: tuple[PulledLayer, ...]
    fetched: int  # bytes
    spared: int  # bytes of layers that were not fetched, as far as their sizes are known


@dataclass(frozen=True, slots=True)
class Puller:
    """What pulling needs, put together by `wiring`."""

    index: Index
    quarantine: Quarantine
    limits: Limits
    clock: Clock

    def pull(
        self,
        source: ImageSource,
        image: Image,
        verdict: Verdict,
        document: bytes,
        *,
        by: str,
        reason: str = "",
        withdraw: bool = True,
        progress: Callable[[int, int], None] = lambda _position, _count: None,
    ) -> Pulled:
        """Pull what `verdict` does not trust of `image`; `document` is the verdict as it is to lie
        beside the layers. Without a reason, the findings are it.

        Raises SourceError, CorruptImageError, LimitExceededError, QuarantineError,
        IndexUnavailableError, TrustError.
        """
        wanted = [la for la in verdict.layers if la.verdict is not Trust.TRUSTED]
        if not wanted:
            return Pulled(image, verdict, "", (), 0, _sizes(image.layers))
        if withdraw:
            by = check_text(by, "who withdraws it", image.reference)
            reason = reason and check_text(reason, "why", image.reference)
        pulled = self._fetched(source, image, wanted, progress)
        name = "pull-" + image.config_digest.short
        self.quarantine.describe(
            name,
            [(each.blob, _annotations(each)) for each in pulled],
            document,
            {
                "layerproof.reference": image.reference,
                "layerproof.config": image.config_digest,
                "layerproof.decision": str(verdict.decision),
            },
        )
        if withdraw:
            pulled = self._withdrawn(image, verdict, pulled, by, reason)
        positions = {each.layer.position for each in pulled if each.fetched}
        spared = _sizes(layer for layer in image.layers if layer.position not in positions)
        fetched = sum(each.fetched for each in pulled)
        return Pulled(image, verdict, name, tuple(pulled), fetched, spared)

    # --- step 1 ----------------------------------------------------------------------------------

    def _fetched(
        self,
        source: ImageSource,
        image: Image,
        wanted: Sequence[LayerVerdict],
        progress: Callable[[int, int], None],
    ) -> list[PulledLayer]:
        blobs: dict[int, tuple[Descriptor, int]] = {}
        for found in wanted:
            known = image.layers[found.position].blob
            if known is not None and self.quarantine.holds(known.digest) == known.size:
                blobs[found.position] = known, 0
        missing = [found.position for found in wanted if found.position not in blobs]
        if missing:
            for layer, chunks in source.layers(missing):
                for position, blob in self._received(layer, chunks, image, missing, progress):
                    # Two positions can have the same contents: the bytes came once.
                    came = 0 if any(blob == b for b, _ in blobs.values()) else blob.size
                    blobs[position] = blob, came
        absent = [position for position in missing if position not in blobs]
        if absent:
            raise DigestMismatchError(
                f"the source never sent layer {absent[0]}",
                where=image.reference,
                remedy="the archive does not hold what its config states; save the image again",
            )
        return [
            PulledLayer(image.layers[found.position], found, *blobs[found.position])
            for found in wanted
        ]

    def _received(
        self,
        layer: Layer | None,
        chunks: Iterator[bytes],
        image: Image,
        missing: Collection[int],
        progress: Callable[[int, int], None],
    ) -> list[tuple[int, Descriptor]]:
        """Positions that this blob serves, and the blob; none if nobody asked for it."""
        where = image.reference if layer is None else f"{image.reference} layer {layer.position}"
        with self.quarantine.receiving() as incoming:
            copy = _Copy(chunks, incoming)
            blob = BlobReader(
                copy,
                self.limits,
                expected=None if layer is None else layer.blob,
                where=where,
                progress=lambda count: progress(layer.position if layer else 0, count),
                monotonic=self.clock.monotonic,
            )
            try:
                stream = verify_blob(blob)
            except LayerproofError as error:
                error.where = error.where or where
                raise
            if layer is not None and stream.diff_id != layer.diff_id:
                raise DigestMismatchError(
                    f"layer {layer.position} decompresses to {stream.diff_id}, the config states "
                    f"{layer.diff_id}",
                    where=where,
                    remedy="the source serves other bytes than before: do not use it",
                )
            served = [
                other.position
                for other in image.layers
                if other.position in missing and other.diff_id == stream.diff_id
            ]
            if not served:
                return []
            incoming.keep(stream.blob_digest)
        stated = layer.blob.media_type if layer is not None and layer.blob is not None else ""
        kind = stated or copy.media_type
        return [(p, Descriptor(kind, stream.blob_digest, stream.blob_size)) for p in served]

    # --- step 3 ----------------------------------------------------------------------------------

    def _withdrawn(
        self,
        image: Image,
        verdict: Verdict,
        pulled: Sequence[PulledLayer],
        by: str,
        reason: str,
    ) -> list[PulledLayer]:
        now = self.clock.now()
        chains = [each.layer.chain_id for each in pulled]
        active = {
            record.chain_id: record
            for record in self.index.withdrawals_of(chains, [])
            if record.active(now)
        }
        new: dict[ChainId, Withdrawal] = {}
        for each in pulled:
            chain_id = each.layer.chain_id
            if chain_id not in active:
                why = reason or _why(each.verdict, verdict)
                new[chain_id] = _record(image, each.layer, by, why, now)
        self.index.put_withdrawals(list(new.values()))
        holding = {**active, **new}
        return [replace(each, withdrawal=holding[each.layer.chain_id]) for each in pulled]


def release(index: Index, what: str, *, by: str, reason: str, now: datetime) -> list[Withdrawal]:
    """End the withdrawals that `what` names: an id or the beginning of one, the reference that was
    pulled, a ChainID or a DiffID. Raises WithdrawalError, TrustError."""
    by, reason = check_text(by, "who releases it", what), check_text(reason, "why", what)
    records = index.withdrawals()
    found = [
        record
        for record in records
        if what in (record.id, record.reference, record.chain_id, record.diff_id)
    ] or [record for record in records if len(what) >= 4 and record.id.startswith(what)]
    active = [record for record in found if record.released_at is None]
    if not active:
        said = "was released already" if found else "nothing was withdrawn as"
        raise WithdrawalError(
            f"{what[:100]!r} {said}" if found else f"{said} {what[:100]!r}",
            where="pull --release",
            remedy="see layerproof withdrawals",
        )
    released = [
        replace(record, released_by=by, released_at=now, release_reason=reason) for record in active
    ]
    index.put_withdrawals(released)
    return released


class _Copy:
    """Chunks on their way, copied into the quarantine."""

    def __init__(self, chunks: Iterator[bytes], incoming: Incoming) -> None:
        self._chunks = chunks
        self._incoming = incoming
        self._head = b""

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            if len(self._head) < 4:
                self._head += chunk[:4]
            self._incoming.write(chunk)
            yield chunk

    @property
    def media_type(self) -> str:
        """By the first bytes, where no manifest says it."""
        return next((kind for magic, kind in _TYPES if self._head.startswith(magic)), _TAR)


def _annotations(each: PulledLayer) -> Mapping[str, str]:
    rules = dict.fromkeys(finding.rule for finding in each.verdict.findings)
    return {
        "layerproof.position": str(each.layer.position),
        "layerproof.chain-id": each.layer.chain_id,
        "layerproof.diff-id": each.layer.diff_id,
        "layerproof.verdict": str(each.verdict.verdict),
        "layerproof.rules": " ".join(rules),
    }


def _why(layer: LayerVerdict, verdict: Verdict) -> str:
    """The rules that made it so, when nobody gives another reason."""
    findings = [f for f in (*layer.findings, *verdict.findings) if f.effect is not Effect.IGNORE]
    rules = list(dict.fromkeys(finding.rule for finding in findings))
    return f"{layer.verdict}: {', '.join(rules)}" if rules else str(layer.verdict)


def _record(image: Image, layer: Layer, by: str, reason: str, now: datetime) -> Withdrawal:
    facts = (layer.chain_id, layer.diff_id, image.reference, by, now.isoformat(), reason)
    return Withdrawal(
        id=sha256(json.dumps(facts).encode()).hexdigest()[:_ID_DIGITS],
        chain_id=layer.chain_id,
        diff_id=layer.diff_id,
        reference=image.reference,
        withdrawn_by=by,
        withdrawn_at=now,
        reason=reason,
    )


def _sizes(layers: Iterator[Layer] | Sequence[Layer]) -> int:
    sizes: dict[Digest, int] = {la.blob.digest: la.blob.size for la in layers if la.blob}
    return sum(sizes.values())
