"""The client of a service that lies: bounded, and nothing it says reaches a terminal as it is."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from layerproof.errors import (
    ImageNotFoundError,
    ProtocolError,
    ServiceError,
    UnreachableError,
    UsageError,
)
from layerproof.remote import client as module
from layerproof.remote.client import Client

URL = "https://layerproof.example"
TOKEN = "lp_000000000000_secret"
REAL = httpx.Client
Answers = Callable[[httpx.Request], httpx.Response]


def client(monkeypatch: pytest.MonkeyPatch, answer: Answers) -> Client:
    def made(**more: Any) -> httpx.Client:
        return REAL(**more, transport=httpx.MockTransport(answer))

    monkeypatch.setattr(httpx, "Client", made)
    return Client(URL, TOKEN)


def said(document: object, status: int = 200) -> Answers:
    return lambda _: httpx.Response(status, content=json.dumps(document).encode())


def test_a_redirect_is_an_error_and_the_token_goes_nowhere_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hosts: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        hosts.append(request.url.host)
        return httpx.Response(307, headers={"Location": "https://evil.example/"})

    with pytest.raises(ServiceError):
        client(monkeypatch, answer).get("/me")
    assert hosts == ["layerproof.example"]


@pytest.mark.parametrize("body", [b"", b"[]", b"7", b"<html>", b"\xff", b"[" * 99_999, b"null"])
def test_what_is_no_document_is_an_error(monkeypatch: pytest.MonkeyPatch, body: bytes) -> None:
    with pytest.raises(ServiceError, match="status 200"):
        client(monkeypatch, lambda _: httpx.Response(200, content=body)).get("/me")


def test_an_answer_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_ANSWER", 1000)
    with pytest.raises(ServiceError, match="too large"):
        client(monkeypatch, lambda _: httpx.Response(200, content=b" " * 2000)).get("/me")


@pytest.mark.parametrize("items", [[], [{"x": 1}]])
def test_a_list_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch, items: list[Any]) -> None:
    monkeypatch.setattr(module, "_MOST_PAGES", 5)
    asked = client(monkeypatch, said({"items": items, "after": "x"}))
    with pytest.raises(ProtocolError, match="without end"):
        asked.items("/events")


@pytest.mark.parametrize(
    "page", [{}, {"items": []}, {"items": {}, "after": None}, {"items": [1], "after": None}]
)
def test_a_page_that_is_none_is_an_error(monkeypatch: pytest.MonkeyPatch, page: Any) -> None:
    with pytest.raises(ProtocolError):
        client(monkeypatch, said(page)).items("/events")


def test_no_text_of_an_answer_steers_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    evil = "ok\x1b[2J\x9b31m\u202eevil\r\x00\ud800\nnext"
    document = {"a": evil, "b": [evil, {"c": evil}], evil: 1}
    found = client(monkeypatch, said(document)).get("/x")
    texts = [found["a"], found["b"][0], found["b"][1]["c"], *found]
    for text in texts:
        assert text.replace("\n", "").isprintable()
    assert "next" in found["a"]


def test_a_refusal_is_told_without_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = {"detail": "no\x1b[2J", "where": "x", "remedy": "y", "problems": ["p"], "code": "z"}
    with pytest.raises(ServiceError) as caught:
        client(monkeypatch, said(problem, 403)).get("/me")
    assert caught.value.status == 403
    assert TOKEN not in f"{caught.value} {caught.value.remedy}"
    assert "\x1b" not in str(caught.value)


def test_a_document_without_what_it_should_have_is_no_defect(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = client(monkeypatch, said({"id": 1})).get("/jobs/1")
    with pytest.raises(ProtocolError, match="'state'"):
        found["state"]


def test_only_the_service_itself_says_that_an_image_is_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ImageNotFoundError):
        client(monkeypatch, said({"code": "not-found"}, 404)).get("/image")
    with pytest.raises(ServiceError):
        client(monkeypatch, said({"detail": "no such page"}, 404)).get("/image")


def test_a_service_that_is_away_is_told_without_the_password_of_its_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def away(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    monkeypatch.setattr(module, "_SECONDS", 1)
    found = client(monkeypatch, away)
    with pytest.raises(UnreachableError) as caught:
        found.get("/me")
    assert caught.value.where == URL
    assert "pw" not in Client("https://user:pw@layerproof.example", TOKEN)._where


@pytest.mark.parametrize("url", ["", "layerproof.example", "ftp://x", "https://", "file:///x"])
def test_what_is_no_address_of_a_service_is_wrong_use(url: str) -> None:
    with pytest.raises(UsageError):
        Client(url, TOKEN)
