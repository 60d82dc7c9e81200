"""The policy that rules, and the exceptions that were made beside it."""

from dataclasses import replace
from datetime import date
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from layerproof.model.amendment import MadeException, PolicyRevision
from layerproof.policy.amend import read_exception
from layerproof.policy.load import load_policy
from layerproof.report.documents import policy_document
from layerproof.report.service_documents import (
    exception_document,
    governing_document,
    page_document,
    revision_document,
)
from layerproof.server.openapi import one, page
from layerproof.server.paging import Limit
from layerproof.server.problems import Problem
from layerproof.server.routes._common import (
    Admin,
    IdText,
    Operator,
    The,
    Viewer,
    audited,
    missing,
)
from layerproof.server.tokens import new_id

router = APIRouter(tags=["policy"])


class PolicyText(BaseModel):
    """A policy file."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(max_length=262_144)


class PolicyRequest(PolicyText):
    """A policy file, and why it is to rule from now on."""

    reason: str = Field(min_length=1, max_length=1000)
    after: int | None = Field(
        default=None,
        ge=0,
        lt=1 << 63,
        description="The revision that this one was made from (0: none): refused if another was"
        " put since.",
    )


class ExceptionRequest(BaseModel):
    """An exception, as an entry of `exceptions` in a policy file."""

    model_config = ConfigDict(extra="forbid")

    images: list[str] = Field(min_length=1, max_length=200)
    rules: list[str] = Field(min_length=1, max_length=200)
    reason: str = Field(min_length=1, max_length=1000)
    owner: str = Field(min_length=1, max_length=200)
    until: date
    paths: list[str] = Field(default_factory=list, max_length=200)
    layers: list[str] = Field(default_factory=list, max_length=200)
    vulnerabilities: list[str] = Field(default_factory=list, max_length=200)


@router.get("/policy", responses=one("Policy"))
def get_policy(service: The, _: Viewer) -> dict[str, Any]:
    """The policy that rules now, and where it comes from."""
    revisions = service.stores.ledger.policies()
    made = [item for item in service.stores.ledger.exceptions() if item.ended_at is None]
    by_file = service.settings.policy is not None
    source = "file" if by_file else "revision" if revisions else "built-in"
    revision = revisions[0] if source == "revision" else None
    return governing_document(service.policy(), source, revision, made)


@router.put("/policy", responses=one("PolicyRevision"))
def put_policy(
    service: The, request: Request, principal: Admin, body: PolicyRequest
) -> dict[str, Any]:
    """Put a policy: it rules from now on, on every machine. It is checked first."""
    if service.settings.policy is not None:
        raise Problem(
            409,
            "policy-in-file",
            "the policy of this service is a file",
            where=str(service.settings.policy),
            remedy="change the file, or start the service without LAYERPROOF_POLICY",
        )
    policy = load_policy(body.text.encode("utf-8", "surrogatepass"), where="policy")
    revision = PolicyRevision(0, body.text, principal.name, service.clock.now(), body.reason)
    about = str(policy.digest)
    with audited(service, request, principal, "policy.put", about, reason=body.reason):
        if not service.stores.ledger.add_policy(revision, body.after):
            raise Problem(
                409,
                "policy-changed",
                "somebody else has put a policy since",
                where=f"after {body.after}",
                remedy="read it, GET /api/v1/policy/revisions, and put yours again on top of it",
            )
    return revision_document(service.stores.ledger.policies()[0])


@router.get("/policy/revisions", responses=page("PolicyRevision"))
def list_revisions(service: The, _: Viewer, limit: Limit = 20) -> dict[str, Any]:
    """Policies that were put, the last one first."""
    found = service.stores.ledger.policies(limit)
    return page_document([revision_document(revision) for revision in found], None)


@router.post("/policy/check", responses=one("PolicyFile"))
def check_policy(service: The, _: Viewer, body: PolicyText) -> dict[str, Any]:
    """Whether a policy could be put; every problem of it, if not."""
    policy = load_policy(body.text.encode("utf-8", "surrogatepass"), where="policy")
    return policy_document("policy", policy)


@router.get("/exceptions", responses=page("Exception"))
def list_exceptions(service: The, _: Viewer) -> dict[str, Any]:
    """Exceptions that were made here, the first one first; ended ones too. Those of the policy
    itself stand in the policy."""
    found = service.stores.ledger.exceptions()
    return page_document([exception_document(made) for made in found], None)


@router.post("/exceptions", status_code=201, responses=one("Exception", status=201))
def make_exception(
    service: The, request: Request, principal: Operator, body: ExceptionRequest
) -> dict[str, Any]:
    """Make an exception: findings that somebody answers for, until a day."""
    document = {
        key: value for key, value in body.model_dump(mode="json").items() if value not in ([], "")
    }
    read_exception(document, "exception")
    made = MadeException(new_id(), document, principal.name, service.clock.now())
    with audited(service, request, principal, "exception.make", made.id, reason=body.reason):
        service.stores.ledger.put_exception(made)
    return exception_document(made)


@router.post("/exceptions/{identity}/end", responses=one("Exception"))
def end_exception(
    service: The, request: Request, principal: Operator, identity: IdText
) -> dict[str, Any]:
    """End an exception now."""
    ledger = service.stores.ledger
    found = next((made for made in ledger.exceptions() if made.id == identity), None)
    if found is None:
        raise missing("exception", identity, "GET /api/v1/exceptions lists them")
    if found.ended_at is None:
        found = replace(found, ended_by=principal.name, ended_at=service.clock.now())
        with audited(service, request, principal, "exception.end", found.id):
            ledger.put_exception(found)
    return exception_document(found)
