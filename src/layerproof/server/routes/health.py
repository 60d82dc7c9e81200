"""Whether the service lives, is ready, and how it does."""

from typing import Any

from fastapi import APIRouter, Response

from layerproof.model.job import JobState
from layerproof.report.service_documents import health_document
from layerproof.server.openapi import PROBLEMS
from layerproof.server.routes._common import The, Viewer

router = APIRouter(tags=["operations"])
_HEALTH = {
    "type": "object",
    "properties": {"status": {"type": "string"}, "checks": {"type": "object"}},
    "required": ["status", "checks"],
}
_PUBLIC = {"x-public": True}


def _answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    content = {"application/json": {"schema": _HEALTH}}
    return {status: {"description": "Its state", "content": content} for status in statuses}


@router.get("/healthz", responses=_answers(200), openapi_extra=_PUBLIC)
async def alive() -> dict[str, Any]:
    """Whether this process answers."""
    return health_document("ok", {})


@router.get("/readyz", responses=_answers(200, 503), openapi_extra=_PUBLIC)
async def ready(service: The, response: Response) -> dict[str, Any]:
    """Whether it can decide: index, policy and advisories can be read."""
    checks = await service.readiness.now()
    good = set(checks.values()) == {"ok"}
    response.status_code = 200 if good else 503
    return health_document("ok" if good else "not ready", checks)


@router.get(
    "/metrics",
    responses={
        200: {"description": "Prometheus' text format", "content": {"text/plain": {}}},
        **PROBLEMS,
    },
)
def metrics(service: The, _: Viewer) -> Response:
    """Numbers for Prometheus."""
    counts = service.stores.queue.counts()
    for state in (JobState.QUEUED, JobState.RUNNING):
        service.metrics.jobs.labels(str(state)).set(counts.get(state, 0))
    return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")
