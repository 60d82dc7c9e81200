"""One request: redirects, retries and errors, over a scripted transport."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable

import httpcore
import httpx
import pytest

from layerproof.errors import (
    AuthenticationError,
    ImageNotFoundError,
    ProtocolError,
    SourceError,
    UnreachableError,
)
from layerproof.sources.registry.credentials import Credential, FixedCredentials
from layerproof.sources.registry.exchange import Exchange
from layerproof.sources.registry.names import endpoints
from layerproof.sources.registry.settings import RegistrySettings, Retry
from layerproof.sources.registry.transport import SocketBackend

Step = httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]


class Body(httpx.AsyncByteStream):
    """A body in one piece."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self.data


class Script(httpx.AsyncBaseTransport):
    """Answers requests in turn; the last step answers all that follow."""

    def __init__(self, *steps: Step) -> None:
        self.steps = list(steps)
        self.seen: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
        if isinstance(step, Exception):
            raise step
        answer = step(request) if callable(step) else step
        # httpx marks answers made from bytes as read; a transport's are not.
        body = Body(answer.content)
        return httpx.Response(answer.status_code, headers=answer.headers, stream=body)

    @property
    def urls(self) -> list[str]:
        return [str(request.url) for request in self.seen]

    @property
    def authorized(self) -> list[bool]:
        return ["Authorization" in request.headers for request in self.seen]


class Case:
    """An exchange over a script; `waits` are the pauses that it asked for."""

    def __init__(self, *steps: Step, insecure: bool = False, login: bool = True) -> None:
        self.transport = Script(*steps)
        self.waits: list[float] = []
        self.settings = RegistrySettings(
            insecure_hosts=frozenset({"r.example"} if insecure else ()),
            retry=Retry(attempts=4, backoff=1.0, longest_wait=60.0),
        )
        logins = {"r.example": Credential("alice", "s3cr3t")} if login else {}
        self.exchange = Exchange(
            settings=self.settings,
            credentials=FixedCredentials(logins),
            grants={},
            transport=self.transport,
            monotonic=lambda: 0.0,
            sleep=self.sleep,
        )

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    def get(self, path: str = "blobs/x") -> bytes:
        async def read() -> bytes:
            place = endpoints("r.example", "app", self.settings)[0]
            async with self.exchange.open(place, path, where="docker://r.example/app") as response:
                return b"".join([part async for part in response.aiter_raw()])

        return asyncio.run(read())

    def fails(self, family: type[SourceError], match: str) -> SourceError:
        with pytest.raises(family, match=match) as caught:
            self.get()
        assert caught.value.remedy
        return caught.value


OK = httpx.Response(200, content=b"ok")
WANTS_LOGIN = httpx.Response(401, headers={"WWW-Authenticate": 'Basic realm="x"'})


def redirect(location: str, status: int = 307) -> httpx.Response:
    return httpx.Response(status, headers={"Location": location})


def error(status: int, *messages: str, code: str = "X", **headers: str) -> httpx.Response:
    body = {"errors": [{"code": code, "message": message} for message in messages]}
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, content=json.dumps(body).encode(), headers=names)


# --- authorisation -------------------------------------------------------------------------------


def test_challenge_is_answered_once_and_remembered() -> None:
    case = Case(WANTS_LOGIN, OK)
    assert case.get() == b"ok"
    assert case.get() == b"ok"
    assert case.transport.authorized == [False, True, True]


def test_second_challenge_is_final() -> None:
    case = Case(WANTS_LOGIN)
    case.fails(AuthenticationError, "denies access")
    assert len(case.transport.seen) == 2


def test_token_that_ended_early_is_renewed() -> None:
    case = Case(WANTS_LOGIN, OK, WANTS_LOGIN, OK)
    case.get()
    assert case.get() == b"ok"
    assert case.transport.authorized == [False, True, True, True]


def test_registry_that_repeats_the_login_in_its_error_does_not_leak_it() -> None:
    def repeat(request: httpx.Request) -> httpx.Response:
        return error(403, "you sent " + request.headers["Authorization"])

    case = Case(WANTS_LOGIN, repeat)
    assert "you sent ***" in case.fails(AuthenticationError, "denies").message


# --- redirects -----------------------------------------------------------------------------------


def test_redirect_to_another_host_drops_authorization() -> None:
    case = Case(WANTS_LOGIN, redirect("https://cdn.example/blob?signed"), OK)
    assert case.get() == b"ok"
    assert case.transport.urls[-1] == "https://cdn.example/blob?signed"
    assert case.transport.authorized == [False, True, False]
    assert case.transport.seen[-1].headers["Host"] == "cdn.example"


@pytest.mark.parametrize(
    "location", ["https://r.example:8443/x", "https://r.example.evil.example/"]
)
def test_redirect_to_another_port_or_longer_name_drops_authorization(location: str) -> None:
    case = Case(WANTS_LOGIN, redirect(location), OK)
    case.get()
    assert case.transport.authorized[-1] is False


def test_redirect_within_the_registry_keeps_authorization() -> None:
    case = Case(WANTS_LOGIN, redirect("/elsewhere"), OK)
    case.get()
    assert case.transport.urls[-1] == "https://r.example/elsewhere"
    assert case.transport.authorized[-1] is True


def test_authorization_does_not_come_back_after_a_detour() -> None:
    case = Case(WANTS_LOGIN, redirect("https://cdn.example/"), redirect("https://r.example/x"), OK)
    case.get()
    assert case.transport.authorized == [False, True, False, False]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:9090", "127.9.9.9", "[::1]:6443"])
def test_redirect_of_a_remote_registry_to_this_machine_is_not_followed(host: str) -> None:
    case = Case(redirect(f"https://{host}/metrics"))
    case.fails(ProtocolError, "to this machine")
    assert len(case.transport.seen) == 1


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "fe80::1", "::ffff:169.254.169.254", "0.0.0.0", "::"],
)
def test_connection_to_a_metadata_service_is_never_opened(address: str) -> None:
    backend = SocketBackend()
    with pytest.MonkeyPatch.context() as patch:
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80))]
        patch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        with pytest.raises(httpcore.ConnectError, match="no address that a registry may have"):
            asyncio.run(backend.connect_tcp("registry.example", 80, 1.0))


def test_redirect_from_https_to_http_is_not_followed() -> None:
    case = Case(redirect("http://cdn.example/blob"))
    case.fails(ProtocolError, "https to plain http")
    assert len(case.transport.seen) == 1


def test_downgrade_after_a_first_https_hop_is_not_followed() -> None:
    case = Case(redirect("https://cdn.example/1"), redirect("http://cdn.example/2"), insecure=True)
    case.fails(ProtocolError, "https to plain http")


def test_plain_http_registry_may_redirect_to_either() -> None:
    for location in ("http://cdn.example/", "https://cdn.example/"):
        assert Case(redirect(location), OK, insecure=True).get() == b"ok"


def test_redirect_loop_ends() -> None:
    numbers = iter(range(1000))
    case = Case(lambda _: redirect(f"https://r.example/{next(numbers)}"))
    case.fails(ProtocolError, "redirects")
    assert len(case.transport.seen) == 6


@pytest.mark.parametrize(
    "location", ["", "file:///etc/passwd", "https://", "https://[::1", "data:,x"]
)
def test_redirect_to_nowhere_is_refused(location: str) -> None:
    Case(redirect(location)).fails(ProtocolError, "redirects")


def test_login_in_a_redirect_is_not_used() -> None:
    case = Case(redirect("https://user:pw@cdn.example/"), OK)
    case.get()
    assert case.transport.authorized == [False, False]
    assert "pw" not in case.transport.urls[-1]


def test_challenge_of_another_host_is_not_answered() -> None:
    case = Case(redirect("https://cdn.example/"), WANTS_LOGIN)
    case.fails(AuthenticationError, "denies access")
    assert case.transport.authorized == [False, False]


# --- retries -------------------------------------------------------------------------------------


def slow_down(**headers: str) -> httpx.Response:
    return error(429, "too many", **headers)


def test_429_waits_as_long_as_it_is_told() -> None:
    case = Case(slow_down(Retry_After="7"), slow_down(Retry_After="0"), OK)
    assert case.get() == b"ok"
    assert case.waits == [7.0, 0.0]


def test_retry_after_date_counts_from_the_servers_own_clock() -> None:
    date, later = "Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:57 GMT"
    case = Case(slow_down(Retry_After=later, Date=date), OK)
    case.get()
    assert case.waits == [20.0]


def test_retry_after_date_of_the_past_is_now() -> None:
    date, earlier = "Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:07 GMT"
    case = Case(slow_down(Retry_After=earlier, Date=date), OK)
    case.get()
    assert case.waits == [0.0]


@pytest.mark.parametrize("value", ["", "soon", "-1", "1e9", "Sun, 06 Nov 1994 08:49:37 GMT", "٣"])
def test_unreadable_retry_after_means_a_growing_pause(value: str) -> None:
    headers = {"Retry-After": value.encode()} if value else {}
    answer = httpx.Response(503, headers=headers)
    case = Case(answer, answer, OK)
    case.get()
    assert case.waits == [1.0, 2.0]


def test_429_storm_gives_up_clearly() -> None:
    case = Case(slow_down(Retry_After="1"))
    found = case.fails(UnreachableError, "asks to slow down")
    assert "log in" in found.remedy
    assert len(case.transport.seen) == 4
    assert case.waits == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("value", ["3600", "99999999999999999999"])
def test_registry_that_asks_for_an_hour_is_given_up_at_once(value: str) -> None:
    case = Case(slow_down(Retry_After=value))
    case.fails(UnreachableError, "come back in")
    assert case.waits == []


def test_broken_connection_is_tried_again() -> None:
    case = Case(httpx.ReadError("reset"), httpx.RemoteProtocolError("closed"), OK)
    assert case.get() == b"ok"
    assert case.waits == [1.0, 2.0]


def test_connection_that_breaks_each_time_is_given_up() -> None:
    case = Case(httpx.ReadError("reset"))
    case.fails(UnreachableError, "reset")
    assert len(case.transport.seen) == 4


def test_host_that_cannot_be_reached_is_final() -> None:
    case = Case(httpx.ConnectError("no"))
    case.fails(UnreachableError, "failed")
    assert len(case.transport.seen) == 1


# --- answers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "family", "match"),
    [
        (
            error(404, "manifest unknown", code="MANIFEST_UNKNOWN"),
            ImageNotFoundError,
            "no such image",
        ),
        (error(404, "?", code="NAME_UNKNOWN"), ImageNotFoundError, "no such repository"),
        (error(403, "denied"), AuthenticationError, "HTTP 403.*: denied"),
        (error(500, "oops"), UnreachableError, "HTTP 500.*oops"),
        (error(400, "one", "two"), ProtocolError, "HTTP 400: one; two"),
        (httpx.Response(418, content=b"<html>"), ProtocolError, "HTTP 418$"),
        (httpx.Response(404, content=b"[" * 70_000), ImageNotFoundError, "no such image"),
        (httpx.Response(304), ProtocolError, "HTTP 304"),
    ],
)
def test_error_answer_is_readable(answer: httpx.Response, family: type, match: str) -> None:
    assert Case(answer).fails(family, match).where == "docker://r.example/app"


def test_error_text_is_one_short_clean_line() -> None:
    said = "a\x1b[31m\r\n\u202eb" + "x" * 1000
    message = Case(error(400, said)).fails(ProtocolError, "HTTP 400").message
    assert message.isprintable()
    assert len(message) < 400


def test_recoded_answer_is_refused() -> None:
    coded = httpx.Response(200, headers={"Content-Encoding": "br"}, content=b"")
    Case(coded).fails(ProtocolError, "recodes")


def test_requests_say_who_asks_and_want_plain_bytes() -> None:
    case = Case(OK)
    case.get()
    headers = case.transport.seen[0].headers
    assert headers["User-Agent"].startswith("layerproof/")
    assert headers["Accept-Encoding"] == "identity"
