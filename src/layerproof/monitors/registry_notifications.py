"""Notifications of a registry → events: CNCF Distribution and its kin, and Harbor's webhooks.

Source: CNCF Distribution "Work with notifications" (envelopes of events, media type
`application/vnd.docker.distribution.events.v2+json`); Harbor "Configure Webhook Notifications".

1. What arrives is hostile: sizes, counts and types are checked, and nothing is guessed. An event
   that is of a known kind and malformed is an error; one of another kind is counted and left out.
2. Only manifests make events. A layer that the registry holds already makes no blob push, so blobs
   tell nothing about who pushed a layer.
3. The same report counts once, by the registry's own id. Where there is none, by all that it says.
4. A registry without logins names no account: that is an unknown one, never an empty name that
   could match.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from layerproof.errors import EventError, ManifestError
from layerproof.model.digest import Digest
from layerproof.model.event import Event, EventKind
from layerproof.model.reference import DEFAULT_HOST

MAX_BYTES = 64 << 20
MAX_DOCUMENT = 8 << 20  # one envelope
MAX_EVENTS = 100_000
MAX_TEXT = 512
_ACTIONS = {
    "push": EventKind.PUSH,
    "pull": EventKind.PULL,
    "mount": EventKind.MOUNT,
    "delete": EventKind.DELETE,
}
_HARBOR = {
    "PUSH_ARTIFACT": EventKind.PUSH,
    "PULL_ARTIFACT": EventKind.PULL,
    "DELETE_ARTIFACT": EventKind.DELETE,
}
_MANIFESTS = (
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
)
_ALIASES = ("index.docker.io", "registry-1.docker.io")


@dataclass(frozen=True, slots=True)
class Notified:
    """What a file or a request told."""

    events: tuple[Event, ...]
    left_out: int  # of other kinds: blobs, scans, tests


def read_notifications(data: bytes, registry: str, *, where: str) -> Notified:
    """One envelope, or one per line. `registry` is the host[:port] that references name; "" takes
    it from the reports. Raises EventError."""
    if len(data) > MAX_BYTES:
        raise _refused(f"more than {MAX_BYTES >> 20} MiB", where)
    events: list[Event] = []
    left_out = 0
    for document in _documents(data, where):
        for event in _events(document, registry, where):
            if event is None:
                left_out += 1
                continue
            events.append(event)
            if len(events) > MAX_EVENTS:
                raise _refused(f"more than {MAX_EVENTS} events", where)
    return Notified(tuple(events), left_out)


def _documents(data: bytes, where: str) -> Iterator[Mapping[str, Any]]:
    try:
        found = [_json(data, where)] if len(data) <= MAX_DOCUMENT else None
    except EventError:
        found = None
    if found is None:  # JSON Lines, then
        found = []
        for number, line in enumerate(data.split(b"\n"), 1):
            if line.strip():
                found.append(_json(line, f"{where}:{number}"))
    for document in found:
        if not isinstance(document, dict):
            raise _refused("not a JSON object", where)
        yield document


def _json(data: bytes, where: str) -> Any:
    if len(data) > MAX_DOCUMENT:
        raise _refused(f"a notification of more than {MAX_DOCUMENT >> 20} MiB", where)
    try:
        return json.loads(data, object_pairs_hook=lambda pairs: _once(pairs, where))
    except (ValueError, RecursionError) as error:
        raise _refused("not JSON", where) from error


def _once(pairs: list[tuple[str, Any]], where: str) -> dict[str, Any]:
    """Duplicate keys are refused: readers disagree about which of them counts."""
    found = dict(pairs)
    if len(found) != len(pairs) or len({key.lower() for key in found}) != len(found):
        raise _refused("a key stands twice in one object", where)
    return found


def _events(document: Mapping[str, Any], registry: str, where: str) -> Iterator[Event | None]:
    if "event_data" in document:
        yield from _harbor(document, registry, where)
        return
    listed = document.get("events")
    if not isinstance(listed, list):
        raise _refused("neither a notification of a registry nor of Harbor", where)
    for item in listed:
        if not isinstance(item, dict):
            raise _refused("an event that is no JSON object", where)
        yield _distribution(item, registry, where)


def _distribution(item: Mapping[str, Any], registry: str, where: str) -> Event | None:
    kind = _ACTIONS.get(_text(item, "action", where))
    target = _part(item, "target", where)
    manifest = target.get("mediaType") in _MANIFESTS
    if kind is None or not (manifest or (kind is EventKind.DELETE and target.get("digest"))):
        return None
    request = _part(item, "request", where)
    source = _part(item, "source", where)
    host = _host(registry or _text(request, "host", where), where)
    identity = _text(item, "id", where)
    return Event(
        identity=f"{host} {identity}" if identity else _fingerprint(host, item),
        kind=kind,
        at=_time(_text(item, "timestamp", where), where),
        registry=host,
        repository=_text(target, "repository", where),
        tag=_text(target, "tag", where),
        manifest_digest=_digest(target.get("digest"), where),
        account=_text(_part(item, "actor", where), "name", where),
        address=_text(request, "addr", where),
        details={
            "method": _text(request, "method", where),
            "userAgent": _text(request, "useragent", where),
            "source": _text(source, "addr", where),
        },
    )


def _harbor(document: Mapping[str, Any], registry: str, where: str) -> Iterator[Event | None]:
    kind = _HARBOR.get(_text(document, "type", where))
    if kind is None:
        yield None
        return
    data = _part(document, "event_data", where)
    repository = _text(_part(data, "repository", where), "repo_full_name", where)
    occurred = document.get("occur_at")
    if not isinstance(occurred, int) or isinstance(occurred, bool) or not 0 <= occurred < 1 << 36:
        raise _refused("an event of Harbor without occur_at", where)
    resources = data.get("resources")
    for item in resources if isinstance(resources, list) else ():
        if not isinstance(item, dict):
            raise _refused("a resource that is no JSON object", where)
        url = _text(item, "resource_url", where)
        host = _host(registry or url.partition("/")[0], where)
        yield Event(
            identity=_fingerprint(host, {"item": item, "at": occurred, "type": document["type"]}),
            kind=kind,
            at=datetime.fromtimestamp(occurred, UTC),
            registry=host,
            repository=repository,
            tag=_text(item, "tag", where),
            manifest_digest=_digest(item.get("digest"), where),
            account=_text(document, "operator", where),
        )


def _fingerprint(host: str, item: Mapping[str, Any]) -> str:
    text = json.dumps([host, item], sort_keys=True).encode()
    return f"{host} {sha256(text).hexdigest()}"


def _part(item: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    found = item.get(key)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise _refused(f"{key} is no JSON object", where)
    return found


def _text(item: Mapping[str, Any], key: str, where: str) -> str:
    found = item.get(key)
    if found is None:
        return ""
    if not isinstance(found, str) or len(found) > MAX_TEXT or not found.isprintable():
        raise _refused(f"{key} is no text of at most {MAX_TEXT} printable characters", where)
    return found


def _host(text: str, where: str) -> str:
    if not text or "/" in text or " " in text:
        raise EventError(
            "the notification does not say which registry it is about",
            where=where,
            remedy="name it as references do: --registry registry.example:5000",
        )
    return DEFAULT_HOST if text in _ALIASES else text.lower()


def _time(text: str, where: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is None:
            raise ValueError("no time zone")
        return found.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise _refused(f"{text[:60]!r} is not a time with a zone", where) from error


def _digest(value: object, where: str) -> Digest | None:
    if not value:
        return None
    try:
        return Digest.parse(value)
    except ManifestError as error:
        raise _refused(error.message, where) from error


def _refused(message: str, where: str) -> EventError:
    return EventError(
        message,
        where=where,
        remedy="give what the registry sent: one JSON document, or one per line",
    )
