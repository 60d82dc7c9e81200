"""The authorization plugin's protocol, as an ASGI application on a Unix socket.

1. `POST /Plugin.Activate` says what it is, `POST /AuthZPlugin.AuthZReq` is asked before a call,
   `POST /AuthZPlugin.AuthZRes` after it; nothing can be undone there, so it always allows.
2. `Err` beside `Allow: true` would count as allowed: an answer never has an `Err`. Whatever goes
   wrong here is `Allow: false` with a `Msg`, unless the policy's mode or fail mode says otherwise.
3. A name is resolved by the engine itself, to the image that it would run; that image's bytes are
   judged. Because a name may move between create and start, what a container was really made from
   is judged again when it starts: after that, nothing can change it.
4. An image that the engine does not have passes at create: the engine answers that it is missing.

Source: Docker Engine, "Docker Engine authorization plugin" and pkg/authorization/api.go.
"""

import base64
import binascii
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import msgspec

from layerproof.engine.dockerish import question_of, workload_labels
from layerproof.engine.gate import worst
from layerproof.errors import LayerproofError
from layerproof.gates.docker.calls import Call, Kind, Request, read_call
from layerproof.gates.docker.refusal import RefusedError
from layerproof.gates.interface import Decider
from layerproof.model.facts import Context
from layerproof.model.gate import Answer, Cause, Mode, Question
from layerproof.model.verdict import Decision

MOST_BODY = 8 << 20  # the engine sends at most 1 MiB of a request, in base64, and its headers
_ACTIVATION = json.dumps({"Implements": ["authz"]}).encode()
_ALLOWED = json.dumps({"Allow": True}).encode()
_TYPE = [(b"content-type", b"application/vnd.docker.plugins.v1.2+json")]

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Told = Callable[[Context, Call, Answer], None]


class Engine(Protocol):
    """What the gate asks the engine that it guards. Raises LayerproofError."""

    async def image(self, name: str) -> Mapping[str, Any] | None:
        """ImageInspect; None if there is none."""

    async def container(self, name: str) -> Mapping[str, Any] | None:
        """ContainerInspect; None if there is none."""


class _Told(msgspec.Struct):
    """What the engine says of a request (pkg/authorization/api.go, Request)."""

    RequestMethod: str = ""
    RequestUri: str = ""
    RequestBody: str = ""
    RequestHeaders: dict[str, str] = {}
    User: str = ""


_decoder = msgspec.json.Decoder(_Told)


class Plugin:
    """The application. `tell` hears of every answer that is no plain admission."""

    def __init__(
        self,
        decider: Decider,
        engine: Engine,
        host: str,
        tell: Told = lambda *_: None,
        metrics: Callable[[], bytes] = lambda: b"",
    ) -> None:
        self._decider = decider
        self._engine = engine
        self._host = host
        self._tell = tell
        self._metrics = metrics

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """One request of the engine."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        path = scope["path"]
        if path == "/AuthZPlugin.AuthZReq":
            await _answer(send, 200, await self._asked(receive))
        elif path == "/AuthZPlugin.AuthZRes":
            await _drained(receive)
            await _answer(send, 200, _ALLOWED)
        elif path == "/Plugin.Activate":
            await _answer(send, 200, _ACTIVATION)
        elif path == "/metrics":
            await _answer(send, 200, self._metrics())
        else:
            await _answer(send, 404, b"{}")

    async def review(self, request: Request) -> Answer:
        """What the gate does with a request."""
        context = Context(gate="docker", host=self._host)
        call = Call(Kind.PASS)
        try:
            call = read_call(request)
            if call.kind is Kind.PASS:
                return _PASSED
            answer = await self._decided(call, context)
        except RefusedError as error:
            answer = self._decider.forbid(context, error.message, error.remedy)
        except LayerproofError as error:
            answer = self._decider.unavailable(context, "", str(error), error.remedy)
        self._decider.note(context, answer)
        if answer.notable:
            self._tell(context, call, answer)
        return answer

    async def _asked(self, receive: Receive) -> bytes:
        data = await _drained(receive)
        request = None if data is None else _request(data)
        if request is None:
            context = Context(gate="docker", host=self._host)
            answer = self._decider.forbid(
                context, "the engine's question cannot be read", "see the plugin's log"
            )
            self._decider.note(context, answer)
        else:
            answer = await self.review(request)
        if answer.admitted:
            return _ALLOWED
        return json.dumps({"Allow": False, "Msg": message(answer)}).encode()

    # --- calls that name something ---

    async def _decided(self, call: Call, context: Context) -> Answer:
        if call.kind is Kind.RULED:
            return self._decider.call(context, call.ruled, call.default, call.reason)
        if call.kind is Kind.PULL:
            return await self._pull(call, context)
        if call.kind is Kind.SERVICE:
            return await self._service(call, _labelled(context, call.labels))
        if call.kind is Kind.START:
            return await self._start(call, context)
        return await self._images(call, _labelled(context, call.labels))

    async def _images(self, call: Call, context: Context) -> Answer:
        return worst([await self._image(name, call, context) for name in call.images])

    async def _image(self, name: str, call: Call, context: Context) -> Answer:
        told = await self._engine.image(name)
        if told is None:
            return _PASSED
        return await self._decider.ask(question_of(told, name, context, call.platform))

    async def _start(self, call: Call, context: Context) -> Answer:
        told = await self._engine.container(call.container)
        if told is None:
            return _PASSED
        identity = str(told.get("Image", ""))
        config = told.get("Config")
        config = config if isinstance(config, dict) else {}
        image = await self._engine.image(identity)
        if image is None:
            # It was removed while the container stayed: only its ID is left.
            image = {"Id": identity}
        placed = _labelled(context, workload_labels(config, image.get("Config")))
        asked = question_of(image, str(config.get("Image", "")), placed, call.platform)
        answers = [await self._decider.ask(asked)]
        for mount in told.get("Mounts") or ():
            if isinstance(mount, dict) and mount.get("Type") == "image":
                source = str(mount.get("Source") or mount.get("Name") or "")
                answers.append(await self._image(source, call, placed))
        return worst(answers)

    async def _pull(self, call: Call, context: Context) -> Answer:
        """Nothing runs by that: what is not known is judged when a container is made from it."""
        name = call.images[0]
        if "@" not in name:
            return _PASSED
        answer = await self._decider.ask(Question((name,), context, call.platform))
        return answer if answer.verdict is not None else _PASSED

    async def _service(self, call: Call, context: Context) -> Answer:
        """The nodes of a swarm resolve a tag by themselves, and nobody asks a gate there."""
        answers = []
        for name in call.images:
            if "@sha256:" not in name:
                return self._decider.forbid(
                    context,
                    f"the image of a service, {name[:200]!r}, has no digest",
                    "name it NAME@sha256:…, as `docker service create` does by itself when it"
                    " reaches the registry",
                )
            full = name if name.startswith("docker://") else f"docker://{name}"
            answers.append(await self._decider.ask(Question((full,), context)))
        return worst(answers)


_PASSED = Answer(Decision.ADMIT, Decision.ADMIT, Mode.ENFORCE, Cause.REQUEST, "")


def message(answer: Answer) -> str:
    """What the user of the engine reads."""
    text = f"Layerproof: {answer.reason or 'refused'}"
    return f"{text} -> {answer.remedy}" if answer.remedy else text


def _request(data: bytes) -> Request | None:
    try:
        told = _decoder.decode(data)
        body = base64.b64decode(told.RequestBody, validate=True)
    except (msgspec.DecodeError, binascii.Error, ValueError, RecursionError):
        return None
    return Request(told.RequestMethod, told.RequestUri, body, told.RequestHeaders, told.User)


def _labelled(context: Context, labels: Mapping[str, str] | None) -> Context:
    return Context(context.gate, context.namespace, context.host, labels or None)


async def _drained(receive: Receive) -> bytes | None:
    """The whole body; None if it is too large."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        part = message.get("body", b"")
        size += len(part)
        if size <= MOST_BODY:
            parts.append(part)
        if not message.get("more_body"):
            return b"".join(parts) if size <= MOST_BODY else None


async def _answer(send: Send, status: int, body: bytes) -> None:
    length = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": _TYPE + length})
    await send({"type": "http.response.body", "body": body})


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        event = await receive()
        await send({"type": f"{event['type']}.complete"})
        if event["type"] == "lifespan.shutdown":
            return
