"""Images: what the index knows, and what it is to index."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from layerproof.engine.intake import index_job
from layerproof.engine.lookup import find_image
from layerproof.engine.view import view_image
from layerproof.errors import ImageNotFoundError
from layerproof.model.job import Priority
from layerproof.report.documents import image_document
from layerproof.report.service_documents import accepted_document, image_summary, page_document
from layerproof.server.openapi import one, page
from layerproof.server.paging import After, Limit
from layerproof.server.routes._common import (
    DigestText,
    Operator,
    The,
    Viewer,
    audited,
    missing,
    of_registry,
)

router = APIRouter(tags=["images"])


class IndexRequest(BaseModel):
    """An image of a registry to index and judge."""

    model_config = ConfigDict(extra="forbid")

    reference: str = Field(min_length=1, max_length=1000, examples=["docker://ghcr.io/org/app:1"])


@router.get("/images", responses=page("ImageSummary"))
def list_images(
    service: The,
    _: Viewer,
    limit: Limit = 100,
    after: After = None,
    name: Annotated[str, Query(max_length=500, description="A part of a name.")] = "",
) -> dict[str, Any]:
    """Images, the last one indexed first."""
    found = service.stores.index.images_page(limit, after, name)
    return page_document([image_summary(record) for record in found.items], found.after)


@router.get("/images/{digest}", responses=one("Image"))
def get_image(service: The, _: Viewer, digest: DigestText) -> dict[str, Any]:
    """One image with its layers, by manifest, config or index digest."""
    index = service.stores.index
    found = find_image(index, digest, None, offline=True, analysers=service.analysers)
    if found is None:
        raise missing("image in the index", digest, "index it: POST /api/v1/images")
    record = index.image_by_config(found.config_digest)
    image = record.image if record and found.reference == digest else found
    return image_document(view_image(index, image, service.clock.now()))


@router.get("/image", responses=one("Image"))
def get_image_by_name(
    service: The,
    _: Viewer,
    reference: Annotated[str, Query(min_length=1, max_length=1000)],
) -> dict[str, Any]:
    """One image with its layers, by reference: the last one that was seen under it."""
    index = service.stores.index
    found = find_image(index, reference, None, offline=True, analysers=service.analysers)
    if found is None:
        raise ImageNotFoundError(
            "the index does not know this image",
            where=reference,
            remedy="index it: POST /api/v1/images",
        )
    return image_document(view_image(index, found, service.clock.now()))


@router.post(
    "/images",
    status_code=202,
    responses=one("Accepted", status=202, description="It is queued, or waits already."),
)
def index_image(
    service: The, request: Request, response: Response, principal: Operator, body: IndexRequest
) -> dict[str, Any]:
    """Queue an image of a registry: index it, and judge it."""
    reference = of_registry(service, body.reference)
    text = str(reference)
    turn = str(reference.digest) if reference.digest else text
    with audited(service, request, principal, "image.index", text):
        queued = service.stores.queue.put([index_job(text, turn, Priority.ASKED)])
    response.headers["Location"] = "/api/v1/jobs"
    return accepted_document(newJobs=queued)
