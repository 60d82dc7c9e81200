"""Containers of containerd, by its gRPC API.

1. Committed snapshots are named by their ChainID. A container's writable snapshot has the top of
   what really runs as its parent, whatever image it says it comes from: names can be retagged, a
   snapshot's parent cannot.
2. Every namespace is watched. Docker's own containers have no snapshot here; in Docker's namespace
   those are left to the Docker monitor. Elsewhere, a container without a snapshot stands on
   something that nobody can name, and is told so.
3. There is no replay of events: lists make it right.

Source: containerd, docs/namespaces.md, snapshots/snapshotter.go, api/services.
"""

import json
import shutil
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from layerproof.errors import LayerproofError, ProtocolError, UnreachableError
from layerproof.model.digest import ChainId, Digest
from layerproof.model.gate import Reaction
from layerproof.model.reference import parse_name
from layerproof.model.running import Running
from layerproof.monitors.containerd_api import RUNNING, messages
from layerproof.monitors.interface import Change, Happening
from layerproof.oci.limits import Limits

DEFAULT_ADDRESS = "/run/containerd/containerd.sock"
DOCKER_NAMESPACE = "moby"
_SERVICES = "containerd.services"
_SECONDS = 10.0
_TOPICS = {"/tasks/start": Change.STARTED, "/tasks/exit": Change.STOPPED,
           "/tasks/delete": Change.STOPPED, "/tasks/resumed": Change.STARTED}  # fmt: skip
_TERM, _KILL = 15, 9
_CRI_LABELS = "io.kubernetes."  # which the kubelet sets


class ContainerdRuntime:
    """Implements `monitors.interface.Runtime`."""

    name = "containerd"

    def __init__(self, address: str, limits: Limits) -> None:
        self._address = address
        self._limits = limits
        self._lock = threading.Lock()
        self._open: Any = None

    @property
    def address(self) -> str:
        """Its socket."""
        return self._address

    def running(self) -> Sequence[Running]:
        """Everything that runs or is paused, in every namespace."""
        found = []
        for namespace in self._namespaces():
            listed = self._call("tasks.v1.Tasks/List", "ListTasks", namespace, filter="")
            for task in listed.tasks:
                if task.status in RUNNING:
                    identity = task.id or task.container_id
                    running = self._container(identity, namespace)
                    if running is not None:
                        found.append(running)
        return found

    def inspect(self, id: str, namespace: str = "") -> Running | None:
        """One container."""
        listed = self._call("tasks.v1.Tasks/List", "ListTasks", namespace, filter="")
        runs = {task.id or task.container_id for task in listed.tasks if task.status in RUNNING}
        return self._container(id, namespace) if id in runs else None

    @contextmanager
    def events(self) -> Iterator[Iterator[Happening]]:
        """Starts and ends of tasks, from now on."""
        kinds = messages()
        subscribe = self._channel().unary_stream(
            f"/{_SERVICES}.events.v1.Events/Subscribe",
            request_serializer=lambda m: m.SerializeToString(),
            response_deserializer=kinds["Envelope"].FromString,
        )
        stream = subscribe(kinds["SubscribeRequest"](filters=['topic~="^/tasks/"']))
        try:
            yield self._happenings(stream)
        finally:
            stream.cancel()

    def react(self, running: Running, reaction: Reaction) -> None:
        """Pause, stop or kill."""
        place = {"container_id": running.id}
        try:
            if reaction is Reaction.PAUSE:
                self._call("tasks.v1.Tasks/Pause", "PauseTask", running.namespace, "Empty", **place)
            elif reaction is not Reaction.ALERT:
                signal = _TERM if reaction is Reaction.STOP else _KILL
                self._call(
                    "tasks.v1.Tasks/Kill", "Kill", running.namespace, "Empty",
                    signal=signal, all=1, **place,
                )  # fmt: skip
        except _GoneError:
            return

    @contextmanager
    def readable(self, running: Running) -> Iterator[str]:
        """An OCI layout of what the content store still has of the image."""
        folder = Path(tempfile.mkdtemp(prefix="layerproof-"))
        try:
            yield self._layout(running, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    # --- what it tells ---

    def _namespaces(self) -> list[str]:
        listed = self._call("namespaces.v1.Namespaces/List", "ListNamespaces", "")
        return [str(item.name) for item in listed.namespaces]

    def _container(self, identity: str, namespace: str) -> Running | None:
        try:
            told = self._call(
                "containers.v1.Containers/Get", "GetContainer", namespace, id=identity
            )
        except _GoneError:
            return None
        found = told.container
        if namespace == DOCKER_NAMESPACE and not found.snapshot_key:
            return None
        digest = self._digest(found.image, namespace)
        return Running(
            id=str(found.id),
            runtime=self.name,
            started_at=datetime.fromtimestamp(found.created_at.seconds, UTC),
            name=str(found.id),
            image=str(found.image),
            namespace=namespace,
            identity=digest,
            top=self._top(found.snapshotter, found.snapshot_key, namespace),
            references=_references(found.image, digest),
            labels={
                str(label.key): str(label.value)
                for label in found.labels
                if str(label.key).startswith(_CRI_LABELS)
            },
        )

    def _top(self, snapshotter: str, key: str, namespace: str) -> ChainId | None:
        if not key:
            return None
        try:
            told = self._call(
                "snapshots.v1.Snapshots/Stat", "StatSnapshot", namespace,
                snapshotter=snapshotter, key=key,
            )  # fmt: skip
            return ChainId.parse(told.info.parent)
        except LayerproofError:  # gone, or stands on a snapshot that is no layer
            return None

    def _digest(self, name: str, namespace: str) -> Digest | None:
        try:
            told = self._call("images.v1.Images/Get", "GetImage", namespace, name=name)
            return Digest.parse(told.image.target.digest)
        except LayerproofError:
            return None

    def _happenings(self, stream: Any) -> Iterator[Happening]:
        import grpc

        kind = messages()["TaskEvent"]
        try:
            for envelope in stream:
                change = _TOPICS.get(envelope.topic)
                if change is None:
                    continue
                event = kind.FromString(envelope.event.value)
                # The exit of a process that somebody ran inside ends no container.
                if envelope.topic == "/tasks/exit" and event.id not in ("", event.container_id):
                    continue
                yield Happening(change, str(event.container_id), str(envelope.namespace))
        except grpc.RpcError as error:
            raise _translated(error, self._address) from error

    # --- its content ---

    def _layout(self, running: Running, folder: Path) -> str:
        try:
            told = self._call("images.v1.Images/Get", "GetImage", running.namespace,
                              name=running.image)  # fmt: skip
        except _GoneError:
            return ""
        target = told.image.target
        blobs = folder / "blobs" / "sha256"
        blobs.mkdir(parents=True)
        self._fetch(target.digest, running.namespace, blobs, depth=0)
        descriptor = {"mediaType": target.media_type, "digest": target.digest, "size": target.size}
        (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        (folder / "index.json").write_text(
            json.dumps({"schemaVersion": 2, "manifests": [descriptor]})
        )
        return f"oci:{folder}"

    def _fetch(self, text: str, namespace: str, blobs: Path, depth: int) -> None:
        """A blob and what it names. What is not here is of another platform, or was thrown away:
        reading the layout then says what is missing."""
        digest = Digest.parse(text)
        file = blobs / digest.hex
        if digest.algorithm != "sha256" or file.exists() or depth > 3:
            return
        kinds = messages()
        read = self._channel().unary_stream(
            f"/{_SERVICES}.content.v1.Content/Read",
            request_serializer=lambda m: m.SerializeToString(),
            response_deserializer=kinds["ReadContentResponse"].FromString,
        )
        import grpc

        size = 0
        try:
            with file.open("wb") as out:
                for part in read(
                    kinds["ReadContentRequest"](digest=digest),
                    metadata=(("containerd-namespace", namespace),),
                ):
                    size += len(part.data)
                    if size > self._limits.blob_bytes:
                        raise ProtocolError("a blob is too large", where=str(digest))
                    out.write(part.data)
        except grpc.RpcError as error:
            file.unlink(missing_ok=True)
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return
            raise _translated(error, self._address) from error
        for named in _named(file, self._limits.json_bytes):
            self._fetch(named, namespace, blobs, depth + 1)

    # --- calls ---

    def _channel(self) -> Any:
        import grpc

        with self._lock:
            if self._open is None:
                self._open = grpc.insecure_channel(
                    f"unix://{self._address}",
                    options=[("grpc.max_receive_message_length", 16 << 20),
                             ("grpc.max_reconnect_backoff_ms", 2000),
                             ("grpc.default_authority", "localhost")],
                )  # fmt: skip
            return self._open

    def _call(
        self, method: str, request: str, namespace: str, answer: str = "", **fields: Any
    ) -> Any:
        import grpc

        kinds = messages()
        call = self._channel().unary_unary(
            f"/{_SERVICES}.{method}",
            request_serializer=lambda m: m.SerializeToString(),
            response_deserializer=kinds[answer or f"{request}Response"].FromString,
        )
        name = f"{request}Request"
        header = (("containerd-namespace", namespace),) if namespace else ()
        try:
            return call(kinds[name](**fields), timeout=_SECONDS, metadata=header)
        except grpc.RpcError as error:
            raise _translated(error, self._address) from error


class _GoneError(ProtocolError):
    """What was asked about is not there (any more)."""


def _translated(error: Any, address: str) -> LayerproofError:
    import grpc

    code, said = error.code(), (error.details() or "")[:300]
    if code in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION):
        return _GoneError(said, where=address)
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
        return UnreachableError(
            f"containerd does not answer: {said}",
            where=address,
            remedy="is it running? name its socket with --address, and run as root",
        )
    return ProtocolError(f"containerd answered {code.name}: {said}", where=address)


def _references(image: str, digest: Digest | None) -> tuple[str, ...]:
    """The name, as far as it is a registry's, with the digest that stands behind it here."""
    if digest is None:
        return ()
    try:
        named = parse_name(image.partition("@")[0])
    except LayerproofError:
        return ()
    return (f"docker://{named.host}/{named.repository}@{digest}",)


def _named(file: Path, most: int) -> list[str]:
    """Digests of what a manifest or index names; nothing for any other blob."""
    if file.stat().st_size > most:
        return []
    with file.open("rb") as stream:
        if stream.read(1) != b"{":
            return []
        stream.seek(0)
        data = stream.read()
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return []
    if not isinstance(document, dict):
        return []
    found = []
    for key in ("manifests", "layers"):
        parts = document.get(key)
        found += [p for p in parts if isinstance(p, dict)] if isinstance(parts, list) else []
    config = document.get("config")
    if isinstance(config, dict) and "layers" in document:
        found.append(config)
    digests = [part.get("digest") for part in found]
    return [digest for digest in digests if isinstance(digest, str)]
