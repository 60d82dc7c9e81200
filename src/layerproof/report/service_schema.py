"""JSON Schemas of `service_documents`, beside those of machine output."""

from typing import Any

from layerproof.model.access import Role
from layerproof.model.change import ChangeKind
from layerproof.model.event import EventKind
from layerproof.model.finding import Effect
from layerproof.model.job import JobState
from layerproof.model.verdict import Decision
from layerproof.report.documents import API_VERSION

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
MAYBE: Schema = {"type": ["string", "null"]}
NUMBER: Schema = {"type": "integer"}
MAYBE_NUMBER: Schema = {"type": ["integer", "null"]}
TEXTS: Schema = {"type": "array", "items": TEXT}
OBJECT: Schema = {"type": "object"}
TIME: Schema = {"type": "string", "format": "date-time"}
MAYBE_TIME: Schema = {"type": ["string", "null"], "format": "date-time"}


def service_schemas() -> dict[str, Schema]:
    """By kind."""
    return {kind: document(kind, keys) for kind, keys in _KINDS.items()}


def document(kind: str, keys: Schema, optional: tuple[str, ...] = ()) -> Schema:
    """A document of this kind."""
    head = {"apiVersion": {"const": API_VERSION}, "kind": {"const": kind}}
    optional = (*optional, *_OPTIONAL.get(kind, ()))
    return {
        "type": "object",
        "properties": {**head, **keys},
        "required": [key for key in (*head, *keys) if key not in optional],
    }


def page_of(kind: str) -> Schema:
    """A page of documents of this kind."""
    return document(
        "Page",
        {
            "items": {"type": "array", "items": {"$ref": f"#/components/schemas/{kind}"}},
            "after": MAYBE,
            "more": {"type": "boolean"},  # of a search, which has no next page
        },
        optional=("more",),
    )


def _words(words: Any) -> Schema:
    return {"enum": [str(word) for word in words]}


def _object(keys: Schema) -> Schema:
    return {"type": "object", "properties": keys, "required": list(keys)}


_OPTIONAL = {"Token": ("token",), "Accepted": ("events", "newEvents", "newJobs", "leftOut")}
_CONTEXT = _object(
    {
        "repositories": TEXTS,
        "pushers": TEXTS,
        "pullers": TEXTS,
        "countries": TEXTS,
        "hosts": TEXTS,
        "firstSeen": MAYBE_TIME,
        "lastSeen": MAYBE_TIME,
        "pushes": NUMBER,
        "pulls": NUMBER,
        "starts": NUMBER,
        "mounts": {
            "type": "array",
            "items": _object(
                {
                    "repository": TEXT,
                    "account": MAYBE,
                    "country": MAYBE,
                    "firstAt": TIME,
                    "lastAt": TIME,
                    "count": NUMBER,
                }
            ),
        },
        "pushCadenceSeconds": MAYBE_NUMBER,
    }
)
_REVISION: Schema = {
    "id": NUMBER,
    "text": TEXT,
    "putBy": TEXT,
    "putAt": TIME,
    "reason": TEXT,
}
_KINDS: dict[str, Schema] = {
    "ImageSummary": {
        "reference": TEXT,
        "names": TEXTS,
        "manifestDigest": MAYBE,
        "configDigest": TEXT,
        "indexDigest": MAYBE,
        "platform": TEXT,
        "layers": NUMBER,
        "top": MAYBE,
        "indexedAt": TIME,
    },
    "Layer": {
        "chainId": TEXT,
        "parent": MAYBE,
        "diffId": TEXT,
        "position": NUMBER,
        "uncompressedSize": MAYBE_NUMBER,
        "entries": MAYBE_NUMBER,
        "changes": _object({str(kind): NUMBER for kind in ChangeKind}),
        "context": _CONTEXT,
        "trustedImages": {
            "type": "array",
            "items": _object({"id": TEXT, "reference": TEXT, "state": TEXT}),
        },
    },
    "Job": {
        "id": NUMBER,
        "job": TEXT,
        "key": TEXT,
        "arguments": OBJECT,
        "priority": NUMBER,
        "state": _words(JobState),
        "attempts": NUMBER,
        "queuedAt": TIME,
        "dueAt": MAYBE_TIME,
        "startedAt": MAYBE_TIME,
        "endedAt": MAYBE_TIME,
        "worker": MAYBE,
        "progress": OBJECT,
        "error": {"type": ["object", "null"]},
    },
    "Account": {
        "registry": TEXT,
        "account": TEXT,
        "firstAt": TIME,
        "lastAt": TIME,
        "events": {
            "type": "object",
            "propertyNames": _words(EventKind),
            "additionalProperties": NUMBER,
        },
        "identities": TEXTS,
    },
    "Token": {
        "id": TEXT,
        "name": TEXT,
        "role": _words(Role),
        "registry": MAYBE,
        "createdBy": TEXT,
        "createdAt": TIME,
        "expiresAt": TIME,
        "revokedBy": MAYBE,
        "revokedAt": MAYBE_TIME,
        "state": _words(("active", "revoked", "expired")),
        "token": TEXT,
    },
    "Audit": {
        "id": NUMBER,
        "at": TIME,
        "actor": TEXT,
        "role": TEXT,
        "action": TEXT,
        "target": TEXT,
        "address": TEXT,
        "outcome": TEXT,
        "details": OBJECT,
    },
    "Policy": {
        "digest": TEXT,
        "source": _words(("file", "revision", "built-in")),
        "revision": {"anyOf": [{"$ref": "#/components/schemas/PolicyRevision"}, {"type": "null"}]},
        "undecided": _words(Decision),
        "rules": {"type": "object", "additionalProperties": _words(Effect)},
        "exceptions": NUMBER,
        "madeExceptions": NUMBER,
    },
    "PolicyRevision": _REVISION,
    "Exception": {
        "id": TEXT,
        "exception": OBJECT,
        "madeBy": TEXT,
        "madeAt": TIME,
        "endedBy": MAYBE,
        "endedAt": MAYBE_TIME,
        "state": _words(("active", "ended")),
    },
    "FoundFinding": {
        "verdict": TEXT,
        "decidedAt": TIME,
        "reference": TEXT,
        "manifestDigest": MAYBE,
        "position": MAYBE_NUMBER,
        "chainId": MAYBE,
        "finding": {"$ref": "#/components/schemas/finding"},
    },
    "Accepted": {"events": NUMBER, "newEvents": NUMBER, "newJobs": NUMBER, "leftOut": NUMBER},
    "Principal": {"name": TEXT, "role": _words(Role), "expiresAt": MAYBE_TIME},
}
