"""Which layer introduced each package, and which took it away again.

Told by walking up the layers' package changes: a package that is removed and comes back was
introduced by the layer that brought it back; an upgrade or a downgrade introduces another instance.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter

from layerproof.model.package import Package, PackageChange

_identity = attrgetter("type", "name", "version", "architecture", "path", "source_version")


@dataclass(frozen=True, slots=True)
class Instance:
    """One package of one version. Positions of layers."""

    package: Package
    introduced: int
    gone: int | None = None  # the layer that removed it or put another version in its place
    successor: Package | None = None  # that version


def instances(layers: Iterable[tuple[int, Sequence[PackageChange]]]) -> list[Instance]:
    """Every instance of every package, in the order in which layers brought them."""
    found: list[Instance] = []
    current: dict[object, int] = {}
    for position, changes in layers:
        for change in changes:
            if change.before is not None:
                at = current.pop(_identity(change.before), None)
                if at is not None:
                    found[at] = replace(found[at], gone=position, successor=change.after)
            if change.after is not None:
                current[_identity(change.after)] = len(found)
                found.append(Instance(change.after, position))
    return found
