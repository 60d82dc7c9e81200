"""Declaring images trusted, and taking that back.

Records are never deleted or rewritten, except that a revocation is added to them: a verdict can say
who trusted what, when and why, and who took it back. Time is passed in.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256

from layerproof.engine.ports import Index
from layerproof.errors import TrustError
from layerproof.model.image import Image
from layerproof.model.trust import TrustRecord

MAX_TEXT = 1000  # characters of a name or reason
_ID_DIGITS = 12


def add_trust(
    index: Index,
    image: Image,
    by: str,
    reason: str,
    now: datetime,
    expires_at: datetime | None = None,
) -> TrustRecord:
    """Declare `image` trusted. The same declaration again, at the same time, is the same record.

    Raises TrustError for an image without layers, which would be the base of every image; for a
    missing name or reason; and for a trust that is over before it begins.
    """
    where = image.reference
    if not image.layers:
        raise TrustError(
            "an image without layers cannot be trusted",
            where=where,
            remedy="every image would stand on it; trust the image that brings the first layer",
        )
    _check_time(now, where)
    if expires_at is not None:
        _check_time(expires_at, where)
        if expires_at <= now:
            raise TrustError(
                f"the trust would end at {expires_at:%Y-%m-%d %H:%M} UTC, which is past",
                where=where,
                remedy="name a later end, or none",
            )
    record = TrustRecord(
        id="",
        reference=image.reference,
        config_digest=image.config_digest,
        manifest_digest=image.manifest_digest,
        chain_ids=tuple(layer.chain_id for layer in image.layers),
        added_by=check_text(by, "who trusts it", where),
        added_at=now,
        reason=check_text(reason, "why", where),
        expires_at=expires_at,
    )
    record = replace(record, id=_new_id(index, record))
    index.put_trust(record)
    return record


def revoke_trust(index: Index, what: str, by: str, reason: str, now: datetime) -> list[TrustRecord]:
    """Take back the trust that `what` names; returns the records as they are now, newest first.

    `what` is an id or the beginning of one, the digest of a manifest or config, the ChainID of a
    top layer, or the full reference as it was trusted. A digest or reference revokes every trust in
    that image. Raises TrustError if nothing matches, if all that matches is revoked already, and if
    different images match: then the message lists them.
    """
    by, reason = check_text(by, "who revokes it", what), check_text(reason, "why", what)
    _check_time(now, what)
    matches = _matching(index.trust_records(), what)
    alive = [record for record in matches if record.revoked_at is None]
    if not alive:
        raise _nothing_to_revoke(matches, what)
    if len({record.top for record in alive}) > 1:
        raise TrustError(
            f"{what[:100]!r} names several trusted images: {_listing(alive)}",
            where="trust",
            remedy="name one of them by its id",
        )
    revoked = [
        replace(record, revoked_by=by, revoked_at=now, revoke_reason=reason) for record in alive
    ]
    for record in revoked:
        index.put_trust(record)
    return sorted(revoked, key=lambda record: (record.added_at, record.id), reverse=True)


def _matching(records: Sequence[TrustRecord], what: str) -> list[TrustRecord]:
    if not what:
        return []
    exact = [record for record in records if record.id == what]
    named = [
        record
        for record in records
        if what in (record.reference, record.config_digest, record.manifest_digest)
        or (record.chain_ids and record.top == what)
    ]
    return exact or named or [record for record in records if record.id.startswith(what)]


def _nothing_to_revoke(matches: Sequence[TrustRecord], what: str) -> TrustError:
    if not matches:
        return TrustError(
            f"nothing is trusted as {what[:100]!r}",
            where="trust",
            remedy="see layerproof trust list; a reference must be written as it stands there",
        )
    last = max(matches, key=lambda record: (record.revoked_at or record.added_at, record.id))
    return TrustError(
        f"the trust in {last.reference} was revoked already, by {last.revoked_by} at "
        f"{last.revoked_at:%Y-%m-%d %H:%M} UTC",
        where="trust",
        remedy="nothing is left to do; layerproof trust list --all shows it",
    )


def _listing(records: Sequence[TrustRecord]) -> str:
    lines = sorted(f"{record.id} ({record.reference})" for record in records)
    return ", ".join(lines[:10]) + (f" and {len(lines) - 10} more" if len(lines) > 10 else "")


def _new_id(index: Index, record: TrustRecord) -> str:
    """The first digits of a digest over all that the record says; more of them where another
    record has these already."""
    facts = (
        record.reference,
        record.config_digest,
        record.manifest_digest,
        record.chain_ids,
        record.added_by,
        record.added_at.isoformat(),
        record.reason,
        record.expires_at.isoformat() if record.expires_at else None,
    )
    digits = sha256(json.dumps(facts).encode()).hexdigest()
    others = {other.id for other in index.trust_records() if not _same(other, record)}
    length = _ID_DIGITS
    while digits[:length] in others and length < len(digits):
        length += 1
    return digits[:length]


def _same(one: TrustRecord, other: TrustRecord) -> bool:
    """Whether two records are one declaration, revoked or not."""
    return replace(one, id="", revoked_by="", revoked_at=None, revoke_reason="") == other


def check_text(text: str, what: str, where: str) -> str:
    """A name or reason that is fit to stand in every verdict."""
    text = text.strip()
    if not text or len(text) > MAX_TEXT or not text.isprintable():
        raise TrustError(
            f"it must be said {what}" if not text else f"what is said about {what} cannot be kept",
            where=where,
            remedy=f"one line of at most {MAX_TEXT} characters",
        )
    return text


def _check_time(time: datetime, where: str) -> None:
    if time.utcoffset() != timedelta(0):
        raise TrustError(f"{time} is not a time in UTC", where=where, remedy="give it in UTC")
