"""ImagePolicyWebhook: `imagepolicy.k8s.io/v1alpha1` ImageReview in, the same with a status out.

It is the weaker way: it knows neither who asks nor what was there before, and it cannot replace a
tag by a digest. Its `annotations` are those of the pod, its author's word: nothing follows from
them. (The API server's plugin once did not ask about ephemeral containers: CVE-2023-2727.)

Source: Kubernetes, "Admission Control in Kubernetes", "ImagePolicyWebhook".
"""

from collections.abc import Sequence

from layerproof.errors import LimitExceededError, ReviewError
from layerproof.gates.kubernetes.admission import GATE, MOST_ANNOTATION, Ruled, message_of
from layerproof.gates.kubernetes.images import MOST_IMAGES
from layerproof.gates.kubernetes.judge import Asked
from layerproof.gates.kubernetes.review import Json, User, exact, keys, parse_strictly
from layerproof.model.facts import Context
from layerproof.model.gate import Answer
from layerproof.model.verdict import Decision

VERSION = "imagepolicy.k8s.io/v1alpha1"
_REVIEW = keys("kind apiVersion spec")
_SPEC = keys("containers annotations namespace")
_CONTAINER = keys("image")
NOBODY = User("", frozenset())


def parse_image_review(data: bytes) -> Asked:
    """Raises ReviewError, LimitExceededError."""
    document = parse_strictly(data, "the review")
    exact(document, _REVIEW, "the review")
    if document.get("kind") != "ImageReview" or document.get("apiVersion") != VERSION:
        raise ReviewError(f"not an ImageReview of {VERSION}", where="apiVersion, kind")
    spec = document.get("spec")
    if not isinstance(spec, dict):
        raise ReviewError("spec is not an object", where="spec")
    exact(spec, _SPEC, "spec")
    containers = spec.get("containers")
    if not isinstance(containers, list) or not containers:
        raise ReviewError("the review names no container", where="spec.containers")
    if len(containers) > MOST_IMAGES:
        raise LimitExceededError(
            f"more than {MOST_IMAGES} images", limit="json_bytes", where="spec.containers"
        )
    namespace = spec.get("namespace") or ""
    if not isinstance(namespace, str):
        raise ReviewError("namespace is not a text", where="spec.namespace")
    images = tuple(dict.fromkeys(map(_image, containers)))
    context = Context(GATE, namespace)
    return Asked(images, context, NOBODY, f"pod in {namespace}", dry_run=False, pinned=False)


def image_reviewed(ruled: Sequence[Ruled]) -> Json:
    """The answer."""
    refused = [item for item in ruled if item.answer.decision is Decision.REFUSE]
    allowed = bool(ruled) and not refused
    status: dict[str, object] = {"allowed": allowed}
    if refused:
        status["reason"] = message_of(refused)
    said = ", ".join(f"{item.image}={item.answer.decision}" for item in ruled)
    status["auditAnnotations"] = {"images": said[:MOST_ANNOTATION]}
    return {"apiVersion": VERSION, "kind": "ImageReview", "status": status}


def image_malformed(answer: Answer) -> Json:
    """The answer to what cannot be judged, by the mode."""
    allowed = answer.decision is not Decision.REFUSE
    status = {"allowed": allowed, "reason": f"layerproof: {answer.reason}"}
    return {"apiVersion": VERSION, "kind": "ImageReview", "status": status}


def _image(container: object) -> str:
    if not isinstance(container, dict):
        raise ReviewError("a container is no object", where="spec.containers")
    exact(container, _CONTAINER, "spec.containers")
    image = container.get("image")
    if not isinstance(image, str) or not image:
        raise ReviewError("a container names no image", where="spec.containers")
    return image
