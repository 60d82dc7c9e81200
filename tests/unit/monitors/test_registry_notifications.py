"""What registries report → events; what they might send instead → errors."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from layerproof.errors import EventError
from layerproof.model.digest import Digest
from layerproof.model.event import EventKind
from layerproof.monitors.registry_notifications import Notified, read_notifications

DIGEST = "sha256:" + "ab" * 32
PUSH: dict[str, Any] = {
    "id": "320678d8-ca14-430f-8bb6-4ca139cd83f7",
    "timestamp": "2026-03-09T14:44:26.402973972-08:00",
    "action": "push",
    "target": {
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": DIGEST,
        "size": 708,
        "repository": "team/app",
        "url": "http://registry.example/v2/team/app/manifests/1",
        "tag": "1.0",
    },
    "request": {
        "id": "6df2",
        "addr": "192.0.2.7:51742",
        "host": "registry.example",
        "method": "PUT",
    },
    "actor": {"name": "alice"},
    "source": {"addr": "node:5000"},
}


def read(*events: object, registry: str = "") -> Notified:
    data = json.dumps({"events": list(events)}).encode()
    return read_notifications(data, registry, where="x")


def test_a_push_of_a_manifest_is_an_event() -> None:
    (event,) = read(PUSH).events
    assert (event.kind, event.account, event.registry) == (
        EventKind.PUSH,
        "alice",
        "registry.example",
    )
    assert (event.repository, event.tag) == ("team/app", "1.0")
    assert event.manifest_digest == Digest(DIGEST)
    assert event.at == datetime(2026, 3, 9, 22, 44, 26, 402973, tzinfo=UTC)
    assert event.address == "192.0.2.7:51742"


def test_the_registry_may_be_named_by_the_operator() -> None:
    (event,) = read(PUSH, registry="hub.example:5000").events
    assert event.registry == "hub.example:5000"
    (event,) = read(PUSH, registry="registry-1.docker.io").events
    assert event.registry == "docker.io"


def test_the_same_report_has_the_same_identity() -> None:
    one, two = read(PUSH, PUSH).events
    assert one.identity == two.identity
    other, same = read({**PUSH, "id": ""}, {**PUSH, "id": None}).events
    assert other.identity != one.identity
    assert same.identity != one.identity


def test_a_registry_without_logins_names_no_account() -> None:
    assert read({**PUSH, "actor": {}}).events[0].account == ""
    assert read({**PUSH, "actor": None}).events[0].account == ""


def test_blobs_and_other_actions_are_counted_and_left_out() -> None:
    blob = {**PUSH, "target": {**PUSH["target"], "mediaType": "application/octet-stream"}}
    found = read(blob, {**PUSH, "action": "tickle"}, PUSH)
    assert (len(found.events), found.left_out) == (1, 2)


def test_one_document_per_line() -> None:
    line = json.dumps({"events": [PUSH]}).encode()
    assert len(read_notifications(line + b"\n\n" + line, "", where="x").events) == 2


def test_harbor() -> None:
    document = {
        "type": "PUSH_ARTIFACT",
        "occur_at": 1_680_501_893,
        "operator": "robot$ci",
        "event_data": {
            "resources": [
                {"digest": DIGEST, "tag": "1", "resource_url": "harbor.example/team/app:1"}
            ],
            "repository": {"name": "app", "repo_full_name": "team/app"},
        },
    }
    (event,) = read_notifications(json.dumps(document).encode(), "", where="x").events
    assert (event.account, event.registry, event.repository) == (
        "robot$ci",
        "harbor.example",
        "team/app",
    )
    other = {**document, "type": "SCANNING_COMPLETED"}
    assert read_notifications(json.dumps(other).encode(), "", where="x").left_out == 1


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", None),
        (b"[]", "not a JSON object"),
        (b"{}", "neither a notification"),
        (b"nonsense", "not JSON"),
        (b'{"events": 1}', "neither a notification"),
        (b'{"events": [1]}', "no JSON object"),
        (b'{"events": [], "events": []}', "stands twice"),
        (b'{"events": [], "Events": []}', "stands twice"),
        (b"[" * 200_000, "not JSON"),
    ],
)
def test_what_is_no_notification_is_refused(data: bytes, message: str | None) -> None:
    if message is None:
        assert read_notifications(data, "", where="x").events == ()
        return
    with pytest.raises(EventError, match=message):
        read_notifications(data, "", where="x")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"timestamp": "yesterday"}, "not a time"),
        ({"timestamp": "2026-03-09T14:44:26"}, "not a time with a zone"),
        ({"actor": "alice"}, "actor is no JSON object"),
        ({"actor": {"name": 7}}, "name is no text"),
        ({"actor": {"name": "a\x1b[31m"}}, "name is no text"),
        ({"actor": {"name": "a" * 600}}, "name is no text"),
        ({"target": {**PUSH["target"], "digest": "sha256:zz"}}, "not a digest"),
        ({"request": {}}, "which registry"),
        ({"request": {"host": "a/b"}}, "which registry"),
    ],
)
def test_a_malformed_event_is_refused_not_guessed(change: dict[str, Any], message: str) -> None:
    with pytest.raises(EventError, match=message):
        read({**PUSH, **change})
