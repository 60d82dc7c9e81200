"""The webhooks as an ASGI application, without a framework: the API server asks often, and a
framework would cost as much as the answer.

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
import re
from collections.abc import Awaitable, Callable

import msgspec
from starlette.types import Receive, Scope, Send

from layerproof.errors import LayerproofError, LimitExceededError
from layerproof.gates.kubernetes.admission import (
    Plan,
    malformed,
    mutated,
    patch_of,
    plan,
    validated,
)
from layerproof.gates.kubernetes.image_review import (
    image_malformed,
    image_reviewed,
    parse_image_review,
)
from layerproof.gates.kubernetes.judge import Asked, Judge
from layerproof.gates.kubernetes.review import MAX_BYTES, Json, Review, parse_review

MOST_AT_ONCE = 512  # reviews; more are told to come again
_SPARE_SECONDS = 0.5  # of what the API server waits, for the way there and back
_TIMEOUT = re.compile(rb"(?:^|&)timeout=([0-9]{1,3}(?:\.[0-9]{1,6})?)s(?:&|$)")
_ENCODER = msgspec.json.Encoder(enc_hook=str)  # for kinds of text
_PLAIN = b"text/plain; charset=utf-8"

Observe = Callable[[str, str, float], None]  # webhook, outcome, seconds
Webhook = Callable[[bytes, float], Awaitable[tuple[Json, str]]]


class App:
    """ASGI. `observe` is told of every review; `metrics` is what /metrics shows."""

    def __init__(
        self,
        judge: Judge,
        observe: Observe = lambda *_: None,
        metrics: Callable[[], bytes] = lambda: b"",
    ) -> None:
        self._judge = judge
        self._observe = observe
        self._metrics = metrics
        self._running = 0
        self._webhooks: dict[str, Webhook] = {
            "/validate": self.validate,
            "/mutate": self.mutate,
            "/image-review": self.image_review,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            status, kind, body = await self._answered(scope, receive)
            headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})

    async def _answered(self, scope: Scope, receive: Receive) -> tuple[int, bytes, bytes]:
        path, method = scope["path"], scope["method"]
        webhook = self._webhooks.get(path)
        if webhook is not None:
            if method != "POST":
                return 405, _PLAIN, b"a review is sent by POST"
            return await self._reviewed(webhook, path[1:], scope, receive)
        if method in ("GET", "HEAD") and path in ("/healthz", "/metrics"):
            return 200, _PLAIN, b"ok" if path == "/healthz" else self._metrics()
        return 404, _PLAIN, b"there is nothing here"

    async def _reviewed(
        self, webhook: Webhook, name: str, scope: Scope, receive: Receive
    ) -> tuple[int, bytes, bytes]:
        """One review: its body bounded, its time bounded, its outcome told."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        if self._running >= MOST_AT_ONCE:
            return 503, _PLAIN, b"too many reviews at once"
        self._running += 1
        outcome = "unreadable"
        try:
            body = await _body(receive)
            document, outcome = await webhook(body, self._budget(scope["query_string"]))
            return 200, b"application/json", _ENCODER.encode(document)
        except LayerproofError as error:
            return 400, _PLAIN, f"layerproof: {error}"[:1000].encode("utf-8", "replace")
        finally:
            self._running -= 1
            self._observe(name, outcome, loop.time() - started)

    async def validate(self, body: bytes, budget: float) -> tuple[Json, str]:
        """Decide."""
        review = parse_review(body)
        try:
            planned = plan(review)
        except LayerproofError as error:
            answer = self._judge.malformed(review.namespace, review.target, error)
            return malformed(review, answer), "unreadable"
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
            answer = self._judge.malformed("", "an image review", error)
            return image_malformed(answer), "unreadable"
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

    def _budget(self, query: bytes) -> float:
        """What the API server says it waits, and no more than ours."""
        own = self._judge.settings.budget
        found = _TIMEOUT.search(query) if query else None
        return max(min(own, float(found[1]) - _SPARE_SECONDS), 0.1) if found else own


async def _body(receive: Receive) -> bytes:
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b""  # nobody reads the answer
        part = message.get("body", b"")
        size += len(part)
        if size > MAX_BYTES:
            raise LimitExceededError(
                f"the review has more than {MAX_BYTES} bytes", limit="json_bytes", where="body"
            )
        parts.append(part)
        if not message.get("more_body"):
            return b"".join(parts) if len(parts) > 1 else bytes(part)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
