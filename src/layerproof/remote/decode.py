"""Documents of the service's API → the model, so that what people see is drawn by the same code as
for an index of their own.

What a service says is no more trusted than an image: every value has its type and form, or the
whole answer is refused.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from layerproof.engine.ports import ContentsSummary
from layerproof.engine.view import ImageView, LayerView
from layerproof.errors import LayerproofError, ProtocolError
from layerproof.model.change import ChangeKind
from layerproof.model.contents import ChainRecord
from layerproof.model.digest import ChainId, DiffId, Digest
from layerproof.model.event import Event, EventKind
from layerproof.model.facts import Context
from layerproof.model.finding import Effect, Finding, Severity, Status
from layerproof.model.image import Descriptor, Image, Layer, Platform
from layerproof.model.record import VerdictRecord
from layerproof.model.trust import TrustRecord
from layerproof.model.verdict import Base, Decision, LayerVerdict, Trust, Verdict
from layerproof.model.withdrawal import Withdrawal

Document = Mapping[str, Any]
T = TypeVar("T")
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


def decoded(make: Callable[[Document], T], document: Document) -> T:
    """Raises ProtocolError for a document that is not what it should be."""
    try:
        return make(document)
    except (
        LayerproofError,
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        IndexError,
        OverflowError,
    ) as error:
        raise ProtocolError(
            f"the service's answer cannot be read ({type(error).__name__}: {error})"[:300],
            where="the service",
            remedy="use the same version of Layerproof on both sides",
        ) from error


def image_of(document: Document) -> Image:
    """From an Image."""
    return Image(
        reference=_text(document, "reference"),
        config_digest=Digest.parse(document["configDigest"]),
        platform=Platform(*document["platform"].split("/")),
        layers=tuple(_layer(item) for item in document["layers"]),
        config={},
        manifest_digest=_digest(document["manifestDigest"]),
        index_digest=_digest(document["indexDigest"]),
        notes=_texts(document, "notes"),
    )


def view_of(document: Document) -> ImageView:
    """From an Image, for a table of its layers."""
    image = image_of(document)
    return ImageView(
        image,
        _texts(document, "names"),
        tuple(
            _layer_view(layer, item)
            for layer, item in zip(image.layers, document["layers"], strict=True)
        ),
    )


def _layer(item: Document) -> Layer:
    blob = None
    if item["blobDigest"]:
        blob = Descriptor(
            _text(item, "mediaType"), Digest.parse(item["blobDigest"]), _number(item, "size")
        )
    return Layer(
        position=_number(item, "position"),
        diff_id=DiffId.parse(item["diffId"]),
        chain_id=ChainId.parse(item["chainId"]),
        blob=blob,
        created_by=_text_or_none(item, "createdBy"),
    )


def _layer_view(layer: Layer, item: Document) -> LayerView:
    chain = summary = trust = None
    if item["changes"] is not None:
        chain = ChainRecord(
            chain_id=layer.chain_id,
            parent=None,
            position=layer.position,
            diff_id=layer.diff_id,
            analysers="",
            counts={ChangeKind(kind): _number(item["changes"], kind) for kind in item["changes"]},
            changes=b"",
            package_changes=(),
        )
    if item["uncompressedSize"] is not None:
        skipped = tuple(
            (_text(s, "analyser"), _text(s, "path").encode(), _text(s, "reason"))
            for s in item["skipped"]
        )
        size, entries = _number(item, "uncompressedSize"), _number(item, "entries")
        summary = ContentsSummary(layer.diff_id, "", size, entries, 0, skipped)
    if item["trustedImage"]:
        trust = TrustRecord(
            "", _text(item, "trustedImage"), Digest.of(b""), None, (), "", _NEVER, ""
        )
    return LayerView(layer, chain, summary, trust)


def record_of(document: Document) -> VerdictRecord:
    """From a Verdict."""
    base, context = document["base"], document["context"]
    return VerdictRecord(
        id=_text(document, "id"),
        made_from=b"",
        verdict=Verdict(
            reference=_text(document, "reference"),
            manifest_digest=_digest(document["manifestDigest"]),
            config_digest=Digest.parse(document["configDigest"]),
            verdict=Trust(document["verdict"]),
            decision=Decision(document["decision"]),
            base=base
            and Base(
                _text(base, "trustedImage"), ChainId.parse(base["chainId"]), _number(base, "layers")
            ),
            layers=tuple(map(_layer_verdict, document["layers"])),
            findings=tuple(_finding(item, None, None) for item in document["findings"]),
            inputs=_mapping(document, "inputs"),
            notes=_texts(document, "notes"),
            message=_text(document, "message"),
        ),
        decided_at=_time(document, "decidedAt"),
        holds_until=_time(document, "holdsUntil"),
        context=Context(
            _text(context, "gate"),
            _text_or_none(context, "namespace"),
            _text_or_none(context, "host"),
            None if context["labels"] is None else _mapping(context, "labels"),
        ),
    )


def _layer_verdict(item: Document) -> LayerVerdict:
    position, chain = _number(item, "position"), ChainId.parse(item["chainId"])
    return LayerVerdict(
        position,
        chain,
        Trust(item["verdict"]),
        item["inBase"] is True,
        tuple(_finding(found, position, chain) for found in item["findings"]),
    )


def _finding(item: Document, position: int | None, chain: ChainId | None) -> Finding:
    return Finding(
        rule=_text(item, "rule"),
        status=Status(item["status"]),
        severity=Severity(item["severity"]),
        effect=Effect(item["effect"]),
        message=_text(item, "message"),
        remedy=_text(item, "remedy"),
        position=position,
        chain_id=chain,
        evidence=_mapping(item, "evidence"),
    )


def trust_of(document: Document) -> TrustRecord:
    """From a Trust."""
    return TrustRecord(
        id=_text(document, "id"),
        reference=_text(document, "reference"),
        config_digest=Digest.parse(document["configDigest"]),
        manifest_digest=_digest(document["manifestDigest"]),
        chain_ids=tuple(map(ChainId.parse, document["chainIds"])),
        added_by=_text(document, "addedBy"),
        added_at=_time(document, "addedAt"),
        reason=_text(document, "reason"),
        expires_at=_time_or_none(document, "expiresAt"),
        revoked_by=_maybe(document, "revokedBy"),
        revoked_at=_time_or_none(document, "revokedAt"),
        revoke_reason=_maybe(document, "revokeReason"),
    )


def event_of(document: Document) -> Event:
    """From an Event."""
    return Event(
        identity=_text(document, "id"),
        kind=EventKind(document["event"]),
        at=_time(document, "at"),
        registry=_text(document, "registry"),
        repository=_text(document, "repository"),
        tag=_maybe(document, "tag"),
        manifest_digest=_digest(document["manifestDigest"]),
        account=_maybe(document, "account"),
        address=_maybe(document, "address"),
        details=_mapping(document, "details"),
        country=_maybe(document, "country"),
        host=_maybe(document, "host"),
        blob_digest=_digest(document["blobDigest"]),
        chain_id=None if document["chainId"] is None else ChainId.parse(document["chainId"]),
    )


def withdrawal_of(document: Document) -> Withdrawal:
    """From a Withdrawal."""
    return Withdrawal(
        id=_text(document, "id"),
        chain_id=ChainId.parse(document["chainId"]),
        diff_id=DiffId.parse(document["diffId"]),
        reference=_text(document, "reference"),
        withdrawn_by=_text(document, "withdrawnBy"),
        withdrawn_at=_time(document, "withdrawnAt"),
        reason=_text(document, "reason"),
        released_by=_maybe(document, "releasedBy"),
        released_at=_time_or_none(document, "releasedAt"),
        release_reason=_maybe(document, "releaseReason"),
    )


def _text(document: Document, key: str) -> str:
    found = document[key]
    if not isinstance(found, str):
        raise ValueError(f"{key} is no text")
    return found


def _maybe(document: Document, key: str) -> str:
    return "" if document[key] is None else _text(document, key)


def _text_or_none(document: Document, key: str) -> str | None:
    return None if document[key] is None else _text(document, key)


def _texts(document: Document, key: str) -> tuple[str, ...]:
    found = document[key]
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        raise ValueError(f"{key} is no list of texts")
    return tuple(found)


def _number(document: Document, key: str) -> int:
    found = document[key]
    if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found < 1 << 62:
        raise ValueError(f"{key} is no number")
    return found


def _mapping(document: Document, key: str) -> dict[str, Any]:
    found = document[key]
    if not isinstance(found, dict):
        raise ValueError(f"{key} is no mapping")
    return found


def _digest(text: object) -> Digest | None:
    return None if text is None else Digest.parse(text)


def _time(document: Document, key: str) -> datetime:
    found = datetime.fromisoformat(_text(document, key))
    if found.tzinfo is None:
        raise ValueError(f"{key} has no time zone")
    return found.astimezone(UTC)


def _time_or_none(document: Document, key: str) -> datetime | None:
    return None if document[key] is None else _time(document, key)
