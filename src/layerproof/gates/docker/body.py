"""A request's JSON, read so that nobody can read anything else in it.

The engine decodes with Go's `encoding/json`: keys match in any case ("image" is `Image`, and so is
a key with U+017F for an s), the last of two wins, and what follows the first value is not looked
at. The gate must see what the engine will do, so whatever could be read in two ways is refused:

1. Not UTF-8, a byte order mark, or encoded content.
2. Anything after the value, nesting without end, numbers that are none (NaN).
3. A key that stands twice in one object.
4. Keys that differ only in case, and known keys in another case, where the engine expects fields.
   Objects whose keys are free (labels, options, ports) may hold what they like.

Source: Go, encoding/json, Unmarshal and foldName; Moby 20.10, api/types/container and mount.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

from layerproof.gates.docker.refusal import RefusedError

MOST_DEPTH = 64
_REMEDY = "send the request as the Docker clients do"
# Fields that decide what runs, by their folded names.
_KNOWN = {
    name.casefold(): name
    for name in (
        "Image", "HostConfig", "Mounts", "Type", "Source", "TaskTemplate", "ContainerSpec",
        "PluginSpec", "Runtime", "Labels",
    )
}  # fmt: skip
# Objects whose keys people choose.
_FREE = frozenset(
    name.casefold()
    for name in (
        "Labels", "ExposedPorts", "Volumes", "PortBindings", "Sysctls", "StorageOpt", "Tmpfs",
        "Annotations", "Options", "DriverOpts", "EndpointsConfig", "Config",
    )
)  # fmt: skip


def read_body(data: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
    """The object. Raises RefusedError."""
    folded = {name.casefold(): value for name, value in headers.items()}
    if folded.get("content-encoding", "identity").casefold() != "identity":
        _refuse("its body is encoded")
    if not data:
        # CVE-2024-41110, CVE-2026-34040: the engine forwarded a request without its body.
        _refuse("its body did not arrive here")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        _refuse("its body is not UTF-8")
    if text.startswith("\ufeff"):
        _refuse("its body begins with a byte order mark")
    try:
        value = json.loads(text, object_pairs_hook=_Pairs, parse_constant=_no_constant)
    except RecursionError:
        _refuse("its body is nested too deeply")
    except ValueError:
        _refuse("its body is not one JSON value")
    found = _checked(value, free=False, depth=0)
    if not isinstance(found, dict):
        _refuse("its body is not a JSON object")
    return found


class _Pairs(list[tuple[str, Any]]):
    """An object as it was written."""


def _checked(value: Any, *, free: bool, depth: int) -> Any:
    if depth > MOST_DEPTH:
        _refuse("its body is nested too deeply")
    if isinstance(value, _Pairs):
        _check_keys([key for key, _ in value], free=free)
        return {
            key: _checked(item, free=not free and key.casefold() in _FREE, depth=depth + 1)
            for key, item in value
        }
    if isinstance(value, list):
        return [_checked(item, free=False, depth=depth + 1) for item in value]
    return value


def _check_keys(keys: Sequence[str], *, free: bool) -> None:
    if len(set(keys)) != len(keys):
        _refuse("a key stands twice in its body")
    if free:
        return
    folded = [key.casefold() for key in keys]
    if len(set(folded)) != len(folded):
        _refuse("keys of its body differ only in upper and lower case")
    for key, plain in zip(keys, folded, strict=True):
        if _KNOWN.get(plain, key) != key:
            _refuse(f"the key {key[:40]!r} of its body is not written {_KNOWN[plain]}")


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in it, itself first."""
    if isinstance(value, dict):
        yield value
        for item in value.values():
            yield from objects(item)
    elif isinstance(value, list):
        for item in value:
            yield from objects(item)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _refuse(what: str) -> NoReturn:
    raise RefusedError(f"the request cannot be judged: {what}", _REMEDY)
