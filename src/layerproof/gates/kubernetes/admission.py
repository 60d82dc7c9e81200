"""From a review to what has to be judged, and from the answers to what the API server is told.

1. What is judged: every image that the object has and the old object has not. So an update that
   leaves images as they are passes, whatever has become of them: finalizers can be removed, a
   workload can be scaled down, labels can be changed. An object that is about to be deleted is
   judged like any other (CVE-2023-34091).
2. A pod without any image that could be judged is refused: nothing found is not all good.
3. The mutating webhook writes the digest that was resolved beside every tag; it changes nothing
   that has a digest, so that it may be called again. It does not decide.
4. The validating webhook is asked after all mutating ones, and decides on what will be stored. It
   refuses a tag that was to be pinned: somebody wrote it after the pinning.
5. Pods by which a node shows what it runs already (mirror pods) are never changed, and never
   refused: that would hide the container, not end it. They are told. Only the node itself may say
   that a pod is one; the annotation alone, which anybody can write, says nothing.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from layerproof.errors import ReviewError
from layerproof.gates.kubernetes.images import Place, find_images
from layerproof.gates.kubernetes.review import Json, Review
from layerproof.model.facts import Context
from layerproof.model.gate import Answer
from layerproof.model.verdict import Decision
from layerproof.rules.text import show_text

GATE = "kubernetes"
MOST_WARNING = 256  # characters; Kubernetes cuts there
MOST_WARNINGS = 10
MOST_MESSAGE = 4000
MOST_ANNOTATION = 4000
MIRROR = "kubernetes.io/config.mirror"


class Pin(StrEnum):
    """Where tags are replaced by digests."""

    ALL = "all"  # in pods, and in the templates of workloads
    PODS = "pods"
    NONE = "none"  # nowhere: what is judged and what a node pulls may differ


@dataclass(frozen=True, slots=True)
class Plan:
    """What a review asks for."""

    places: tuple[Place, ...]  # to be judged
    context: Context
    is_pod: bool
    mirror: bool
    skipped: int  # images of a custom resource that are no text

    @property
    def images(self) -> tuple[str, ...]:
        """Each text once, in the order of the object."""
        return tuple(dict.fromkeys(place.image for place in self.places))

    def pins(self, pin: Pin) -> bool:
        """Whether tags in this object are to be replaced."""
        if self.mirror:
            return False
        return pin is Pin.ALL or (pin is Pin.PODS and self.is_pod)


def plan(review: Review) -> Plan:
    """Raises ReviewError, LimitExceededError: to be refused."""
    is_pod = (review.group, review.kind) == ("", "Pod")
    if review.operation in ("DELETE", "CONNECT"):
        return Plan((), Context(GATE, review.namespace), is_pod, False, 0)
    if review.object is None:
        raise ReviewError("there is no object to admit", where="request.object")
    found = find_images(review.object, review.group)
    if is_pod and not found.places:
        raise ReviewError(
            "the pod names no image", where="request.object", remedy="name one in each container"
        )
    before: set[str] = set()
    if review.operation == "UPDATE" and review.old is not None:
        before = {place.image for place in find_images(review.old, review.group).places}
    places = sorted(
        (place for place in found.places if place.image not in before),
        key=lambda place: [(isinstance(part, int), part) for part in place.path],
    )
    return Plan(
        tuple(places),
        Context(GATE, review.namespace, _node(review.object), _labels(review.object, is_pod)),
        is_pod,
        is_pod and _is_mirror(review),
        len(found.skipped),
    )


def _is_mirror(review: Review) -> bool:
    """Rule 5."""
    if MIRROR not in _table(_table(review.object, "metadata"), "annotations"):
        return False
    node = _node(review.object or {})
    return (
        node is not None
        and review.user.name == f"system:node:{node}"
        and "system:nodes" in review.user.groups
    )


def _node(document: Json) -> str | None:
    name = _table(document, "spec").get("nodeName")
    return name if isinstance(name, str) and name else None


def _labels(document: Json, is_pod: bool) -> Mapping[str, str]:
    """Those of the pods that will run: of the template, where there is one."""
    holder: Json = document
    while not is_pod:
        spec = holder.get("spec") if "spec" in holder else holder
        below = spec if isinstance(spec, dict) else {}
        inner = below.get("template", below.get("jobTemplate"))
        if not isinstance(inner, dict):
            break
        holder = inner
    labels = _table(_table(holder, "metadata"), "labels")
    return {key: value for key, value in labels.items() if isinstance(value, str)}


def _table(within: Json | None, key: str) -> Json:
    found = (within or {}).get(key)
    return found if isinstance(found, dict) else {}


# --- answers -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ruled:
    """The answer on one image of an object."""

    image: str  # as the object has it
    answer: Answer
    note: str = ""  # what let it pass, where the answer would not: an exemption, break-glass


def patch_of(places: Sequence[Place], digests: Mapping[str, str]) -> list[dict[str, str]]:
    """A JSON Patch (RFC 6902) that writes the digest beside every tag. `digests`: by text."""
    return [
        {"op": "replace", "path": place.pointer, "value": f"{place.image}@{digests[place.image]}"}
        for place in places
        if place.image in digests
    ]


def mutated(review: Review, patch: Sequence[Mapping[str, str]], warnings: Sequence[str]) -> Json:
    """The mutating webhook's answer; it never refuses."""
    response: dict[str, Any] = {"uid": review.uid, "allowed": True}
    if patch:
        encoded = json.dumps(patch).encode()
        response |= {"patchType": "JSONPatch", "patch": base64.b64encode(encoded).decode()}
        response["auditAnnotations"] = {"pinned": _cut(
            ", ".join(f"{item['path']}={item['value']}" for item in patch), MOST_ANNOTATION
        )}  # fmt: skip
    if warnings:
        response["warnings"] = _warnings(warnings)
    return _document(review.api_version, response)


def validated(review: Review, planned: Plan, ruled: Sequence[Ruled]) -> Json:
    """The validating webhook's answer."""
    refused = [] if planned.mirror else [r for r in ruled if r.answer.decision is Decision.REFUSE]
    warnings = [warning_of(r) for r in ruled if r not in refused and _is_told(r)]
    response: dict[str, Any] = {"uid": review.uid, "allowed": not refused}
    if refused:
        response["status"] = _status(message_of(refused))
    if warnings:
        response["warnings"] = _warnings(warnings)
    response["auditAnnotations"] = annotations_of(planned, ruled, refused=bool(refused))
    return _document(review.api_version, response)


def malformed(review: Review, answer: Answer) -> Json:
    """The answer to a review that cannot be judged, by the mode."""
    refused = answer.decision is Decision.REFUSE
    remedy = f"; {answer.remedy}" if answer.remedy else ""
    text = f"layerproof: {show_text(answer.reason + remedy, MOST_MESSAGE - 20)}"
    response: dict[str, Any] = {"uid": review.uid, "allowed": not refused}
    if refused:
        response["status"] = _status(text)
    elif answer.decision is Decision.ALERT:
        response["warnings"] = _warnings([text])
    response["auditAnnotations"] = {"decision": str(answer.decision), "cause": str(answer.cause)}
    return _document(review.api_version, response)


def message_of(refused: Sequence[Ruled]) -> str:
    """Why an object is refused: every image that is, not the first."""
    parts = []
    for item in refused:
        remedy = f" ({item.answer.remedy})" if item.answer.remedy else ""
        parts.append(f"{show_text(item.image, 300)}: {item.answer.reason}{remedy}")
    return show_text(f"layerproof refuses {'; '.join(parts)}", MOST_MESSAGE - 1)


def warning_of(item: Ruled) -> str:
    """What is told of an image that passes all the same."""
    passed = item.note or f"mode {item.answer.mode}"
    return f"layerproof: {show_text(item.image, 120)} passes ({passed}): {item.answer.reason}"


def _is_told(item: Ruled) -> bool:
    """An image that passes for another reason than its own."""
    if item.note:
        return True
    answer = item.answer
    quiet = answer.decision is Decision.ADMIT  # in the mode `observe` a refusal only counts
    return not quiet


def annotations_of(planned: Plan, ruled: Sequence[Ruled], *, refused: bool) -> dict[str, str]:
    """For the audit log of the cluster."""
    decisions = {item.answer.decision for item in ruled}
    word = "refuse" if refused else ("alert" if decisions - {Decision.ADMIT} else "admit")
    found = {"decision": word}
    said = [f"{item.image}={_outcome(item)}" for item in ruled]
    if said:
        found["images"] = _cut(", ".join(said), MOST_ANNOTATION)
    noted = [f"{item.image}: {item.note}" for item in ruled if item.note]
    if noted:
        found["passed"] = _cut(", ".join(noted), MOST_ANNOTATION)
    would = [item.image for item in ruled if item.answer.would_refuse]
    if would:
        found["would-refuse"] = _cut(", ".join(would), MOST_ANNOTATION)
    if planned.mirror:
        found["mirror"] = "true"
    if planned.skipped:
        found["skipped"] = f"{planned.skipped} images that are no text"
    return found


def _outcome(item: Ruled) -> str:
    answer = item.answer
    parts = [str(answer.decision), str(answer.cause), answer.verdict_id]
    return "/".join(part for part in parts if part)


def _document(api_version: str, response: Json) -> Json:
    return {"apiVersion": api_version, "kind": "AdmissionReview", "response": response}


def _status(message: str) -> Json:
    return {"code": 403, "reason": "Forbidden", "message": _cut(message, MOST_MESSAGE)}


def _warnings(texts: Sequence[str]) -> list[str]:
    shown = [_cut(show_text(text, MOST_WARNING), MOST_WARNING) for text in texts[:MOST_WARNINGS]]
    if len(texts) > MOST_WARNINGS:
        shown[-1] = f"layerproof: {len(texts) - MOST_WARNINGS + 1} more images pass with a warning"
    return shown


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
