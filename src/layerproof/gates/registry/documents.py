"""What clients are told: errors as the distribution API has them.

Source: OCI distribution-spec v1.1, "Error Codes".
"""

import json
from collections.abc import Mapping

from layerproof.model.gate import Answer
from layerproof.rules.text import show_text

MOST_MESSAGE = 2000


class Refusal(Exception):
    """An answer that is an error."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        detail: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.detail = dict(detail or {})
        self.headers = dict(headers or {})

    def body(self) -> bytes:
        """`{"errors": […]}`."""
        error: dict[str, object] = {
            "code": self.code,
            "message": show_text(self.message, MOST_MESSAGE),
        }
        if self.detail:
            error["detail"] = self.detail
        return json.dumps({"errors": [error]}).encode()


def denied(answer: Answer) -> Refusal:
    """For an image that is refused; clients show the message to whoever pulls."""
    remedy = f" ({answer.remedy})" if answer.remedy else ""
    return Refusal(
        403,
        "DENIED",
        f"layerproof refuses this image: {answer.reason}{remedy}",
        {
            "decision": str(answer.decision),
            "cause": str(answer.cause),
            "verdict": str(answer.verdict or ""),
            "verdictId": answer.verdict_id,
            "rules": list(answer.rules),
        },
    )


def read_only(upstream: str) -> Refusal:
    """For whoever wants to change something."""
    return Refusal(
        405,
        "UNSUPPORTED",
        f"this gateway only serves what is in {upstream}: push to {upstream} itself",
        headers={"Allow": "GET, HEAD"},
    )


def unreachable_blob() -> Refusal:
    """For a blob that no admitted manifest of the repository has."""
    return Refusal(
        403,
        "DENIED",
        "layerproof serves a blob only after a manifest of this repository that has it, and that"
        " is admitted: pull the image by its name",
    )


def not_found(code: str, message: str) -> Refusal:
    """For what is not there."""
    return Refusal(404, code, message)
