"""Whether the Kubernetes gate stands before a cluster, and whether it is asked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from layerproof.clusters.kubernetes import Kubernetes
from layerproof.errors import AuthenticationError, SourceError
from layerproof.gates.kubernetes.manifests import Plan, path_of, webhooks

_PROBE = "layerproof.invalid/probe@sha256:" + "0" * 64


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    good: bool
    said: str


def look(api: Kubernetes, namespace: str) -> list[Check]:
    """All checks. Raises SourceError where the cluster does not answer at all."""
    found = []
    for wanted in webhooks(Plan()):
        stands = api.find(path_of(wanted))
        found += _configuration(str(wanted["kind"]), stands)
    found.append(_probe(api, namespace))
    return found


def _configuration(kind: str, stands: Mapping[str, Any] | None) -> list[Check]:
    if stands is None:
        return [Check(kind, False, "is not there: layerproof gate kubernetes install")]
    hooks = list(stands.get("webhooks") or ())
    found = [Check(kind, bool(hooks), f"{len(hooks)} webhooks")]
    bare = [h["name"] for h in hooks if not (h.get("clientConfig") or {}).get("caBundle")]
    found.append(
        Check(f"{kind} caBundle", not bare, ", ".join(bare) + " without" if bare else "is there")
    )
    named = {
        resource for h in hooks for rule in h.get("rules") or () for resource in rule["resources"]
    }
    missing = {"pods", "pods/ephemeralcontainers"} - named
    found.append(
        Check(f"{kind} rules", not missing, f"lack {', '.join(sorted(missing))}" if missing
              else "name pods and their ephemeral containers")
    )  # fmt: skip
    strict = [h["name"] for h in hooks if h.get("failurePolicy", "Fail") == "Fail"]
    found.append(
        Check(f"{kind} failurePolicy", bool(strict),
              "refuses while the gate is down" if strict else "lets all pass while it is down")
    )  # fmt: skip
    return found


def _probe(api: Kubernetes, namespace: str) -> Check:
    """A pod that nothing can trust, by dry run."""
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "layerproof-probe-"},
        "spec": {"containers": [{"name": "probe", "image": _PROBE}]},
    }
    name = f"a pod in {namespace}"
    try:
        api.create(f"/api/v1/namespaces/{namespace}/pods?dryRun=All", body)
    except AuthenticationError as error:
        refused = "layerproof" in error.message
        said = "is refused by the gate" if refused else f"could not be tried: {error.message}"
        return Check(name, refused, said)
    except SourceError as error:
        down = "failed calling webhook" in error.message
        return Check(name, False, "the gate does not answer" if down else str(error))
    return Check(name, False, "passes: the policy's mode, or a namespace that is left out")
