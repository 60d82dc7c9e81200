"""The few messages of containerd's API that are needed, declared by number and name.

The wire format is left to the `protobuf` library; fields that are not named here are skipped, as
the format wants it (Protocol Buffers, "Updating A Message Type"). See docs/adr/0019.

Source: containerd 1.6 to 2.x, api/services/*/v1 and api/events; numbers of fields never change.
"""

from functools import cache
from typing import Any

_PACKAGE = "layerproof.containerd"
# message → (number, name, type); types: text, bytes, number, or another message; [] for repeated.
_MESSAGES: dict[str, list[tuple[int, str, str]]] = {
    "Timestamp": [(1, "seconds", "number"), (2, "nanos", "number")],
    "Any": [(1, "type_url", "text"), (2, "value", "bytes")],
    "Label": [(1, "key", "text"), (2, "value", "text")],
    # events
    "SubscribeRequest": [(1, "filters", "[text]")],
    "Envelope": [
        (1, "timestamp", "Timestamp"),
        (2, "namespace", "text"),
        (3, "topic", "text"),
        (4, "event", "Any"),
    ],
    "TaskEvent": [(1, "container_id", "text"), (2, "id", "text")],
    # containers
    "Container": [
        (1, "id", "text"),
        (2, "labels", "[Label]"),
        (3, "image", "text"),
        (6, "snapshotter", "text"),
        (7, "snapshot_key", "text"),
        (8, "created_at", "Timestamp"),
    ],
    "GetContainerRequest": [(1, "id", "text")],
    "GetContainerResponse": [(1, "container", "Container")],
    # tasks
    "Process": [
        (1, "container_id", "text"),
        (2, "id", "text"),
        (3, "pid", "number"),
        (4, "status", "number"),
    ],
    "ListTasksRequest": [(1, "filter", "text")],
    "ListTasksResponse": [(1, "tasks", "[Process]")],
    "KillRequest": [
        (1, "container_id", "text"),
        (2, "exec_id", "text"),
        (3, "signal", "number"),
        (4, "all", "number"),
    ],
    "PauseTaskRequest": [(1, "container_id", "text")],
    "Empty": [],
    # snapshots
    "StatSnapshotRequest": [(1, "snapshotter", "text"), (2, "key", "text")],
    "SnapshotInfo": [(1, "name", "text"), (2, "parent", "text"), (3, "kind", "number")],
    "StatSnapshotResponse": [(1, "info", "SnapshotInfo")],
    # images and content
    "Descriptor": [(1, "media_type", "text"), (2, "digest", "text"), (3, "size", "number")],
    "Image": [(1, "name", "text"), (3, "target", "Descriptor")],
    "GetImageRequest": [(1, "name", "text")],
    "GetImageResponse": [(1, "image", "Image")],
    "ReadContentRequest": [(1, "digest", "text"), (2, "offset", "number"), (3, "size", "number")],
    "ReadContentResponse": [(1, "offset", "number"), (2, "data", "bytes")],
    # namespaces
    "Namespace": [(1, "name", "text")],
    "ListNamespacesRequest": [(1, "filter", "text")],
    "ListNamespacesResponse": [(1, "namespaces", "[Namespace]")],
}

RUNNING = (2, 4, 5)  # running, paused, pausing (api/types/task, Status)


@cache
def messages() -> dict[str, Any]:
    """A class for each message, made once."""
    from google.protobuf.descriptor_pb2 import FileDescriptorProto
    from google.protobuf.descriptor_pool import DescriptorPool
    from google.protobuf.message_factory import GetMessageClass

    file = FileDescriptorProto(
        name="layerproof/containerd.proto", package=_PACKAGE, syntax="proto3"
    )
    for name, parts in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, field, kind in parts:
            _add(message, number, field, kind)
    pool = DescriptorPool()
    pool.Add(file)
    return {
        name: GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
        for name in _MESSAGES
    }


def _add(message: Any, number: int, name: str, kind: str) -> None:
    from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field

    plain = kind.strip("[]")
    types = {"text": Field.TYPE_STRING, "bytes": Field.TYPE_BYTES, "number": Field.TYPE_INT64}
    label = Field.LABEL_REPEATED if kind.startswith("[") else Field.LABEL_OPTIONAL
    field = message.field.add(number=number, name=name, label=label)
    if plain in types:
        field.type = types[plain]
    else:
        field.type = Field.TYPE_MESSAGE
        field.type_name = f".{_PACKAGE}.{plain}"
