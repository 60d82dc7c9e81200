"""What was pulled: layers that are refused everywhere, and layers to inspect."""

from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from layerproof.engine.pull import release
from layerproof.model.job import Priority, Wanted
from layerproof.report.documents import withdrawal_document
from layerproof.report.service_documents import accepted_document, page_document
from layerproof.server.child import PULL
from layerproof.server.openapi import one, page
from layerproof.server.routes._common import IdText, Operator, The, Viewer, audited, of_registry
from layerproof.server.routes.trust import Because

router = APIRouter(tags=["quarantine"])


class PullRequest(BaseModel):
    """An image whose layers that are not trusted are to be fetched."""

    model_config = ConfigDict(extra="forbid")

    reference: str = Field(min_length=1, max_length=1000)
    reason: str = Field(default="", max_length=1000)
    inspectOnly: bool = Field(default=False, description="Fetch, and refuse nothing.")


@router.get("/quarantine", responses=page("Withdrawal"))
def list_withdrawals(service: The, _: Viewer) -> dict[str, Any]:
    """Layers that were withdrawn, the last one first; released ones too."""
    now = service.clock.now()
    found = service.stores.index.withdrawals()
    return page_document([withdrawal_document(record, now) for record in found], None)


@router.post("/quarantine", status_code=202, responses=one("Accepted", status=202))
def pull(service: The, request: Request, principal: Operator, body: PullRequest) -> dict[str, Any]:
    """Queue a pull: fetch what is not trusted of an image into quarantine, and refuse it."""
    reference = of_registry(service, body.reference)
    arguments = {
        "reference": str(reference),
        "by": principal.name,
        "reason": body.reason,
        "withdraw": "no" if body.inspectOnly else "yes",
    }
    job = Wanted(f"{PULL} {reference}", str(reference), PULL, arguments, Priority.ASKED)
    about = str(reference)
    with audited(service, request, principal, "quarantine.pull", about, reason=body.reason):
        queued = service.stores.queue.put([job])
    return accepted_document(newJobs=queued)


@router.post("/quarantine/{identity}/release", responses=page("Withdrawal"))
def release_layers(
    service: The, request: Request, principal: Operator, identity: IdText, body: Because
) -> dict[str, Any]:
    """Let a withdrawn layer be judged as any other again."""
    now = service.clock.now()
    with audited(
        service, request, principal, "quarantine.release", identity, reason=body.reason
    ) as change:
        released = release(
            service.stores.index, identity, by=principal.name, reason=body.reason, now=now
        )
        change.became(identity, released=[record.id for record in released])
    return page_document([withdrawal_document(record, now) for record in released], None)
