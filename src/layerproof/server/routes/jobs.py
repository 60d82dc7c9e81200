"""Jobs: what is to be done, is being done, and was done."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request

from layerproof.model.job import JobState
from layerproof.report.service_documents import job_document, page_document
from layerproof.server.openapi import one, page
from layerproof.server.paging import After, Limit
from layerproof.server.problems import Problem
from layerproof.server.routes._common import Operator, The, Viewer, audited, missing

router = APIRouter(tags=["jobs"])
Number = Annotated[int, Path(ge=1, lt=1 << 62)]


@router.get("/jobs", responses=page("Job"))
def list_jobs(
    service: The, _: Viewer, limit: Limit = 100, after: After = None, state: JobState | None = None
) -> dict[str, Any]:
    """Jobs, the last one queued first."""
    found = service.stores.queue.page(limit, after, str(state or ""))
    return page_document([job_document(job) for job in found.items], found.after)


@router.get("/jobs/{identity}", responses=one("Job"))
def get_job(service: The, _: Viewer, identity: Number) -> dict[str, Any]:
    """One job, with its progress, and its last error."""
    job = service.stores.queue.job(identity)
    if job is None:
        raise missing("job", str(identity), "GET /api/v1/jobs lists them")
    return job_document(job)


@router.post("/jobs/{identity}/cancel", responses=one("Job"))
def cancel_job(
    service: The, request: Request, principal: Operator, identity: Number
) -> dict[str, Any]:
    """Cancel a job that has not ended."""
    queue = service.stores.queue
    if queue.job(identity) is None:
        raise missing("job", str(identity), "GET /api/v1/jobs lists them")
    with audited(service, request, principal, "job.cancel", str(identity)):
        if not queue.cancel(identity):
            raise Problem(409, "job-ended", "the job has ended already", where=str(identity))
    job = queue.job(identity)
    assert job is not None
    return job_document(job)
