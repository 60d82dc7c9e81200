"""What the API server is told. Each test is an attack, or a way of working that must go on."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.unit.gates.kubernetes.world import (
    NOW,
    World,
    digest_of,
    hours,
    of_kind,
    pinned,
    pod_spec,
    review,
    update,
)

from layerproof.gates.kubernetes.admission import MOST_WARNING, Pin
from layerproof.gates.kubernetes.settings import (
    Exempted,
    Exemption,
    KubernetesSettings,
    Window,
)
from layerproof.model.gate import Mode
from layerproof.model.verdict import Decision

GOOD, EVIL = pinned("good"), pinned("evil")


# --- what is judged ------------------------------------------------------------------------------


def test_a_trusted_image_is_admitted() -> None:
    found = World().validate(review(pod_spec(GOOD)))
    assert found["allowed"]
    assert "warnings" not in found
    assert found["auditAnnotations"]["decision"] == "admit"


def test_an_untrusted_image_is_refused_and_the_reason_told() -> None:
    found = World().validate(review(pod_spec(GOOD, EVIL)))
    assert not found["allowed"]
    assert found["status"]["code"] == 403
    assert "foreign-executable" in found["status"]["message"]
    assert EVIL in found["status"]["message"]
    assert GOOD not in found["status"]["message"]


def test_every_refused_image_is_told_not_the_first() -> None:
    other = pinned("unheard-of")
    message = World().validate(review(pod_spec(EVIL, other)))["status"]["message"]
    assert EVIL in message
    assert other in message


@pytest.mark.parametrize(
    "spec",
    [
        pod_spec(GOOD, initContainers=[{"name": "i", "image": EVIL}]),
        pod_spec(GOOD, ephemeralContainers=[{"name": "e", "image": EVIL}]),
        pod_spec(GOOD, volumes=[{"name": "v", "image": {"reference": EVIL}}]),
    ],
    ids=["init", "ephemeral", "volume"],
)
def test_no_place_of_a_pod_escapes(spec: dict[str, Any]) -> None:
    assert not World().allows(review(spec))


def test_cve_2023_2727_an_ephemeral_container_added_later_is_refused() -> None:
    new = pod_spec(GOOD, ephemeralContainers=[{"name": "debug", "image": EVIL}])
    asked = update(pod_spec(GOOD), new, subResource="ephemeralcontainers")
    assert not World().allows(asked)


@pytest.mark.parametrize(
    ("group", "kind", "resource", "nest"),
    [
        ("apps", "Deployment", "deployments", ["template", "spec"]),
        ("apps", "ReplicaSet", "replicasets", ["template", "spec"]),
        ("apps", "StatefulSet", "statefulsets", ["template", "spec"]),
        ("apps", "DaemonSet", "daemonsets", ["template", "spec"]),
        ("batch", "Job", "jobs", ["template", "spec"]),
        ("batch", "CronJob", "cronjobs", ["jobTemplate", "spec", "template", "spec"]),
        ("", "ReplicationController", "replicationcontrollers", ["template", "spec"]),
        ("argoproj.io", "Rollout", "rollouts", ["template", "spec"]),
    ],
)
def test_no_workload_escapes(group: str, kind: str, resource: str, nest: list[str]) -> None:
    spec: dict[str, Any] = pod_spec(EVIL)
    for key in reversed(nest):
        spec = {key: spec}
    assert not World().allows(review(spec, **of_kind(group, kind, resource)))


def test_a_pod_without_any_image_is_refused_since_nothing_is_not_all_good() -> None:
    assert not World().allows(review({"containers": []}))
    assert not World().allows(review({"containers": [{"name": "a"}]}))


def test_a_creation_without_an_object_is_refused() -> None:
    assert not World().allows(review(None))


def test_the_old_object_of_a_creation_frees_nothing() -> None:
    asked = review(pod_spec(EVIL), oldObject={"spec": pod_spec(EVIL)})
    assert not World().allows(asked)


def test_objects_without_pods_are_none_of_our_business() -> None:
    asked = review({"replicas": 3}, **of_kind("autoscaling", "Scale", "deployments"))
    assert World().allows(asked)


@pytest.mark.parametrize("operation", ["DELETE", "CONNECT"])
def test_nothing_is_refused_that_starts_nothing(operation: str) -> None:
    asked = review(None, operation=operation, oldObject={"spec": pod_spec(EVIL)})
    assert World().allows(asked)


def test_the_samples_of_another_gate_are_read(shared_data: Path) -> None:
    files = sorted((shared_data / "admission-requests").glob("*.json"))
    assert len(files) > 10
    asked = {}
    for file in files:
        document = json.loads(file.read_text())
        if isinstance(document["request"].get("oldObject"), str):  # written by hand: none
            document["request"]["oldObject"] = None
        world = World(settings=KubernetesSettings(pin=Pin.NONE))
        answer = world.post("/validate", json.dumps(document).encode())
        assert answer.status_code == 200, file.name
        assert answer.json()["apiVersion"] == document["apiVersion"]
        assert answer.json()["response"]["uid"] == document["request"]["uid"]
        asked[file.name[:2]] = len(world.questions)
    assert asked.pop("11") == 0  # a role
    assert asked.pop("12") == 0  # a pod whose image is no name of one
    assert asked.pop("10") >= 0  # an update, of which only what is new is judged
    assert asked["09"] > 1
    assert min(asked.values()) >= 1


# --- bytes, not names ----------------------------------------------------------------------------


def test_cve_2022_47633_the_bytes_that_were_resolved_are_judged_and_pinned() -> None:
    """A registry that answers the gate and the node differently: the node asks by digest."""
    world = World(moved={"good:1": digest_of("evil")})
    asked = review(pod_spec("registry.example/good:1"))
    patch = world.patch(asked)
    value = f"registry.example/good:1@{digest_of('evil')}"
    assert patch == [{"op": "replace", "path": "/spec/containers/0/image", "value": value}]
    assert not world.allows(review(pod_spec(value)))


def test_cve_2023_47630_what_is_pinned_is_our_digest_of_one_look() -> None:
    world = World()
    asked = review(pod_spec("registry.example/good:1", "registry.example/good:1"))
    values = {item["value"] for item in world.patch(asked)}
    assert values == {f"registry.example/good:1@{digest_of('good')}"}
    assert world.looked_up == ["docker://registry.example/good:1"]


def test_a_tag_that_somebody_wrote_after_the_pinning_is_refused() -> None:
    found = World().validate(review(pod_spec("registry.example/good:1")))
    assert not found["allowed"]
    assert "no digest" in found["status"]["message"]


def test_without_pinning_a_tag_is_judged_by_what_it_names() -> None:
    world = World(settings=KubernetesSettings(pin=Pin.NONE))
    assert world.allows(review(pod_spec("registry.example/good:1")))
    assert not world.allows(review(pod_spec("registry.example/evil:1")))
    assert world.patch(review(pod_spec("registry.example/good:1"))) == []


def test_with_pinning_of_pods_workloads_keep_their_tags_and_pods_do_not() -> None:
    world = World(settings=KubernetesSettings(pin=Pin.PODS))
    kind = of_kind("apps", "Deployment", "deployments")
    spec = {"template": {"spec": pod_spec("registry.example/good:1")}}
    assert world.patch(review(spec, **kind)) == []
    assert world.allows(review(spec, **kind))
    assert len(world.patch(review(pod_spec("registry.example/good:1")))) == 1


def test_pinning_again_changes_nothing() -> None:
    assert World().patch(review(pod_spec(GOOD, "registry.example/good:1@" + digest_of("x")))) == []


def test_a_digest_wins_over_the_tag_beside_it() -> None:
    assert not World().allows(review(pod_spec(f"registry.example/good:1@{digest_of('evil')}")))


def test_pins_reach_every_place_of_a_workload() -> None:
    spec = pod_spec(
        "good",
        initContainers=[{"name": "i", "image": "base"}],
        volumes=[{"name": "v", "image": {"reference": "good:2"}}],
    )
    kind = of_kind("batch", "CronJob", "cronjobs")
    asked = review({"jobTemplate": {"spec": {"template": {"spec": spec}}}}, **kind)
    at = "/spec/jobTemplate/spec/template/spec"
    assert {item["path"] for item in World().patch(asked)} == {
        f"{at}/containers/0/image",
        f"{at}/initContainers/0/image",
        f"{at}/volumes/0/image/reference",
    }


@pytest.mark.parametrize("image", ["UPPER/case", "a b", "http://registry.example/x", "x@sha256:1"])
def test_what_is_no_image_name_is_refused(image: str) -> None:
    assert not World().allows(review(pod_spec(GOOD, image)))


# --- updates -------------------------------------------------------------------------------------


def test_an_update_that_leaves_images_alone_passes_whatever_became_of_them() -> None:
    world = World()
    assert world.allows(update(pod_spec(EVIL), pod_spec(EVIL, priority=1)))
    assert world.questions == []


def test_a_finalizer_can_be_removed_from_a_pod_that_would_be_refused_today() -> None:
    metadata = {"name": "web", "finalizers": [], "deletionTimestamp": "2026-11-28T03:00:00Z"}
    assert World().allows(update(pod_spec(EVIL), pod_spec(EVIL), metadata=metadata))


def test_a_workload_of_a_refused_image_can_be_scaled_down() -> None:
    def deployment(replicas: int) -> dict[str, Any]:
        return {"replicas": replicas, "template": {"spec": pod_spec(EVIL)}}

    kind = of_kind("apps", "Deployment", "deployments")
    assert World().allows(update(deployment(3), deployment(0), **kind))


def test_cve_2023_34091_an_object_that_is_being_deleted_is_judged_all_the_same() -> None:
    metadata = {"name": "web", "deletionTimestamp": "2026-11-28T03:00:00Z", "finalizers": ["x/y"]}
    assert not World().allows(update(pod_spec(GOOD), pod_spec(EVIL), metadata=metadata))
    assert not World().allows(review(pod_spec(EVIL), metadata=metadata))


def test_only_what_is_new_is_judged() -> None:
    world = World()
    assert world.allows(update(pod_spec(EVIL), pod_spec(EVIL, GOOD)))
    assert not world.allows(update(pod_spec(GOOD), pod_spec(GOOD, EVIL)))


def test_an_update_does_not_rewrite_what_was_there() -> None:
    asked = update(pod_spec("registry.example/good:1"), pod_spec("registry.example/good:1"))
    assert World().patch(asked) == []


# --- mirror pods ---------------------------------------------------------------------------------

MIRROR = {"name": "static", "annotations": {"kubernetes.io/config.mirror": "abc"}}
NODE = {"username": "system:node:n1", "groups": ["system:nodes", "system:authenticated"]}


def test_a_mirror_pod_is_never_patched_and_never_hidden_but_told() -> None:
    world = World()
    tagged = pod_spec("registry.example/good:1", nodeName="n1")
    assert world.patch(review(tagged, metadata=MIRROR, userInfo=NODE)) == []
    asked = review(pod_spec(EVIL, nodeName="n1"), metadata=MIRROR, userInfo=NODE)
    found = world.validate(asked)
    assert found["allowed"]
    assert found["auditAnnotations"]["mirror"] == "true"
    assert found["warnings"]


@pytest.mark.parametrize(
    "user",
    [
        {"username": "jane", "groups": ["developers"]},
        {"username": "system:node:n2", "groups": ["system:nodes"]},
        {"username": "system:node:n1", "groups": ["developers"]},
    ],
)
def test_the_annotation_of_a_mirror_pod_is_nobodys_licence(user: dict[str, Any]) -> None:
    asked = review(pod_spec(EVIL, nodeName="n1"), metadata=MIRROR, userInfo=user)
    assert not World().allows(asked)


# --- modes, dry runs, budgets --------------------------------------------------------------------


@pytest.mark.parametrize("mode", [Mode.OBSERVE, Mode.ALERT])
def test_a_mild_mode_lets_pass_and_tells(mode: Mode) -> None:
    world = World(mode=mode)
    found = world.validate(review(pod_spec(EVIL)))
    assert found["allowed"]
    assert found["auditAnnotations"]["would-refuse"] == EVIL
    assert ("warnings" in found) is (mode is Mode.ALERT)
    assert [answer.decided for _, answer in world.noted] == [Decision.REFUSE]


def test_warnings_are_as_short_as_kubernetes_shows_them() -> None:
    world = World(mode=Mode.ALERT)
    many = [f"registry.example/{'x' * 200}{n}@{digest_of('evil')}" for n in range(30)]
    warnings = world.validate(review(pod_spec(*many)))["warnings"]
    assert len(warnings) == 10
    assert max(map(len, warnings)) <= MOST_WARNING
    assert "21 more" in warnings[-1]


def test_control_characters_of_an_image_name_never_reach_a_terminal() -> None:
    message = World().validate(review(pod_spec("evil\x1b[2Jname")))["status"]["message"]
    assert message.isprintable()


def test_a_dry_run_is_judged_and_leaves_nothing_behind() -> None:
    world = World(settings=KubernetesSettings(windows=(WINDOW,)))
    assert not world.allows(review(pod_spec(EVIL), dryRun=True))
    assert world.allows(review(pod_spec(EVIL), dryRun=True, userInfo=ONCALL))
    assert (world.noted, world.grants, world.used) == ([], [], [])


def test_what_is_not_answered_in_time_is_unavailable() -> None:
    settings = KubernetesSettings(budget=0.05)
    refusing = World(settings=settings, slow=5)
    found = refusing.validate(review(pod_spec(GOOD)))
    assert not found["allowed"]
    assert "no answer within" in found["status"]["message"]
    assert World(settings=settings, slow=5, unavailable=Decision.ALERT).allows(
        review(pod_spec(GOOD))
    )


def test_the_api_servers_own_timeout_bounds_the_budget() -> None:
    world = World(slow=5)
    body = json.dumps(review(pod_spec(GOOD))).encode()
    answer = world.post("/validate?timeout=0.6s", body)
    assert "no answer within 0.1 seconds" in answer.json()["response"]["status"]["message"]


def test_a_registry_that_is_down_is_unavailable_and_says_so() -> None:
    world = World(unreachable={"good"})
    asked = review(pod_spec("registry.example/good:1"))
    assert world.patch(asked) == []
    assert "no route to host" in world.validate(asked)["status"]["message"]
    world = World(unreachable={"good"}, unavailable=Decision.ALERT)
    assert world.allows(asked)


def test_a_body_that_is_no_review_is_answered_by_400_so_that_the_api_server_fails() -> None:
    assert World().post("/validate", b"{}").status_code == 400
    assert World().post("/mutate", b"").status_code == 400


def test_what_can_be_read_in_two_ways_is_refused_by_200() -> None:
    spec = {"containers": [{"name": "a", "image": GOOD, "Image": EVIL}]}
    found = World().validate(review(spec))
    assert not found["allowed"]
    assert "another case" in found["status"]["message"]


def test_what_can_be_read_in_two_ways_follows_the_mode_and_is_counted() -> None:
    spec = {"containers": [{"name": "a", "image": GOOD, "Image": EVIL}]}
    world = World(mode=Mode.OBSERVE)
    assert world.allows(review(spec))
    assert world.noted[0][1].would_refuse


# --- exemptions ----------------------------------------------------------------------------------

EXEMPTION = Exemption(
    images=("registry.example/pause", "registry.example/cni/*"),
    causes=(Exempted.UNKNOWN,),
    namespaces=("kube-*",),
    reason="the cluster needs it",
    owner="ops",
    until="2026-12-31",
)
EXEMPTING = KubernetesSettings(exempt=(EXEMPTION,))


def test_an_exempt_image_passes_with_a_warning() -> None:
    found = World(settings=EXEMPTING).validate(
        review(pod_spec(pinned("pause")), namespace="kube-system")
    )
    assert found["allowed"]
    assert "exempt until 2026-12-31 by ops" in found["warnings"][0]
    assert "passed" in found["auditAnnotations"]


@pytest.mark.parametrize(
    ("images", "namespace", "now"),
    [
        ((pinned("pause"), EVIL), "kube-system", NOW),
        ((pinned("pause"), pinned("unheard-of")), "kube-system", NOW),
        ((pinned("pause"),), "shop", NOW),
        ((pinned("pause"),), "xkube-system", NOW),
        ((pinned("pause-evil"),), "kube-system", NOW),
        ((f"registry.example.evil.example/pause@{digest_of('p')}",), "kube-system", NOW),
        ((f"evil.example/registry.example/pause@{digest_of('p')}",), "kube-system", NOW),
        ((pinned("pause"),), "kube-system", datetime(2027, 1, 1, tzinfo=UTC)),
    ],
    ids=["another image refused", "another unknown", "another namespace", "not anchored",
         "longer name", "longer host", "another host", "over"],
)  # fmt: skip
def test_an_exemption_frees_no_more_than_it_says(
    images: tuple[str, ...], namespace: str, now: datetime
) -> None:
    world = World(settings=EXEMPTING, now=now)
    assert not world.allows(review(pod_spec(*images), namespace=namespace))


def test_an_exemption_never_frees_a_finding() -> None:
    everywhere = replace(
        EXEMPTION, images=("registry.example/**",), causes=tuple(Exempted), namespaces=("*",)
    )
    world = World(settings=KubernetesSettings(exempt=(everywhere,)))
    assert not world.allows(review(pod_spec(EVIL)))
    assert world.allows(review(pod_spec(pinned("unheard-of"))))


def test_an_exemption_without_images_frees_nothing() -> None:
    world = World(settings=KubernetesSettings(exempt=(replace(EXEMPTION, images=()),)))
    assert not world.allows(review(pod_spec(pinned("pause")), namespace="kube-system"))


# --- break-glass ---------------------------------------------------------------------------------

WINDOW = Window(
    users=(),
    groups=("oncall",),
    namespaces=("shop",),
    since=NOW - hours(1),
    until=NOW + hours(2),
    reason="the registry burns",
    owner="ops",
)
ONCALL = {"username": "joe", "groups": ["oncall"]}
CONTROLLER = {"username": "system:serviceaccount:kube-system:replicaset-controller", "groups": []}


def glass() -> World:
    return World(settings=KubernetesSettings(windows=(WINDOW,)))


def test_break_glass_lets_its_group_pass_and_is_written_down() -> None:
    world = glass()
    found = world.validate(review(pod_spec(EVIL), userInfo=ONCALL))
    assert found["allowed"]
    assert "break-glass" in found["auditAnnotations"]["passed"]
    assert [(g.by, g.image, g.until) for g in world.grants] == [
        ("joe", str(digest_of("evil")), WINDOW.until)
    ]
    assert world.used == ["Pod shop/web"]


def test_the_pods_of_a_workload_that_break_glass_let_in_may_start_in_its_namespace() -> None:
    world = glass()
    assert not world.allows(review(pod_spec(EVIL), userInfo=CONTROLLER))
    kind = of_kind("apps", "Deployment", "deployments")
    assert world.allows(review({"template": {"spec": pod_spec(EVIL)}}, userInfo=ONCALL, **kind))
    assert world.allows(review(pod_spec(EVIL), userInfo=CONTROLLER))
    assert not world.allows(review(pod_spec(EVIL), userInfo=CONTROLLER, namespace="bank"))
    world.refused.add("other")
    assert not world.allows(review(pod_spec(pinned("other")), userInfo=CONTROLLER))


@pytest.mark.parametrize(
    ("user", "namespace", "now"),
    [
        ({"username": "jane", "groups": ["developers"]}, "shop", NOW),
        ({"username": "oncall", "groups": []}, "shop", NOW),
        (ONCALL, "bank", NOW),
        (ONCALL, "shop", WINDOW.until),
        (ONCALL, "shop", WINDOW.since - hours(1)),
    ],
    ids=["another group", "a user named like the group", "elsewhere", "over", "not yet"],
)
def test_break_glass_is_for_whom_where_and_when_it_says(
    user: dict[str, Any], namespace: str, now: datetime
) -> None:
    world = glass()
    world.now = now
    assert not world.allows(review(pod_spec(EVIL), userInfo=user, namespace=namespace))


def test_what_break_glass_let_in_ends_with_its_window() -> None:
    world = glass()
    assert world.allows(review(pod_spec(EVIL), userInfo=ONCALL))
    world.now = WINDOW.until
    assert not world.allows(review(pod_spec(EVIL), userInfo=CONTROLLER))


def test_a_window_that_is_closed_early_closes_for_what_it_let_in() -> None:
    world = glass()
    assert world.allows(review(pod_spec(EVIL), userInfo=ONCALL))
    world.judge.settings = KubernetesSettings(windows=(replace(WINDOW, reason="another"),))
    assert not world.allows(review(pod_spec(EVIL), userInfo=CONTROLLER))


def test_an_annotation_is_never_break_glass() -> None:
    metadata = {"name": "web", "annotations": {"layerproof.dev/break-glass": "true"}}
    assert not glass().allows(review(pod_spec(EVIL), metadata=metadata))


# --- ImagePolicyWebhook --------------------------------------------------------------------------


def image_review(*images: str, **spec: Any) -> bytes:
    containers = [{"image": image} for image in images]
    return json.dumps(
        {
            "apiVersion": "imagepolicy.k8s.io/v1alpha1",
            "kind": "ImageReview",
            "spec": {"containers": containers, "namespace": "shop", **spec},
        }
    ).encode()


def image_allowed(body: bytes) -> bool:
    answer = World().post("/image-review", body)
    assert answer.status_code == 200
    return bool(answer.json()["status"]["allowed"])


def test_image_reviews_are_answered_by_the_same_judgement() -> None:
    assert image_allowed(image_review(GOOD, "registry.example/base:1"))
    assert not image_allowed(image_review(GOOD, EVIL))


def test_an_annotation_of_an_image_review_frees_nothing() -> None:
    note = {"mycluster.image-policy.k8s.io/ticket-1234": "break-glass"}
    assert not image_allowed(image_review(EVIL, annotations=note))


@pytest.mark.parametrize("body", [image_review(), b"{}", b"", b'{"kind": "ImageReview"}'])
def test_an_image_review_without_images_is_refused(body: bytes) -> None:
    assert not image_allowed(body)
