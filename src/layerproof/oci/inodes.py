"""Every entry of every layer under one running number: what the paths of a tree point at.

Hard links are several paths with one number. Columns grow by whole layers, at the speed of
memory; no object is made per entry.
"""

from array import array
from bisect import bisect_left
from hashlib import sha1

from layerproof.model.change import ChangeKind
from layerproof.model.entry import (
    BLOCK,
    CHARACTER,
    DIRECTORY,
    FILE,
    HARDLINK,
    NO_DIGEST,
    SYMLINK,
    Entry,
    EntryTable,
)
from layerproof.model.ownership import Checksum
from layerproof.oci.construct import make_entry
from layerproof.oci.digests import CHECK_BYTES

IMPLIED = 0  # the number of every folder that no entry names, though paths lie in it
_IMPLIED_OWNER = (0o755, 0, 0)  # as containerd, containers/storage and umoci make such folders

Owner = tuple[int, int, int]  # mode, uid, gid


class Inodes:
    """Columns by number; read by `Tree` and its helpers, written here only."""

    __slots__ = (
        "_checks",
        "_digests",
        "_originals",
        "_sizes",
        "devices",
        "hardlinks",
        "kinds",
        "owners",
        "symlinks",
        "xattrs",
    )

    def __init__(self) -> None:
        self.kinds = bytearray((DIRECTORY,))
        self.owners: list[Owner] = [_IMPLIED_OWNER]
        self.symlinks: dict[int, bytes] = {}
        self.hardlinks: dict[int, bytes] = {}  # entries as they came, resolved or not
        self.xattrs: dict[int, dict[str, bytes]] = {}
        self.devices: dict[int, tuple[int, int]] = {}
        self._sizes = array("Q", (0,))
        self._digests = bytearray(NO_DIGEST)
        self._originals: dict[int, int] = {}  # by clone
        self._checks: list[tuple[array[int], bytearray, int]] = []  # per layer, its first number

    def add(self, table: EntryTable) -> int:
        """Take a layer's entries; returns the number of the first."""
        first = len(self.kinds)
        self.kinds += table.kinds
        self.owners += table.owners
        self._sizes.extend(table.sizes)
        self._digests += table.digests
        for index, target in table.links.items():
            links = self.symlinks if table.kinds[index] == SYMLINK else self.hardlinks
            links[first + index] = target
        self.xattrs.update((first + index, value) for index, value in table.xattrs.items() if value)
        self.devices.update((first + index, value) for index, value in table.devices.items())
        if table.checked:
            self._checks.append((table.checked, table.checks, first))
        return first

    def entry(self, path: bytes, number: int) -> Entry:
        """What stands at `path`, as an object."""
        kind = self.kinds[number]
        size, digest, link = 0, None, None
        if kind == FILE:
            size, digest = self._sizes[number], bytes(self._digests[32 * number : 32 * number + 32])
        elif kind == SYMLINK:
            link = self.symlinks.get(number)
        elif kind == HARDLINK:
            link = self.hardlinks.get(number)
        xattrs = self.xattrs.get(number) or {}
        owner, device = self.owners[number], self.devices.get(number)
        return make_entry(path, kind, owner, size, digest, link, xattrs, device)

    def compare(self, old: int, new: int) -> ChangeKind:
        """REPLACED, ATTRIBUTES or IDENTICAL. A symbolic link's mode means nothing to Linux."""
        if old == new:
            return ChangeKind.IDENTICAL
        kind = self.kinds[new]
        if kind != self.kinds[old] or not self._same_contents(kind, old, new):
            return ChangeKind.REPLACED
        mine, theirs = self.owners[new], self.owners[old]
        if kind == SYMLINK:
            mine, theirs = (0, *mine[1:]), (0, *theirs[1:])
        if mine != theirs or self.xattrs.get(new) != self.xattrs.get(old):
            return ChangeKind.ATTRIBUTES
        return ChangeKind.IDENTICAL

    def digest(self, number: int, checksum: Checksum) -> bytes | None:
        """Of a file's contents, or SHA-1 of a symbolic link's target; None where there is none."""
        kind = self.kinds[number]
        if kind == SYMLINK and checksum is Checksum.SHA1:
            return sha1(self.symlinks.get(number, b""), usedforsecurity=False).digest()
        if kind != FILE or checksum is Checksum.NONE:
            return None
        if checksum is Checksum.SHA256:
            return bytes(self._digests[32 * number : 32 * number + 32])
        number = self._originals.get(number, number)
        for checked, checks, first in reversed(self._checks):
            if number >= first:
                place = bisect_left(checked, number - first)
                if place == len(checked) or checked[place] != number - first:
                    return None
                at = CHECK_BYTES * place
                md5 = checksum is Checksum.MD5
                return bytes(checks[at : at + 16] if md5 else checks[at + 16 : at + CHECK_BYTES])
        return None

    def take_header(self, number: int, header: int) -> None:
        """Give an inode the mode, owner and attributes of a hard link's header: link(2), then
        chown, chmod and setxattr, as containerd, containers/storage and Docker do it."""
        self.owners[number] = self.owners[header]
        extra = self.xattrs.get(header)
        if extra:
            self.xattrs[number] = {**self.xattrs.get(number, {}), **extra}

    def clone(self, number: int) -> int:
        """The same inode under a number of its own."""
        copy = len(self.kinds)
        self.kinds.append(self.kinds[number])
        self.owners.append(self.owners[number])
        self._sizes.append(self._sizes[number])
        self._digests += self._digests[32 * number : 32 * number + 32]
        self._originals[copy] = self._originals.get(number, number)
        for column in (self.symlinks, self.hardlinks):
            if number in column:
                column[copy] = column[number]
        if number in self.xattrs:
            self.xattrs[copy] = self.xattrs[number]
        if number in self.devices:
            self.devices[copy] = self.devices[number]
        return copy

    def is_clone(self, number: int) -> bool:
        """Whether `clone` made it."""
        return number in self._originals

    def _same_contents(self, kind: int, old: int, new: int) -> bool:
        if kind == FILE:
            digests = self._digests
            return digests[32 * old : 32 * old + 32] == digests[32 * new : 32 * new + 32]
        if kind == SYMLINK:
            return self.symlinks.get(old) == self.symlinks.get(new)
        if kind == HARDLINK:
            return self.hardlinks.get(old) == self.hardlinks.get(new)
        if kind in (CHARACTER, BLOCK):
            return self.devices.get(old) == self.devices.get(new)
        return True
