"""The application: routes, and what surrounds each of them.

1. A request gets an id, which stands in its log line and in the answer (X-Request-Id).
2. Its body is bounded before anybody reads it; what is larger is answered by 413. So are the bodies
   of all requests that run: whose part would be too much is answered by 503.
3. Whatever goes wrong is answered as problem details; a defect is logged whole and told briefly.
4. What was counted and logged names the route, never the address that was asked for: addresses hold
   names, and a metric for each of them would have no end.
"""

import json
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from layerproof import __version__
from layerproof.errors import LayerproofError
from layerproof.server import logs
from layerproof.server.auth import Gatekeeper, Verify
from layerproof.server.decisions import Decisions, Freshness, Stamp
from layerproof.server.hot import Endpoint, HotRoutes
from layerproof.server.intake import Batches, OverloadedError
from layerproof.server.openapi import openapi_of
from layerproof.server.problems import Problem, problem_of
from layerproof.server.routes import (
    access,
    decisions,
    events,
    health,
    identities,
    images,
    jobs,
    layers,
    notifications,
    policy,
    quarantine,
    search,
    trust,
    verdicts,
)
from layerproof.server.routes._common import PREFIX
from layerproof.server.service import Service

MOST_BODY = 1 << 20
MOST_NOTIFICATION = 16 << 20
MOST_HELD = 256 << 20  # of all bodies together
_ROUTES = (
    images, layers, verdicts, events, trust, identities, policy, quarantine, jobs, search, access,
)  # fmt: skip

_HOT: dict[tuple[str, str], Endpoint] = {
    ("POST", decisions.PATH): decisions.decide,
    ("POST", notifications.PATH): notifications.notify,
}


def make_app(
    service: Service,
    *,
    read_stamp: Callable[[], Awaitable[Stamp]] | None = None,
    verify_foreign: Verify | None = None,
    routers: tuple[Any, ...] = (),
) -> FastAPI:
    """The application over a service. `read_stamp`: the service's, on connections of its own."""

    async def read_here() -> Stamp:
        return service.stamp()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.freshness = Freshness(read_stamp or read_here)
        app.state.decisions = Decisions(service)
        app.state.batches = Batches(service.intake.accept)
        yield
        app.state.batches.close()
        app.state.decisions.close()

    app = FastAPI(
        title="Layerproof",
        version=__version__,
        docs_url=None,  # its page would load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,  # whither is what the caller's Host header says
        openapi_url=f"{PREFIX}/openapi.json",
        lifespan=lifespan,
    )
    app.state.service = service
    app.state.gatekeeper = Gatekeeper(
        service.stores.ledger,
        service.clock,
        requests_per_second=service.config.requests_per_second,
        verify_foreign=verify_foreign,
    )
    for module in _ROUTES:
        app.include_router(module.router, prefix=PREFIX)
    for router in routers:
        app.include_router(router, prefix=PREFIX)
    app.include_router(health.router)
    for (method, path), endpoint in _HOT.items():
        app.router.add_route(path, endpoint, methods=[method])  # for other methods, and tests
    app.openapi = lambda: _described(app)  # type: ignore[method-assign]  # as FastAPI's docs say
    _handle_errors(app)
    app.add_middleware(HotRoutes, routes=_HOT)
    app.add_middleware(Surroundings, service=service)
    return app


def _described(app: FastAPI) -> dict[str, Any]:
    document = openapi_of(app)
    for module in (decisions, notifications):
        described = {**module.description(), "security": [{"token": []}]}
        document["paths"].setdefault(module.PATH, {"post": described})
    return document


def _handle_errors(app: FastAPI) -> None:
    def problem(_: Request, error: Exception) -> Response:
        assert isinstance(error, Problem)
        return error.response()

    def engine(_: Request, error: Exception) -> Response:
        assert isinstance(error, LayerproofError)
        return problem_of(error).response()

    def invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        said = tuple(
            f"{'.'.join(map(str, item['loc']))}: {item['msg']}"[:300] for item in error.errors()
        )
        broken = any(item["type"] == "json_invalid" for item in error.errors())
        return Problem(
            400 if broken else 422,
            "bad-request",
            "the request is not as the API describes it",
            where=said[0].partition(":")[0] if said else "",
            remedy=f"see {PREFIX}/openapi.json",
            problems=said[:20],
        ).response()

    def http(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        code = {404: "not-found", 405: "method-not-allowed"}.get(error.status_code, "http")
        return Problem(
            error.status_code,
            code,
            str(error.detail),
            remedy=f"see {PREFIX}/openapi.json",
            headers=error.headers,
        ).response()

    app.add_exception_handler(Problem, problem)
    app.add_exception_handler(LayerproofError, engine)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)


class Surroundings:
    """ASGI middleware: what every request gets (rules 1 to 4 above)."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._service = service
        self._log = logs.logger()
        self._held = _Held()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        identity = secrets.token_hex(8)
        scope.setdefault("state", {})["identity"] = identity
        body = _Body(scope, receive, self._held)
        answer = _Answer(send, identity, body)
        try:
            if body.announced:
                await body.refusal()(scope, receive, answer.send)
            else:
                await self._app(scope, body.receive, answer.send)
            if body.exceeded and not answer.begun:
                await body.refusal()(scope, receive, answer.send_anyway)
        except _TooLargeError:
            if answer.begun:
                raise
            await body.refusal()(scope, receive, answer.send_anyway)
        except Exception:
            self._log.exception("defect", request=identity, route=_route(scope))
            if answer.begun:
                raise
            await _defect(identity)(scope, receive, answer.send)
        finally:
            body.forget()
            self._tell(scope, identity, answer.status, time.perf_counter() - started)

    def _tell(self, scope: Scope, identity: str, status: int, seconds: float) -> None:
        route, method = _route(scope), scope["method"]
        metrics = self._service.metrics
        metrics.requests.labels(route, method, str(status)).inc()
        metrics.seconds.labels(route).observe(seconds)
        state = scope.get("state", {})
        decision = state.get("decision")
        if decision:
            metrics.decisions.labels(decision, "asked").inc()
        if status >= 400 or (method != "GET" and not decision and not state.get("quiet")):
            principal = state.get("principal")
            self._log.info(
                "request",
                request=identity,
                method=method,
                route=route,
                status=status,
                seconds=round(seconds, 4),
                caller=principal.name if principal else "",
                address=(scope.get("client") or ("",))[0],
            )


class _TooLargeError(Exception):
    pass


class _Held:
    """Bytes of bodies that are in memory."""

    count = 0


class _Body:
    """A request's body, bounded. `announced`: its header says already that it is too large."""

    def __init__(self, scope: Scope, receive: Receive, held: _Held) -> None:
        self._receive = receive
        self._held = held
        self._full = False
        self._most = MOST_NOTIFICATION if scope["path"].endswith("/notifications") else MOST_BODY
        self._count = 0
        self.exceeded = False
        length = dict(scope["headers"]).get(b"content-length", b"0")
        self.announced = length.isdigit() and (len(length) > 18 or int(length) > self._most)

    async def receive(self) -> Message:
        """The next part."""
        message = await self._receive()
        size = len(message.get("body", b""))
        self._count += size
        self._held.count += size
        self._full = self._held.count > MOST_HELD
        if self._full or self._count > self._most:
            self.exceeded = True
            raise _TooLargeError
        return message

    def forget(self) -> None:
        """It is in memory no more."""
        self._held.count -= self._count

    def refusal(self) -> Response:
        """The answer to a body that is too large, or one too many."""
        if self._full:
            return OverloadedError("more requests are being read than should be").response()
        return Problem(
            413,
            "too-large",
            f"the request has more than {self._most} bytes",
            remedy="send less at once",
            headers={"Connection": "close"},
        ).response()


class _Answer:
    """What is sent, with headers that every answer has. Whoever reads a body may turn its end into
    another error: of a body that was too large, nothing but our own refusal is sent."""

    def __init__(self, send: Send, identity: str, body: _Body) -> None:
        self._send = send
        self._identity = identity
        self._body = body
        self.status = 500
        self.begun = False

    async def send(self, message: Message) -> None:
        """A part of the answer."""
        if not self._body.exceeded or self.begun:
            await self.send_anyway(message)

    async def send_anyway(self, message: Message) -> None:
        """A part of our own refusal."""
        if message["type"] == "http.response.start":
            self.status, self.begun = message["status"], True
            message["headers"] = [
                *message.get("headers", ()),
                (b"x-request-id", self._identity.encode()),
                (b"x-content-type-options", b"nosniff"),
                (b"cache-control", b"no-store"),
            ]
        await self._send(message)


def _defect(identity: str) -> Response:
    return Problem(
        500,
        "defect",
        "a defect of Layerproof; what exactly stands in its log",
        where=f"request {identity}",
        remedy="please report it with the log's lines about this request",
    ).response()


def _route(scope: Scope) -> str:
    """The route's pattern, as it was declared; "" for what is no route."""
    route = scope.get("route")
    if route is not None:
        return str(getattr(route, "path", ""))
    return scope["path"] if (scope["method"], scope["path"]) in _HOT else ""


def openapi_text(app: FastAPI) -> str:
    """The OpenAPI document, as it is published."""
    return json.dumps(app.openapi(), indent=1, sort_keys=True) + "\n"
