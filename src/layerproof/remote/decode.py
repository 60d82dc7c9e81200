"""Documents of the service's API → the model, so that what people see is drawn by the same code as
for an index of their own."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from layerproof.engine.ports import ContentsSummary
from layerproof.engine.view import ImageView, LayerView
from layerproof.errors import ProtocolError
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
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise ProtocolError(
            f"the service's answer cannot be read ({type(error).__name__}: {error})"[:300],
            where="the service",
            remedy="use the same version of Layerproof on both sides",
        ) from error


def image_of(document: Document) -> Image:
    """From an Image."""
    return Image(
        reference=document["reference"],
        config_digest=Digest(document["configDigest"]),
        platform=Platform(*document["platform"].split("/")),
        layers=tuple(_layer(item) for item in document["layers"]),
        config={},
        manifest_digest=_digest(document["manifestDigest"]),
        index_digest=_digest(document["indexDigest"]),
        notes=tuple(document["notes"]),
    )


def view_of(document: Document) -> ImageView:
    """From an Image, for a table of its layers."""
    image = image_of(document)
    return ImageView(
        image,
        tuple(document["names"]),
        tuple(
            _layer_view(layer, item)
            for layer, item in zip(image.layers, document["layers"], strict=True)
        ),
    )


def _layer(item: Document) -> Layer:
    blob = None
    if item["blobDigest"]:
        blob = Descriptor(item["mediaType"], Digest(item["blobDigest"]), item["size"])
    return Layer(
        position=item["position"],
        diff_id=DiffId(item["diffId"]),
        chain_id=ChainId(item["chainId"]),
        blob=blob,
        created_by=item["createdBy"],
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
            counts={ChangeKind(kind): count for kind, count in item["changes"].items()},
            changes=b"",
            package_changes=(),
        )
    if item["uncompressedSize"] is not None:
        skipped = tuple((s["analyser"], s["path"].encode(), s["reason"]) for s in item["skipped"])
        summary = ContentsSummary(
            layer.diff_id, "", item["uncompressedSize"], item["entries"], 0, skipped
        )
    if item["trustedImage"]:
        trust = TrustRecord("", item["trustedImage"], Digest.of(b""), None, (), "", _NEVER, "")
    return LayerView(layer, chain, summary, trust)


def record_of(document: Document) -> VerdictRecord:
    """From a Verdict."""
    base, context = document["base"], document["context"]
    return VerdictRecord(
        id=document["id"],
        made_from=b"",
        verdict=Verdict(
            reference=document["reference"],
            manifest_digest=_digest(document["manifestDigest"]),
            config_digest=Digest(document["configDigest"]),
            verdict=Trust(document["verdict"]),
            decision=Decision(document["decision"]),
            base=base and Base(base["trustedImage"], ChainId(base["chainId"]), base["layers"]),
            layers=tuple(map(_layer_verdict, document["layers"])),
            findings=tuple(_finding(item, None, None) for item in document["findings"]),
            inputs=document["inputs"],
            notes=tuple(document["notes"]),
            message=document["message"],
        ),
        decided_at=datetime.fromisoformat(document["decidedAt"]),
        holds_until=datetime.fromisoformat(document["holdsUntil"]),
        context=Context(context["gate"], context["namespace"], context["host"], context["labels"]),
    )


def _layer_verdict(item: Document) -> LayerVerdict:
    position, chain = item["position"], ChainId(item["chainId"])
    return LayerVerdict(
        position,
        chain,
        Trust(item["verdict"]),
        item["inBase"],
        tuple(_finding(found, position, chain) for found in item["findings"]),
    )


def _finding(item: Document, position: int | None, chain: ChainId | None) -> Finding:
    return Finding(
        rule=item["rule"],
        status=Status(item["status"]),
        severity=Severity(item["severity"]),
        effect=Effect(item["effect"]),
        message=item["message"],
        remedy=item["remedy"],
        position=position,
        chain_id=chain,
        evidence=item["evidence"],
    )


def trust_of(document: Document) -> TrustRecord:
    """From a Trust."""
    return TrustRecord(
        id=document["id"],
        reference=document["reference"],
        config_digest=Digest(document["configDigest"]),
        manifest_digest=_digest(document["manifestDigest"]),
        chain_ids=tuple(map(ChainId, document["chainIds"])),
        added_by=document["addedBy"],
        added_at=datetime.fromisoformat(document["addedAt"]),
        reason=document["reason"],
        expires_at=_time(document["expiresAt"]),
        revoked_by=document["revokedBy"] or "",
        revoked_at=_time(document["revokedAt"]),
        revoke_reason=document["revokeReason"] or "",
    )


def event_of(document: Document) -> Event:
    """From an Event."""
    return Event(
        identity=document["id"],
        kind=EventKind(document["event"]),
        at=datetime.fromisoformat(document["at"]),
        registry=document["registry"],
        repository=document["repository"],
        tag=document["tag"] or "",
        manifest_digest=_digest(document["manifestDigest"]),
        account=document["account"] or "",
        address=document["address"] or "",
        details=document["details"],
        country=document["country"] or "",
        host=document["host"] or "",
    )


def withdrawal_of(document: Document) -> Withdrawal:
    """From a Withdrawal."""
    return Withdrawal(
        id=document["id"],
        chain_id=ChainId(document["chainId"]),
        diff_id=DiffId(document["diffId"]),
        reference=document["reference"],
        withdrawn_by=document["withdrawnBy"],
        withdrawn_at=datetime.fromisoformat(document["withdrawnAt"]),
        reason=document["reason"],
        released_by=document["releasedBy"] or "",
        released_at=_time(document["releasedAt"]),
        release_reason=document["releaseReason"] or "",
    )


def _digest(text: str | None) -> Digest | None:
    return None if text is None else Digest(text)


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
