"""What the service's API says beyond what commands print: plain documents, camelCase."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from layerproof.engine.ports import ContentsSummary, ImageRecord
from layerproof.engine.search import Answer
from layerproof.model.access import AccessToken, AuditRecord
from layerproof.model.activity import LayerContext
from layerproof.model.amendment import MadeException, PolicyRevision
from layerproof.model.contents import ChainRecord
from layerproof.model.digest import ChainId
from layerproof.model.finding import Finding
from layerproof.model.identity import Account
from layerproof.model.job import Job
from layerproof.model.record import VerdictRecord
from layerproof.model.trust import TrustRecord
from layerproof.policy.model import Policy
from layerproof.report.documents import (
    API_VERSION,
    Document,
    counts_document,
    finding_document,
    found_document,
    trust_state,
)


def page_document(items: Sequence[Document], after: object) -> Document:
    """One page of a list; `after` is None on the last one."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Page",
        "items": list(items),
        "after": None if after is None else str(after),
    }


def found_page(answer: Answer) -> Document:
    """What a search found; there is no next page, ask for more at once."""
    items = [found_document(hit) for hit in answer.found]
    return {**page_document(items, None), "more": answer.more}


def image_summary(record: ImageRecord) -> Document:
    """An image in a list."""
    image = record.image
    return {
        "apiVersion": API_VERSION,
        "kind": "ImageSummary",
        "reference": image.reference,
        "names": list(record.names),
        "manifestDigest": image.manifest_digest,
        "configDigest": image.config_digest,
        "indexDigest": image.index_digest,
        "platform": str(image.platform),
        "layers": len(image.layers),
        "top": image.top,
        "indexedAt": record.indexed_at.isoformat(),
    }


def layer_document(
    chain: ChainRecord,
    summary: ContentsSummary | None,
    context: LayerContext,
    trust: Sequence[TrustRecord],
    now: datetime,
) -> Document:
    """One layer at its place, with its context."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Layer",
        "chainId": chain.chain_id,
        "parent": chain.parent,
        "diffId": chain.diff_id,
        "position": chain.position,
        "uncompressedSize": summary.size if summary else None,
        "entries": summary.entry_count if summary else None,
        "changes": counts_document(chain.counts),
        "context": context_document(context),
        "trustedImages": [
            {"id": record.id, "reference": record.reference, "state": trust_state(record, now)}
            for record in trust
        ],
    }


def context_document(context: LayerContext) -> Document:
    """Who, whence, where, when."""
    cadence = context.push_cadence
    return {
        "repositories": list(context.repositories),
        "pushers": list(context.pushers),
        "pullers": list(context.pullers),
        "countries": list(context.countries),
        "hosts": list(context.hosts),
        "firstSeen": _time(context.first_seen),
        "lastSeen": _time(context.last_seen),
        "pushes": context.pushes,
        "pulls": context.pulls,
        "starts": context.starts,
        "mounts": [
            {
                "repository": f"{item.registry}/{item.repository}",
                "account": item.account or None,
                "country": item.country or None,
                "firstAt": item.first_at.isoformat(),
                "lastAt": item.last_at.isoformat(),
                "count": item.count,
            }
            for item in context.mounts
        ],
        "pushCadenceSeconds": None if cadence is None else int(cadence.total_seconds()),
    }


def job_document(job: Job) -> Document:
    """One job."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Job",
        "id": job.id,
        "job": job.kind,
        "key": job.key,
        "arguments": dict(job.arguments),
        "priority": job.priority,
        "state": str(job.state),
        "attempts": job.attempts,
        "queuedAt": job.queued_at.isoformat(),
        "dueAt": _time(job.due_at),
        "startedAt": _time(job.started_at),
        "endedAt": _time(job.ended_at),
        "worker": job.worker or None,
        "progress": dict(job.progress),
        "error": dict(job.error) or None,
    }


def account_document(account: Account, identities: Sequence[str]) -> Document:
    """An account, and the policy's identities that it is."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Account",
        "registry": account.registry,
        "account": account.account,
        "firstAt": account.first_at.isoformat(),
        "lastAt": account.last_at.isoformat(),
        "events": {str(kind): count for kind, count in account.counts.items()},
        "identities": list(identities),
    }


def token_document(token: AccessToken, now: datetime, text: str = "") -> Document:
    """One token; `text` is the token itself, where it is new."""
    document: Document = {
        "apiVersion": API_VERSION,
        "kind": "Token",
        "id": token.id,
        "name": token.name,
        "role": str(token.role),
        "registry": token.registry or None,
        "createdBy": token.created_by,
        "createdAt": token.created_at.isoformat(),
        "expiresAt": token.expires_at.isoformat(),
        "revokedBy": token.revoked_by or None,
        "revokedAt": _time(token.revoked_at),
        "state": token_state(token, now),
    }
    if text:
        document["token"] = text
    return document


def token_state(token: AccessToken, now: datetime) -> str:
    """`active`, `revoked` or `expired`."""
    if token.active(now):
        return "active"
    return "revoked" if token.revoked_at is not None and token.revoked_at <= now else "expired"


def audit_document(record: AuditRecord) -> Document:
    """One change that somebody made."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Audit",
        "id": record.id,
        "at": record.at.isoformat(),
        "actor": record.actor,
        "role": record.role,
        "action": record.action,
        "target": record.target,
        "address": record.address,
        "outcome": record.outcome,
        "details": dict(record.details),
    }


def governing_document(
    policy: Policy, source: str, revision: PolicyRevision | None, made: Sequence[MadeException]
) -> Document:
    """The policy that rules. `source`: file, revision or built-in."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Policy",
        "digest": policy.digest,
        "source": source,
        "revision": None if revision is None else revision_document(revision),
        "undecided": str(policy.undecided),
        "rules": {rule_id: str(rule.effect) for rule_id, rule in policy.rules.items()},
        "exceptions": len(policy.exceptions),
        "madeExceptions": len(made),
    }


def revision_document(revision: PolicyRevision) -> Document:
    """A policy as somebody put it."""
    return {
        "apiVersion": API_VERSION,
        "kind": "PolicyRevision",
        "id": revision.id,
        "text": revision.text,
        "putBy": revision.put_by,
        "putAt": revision.put_at.isoformat(),
        "reason": revision.reason,
    }


def exception_document(made: MadeException) -> Document:
    """An exception that was made by the API."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Exception",
        "id": made.id,
        "exception": dict(made.document),
        "madeBy": made.made_by,
        "madeAt": made.made_at.isoformat(),
        "endedBy": made.ended_by or None,
        "endedAt": _time(made.ended_at),
        "state": "active" if made.ended_at is None else "ended",
    }


def found_finding(
    record: VerdictRecord, finding: Finding, position: int | None, chain_id: ChainId | None
) -> Document:
    """A finding, and the verdict that it stands in."""
    return {
        "apiVersion": API_VERSION,
        "kind": "FoundFinding",
        "verdict": record.id,
        "decidedAt": record.decided_at.isoformat(),
        "reference": record.verdict.reference,
        "manifestDigest": record.verdict.manifest_digest,
        "position": position,
        "chainId": chain_id,
        "finding": finding_document(finding),
    }


def accepted_document(**counts: int) -> Document:
    """That something was accepted, and how much of it was new."""
    return {"apiVersion": API_VERSION, "kind": "Accepted", **counts}


def whoami_document(name: str, role: str, expires_at: datetime | None) -> Document:
    """Who asks."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Principal",
        "name": name,
        "role": role,
        "expiresAt": _time(expires_at),
    }


def health_document(status: str, checks: Mapping[str, str]) -> Document:
    """Whether the service is alive, or ready."""
    return {"status": status, "checks": dict(checks)}


def _time(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()
