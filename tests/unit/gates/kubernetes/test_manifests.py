"""What stands in a cluster: no rule leaves anything out, nothing locks a cluster out of itself."""

from dataclasses import replace
from typing import Any

from layerproof.gates.kubernetes.manifests import NAME, Plan, path_of, trusting, webhooks, workload

INSIDE = Plan(image="registry.example/layerproof@sha256:0", database="db/url")


def hooks(plan: Plan) -> list[dict[str, Any]]:
    return [hook for document in webhooks(plan) for hook in document["webhooks"]]


def test_cve_2023_2727_rules_name_pods_and_their_ephemeral_containers() -> None:
    for hook in hooks(INSIDE):
        resources = {r for rule in hook["rules"] for r in rule["resources"]}
        assert {"pods", "pods/ephemeralcontainers", "cronjobs", "deployments"} <= resources
        operations = {o for rule in hook["rules"] for o in rule["operations"]}
        assert operations == {"CREATE", "UPDATE"}
        assert hook["matchPolicy"] == "Equivalent"


def matches(hook: dict[str, Any], namespace: str) -> bool:
    for wanted in hook["namespaceSelector"]["matchExpressions"]:
        inside = namespace in wanted["values"]
        if inside is not (wanted["operator"] == "In"):
            return False
    return True


def test_every_namespace_is_asked_but_the_gates_own() -> None:
    for document in webhooks(INSIDE):
        for namespace, policy in (("shop", ["Fail"]), ("kube-system", ["Ignore"]),
                                  ("layerproof", [])):  # fmt: skip
            found = [h["failurePolicy"] for h in document["webhooks"] if matches(h, namespace)]
            assert found == policy, (namespace, document["kind"])


def test_a_gate_outside_leaves_no_namespace_out() -> None:
    plan = Plan(url="https://gate.example", authorities=b"pem", soft=())
    assert all(matches(hook, "layerproof") for hook in hooks(plan))
    assert workload(plan) == []


def test_side_effects_are_none_on_a_dry_run() -> None:
    assert {hook["sideEffects"] for hook in hooks(INSIDE)} == {"NoneOnDryRun"}


def test_custom_resources_are_added() -> None:
    plan = Plan(custom=("rollouts.argoproj.io",))
    rule = {"apiGroups": ["argoproj.io"], "resources": ["rollouts"]}
    assert all(any(rule.items() <= r.items() for r in hook["rules"]) for hook in hooks(plan))


def test_the_gates_rights_are_those_that_its_certificates_need() -> None:
    roles = [d for d in workload(INSIDE) if d["kind"] in ("Role", "ClusterRole")]
    for role in roles:
        for rule in role["rules"]:
            assert "*" not in rule["verbs"] + rule["resources"] + rule["apiGroups"]
            assert rule["verbs"] == ["create"] or rule["resourceNames"]


def test_with_cert_manager_the_gate_has_no_rights_and_serves_its_certificate() -> None:
    plan = replace(INSIDE, namespace="trust", issuer="Issuer/ours")
    every = {document["kind"]: document for document in workload(plan)}
    assert not {"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"} & set(every)
    spec = every["Certificate"]["spec"]
    assert (spec["issuerRef"]["kind"], spec["issuerRef"]["name"]) == ("Issuer", "ours")
    service = webhooks(plan)[0]["webhooks"][0]["clientConfig"]["service"]
    assert f"{service['name']}.{service['namespace']}.svc" in spec["dnsNames"]
    for document in webhooks(plan):
        source = document["metadata"]["annotations"]["cert-manager.io/inject-ca-from"]
        metadata = every["Certificate"]["metadata"]
        assert source == f"{metadata['namespace']}/{metadata['name']}"
    pod = every["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    (volume,) = [v for v in pod["volumes"] if v["name"] == "tls"]
    assert volume["secret"]["secretName"] == spec["secretName"]
    (mount,) = [m for m in container["volumeMounts"] if m["name"] == "tls"]
    arguments = container["args"]
    for option, file in (("--tls-cert", "tls.crt"), ("--tls-key", "tls.key")):
        assert arguments[arguments.index(option) + 1] == f"{mount['mountPath']}/{file}"
    assert "--certificates" not in arguments


def test_a_cluster_issuer_needs_no_kind() -> None:
    (found,) = [d for d in workload(replace(INSIDE, issuer="ours")) if d["kind"] == "Certificate"]
    assert found["spec"]["issuerRef"]["kind"] == "ClusterIssuer"


def test_the_gates_pod_keeps_to_the_restricted_profile() -> None:
    (deployment,) = [d for d in workload(INSIDE) if d["kind"] == "Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert pod["securityContext"]["runAsNonRoot"]


def test_every_object_has_its_place_in_the_api() -> None:
    paths = [path_of(d) for d in [*workload(INSIDE), *webhooks(INSIDE)]]
    assert len(set(paths)) == len(paths)
    assert f"/apis/apps/v1/namespaces/layerproof/deployments/{NAME}" in paths
    assert "/api/v1/namespaces/layerproof" in paths


def test_authorities_are_written_once() -> None:
    document = webhooks(INSIDE)[0]
    changed = trusting(document, b"authorities")
    assert changed is not None
    assert trusting(changed, b"authorities") is None
    assert changed["webhooks"][0]["rules"] == document["webhooks"][0]["rules"]
