"""Notifications of registries: CNCF Distribution's, or Harbor's. Past the framework, because a
registry in use reports often (server.hot).

They are answered when they are written down; a registry that gets no answer sends them again.
"""

from functools import partial
from typing import Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from layerproof.errors import EventError
from layerproof.model.access import Role
from layerproof.monitors.registry_notifications import Notified, read_notifications
from layerproof.report.service_documents import accepted_document
from layerproof.server.auth import Principal, admitted
from layerproof.server.intake import Batches
from layerproof.server.openapi import one
from layerproof.server.problems import Problem
from layerproof.server.routes._common import PREFIX
from layerproof.server.service import Service

PATH = f"{PREFIX}/notifications"
ROLE = Role.NOTIFIER
_MEDIA_TYPE = "application/vnd.docker.distribution.events.v2+json"
_TYPES = (_MEDIA_TYPE, "application/vnd.docker.distribution.events.v1+json", "application/json")
_AT_ONCE = 16_384  # bytes; reading so few takes less than handing them to a thread


async def notify(request: Request) -> Response:
    """Take what a registry reports. Raises Problem, EventError, and what writing raises."""
    state = request.app.state
    batches: Batches = state.batches
    service: Service = state.service
    principal = await admitted(request, ROLE, (await state.freshness.now())[1])
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
    request.state.quiet = True  # what came stands in the index
    document = accepted_document(events=len(notified.events), leftOut=notified.left_out)
    return Response(msgspec.json.encode(document), 202, media_type="application/json")


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
            remedy=f"send {_MEDIA_TYPE} or application/json",
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


def description() -> dict[str, Any]:
    """The OpenAPI operation, for which FastAPI makes none."""
    some = {"schema": {"type": "object"}}
    return {
        "tags": ["events"],
        "summary": "Notify",
        "description": "Take notifications of a registry: CNCF Distribution's, or Harbor's. They"
        " are answered when they are written down; a registry that gets no answer sends them"
        " again.",
        "operationId": "notify",
        "requestBody": {
            "required": True,
            "content": {_MEDIA_TYPE: some, "application/json": some},
        },
        "responses": {
            str(status): answer for status, answer in one("Accepted", status=202).items()
        },
    }
