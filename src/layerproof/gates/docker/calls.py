"""Which call of the Engine API a request is, and which images or containers it is about.

Pure: what the plugin is told goes in, a `Call` comes out. A call that only looks, or that starts
nothing and brings nothing, passes. Every call that changes something and is not listed here is one
of a newer engine, and of the kind `other`: refused unless the policy says otherwise.

| kind | calls | by default |
| --- | --- | --- |
| create | `POST /containers/create` | its image is judged, and images that it mounts |
| start | `POST /containers/ID/start`, `/restart` | what the container was made from is judged |
| pull | `POST /images/create?fromImage` | refused if the index knows that digest as refused |
| service | `POST /services/create`, `/services/ID/update` | its image must have a digest; judged |
| build | `POST /build`, `/session`, `/grpc` | refused: what a build runs cannot be seen here |
| load, import, commit, tag | | admitted: what comes of them is judged when it is to run |
| archive | `PUT /containers/ID/archive` | refused: it changes what was judged |
| checkpoint | a start from a checkpoint, and making one | refused: it brings a process's memory |
| plugins | every change under `/plugins` | refused: a plugin runs with all rights |

Source: Docker Engine API v1.41 to v1.52.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from layerproof.errors import LayerproofError
from layerproof.gates.docker.body import objects, read_body
from layerproof.gates.docker.refusal import RefusedError
from layerproof.gates.docker.uri import Target, read_target
from layerproof.model.image import Platform
from layerproof.model.reference import parse_name
from layerproof.model.verdict import Decision

_LOOKING = frozenset(("GET", "HEAD", "OPTIONS"))
_CHANGING = frozenset(("POST", "PUT", "DELETE", "PATCH"))
_HARMLESS_AFTER_CONTAINER = frozenset(
    ("stop", "kill", "pause", "unpause", "resize", "rename", "wait", "attach", "update", "exec",
     "copy")
)  # fmt: skip
_HARMLESS = frozenset(("networks", "volumes", "secrets", "configs", "nodes", "swarm", "exec"))
_REMEDY = "send the request as the Docker clients do"


class Kind(StrEnum):
    """What the gate does with a call."""

    PASS = "pass"
    CREATE = "create"
    START = "start"
    PULL = "pull"
    SERVICE = "service"
    RULED = "ruled"  # by its kind alone, as the policy says


@dataclass(frozen=True, slots=True)
class Request:
    """What the plugin is told of a request."""

    method: str
    target: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    user: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """What a request is about."""

    kind: Kind
    images: tuple[str, ...] = ()  # as the request names them
    container: str = ""
    labels: Mapping[str, str] | None = None
    platform: Platform | None = None
    ruled: str = ""  # the key of `calls` in the policy
    default: Decision = Decision.REFUSE
    reason: str = ""


PASSED = Call(Kind.PASS)


def read_call(request: Request) -> Call:
    """Raises RefusedError for a request that cannot be read with certainty."""
    if request.method in _LOOKING:
        return PASSED
    if request.method not in _CHANGING:
        raise RefusedError(f"{request.method[:20]!r} is no method of the engine", _REMEDY)
    target = read_target(request.target)
    kind = {n.casefold(): v for n, v in request.headers.items()}.get("content-type", "")
    if "form" in kind.casefold():
        # The engine takes parameters from a form too, and the plugin never sees that.
        raise RefusedError("a form is no way to ask the engine", _REMEDY)
    first = target.segments[0] if target.segments else ""
    readers = {
        "containers": _containers,
        "images": _images,
        "services": _services,
        "plugins": lambda *_: _ruled("plugins", "a plugin runs with all rights of the engine"),
        "commit": lambda *_: _ruled("commit", "it makes an image", Decision.ADMIT),
        "build": _build,
        "session": lambda *_: _ruled("build", "what a build runs cannot be seen here"),
        "grpc": lambda *_: _ruled("build", "what a build runs cannot be seen here"),
    }
    if first in readers:
        return readers[first](request, target)
    if first in _HARMLESS or target.segments == ("auth",):
        return PASSED
    return _other(target)


def _containers(request: Request, target: Target) -> Call:
    rest = target.segments[1:]
    if request.method == "DELETE" or rest == ("prune",):
        return PASSED
    if rest == ("create",):
        return _create(request, target)
    container, verb = (rest[0], rest[1]) if len(rest) == 2 else ("", "")
    if verb in ("start", "restart"):
        return _start(request, target, container)
    if verb == "archive":
        return _ruled("archive", "it changes files of a container, which nobody judges")
    if "checkpoints" in rest[1:2]:
        return _checkpoint()
    return PASSED if verb in _HARMLESS_AFTER_CONTAINER else _other(target)


def _create(request: Request, target: Target) -> Call:
    body = read_body(request.body, request.headers)
    image = body.get("Image")
    if not isinstance(image, str) or not image:
        raise RefusedError("the request names no image", _REMEDY)
    labels = body.get("Labels")
    return Call(
        Kind.CREATE,
        images=(image, *_mounted(body)),
        labels=_texts(labels),
        platform=_platform(target.query.get("platform", "")),
    )


def _start(request: Request, target: Target, container: str) -> Call:
    if target.query.get("checkpoint"):
        return _checkpoint()
    if request.body and request.body.strip() not in (b"{}", b"null"):
        # Engines before API 1.24 took a container's settings here.
        raise RefusedError("a start has no settings of its own", _REMEDY)
    return Call(Kind.START, container=container)


def _images(request: Request, target: Target) -> Call:
    rest = target.segments[1:]
    if request.method == "DELETE" or rest == ("prune",):
        return PASSED
    if rest == ("create",):
        return _pull(target)
    if rest == ("load",):
        return _ruled("load", "it brings images", Decision.ADMIT)
    if len(rest) > 1 and rest[-1] == "tag":
        return _ruled("tag", "it names an image", Decision.ADMIT)
    if len(rest) > 1 and rest[-1] == "push":
        return PASSED
    return _other(target)


def _pull(target: Target) -> Call:
    name, tag = target.query.get("fromImage", ""), target.query.get("tag", "")
    if not name or target.query.get("fromSrc"):
        return _ruled("import", "it makes an image", Decision.ADMIT)
    text = name
    if tag:
        text = f"{name}@{tag}" if ":" in tag else f"{name}:{tag}"
    platform = _platform(target.query.get("platform", ""))
    return Call(Kind.PULL, images=(_named(text),), platform=platform)


def _services(request: Request, target: Target) -> Call:
    rest = target.segments[1:]
    if request.method == "DELETE":
        return PASSED
    if rest != ("create",) and not (len(rest) == 2 and rest[1] == "update"):
        return _other(target)
    body = read_body(request.body, request.headers)
    task = body.get("TaskTemplate")
    spec = task.get("ContainerSpec") if isinstance(task, dict) else None
    if isinstance(task, dict) and (task.get("PluginSpec") or "plugin" in str(task.get("Runtime"))):
        return _ruled("plugins", "a plugin runs with all rights of the engine")
    image = spec.get("Image") if isinstance(spec, dict) else None
    if not isinstance(image, str) or not image:
        raise RefusedError("the service names no image", _REMEDY)
    labels = _texts(spec.get("Labels")) if isinstance(spec, dict) else None
    return Call(Kind.SERVICE, images=(image, *_mounted(body)), labels=labels)


def _build(request: Request, target: Target) -> Call:
    if target.segments[1:] in (("prune",), ("cancel",)):
        return PASSED
    return _ruled("build", "what a build runs cannot be seen here")


def _checkpoint() -> Call:
    return _ruled("checkpoint", "a checkpoint brings the memory of a process, which nobody judges")


def _other(target: Target) -> Call:
    shown = "/".join(re.sub(r"[0-9a-f]{12,}", "…", s) for s in target.segments[:4])[:80]
    return _ruled("other", f"/{shown} is a call that this gate does not know")


def _ruled(key: str, reason: str, default: Decision = Decision.REFUSE) -> Call:
    return Call(Kind.RULED, ruled=key, reason=reason, default=default)


def _mounted(body: Mapping[str, Any]) -> tuple[str, ...]:
    """Images that are mounted as volumes, wherever mounts stand."""
    found = []
    for item in objects(dict(body)):
        for mount in item.get("Mounts") or () if isinstance(item.get("Mounts"), list) else ():
            kind = mount.get("Type") if isinstance(mount, dict) else None
            if not isinstance(kind, str) or kind.casefold() != "image":
                continue
            source = mount.get("Source")
            if not isinstance(source, str) or not source:
                raise RefusedError("an image is mounted and not named", _REMEDY)
            found.append(source)
    return tuple(found)


def _named(text: str) -> str:
    """A name as the engine reads it, in full. Raises RefusedError."""
    try:
        return str(parse_name(text))
    except LayerproofError as error:
        raise RefusedError(f"no image name: {error.message}", _REMEDY) from error


def _texts(value: object) -> Mapping[str, str] | None:
    if not isinstance(value, dict):
        return None
    return {k: v for k, v in value.items() if isinstance(v, str)}


def _platform(text: str) -> Platform | None:
    if not text:
        return None
    parts = text.split("/")
    if not 1 <= len(parts) <= 3 or not all(parts) or len(text) > 100:
        raise RefusedError(f"{text[:40]!r} is no platform", "write linux/arm64")
    return Platform(*parts) if len(parts) > 1 else None
