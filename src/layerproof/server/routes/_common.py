"""What routes share: the service, the caller, texts that may be given."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Path, Request

from layerproof.errors import (
    ImageNotFoundError,
    LayerproofError,
    ManifestError,
    ReferenceSyntaxError,
)
from layerproof.model.access import BEGUN, Role
from layerproof.model.digest import ChainId, Digest
from layerproof.model.reference import DOCKER, Reference, parse_reference
from layerproof.server.auth import Principal, address_of, needs
from layerproof.server.problems import Problem
from layerproof.server.service import Service

PREFIX = "/api/v1"


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


The = Annotated[Service, Depends(_service)]
Viewer = Annotated[Principal, Depends(needs(Role.VIEWER))]
Operator = Annotated[Principal, Depends(needs(Role.OPERATOR))]
Admin = Annotated[Principal, Depends(needs(Role.ADMIN))]
DigestText = Annotated[
    str, Path(pattern=r"^sha(256:[0-9a-f]{64}|512:[0-9a-f]{128})$", description="A digest.")
]
IdText = Annotated[str, Path(pattern=r"^[0-9a-f]{8,64}$", description="An id, in hexadecimal.")]


def digest(text: str) -> Digest:
    """Raises Problem."""
    try:
        return Digest.parse(text)
    except ManifestError as error:
        raise Problem(400, "bad-digest", error.message, where=text[:100]) from error


def chain_id(text: str) -> ChainId:
    """Raises Problem."""
    return ChainId(digest(text))


def missing(what: str, where: str, remedy: str) -> ImageNotFoundError:
    """That there is no such thing."""
    return ImageNotFoundError(f"there is no such {what}", where=where, remedy=remedy)


def of_registry(service: Service, text: str) -> Reference:
    """An image that the service may be sent for: an operator who names one makes it connect to
    that host. Raises ReferenceSyntaxError, Problem."""
    reference = parse_reference(text)
    if reference.transport != DOCKER:
        raise ReferenceSyntaxError(
            "the service reads images of registries only",
            where=text[:200],
            remedy="push it, and name it docker://HOST/NAME:TAG",
        )
    allowed = service.config.allowed_registries
    if allowed and reference.host not in allowed:
        raise Problem(
            403, "registry-not-allowed", "the service does not read images of this registry",
            where=reference.host,
            remedy="see `allowedRegistries` in the service's file",
        )  # fmt: skip
    return reference


@dataclass(slots=True)
class Change:
    """A change on its way, as the audit is to tell of it; what is known at its end only is added
    then."""

    target: str
    details: dict[str, object]

    def became(self, target: str, **details: object) -> None:
        """What it was done to, once that has an id."""
        self.target = target
        self.details.update(details)


@contextmanager
def audited(
    service: Service,
    request: Request,
    principal: Principal,
    action: str,
    target: str,
    **details: object,
) -> Iterator[Change]:
    """Write down a change before it is made, and how it ended: two records of one request. Without
    the first there is no change; one without the other was made, or not, when the service was
    ended, and somebody has to look (docs/adr/0015). Raises IndexUnavailableError."""
    change = Change(target, {**details, "request": request.state.identity})

    def write(outcome: str) -> None:
        service.audit(
            actor=principal.name,
            role=str(principal.role),
            action=action,
            target=change.target,
            address=address_of(request),
            details=change.details,
            outcome=outcome,
        )

    write(BEGUN)
    try:
        yield change
    except (LayerproofError, Problem) as error:
        write(error.code)
        raise
    except Exception:
        write("defect")
        raise
    write("done")
