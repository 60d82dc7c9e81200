"""`notify` of the service's file: whom to tell, and how. Secrets stand in files of their own.

notify:
  - {kind: slack, urlFile: /run/secrets/slack-url, least: critical}
  - {kind: webhook, url: https://alerts.example/hook, tokenFile: /run/secrets/hook-token}
  - {kind: mail, host: smtp.example, from: layerproof@example.com, to: [team@example.com]}
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from layerproof.engine.notices import Urgency
from layerproof.policy.document import Item, Node, Number
from layerproof.policy.nodes import Nodes

_LOOPBACK = ("http://127.0.0.1", "http://localhost", "http://[::1]")
_MOST_RECEIVERS = 100


class Way(StrEnum):
    """How somebody is told."""

    WEBHOOK = "webhook"
    SLACK = "slack"
    MAIL = "mail"


class Security(StrEnum):
    """How a mail server is spoken to."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Told:
    """One entry of `notify`."""

    way: Way
    least: Urgency = Urgency.WARNING
    url: str = ""
    url_file: Path | None = None
    token_file: Path | None = None
    host: str = ""
    port: int = 0  # 0: as the security has it
    security: Security = Security.STARTTLS
    sender: str = ""
    receivers: tuple[str, ...] = ()
    user: str = ""
    password_file: Path | None = None


_HOOK = ("kind", "least", "url", "urlFile", "tokenFile")
_MAIL = ("kind", "least", "host", "port", "security", "from", "to", "user", "passwordFile")


def read_told(nodes: Nodes, node: Node) -> Told:
    """One entry; notes what is wrong with it."""
    kinds = {"kind", *_HOOK, *_MAIL}
    both = nodes.mapping(node, "an entry of notify", sorted(kinds))
    if "kind" not in both:
        nodes.note(node, "kind is missing", "write kind: webhook, slack or mail")
        return Told(Way.WEBHOOK)
    way = nodes.word(both, "kind", Way, Way.WEBHOOK)
    keys = nodes.mapping(node, f"a {way}", _MAIL if way is Way.MAIL else _HOOK)
    least = nodes.word(keys, "least", Urgency, Urgency.WARNING)
    if way is Way.MAIL:
        return _mail(nodes, node, keys, least)
    url, file = _text(nodes, keys, "url"), _path(nodes, keys, "urlFile")
    if bool(url) is (file is not None):
        nodes.note(node, "it needs url or urlFile", "name a file that holds the address")
    if url and not is_safe(url):
        nodes.note(keys["url"].value, "url is not https", "notices need TLS")
    return Told(way, least, url, file, _path(nodes, keys, "tokenFile"))


def is_safe(url: str) -> bool:
    """Whether notices may be sent there: by TLS, or on this machine."""
    plain = any(url == at or url.startswith((f"{at}:", f"{at}/")) for at in _LOOPBACK)
    return url.startswith("https://") or plain


def _mail(nodes: Nodes, node: Node, keys: Mapping[str, Item], least: Urgency) -> Told:
    for key in ("host", "from", "to"):
        if key not in keys:
            nodes.note(node, f"{key} is missing", "a mail needs host, from and to")
    return Told(
        Way.MAIL,
        least,
        host=_text(nodes, keys, "host"),
        port=_port(nodes, keys),
        security=nodes.word(keys, "security", Security, Security.STARTTLS),
        sender=_address(nodes, keys),
        receivers=nodes.items(keys, "to", _MOST_RECEIVERS, lambda text: None),
        user=_text(nodes, keys, "user"),
        password_file=_path(nodes, keys, "passwordFile"),
    )


def _address(nodes: Nodes, keys: Mapping[str, Item]) -> str:
    text = _text(nodes, keys, "from")
    if text and "@" not in text:
        nodes.note(keys["from"].value, "from is no address", "write layerproof@example.com")
    return text


def _port(nodes: Nodes, keys: Mapping[str, Item]) -> int:
    if "port" not in keys:
        return 0
    node = keys["port"].value
    text = node.value.text if isinstance(node.value, Number) else ""
    good = text.isdigit() and len(text) <= 5 and 0 < int(text) < 65536
    nodes.checked(node, good, "a port such as 587")
    return int(text) if good else 0


def _path(nodes: Nodes, keys: Mapping[str, Item], key: str) -> Path | None:
    text = _text(nodes, keys, key)
    return Path(text) if text else None


def _text(nodes: Nodes, keys: Mapping[str, Item], key: str) -> str:
    if key not in keys:
        return ""
    node = keys[key].value
    text = node.value
    if isinstance(text, str) and 0 < len(text) <= 1000 and text.isprintable():
        return text
    nodes.checked(node, False, "a text")
    return ""
