"""Machine output: plain documents, camelCase, stable from the first release (DESIGN.md "Machine
output"). Pure: facts in, dictionaries out."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from layerproof.analysis.secret_formats import mask_secrets
from layerproof.engine.compare import Comparison
from layerproof.engine.pull import Pulled
from layerproof.engine.search import Found
from layerproof.engine.view import ImageView, LayerView
from layerproof.errors import LayerproofError, PolicyError
from layerproof.model.change import Change, ChangeKind
from layerproof.model.entry import KIND_NAMES, Entry
from layerproof.model.event import Event
from layerproof.model.finding import Finding
from layerproof.model.package import PackageChange
from layerproof.model.record import VerdictRecord
from layerproof.model.trust import TrustRecord
from layerproof.model.verdict import LayerVerdict, Verdict
from layerproof.model.withdrawal import Withdrawal
from layerproof.policy.model import Policy

API_VERSION = "layerproof/v1"

Document = dict[str, object]


def image_document(view: ImageView) -> Document:
    """What `show` and `index` print."""
    image = view.image
    return {
        "apiVersion": API_VERSION,
        "kind": "Image",
        "reference": image.reference,
        "names": list(view.names),
        "manifestDigest": image.manifest_digest,
        "configDigest": image.config_digest,
        "indexDigest": image.index_digest,
        "platform": str(image.platform),
        "layers": [_layer(layer) for layer in view.layers],
        "notes": list(image.notes),
    }


def _layer(view: LayerView) -> Document:
    layer, chain, summary = view.layer, view.chain, view.summary
    return {
        "position": layer.position,
        "chainId": layer.chain_id,
        "diffId": layer.diff_id,
        "blobDigest": layer.blob.digest if layer.blob else None,
        "mediaType": layer.blob.media_type if layer.blob else None,
        "size": layer.blob.size if layer.blob else None,
        "uncompressedSize": summary.size if summary else None,
        "entries": summary.entry_count if summary else None,
        "createdBy": layer.created_by and mask_secrets(layer.created_by),
        "trusted": view.trust is not None,
        "trustedImage": view.trust.reference if view.trust else None,
        "changes": None if chain is None else counts_document(chain.counts),
        "packages": [] if chain is None else [_package(c) for c in chain.package_changes],
        "skipped": [
            {"analyser": analyser, "path": text(path), "reason": reason}
            for analyser, path, reason in (summary.skipped if summary else ())
        ],
    }


def counts_document(counts: Mapping[ChangeKind, int]) -> Document:
    """Every kind, also those that did not occur."""
    return {str(kind): counts.get(kind, 0) for kind in ChangeKind}


def _package(change: PackageChange) -> Document:
    document: Document = {"purl": change.package.purl, "change": str(change.kind)}
    if change.before is not None and change.after is not None:
        document["before"] = change.before.version
    return document


def verdict_document(verdict: Verdict) -> Document:
    """What `check` prints."""
    base = verdict.base
    return {
        "apiVersion": API_VERSION,
        "kind": "Verdict",
        "reference": verdict.reference,
        "manifestDigest": verdict.manifest_digest,
        "configDigest": verdict.config_digest,
        "decision": str(verdict.decision),
        "verdict": str(verdict.verdict),
        "base": None
        if base is None
        else {
            "trustedImage": base.trusted_image,
            "chainId": base.chain_id,
            "layers": base.layers,
        },
        "layers": [_layer_verdict(layer) for layer in verdict.layers],
        "findings": [finding_document(finding) for finding in verdict.findings],
        "inputs": dict(verdict.inputs),
        "notes": list(verdict.notes),
        "message": verdict.message,
    }


def record_document(record: VerdictRecord) -> Document:
    """A verdict with its id and its time: what `check` and `verdicts` print."""
    context = record.context
    return {
        **verdict_document(record.verdict),
        "id": record.id,
        "decidedAt": record.decided_at.isoformat(),
        "holdsUntil": record.holds_until.isoformat(),
        "context": {
            "gate": context.gate,
            "namespace": context.namespace,
            "host": context.host,
            "labels": None if context.labels is None else dict(context.labels),
        },
    }


def pull_document(pulled: Pulled, place: str) -> Document:
    """What `pull` prints."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Pull",
        "reference": pulled.image.reference,
        "manifestDigest": pulled.image.manifest_digest,
        "configDigest": pulled.image.config_digest,
        "decision": str(pulled.verdict.decision),
        "verdict": str(pulled.verdict.verdict),
        "quarantine": place,
        "name": pulled.name or None,
        "fetchedBytes": pulled.fetched,
        "sparedBytes": pulled.spared,
        "layers": [
            {
                **_layer_verdict(each.verdict),
                "diffId": each.layer.diff_id,
                "blobDigest": each.blob.digest,
                "mediaType": each.blob.media_type,
                "size": each.blob.size,
                "fetched": bool(each.fetched),
                "withdrawal": each.withdrawal.id if each.withdrawal else None,
            }
            for each in pulled.layers
        ],
    }


def imported_document(source: str, events: int, new: int, left_out: int) -> Document:
    """What `events import` prints."""
    return {
        "apiVersion": API_VERSION,
        "kind": "EventsImported",
        "source": source,
        "events": events,
        "new": new,
        "leftOut": left_out,
    }


def event_document(event: Event) -> Document:
    """One event."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Event",
        "id": event.identity,
        "event": str(event.kind),
        "at": event.at.isoformat(),
        "registry": event.registry,
        "repository": event.repository,
        "tag": event.tag or None,
        "manifestDigest": event.manifest_digest,
        "account": event.account or None,
        "address": event.address or None,
        "country": event.country or None,
        "host": event.host or None,
        "blobDigest": event.blob_digest,
        "chainId": event.chain_id,
        "details": dict(event.details),
    }


def withdrawal_document(record: Withdrawal, now: datetime) -> Document:
    """One withdrawal."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Withdrawal",
        "id": record.id,
        "chainId": record.chain_id,
        "diffId": record.diff_id,
        "reference": record.reference,
        "withdrawnBy": record.withdrawn_by,
        "withdrawnAt": record.withdrawn_at.isoformat(),
        "reason": record.reason,
        "releasedBy": record.released_by or None,
        "releasedAt": record.released_at.isoformat() if record.released_at else None,
        "releaseReason": record.release_reason or None,
        "state": "active" if record.active(now) else "released",
    }


def _layer_verdict(layer: LayerVerdict) -> Document:
    return {
        "position": layer.position,
        "chainId": layer.chain_id,
        "verdict": str(layer.verdict),
        "inBase": layer.in_base,
        "findings": [finding_document(finding) for finding in layer.findings],
    }


def finding_document(finding: Finding) -> Document:
    """One finding."""
    return {
        "rule": finding.rule,
        "status": str(finding.status),
        "severity": str(finding.severity),
        "effect": str(finding.effect),
        "message": finding.message,
        "evidence": dict(finding.evidence),
        "remedy": finding.remedy,
    }


def changes_document(reference: str, position: int, changes: Sequence[Change]) -> Document:
    """What `diff` prints for one layer."""
    return {
        "apiVersion": API_VERSION,
        "kind": "LayerChanges",
        "reference": reference,
        "position": position,
        "changes": [change_document(change) for change in changes],
    }


def change_document(change: Change) -> Document:
    """One change, without the parts that say nothing."""
    document: Document = {"change": str(change.kind), "path": text(change.path)}
    for key, value in (
        ("cause", change.cause),
        ("by", text(change.by)),
        ("target", text(change.target)),
    ):
        if value:
            document[key] = value
    if change.before is not None:
        document["before"] = entry_document(change.before)
    if change.after is not None:
        document["after"] = entry_document(change.after)
    return document


def found_document(found: Found) -> Document:
    """What `find` prints for one layer's contents."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Found",
        "diffId": found.diff_id,
        "images": list(found.images),
        "more": found.more,
        "entries": [{"path": text(e.path), **entry_document(e)} for e in found.entries],
        "packages": [{"purl": p.purl, "path": text(p.path)} for p in found.packages],
        "changes": [{"chainId": c, **change_document(change)} for c, change in found.changes],
        "packageChanges": [{"chainId": c, **_package(ch)} for c, ch in found.package_changes],
    }


def comparison_document(comparison: Comparison) -> Document:
    """What `diff` prints for two images."""
    return {
        "apiVersion": API_VERSION,
        "kind": "ImageDifference",
        "reference": comparison.first.reference,
        "other": comparison.second.reference,
        "commonLayers": comparison.common_layers,
        "changes": [change_document(change) for change in comparison.changes],
        "packages": [_package(change) for change in comparison.package_changes],
    }


def entry_document(entry: Entry) -> Document:
    """An entry's facts."""
    document: Document = {
        "type": KIND_NAMES[entry.kind],
        "mode": f"{entry.mode:04o}",
        "uid": entry.uid,
        "gid": entry.gid,
        "size": entry.size,
    }
    if entry.sha256 is not None:
        document["sha256"] = entry.sha256.hex()
    if entry.link is not None:
        document["link"] = text(entry.link)
    if entry.xattrs:
        document["xattrs"] = {name: value.hex() for name, value in sorted(entry.xattrs.items())}
    return document


def policy_document(file: str, policy: Policy) -> Document:
    """What `policy validate` prints for a policy that can be used."""
    return {
        "apiVersion": API_VERSION,
        "kind": "PolicyFile",
        "file": file,
        "digest": policy.digest,
        "rules": {rule_id: str(rule.effect) for rule_id, rule in policy.rules.items()},
        "exceptions": len(policy.exceptions),
    }


def trust_document(record: TrustRecord, now: datetime) -> Document:
    """One trust record."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Trust",
        "id": record.id,
        "reference": record.reference,
        "manifestDigest": record.manifest_digest,
        "configDigest": record.config_digest,
        "chainIds": list(record.chain_ids),
        "addedBy": record.added_by,
        "addedAt": record.added_at.isoformat(),
        "reason": record.reason,
        "expiresAt": record.expires_at.isoformat() if record.expires_at else None,
        "revokedBy": record.revoked_by or None,
        "revokedAt": record.revoked_at.isoformat() if record.revoked_at else None,
        "revokeReason": record.revoke_reason or None,
        "state": trust_state(record, now),
    }


def trust_state(record: TrustRecord, now: datetime) -> str:
    """`active`, `revoked`, `expired` or `future`."""
    if record.active(now):
        return "active"
    if record.revoked_at is not None and record.revoked_at <= now:
        return "revoked"
    return "future" if now < record.added_at else "expired"


def error_document(error: LayerproofError) -> Document:
    """What goes to standard error with `--output json`."""
    document: Document = {
        "kind": "Error",
        "code": error.code,
        "message": error.message,
        "where": error.where,
        "remedy": error.remedy,
    }
    if isinstance(error, PolicyError):
        document["problems"] = list(error.problems)
    return document


def text(path: bytes) -> str:
    """Raw bytes as JSON can carry them: invalid UTF-8 as surrogate escapes written `\\udcNN`."""
    return path.decode("utf-8", "backslashreplace")
