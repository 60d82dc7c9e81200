"""Errors as RFC 9457 problem details: what went wrong, where, and what to do about it."""

from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse

from layerproof.errors import (
    AccessError,
    AuthenticationError,
    CorruptImageError,
    ImageNotFoundError,
    IndexUnavailableError,
    LayerproofError,
    LimitExceededError,
    PolicyError,
    SourceError,
    TrustError,
    UnsupportedError,
    UsageError,
)

MEDIA_TYPE = "application/problem+json"
_TITLES = {
    400: "The request cannot be understood",
    401: "A token is needed",
    403: "The token does not allow this",
    404: "There is no such thing",
    405: "This cannot be done here",
    409: "This does not fit what is there",
    413: "The request is too large",
    415: "The request is of another type",
    422: "The request cannot be carried out",
    429: "Too many requests",
    500: "A defect of Layerproof",
    502: "A registry did not deliver",
    503: "The service is not ready",
}
# The first that fits.
_STATUSES: tuple[tuple[type[LayerproofError], int], ...] = (
    (ImageNotFoundError, 404),
    (IndexUnavailableError, 503),
    (TrustError, 422),
    (AccessError, 422),
    (PolicyError, 422),
    (UsageError, 400),
    (CorruptImageError, 422),
    (LimitExceededError, 422),
    (UnsupportedError, 422),
    (AuthenticationError, 502),
    (SourceError, 502),
    (LayerproofError, 500),
)


class Problem(Exception):
    """An answer that is an error. `code` is stable."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        remedy: str = "",
        where: str = "",
        headers: Mapping[str, str] | None = None,
        problems: tuple[str, ...] = (),
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.remedy = remedy
        self.where = where
        self.headers = dict(headers or {})
        self.problems = problems

    def document(self) -> dict[str, Any]:
        """As RFC 9457 section 3 has it, with extensions."""
        found: dict[str, Any] = {
            "type": f"urn:layerproof:problem:{self.code}",
            "title": _TITLES.get(self.status, "The request failed"),
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "where": self.where,
            "remedy": self.remedy,
        }
        if self.problems:
            found["problems"] = list(self.problems)
        return found

    def response(self) -> JSONResponse:
        """The answer."""
        return JSONResponse(
            self.document(), self.status, headers=self.headers, media_type=MEDIA_TYPE
        )


def problem_of(error: LayerproofError) -> Problem:
    """What an error of the engine is as an answer."""
    status = next(status for kind, status in _STATUSES if isinstance(error, kind))
    return Problem(
        status,
        error.code,
        error.message,
        where=error.where,
        remedy=error.remedy,
        headers={"Retry-After": "5"} if status == 503 else None,
        problems=error.problems if isinstance(error, PolicyError) else (),
    )


PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "where": {"type": "string"},
        "remedy": {"type": "string"},
        "problems": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["type", "title", "status", "detail", "code"],
}
