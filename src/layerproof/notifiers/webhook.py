"""A notice as JSON, or as a message of Slack's form, by HTTPS.

1. The address is the operator's, from a file: nothing of an image, a request or an answer decides
   where something is sent, and redirects are not followed.
2. The address may hold a secret, as Slack's do: it stands in no log and no error.
"""

import json
from urllib.parse import urlsplit

import httpx

from layerproof.engine.notices import Notice, Urgency
from layerproof.errors import UnreachableError

_SECONDS = 10.0
_COLOURS = {Urgency.INFO: "#2f81f7", Urgency.WARNING: "#d29922", Urgency.CRITICAL: "#da3633"}


class Webhook:
    """One address. `slack`: messages of Slack's form, which others take too (Slack, "Sending
    messages using incoming webhooks")."""

    def __init__(
        self,
        url: str,
        *,
        slack: bool = False,
        token: str = "",
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._url = url
        self._slack = slack
        self._token = token
        self._transport = transport

    @property
    def name(self) -> str:
        """Kind and host."""
        return f"{'slack' if self._slack else 'webhook'} {urlsplit(self._url).hostname}"

    def send(self, notice: Notice) -> None:
        """Raises UnreachableError."""
        document = slack_document(notice) if self._slack else notice_document(notice)
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        try:
            with httpx.Client(
                timeout=_SECONDS,
                follow_redirects=False,
                trust_env=self._transport is None,
                transport=self._transport,
            ) as client:
                response = client.post(self._url, json=document, headers=headers)
        except httpx.HTTPError as error:
            # Not chained: the address is part of what httpx says.
            raise UnreachableError(f"not sent: {type(error).__name__}", where=self.name) from None
        if not response.is_success:
            raise UnreachableError(f"answered {response.status_code}", where=self.name)


def notice_document(notice: Notice) -> dict[str, object]:
    """As `layerproof/v1` JSON."""
    return {
        "apiVersion": "layerproof/v1",
        "kind": "Notice",
        "notice": notice.kind,
        "urgency": str(notice.urgency),
        "title": notice.title,
        "text": notice.text,
        "at": notice.at.isoformat(),
        "fields": dict(notice.fields),
        "heldBack": notice.held_back,
    }


def slack_document(notice: Notice) -> dict[str, object]:
    """As Slack takes it; `&`, `<` and `>` are its own marks (Slack, "Formatting text")."""
    fields = [
        {"title": _plain(name), "value": _plain(value), "short": len(value) < 40}
        for name, value in notice.fields.items()
    ]
    attachment: dict[str, object] = {
        "color": _COLOURS[notice.urgency],
        "fallback": _plain(notice.title),
        "title": _plain(notice.title),
        "text": _plain(notice.text),
        "fields": fields,
        "ts": int(notice.at.timestamp()),
    }
    if notice.held_back:
        attachment["footer"] = f"{notice.held_back} more were held back"
    return {"attachments": [attachment]}


def _plain(text: str) -> str:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return escaped.replace("@", "@\u200b")  # so that nobody is called by the name of an image


def as_text(notice: Notice) -> str:
    """As plain text, for a mail."""
    lines = [notice.text, "", *(f"{name}: {value}" for name, value in notice.fields.items())]
    if notice.held_back:
        lines += ["", f"{notice.held_back} more notices were held back"]
    lines += ["", json.dumps(notice_document(notice), sort_keys=True)]
    return "\n".join(lines) + "\n"
