"""The webhooks as an ASGI application: plain Starlette, because the API server asks often.

| path | for |
| --- | --- |
| /validate | ValidatingWebhookConfiguration |
| /mutate | MutatingWebhookConfiguration |
| /image-review | the admission plugin ImagePolicyWebhook |
| /healthz | whether it answers at all |

A review that can be read as far as its uid is answered by 200, whatever the answer is. Any other
is answered by 400, which the API server treats as `failurePolicy` says.
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from layerproof.errors import LayerproofError, LimitExceededError
from layerproof.gates.kubernetes.admission import (
    Plan,
    mutated,
    patch_of,
    plan,
    unreadable,
    validated,
)
from layerproof.gates.kubernetes.image_review import (
    image_reviewed,
    image_unreadable,
    parse_image_review,
)
from layerproof.gates.kubernetes.judge import Asked, Judge
from layerproof.gates.kubernetes.review import MAX_BYTES, Json, Review, parse_review

MOST_AT_ONCE = 512  # reviews; more are told to come again
_SPARE_SECONDS = 0.5  # of what the API server waits, for the way there and back
_TIMEOUT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)s")

Observe = Callable[[str, str, float], None]  # webhook, outcome, seconds


def make_app(judge: Judge, observe: Observe = lambda *_: None) -> Starlette:
    """The application. `observe` is told of every review."""
    gate = _Gate(judge, observe)
    return Starlette(
        routes=[
            Route("/validate", gate.route(gate.validate), methods=["POST"]),
            Route("/mutate", gate.route(gate.mutate), methods=["POST"]),
            Route("/image-review", gate.route(gate.image_review), methods=["POST"]),
            Route("/healthz", _alive, methods=["GET"]),
        ]
    )


async def _alive(_: Request) -> Response:
    return PlainTextResponse("ok")


Webhook = Callable[[bytes, float], Awaitable[tuple[Json, str]]]


class _Gate:
    def __init__(self, judge: Judge, observe: Observe) -> None:
        self._judge = judge
        self._observe = observe
        self._running = 0

    def route(self, webhook: Webhook) -> Callable[[Request], Awaitable[Response]]:
        """One request: its body bounded, its time bounded, its outcome told."""
        name = webhook.__name__

        async def answer(request: Request) -> Response:
            loop = asyncio.get_running_loop()
            started = loop.time()
            if self._running >= MOST_AT_ONCE:
                return PlainTextResponse("too many reviews at once", 503)
            self._running += 1
            outcome = "unreadable"
            try:
                body = await _body(request)
                document, outcome = await webhook(body, self._budget(request))
                return Response(json.dumps(document), media_type="application/json")
            except ClientDisconnect:
                return Response(status_code=400)
            except LayerproofError as error:
                return PlainTextResponse(f"layerproof: {error}"[:1000], 400)
            finally:
                self._running -= 1
                self._observe(name, outcome, loop.time() - started)

        return answer

    async def validate(self, body: bytes, budget: float) -> tuple[Json, str]:
        """Decide."""
        review = parse_review(body)
        try:
            planned = plan(review)
        except LayerproofError as error:
            return unreadable(review.api_version, review.uid, error), "unreadable"
        ruled = await self._judge.rule(self._asked(review, planned), budget)
        document = validated(review, planned, ruled)
        return document, "allowed" if document["response"]["allowed"] else "refused"

    async def mutate(self, body: bytes, budget: float) -> tuple[Json, str]:
        """Replace tags by digests. What cannot be read passes: the validating webhook refuses it,
        and says why."""
        review = parse_review(body)
        try:
            planned = plan(review)
        except LayerproofError:
            return mutated(review, (), ()), "unreadable"
        if not planned.pins(self._judge.settings.pin):
            return mutated(review, (), ()), "unchanged"
        digests, warnings = await self._judge.resolve(planned, budget)
        patch = patch_of(planned.places, digests)
        return mutated(review, patch, warnings), "changed" if patch else "unchanged"

    async def image_review(self, body: bytes, budget: float) -> tuple[Json, str]:
        """Decide on an ImageReview."""
        try:
            asked = parse_image_review(body)
        except LayerproofError as error:
            return image_unreadable(error), "unreadable"
        document = image_reviewed(await self._judge.rule(asked, budget))
        return document, "allowed" if document["status"]["allowed"] else "refused"

    def _asked(self, review: Review, planned: Plan) -> Asked:
        return Asked(
            planned.images,
            planned.context,
            review.user,
            review.target,
            review.dry_run,
            planned.pins(self._judge.settings.pin),
        )

    def _budget(self, request: Request) -> float:
        """What the API server says it waits, and no more than ours."""
        own = self._judge.settings.budget
        found = _TIMEOUT.fullmatch(request.query_params.get("timeout", ""))
        return max(min(own, float(found[1]) - _SPARE_SECONDS), 0.1) if found else own


async def _body(request: Request) -> bytes:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_BYTES:
            raise LimitExceededError(
                f"the review has more than {MAX_BYTES} bytes", limit="json_bytes", where="body"
            )
        parts.append(part)
    return b"".join(parts)
