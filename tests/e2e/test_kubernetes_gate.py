"""The Kubernetes gate before a real API server: what is refused, what is admitted, what goes on.

Needs kube-apiserver, which `make e2e-kubernetes` builds, and etcd.
"""

import base64
import json
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.e2e.daemons import CannotStartError, Registry, free_port, registry
from tests.e2e.kubernetes import Cluster, cluster
from tests.e2e.service import clean, until
from tests.e2e.test_registry_gate import copy, trust

from layerproof.testing.images import BuiltImage, build, write_oci_layout

pytestmark = pytest.mark.real
CONFIG = """\
kubernetes:
  tagSeconds: 1
  breakGlass:
    - groups: [oncall]
      namespaces: [shop]
      from: {since}
      until: {until}
      reason: the registry burns
      owner: tests
"""
ALERTING = """\
apiVersion: layerproof/v1
kind: Policy
blocks:
  - name: lenient
    scope: {namespaces: [lenient]}
    mode: alert
"""


@dataclass(frozen=True)
class World:
    cluster: Cluster
    registry: Registry
    images: dict[str, BuiltImage]
    folder: Path

    def tagged(self, name: str) -> str:
        return f"{self.registry.host}/team/{name}:1"

    def pinned(self, name: str) -> str:
        return f"{self.registry.host}/team/{name}@{self.images[name].manifest_digest}"

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "layerproof.cli.main", *arguments],
            env=environment(self.folder, self.registry.host, self.cluster),
            capture_output=True,
            text=True,
            check=False,
        )


def environment(folder: Path, host: str, api: Cluster) -> dict[str, str]:
    return clean(
        {
            "LAYERPROOF_INDEX": str(folder / "index.db"),
            "LAYERPROOF_INSECURE_REGISTRIES": host,
            "KUBECONFIG": str(api.kubeconfig),
            "DOCKER_CONFIG": str(folder),
        }
    )


@pytest.fixture(scope="module")
def world(short_folder: Path) -> Iterator[World]:
    folder = short_folder / "kubernetes"
    folder.mkdir()
    if not shutil.which("skopeo"):
        pytest.skip("not installed: skopeo")
    made = {
        "good": build([{"etc/motd": "hello\n"}]),
        "evil": build([{"tmp/miner": "#!/bin/sh\n"}]),
        "later": build([{"tmp/later": "#!/bin/sh\n"}]),
    }
    write_oci_layout(folder / "layout", made)
    try:
        with cluster(folder / "cluster") as api, registry(folder / "registry") as running:
            for name in made:
                copy(folder / "layout", name, f"{running.host}/team/{name}:1")
            trust(folder, running.host, f"docker://{running.host}/team/good:1")
            for name in ("shop", "lenient"):
                body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
                assert api.ask("POST", "/api/v1/namespaces", body).status_code == 201
            for group in ("developers", "oncall"):
                binding = {
                    "apiVersion": "rbac.authorization.k8s.io/v1",
                    "kind": "ClusterRoleBinding",
                    "metadata": {"name": group},
                    "subjects": [
                        {"kind": "Group", "name": group, "apiGroup": "rbac.authorization.k8s.io"}
                    ],
                    "roleRef": {
                        "apiGroup": "rbac.authorization.k8s.io",
                        "kind": "ClusterRole",
                        "name": "cluster-admin",
                    },
                }
                path = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
                assert api.ask("POST", path, binding).status_code == 201
            found = World(api, running, made, folder)
            with gate(found):
                yield found
    except CannotStartError as error:
        pytest.skip(f"no Kubernetes: {error}")


@contextmanager
def gate(world: World) -> Iterator[None]:
    """The gate beside the cluster, and installed in it, inside the block."""
    folder = world.folder
    now = datetime.now(UTC).replace(microsecond=0)
    hour = timedelta(hours=1)
    (folder / "service.yaml").write_text(
        CONFIG.format(since=(now - hour).isoformat(), until=(now + hour).isoformat())
    )
    (folder / "policy.yaml").write_text(ALERTING)
    tls = folder / "tls"
    made = world.run("gate", "kubernetes", "certificates", str(tls), "--host", "127.0.0.1")
    assert made.returncode == 0, made.stderr
    port = free_port()
    url = f"https://127.0.0.1:{port}"
    command = [
        sys.executable, "-m", "layerproof.cli.main", "gate", "kubernetes", "serve",
        "--listen", f"127.0.0.1:{port}", "--tls-cert", str(tls / "tls.crt"),
        "--tls-key", str(tls / "tls.key"), "--config", str(folder / "service.yaml"),
        "--policy", str(folder / "policy.yaml"), "--wait", "6",
    ]  # fmt: skip
    variables = environment(folder, world.registry.host, world.cluster)

    def ready() -> bool:
        try:
            context = ssl.create_default_context(cafile=str(tls / "ca.crt"))
            return httpx.get(f"{url}/healthz", verify=context).status_code == 200
        except httpx.HTTPError:
            return False

    with (folder / "gate.log").open("ab") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=variables
        )
    try:
        until(lambda: process.poll() is not None or ready())
        assert process.poll() is None, (folder / "gate.log").read_text()
        done = world.run(
            "gate", "kubernetes", "install", "--url", url, "--ca-file", str(tls / "ca.crt"),
            "--custom", "widgets.example.org", "--apply",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        # The API server takes a moment to learn of webhooks.
        until(lambda: world.run("gate", "kubernetes", "status").returncode == 0)
        yield
    finally:
        process.terminate()
        process.wait(30)


_count = iter(range(10_000))


def pod(image: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"pod-{next(_count)}"},
        "spec": {"containers": [{"name": "main", "image": image}], **spec},
    }


def workload(api: str, kind: str, image: str) -> dict[str, Any]:
    labels = {"app": "x"}
    template: dict[str, Any] = {
        "metadata": {"labels": labels},
        "spec": {"containers": [{"name": "main", "image": image}]},
    }
    spec: dict[str, Any] = {"template": template}
    if kind in ("Job", "CronJob"):
        template["spec"]["restartPolicy"] = "Never"
    if kind == "CronJob":
        spec = {"schedule": "0 0 * * *", "jobTemplate": {"spec": spec}}
    elif kind == "ReplicationController":
        spec["selector"] = labels
    elif kind == "StatefulSet":
        spec |= {"selector": {"matchLabels": labels}, "serviceName": "x"}
    elif kind != "Job":
        spec["selector"] = {"matchLabels": labels}
    metadata = {"name": f"w-{next(_count)}"}
    if kind == "PodTemplate":
        return {"apiVersion": api, "kind": kind, "metadata": metadata, "template": template}
    return {"apiVersion": api, "kind": kind, "metadata": metadata, "spec": spec}


WORKLOADS = [
    ("apps/v1", "Deployment", "deployments"),
    ("apps/v1", "ReplicaSet", "replicasets"),
    ("apps/v1", "StatefulSet", "statefulsets"),
    ("apps/v1", "DaemonSet", "daemonsets"),
    ("batch/v1", "Job", "jobs"),
    ("batch/v1", "CronJob", "cronjobs"),
    ("v1", "ReplicationController", "replicationcontrollers"),
    ("v1", "PodTemplate", "podtemplates"),
]


def refused(answer: httpx.Response) -> bool:
    if answer.status_code < 400:
        return False
    assert "layerproof" in answer.text, answer.text
    return True


@pytest.mark.parametrize("by", ["tag", "digest"])
def test_a_pod_is_admitted_or_refused_and_its_tag_pinned(world: World, by: str) -> None:
    name = world.tagged if by == "tag" else world.pinned
    made = world.cluster.create("pods", pod(name("good")))
    assert made.status_code == 201, made.text
    image = made.json()["spec"]["containers"][0]["image"]
    assert image.endswith(f"@{world.images['good'].manifest_digest}")
    answer = world.cluster.create("pods", pod(name("evil")))
    assert refused(answer)
    assert "trusted-base" in answer.json()["message"]


def test_no_place_in_a_pod_escapes(world: World) -> None:
    good, evil = world.pinned("good"), world.pinned("evil")
    init = pod(good, initContainers=[{"name": "i", "image": evil}])
    assert refused(world.cluster.create("pods", init))
    volume = pod(good, volumes=[{"name": "v", "image": {"reference": evil}}])
    assert refused(world.cluster.create("pods", volume))
    fine = pod(
        good,
        initContainers=[{"name": "i", "image": good}],
        volumes=[{"name": "v", "image": {"reference": world.tagged("good")}}],
    )
    made = world.cluster.create("pods", fine)
    assert made.status_code == 201, made.text
    reference = made.json()["spec"]["volumes"][0]["image"]["reference"]
    assert reference.endswith(f"@{world.images['good'].manifest_digest}")


def test_cve_2023_2727_an_ephemeral_container_is_refused(world: World) -> None:
    body = pod(world.pinned("good"))
    assert world.cluster.create("pods", body).status_code == 201
    path = f"/api/v1/namespaces/shop/pods/{body['metadata']['name']}/ephemeralcontainers"
    for image, good in ((world.tagged("evil"), False), (world.tagged("good"), True)):
        patch = {"spec": {"ephemeralContainers": [{"name": "debug", "image": image}]}}
        answer = world.cluster.ask(
            "PATCH", path, patch, kind="application/strategic-merge-patch+json"
        )
        assert refused(answer) is not good, answer.text


@pytest.mark.parametrize(("api", "kind", "resource"), WORKLOADS)
def test_no_workload_escapes(world: World, api: str, kind: str, resource: str) -> None:
    made = world.cluster.create(resource, workload(api, kind, world.tagged("good")))
    assert made.status_code == 201, made.text
    assert str(world.images["good"].manifest_digest) in made.text
    assert refused(world.cluster.create(resource, workload(api, kind, world.tagged("evil"))))


def test_cve_2023_34091_a_pod_that_is_being_deleted_cannot_change_its_image(world: World) -> None:
    body = pod(world.pinned("good"))
    body["metadata"]["finalizers"] = ["example.org/stay"]
    assert world.cluster.create("pods", body).status_code == 201
    path = f"/api/v1/namespaces/shop/pods/{body['metadata']['name']}"
    assert world.cluster.ask("DELETE", path).status_code == 200
    assert "deletionTimestamp" in world.cluster.ask("GET", path).json()["metadata"]
    image = {"spec": {"containers": [{"name": "main", "image": world.pinned("evil")}]}}
    kind = "application/strategic-merge-patch+json"
    assert refused(world.cluster.ask("PATCH", path, image, kind=kind))
    free = {"metadata": {"finalizers": None}}
    done = world.cluster.ask("PATCH", path, free, kind="application/merge-patch+json")
    assert done.status_code == 200, done.text


def test_a_workload_whose_image_lost_its_trust_can_still_be_scaled_down(world: World) -> None:
    body = workload("apps/v1", "Deployment", world.pinned("evil"))
    body["metadata"]["namespace"] = "lenient"
    assert world.cluster.create("deployments", body).status_code == 201
    path = f"/apis/apps/v1/namespaces/lenient/deployments/{body['metadata']['name']}"
    patch = {"spec": {"replicas": 0}}
    for sub in ("", "/scale"):
        kind = "application/merge-patch+json"
        answer = world.cluster.ask("PATCH", path + sub, patch, kind=kind)
        assert answer.status_code == 200, answer.text


def test_a_mild_mode_warns(world: World) -> None:
    body = pod(world.pinned("evil"))
    body["metadata"]["namespace"] = "lenient"
    answer = world.cluster.create("pods", body)
    assert answer.status_code == 201, answer.text
    warning = answer.headers["warning"]
    assert "layerproof" in warning


def test_a_dry_run_is_judged(world: World) -> None:
    path = "/api/v1/namespaces/shop/pods?dryRun=All"
    assert refused(world.cluster.ask("POST", path, pod(world.tagged("evil"))))
    made = world.cluster.ask("POST", path, pod(world.tagged("good")))
    assert made.status_code == 201
    assert "@sha256:" in made.text


def test_break_glass_is_for_its_group_and_is_audited(world: World) -> None:
    body = pod(world.pinned("later"))
    assert refused(world.cluster.create("pods", body, user="jane", groups="developers"))
    body["metadata"]["annotations"] = {"layerproof.dev/break-glass": "true"}
    assert refused(world.cluster.create("pods", body, user="jane", groups="developers"))
    done = world.cluster.create("pods", body, user="joe", groups="oncall")
    assert done.status_code == 201, done.text
    # What it let in may be started by others, such as a controller, in that namespace only.
    again = world.cluster.create(
        "pods", pod(world.pinned("later")), user="jane", groups="developers"
    )
    assert again.status_code == 201, again.text
    assert '"event":"break-glass"' in (world.folder / "gate.log").read_text().replace(" ", "")


def test_a_custom_resource_with_a_pod_template_is_judged(world: World) -> None:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.org"},
        "spec": {
            "group": "example.org",
            "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget"},
            "versions": [
                {"name": "v1", "served": True, "storage": True,
                 "schema": {"openAPIV3Schema": schema}}
            ],
        },
    }  # fmt: skip
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    assert world.cluster.ask("POST", path, crd).status_code == 201

    def make(image: str) -> httpx.Response:
        body = {
            "apiVersion": "example.org/v1",
            "kind": "Widget",
            "metadata": {"name": f"w-{next(_count)}"},
            "spec": {"deep": [{"template": {"spec": {"containers": [{"image": image}]}}}]},
        }
        return world.cluster.create("widgets", body)

    until(lambda: make(world.pinned("good")).status_code == 201)
    assert refused(make(world.pinned("evil")))


def test_status_finds_the_gate_asked(world: World) -> None:
    done = world.run("gate", "kubernetes", "status", "--output", "json")
    assert done.returncode == 0, done.stdout
    document = json.loads(done.stdout)
    assert document["bites"]
    assert all(check["passed"] for check in document["checks"])


# --- the monitor ---------------------------------------------------------------------------------


def run_pod(world: World, name: str, image: str, digest: str, **metadata: Any) -> None:
    """A pod that runs on the node n1, as its kubelet would report it; past the gate."""
    body = pod(image, nodeName="n1")
    body["metadata"] = {"name": name, "namespace": "kube-system", **metadata}
    assert world.cluster.create("pods", body).status_code == 201
    state = {
        "name": "main", "image": image, "imageID": digest, "ready": True, "restartCount": 0,
        "containerID": f"containerd://{name}",
        "state": {"running": {"startedAt": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}},
    }  # fmt: skip
    status = {"status": {"phase": "Running", "containerStatuses": [state]}}
    path = f"/api/v1/namespaces/kube-system/pods/{name}/status"
    done = world.cluster.ask("PATCH", path, status, kind="application/merge-patch+json")
    assert done.status_code == 200, done.text


def watched(world: World) -> list[dict[str, Any]]:
    done = world.run("watch", "kubernetes", "--once", "--host", "here", "--output", "json")
    assert done.returncode in (0, 1), done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_monitor_finds_what_runs_past_the_gate_and_static_pods(world: World) -> None:
    evil = world.images["evil"].manifest_digest
    good = world.images["good"].manifest_digest
    name = f"{world.registry.host}/team"
    # kube-system is asked, too; so the gate is gone round as a kubelet does.
    for hooks in ("validating", "mutating"):
        path = f"/apis/admissionregistration.k8s.io/v1/{hooks}webhookconfigurations/layerproof-gate"
        assert world.cluster.ask("DELETE", path).status_code == 200
    until(lambda: world.run("gate", "kubernetes", "status").returncode == 1)
    run_pod(world, "behind", f"{name}/evil:1", f"{name}/evil@{evil}")
    run_pod(world, "fine", f"{name}/good:1", f"{name}/good@{good}")
    mirror = {"kubernetes.io/config.mirror": "abc"}
    run_pod(world, "static", f"{name}/evil:1", f"{name}/evil@{evil}", annotations=mirror)
    found = {item["name"]: item for item in watched(world)}
    assert found["kube-system/behind/main"]["decided"] == "refuse"
    assert found["kube-system/static/main"]["decided"] == "refuse"
    assert found["kube-system/fine/main"]["decided"] == "admit"
    events = world.run("events", "list", "--output", "json")
    assert '"host": "n1"' in events.stdout, events.stdout[:500]


def test_inside_a_cluster_certificates_are_made_kept_and_trusted(world: World) -> None:
    done = world.run(
        "gate", "kubernetes", "install", "--image", "registry.example/l@sha256:" + "0" * 64,
        "--database", "database/url", "--apply",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    variables = environment(world.folder, world.registry.host, world.cluster)
    port = free_port()
    command = [
        sys.executable, "-m", "layerproof.cli.main", "gate", "kubernetes", "serve",
        "--listen", f"127.0.0.1:{port}", "--certificates", "layerproof-gate.layerproof.svc",
    ]  # fmt: skip
    with (world.folder / "inside.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=variables
        )
    try:
        path = "/api/v1/namespaces/layerproof/secrets/layerproof-gate-tls"
        until(lambda: world.cluster.ask("GET", path).status_code == 200)
        secret = world.cluster.ask("GET", path).json()["data"]
        authorities = base64.b64decode(secret["ca.crt"]).decode()

        def served() -> bool:
            context = ssl.create_default_context(cadata=authorities)
            url = f"https://localhost:{port}/healthz"
            try:
                return httpx.get(url, verify=context).status_code == 200
            except httpx.HTTPError:
                return False

        until(served)
        for kind in ("mutating", "validating"):
            root = "/apis/admissionregistration.k8s.io/v1"
            found = world.cluster.ask("GET", f"{root}/{kind}webhookconfigurations/layerproof-gate")
            bundles = {h["clientConfig"]["caBundle"] for h in found.json()["webhooks"]}
            assert bundles == {secret["ca.crt"]}
    finally:
        process.terminate()
        process.wait(30)
    done = world.run("gate", "kubernetes", "uninstall")
    assert done.returncode == 0, done.stderr
    assert world.cluster.ask("GET", path).status_code == 404


def test_uninstall_takes_all_of_it_away(world: World) -> None:
    done = world.run("gate", "kubernetes", "uninstall", "--url", "https://gate.example")
    assert done.returncode == 0, done.stderr
    assert world.run("gate", "kubernetes", "status").returncode == 1
