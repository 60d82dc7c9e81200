"""Decisions: what gates ask. Past the framework, because they ask often (server.hot)."""

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from layerproof.errors import UsageError
from layerproof.model.access import Role
from layerproof.model.facts import Context
from layerproof.model.image import Platform
from layerproof.server.auth import admitted
from layerproof.server.decisions import Asked, Decisions
from layerproof.server.openapi import one
from layerproof.server.problems import Problem
from layerproof.server.routes._common import PREFIX

PATH = f"{PREFIX}/decisions"
ROLE = Role.VIEWER
_MOST_TEXT = 1000
_MOST_LABELS = 100


class Question(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """The body of a request."""

    image: str
    platform: str = ""
    gate: str = "cli"
    namespace: str | None = None
    host: str | None = None
    labels: dict[str, str] | None = None


_decoder = msgspec.json.Decoder(Question)


async def decide(request: Request) -> Response:
    """Decide on an indexed image, by digest or by name."""
    state = request.app.state
    decisions: Decisions = state.decisions
    stamp = await state.freshness.now()
    principal = await admitted(request, ROLE, stamp[1])
    body = await request.body()
    now = state.service.clock.now()
    answer = await decisions.answer(body, stamp, now, lambda: _asked(body), principal.key)
    request.state.decision = answer.decision
    return Response(answer.body, media_type="application/json")


def _asked(body: bytes) -> Asked:
    try:
        question = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problem(
            422, "bad-request", f"the question cannot be read: {error}"[:500], where="body"
        ) from error
    labels = question.labels
    texts = [question.image, question.platform, question.gate, question.namespace or ""]
    texts += [question.host or "", *(labels or {}), *(labels or {}).values()]
    if not question.image or max(map(len, texts)) > _MOST_TEXT or len(labels or ()) > _MOST_LABELS:
        raise Problem(
            422,
            "bad-request",
            "the image is missing, or a text is too long",
            where="body",
            remedy=f"texts have at most {_MOST_TEXT} characters, and there are at most"
            f" {_MOST_LABELS} labels",
        )
    return Asked(
        (question.image,),
        _platform(question.platform),
        Context(question.gate, question.namespace, question.host, labels),
    )


def _platform(text: str) -> Platform | None:
    if not text:
        return None
    parts = text.split("/")
    if not 2 <= len(parts) <= 3 or not all(parts):
        raise UsageError(
            f"{text[:60]!r} is not a platform", where="platform", remedy="write linux/arm64"
        )
    return Platform(*parts)


def description() -> dict[str, Any]:
    """The OpenAPI operation, for which FastAPI makes none."""
    text = {"type": "string", "maxLength": _MOST_TEXT}
    maybe = {"type": ["string", "null"], "maxLength": _MOST_TEXT}
    schema = {
        "type": "object",
        "additionalProperties": False,
        "required": ["image"],
        "properties": {
            "image": {**text, "minLength": 1, "examples": ["sha256:…", "docker://host/app@sha256:…"]},
            "platform": {**text, "examples": ["linux/arm64"]},
            "gate": text,
            "namespace": maybe,
            "host": maybe,
            "labels": {
                "type": ["object", "null"],
                "maxProperties": _MOST_LABELS,
                "propertyNames": text,
                "additionalProperties": text,
            },
        },
    }  # fmt: skip
    return {
        "tags": ["decisions"],
        "summary": "Decide",
        "description": "Decide on an indexed image: what a gate asks before it lets something run.",
        "operationId": "decide",
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": {str(status): answer for status, answer in one("Verdict").items()},
    }
