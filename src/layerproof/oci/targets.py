"""Links of lower layers that stay as they are and yield something else: their target changed.

`/usr/bin/prog → /opt/prog` is what runs as `prog`. A layer that exchanges `/opt/prog` changes the
command without touching a folder that commands are searched in. Watched are links beneath the
folders of commands, libraries and configuration; each way is followed once and kept until a layer
touches a path on it.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from layerproof.model.change import ChangeKind
from layerproof.model.entry import DIRECTORY, SYMLINK
from layerproof.oci.inodes import Inodes
from layerproof.oci.links import follow, nearest
from layerproof.oci.step import Step

WATCHED = (
    b"bin/",
    b"etc/",
    b"lib/",
    b"lib32/",
    b"lib64/",
    b"libx32/",
    b"sbin/",
    b"usr/bin/",
    b"usr/lib/",
    b"usr/lib32/",
    b"usr/lib64/",
    b"usr/libexec/",
    b"usr/libx32/",
    b"usr/local/bin/",
    b"usr/local/lib/",
    b"usr/local/lib64/",
    b"usr/local/sbin/",
    b"usr/sbin/",
)

_MAX_KEPT = 64  # paths on a way; longer ways, which only an attacker makes, are followed anew


class Retarget(NamedTuple):
    """A link that yields something else now, because `target` on its way changed."""

    link: bytes
    target: bytes
    before: int
    after: int | None


class Targets:
    """The watched links of a tree, and which paths the way of each goes by."""

    __slots__ = ("_inodes", "_links", "_nodes", "_ways")

    def __init__(self, nodes: Mapping[bytes, int], inodes: Inodes) -> None:
        self._nodes = nodes
        self._inodes = inodes
        self._links: set[bytes] = set()
        self._ways: dict[bytes, tuple[bytes, ...]] = {}

    def changed(self, step: Step) -> list[Retarget]:
        """What a layer does to what links yield. To be asked before the tree takes the layer."""
        if not self._links or not (step.before or step.upper.relinked):
            return []
        memo: dict[bytes, bytes | None] = {b"": None, **self._folders(step)}
        found = (self._one(link, step, memo) for link in self._links if self._stays(link, step))
        return [retarget for retarget in found if retarget is not None]

    def take(self, step: Step) -> None:
        """The layer becomes part of the tree."""
        layer, kinds = step.upper.nodes, self._inodes.kinds
        gone = set(step.gone)
        relinked = step.upper.relinked.keys()
        for link, way in list(self._ways.items()):
            if not (layer.keys().isdisjoint(way) and gone.isdisjoint(way)):
                del self._ways[link]
        if self._links:
            self._links -= gone
            self._links.difference_update(layer)
        if SYMLINK in kinds[step.first :] or relinked:
            arrived = [path for path, number in layer.items() if kinds[number] == SYMLINK]
            self._links.update(path for path in arrived if path.startswith(WATCHED))

    def _folders(self, step: Step) -> dict[bytes, bytes | None]:
        """Folders that stay, with other attributes; the root has a change of its own."""
        kinds, compare, layer = self._inodes.kinds, self._inodes.compare, step.upper.nodes
        shared = [
            (path, old, layer[path])
            for path, old in step.before.items()
            if path and kinds[old] == DIRECTORY and path in layer
        ]
        return {
            path: path for path, old, new in shared if compare(old, new) is ChangeKind.ATTRIBUTES
        }

    def _stays(self, link: bytes, step: Step) -> bool:
        """Whether the layer leaves the link itself: otherwise that is a change of its own."""
        if link not in step.before:
            return True
        number, old = step.upper.nodes.get(link), step.before[link]
        symlinks = self._inodes.symlinks
        return number is not None and symlinks.get(number) == symlinks[old]

    def _one(self, link: bytes, step: Step, memo: dict[bytes, bytes | None]) -> Retarget | None:
        way = self._way(link)
        for path in way:
            if path in step.before or path in step.upper.relinked:
                found = self._change(link, path, step)
                if found is not None:
                    return found
        if len(memo) > 1:
            for path in way:
                folder = nearest(path, memo)
                if folder is not None:
                    return self._change(link, folder, step)
        return None

    def _change(self, link: bytes, path: bytes, step: Step) -> Retarget | None:
        old = self._nodes.get(path)
        if old is None:
            return None
        new = step.upper.nodes.get(path)
        if new is None and path in step.upper.relinked and path not in step.before:
            new = step.upper.relinked[path].number
        if new is not None and self._inodes.compare(old, new) is ChangeKind.IDENTICAL:
            return None
        return Retarget(link, path, old, new)

    def _way(self, link: bytes) -> Iterable[bytes]:
        """The paths besides `link` that decide what it yields, in the order of the way."""
        way = self._ways.get(link)
        if way is None:
            trail: list[bytes] = []
            follow(link, self._nodes, self._inodes.symlinks, trail)
            way = tuple(path for path in dict.fromkeys(trail) if path and path != link)
            if len(way) <= _MAX_KEPT:
                self._ways[link] = way
        return way
