"""Notices on their way out: nothing of an image steers them, nothing secret leaks."""

import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from layerproof.engine.notices import Notice, Throttle, Urgency
from layerproof.errors import UnreachableError, UsageError
from layerproof.notifiers.mail import Mail
from layerproof.notifiers.webhook import Webhook
from layerproof.server.telling import Telling
from layerproof.service_config import parse_service_config

NOW = datetime(2026, 5, 4, tzinfo=UTC)
SECRET = "https://hooks.example/services/T0/SECRET"


def notice(**more: Any) -> Notice:
    given = {"kind": "refused", "title": "t", "text": "x", "at": NOW, **more}
    return Notice(**given)


def sent(answer: httpx.Response, **more: Any) -> tuple[list[httpx.Request], Webhook]:
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return answer

    return seen, Webhook(SECRET, transport=httpx.MockTransport(handle), **more)


def test_webhook_gets_the_notice_and_the_token() -> None:
    seen, hook = sent(httpx.Response(204), token="abc")
    hook.send(notice(fields={"image": "x"}))
    document = json.loads(seen[0].content)
    assert (document["kind"], document["notice"]) == ("Notice", "refused")
    assert seen[0].headers["authorization"] == "Bearer abc"


def test_redirect_is_not_followed() -> None:
    seen, hook = sent(httpx.Response(302, headers={"location": "http://169.254.169.254/"}))
    with pytest.raises(UnreachableError):
        hook.send(notice())
    assert len(seen) == 1


def test_secret_address_stands_in_no_error() -> None:
    def fails(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError(f"cannot reach {request.url}")

    hook = Webhook(SECRET, transport=httpx.MockTransport(fails))
    with pytest.raises(UnreachableError) as caught:
        hook.send(notice())
    assert "SECRET" not in str(caught.value) + hook.name
    assert caught.value.__cause__ is None


def test_image_name_calls_nobody_and_makes_no_link_in_slack() -> None:
    seen, hook = sent(httpx.Response(200), slack=True)
    hook.send(notice(title="<!channel> <http://evil|login>", fields={"image": "@here"}))
    (attachment,) = json.loads(seen[0].content)["attachments"]
    assert "<" not in attachment["title"]
    assert "@here" not in attachment["fields"][0]["value"]


def test_image_name_adds_no_header_to_a_mail() -> None:
    mail = Mail("smtp.example", 25, "a@example.com", ("b@example.com",), password="hunter2")
    shown = notice(title="x\r\nBcc: all@example.com").shown()
    message = mail.message(shown)
    assert message["Bcc"] is None
    assert "hunter2" not in message.as_string()
    assert message["Auto-Submitted"] == "auto-generated"


class Failing:
    """Fails so often before it works."""

    def __init__(self, fails: int) -> None:
        self.fails = fails
        self.got: list[str] = []

    name = "failing"

    def send(self, notice: Notice) -> None:
        self.fails -= 1
        if self.fails >= 0:
            raise UnreachableError("down", where="x")
        self.got.append(notice.title)


def test_notice_is_tried_again_and_reaches_only_whom_it_is_urgent_for() -> None:
    shaky, calm = Failing(2), Failing(0)
    ways = [(shaky, Urgency.INFO), (calm, Urgency.CRITICAL)]
    telling = Telling(ways, Throttle(), pause=0.0)
    telling.start()
    telling.tell(notice(title="a", about="a"))
    telling.tell(notice(title="b", about="b", urgency=Urgency.CRITICAL))
    telling.settle()
    telling.close()
    assert calm.got == ["b"]
    assert shaky.got == ["a", "b"]


@pytest.mark.parametrize(
    "entry",
    [
        "{kind: webhook}",
        "{kind: webhook, url: 'http://evil.example'}",
        "{kind: webhook, url: 'http://127.0.0.1.evil.example/x'}",
        "{kind: webhook, url: 'https://a', urlFile: /b}",
        "{kind: mail, host: x}",
        "{kind: mail, host: x, from: nobody, to: [a]}",
        "{kind: pigeon}",
        "{kind: slack, url: 'https://a', to: [b]}",
    ],
)
def test_entry_that_would_tell_nobody_or_in_the_clear_is_refused(entry: str) -> None:
    with pytest.raises(UsageError):
        parse_service_config(f"notify: [{entry}]".encode(), where="x")


def test_entries_as_the_documentation_has_them() -> None:
    text = b"""
notify:
  - {kind: slack, urlFile: /run/secrets/slack-url, least: critical}
  - {kind: webhook, url: https://alerts.example/hook, tokenFile: /run/secrets/hook-token}
  - {kind: mail, host: smtp.example, from: layerproof@example.com, to: [team@example.com]}
"""
    slack, hook, mail = parse_service_config(text, where="x").notify
    assert (slack.least, hook.least) == (Urgency.CRITICAL, Urgency.WARNING)
    assert mail.receivers == ("team@example.com",)
