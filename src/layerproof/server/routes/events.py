"""Events: who did what, as registries and monitors report it."""

from datetime import datetime
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from layerproof.errors import EventError
from layerproof.model.access import Role
from layerproof.model.digest import ChainId, Digest
from layerproof.model.event import Event, EventKind
from layerproof.monitors.registry_notifications import Notified, read_notifications
from layerproof.report.documents import event_document
from layerproof.report.service_documents import accepted_document, page_document
from layerproof.server.auth import Principal, needs
from layerproof.server.intake import Batches
from layerproof.server.openapi import one, page
from layerproof.server.paging import After, Limit
from layerproof.server.problems import Problem
from layerproof.server.routes._common import Operator, The, Viewer, audited, digest
from layerproof.server.service import Service

router = APIRouter(tags=["events"])
Notifier = Annotated[Principal, Depends(needs(Role.NOTIFIER))]
_DIGEST = r"^sha(256:[0-9a-f]{64}|512:[0-9a-f]{128})$"
_AT_ONCE = 16_384  # bytes; reading so few takes less than handing them to a thread
_NOTIFICATIONS = "application/vnd.docker.distribution.events.v2+json"
_TYPES = (_NOTIFICATIONS, "application/vnd.docker.distribution.events.v1+json", "application/json")


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
    accepted = service.intake.accept(events)
    audited(service, request, principal, "events.report", f"{len(events)} events")
    return accepted_document(
        events=len(events), newEvents=accepted.events, newJobs=accepted.jobs, leftOut=0
    )


@router.post(
    "/notifications",
    status_code=202,
    responses=one("Accepted", status=202),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                _NOTIFICATIONS: {"schema": {"type": "object"}},
                "application/json": {"schema": {"type": "object"}},
            },
        }
    },
)
async def notify(request: Request, principal: Notifier) -> dict[str, Any]:
    """Take notifications of a registry: CNCF Distribution's, or Harbor's. They are answered when
    they are written down; a registry that gets no answer sends them again."""
    batches: Batches = request.app.state.batches
    service: Service = request.app.state.service
    try:
        _check_sender(request, principal)
        notified = await _read(await request.body(), principal, service)
    except (EventError, Problem) as error:
        service.metrics.refused.labels(error.code).inc()
        raise
    await batches.accept(notified.events)
    for event in notified.events:
        service.metrics.events.labels(str(event.kind)).inc()
    for what, count in notified.skipped.items():
        service.metrics.left_out.labels(what).inc(count)
    return accepted_document(events=len(notified.events), leftOut=notified.left_out)


def _check_sender(request: Request, principal: Principal) -> None:
    """Raises Problem."""
    if not principal.registry:  # what a report says about its registry is not believed
        raise Problem(
            422,
            "no-registry",
            f"the token of {principal.name} speaks for no registry",
            remedy="make one that does: layerproof token create --role notifier --registry HOST",
        )
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in _TYPES:
        raise Problem(
            415,
            "bad-media-type",
            f"{kind[:100]!r} is no media type of notifications",
            remedy=f"send {_NOTIFICATIONS} or application/json",
        )


async def _read(data: bytes, principal: Principal, service: Service) -> Notified:
    read = partial(
        read_notifications,
        data,
        principal.registry,
        where=f"notification by {principal.name}",
        forwarded=principal.registry in service.config.forwarded_addresses,
    )
    return await run_in_threadpool(read) if len(data) > _AT_ONCE else read()


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
