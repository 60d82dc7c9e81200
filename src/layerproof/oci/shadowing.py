"""A new name that is found before an older one of the same name: SHADOWED.

Commands are searched in the order of PATH, shared libraries in the order of ld.so(8) with the
`ld.so.conf` that Debian and its kin bring; the `glibc-hwcaps` folders of every library folder come
first, and then those that older loaders know (`tls`, `haswell`, `x86_64`). Folders are resolved in
the tree, so that after a merged /usr one folder is listed once and does not shadow itself.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import combinations
from typing import NamedTuple

from layerproof.model.change import Cause
from layerproof.model.entry import DIRECTORY, FILE, SYMLINK
from layerproof.oci.inodes import Inodes
from layerproof.oci.links import follow, join, parent_of
from layerproof.oci.step import Step

PATH_ORDER = (b"usr/local/sbin", b"usr/local/bin", b"usr/sbin", b"usr/bin", b"sbin", b"bin")

LIBRARY_ORDER = (
    b"usr/local/lib",
    b"usr/local/lib/%b",
    b"lib/%b",
    b"usr/lib/%b",
    b"lib",
    b"usr/lib",
    b"usr/local/lib64",
    b"lib64",
    b"usr/lib64",
)

TRIPLETS = (
    b"x86_64-linux-gnu",
    b"aarch64-linux-gnu",
    b"i386-linux-gnu",
    b"arm-linux-gnueabihf",
    b"arm-linux-gnueabi",
    b"powerpc64le-linux-gnu",
    b"s390x-linux-gnu",
    b"riscv64-linux-gnu",
    b"loongarch64-linux-gnu",
    b"mips64el-linux-gnuabi64",
)

HWCAPS = tuple(
    b"glibc-hwcaps/" + level
    for level in (
        b"x86-64-v4",
        b"x86-64-v3",
        b"x86-64-v2",
        b"power10",
        b"power9",
        b"z16",
        b"z15",
        b"z14",
        b"z13",
    )
)

# Searched by glibc before 2.37, in each library folder, before the folder itself.
LEGACY_HWCAPS = tuple(
    b"/".join(names)
    for count in (4, 3, 2, 1)
    for names in combinations((b"tls", b"haswell", b"avx512_1", b"x86_64"), count)
)

# What a link may name without leaving the folders that are searched
_NAMED_FOLDERS = frozenset(
    (*PATH_ORDER, *(folder.replace(b"%b", t) for folder in LIBRARY_ORDER for t in TRIPLETS))
)

_LIBRARY = re.compile(rb"[^/]+\.so(?:\.[0-9]+)*")


class Shadow(NamedTuple):
    """`by` is found before `hidden`."""

    hidden: bytes
    by: bytes
    cause: Cause


class SearchOrder(NamedTuple):
    """Real folders, first searched first, each once."""

    cause: Cause
    folders: tuple[bytes, ...]


class View(NamedTuple):
    """A tree as far as a search sees it."""

    nodes: Mapping[bytes, int]
    inodes: Inodes

    def resolve(self, path: bytes) -> bytes | None:
        """The real path of what `path` leads to; None if that is nothing."""
        way = follow(path, self.nodes, self.inodes.symlinks)
        return way[0] if way is not None and way[1] else None

    def folder(self, path: bytes) -> bytes | None:
        """The real path of the folder that `path` leads to; None if it is none."""
        real = self.resolve(path)
        if real is None or self.inodes.kinds[self.nodes.get(real, 0)] != DIRECTORY:
            return None
        return real

    def command(self, path: bytes) -> bool:
        """Whether a search of PATH stops at `path`. A link counts wherever it leads: a later layer
        or a mount may put a program there, unseen in the folders that are searched."""
        number = self.nodes[path]
        if self.inodes.kinds[number] == SYMLINK:
            return True
        return self.inodes.kinds[number] == FILE and bool(self.inodes.owners[number][0] & 0o111)

    def library(self, path: bytes) -> bool:
        """Whether ld.so takes `path` for a shared library, by its name."""
        kind = self.inodes.kinds[self.nodes[path]]
        return kind in (FILE, SYMLINK) and bool(_LIBRARY.fullmatch(path.rpartition(b"/")[2]))


def search_orders(view: View) -> list[SearchOrder]:
    """The folders that commands and libraries are searched in, as they stand in this tree."""
    orders = [SearchOrder(Cause.SEARCH_PATH, _real(view, PATH_ORDER))]
    templates = [folder for folder in LIBRARY_ORDER if b"%b" in folder]
    triplets = [t for t in TRIPLETS if any(view.folder(f % t) is not None for f in templates)]
    for triplet in triplets or [b""]:
        folders = [f % triplet if b"%b" in f else f for f in LIBRARY_ORDER]
        folders = [f for f in folders if not f.endswith(b"/")]
        levels = [f + b"/" + level for f in folders for level in HWCAPS + LEGACY_HWCAPS]
        orders.append(SearchOrder(Cause.LIBRARY_PATH, _real(view, (*levels, *folders))))
    return orders


def _real(view: View, folders: Iterable[bytes]) -> tuple[bytes, ...]:
    found = (view.folder(folder) for folder in folders)
    return tuple(dict.fromkeys(folder for folder in found if folder is not None))


def shadows(
    view: View,
    step: Step,
    orders_below: list[SearchOrder],
    children: Callable[[], Mapping[bytes, Collection[bytes]]],
) -> Iterator[Shadow]:
    """What a layer's names hide of those from below, each pair once.

    `view`: the tree with the layer on it. `children`: the index of its folders, asked for only if
    one of those that are searched was exchanged for another.
    """
    layer, before = step.upper.nodes, step.before
    orders = search_orders(view)
    arrivals = _arrivals(view, step, orders)
    known = {folder: order.cause for order in orders_below for folder in order.folders}
    seen: set[tuple[bytes, bytes]] = set()
    for cause, folders in orders:
        found = view.command if cause is Cause.SEARCH_PATH else view.library
        for place, folder in enumerate(folders[:-1]):
            candidates = arrivals.get(folder, [])
            if known.get(folder) is not cause and (folder not in layer or folder in before):
                candidates = sorted(children().get(folder, ()))
            elif known.get(folder) is cause:
                candidates = [c for c in candidates if not _stood(view, before.get(c))]
            for by in candidates:
                if not found(by):
                    continue
                for hidden in _namesakes(view, step, by, folders[place + 1 :]):
                    if (hidden, by) not in seen and found(hidden):
                        seen.add((hidden, by))
                        yield Shadow(hidden, by, cause)


def _arrivals(view: View, step: Step, orders: list[SearchOrder]) -> dict[bytes, list[bytes]]:
    """The layer's names, other than folders, that lie right in a folder that is searched."""
    searched = (folder for order in orders for folder in order.folders)
    arrivals: dict[bytes, list[bytes]] = {f: [] for f in searched if f in step.upper.folders}
    if not arrivals:
        return arrivals
    layer, prefixes = step.upper.nodes, tuple(folder + b"/" for folder in arrivals)
    for path in [path for path in layer if path.startswith(prefixes)]:
        folder = path.rpartition(b"/")[0]
        if folder in arrivals and view.inodes.kinds[layer[path]] != DIRECTORY:
            arrivals[folder].append(path)
    return arrivals


def _stood(view: View, number: int | None) -> bool:
    """Whether a search would have stopped here below, too."""
    if number is None:
        return False
    kind, mode = view.inodes.kinds[number], view.inodes.owners[number][0]
    return kind == SYMLINK or (kind == FILE and bool(mode & 0o111))


def _namesakes(view: View, step: Step, path: bytes, later: Iterable[bytes]) -> Iterator[bytes]:
    """Names from below that are found after `path`, unless it is another name of theirs. A layer
    that writes such a name again hides it all the same."""
    layer, before = step.upper.nodes, step.before
    name = path.rpartition(b"/")[2]
    for folder in later:
        other = join(folder, name)
        below = other not in layer or other in before
        if other in view.nodes and below and not _stands_for(view, path, other):
            yield other


def _stands_for(view: View, path: bytes, other: bytes) -> bool:
    """Whether `path` is the same file as `other`, and stays so as long as no searched folder
    changes: a link must name `other` itself, by the way of searched folders only."""
    if view.resolve(path) != view.resolve(other):
        return False
    target = view.inodes.symlinks.get(view.nodes[path])
    if target is None:
        return True
    named = _literally(path, target)
    folder = named.rpartition(b"/")[0]
    straight = folder in _NAMED_FOLDERS or folder == parent_of(other)
    return straight and join(view.folder(folder) or b"", named[len(folder) + 1 :]) == other


def _literally(path: bytes, target: bytes) -> bytes:
    """The path that a link's target spells; b"" if `..` comes after a name, which may be a link."""
    parts = [part for part in target.split(b"/") if part not in (b"", b".")]
    ups = parts.count(b"..")
    if parts[:ups] != [b".."] * ups:
        return b""
    here = b"" if target.startswith(b"/") else parent_of(path)
    for _ in range(min(ups, here.count(b"/") + 1)):
        here = parent_of(here)
    return join(here, b"/".join(parts[ups:]))
