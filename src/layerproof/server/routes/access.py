"""Tokens and the audit: for administrators; and who one is, for everybody."""

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from layerproof.engine.access import MOST_DAYS, issue, revoke, rotate
from layerproof.model.access import Role
from layerproof.report.service_documents import (
    audit_document,
    page_document,
    token_document,
    whoami_document,
)
from layerproof.server.auth import Principal, needs
from layerproof.server.openapi import one, page
from layerproof.server.paging import After, Limit
from layerproof.server.routes._common import Admin, IdText, The, audited
from layerproof.server.tokens import random_bytes

router = APIRouter(tags=["access"])
Anybody = Annotated[Principal, Depends(needs(Role.VIEWER))]


class TokenRequest(BaseModel):
    """A token to make."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=100)
    role: Role
    days: int = Field(default=90, ge=1, le=MOST_DAYS)
    registry: str = Field(
        default="", max_length=300, description="A notifier's: the registry that it speaks for."
    )


class Rotation(BaseModel):
    """How a token is replaced."""

    model_config = ConfigDict(extra="forbid")

    graceHours: int = Field(default=24, ge=0, le=720)


@router.get("/me", responses=one("Principal"))
def who_am_i(principal: Anybody) -> dict[str, Any]:
    """Who the token says that one is."""
    return whoami_document(principal.name, str(principal.role), principal.expires_at)


@router.get("/tokens", responses=page("Token"))
def list_tokens(service: The, _: Admin) -> dict[str, Any]:
    """Every token, the oldest first; never the token itself."""
    now = service.clock.now()
    return page_document([token_document(t, now) for t in service.stores.ledger.tokens()], None)


@router.post("/tokens", status_code=201, responses=one("Token", status=201))
def make_token(
    service: The, request: Request, principal: Admin, body: TokenRequest
) -> dict[str, Any]:
    """Make a token. It is shown in this answer, and never again."""
    now = service.clock.now()
    said = {"name": body.name, "tokenRole": str(body.role)}
    with audited(service, request, principal, "token.make", body.name, **said) as change:
        issued = issue(
            service.stores.ledger,
            name=body.name,
            role=body.role,
            by=principal.name,
            now=now,
            days=body.days,
            random=random_bytes(),
            registry=body.registry.lower(),
        )
        change.became(issued.token.id)
    return token_document(issued.token, now, issued.text)


@router.post("/tokens/{identity}/rotate", status_code=201, responses=one("Token", status=201))
def rotate_token(
    service: The, request: Request, principal: Admin, identity: IdText, body: Rotation
) -> dict[str, Any]:
    """Make a token in place of another one, which ends after a while."""
    now = service.clock.now()
    with audited(service, request, principal, "token.rotate", identity) as change:
        issued = rotate(
            service.stores.ledger,
            identity,
            by=principal.name,
            now=now,
            grace=timedelta(hours=body.graceHours),
            random=random_bytes(),
        )
        change.became(identity, new=issued.token.id)
    return token_document(issued.token, now, issued.text)


@router.delete("/tokens/{identity}", responses=one("Token"))
def revoke_token(
    service: The, request: Request, principal: Admin, identity: IdText
) -> dict[str, Any]:
    """End a token now."""
    now = service.clock.now()
    with audited(service, request, principal, "token.revoke", identity) as change:
        token = revoke(service.stores.ledger, identity, by=principal.name, now=now)
        change.became(identity, name=token.name)
    return token_document(token, now)


@router.get("/audit", responses=page("Audit"))
def list_audit(service: The, _: Admin, limit: Limit = 100, after: After = None) -> dict[str, Any]:
    """Who changed what, the last change first."""
    found = service.stores.ledger.audit(limit, after)
    return page_document([audit_document(record) for record in found.items], found.after)
