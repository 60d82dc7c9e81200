"""Notifications of a registry → events: CNCF Distribution and its kin, and Harbor's webhooks.

Source: CNCF Distribution "Work with notifications" (envelopes of events, media type
`application/vnd.docker.distribution.events.v2+json`); Harbor "Configure Webhook Notifications".

1. What arrives is hostile: sizes, counts and types are checked, and nothing is guessed. What an
   event is about (deed, image, account, time) must be right, or the whole report is refused. What
   it only mentions (user agent, method, source) is cut to what can be shown, never refused: a
   registry sends a refused report again before anything else, so whoever can choose his user agent
   could otherwise silence it.
2. Manifests and mounts make events, and so does every deletion. A blob's push says nothing that the
   push of its manifest does not say, for an image is no image before; a blob's pull follows the
   pull of a manifest. Both are left out. A mount is kept: it makes no blob push, and tells whence
   the layer came. Its blob digest alone tells no ChainID; the images that hold the blob do.
3. What is left out is counted by what it was.
4. The same report counts once, by the registry's own id. Where there is none, by all that it says.
5. A registry without logins names no account: that is an unknown one, never an empty name that
   could match.
6. An address without a port is what the client, or a proxy, wrote into `X-Forwarded-For`: CNCF
   Distribution believes that header, and names the port of every address that it saw itself. It is
   believed only where the operator says that a proxy sets it; else it is a claim, in the details.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from layerproof.errors import EventError, ManifestError
from layerproof.model.digest import Digest
from layerproof.model.event import Event, EventKind
from layerproof.model.reference import DEFAULT_HOST, is_repository, is_tag

MAX_BYTES = 64 << 20
MAX_DOCUMENT = 8 << 20  # one envelope
MAX_EVENTS = 100_000
MAX_TEXT = 512
_MAX_NOTE = 200  # of a text that is only mentioned
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
_BLOB = "application/octet-stream"  # what CNCF Distribution calls every blob
_ALIASES = ("index.docker.io", "registry-1.docker.io")


@dataclass(frozen=True, slots=True)
class Notified:
    """What a file or a request told."""

    events: tuple[Event, ...]
    skipped: Mapping[str, int]  # what was left out: `blob-push`, `blob-pull`, `other` → how many

    @property
    def left_out(self) -> int:
        """How many reports were of other kinds."""
        return sum(self.skipped.values())


@dataclass(frozen=True, slots=True)
class _Teller:
    """Where a report comes from, and what is believed of it."""

    registry: str  # "" takes it from the reports
    where: str  # for messages
    forwarded: bool = False


def read_notifications(
    data: bytes, registry: str, *, where: str, forwarded: bool = False
) -> Notified:
    """One envelope, or one per line. `registry` is the host[:port] that references name; "" takes
    it from the reports. `forwarded`: addresses that a proxy wrote are believed (rule 6). Raises
    EventError."""
    if len(data) > MAX_BYTES:
        raise _refused(f"more than {MAX_BYTES >> 20} MiB", where)
    teller = _Teller(registry, where, forwarded)
    events: list[Event] = []
    skipped: Counter[str] = Counter()
    try:
        for document in _documents(data, where):
            for found in _events(document, teller):
                if isinstance(found, str):
                    skipped[found] += 1
                    continue
                events.append(found)
                if len(events) > MAX_EVENTS:
                    raise _refused(f"more than {MAX_EVENTS} events", where)
    except RecursionError as error:
        raise _refused("nested too deeply", where) from error
    return Notified(tuple(events), dict(skipped))


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


def _events(document: Mapping[str, Any], teller: _Teller) -> Iterator[Event | str]:
    """Events, and for each report that makes none what it was."""
    if "event_data" in document:
        yield from _harbor(document, teller)
        return
    listed = document.get("events")
    if not isinstance(listed, list):
        raise _not_known(document, teller.where)
    for item in listed:
        if not isinstance(item, dict):
            raise _refused("an event that is no JSON object", teller.where)
        yield _distribution(item, teller)


def _distribution(item: Mapping[str, Any], teller: _Teller) -> Event | str:
    where = teller.where
    target = _part(item, "target", where)
    action = _text(item, "action", where)
    kind = _ACTIONS.get(action)
    if kind in (EventKind.PUSH, EventKind.PULL) and target.get("mediaType") not in _MANIFESTS:
        return f"blob-{kind}" if target.get("mediaType") == _BLOB else "other"
    if kind is None:
        return "other"
    request = _part(item, "request", where)
    host = _host(teller.registry or _text(request, "host", where), where)
    identity = _text(item, "id", where)
    digest = _digest(target.get("digest"), where)
    if digest is None and kind is not EventKind.DELETE:  # a tag may be deleted, or a repository
        raise _refused(f"a {kind} of nothing: it has no digest", where)
    details = {
        "method": _note(request, "method"),
        "userAgent": _note(request, "useragent"),
        "source": _note(_part(item, "source", where), "addr"),
    }
    if kind is EventKind.MOUNT:
        details["fromRepository"] = _repository(target, "fromRepository", where)
    address, claim = _addresses(request, teller)
    if claim:
        details["claimedAddress"] = claim
    return Event(
        identity=f"{host} {identity}" if identity else _fingerprint(host, item),
        kind=kind,
        at=_time(_text(item, "timestamp", where), where),
        registry=host,
        repository=_repository(target, "repository", where),
        tag=_tag(target, where),
        manifest_digest=None if kind is EventKind.MOUNT else digest,
        account=_text(_part(item, "actor", where), "name", where),
        address=address,
        details=details,
        blob_digest=digest if kind is EventKind.MOUNT else None,
    )


def _addresses(request: Mapping[str, Any], teller: _Teller) -> tuple[str, str]:
    """The address that is believed, and the one that is only claimed (rule 6)."""
    address = _note(request, "addr")
    seen = address.rpartition(":")[2].isdigit() and (address.count(":") == 1 or "]:" in address)
    return (address, "") if seen or teller.forwarded else ("", address)


def _harbor(document: Mapping[str, Any], teller: _Teller) -> Iterator[Event | str]:
    where = teller.where
    kind = _HARBOR.get(_text(document, "type", where))
    if kind is None:
        yield "other"
        return
    data = _part(document, "event_data", where)
    occurred = document.get("occur_at")
    if not isinstance(occurred, int) or isinstance(occurred, bool) or not 0 <= occurred < 1 << 36:
        raise _refused("an event of Harbor without occur_at", where)
    resources = data.get("resources")
    if not isinstance(resources, list) or not resources:
        raise _refused("an event of Harbor about nothing: it has no resources", where)
    for item in resources:
        if not isinstance(item, dict):
            raise _refused("a resource that is no JSON object", where)
        url = _text(item, "resource_url", where)
        host = _host(teller.registry or url.partition("/")[0], where)
        digest = _digest(item.get("digest"), where)
        if digest is None:
            raise _refused(f"a {kind} of nothing: it has no digest", where)
        yield Event(
            identity=_fingerprint(host, {"item": item, "at": occurred, "type": document["type"]}),
            kind=kind,
            at=datetime.fromtimestamp(occurred, UTC),
            registry=host,
            repository=_repository(_part(data, "repository", where), "repo_full_name", where),
            # Harbor says the digest where an artifact has no tag
            tag="" if item.get("tag") == str(digest) else _tag(item, where),
            manifest_digest=digest,
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


def _note(item: Mapping[str, Any], key: str) -> str:
    """A text that is only mentioned: as much of it as can be shown (rule 1)."""
    found = item.get(key)
    if not isinstance(found, str):
        return ""
    return "".join(char if char.isprintable() else "?" for char in found[:_MAX_NOTE])


def _repository(item: Mapping[str, Any], key: str, where: str) -> str:
    """A name that a registry can have given. Raises EventError."""
    text = _text(item, key, where)
    if not is_repository(text):
        raise _refused(f"{key} {text[:60]!r} is not a repository name", where)
    return text


def _tag(item: Mapping[str, Any], where: str) -> str:
    text = _text(item, "tag", where)
    if text and not is_tag(text):
        raise _refused(f"{text[:60]!r} is not a tag", where)
    return text


def _not_known(document: Mapping[str, Any], where: str) -> EventError:
    if "specversion" in document:
        return EventError(
            "a notification in the format CloudEvents",
            where=where,
            remedy="choose the payload format Default in Harbor's webhook",
        )
    return _refused("neither a notification of a registry nor of Harbor", where)


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
