"""One layer meets the tree below: what is shared, what goes, where links lead entries astray.

All of it is looked at before the tree changes; `layerproof.oci.describe` turns it into changes.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

from layerproof.model.change import Cause
from layerproof.model.entry import DIRECTORY, SYMLINK
from layerproof.oci.inodes import IMPLIED, Inodes
from layerproof.oci.links import follow, join, nearest, parent_of
from layerproof.oci.upper import Upper


class Redirect(NamedTuple):
    """An entry that a link leads elsewhere, here or under another runtime."""

    path: bytes
    target: bytes
    before: int | None  # what stands at the target below
    after: int | None  # None for a whiteout
    link: bytes


class Lead(NamedTuple):
    """Where a link of the lower tree leads that this layer replaces."""

    target: bytes
    to_folder: bool


@dataclass(slots=True)
class Step:
    """A layer on its way onto the tree."""

    first: int  # number of the layer's first entry
    count: int  # how many entries it has
    lowest: bool  # nothing is below
    upper: Upper
    before: dict[bytes, int]  # what stood below at each path of the layer, and at those gone
    hidden: dict[bytes, tuple[Cause, bytes]]  # lower paths out of sight: why, and by which path
    gone: list[bytes]  # those of them that the layer does not bring back
    absent: int  # whiteouts of nothing


def hiding_roots(
    upper: Upper, shared: Iterable[bytes], nodes: Mapping[bytes, int], inodes: Inodes
) -> list[tuple[bytes, int, Cause]]:
    """Where lower content begins to be hidden: outermost first, and a whiteout before the others.

    A whiteout hides its path and all beneath; the others what is beneath.
    """
    kinds = inodes.kinds
    roots = [(path, 0, Cause.WHITEOUT) for path in dict.fromkeys(upper.whiteouts) if path in nodes]
    roots += [
        (path, 1, Cause.OPAQUE)
        for path in dict.fromkeys(chain(upper.opaques, [w for w in upper.whiteouts if not w]))
        if not path or (path in nodes and kinds[nodes[path]] == DIRECTORY)
    ]
    roots += [
        (path, 2, Cause.TYPE_CHANGE)
        for path in shared
        if kinds[nodes[path]] == DIRECTORY != kinds[upper.nodes[path]]
    ]
    return sorted(roots)


def leads(step: Step, nodes: Mapping[bytes, int], inodes: Inodes) -> dict[bytes, Lead]:
    """Where those lower links lead that this layer turns into something else."""
    found: dict[bytes, Lead] = {}
    kinds, upper = inodes.kinds, step.upper.nodes
    for path in [path for path, old in step.before.items() if kinds[old] == SYMLINK]:
        number, old = upper.get(path), step.before[path]
        if number is None or inodes.symlinks.get(number) == inodes.symlinks[old]:
            continue
        way = follow(path, nodes, inodes.symlinks)
        if way is not None:
            real, exists = way
            is_folder = exists and kinds[nodes.get(real, IMPLIED)] == DIRECTORY
            found[path] = Lead(real, is_folder)
    return found


def detours(step: Step, nodes: Mapping[bytes, int]) -> list[Redirect]:
    """Entries whose path has a link of this layer among its parents: every runtime follows it, and
    what they change stands elsewhere."""
    return [
        Redirect(way.path, way.landed, nodes.get(way.landed), way.number, way.link)
        for way in step.upper.detours
    ]


def redirects(
    step: Step, led: Mapping[bytes, Lead], nodes: Mapping[bytes, int], inodes: Inodes
) -> list[Redirect]:
    """Entries whose path has a link of a lower layer among its parents: overlay-based runtimes put
    a folder in its place, others write through it."""
    replaced = {
        path: path
        for path, lead in led.items()
        if inodes.kinds[step.upper.nodes[path]] == DIRECTORY
        and (lead.to_folder or lead.target not in nodes)
    }
    return list(_through(step, replaced, nodes, inodes)) if replaced else []


def _through(
    step: Step, replaced: Mapping[bytes, bytes], nodes: Mapping[bytes, int], inodes: Inodes
) -> Iterator[Redirect]:
    """Entries beneath a folder that takes the place of a lower link."""
    memo: dict[bytes, bytes | None] = {b"": None, **replaced}
    landings: dict[bytes, bytes] = {}
    entries = ((p, parent_of(p), n) for p, n in step.upper.nodes.items() if p and n != IMPLIED)
    whiteouts = ((p, parent_of(p), None) for p in dict.fromkeys(step.upper.whiteouts) if p)
    opaques = ((p, p, None) for p in dict.fromkeys(step.upper.opaques))
    for path, folder, number in chain(entries, whiteouts, opaques):
        link = nearest(folder, memo)
        if link is None:
            continue
        if folder not in landings:
            way = follow(folder, nodes, inodes.symlinks)
            landings[folder] = folder if way is None else way[0]
        target = landings[folder]
        if folder != path:
            target = join(target, path.rpartition(b"/")[2])
        yield Redirect(path, target, nodes.get(target), number, link)
