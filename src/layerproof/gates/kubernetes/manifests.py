"""What has to stand in a cluster for the gate: objects as plain JSON. Pure.

1. Rules name `pods` *and* `pods/ephemeralcontainers`: the first does not imply the second.
2. The gate's own namespace is left out, so that it can start while it does not answer.
3. In the namespaces that the cluster itself lives by (`soft`), the gate is asked and obeyed, but a
   gate that does not answer is passed over: else the network's pods could not start, and the gate
   not without the network. Everywhere else it is refused (`failurePolicy: Fail`).

Source: Kubernetes API, admissionregistration.k8s.io/v1.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

NAME = "layerproof-gate"
DOMAIN = "gate.layerproof.dev"
SECRET = "layerproof-gate-tls"
PORT = 8443
_LABEL = "kubernetes.io/metadata.name"
_TLS = "/etc/layerproof-tls"
_VERSION = "admissionregistration.k8s.io/v1"

Object = dict[str, Any]

RULES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("", ("pods", "pods/ephemeralcontainers", "replicationcontrollers", "podtemplates")),
    ("apps", ("deployments", "replicasets", "statefulsets", "daemonsets")),
    ("batch", ("jobs", "cronjobs")),
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What the operator chooses. `url`: where the gate is outside of the cluster."""

    namespace: str = "layerproof"
    authorities: bytes = b""  # PEM; empty: the gate writes them, or cert-manager does
    url: str = ""
    timeout: int = 10
    soft: tuple[str, ...] = ("kube-system", "kube-node-lease", "kube-public")
    custom: tuple[str, ...] = ()  # RESOURCE.GROUP of custom resources with pods in them
    fail: bool = True
    image: str = ""
    service_config: str = ""  # text
    policy: str = ""  # text; empty: the built-in one
    database: str = ""  # of a Secret: NAME/KEY with a PostgreSQL URL
    replicas: int = 2
    issuer: str = ""  # of cert-manager, which then makes the certificates: [Issuer/]NAME


def webhooks(plan: Plan) -> list[Object]:
    """The two configurations."""
    return [
        _configuration(plan, "MutatingWebhookConfiguration", "mutate"),
        _configuration(plan, "ValidatingWebhookConfiguration", "validate"),
    ]


def _configuration(plan: Plan, kind: str, path: str) -> Object:
    strict = _webhook(plan, path, path, "Fail" if plan.fail else "Ignore", _outside(plan))
    found = [strict]
    if plan.soft:
        inside = [{"key": _LABEL, "operator": "In", "values": list(plan.soft)}]
        found.append(_webhook(plan, f"{path}-soft", path, "Ignore", inside))
    metadata: Object = {"name": NAME, "labels": _labels()}
    if plan.issuer:
        metadata["annotations"] = {"cert-manager.io/inject-ca-from": f"{plan.namespace}/{NAME}"}
    return {"apiVersion": _VERSION, "kind": kind, "metadata": metadata, "webhooks": found}


def _webhook(
    plan: Plan, name: str, path: str, failure: str, namespaces: Sequence[Object]
) -> Object:
    client: Object = {}
    if plan.authorities:
        client["caBundle"] = base64.b64encode(plan.authorities).decode()
    if plan.url:
        client["url"] = f"{plan.url}/{path}"
    else:
        client["service"] = {
            "name": NAME, "namespace": plan.namespace, "path": f"/{path}", "port": 443,
        }  # fmt: skip
    found: Object = {
        "name": f"{name}.{DOMAIN}",
        "clientConfig": client,
        "rules": _rules(plan.custom),
        "namespaceSelector": {"matchExpressions": list(namespaces)},
        "failurePolicy": failure,
        "matchPolicy": "Equivalent",
        "sideEffects": "NoneOnDryRun",
        "timeoutSeconds": plan.timeout,
        "admissionReviewVersions": ["v1"],
    }
    if path == "mutate":
        found["reinvocationPolicy"] = "IfNeeded"
    return found


def _outside(plan: Plan) -> list[Object]:
    own = [] if plan.url else [plan.namespace]
    values = list(dict.fromkeys([*own, *plan.soft]))
    return [{"key": _LABEL, "operator": "NotIn", "values": values}] if values else []


def _rules(custom: Sequence[str]) -> list[Object]:
    groups = [*RULES, *(_custom(text) for text in custom)]
    return [
        {
            "apiGroups": [group],
            "apiVersions": ["*"],
            "resources": list(resources),
            "operations": ["CREATE", "UPDATE"],
            "scope": "Namespaced",
        }
        for group, resources in groups
    ]


def _custom(text: str) -> tuple[str, tuple[str, ...]]:
    resource, _, group = text.partition(".")
    return group, (resource,)


def workload(plan: Plan) -> list[Object]:
    """The gate inside the cluster; nothing where it is outside."""
    if plan.url:
        return []
    return [
        _object("v1", "Namespace", plan.namespace, "", labels=_hardened()),
        _object("v1", "ServiceAccount", NAME, plan.namespace),
        *([certificate(plan)] if plan.issuer else _roles(plan)),
        _object("v1", "ConfigMap", NAME, plan.namespace, data=_files(plan)),
        _object(
            "v1", "Service", NAME, plan.namespace,
            spec={"selector": _labels(), "ports": [{"port": 443, "targetPort": PORT}]},
        ),
        _object(
            "policy/v1", "PodDisruptionBudget", NAME, plan.namespace,
            spec={"minAvailable": 1, "selector": {"matchLabels": _labels()}},
        ),
        _object("apps/v1", "Deployment", NAME, plan.namespace, spec=_deployment(plan)),
    ]  # fmt: skip


def certificate(plan: Plan) -> Object:
    """What cert-manager is asked for (cert-manager.io/v1, Certificate)."""
    kind, _, name = plan.issuer.rpartition("/")
    issuer = {"group": "cert-manager.io", "kind": kind or "ClusterIssuer", "name": name}
    host = f"{NAME}.{plan.namespace}.svc"
    return _object(
        "cert-manager.io/v1", "Certificate", NAME, plan.namespace,
        spec={
            "secretName": SECRET,
            "dnsNames": [host, f"{host}.cluster.local"],
            "issuerRef": issuer,
            "privateKey": {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"},
        },
    )  # fmt: skip


def _roles(plan: Plan) -> list[Object]:
    """No more than the certificates need, where the gate makes them."""
    hooks = ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"]
    own: list[Object] = [
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]},
        {"apiGroups": [""], "resources": ["secrets"], "resourceNames": [SECRET],
         "verbs": ["get", "update"]},
    ]  # fmt: skip
    all_over: list[Object] = [
        {"apiGroups": ["admissionregistration.k8s.io"], "resources": hooks,
         "resourceNames": [NAME], "verbs": ["get", "update"]},
    ]  # fmt: skip
    api = "rbac.authorization.k8s.io/v1"
    subject = {"kind": "ServiceAccount", "name": NAME, "namespace": plan.namespace}

    def bound(kind: str) -> Object:
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": NAME}
        return {"roleRef": role, "subjects": [subject]}

    return [
        _object(api, "Role", NAME, plan.namespace, rules=own),
        _object(api, "RoleBinding", NAME, plan.namespace, **bound("Role")),
        _object(api, "ClusterRole", NAME, "", rules=all_over),
        _object(api, "ClusterRoleBinding", NAME, "", **bound("ClusterRole")),
    ]


def _files(plan: Plan) -> Mapping[str, str]:
    found = {"service.yaml": plan.service_config}
    return {**found, "policy.yaml": plan.policy} if plan.policy else found


def _deployment(plan: Plan) -> Object:
    arguments = ["gate", "kubernetes", "serve", "--listen", f"0.0.0.0:{PORT}"]
    if plan.issuer:
        arguments += ["--tls-cert", f"{_TLS}/tls.crt", "--tls-key", f"{_TLS}/tls.key"]
    else:
        arguments += ["--certificates", f"{NAME}.{plan.namespace}.svc"]
    arguments += ["--config", "/etc/layerproof/service.yaml"]
    arguments += ["--policy", "/etc/layerproof/policy.yaml"] if plan.policy else []
    secret, _, key = plan.database.partition("/")
    environment: list[Object] = [{"name": "HOME", "value": "/tmp"}]
    if secret:
        reference = {"secretKeyRef": {"name": secret, "key": key}}
        environment.append({"name": "LAYERPROOF_INDEX", "valueFrom": reference})
    probe = {"httpGet": {"path": "/healthz", "port": PORT, "scheme": "HTTPS"}, "periodSeconds": 5}
    container: Object = {
        "name": "gate",
        "image": plan.image,
        "args": arguments,
        "env": environment,
        "ports": [{"containerPort": PORT}],
        "readinessProbe": probe,
        "livenessProbe": {**probe, "periodSeconds": 20, "failureThreshold": 5},
        "resources": {"requests": {"cpu": "200m", "memory": "256Mi"},
                      "limits": {"memory": "1Gi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
            "runAsNonRoot": True, "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "files", "mountPath": "/etc/layerproof", "readOnly": True},
            {"name": "scratch", "mountPath": "/tmp"},
        ],
    }  # fmt: skip
    if plan.issuer:
        container["volumeMounts"].append({"name": "tls", "mountPath": _TLS, "readOnly": True})
    pod: Object = {
        "serviceAccountName": NAME,
        "priorityClassName": "system-cluster-critical",
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "topologySpreadConstraints": [{
            "maxSkew": 1, "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {"matchLabels": _labels()},
        }],
        "containers": [container],
        "volumes": [
            {"name": "files", "configMap": {"name": NAME}},
            {"name": "scratch", "emptyDir": {}},
            *([{"name": "tls", "secret": {"secretName": SECRET}}] if plan.issuer else []),
        ],
    }  # fmt: skip
    return {
        "replicas": plan.replicas,
        "selector": {"matchLabels": _labels()},
        "template": {"metadata": {"labels": _labels()}, "spec": pod},
    }


def _object(api: str, kind: str, name: str, namespace: str, **more: Any) -> Object:
    labels = {**_labels(), **more.pop("labels", {})}
    metadata: Object = {"name": name, "labels": labels}
    if namespace:
        metadata["namespace"] = namespace
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **more}


def _labels() -> dict[str, str]:
    return {"app.kubernetes.io/name": NAME}


def _hardened() -> dict[str, str]:
    return {"pod-security.kubernetes.io/enforce": "restricted"}


_PLURALS = {
    "Namespace": "namespaces",
    "ServiceAccount": "serviceaccounts",
    "ConfigMap": "configmaps",
    "Service": "services",
    "PodDisruptionBudget": "poddisruptionbudgets",
    "Deployment": "deployments",
    "Certificate": "certificates",
    "Role": "roles",
    "RoleBinding": "rolebindings",
    "ClusterRole": "clusterroles",
    "ClusterRoleBinding": "clusterrolebindings",
    "MutatingWebhookConfiguration": "mutatingwebhookconfigurations",
    "ValidatingWebhookConfiguration": "validatingwebhookconfigurations",
}


def path_of(document: Mapping[str, Any]) -> str:
    """Where the API has an object."""
    api, metadata = document["apiVersion"], document["metadata"]
    root = f"/api/{api}" if "/" not in api else f"/apis/{api}"
    within = f"/namespaces/{metadata['namespace']}" if "namespace" in metadata else ""
    return f"{root}{within}/{_PLURALS[document['kind']]}/{metadata['name']}"


def trusting(document: Mapping[str, Any], authorities: bytes) -> Object | None:
    """The configuration with these authorities; None if it has them already."""
    bundle = base64.b64encode(authorities).decode()
    found = [dict(hook) for hook in document.get("webhooks") or ()]
    if all((hook.get("clientConfig") or {}).get("caBundle") == bundle for hook in found):
        return None
    for hook in found:
        hook["clientConfig"] = {**(hook.get("clientConfig") or {}), "caBundle": bundle}
    return {**document, "webhooks": found}
