"""What runs in a cluster, by what its nodes report."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from layerproof.errors import UnreachableError, UnsupportedError
from layerproof.model.gate import Reaction
from layerproof.monitors.interface import Change
from layerproof.monitors.kubernetes import KubernetesRuntime

DIGEST = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64


def pod(name: str, image_id: str = f"registry.example/app@{DIGEST}", **more: Any) -> dict[str, Any]:
    state = more.pop("state", {"running": {"startedAt": "2026-11-28T03:00:00Z"}})
    status = {"name": "main", "image": "registry.example/app:1", "imageID": image_id,
              "containerID": f"containerd://{name}", "state": state}  # fmt: skip
    metadata = {"name": name, "namespace": "shop", "uid": f"uid-{name}", "labels": {"app": "web"},
                "resourceVersion": more.pop("version", "7")}  # fmt: skip
    return {
        "metadata": metadata | more,
        "spec": {"nodeName": "n1", "containers": [{"name": "main", "image": "lie:1"}]},
        "status": {"containerStatuses": [status]},
    }


class Api:
    """Pods in pages of one, and events that were given."""

    server = "https://cluster"

    def __init__(self, *pods: dict[str, Any]) -> None:
        self.pods = list(pods)
        self.events: list[Mapping[str, Any]] = []
        self.deleted: list[tuple[str, Any]] = []
        self.watched: list[Mapping[str, str]] = []
        self.error: Exception | None = None

    def get(self, path: str, **query: str) -> Mapping[str, Any]:
        number = int(query.get("continue", "0"))
        more = str(number + 1) if number + 1 < len(self.pods) else ""
        return {"items": self.pods[number : number + 1],
                "metadata": {"continue": more, "resourceVersion": "40"}}  # fmt: skip

    def find(self, path: str) -> Mapping[str, Any] | None:
        name = path.rpartition("/")[2]
        return next((p for p in self.pods if p["metadata"]["name"] == name), None)

    def delete(self, path: str, body: Any = None) -> None:
        self.deleted.append((path, body))

    @contextmanager
    def watch(self, path: str, **query: str) -> Iterator[Iterator[Mapping[str, Any]]]:
        self.watched.append(query)
        if self.error:
            raise self.error
        yield iter(self.events)


def happenings(runtime: KubernetesRuntime) -> list[tuple[Change, str]]:
    with runtime.events() as events:
        return [(event.change, event.id) for event in events]


def test_what_runs_is_what_the_node_pulled_not_what_was_asked_for() -> None:
    (running,) = KubernetesRuntime(Api(pod("a"))).running()
    assert running.identity == DIGEST
    assert running.references[0] == f"docker://registry.example/app@{DIGEST}"
    assert (running.host, running.namespace, running.labels) == ("n1", "shop", {"app": "web"})
    assert running.id == "uid-a/main/containerd://a"


def test_every_page_is_read() -> None:
    assert len(KubernetesRuntime(Api(*map(pod, "abc"))).running()) == 3


@pytest.mark.parametrize(
    ("image_id", "identity", "references"),
    [
        (f"docker-pullable://registry.example/x@{DIGEST}", DIGEST, "registry.example/x"),
        (f"docker://{DIGEST}", DIGEST, "registry.example/app"),
        (DIGEST, DIGEST, "registry.example/app"),
        ("a" * 64, DIGEST, "registry.example/app"),
        ("", None, None),
        ("nonsense", None, None),
    ],
)
def test_image_ids_of_every_runtime_are_read(
    image_id: str, identity: str | None, references: str | None
) -> None:
    (running,) = KubernetesRuntime(Api(pod("a", image_id))).running()
    assert running.identity == identity
    first = running.references[0] if running.references else None
    assert first == (f"docker://{references}@{identity}" if references else None)


def test_init_and_ephemeral_containers_run_too_and_ended_ones_do_not() -> None:
    found = pod("a", state={"terminated": {"exitCode": 0}})
    running = pod("b")["status"]["containerStatuses"]
    found["status"] |= {"initContainerStatuses": running, "ephemeralContainerStatuses": running}
    assert len(KubernetesRuntime(Api(found)).running()) == 2


def test_events_tell_of_starts_and_ends() -> None:
    api = Api(pod("a"))
    api.events = [
        {"type": "ADDED", "object": pod("a")},
        {"type": "MODIFIED", "object": pod("a")},
        {"type": "MODIFIED", "object": pod("a", state={"terminated": {}})},
        {"type": "ADDED", "object": pod("b")},
        {"type": "DELETED", "object": pod("b")},
    ]
    a, b = "uid-a/main/containerd://a", "uid-b/main/containerd://b"
    assert happenings(KubernetesRuntime(api)) == [
        (Change.STARTED, a), (Change.STOPPED, a), (Change.STARTED, b), (Change.STOPPED, b),
    ]  # fmt: skip


def test_a_watch_goes_on_where_it_was_and_bookmarks_keep_it_young() -> None:
    api = Api(pod("a"))
    runtime = KubernetesRuntime(api)
    runtime.running()
    api.events = [{"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "90"}}}]
    assert happenings(runtime) == []
    api.events = []
    happenings(runtime)
    assert [query["resourceVersion"] for query in api.watched] == ["40", "90"]
    assert api.watched[0]["allowWatchBookmarks"] == "true"


def test_a_watch_that_is_too_old_begins_again() -> None:
    api = Api(pod("a"))
    runtime = KubernetesRuntime(api)
    runtime.running()
    api.error = UnreachableError("too old resource version")
    with pytest.raises(UnreachableError):
        happenings(runtime)
    api.error = None
    happenings(runtime)
    assert "resourceVersion" not in api.watched[-1]


def test_a_refused_pod_is_deleted_by_its_uid() -> None:
    api = Api(pod("a"))
    runtime = KubernetesRuntime(api)
    (running,) = runtime.running()
    runtime.react(running, Reaction.KILL)
    ((path, body),) = api.deleted
    assert path == "/api/v1/namespaces/shop/pods/a"
    assert body["preconditions"] == {"uid": "uid-a"}
    assert body["gracePeriodSeconds"] == 0


def test_another_pod_of_the_same_name_is_not_deleted() -> None:
    api = Api(pod("a"))
    runtime = KubernetesRuntime(api)
    (running,) = runtime.running()
    api.pods[0]["metadata"]["uid"] = "another"
    runtime.react(running, Reaction.STOP)
    assert api.deleted == []


def test_a_static_pod_is_found_and_told_but_cannot_be_ended() -> None:
    api = Api(pod("a", annotations={"kubernetes.io/config.mirror": "x"}))
    runtime = KubernetesRuntime(api)
    (running,) = runtime.running()
    with pytest.raises(UnsupportedError, match="on its node"):
        runtime.react(running, Reaction.STOP)
    assert api.deleted == []


def test_one_container_is_looked_up_again() -> None:
    api = Api(pod("a"))
    runtime = KubernetesRuntime(api)
    (running,) = runtime.running()
    assert runtime.inspect(running.id) == running
    api.pods[0] = pod("a", f"registry.example/app@{OTHER}")
    again = runtime.inspect(running.id)
    assert again is not None
    assert again.identity == OTHER
    api.pods.clear()
    assert runtime.inspect(running.id) is None
