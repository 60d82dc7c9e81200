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
    found = read(blob, blob, {**blob, "action": "pull"}, {**PUSH, "action": "tickle"}, PUSH)
    assert (len(found.events), found.left_out) == (1, 4)
    assert found.skipped == {"blob-push": 2, "blob-pull": 1, "other": 1}


MOUNT: dict[str, Any] = {
    **PUSH,
    "action": "mount",
    "target": {
        "mediaType": "application/octet-stream",
        "digest": DIGEST,
        "repository": "other/app",
        "fromRepository": "team/app",
    },
}


def test_a_mount_is_an_event_of_a_blob_with_its_origin() -> None:
    (event,) = read(MOUNT).events
    assert (event.kind, event.repository, event.account) == (EventKind.MOUNT, "other/app", "alice")
    assert (event.blob_digest, event.manifest_digest) == (Digest(DIGEST), None)
    assert event.details["fromRepository"] == "team/app"


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ({"digest": DIGEST, "repository": "a/b"}, ("", Digest(DIGEST))),
        ({"tag": "v1", "repository": "a/b"}, ("v1", None)),
        ({"repository": "a/b"}, ("", None)),
    ],
    ids=["manifest", "tag", "repository"],
)
def test_every_deletion_is_an_event(
    target: dict[str, str], said: tuple[str, Digest | None]
) -> None:
    (event,) = read({**PUSH, "action": "delete", "target": target}).events
    assert event.kind is EventKind.DELETE
    assert (event.tag, event.manifest_digest) == said


@pytest.mark.parametrize("agent", ["a\tb", "\x1b[31m", "x" * 5000, "\ud800", 7, ["x"]])
def test_a_user_agent_that_a_client_chose_cannot_silence_the_registry(agent: object) -> None:
    request = {**PUSH["request"], "useragent": agent, "method": agent}
    (event,) = read({**PUSH, "request": request, "source": {"addr": agent}}).events
    for text in event.details.values():
        assert isinstance(text, str)
        assert text.isprintable()
        assert len(text) <= 200


@pytest.mark.parametrize("address", ["203.0.113.9", "2001:db8::9", "1:2:3", "x", "@"])
def test_an_address_from_a_forwarded_header_is_a_claim(address: str) -> None:
    """CNCF Distribution takes X-Forwarded-For from anybody; what it saw itself has a port."""
    event = {**PUSH, "request": {**PUSH["request"], "addr": address}}
    (found,) = read(event).events
    assert (found.address, found.details["claimedAddress"]) == ("", address)
    data = json.dumps({"events": [event]}).encode()
    (found,) = read_notifications(data, "", where="x", forwarded=True).events
    assert (found.address, "claimedAddress" in found.details) == (address, False)


@pytest.mark.parametrize("address", ["192.0.2.7:51742", "[2001:db8::9]:443"])
def test_an_address_that_the_registry_saw_is_believed(address: str) -> None:
    (found,) = read({**PUSH, "request": {**PUSH["request"], "addr": address}}).events
    assert (found.address, "claimedAddress" in found.details) == (address, False)


def test_one_document_per_line() -> None:
    line = json.dumps({"events": [PUSH]}).encode()
    assert len(read_notifications(line + b"\n\n" + line, "", where="x").events) == 2


HARBOR: dict[str, Any] = {
    "type": "PUSH_ARTIFACT",
    "occur_at": 1_680_501_893,
    "operator": "robot$ci",
    "event_data": {
        "resources": [{"digest": DIGEST, "tag": "1", "resource_url": "harbor.example/team/app:1"}],
        "repository": {"name": "app", "repo_full_name": "team/app"},
    },
}


def harbor(**changes: Any) -> Notified:
    return read_notifications(json.dumps({**HARBOR, **changes}).encode(), "", where="x")


def test_harbor() -> None:
    (event,) = harbor().events
    assert (event.account, event.registry, event.repository, event.tag) == (
        "robot$ci",
        "harbor.example",
        "team/app",
        "1",
    )
    assert harbor(type="SCANNING_COMPLETED").skipped == {"other": 1}


@pytest.mark.parametrize(
    ("operator", "account"),
    [
        ("robot$team+ci", "robot$team+ci"),
        ("harbor-jobservice", "harbor-jobservice"),
        ("", ""),
        (None, ""),
    ],
)
def test_operators_of_harbor_keep_their_names_and_none_is_unknown(
    operator: str | None, account: str
) -> None:
    assert harbor(operator=operator).events[0].account == account


def test_an_artifact_of_harbor_without_a_tag_has_none() -> None:
    data = HARBOR["event_data"]
    item = {**data["resources"][0], "tag": DIGEST}
    assert harbor(event_data={**data, "resources": [item]}).events[0].tag == ""


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"occur_at": None}, "without occur_at"),
        ({"occur_at": -1}, "without occur_at"),
        ({"occur_at": 1 << 60}, "without occur_at"),
        ({"occur_at": True}, "without occur_at"),
        ({"operator": "a\nb"}, "operator is no text"),
        ({"event_data": []}, "event_data is no JSON object"),
        ({"event_data": {}}, "about nothing"),
        ({"event_data": {**HARBOR["event_data"], "resources": []}}, "about nothing"),
        ({"event_data": {**HARBOR["event_data"], "resources": ["x"]}}, "no JSON object"),
        ({"event_data": {**HARBOR["event_data"], "repository": {}}}, "not a repository"),
        ({"event_data": {**HARBOR["event_data"],
                         "resources": [{"resource_url": "h.example/a:1"}]}}, "of nothing"),
    ],
)  # fmt: skip
def test_a_malformed_event_of_harbor_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(EventError, match=message):
        harbor(**changes)


def test_the_format_cloud_events_is_refused_with_what_to_choose() -> None:
    document = {"specversion": "1.0", "type": "harbor.artifact.pushed", "data": {}}
    with pytest.raises(EventError, match="CloudEvents") as caught:
        read_notifications(json.dumps(document).encode(), "", where="x")
    assert "Default" in caught.value.remedy


@pytest.mark.parametrize("depth", [50, 300, 900, 2_000, 20_000, 100_000])
def test_an_event_nested_deeply_is_read_or_refused_never_a_crash(depth: int) -> None:
    nested = b"[" * depth + b"]" * depth
    event = json.dumps({**PUSH, "id": "", "more": "@"}).encode().replace(b'"@"', nested)
    try:
        assert len(read_notifications(b'{"events": [%s]}' % event, "", where="x").events) == 1
    except EventError:
        assert depth > 100


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
        ({"action": "mount", "target": {"digest": DIGEST}}, "fromRepository"),
        ({"target": {**PUSH["target"], "digest": ""}}, "no digest"),
        ({"target": {**PUSH["target"], "repository": ""}}, "not a repository"),
        ({"target": {**PUSH["target"], "repository": "a/../../b"}}, "not a repository"),
        ({"target": {**PUSH["target"], "repository": "a:1@" + DIGEST}}, "not a repository"),
        ({"target": {**PUSH["target"], "repository": "a?b=c"}}, "not a repository"),
        ({"target": {**PUSH["target"], "tag": "1/../2"}}, "not a tag"),
        ({"target": {**PUSH["target"], "tag": "1@" + DIGEST}}, "not a tag"),
    ],
)
def test_a_malformed_event_is_refused_not_guessed(change: dict[str, Any], message: str) -> None:
    with pytest.raises(EventError, match=message):
        read({**PUSH, **change})
