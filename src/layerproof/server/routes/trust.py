"""Trust: which images are trusted, since when, by whose word."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from layerproof.engine.lookup import find_image
from layerproof.engine.trust import add_trust, revoke_trust
from layerproof.errors import ImageNotFoundError
from layerproof.report.documents import trust_document
from layerproof.report.service_documents import page_document
from layerproof.server.openapi import one, page
from layerproof.server.routes._common import IdText, Operator, The, Viewer, audited

router = APIRouter(tags=["trust"])


class TrustRequest(BaseModel):
    """An image to trust."""

    model_config = ConfigDict(extra="forbid")

    image: str = Field(min_length=1, max_length=1000, description="A digest, or a reference.")
    reason: str = Field(min_length=1, max_length=1000)
    expiresAt: AwareDatetime | None = None


class Because(BaseModel):
    """Why."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(min_length=1, max_length=1000)


@router.get("/trust", responses=page("Trust"))
def list_trust(
    service: The,
    _: Viewer,
    everything: Annotated[
        bool, Query(alias="all", description="Revoked and expired ones too.")
    ] = False,
) -> dict[str, Any]:
    """Trusted images, the last one first."""
    now = service.clock.now()
    records = [r for r in service.stores.index.trust_records() if everything or r.active(now)]
    return page_document([trust_document(record, now) for record in records], None)


@router.post("/trust", status_code=201, responses=one("Trust", status=201))
def trust_image(
    service: The, request: Request, principal: Operator, body: TrustRequest
) -> dict[str, Any]:
    """Trust an indexed image: all of its layers, at their place."""
    index, now = service.stores.index, service.clock.now()
    found = find_image(index, body.image, None, offline=True, analysers=service.analysers)
    if found is None:
        raise ImageNotFoundError(
            "the index does not know this image",
            where=body.image,
            remedy="index it first: POST /api/v1/images",
        )
    if found.reference == body.image:  # a bare digest: the name says more
        record = index.image_by_config(found.config_digest)
        found = record.image if record else found
    with audited(
        service, request, principal, "trust.add", body.image, reason=body.reason
    ) as change:
        trusted = add_trust(
            index, found, by=principal.name, reason=body.reason, now=now, expires_at=_utc(body)
        )
        change.became(trusted.id, reference=trusted.reference)
    return trust_document(trusted, now)


@router.post("/trust/{identity}/revoke", responses=page("Trust"))
def revoke(
    service: The, request: Request, principal: Operator, identity: IdText, body: Because
) -> dict[str, Any]:
    """Take trust back, by its id."""
    now = service.clock.now()
    with audited(
        service, request, principal, "trust.revoke", identity, reason=body.reason
    ) as change:
        records = revoke_trust(
            service.stores.index, identity, by=principal.name, reason=body.reason, now=now
        )
        change.became(identity, revoked={record.id: record.reference for record in records})
    return page_document([trust_document(record, now) for record in records], None)


def _utc(body: TrustRequest) -> Any:
    from datetime import UTC

    return body.expiresAt.astimezone(UTC) if body.expiresAt else None
