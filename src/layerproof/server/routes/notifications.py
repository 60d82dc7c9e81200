"""Notifications of registries: CNCF Distribution's, or Harbor's. Past the framework, because a
registry in use reports often (server.hot).

They are answered when they are written down; a registry that gets no answer sends them again.
"""

from typing import Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from layerproof.errors import EventError
from layerproof.model.access import Role
from layerproof.monitors.registry_notifications import read_notifications
from layerproof.report.service_documents import accepted_document
from layerproof.server.auth import admitted
from layerproof.server.intake import Batches
from layerproof.server.openapi import one
from layerproof.server.routes._common import PREFIX

PATH = f"{PREFIX}/notifications"
ROLE = Role.NOTIFIER
_MEDIA_TYPE = "application/vnd.docker.distribution.events.v2+json"
_AT_ONCE = 16_384  # bytes; reading so few takes less than handing them to a thread


async def notify(request: Request) -> Response:
    """Take what a registry reports. Raises Problem, EventError, OverloadedError, and what writing
    raises."""
    state = request.app.state
    batches: Batches = state.batches
    principal = await admitted(request, ROLE, (await state.freshness.now())[1])
    data = await request.body()
    where = f"notification by {principal.name}"
    metrics = state.service.metrics
    try:
        if len(data) > _AT_ONCE:
            notified = await run_in_threadpool(
                read_notifications, data, principal.registry, where=where
            )
        else:
            notified = read_notifications(data, principal.registry, where=where)
    except EventError:
        metrics.refused.labels("malformed").inc()
        raise
    await batches.accept(notified.events)
    for event in notified.events:
        metrics.events.labels(str(event.kind)).inc()
    request.state.quiet = True  # what came stands in the index
    document = accepted_document(events=len(notified.events), leftOut=notified.left_out)
    return Response(msgspec.json.encode(document), 202, media_type="application/json")


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
