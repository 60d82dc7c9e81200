"""What the API server asks: AdmissionReview, version v1 and v1beta1 of admission.k8s.io.

1. The JSON is read raw: typed models drop fields that are newer than they are, and an image in such
   a field would run unseen.
2. No object has a key twice, and no key that names a part of the review stands there in another
   case: readers disagree on which of the two counts.
3. Who asks is `userInfo`, as the API server authenticated it. Nothing that stands in the object is
   anybody's word but its author's.

Source: Kubernetes, "Dynamic Admission Control", "Webhook request and response".
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, NoReturn

import msgspec

from layerproof.errors import LimitExceededError, ReviewError

MAX_BYTES = 8 << 20  # object and old object of 1.5 MiB each, and what re-encoding adds
MAX_DEPTH = 200
VERSIONS = ("admission.k8s.io/v1", "admission.k8s.io/v1beta1")
_MAX_UID = 128
_MAX_NAME = 1000
_MAX_GROUPS = 5000

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class User:
    """Who made the request, as the API server knows it."""

    name: str
    groups: frozenset[str]


@dataclass(frozen=True, slots=True)
class Review:
    """One request to admit one object."""

    api_version: str
    uid: str
    group: str
    kind: str
    resource: str
    subresource: str
    operation: str  # CREATE, UPDATE, DELETE, CONNECT
    namespace: str  # "" for objects of the whole cluster
    name: str  # "" where the API server is to make one
    user: User
    object: Json | None  # None for what is deleted
    old: Json | None
    dry_run: bool

    @property
    def target(self) -> str:
        """The object as people name it."""
        name = self.name or _name_in(self.object)
        return f"{self.kind} {self.namespace}/{name}" if self.namespace else f"{self.kind} {name}"


def parse_review(data: bytes) -> Review:
    """Raises ReviewError, LimitExceededError."""
    document = parse_strictly(data, "the review")
    exact(document, _REVIEW, "the review")
    version = _text(document, "apiVersion")
    if document.get("kind") != "AdmissionReview" or version not in VERSIONS:
        raise ReviewError(
            "not an AdmissionReview of a version that is known",
            where="apiVersion, kind",
            remedy=f"the webhook's admissionReviewVersions must be among: {', '.join(VERSIONS)}",
        )
    request = _table(document, "request")
    exact(request, _REQUEST, "request")
    kind = _table(request, "kind")
    resource = _table(request, "resource")
    exact(kind, _KIND, "request.kind")
    exact(resource, _RESOURCE, "request.resource")
    uid = _text(request, "uid")
    if not 0 < len(uid) <= _MAX_UID or not uid.isprintable():
        raise ReviewError("the request has no usable uid", where="request.uid")
    return Review(
        api_version=version,
        uid=uid,
        group=_text(kind, "group"),
        kind=_text(kind, "kind"),
        resource=_text(resource, "resource"),
        subresource=_text(request, "subResource"),
        operation=_text(request, "operation"),
        namespace=_text(request, "namespace"),
        name=_text(request, "name"),
        user=_user(request),
        object=_object(request, "object"),
        old=_object(request, "oldObject"),
        dry_run=_flag(request, "dryRun"),
    )


def parse_strictly(data: bytes, what: str) -> Json:
    """A JSON object without doubtful parts. Raises ReviewError, LimitExceededError."""
    if len(data) > MAX_BYTES:
        raise LimitExceededError(
            f"{what} has {len(data)} bytes, more than {MAX_BYTES}", limit="json_bytes", where=what
        )
    document = _as_it_was_written(data)
    if document is not None:
        return document
    if not data.strip():
        raise ReviewError(f"{what} is empty", where="body")
    try:
        document = json.loads(
            data.decode("utf-8"), object_pairs_hook=_once, parse_constant=_constant,
            parse_float=_float,
        )  # fmt: skip
    except RecursionError as error:
        raise ReviewError(f"{what} is nested too deep", where="body") from error
    except ValueError as error:
        raise ReviewError(f"{what} is not JSON: {error}"[:300], where="body") from error
    if not isinstance(document, dict):
        raise ReviewError(f"{what} is no JSON object", where="body")
    return document


def _as_it_was_written(data: bytes) -> Json | None:
    """The quick way, for nearly every review: what is the same when it is written again has no key
    twice, since a reader keeps only one of them. None: the long way must tell."""
    try:
        document = msgspec.json.decode(data)
        if isinstance(document, dict) and msgspec.json.encode(document) == data:
            return document
    except (msgspec.MsgspecError, ValueError, RecursionError):
        pass
    return None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ReviewError(f"the key {twice[:100]!r} stands twice in one object", where="body")
    return found


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _float(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError(f"{text[:40]} is too large")
    return number


def keys(names: str) -> Mapping[str, str]:
    """For `exact`: by what they are in any case."""
    return {name.casefold(): name for name in names.split()}


def exact(table: Json, known_keys: Mapping[str, str], where: str) -> None:
    """Raises ReviewError if one of these keys stands there in another case."""
    for key in table:
        known = known_keys.get(key.casefold())
        if known is not None and known != key:
            raise ReviewError(
                f"the key {key[:100]!r} is {known!r} in another case", where=where,
                remedy="readers disagree on whether it counts: write it as Kubernetes does",
            )  # fmt: skip


_REVIEW = keys("kind apiVersion request")
_REQUEST = keys(
    "uid kind resource subResource requestKind requestResource requestSubResource name namespace"
    " operation userInfo object oldObject dryRun options"
)
_KIND = keys("group version kind")
_RESOURCE = keys("group version resource")
_USER = keys("username uid groups extra")


def _user(request: Json) -> User:
    table = request.get("userInfo") or {}
    if not isinstance(table, dict):
        raise _wrong("userInfo", "an object")
    exact(table, _USER, "request.userInfo")
    groups = table.get("groups") or []
    if not isinstance(groups, list) or len(groups) > _MAX_GROUPS:
        raise _wrong("userInfo.groups", "a list of texts")
    if not all(isinstance(group, str) for group in groups):
        raise _wrong("userInfo.groups", "a list of texts")
    return User(_text(table, "username"), frozenset(groups))


def _object(request: Json, key: str) -> Json | None:
    found = request.get(key)
    if found is None:
        return None
    if not isinstance(found, dict):
        raise _wrong(key, "an object")
    return found or None


def _table(within: Json, key: str) -> Json:
    found = within.get(key)
    if not isinstance(found, dict):
        raise _wrong(key, "an object")
    return found


def _text(within: Json, key: str) -> str:
    found = within.get(key)
    if found is None:
        return ""
    if not isinstance(found, str) or len(found) > _MAX_NAME:
        raise _wrong(key, "a text")
    return found


def _flag(within: Json, key: str) -> bool:
    found = within.get(key)
    if found is None:
        return False
    if not isinstance(found, bool):
        raise _wrong(key, "true or false")
    return found


def _wrong(key: str, wanted: str) -> ReviewError:
    return ReviewError(f"{key} is not {wanted}", where=f"request.{key}")


def _name_in(found: Json | None) -> str:
    """The API server leaves the name of what is created out where it is to make one."""
    metadata = (found or {}).get("metadata")
    table = metadata if isinstance(metadata, dict) else {}
    name, generated = table.get("name"), table.get("generateName")
    if isinstance(name, str) and name:
        return name[:_MAX_NAME]
    return f"{generated[:_MAX_NAME]}…" if isinstance(generated, str) and generated else "(no name)"
