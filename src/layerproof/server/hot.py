"""Routes that are asked thousands of times a second: answered before the framework looks for one.

A route is found by its exact method and path, and gets the request as it came: what a framework
does around a route (matching, dependencies, encoding) takes several times as long as the answer
itself (docs/benchmarks.md). Everything else goes on to the application.
"""

from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from layerproof.errors import LayerproofError
from layerproof.server.problems import Problem, problem_of

Endpoint = Callable[[Request], Awaitable[Response]]


class HotRoutes:
    """ASGI middleware: some routes by method and path, else the application."""

    def __init__(self, app: ASGIApp, routes: Mapping[tuple[str, str], Endpoint]) -> None:
        self._app = app
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        endpoint = None
        if scope["type"] == "http":
            endpoint = self._routes.get((scope["method"], scope["path"]))
        if endpoint is None:
            await self._app(scope, receive, send)
            return
        try:
            response = await endpoint(Request(scope, receive, send))
        except Problem as problem:
            response = problem.response()
        except LayerproofError as error:
            response = problem_of(error).response()
        except ClientDisconnect:
            return  # nobody waits for an answer
        await response(scope, receive, send)
