"""Verdicts that were made, and their findings."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from layerproof.model.finding import Finding, Severity
from layerproof.model.record import VerdictRecord
from layerproof.model.verdict import Decision
from layerproof.report.documents import record_document
from layerproof.report.service_documents import found_finding, page_document
from layerproof.server.openapi import one, page
from layerproof.server.paging import After, Limit
from layerproof.server.routes._common import IdText, The, Viewer, missing

router = APIRouter(tags=["verdicts"])
_SEVERITIES = tuple(Severity)


@router.get("/verdicts", responses=page("Verdict"))
def list_verdicts(
    service: The,
    _: Viewer,
    limit: Limit = 50,
    after: After = None,
    reference: Annotated[str, Query(max_length=1000)] = "",
    decision: Decision | None = None,
) -> dict[str, Any]:
    """Verdicts, the last one made first."""
    found = service.stores.index.verdicts_page(
        limit, after, reference=reference, decision=str(decision or "")
    )
    return page_document([record_document(record) for record in found.items], found.after)


@router.get("/verdicts/{identity}", responses=one("Verdict"))
def get_verdict(service: The, _: Viewer, identity: IdText) -> dict[str, Any]:
    """One verdict, by its id or the beginning of it."""
    found = service.stores.index.verdicts_by_id(identity)
    if len(found) != 1:
        raise missing("verdict", identity, "give more of its id; GET /api/v1/verdicts lists them")
    return record_document(found[0])


@router.get("/findings", responses=page("FoundFinding"))
def list_findings(
    service: The,
    _: Viewer,
    limit: Limit = 50,
    after: After = None,
    reference: Annotated[str, Query(max_length=1000)] = "",
    rule: Annotated[str, Query(max_length=100)] = "",
    severity: Annotated[Severity | None, Query(description="This one, or a worse one.")] = None,
) -> dict[str, Any]:
    """Findings of the last verdicts. `limit` counts verdicts that are looked at."""
    found = service.stores.index.verdicts_page(limit, after, reference=reference)
    least = _SEVERITIES.index(severity) if severity else 0
    items = [
        found_finding(record, finding, position, chain)
        for record in found.items
        for finding, position, chain in _findings(record)
        if rule in ("", finding.rule) and _SEVERITIES.index(finding.severity) >= least
    ]
    return page_document(items, found.after)


def _findings(record: VerdictRecord) -> list[tuple[Finding, Any, Any]]:
    verdict = record.verdict
    return [(finding, None, None) for finding in verdict.findings] + [
        (finding, layer.position, layer.chain_id)
        for layer in verdict.layers
        for finding in layer.findings
    ]
