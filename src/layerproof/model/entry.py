"""What a layer tar holds: single entries, and a whole layer as columns.

A layer may hold hundreds of thousands of entries, so the reader fills columns and nobody builds
an object per entry unless asked (`EntryTable.entry`).
"""

from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

FILE = ord("f")
DIRECTORY = ord("d")
SYMLINK = ord("l")
HARDLINK = ord("h")
CHARACTER = ord("c")
BLOCK = ord("b")
FIFO = ord("p")
WHITEOUT = ord("w")  # path is the name that is hidden, not `.wh.NAME`
OPAQUE = ord("o")  # path is the folder whose lower content is hidden

KIND_NAMES: Mapping[int, str] = {
    FILE: "file",
    DIRECTORY: "directory",
    SYMLINK: "symlink",
    HARDLINK: "hardlink",
    CHARACTER: "character device",
    BLOCK: "block device",
    FIFO: "fifo",
    WHITEOUT: "whiteout",
    OPAQUE: "opaque whiteout",
}

NO_DIGEST = bytes(32)


@dataclass(frozen=True, slots=True)
class Entry:
    """One tar entry, normalised.

    `path`: relative, no `.`/`..`, no leading or trailing slash, raw bytes; `b""` is the root.
    """

    path: bytes
    kind: int  # one of the constants above
    mode: int  # permission bits with setuid, setgid and sticky: 0o0000 to 0o7777
    uid: int
    gid: int
    size: int  # bytes of content; 0 for all but regular files
    sha256: bytes | None  # raw 32 bytes; regular files only
    link: bytes | None  # symlink: target as written · hardlink: normalised path of the target
    xattrs: Mapping[str, bytes] = field(default_factory=dict)
    device: tuple[int, int] | None = None  # major, minor


@dataclass(slots=True)
class EntryTable:
    """All entries of one layer in tar order, as columns of one length. A later entry of the same
    path wins over an earlier one. Filled by the reader only; everyone else treats it as frozen."""

    paths: list[bytes] = field(default_factory=list)
    kinds: bytearray = field(default_factory=bytearray)
    # (mode, uid, gid); one shared tuple per distinct combination
    owners: list[tuple[int, int, int]] = field(default_factory=list)
    sizes: "array[int]" = field(default_factory=lambda: array("Q"))
    digests: bytearray = field(default_factory=bytearray)  # 32 bytes per entry, NO_DIGEST if none
    links: dict[int, bytes] = field(default_factory=dict)  # by entry index
    xattrs: dict[int, dict[str, bytes]] = field(default_factory=dict)  # by entry index
    devices: dict[int, tuple[int, int]] = field(default_factory=dict)  # by entry index
    # indexes of the files that have an MD5 and a SHA-1 as well, ascending; 36 bytes for each
    checked: "array[int]" = field(default_factory=lambda: array("I"))
    checks: bytearray = field(default_factory=bytearray)

    def __len__(self) -> int:
        return len(self.paths)

    def entry(self, index: int) -> Entry:
        """The entry at `index` as an object."""
        kind = self.kinds[index]
        mode, uid, gid = self.owners[index]
        return Entry(
            path=self.paths[index],
            kind=kind,
            mode=mode,
            uid=uid,
            gid=gid,
            size=self.sizes[index],
            sha256=self.sha256(index) if kind == FILE else None,
            link=self.links.get(index),
            xattrs=self.xattrs.get(index, {}),
            device=self.devices.get(index),
        )

    def sha256(self, index: int) -> bytes:
        """The raw sha256 of a regular file's contents."""
        return bytes(self.digests[32 * index : 32 * index + 32])

    def __iter__(self) -> Iterator[Entry]:
        return (self.entry(index) for index in range(len(self.paths)))
