"""Containers of a Kubernetes cluster, by what its nodes report of their pods.

1. What runs stands in `status.containerStatuses[].imageID`, which the kubelet writes: the digest of
   what it really pulled. What stands in `spec` is what somebody asked for.
2. All pods are listed again and again. The watch makes it fast: it goes on where it was after a
   reconnect, and lists again when that is too long ago (410 Gone). Bookmarks keep it young.
3. Static pods show as mirror pods, and are found like any other.
4. A pod that is refused can be deleted (`stop`, `kill`); its controller may start another one,
   which the gate then refuses. A static pod cannot be ended from here: it is told.

Source: Kubernetes API, Pod v1; "API Concepts", "Efficient detection of changes".
"""

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from typing import Any, Protocol

from layerproof.errors import LayerproofError, SourceError, UnsupportedError
from layerproof.model.digest import Digest
from layerproof.model.gate import Reaction
from layerproof.model.reference import parse_name
from layerproof.model.running import Running
from layerproof.monitors.interface import Change, Happening

PAGE = "500"
WATCH_SECONDS = "240"
MIRROR = "kubernetes.io/config.mirror"
_PODS = "/api/v1/pods"
_LISTS = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
_SCHEME = re.compile(r"[a-z-]+://")

Object = Mapping[str, Any]


class Api(Protocol):
    """What the monitor asks of a cluster."""

    @property
    def server(self) -> str:
        """Its address."""

    def get(self, path: str, **query: str) -> Object:
        """An object or a list."""

    def find(self, path: str) -> Object | None:
        """An object; None if there is none."""

    def delete(self, path: str, body: Object | None = None) -> None:
        """Delete an object."""

    def watch(self, path: str, **query: str) -> AbstractContextManager[Iterator[Object]]:
        """Events."""


class KubernetesRuntime:
    """Implements `monitors.interface.Runtime`. A container's id is POD-UID/CONTAINER/ID."""

    name = "kubernetes"

    def __init__(self, api: Api) -> None:
        self._api = api
        self._lock = threading.Lock()
        self._pods: dict[str, str] = {}  # by the beginning of the id: namespace/name
        self._version = ""  # from which the watch goes on

    @property
    def address(self) -> str:
        """The API server's."""
        return self._api.server

    def running(self) -> Sequence[Running]:
        """Every container that runs in a pod of the cluster."""
        found: list[Running] = []
        there: set[str] = set()
        query = {"limit": PAGE}
        while True:
            page = self._api.get(_PODS, **query)
            for pod in page.get("items") or ():
                there.add(str(_table(pod, "metadata").get("uid") or ""))
                found += self._of(pod)
            metadata = page.get("metadata") or {}
            if not metadata.get("continue"):
                with self._lock:
                    self._version = self._version or str(metadata.get("resourceVersion") or "")
                    self._pods = {uid: at for uid, at in self._pods.items() if uid in there}
                return found
            query = {"limit": PAGE, "continue": str(metadata["continue"])}

    def inspect(self, id: str, namespace: str = "") -> Running | None:
        """One container."""
        with self._lock:
            path = self._pods.get(id.partition("/")[0], "")
        if not path:
            return None
        pod = self._api.find(_path(path))
        return next((r for r in self._of(pod or {}) if r.id == id), None)

    @contextmanager
    def events(self) -> Iterator[Iterator[Happening]]:
        """Changes of pods, from where the last watch ended."""
        with self._lock:
            version = self._version
        query = {"allowWatchBookmarks": "true", "timeoutSeconds": WATCH_SECONDS}
        if version:
            query["resourceVersion"] = version
        try:
            with self._api.watch(_PODS, **query) as events:
                yield self._happenings(events)
        except SourceError:
            with self._lock:
                self._version = ""  # too old, perhaps: whoever asks lists again
            raise

    def react(self, running: Running, reaction: Reaction) -> None:
        """Delete the pod; at once for `kill` and `quarantine`."""
        if reaction is Reaction.ALERT:
            return
        if reaction is Reaction.PAUSE:
            raise UnsupportedError(
                "a pod cannot be paused", where=running.name,
                remedy="set gates.kubernetes.running to stop or kill",
            )  # fmt: skip
        uid = running.id.partition("/")[0]
        with self._lock:
            path = self._pods.get(uid, "")
        pod = self._api.find(_path(path)) if path else None
        metadata = (pod or {}).get("metadata") or {}
        if metadata.get("uid") != uid:
            return  # gone, or another one of the same name
        if MIRROR in (metadata.get("annotations") or {}):
            raise UnsupportedError(
                "a static pod is ended on its node", where=f"{path} on {running.host}",
                remedy="remove its file from the node's manifests",
            )  # fmt: skip
        body: dict[str, Any] = {
            "kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": uid},
        }  # fmt: skip
        if reaction is not Reaction.STOP:
            body["gracePeriodSeconds"] = 0
        self._api.delete(_path(path), body)

    def readable(self, running: Running) -> AbstractContextManager[str]:
        """From its registry."""
        return nullcontext(running.references[0] if running.references else "")

    def _happenings(self, events: Iterator[Object]) -> Iterator[Happening]:
        before: dict[str, set[str]] = {}
        for event in events:
            pod = event.get("object") or {}
            metadata = pod.get("metadata") or {}
            with self._lock:
                self._version = str(metadata.get("resourceVersion") or self._version)
            if event.get("type") == "BOOKMARK":
                continue
            uid = str(metadata.get("uid") or "")
            namespace = str(metadata.get("namespace") or "")
            here = set()
            if event.get("type") != "DELETED":
                here = {running.id for running in self._of(pod)}
            gone = before.get(uid, set()) - here
            new = here - before.get(uid, set())
            if here:
                before[uid] = here
            else:
                before.pop(uid, None)
            yield from (Happening(Change.STOPPED, item, namespace) for item in sorted(gone))
            yield from (Happening(Change.STARTED, item, namespace) for item in sorted(new))

    def _of(self, pod: Object) -> Iterator[Running]:
        """The containers of a pod that run."""
        metadata, status = _table(pod, "metadata"), _table(pod, "status")
        uid, namespace = str(metadata.get("uid") or ""), str(metadata.get("namespace") or "")
        name = str(metadata.get("name") or "")
        with self._lock:
            if uid:
                self._pods[uid] = f"{namespace}/{name}"
        labels = {k: v for k, v in _table(metadata, "labels").items() if isinstance(v, str)}
        node = str(_table(pod, "spec").get("nodeName") or "")
        for key in _LISTS:
            for container in status.get(key) or ():
                running = _table(_table(container, "state"), "running")
                if "running" not in _table(container, "state"):
                    continue
                image = str(container.get("image") or "")
                image_id = str(container.get("imageID") or "")
                identity = _digest(image_id)
                yield Running(
                    id=f"{uid}/{container.get('name')}/{container.get('containerID')}",
                    runtime=self.name,
                    started_at=_time(running.get("startedAt")),
                    name=f"{namespace}/{name}/{container.get('name')}",
                    image=image,
                    namespace=namespace,
                    identity=identity,
                    references=tuple(_references(image_id, image, identity)),
                    labels=labels,
                    host=node,
                )


def _references(image_id: str, image: str, identity: Digest | None) -> Iterator[str]:
    """The kubelet's own first; then the name that was asked for, with what was pulled."""
    if identity is None:
        return
    for text in (_SCHEME.sub("", image_id), f"{image.partition('@')[0]}@{identity}"):
        with suppress(LayerproofError):
            reference = parse_name(text)
            if reference.digest is not None:
                yield f"docker://{reference.name}@{reference.digest}"
    # An ID without a name (docker://sha256:…) is the config's digest: `identity` has it.


def _digest(image_id: str) -> Digest | None:
    """From `REPOSITORY@DIGEST`, `docker-pullable://…`, or an ID alone."""
    text = _SCHEME.sub("", image_id).rpartition("@")[2]
    with suppress(LayerproofError):
        return Digest.parse(text if ":" in text else f"sha256:{text}")
    return None


def _table(within: Object, key: str) -> Object:
    found = within.get(key)
    return found if isinstance(found, dict) else {}


def _path(pod: str) -> str:
    namespace, _, name = pod.partition("/")
    return f"/api/v1/namespaces/{namespace}/pods/{name}"


def _time(text: object) -> datetime | None:
    if isinstance(text, str):
        with suppress(ValueError):
            return datetime.fromisoformat(text).astimezone(UTC)
    return None
