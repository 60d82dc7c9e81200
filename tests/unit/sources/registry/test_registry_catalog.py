"""What a registry lists is bounded and leads nowhere; answers are made here, without a socket."""

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest

from layerproof.errors import LimitExceededError, ProtocolError, ReferenceSyntaxError
from layerproof.oci.limits import Limits
from layerproof.sources.registry import catalog as module
from layerproof.sources.registry.catalog import RegistryCatalog
from layerproof.sources.registry.credentials import NoCredentials
from layerproof.sources.registry.settings import RegistrySettings

HOST = "registry.example"
Answers = Callable[[httpx.Request], httpx.Response]


@contextmanager
def catalog(answer: Answers, limits: Limits | None = None) -> Iterator[RegistryCatalog]:
    with RegistryCatalog(
        HOST,
        limits=limits or Limits(),
        credentials=NoCredentials(),
        settings=RegistrySettings(),
        transport=httpx.MockTransport(answer),
    ) as found:
        yield found


class Body(httpx.AsyncByteStream):
    """A body as it comes from the network: read once."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self.data


def page(names: object, following: str = "", key: str = "repositories") -> httpx.Response:
    headers = {"Link": f'<{following}>; rel="next"'} if following else {}
    return httpx.Response(200, stream=Body(json.dumps({key: names}).encode()), headers=headers)


def test_pages_are_followed_by_their_query_whatever_it_is() -> None:
    pages = {
        "n=1000": page(["a"], "/v2/_catalog?next_page=opaque%2F1&n=1000"),
        "next_page=opaque%2F1&n=1000": page(["b"], f"https://{HOST}/v2/_catalog?last=b"),
        "last=b": page(["c"]),
    }
    with catalog(lambda request: pages[request.url.query.decode()]) as found:
        assert list(found.repositories()) == ["a", "b", "c"]


def test_a_next_page_elsewhere_is_not_asked_there() -> None:
    asked: list[httpx.URL] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url)
        first = len(asked) == 1
        return page([str(len(asked))], "http://169.254.169.254/latest?n=1" if first else "")

    with catalog(answer) as found:
        assert list(found.repositories()) == ["1", "2"]
    assert {(url.host, url.path) for url in asked} == {(HOST, "/v2/_catalog")}


@pytest.mark.parametrize(
    "following",
    ["/v2/_catalog?last=b", "/v2/_catalog?n=1000"],
    ids=["to-the-second", "to-the-first"],
)
def test_a_list_that_goes_round_in_circles_is_an_error(following: str) -> None:
    count = 0

    def answer(_: httpx.Request) -> httpx.Response:
        nonlocal count
        count += 1
        return page([f"a{count}"], following)

    with catalog(answer) as found, pytest.raises(ProtocolError, match="circles"):
        list(found.repositories())
    assert count <= 2


def test_pages_that_bring_nothing_new_are_an_error() -> None:
    count = 0

    def answer(_: httpx.Request) -> httpx.Response:
        nonlocal count
        count += 1
        return page(["a"], f"/v2/_catalog?page={count}")

    with catalog(answer) as found, pytest.raises(ProtocolError, match="circles"):
        list(found.repositories())
    assert count == 2


def test_a_list_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_PAGES", 5)
    count = 0

    def answer(_: httpx.Request) -> httpx.Response:
        nonlocal count
        count += 1
        return page([], f"/v2/_catalog?page={count}")  # empty ones too

    with catalog(answer) as found, pytest.raises(ProtocolError, match="pages"):
        list(found.repositories())
    assert count == 5


def test_more_names_than_anybody_has_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_NAMES", 9)
    with (
        catalog(lambda _: page([str(n) for n in range(10)])) as found,
        pytest.raises(ProtocolError, match="more than 9 repositories"),
    ):
        list(found.repositories())


def test_a_page_that_is_too_large_is_an_error() -> None:
    with (
        catalog(lambda _: page(["a" * 5000]), Limits(json_bytes=4096)) as found,
        pytest.raises(LimitExceededError),
    ):
        list(found.repositories())


@pytest.mark.parametrize(
    "following", ["/v2/_catalog", "/v2/_catalog?" + "x" * 5000, "http://[::1?n=1"]
)
def test_a_next_page_without_an_address_is_an_error(following: str) -> None:
    with (
        catalog(lambda _: page(["a"], following)) as found,
        pytest.raises(ProtocolError, match="next page"),
    ):
        list(found.repositories())


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"repositories": {}}', b'{"repositories": [1]}', b"[" * 99_999]
)
def test_what_is_no_list_is_an_error(body: bytes) -> None:
    with (
        catalog(lambda _: httpx.Response(200, stream=Body(body))) as found,
        pytest.raises(ProtocolError),
    ):
        list(found.repositories())


def test_a_repository_without_tags_has_none() -> None:
    with catalog(lambda _: page(None, key="tags")) as found:
        assert found.tags("team/app") == []


def test_tags_of_what_is_no_repository_are_not_asked_for() -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        raise AssertionError("asked")

    with catalog(answer) as found, pytest.raises(ReferenceSyntaxError):
        found.tags("team/../../x")
