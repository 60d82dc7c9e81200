"""Every image in an object of Kubernetes, whatever kind it is. Pure: JSON in, places out.

1. A pod spec is any object that has one of the lists `containers`, `initContainers` and
   `ephemeralContainers`: in a Pod, in every workload that nests a pod template, in a template of
   its own, in a custom resource that nobody knows here, in the object of the old
   `pods/ephemeralcontainers` subresource. There is no table of kinds that could lack one.
2. Images stand in `image` of each container, and in `volumes[].image.reference` (KEP-4639).
3. A key that is one of these in another case is refused where it could be read as one: the
   controller of a custom resource may read keys without regard to case, as Go's standard reader
   does.
4. In the API's own kinds, an image that is no text is refused. In others it is left out and told.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from layerproof.errors import LimitExceededError, ReviewError

MOST_IMAGES = 1000  # places in one object
MOST_DEPTH = 100
_LISTS = {
    "containers": "container",
    "initContainers": "init container",
    "ephemeralContainers": "ephemeral container",
}
_VOLUMES = "volumes"
_LEAVES = frozenset({*_LISTS, _VOLUMES})
_CASES = {name.casefold(): name for name in (*_LISTS, _VOLUMES)}
_LENGTHS = frozenset(map(len, _CASES))
# API groups whose objects the API server itself validates.
OWN_GROUPS = frozenset({"", "apps", "batch", "extensions"})

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """One image at its place in the object."""

    path: Path  # of the text
    role: str  # "container", "init container", "ephemeral container", "image volume"
    name: str  # of the container or volume
    image: str

    @property
    def pointer(self) -> str:
        """RFC 6901."""
        return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in self.path)


@dataclass(slots=True)
class Found:
    """All of an object."""

    places: list[Place] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)  # images that are no text
    pod_specs: list[Path] = field(default_factory=list)


def find_images(document: Mapping[str, Any], group: str = "") -> Found:
    """Raises ReviewError for what may be read in two ways, LimitExceededError."""
    found = Found()
    own = group in OWN_GROUPS
    for path, table in _tables(document, own=own):
        _check_cases(table, path)
        specs = [name for name in _LISTS if isinstance(table.get(name), list)]
        if not specs:
            continue
        found.pod_specs.append(path)
        for name in specs:
            for number, item in enumerate(table[name]):
                here = (*path, name, number)
                _container(item, here, _LISTS[name], found, strict=own)
        volumes = table.get(_VOLUMES)
        for number, item in enumerate(volumes if isinstance(volumes, list) else ()):
            _volume(item, (*path, _VOLUMES, number), found, strict=own)
        if len(found.places) > MOST_IMAGES:
            raise LimitExceededError(
                f"more than {MOST_IMAGES} images", limit="json_bytes", where=_shown(path)
            )
    return found


def _tables(document: Mapping[str, Any], *, own: bool) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Every object that could be a pod spec, or hold one; never by recursion. Metadata and status
    of the whole hold none; nor do, in the API's `own` kinds, containers and volumes."""
    first = {k: v for k, v in document.items() if k not in ("metadata", "status")}
    waiting: list[tuple[Path, Any]] = [((), first)]
    while waiting:
        path, node = waiting.pop()
        if len(path) > MOST_DEPTH:
            raise LimitExceededError("nested too deep", limit="json_depth", where=_shown(path))
        if isinstance(node, dict):
            yield path, node
            for key, value in node.items():
                kind = type(value)
                if (kind is dict or kind is list) and not (own and key in _LEAVES):
                    waiting.append(((*path, key), value))
        else:
            for number, value in enumerate(node):
                kind = type(value)
                if kind is dict or kind is list:
                    waiting.append(((*path, number), value))


def _check_cases(table: Mapping[str, Any], path: Path) -> None:
    for key, value in table.items():
        if len(key) not in _LENGTHS or key in _LISTS or key == _VOLUMES:
            continue
        if key.casefold() in _CASES and isinstance(value, list) and value:
            raise _doubtful(key, _CASES[key.casefold()], path)


def _container(item: Any, path: Path, role: str, found: Found, *, strict: bool) -> None:
    if not isinstance(item, dict):
        if strict:
            raise ReviewError("a container is no object", where=_shown(path))
        return
    _only(item, "image", path)
    image = item.get("image")
    name = item.get("name")
    _text(image, (*path, "image"), role, name if isinstance(name, str) else "", found, strict)


def _volume(item: Any, path: Path, found: Found, *, strict: bool) -> None:
    if not isinstance(item, dict):
        return
    _only(item, "image", path)
    source = item.get("image")
    if not isinstance(source, dict):
        return
    _only(source, "reference", (*path, "image"))
    name = item.get("name")
    where = (*path, "image", "reference")
    shown = name if isinstance(name, str) else ""
    _text(source.get("reference"), where, "image volume", shown, found, strict)


def _text(image: Any, path: Path, role: str, name: str, found: Found, strict: bool) -> None:
    if image is None or image == "":
        return  # the API lets templates leave it out; a pod without is not started
    if isinstance(image, str):
        found.places.append(Place(path, role, name, image))
    elif strict:
        raise ReviewError("an image is no text", where=_shown(path))
    else:
        found.skipped.append(path)


def _only(table: Mapping[str, Any], name: str, path: Path) -> None:
    for key in table:
        if key != name and len(key) == len(name) and key.casefold() == name:
            raise _doubtful(key, name, path)


def _doubtful(key: str, name: str, path: Path) -> ReviewError:
    return ReviewError(
        f"the key {key[:100]!r} is {name!r} in another case",
        where=_shown(path),
        remedy="readers disagree on whether it counts: write it as Kubernetes does",
    )


def _shown(path: Path) -> str:
    return ".".join(str(part)[:100] for part in path[:20]) or "object"
