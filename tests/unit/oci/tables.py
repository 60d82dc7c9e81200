"""Entry tables from a few words, for tests: `table(folder("a"), file("a/b", "text"))`."""

from collections.abc import Iterable, Mapping
from hashlib import sha256

from layerproof.model.entry import (
    CHARACTER,
    DIRECTORY,
    FILE,
    HARDLINK,
    NO_DIGEST,
    OPAQUE,
    SYMLINK,
    WHITEOUT,
    Entry,
    EntryTable,
)


def file(
    path: str,
    text: str = "",
    mode: int = 0o644,
    uid: int = 0,
    xattrs: Mapping[str, bytes] | None = None,
) -> Entry:
    data = text.encode()
    digest = sha256(data).digest()
    return Entry(path.encode(), FILE, mode, uid, 0, len(data), digest, None, xattrs or {})


def program(path: str, text: str = "") -> Entry:
    return file(path, text, 0o755)


def folder(path: str, mode: int = 0o755, uid: int = 0) -> Entry:
    return Entry(path.encode(), DIRECTORY, mode, uid, 0, 0, None, None)


def symlink(path: str, target: str) -> Entry:
    return Entry(path.encode(), SYMLINK, 0o777, 0, 0, 0, None, target.encode())


def hardlink(path: str, target: str, mode: int = 0o644, uid: int = 0) -> Entry:
    return Entry(path.encode(), HARDLINK, mode, uid, 0, 0, None, target.encode())


def device(path: str, major: int = 1, minor: int = 3) -> Entry:
    return Entry(path.encode(), CHARACTER, 0o666, 0, 0, 0, None, None, {}, (major, minor))


def whiteout(path: str) -> Entry:
    return Entry(path.encode(), WHITEOUT, 0, 0, 0, 0, None, None)


def opaque(path: str) -> Entry:
    return Entry(path.encode(), OPAQUE, 0, 0, 0, 0, None, None)


def table(*entries: Entry) -> EntryTable:
    """The columns, as the tar reader fills them."""
    made = EntryTable()
    append(made, entries)
    return made


def append(made: EntryTable, entries: Iterable[Entry]) -> None:
    shared: dict[tuple[int, int, int], tuple[int, int, int]] = {}
    for index, entry in enumerate(entries, len(made)):
        owner = (entry.mode, entry.uid, entry.gid)
        made.paths.append(entry.path)
        made.kinds.append(entry.kind)
        made.owners.append(shared.setdefault(owner, owner))
        made.sizes.append(entry.size)
        made.digests += entry.sha256 or NO_DIGEST
        if entry.link is not None:
            made.links[index] = entry.link
        if entry.xattrs:
            made.xattrs[index] = dict(entry.xattrs)
        if entry.device is not None:
            made.devices[index] = entry.device
