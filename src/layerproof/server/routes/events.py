"""Events: who did what, as monitors report it; what registries report: `notifications`."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from layerproof.model.digest import ChainId, Digest
from layerproof.model.event import Event, EventKind
from layerproof.report.documents import event_document
from layerproof.report.service_documents import accepted_document, page_document
from layerproof.server.auth import Principal
from layerproof.server.openapi import one, page
from layerproof.server.paging import After, Limit
from layerproof.server.routes._common import Operator, The, Viewer, audited, digest

router = APIRouter(tags=["events"])
_DIGEST = r"^sha(256:[0-9a-f]{64}|512:[0-9a-f]{128})$"


class Report(BaseModel):
    """One event, as a monitor saw it."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(min_length=1, max_length=300, pattern=r"^[ -~]+$")
    event: EventKind
    at: AwareDatetime
    registry: str = Field(default="", max_length=300, pattern=r"^[ -~]*$")
    repository: str = Field(default="", max_length=300, pattern=r"^[ -~]*$")
    tag: str = Field(default="", max_length=200, pattern=r"^[ -~]*$")
    manifestDigest: str | None = Field(default=None, pattern=_DIGEST)
    chainId: str | None = Field(default=None, pattern=_DIGEST)
    account: str = Field(default="", max_length=300, pattern=r"^[ -~]*$")
    address: str = Field(default="", max_length=100, pattern=r"^[ -~]*$")
    host: str = Field(default="", max_length=300, pattern=r"^[ -~]*$")


class Reports(BaseModel):
    """Some events."""

    model_config = ConfigDict(extra="forbid")

    events: list[Report] = Field(min_length=1, max_length=1000)


@router.get("/events", responses=page("Event"))
def list_events(
    service: The,
    _: Viewer,
    limit: Limit = 100,
    after: After = None,
    event: EventKind | None = None,
    registry: Annotated[str, Query(max_length=300)] = "",
    repository: Annotated[str, Query(max_length=300)] = "",
    account: Annotated[str, Query(max_length=300)] = "",
) -> dict[str, Any]:
    """Events, the last one first."""
    found = service.stores.index.events_page(
        limit,
        after,
        kind=str(event or ""),
        registry=registry,
        repository=repository,
        account=account,
    )
    return page_document([event_document(event) for event in found.items], found.after)


@router.post("/events", status_code=202, responses=one("Accepted", status=202))
def report_events(
    service: The, request: Request, principal: Operator, body: Reports
) -> dict[str, Any]:
    """Report what a monitor saw. The same id counts once."""
    events = [_event(report, principal) for report in body.events]
    with audited(service, request, principal, "events.report", f"{len(events)} events"):
        accepted = service.intake.accept(events)
    return accepted_document(
        events=len(events), newEvents=accepted.events, newJobs=accepted.jobs, leftOut=0
    )


def _event(report: Report, principal: Principal) -> Event:
    at: datetime = report.at
    return Event(
        # by whom, so that nobody's report can take the place of another's
        identity=f"reported {len(principal.name)} {principal.name} {report.id}",
        kind=report.event,
        at=at,
        registry=report.registry.lower(),
        repository=report.repository,
        tag=report.tag,
        manifest_digest=_digest(report.manifestDigest),
        account=report.account,
        address=report.address,
        details={"reportedBy": principal.name},
        host=report.host,
        chain_id=ChainId(digest(report.chainId)) if report.chainId else None,
    )


def _digest(text: str | None) -> Digest | None:
    return digest(text) if text else None
