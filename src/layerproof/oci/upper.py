"""What one layer's tar leaves when it is unpacked alone: the upper folder of an overlay.

That is how containerd, containers/storage and Docker unpack for overlayfs, entry by entry:

1. Parents: folders that are missing are made; links *of this layer* among them are followed, as
   inside a chroot. Links of lower layers are not there, so nothing follows them.
2. A folder over a folder merges; anything else removes what stands at its path, with all beneath.
3. A hard link gives its inode another name and its own mode, owner and attributes.
4. Whiteouts (image-spec layer.md "Whiteouts") hide lower content only, wherever they stand in the
   tar; where they lie follows from step 1.

Where runtimes give up (a file among the parents, a link that loops), the later entry wins.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from layerproof.errors import LimitExceededError
from layerproof.model.entry import DIRECTORY, HARDLINK, OPAQUE, SYMLINK, WHITEOUT, EntryTable
from layerproof.oci.inodes import IMPLIED, Inodes
from layerproof.oci.links import deepest, follow, join, parent_of

_FOLDER_COST = 100  # bytes that a folder costs besides its path


class Detour(NamedTuple):
    """An entry that landed elsewhere, because a link of its own layer stands among its parents."""

    path: bytes  # as the tar names it
    landed: bytes
    link: bytes
    number: int | None  # None for a whiteout


class Relink(NamedTuple):
    """A lower inode that this layer gives another name, and maybe other metadata with it."""

    number: int  # a clone of the lower inode; the lower tree stays as it is
    by: bytes  # the first hard link to it
    lower: int  # the number that it has below


@dataclass(slots=True)
class Upper:
    """One layer alone."""

    nodes: dict[bytes, int]  # every path, with its parents; without whiteouts
    folders: Collection[bytes] = ()  # every folder that an entry lies in, and maybe more
    whiteouts: list[bytes] = field(default_factory=list)  # hidden paths, in tar order
    opaques: list[bytes] = field(default_factory=list)  # folders
    beneath_own: int = 0  # whiteouts beneath a file or looping link of this layer: without effect
    detours: list[Detour] = field(default_factory=list)
    borrowed: dict[bytes, bytes] = field(default_factory=dict)  # hard link → lower path
    relinked: dict[bytes, Relink] = field(default_factory=dict)  # by lower path


class Allowance:
    """How many folders may still be implied: a path of n bytes implies up to n/2 of them, so a
    small tar could ask for very many."""

    __slots__ = ("_left", "_where")

    def __init__(self, implied_bytes: int) -> None:
        self._left = implied_bytes

    def spend(self, path: bytes) -> None:
        """Raises LimitExceededError."""
        self._left -= len(path) + _FOLDER_COST
        if self._left < 0:
            raise LimitExceededError(
                "paths of the layers imply too many folders that no entry names",
                limit="implied_bytes",
            )


class Unpacker:
    """Unpacks layers one after the other onto numbers of `inodes`."""

    __slots__ = ("_allowance", "_inodes")

    def __init__(self, inodes: Inodes, allowance: Allowance) -> None:
        self._inodes = inodes
        self._allowance = allowance

    def unpack(self, table: EntryTable, first: int, below: Mapping[bytes, int]) -> Upper:
        """The layer alone. `first` is the number of its first entry, `below` the lower tree."""
        linker = _Linker(self._inodes, below)
        upper = self._at_once(table, first, linker)
        if upper is None:
            upper = _OneByOne(self._inodes, self._allowance, table, first, linker).run()
        return upper

    def _at_once(self, table: EntryTable, first: int, linker: "_Linker") -> Upper | None:
        """Most layers name each path once and keep to folders: the order means nothing then.
        None if this one is not so."""
        kinds, numbers = table.kinds, range(first, first + len(table))
        hiding = kinds.count(WHITEOUT) + kinds.count(OPAQUE)
        if hiding:
            entries = zip(table.paths, numbers, kinds, strict=True)
            upper = Upper({p: n for p, n, k in entries if k not in (WHITEOUT, OPAQUE)})
            upper.whiteouts = _of_kind(table, WHITEOUT)
            upper.opaques = _of_kind(table, OPAQUE)
        else:
            upper = Upper(dict(zip(table.paths, numbers, strict=True)))
        if len(upper.nodes) + hiding != len(table):
            return None
        parents = dict.fromkeys([path.rpartition(b"/")[0] for path in table.paths])
        parents.update(dict.fromkeys(upper.opaques))
        upper.folders = parents
        if not self._add_parents(upper.nodes, parents):
            return None
        hardlinks = [index for index in table.links if kinds[index] == HARDLINK]
        return upper if self._link_at_once(table, first, hardlinks, upper, linker) else None

    def _add_parents(self, nodes: dict[bytes, int], folders: Iterable[bytes]) -> bool:
        """False if one of them is no folder."""
        kinds = self._inodes.kinds
        if kinds[nodes.get(b"", IMPLIED)] != DIRECTORY:
            return False
        for folder in folders:
            path = folder
            while path and path not in nodes:
                self._allowance.spend(path)
                nodes[path] = IMPLIED
                path = parent_of(path)
            if path and kinds[nodes[path]] != DIRECTORY:
                return False
        return True

    def _link_at_once(
        self, table: EntryTable, first: int, hardlinks: list[int], upper: Upper, linker: "_Linker"
    ) -> bool:
        """False if a target comes later in the tar, or lies behind a link of this layer."""
        kinds, nodes = self._inodes.kinds, upper.nodes
        for index in hardlinks:
            target = table.links[index]
            number = nodes.get(target)
            if number is None:
                if kinds[nodes.get(deepest(target, nodes), IMPLIED)] != DIRECTORY:
                    return False
            elif number == IMPLIED or number > first + index:
                return False
        for index in sorted(hardlinks):
            path, target = table.paths[index], table.links[index]
            own = nodes.get(target)
            nodes[path] = linker.link(upper, path, first + index, target, own)
        return True


def _of_kind(table: EntryTable, kind: int) -> list[bytes]:
    return [table.paths[index] for index, found in enumerate(table.kinds) if found == kind]


class _Linker:
    """Finds the inodes of hard links."""

    __slots__ = ("_below", "_inodes")

    def __init__(self, inodes: Inodes, below: Mapping[bytes, int]) -> None:
        self._inodes = inodes
        self._below = below

    def link(self, upper: Upper, path: bytes, header: int, target: bytes, own: int | None) -> int:
        """The number for `path`. `own`: what stands at `target` in this layer, if anything does.
        The header's own number, which stays a hard link, when there is no such file."""
        inodes = self._inodes
        if own is not None and own != header:
            if inodes.kinds[own] in (DIRECTORY, HARDLINK):
                return header
            inodes.take_header(own, header)
            if inodes.is_clone(own):  # a name of a lower inode already
                upper.borrowed[path] = upper.borrowed[target]
            return own
        found = self._lower(target)
        if found is None or inodes.kinds[self._below[found]] in (DIRECTORY, HARDLINK):
            return header
        relink = upper.relinked.get(found)
        if relink is None:
            lower = self._below[found]
            relink = Relink(inodes.clone(lower), path, lower)
            upper.relinked[found] = relink
        inodes.take_header(relink.number, header)
        upper.borrowed[path] = found
        return relink.number

    def _lower(self, target: bytes) -> bytes | None:
        if target in self._below:
            return target
        folder, _, name = target.rpartition(b"/")
        way = follow(folder, self._below, self._inodes.symlinks)
        path = join(way[0], name) if way is not None else target
        return path if path in self._below else None


class _OneByOne:
    """The slow way: every entry in tar order, upon what earlier ones left."""

    __slots__ = (
        "_allowance",
        "_children",
        "_first",
        "_inodes",
        "_linker",
        "_real",
        "_table",
        "_upper",
    )

    def __init__(
        self, inodes: Inodes, allowance: Allowance, table: EntryTable, first: int, linker: _Linker
    ) -> None:
        self._inodes = inodes
        self._allowance = allowance
        self._table = table
        self._first = first
        self._linker = linker
        self._upper = Upper({})
        self._children: dict[bytes, dict[bytes, None]] = {}
        self._real: dict[bytes, bytes] = {}  # folder as named → folder that it leads to

    def run(self) -> Upper:
        """All entries."""
        upper, table = self._upper, self._table
        for index, path in enumerate(table.paths):
            kind = table.kinds[index]
            if kind == OPAQUE:
                self._hide(path, path, b"", upper.opaques)
            elif kind == WHITEOUT:
                folder, _, name = path.rpartition(b"/")
                self._hide(path, folder, name, upper.whiteouts)
            elif path:
                self._put(path, index)
            elif kind == DIRECTORY:  # nothing else can stand at the root
                upper.nodes[b""] = self._first + index
        upper.folders = self._children
        upper.borrowed = {
            path: lower
            for path, lower in upper.borrowed.items()
            if path in upper.nodes and self._inodes.is_clone(upper.nodes[path])
        }  # some names may have gone, or stand for another file now
        return upper

    def _hide(self, path: bytes, folder: bytes, name: bytes, hidden: list[bytes]) -> None:
        nodes, inodes = self._upper.nodes, self._inodes
        way = follow(folder, nodes, inodes.symlinks)
        if way is None or inodes.kinds[nodes.get(deepest(way[0], nodes), IMPLIED)] != DIRECTORY:
            self._upper.beneath_own += 1  # nothing lower shows through there anyway
            return
        real = self._folder(folder)
        landed = join(real, name) if name else real
        hidden.append(landed)
        self._note(path, folder, landed, None)

    def _put(self, path: bytes, index: int) -> None:
        kinds, nodes = self._inodes.kinds, self._upper.nodes
        number = self._first + index
        folder, _, name = path.rpartition(b"/")
        landed = join(self._folder(folder), name)
        if self._table.kinds[index] == HARDLINK:
            target = self._own_target(self._table.links.get(index, b""))
            number = self._linker.link(self._upper, landed, number, target, nodes.get(target))
        self._note(path, folder, landed, number)
        old = nodes.get(landed)
        if old is not None and not kinds[old] == kinds[number] == DIRECTORY:
            self._remove(landed)
        self._add(landed, number)

    def _note(self, path: bytes, folder: bytes, landed: bytes, number: int | None) -> None:
        if landed != path:
            link = deepest(folder, self._upper.nodes)
            self._upper.detours.append(Detour(path, landed, link, number))

    def _own_target(self, target: bytes) -> bytes:
        folder, _, name = target.rpartition(b"/")
        way = follow(folder, self._upper.nodes, self._inodes.symlinks)
        return target if way is None else join(way[0], name)

    def _folder(self, folder: bytes) -> bytes:
        """Where the folder really is; it exists afterwards."""
        real = self._real.get(folder)
        if real is not None:
            return real
        nodes, kinds = self._upper.nodes, self._inodes.kinds
        way = follow(folder, nodes, self._inodes.symlinks)
        real = folder if way is None else way[0]
        missing, path = [], real
        while path and (path not in nodes or kinds[nodes[path]] != DIRECTORY):
            if path in nodes:
                self._remove(path)
            missing.append(path)
            path = parent_of(path)
        for path in reversed(missing):
            self._allowance.spend(path)
            self._add(path, IMPLIED)
        self._real[folder] = real
        return real

    def _add(self, path: bytes, number: int) -> None:
        self._upper.nodes[path] = number
        self._children.setdefault(parent_of(path), {})[path] = None

    def _remove(self, path: bytes) -> None:
        """As `rm -r`; what was known about folders may no longer hold."""
        self._children[parent_of(path)].pop(path, None)
        doomed = [path]
        while doomed:
            gone = doomed.pop()
            number = self._upper.nodes.pop(gone)
            if self._inodes.kinds[number] in (DIRECTORY, SYMLINK):
                self._real.clear()
            doomed.extend(self._children.pop(gone, ()))
