"""What the API server asks, read strictly."""

import json
from typing import Any

import pytest

from layerproof.errors import LimitExceededError, ReviewError
from layerproof.gates.kubernetes.review import MAX_BYTES, parse_review


def review(**request: Any) -> dict[str, Any]:
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "u1",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "operation": "CREATE",
            "namespace": "team",
            "userInfo": {"username": "jane", "groups": ["g1", "g2"]},
            "object": {"spec": {"containers": [{"image": "one"}]}},
            **request,
        },
    }


def parsed(document: Any) -> Any:
    return parse_review(json.dumps(document).encode())


def test_a_review_is_read() -> None:
    found = parsed(review(dryRun=True, subResource="ephemeralcontainers", name="web"))
    assert (found.uid, found.kind, found.resource, found.subresource) == (
        "u1", "Pod", "pods", "ephemeralcontainers",
    )  # fmt: skip
    assert found.user.name == "jane"
    assert found.user.groups == {"g1", "g2"}
    assert found.dry_run
    assert found.target == "Pod team/web"


def test_a_name_that_is_to_be_made_shows_as_such() -> None:
    found = parsed(review(object={"metadata": {"generateName": "web-"}}))
    assert found.target == "Pod team/web-…"


@pytest.mark.parametrize("version", ["admission.k8s.io/v1", "admission.k8s.io/v1beta1"])
def test_both_versions_are_known_and_kept(version: str) -> None:
    assert parsed({**review(), "apiVersion": version}).api_version == version


@pytest.mark.parametrize(
    "body",
    [b"", b"  ", b"[]", b"null", b"{", b'{"a": NaN}', b'{"a": 1e999}', b"\xff{}", b"[" * 100_000],
)  # fmt: skip
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(ReviewError):
        parse_review(body)


def test_a_key_that_stands_twice_is_refused_wherever_it_stands() -> None:
    text = json.dumps(review()).replace('"image": "one"', '"image": "good", "image": "evil"')
    with pytest.raises(ReviewError, match="twice"):
        parse_review(text.encode())


@pytest.mark.parametrize(
    ("where", "key"),
    [("", "Request"), ("request", "Object"), ("request", "USERINFO"), ("request", "dryrun")],
)
def test_a_key_of_the_review_in_another_case_is_refused(where: str, key: str) -> None:
    document = review()
    (document[where] if where else document)[key] = {}
    with pytest.raises(ReviewError, match="another case"):
        parsed(document)


@pytest.mark.parametrize(
    "more",
    [
        {"uid": ""},
        {"uid": None},
        {"uid": "x" * 200},
        {"uid": "a\nb"},
        {"kind": "Pod"},
        {"object": ["x"]},
        {"userInfo": "admin"},
        {"userInfo": {"username": "x", "groups": "system:masters"}},
        {"userInfo": {"username": "x", "groups": [1]}},
        {"dryRun": "false"},
        {"namespace": {"x": 1}},
    ],
)
def test_a_request_of_another_shape_is_refused(more: dict[str, Any]) -> None:
    with pytest.raises(ReviewError):
        parsed(review(**more))


def test_another_kind_of_document_is_refused() -> None:
    with pytest.raises(ReviewError, match="AdmissionReview"):
        parsed({**review(), "kind": "ImageReview"})


def test_an_oversized_review_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(LimitExceededError):
        parse_review(b"[" * (MAX_BYTES + 1))


@pytest.mark.parametrize("compact", [True, False])
@pytest.mark.parametrize(
    "twice", ['"object":{},"object":', '"uid":"u2","uid":', '"userInfo":{},"userInfo":']
)
def test_a_key_that_stands_twice_is_refused_however_the_review_is_written(
    twice: str, compact: bool
) -> None:
    text = json.dumps(review(), separators=(",", ":") if compact else None)
    key = twice.rpartition(",")[2]
    text = text.replace(key if compact else f"{key} ", twice, 1)
    with pytest.raises(ReviewError, match="twice"):
        parse_review(text.encode())


def test_both_ways_of_reading_give_the_same() -> None:
    document = review(object={"a": [1, 2.5, None, True, "ü", {"b": {}}]}, name="x")
    compact = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
    escaped = json.dumps(document, indent=1).encode()
    assert parse_review(compact) == parse_review(escaped)
