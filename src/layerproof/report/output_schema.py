"""The JSON Schema of machine output: one document per line, told apart by `kind`.

Published as docs/reference/output.schema.json; a test holds every command's output to it. Keys are
only ever added: programs ignore those that they do not know.
"""

from typing import Any

from layerproof.engine.responder import Outcome
from layerproof.model.change import ChangeKind
from layerproof.model.event import EventKind
from layerproof.model.finding import Effect, Severity, Status
from layerproof.model.gate import Cause, Mode
from layerproof.model.learned import Kind
from layerproof.model.learned import Outcome as LearnedOutcome
from layerproof.model.verdict import Decision, Trust
from layerproof.model.vulnerability import Level, State
from layerproof.report.documents import API_VERSION
from layerproof.report.service_schema import service_schemas

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_MAYBE: Schema = {"type": ["string", "null"]}
_NUMBER: Schema = {"type": "integer"}
_MAYBE_NUMBER: Schema = {"type": ["integer", "null"]}
_FLAG: Schema = {"type": "boolean"}
_DIGEST: Schema = {"type": "string", "pattern": "^sha(256:[0-9a-f]{64}|512:[0-9a-f]{128})$"}
_MAYBE_DIGEST: Schema = {"anyOf": [_DIGEST, {"type": "null"}]}
_TIME: Schema = {"type": "string", "format": "date-time"}
_MAYBE_TIME: Schema = {"type": ["string", "null"], "format": "date-time"}
_ANYTHING: Schema = {"type": "object"}


def output_schema() -> Schema:
    """Draft 2020-12."""
    shared = {kind: schema for kind, schema in service_schemas().items() if kind in _SHARED}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Machine output of Layerproof",
        "oneOf": [{"$ref": f"#/$defs/{kind}"} for kind in (*_KINDS, *shared)],
        "$defs": {
            **{kind: _document(kind, keys) for kind, keys in _KINDS.items()},
            **shared,
            "finding": _object(_FINDING),
        },
    }


def _document(kind: str, keys: Schema) -> Schema:
    head: Schema = {"kind": {"const": kind}}
    if kind != "Error":
        head["apiVersion"] = {"const": API_VERSION}
    return _object({**head, **keys})


def _object(keys: Schema, optional: tuple[str, ...] = ()) -> Schema:
    required = [key for key in keys if key not in optional]
    return {"type": "object", "properties": keys, "required": required}


def _list(item: Schema) -> Schema:
    return {"type": "array", "items": item}


def _words(words: Any) -> Schema:
    return {"enum": [str(word) for word in words]}


_FINDINGS = _list({"$ref": "#/$defs/finding"})
_FINDING: Schema = {
    "rule": _TEXT,
    "status": _words(Status),
    "severity": _words(Severity),
    "effect": _words(Effect),
    "message": _TEXT,
    "evidence": _ANYTHING,
    "remedy": _TEXT,
}
_PACKAGE_CHANGE = _object(
    {"purl": _TEXT, "change": _words(("added", "removed", "changed")), "before": _TEXT},
    optional=("before",),
)
_CHANGE = _object(
    {
        "change": _words(ChangeKind),
        "path": _TEXT,
        "cause": _TEXT,
        "by": _TEXT,
        "target": _TEXT,
        "before": _ANYTHING,
        "after": _ANYTHING,
    },
    optional=("cause", "by", "target", "before", "after"),
)
_COUNTS = _object({str(kind): _NUMBER for kind in ChangeKind})
_LAYER = _object(
    {
        "position": _NUMBER,
        "chainId": _DIGEST,
        "diffId": _DIGEST,
        "blobDigest": _MAYBE_DIGEST,
        "mediaType": _MAYBE,
        "size": _MAYBE_NUMBER,
        "uncompressedSize": _MAYBE_NUMBER,
        "entries": _MAYBE_NUMBER,
        "createdBy": _MAYBE,
        "trusted": _FLAG,
        "trustedImage": _MAYBE,
        "changes": {"anyOf": [_COUNTS, {"type": "null"}]},
        "packages": _list(_PACKAGE_CHANGE),
        "skipped": _list(_object({"analyser": _TEXT, "path": _TEXT, "reason": _TEXT})),
    }
)
_LAYER_VERDICT: Schema = {
    "position": _NUMBER,
    "chainId": _DIGEST,
    "verdict": _words(Trust),
    "inBase": _FLAG,
    "findings": _FINDINGS,
}
_MAYBE_REAL: Schema = {"type": ["number", "null"]}
_VULNERABILITY = _object(
    {
        "id": _TEXT,
        "aliases": _list(_TEXT),
        "purl": _TEXT,
        "path": _TEXT,
        "source": _MAYBE,
        "layer": _NUMBER,
        "chainId": _DIGEST,
        "level": _words(Level),
        "score": _MAYBE_REAL,
        "epss": _MAYBE_REAL,
        "exploitedSince": _MAYBE,
        "state": _words(State),
        "fixed": _MAYBE,
        "published": _MAYBE_TIME,
        "summary": _TEXT,
        "url": _MAYBE,
        "ecosystem": _TEXT,
        "vex": {"type": ["object", "null"]},
    }
)
_IMPORTED: dict[str, Schema] = {
    "records": _NUMBER,
    "skipped": _NUMBER,
    "problems": _list(_TEXT),
    "covers": _list(_TEXT),
}
_SHARED = ("Job", "Token")  # with the service's API
_KINDS: dict[str, Schema] = {
    "Advisories": {
        "snapshot": _MAYBE_DIGEST,
        "feeds": _list(
            _object({"name": _TEXT, "source": _TEXT, "asOf": _TIME, "imported": _TIME, **_IMPORTED})
        ),
    },
    "ImportedAdvisories": {
        "feed": _TEXT,
        "kinds": {"type": "object", "additionalProperties": _NUMBER},
        "withdrawn": _NUMBER,
        "asOf": _MAYBE_TIME,
        **_IMPORTED,
    },
    "Vulnerabilities": {
        "reference": _TEXT,
        "manifestDigest": _MAYBE_DIGEST,
        "configDigest": _DIGEST,
        "advisories": _DIGEST,
        "packages": _NUMBER,
        "notLookedUp": {"type": "object", "additionalProperties": _NUMBER},
        "vulnerabilities": _list(_VULNERABILITY),
    },
    "Image": {
        "reference": _TEXT,
        "names": _list(_TEXT),
        "manifestDigest": _MAYBE_DIGEST,
        "configDigest": _DIGEST,
        "indexDigest": _MAYBE_DIGEST,
        "platform": _TEXT,
        "layers": _list(_LAYER),
        "notes": _list(_TEXT),
    },
    "Verdict": {
        "id": {"type": "string", "pattern": "^[0-9a-f]{24}$"},
        "decidedAt": _TIME,
        "holdsUntil": _TIME,
        "reference": _TEXT,
        "manifestDigest": _MAYBE_DIGEST,
        "configDigest": _DIGEST,
        "decision": _words(Decision),
        "verdict": _words(Trust),
        "base": {
            "anyOf": [
                _object({"trustedImage": _TEXT, "chainId": _DIGEST, "layers": _NUMBER}),
                {"type": "null"},
            ]
        },
        "layers": _list(_object(_LAYER_VERDICT)),
        "findings": _FINDINGS,
        "inputs": _object(
            {"policy": _DIGEST, "analysers": _TEXT, "advisories": _MAYBE, "model": _MAYBE}
        ),
        "notes": _list(_TEXT),
        "message": _TEXT,
        "context": _object(
            {
                "gate": _TEXT,
                "namespace": _MAYBE,
                "host": _MAYBE,
                "labels": {"type": ["object", "null"], "additionalProperties": _TEXT},
            }
        ),
    },
    "Explanation": {
        "reference": _TEXT,
        "position": _NUMBER,
        "chainId": _DIGEST,
        "diffId": _DIGEST,
        "verdict": _words(Trust),
        "inBase": _FLAG,
        "decision": _words(Decision),
        "what": _list(_TEXT),
        "base": _list(_TEXT),
        "rules": _list(
            _object(
                {
                    "rule": _TEXT,
                    "doc": _TEXT,
                    "effect": _words(Effect),
                    "judged": _FLAG,
                    "asked": _FLAG,
                    "findings": _FINDINGS,
                }
            )
        ),
        "findings": _FINDINGS,
        "image": _FINDINGS,
        "conclusion": _list(_TEXT),
    },
    "Pull": {
        "reference": _TEXT,
        "manifestDigest": _MAYBE_DIGEST,
        "configDigest": _DIGEST,
        "decision": _words(Decision),
        "verdict": _words(Trust),
        "quarantine": _TEXT,
        "name": _MAYBE,
        "fetchedBytes": _NUMBER,
        "sparedBytes": _NUMBER,
        "layers": _list(
            _object(
                {
                    **_LAYER_VERDICT,
                    "diffId": _DIGEST,
                    "blobDigest": _DIGEST,
                    "mediaType": _TEXT,
                    "size": _NUMBER,
                    "fetched": _FLAG,
                    "withdrawal": _MAYBE,
                }
            )
        ),
    },
    "GateAnswers": {
        "gate": _TEXT,
        "host": _TEXT,
        "namespace": _TEXT,
        "reference": _TEXT,
        "mode": _words(Mode),
        "cause": _words(Cause),
        "decided": _words(Decision),
        "decision": _words(Decision),
        "reason": _TEXT,
        "firstAt": _TIME,
        "lastAt": _TIME,
        "count": _NUMBER,
    },
    "GateStatus": {
        "gate": _TEXT,
        "bites": _FLAG,
        "checks": _list(_object({"check": _TEXT, "passed": _FLAG, "details": _TEXT})),
    },
    "Tag": {
        "reference": _TEXT,
        "outcome": _words(Outcome),
        "to": _TEXT,
        "reason": _TEXT,
    },
    "Running": {
        "runtime": _TEXT,
        "host": _TEXT,
        "namespace": _TEXT,
        "container": _TEXT,
        "name": _TEXT,
        "image": _TEXT,
        "imageDigest": _MAYBE_DIGEST,
        "chainId": _MAYBE_DIGEST,
        "startedAt": _MAYBE_TIME,
        "decided": {"anyOf": [_words(Decision), {"type": "null"}]},
        "verdict": {"anyOf": [_words(Trust), {"type": "null"}]},
        "cause": {"anyOf": [_words(Cause), {"type": "null"}]},
        "reason": _TEXT,
        "verdictId": _TEXT,
    },
    "LearnedModel": {
        "model": _DIGEST,
        "trainingSet": _DIGEST,
        "seed": _NUMBER,
        "until": _TIME,
        "kinds": _list(_TEXT),
        "maturityDays": _NUMBER,
        "alpha": {"type": "number"},
        "facts": _ANYTHING,
        "backtest": {"type": ["object", "null"]},
        "failed": _list(_TEXT),
        "limits": _list(_TEXT),
    },
    "LearnedEvaluation": {
        "features": _TEXT,
        "pushes": _NUMBER,
        "realisedRate": {"type": "number"},
        "recallOfSwapped": _ANYTHING,
        "abstained": _NUMBER,
        "scoringMilliseconds": {"type": "number"},
    },
    "LearnedStatus": {
        "champion": {"type": ["object", "null"]},
        "challenger": {"type": ["object", "null"]},
        "previous": {"type": ["object", "null"]},
        "sinceTraining": _ANYTHING,
        "suggestionsWaiting": _NUMBER,
    },
    "LearnedAssessment": {
        "reference": _TEXT,
        "outcome": _words(LearnedOutcome),
        "trust": {"type": "number"},
        "pValue": {"type": "number"},
        "smallestRate": {"type": "number"},
        "comparedWith": _TEXT,
        "missing": _list(_TEXT),
        "counterfactual": _TEXT,
        "model": _DIGEST,
        "parts": _list(
            _object(
                {
                    "part": _words(("context", "contents")),
                    "position": _MAYBE_NUMBER,
                    "trust": {"type": "number"},
                    "raw": {"type": "number"},
                    "rawAtBest": {"type": "number"},
                    "constant": {"type": "number"},
                    "contributions": _list(
                        _object(
                            {
                                "feature": _TEXT,
                                "kind": _words(Kind),
                                "value": _NUMBER,
                                "contribution": {"type": "number"},
                                "words": _TEXT,
                            }
                        )
                    ),
                }
            )
        ),
    },
    "Suggestion": {
        "id": _TEXT,
        "reference": _TEXT,
        "manifestDigest": _DIGEST,
        "trust": {"type": "number"},
        "pValue": {"type": "number"},
        "pushedBy": _TEXT,
        "pushedAt": _TIME,
        "pullers": _NUMBER,
        "model": _DIGEST,
        "state": _words(("waiting", "approved", "dismissed")),
        "decidedBy": _TEXT,
        "reason": _TEXT,
    },
    "Withdrawal": {
        "id": _TEXT,
        "chainId": _DIGEST,
        "diffId": _DIGEST,
        "reference": _TEXT,
        "withdrawnBy": _TEXT,
        "withdrawnAt": _TIME,
        "reason": _TEXT,
        "releasedBy": _MAYBE,
        "releasedAt": _MAYBE_TIME,
        "releaseReason": _MAYBE,
        "state": _words(("active", "released")),
    },
    "Trust": {
        "id": _TEXT,
        "reference": _TEXT,
        "manifestDigest": _MAYBE_DIGEST,
        "configDigest": _DIGEST,
        "chainIds": _list(_DIGEST),
        "addedBy": _TEXT,
        "addedAt": _TIME,
        "reason": _TEXT,
        "expiresAt": _MAYBE_TIME,
        "revokedBy": _MAYBE,
        "revokedAt": _MAYBE_TIME,
        "revokeReason": _MAYBE,
        "state": _words(("active", "revoked", "expired", "future")),
    },
    "Event": {
        "id": _TEXT,
        "event": _words(EventKind),
        "at": _TIME,
        "registry": _TEXT,
        "repository": _TEXT,
        "tag": _MAYBE,
        "manifestDigest": _MAYBE_DIGEST,
        "account": _MAYBE,
        "address": _MAYBE,
        "country": _MAYBE,
        "host": _MAYBE,
        "blobDigest": _MAYBE_DIGEST,
        "chainId": _MAYBE_DIGEST,
        "details": _ANYTHING,
    },
    "EventsImported": {"source": _TEXT, "events": _NUMBER, "new": _NUMBER, "leftOut": _NUMBER},
    "LayerChanges": {"reference": _TEXT, "position": _NUMBER, "changes": _list(_CHANGE)},
    "ImageDifference": {
        "reference": _TEXT,
        "other": _TEXT,
        "commonLayers": _NUMBER,
        "changes": _list(_CHANGE),
        "packages": _list(_PACKAGE_CHANGE),
    },
    "Found": {
        "diffId": _DIGEST,
        "images": _list(_TEXT),
        "more": {"type": "boolean"},
        "entries": _list(_ANYTHING),
        "packages": _list(_object({"purl": _TEXT, "path": _TEXT})),
        "changes": _list(_ANYTHING),
        "packageChanges": _list(_ANYTHING),
    },
    "PolicyFile": {
        "file": _TEXT,
        "digest": _DIGEST,
        "rules": {"type": "object", "additionalProperties": _words(Effect)},
        "exceptions": _NUMBER,
    },
    "PolicyTestResult": {
        "file": _TEXT,
        "name": _TEXT,
        "passed": _FLAG,
        "decision": _MAYBE,
        "verdict": _MAYBE,
        "problems": _list(_TEXT),
    },
    "IndexCopied": {
        "file": _TEXT,
        "images": _NUMBER,
        "layers": _NUMBER,
        "trust": _NUMBER,
        "withdrawals": _NUMBER,
        "events": _NUMBER,
    },
    "IndexPruned": {
        "events": _NUMBER,
        "verdicts": _NUMBER,
        "images": _NUMBER,
        "layers": _NUMBER,
    },
    "IndexBackup": {"file": _TEXT, "size": _NUMBER},
    "IndexReady": {"index": _TEXT, "schema": _TEXT},
    "Serving": {"url": _TEXT, "adminTokenFile": _MAYBE},
    "Error": {"code": _TEXT, "message": _TEXT, "where": _TEXT, "remedy": _TEXT},
}
