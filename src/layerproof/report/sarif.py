"""Verdicts as SARIF 2.1.0 (OASIS, sarif-v2.1.0), for code scanning. One document for all images.

1. One result per finding (section 3.27). `level` is what the policy lets it do: `error` refuses,
   `warning` alerts, `note` is ignored. What a rule could not tell says so in its text and in the
   property `status`.
2. A layer is a logical location (section 3.33). Viewers that know files only get the image's name
   as an artifact, because they leave out results without one.
3. A fingerprint is over the rule, the layer and what was found: the same finding has the same one
   in the next run, and on another build of the layer another.
4. What an exception of the policy freed is suppressed, with its reason (section 3.35).
5. An image about which nothing could be decided is a notification (section 3.58), and the
   invocation was not successful.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any
from urllib.parse import quote

from layerproof import __version__
from layerproof.model.finding import Effect, Finding, Severity, Status
from layerproof.model.verdict import LayerVerdict, Verdict
from layerproof.report.judged import Failed, Judged, digest_of, located
from layerproof.rules.registry import RULES
from layerproof.rules.text import show_text

_SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
_LEVELS = {Effect.REFUSE: "error", Effect.ALERT: "warning", Effect.IGNORE: "note"}
# GitHub sorts by this number, which has the bands of CVSS.
_SCORES = {
    Severity.CRITICAL: "9.5",
    Severity.HIGH: "8.0",
    Severity.MEDIUM: "5.5",
    Severity.LOW: "3.0",
}

Document = dict[str, Any]


def sarif_document(judged: Sequence[Judged], failed: Sequence[Failed] = ()) -> Document:
    """One run over all images."""
    order = {rule.id: number for number, rule in enumerate(RULES)}
    results = [
        _result(each.verdict, layer, finding, order)
        for each in judged
        for layer, finding in located(each.verdict)
    ]
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": _driver()},
                "invocations": [
                    {
                        "executionSuccessful": not failed,
                        "toolExecutionNotifications": [_notification(each) for each in failed],
                    }
                ],
                "results": results,
                "properties": {"images": [_image(each.verdict) for each in judged]},
            }
        ],
    }


def _driver() -> Document:
    return {
        "name": "Layerproof",
        "semanticVersion": __version__,
        "rules": [
            {
                "id": rule.id,
                "shortDescription": {"text": rule.doc},
                "help": {"text": f"{rule.doc} See docs/reference/rules/{rule.id}.md."},
                "defaultConfiguration": {"level": "error"},
                "properties": {"security-severity": _SCORES[rule.severity]},
            }
            for rule in RULES
        ],
    }


def _image(verdict: Verdict) -> Document:
    return {
        "reference": show_text(verdict.reference, 1000),
        "manifestDigest": verdict.manifest_digest,
        "configDigest": verdict.config_digest,
        "decision": str(verdict.decision),
        "verdict": str(verdict.verdict),
        "inputs": dict(verdict.inputs),
    }


def _notification(failure: Failed) -> Document:
    error = failure.error
    remedy = f" What to do: {error.remedy}" if error.remedy else ""
    return {
        "level": "error",
        "descriptor": {"id": error.code},
        "message": {"text": show_text(f"{error}{remedy}", 4000)},
    }


def _result(
    verdict: Verdict, layer: LayerVerdict | None, finding: Finding, order: dict[str, int]
) -> Document:
    doubt = "cannot tell: " if finding.status is Status.UNKNOWN else ""
    remedy = f" What to do: {finding.remedy}" if finding.remedy else ""
    result: Document = {
        "ruleId": finding.rule,
        "level": _LEVELS[finding.effect],
        "message": {"text": doubt + show_text(finding.message, 4000) + show_text(remedy, 4000)},
        "locations": [_location(verdict, layer)],
        "partialFingerprints": {"layerproof/v1": _fingerprint(verdict, layer, finding)},
        "properties": {
            "status": str(finding.status),
            "severity": str(finding.severity),
            "evidence": dict(finding.evidence),
        },
    }
    excused = finding.evidence.get("exception")
    if isinstance(excused, dict):
        words = "{reason} ({owner}, until {until})".format(**excused)
        result["suppressions"] = [{"kind": "external", "justification": show_text(words, 2000)}]
    if finding.rule in order:
        result["ruleIndex"] = order[finding.rule]
    return result


def _location(verdict: Verdict, layer: LayerVerdict | None) -> Document:
    name = show_text(verdict.reference, 1000)
    image = f"{name}@{digest_of(verdict)}"
    place: Document = {"name": name, "fullyQualifiedName": image, "kind": "image"}
    if layer is not None:
        place = {
            "name": f"layer {layer.position}",
            "fullyQualifiedName": f"{image}/layer {layer.position} {layer.chain_id}",
            "kind": "layer",
        }
    return {
        "physicalLocation": {
            "artifactLocation": {"uri": _relative_uri(name)},
            "region": {"startLine": 1},
        },
        "logicalLocations": [place],
    }


def _relative_uri(name: str) -> str:
    """The name as a path: with a transport before it, it would look like an absolute URI."""
    path = name.partition(":")[2].lstrip("/") if ":" in name else name
    return quote(path, safe="/@-._~") or "image"


def _fingerprint(verdict: Verdict, layer: LayerVerdict | None, finding: Finding) -> str:
    where = layer.chain_id if layer is not None else _name(verdict.reference)
    what: Iterable[str] = (finding.rule, where, str(finding.status), finding.message)
    return sha256("\0".join(what).encode("utf-8", "backslashreplace")).hexdigest()


def _name(reference: str) -> str:
    """Without tag and digest: builds of one image share their alerts."""
    name = reference.partition("@")[0]
    head, colon, tag = name.rpartition(":")
    return head if colon and "/" not in tag else name
