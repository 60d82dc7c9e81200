"""Layer semantics the slow, obvious way: dictionaries from path to inode, scanned and copied.

Written from docs/adr/0004, not from the product's code, and shares nothing with it but the
vocabulary: no numbers, no caches, no index, no fast path. Every question is answered by looking at
every path.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from layerproof.model.change import Cause, Change, ChangeKind
from layerproof.model.entry import (
    BLOCK,
    CHARACTER,
    DIRECTORY,
    FILE,
    HARDLINK,
    OPAQUE,
    SYMLINK,
    WHITEOUT,
    Entry,
)

PATH = [b"usr/local/sbin", b"usr/local/bin", b"usr/sbin", b"usr/bin", b"sbin", b"bin"]
LIBRARIES = [
    b"usr/local/lib",
    b"usr/local/lib/x86_64-linux-gnu",
    b"lib/x86_64-linux-gnu",
    b"usr/lib/x86_64-linux-gnu",
    b"lib",
    b"usr/lib",
    b"usr/local/lib64",
    b"lib64",
    b"usr/lib64",
]


WATCHED = rb"(s?bin|etc|lib(32|64|x32)?|usr/(s?bin|lib(32|64|x32|exec)?|local/(s?bin|lib(64)?)))/"


@dataclass(eq=False)
class Inode:
    kind: int
    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    size: int = 0
    sha256: bytes | None = None
    link: bytes | None = None
    xattrs: dict[str, bytes] = field(default_factory=dict)
    device: tuple[int, int] | None = None
    implied: bool = False

    def entry(self, path: bytes) -> Entry:
        return Entry(
            path,
            self.kind,
            self.mode,
            self.uid,
            self.gid,
            self.size,
            self.sha256,
            self.link,
            self.xattrs,
            self.device,
        )

    def copy(self) -> "Inode":
        return Inode(**{name: getattr(self, name) for name in self.__dataclass_fields__})


Files = dict[bytes, Inode]


def parts_of(path: bytes) -> list[bytes]:
    return path.split(b"/") if path else []


def up(path: bytes) -> bytes:
    return b"/".join(parts_of(path)[:-1])


def inside(path: bytes, folder: bytes) -> bool:
    return path != folder and (not folder or path.startswith(folder + b"/"))


def walk(files: Files, path: bytes) -> bytes | None:
    """Component by component, as the kernel does; what is missing is taken literally."""
    here: list[bytes] = []
    todo = parts_of(path)
    links = 0
    while todo:
        part = todo.pop(0)
        if part in (b"", b"."):
            continue
        if part == b"..":
            here = here[:-1]
            continue
        here.append(part)
        inode = files.get(b"/".join(here))
        if inode is None or inode.kind != SYMLINK:
            continue
        links += 1
        if links > 40:
            return None
        assert inode.link is not None
        todo = inode.link.split(b"/") + todo
        here = [] if inode.link.startswith(b"/") else here[:-1]
    return b"/".join(here)


def resolve(files: Files, path: bytes) -> bytes | None:
    """Where `path` leads, if every step of the way is there."""
    here: list[bytes] = []
    todo = parts_of(path)
    links = 0
    while todo:
        part = todo.pop(0)
        if part in (b"", b"."):
            continue
        if part == b"..":
            here = here[:-1]
            continue
        here.append(part)
        inode = files.get(b"/".join(here))
        if inode is None:
            return None
        if inode.kind == SYMLINK:
            links += 1
            if links > 40:
                return None
            assert inode.link is not None
            todo = inode.link.split(b"/") + todo
            here = [] if inode.link.startswith(b"/") else here[:-1]
    return b"/".join(here)


def visited(files: Files, path: bytes) -> list[bytes]:
    """Links on the way of `path`, and where it turns back or ends, so far as they are there."""
    here: list[bytes] = []
    todo = parts_of(path)
    links, found = 0, []
    while todo:
        part = todo.pop(0)
        if part in (b"", b"."):
            continue
        if part == b"..":
            here = here[:-1]
            continue
        here.append(part)
        inode = files.get(b"/".join(here))
        ahead = [p for p in todo if p not in (b"", b".")]
        is_link = inode is not None and inode.kind == SYMLINK
        if inode is not None and (is_link or not ahead or ahead[0] == b".."):
            found.append(b"/".join(here))
        if inode is None or inode.link is None or not is_link:
            continue
        links += 1
        if links > 40:
            break
        todo = inode.link.split(b"/") + todo
        here = [] if inode.link.startswith(b"/") else here[:-1]
    return found


@dataclass
class Alone:
    files: Files = field(default_factory=dict)
    whiteouts: set[bytes] = field(default_factory=set)
    opaques: set[bytes] = field(default_factory=set)
    lost: int = 0
    detours: list[tuple[bytes, bytes, bytes, Inode | None]] = field(default_factory=list)
    names: dict[bytes, bytes] = field(default_factory=dict)  # hard link → lower path
    clones: dict[bytes, tuple[Inode, bytes]] = field(default_factory=dict)


class Model:
    def __init__(self) -> None:
        self.files: Files = {}

    # --- the layer alone ---

    def alone(self, entries: list[Entry]) -> Alone:
        out = Alone()
        for entry in entries:
            marker = entry.kind in (WHITEOUT, OPAQUE)
            if not entry.path and not marker:
                if entry.kind == DIRECTORY:
                    out.files[b""] = self._made(entry)
                continue
            named = entry.path if entry.kind == OPAQUE or not entry.path else up(entry.path)
            name = b"" if named == entry.path else parts_of(entry.path)[-1]
            if marker and not self._is_clear(out.files, named):
                out.lost += 1
                continue
            real = walk(out.files, named)
            real = named if real is None else real
            link = self._first_link(out.files, named)
            self._make_folders(out.files, real)
            landed = b"/".join([*parts_of(real), *([name] if name else [])])
            inode = None if marker else self._inode(entry, landed, out)
            if landed != entry.path:
                out.detours.append((entry.path, landed, link, inode))
            if entry.kind == WHITEOUT:
                out.whiteouts.add(landed)
            elif entry.kind == OPAQUE:
                out.opaques.add(landed)
            else:
                assert inode is not None
                old = out.files.get(landed)
                if old is not None and not old.kind == inode.kind == DIRECTORY:
                    self._remove(out.files, landed)
                out.files[landed] = inode
        return out

    @staticmethod
    def _made(entry: Entry) -> Inode:
        inode = Inode(entry.kind, entry.mode, entry.uid, entry.gid, entry.size)
        inode.sha256, inode.link = entry.sha256, entry.link
        inode.xattrs, inode.device = dict(entry.xattrs), entry.device
        return inode

    @staticmethod
    def _is_clear(files: Files, folder: bytes) -> bool:
        real = walk(files, folder)
        if real is None:
            return False
        steps = [b"/".join(parts_of(real)[:n]) for n in range(1, len(parts_of(real)) + 1)]
        return all(files[step].kind == DIRECTORY for step in steps if step in files)

    @staticmethod
    def _first_link(files: Files, folder: bytes) -> bytes:
        for n in range(1, len(parts_of(folder)) + 1):
            step = b"/".join(parts_of(folder)[:n])
            if step in files and files[step].kind == SYMLINK:
                return step
        return b""

    def _make_folders(self, files: Files, folder: bytes) -> None:
        for n in range(1, len(parts_of(folder)) + 1):
            step = b"/".join(parts_of(folder)[:n])
            if step in files and files[step].kind != DIRECTORY:
                self._remove(files, step)
            files.setdefault(step, Inode(DIRECTORY, implied=True))

    @staticmethod
    def _remove(files: Files, path: bytes) -> None:
        for gone in [p for p in files if p == path or inside(p, path)]:
            del files[gone]

    def _inode(self, entry: Entry, landed: bytes, out: Alone) -> Inode:
        if entry.kind != HARDLINK:
            return self._made(entry)
        assert entry.link is not None
        folder = walk(out.files, up(entry.link))
        target = entry.link
        if folder is not None:
            target = b"/".join([*parts_of(folder), parts_of(entry.link)[-1]])
        own = out.files.get(target)
        if own is not None:
            if own.kind in (DIRECTORY, HARDLINK):
                return self._made(entry)
            self._take_header(own, entry)
            for lower, (clone, _) in out.clones.items():
                if clone is own:
                    out.names[landed] = lower
            return own
        if target not in self.files:
            folder = walk(self.files, up(target))
            if folder is not None:
                target = b"/".join([*parts_of(folder), parts_of(target)[-1]])
        found = self.files.get(target)
        if found is None or found.kind in (DIRECTORY, HARDLINK):
            return self._made(entry)
        if target not in out.clones:
            out.clones[target] = (found.copy(), landed)
        clone = out.clones[target][0]
        self._take_header(clone, entry)
        out.names[landed] = target
        return clone

    @staticmethod
    def _take_header(inode: Inode, entry: Entry) -> None:
        inode.mode, inode.uid, inode.gid = entry.mode, entry.uid, entry.gid
        inode.xattrs = {**inode.xattrs, **entry.xattrs}

    # --- the layer on the tree ---

    def apply(self, entries: list[Entry]) -> tuple[dict[ChangeKind, int], list[Change], int]:
        lower, out = self.files, self.alone(entries)
        upper = out.files
        why = {path: cause for path in lower if (cause := self._why_hidden(path, out))}
        for path in list(upper):
            stays = path in lower and lower[path].kind == DIRECTORY and path not in why
            if upper[path].implied and stays:
                del upper[path]
        merged = {p: inode for p, inode in lower.items() if p not in why} | upper
        for path, (clone, _) in out.clones.items():
            if path in merged and path not in upper:
                merged[path] = clone
        self.files = merged
        stood = lower
        if lower and b"" in upper:
            stood = {b"": Inode(DIRECTORY, implied=True), **lower}
        changes = [
            *self._deleted(lower, upper, why),
            *self._met(stood, upper, why, out),
            *self._detoured(lower, out),
            *self._redirected(lower, upper, out),
            *self._relinked(lower, upper, out),
            *self._retargeted(lower),
        ]
        if lower:
            changes += self._shadowed(lower, upper)
        through = self._redirected(lower, upper, out)
        astray = {change.path for change in through if change.after is not None}
        added = [p for p in upper if p not in stood and p not in astray]
        counts = {kind: sum(change.kind is kind for change in changes) for kind in ChangeKind}
        counts[ChangeKind.ADDED] = len(added)
        counts[ChangeKind.IDENTICAL] = sum(
            self._same(stood[p], upper[p]) is ChangeKind.IDENTICAL for p in upper if p in stood
        )
        changes += self._notable(added, upper, out, lowest=not lower)
        return counts, changes, len(out.whiteouts - lower.keys()) + out.lost

    def _why_hidden(self, path: bytes, out: Alone) -> tuple[Cause, bytes] | None:
        if not path:
            return None
        parts = parts_of(path)
        for n in range(len(parts) + 1):
            above = b"/".join(parts[:n])
            if above in out.whiteouts and above in self.files:
                return Cause.WHITEOUT, above
            if above == path:
                return None
            if above in out.opaques or (not above and above in out.whiteouts):
                return Cause.OPAQUE, above
            if above in out.files and out.files[above].kind != DIRECTORY:
                return Cause.TYPE_CHANGE, above
        return None

    @staticmethod
    def _same(old: Inode, new: Inode) -> ChangeKind:
        for name in ("kind", "sha256", "link", "device"):
            if getattr(old, name) != getattr(new, name):
                return ChangeKind.REPLACED
        names = ["uid", "gid", "xattrs"] + (["mode"] if new.kind != SYMLINK else [])
        if any(getattr(old, name) != getattr(new, name) for name in names):
            return ChangeKind.ATTRIBUTES
        return ChangeKind.IDENTICAL

    @staticmethod
    def _beneath(path: bytes, upper: Files, why: dict[bytes, tuple[Cause, bytes]]) -> int:
        return sum(by == path != p and p not in upper for p, (_, by) in why.items())

    def _deleted(
        self, lower: Files, upper: Files, why: dict[bytes, tuple[Cause, bytes]]
    ) -> Iterator[Change]:
        for path, (cause, by) in why.items():
            if path not in upper:
                hidden = self._beneath(path, upper, why)
                name = b"" if by == path else by
                before = lower[path].entry(path)
                yield Change(ChangeKind.DELETED, path, before, None, cause, name, b"", hidden)

    def _met(
        self, lower: Files, upper: Files, why: dict[bytes, tuple[Cause, bytes]], out: Alone
    ) -> Iterator[Change]:
        for path in upper:
            if path not in lower:
                continue
            old, new = lower[path], upper[path]
            kind = self._same(old, new)
            cause, target, hidden = "", b"", 0
            if kind is ChangeKind.IDENTICAL:
                continue
            if kind is ChangeKind.REPLACED:
                cause = Cause.TYPE_CHANGE if old.kind != new.kind else ""
                led = walk(lower, path) if old.kind == SYMLINK else None
                if new.kind == SYMLINK:
                    target = walk(self.files, path) or b""
                    led_to_folder = old.kind == SYMLINK and self._is_folder(lower, path)
                    if old.kind == DIRECTORY or led_to_folder:
                        kind = ChangeKind.REDIRECTED
                    if led_to_folder:
                        cause = Cause.LINK_TARGET
                else:
                    target = led or b""
                if old.kind == DIRECTORY:
                    hidden = self._beneath(path, upper, why)
            if kind is not ChangeKind.REDIRECTED:
                if new.kind == HARDLINK:
                    cause, target = Cause.MISSING_HARDLINK, new.link or b""
                elif any(new is clone for clone, _ in out.clones.values()):
                    cause, target = Cause.HARDLINK, out.names[path]
            before, after = old.entry(path), new.entry(path)
            yield Change(kind, path, before, after, cause, b"", target, hidden)

    @staticmethod
    def _is_folder(files: Files, path: bytes) -> bool:
        real = resolve(files, path)
        return real is not None and (not real or files[real].kind == DIRECTORY)

    @staticmethod
    def _detoured(lower: Files, out: Alone) -> Iterator[Change]:
        for path, landed, link, inode in out.detours:
            before = lower[landed].entry(landed) if landed in lower else None
            after = None if inode is None else inode.entry(path)
            cause = Cause.SYMLINKED_PARENT
            yield Change(ChangeKind.REDIRECTED, path, before, after, cause, link, landed)

    def _redirected(self, lower: Files, upper: Files, out: Alone) -> list[Change]:
        found = []
        named: list[tuple[bytes, bytes, Inode | None]] = [
            (path, up(path), inode) for path, inode in upper.items() if path and not inode.implied
        ]
        named += [(path, up(path), None) for path in out.whiteouts if path]
        named += [(path, path, None) for path in out.opaques]
        for path, folder, inode in named:
            for link, old in lower.items():
                if old.kind != SYMLINK or not (folder == link or inside(folder, link)):
                    continue
                if link not in upper or upper[link].kind != DIRECTORY:
                    continue
                led, way = walk(lower, link), walk(lower, folder)
                if led is None or (led in lower and not self._is_folder(lower, link)):
                    continue
                way = folder if way is None else way
                name = [] if folder == path else [parts_of(path)[-1]]
                target = b"/".join([*parts_of(way), *name])
                before = lower[target].entry(target) if target in lower else None
                after = None if inode is None else inode.entry(path)
                cause = Cause.SYMLINKED_PARENT
                kind = ChangeKind.REDIRECTED
                found.append(Change(kind, path, before, after, cause, link, target))
        return found

    def _relinked(self, lower: Files, upper: Files, out: Alone) -> Iterator[Change]:
        for path, (clone, by) in out.clones.items():
            if self.files.get(path) is not clone or path in upper:
                continue
            if self._same(lower[path], clone) is ChangeKind.ATTRIBUTES:
                before, after = lower[path].entry(path), clone.entry(path)
                kind, cause = ChangeKind.ATTRIBUTES, Cause.HARDLINK
                yield Change(kind, path, before, after, cause, by)

    def _retargeted(self, lower: Files) -> Iterator[Change]:
        def altered(path: bytes) -> bool:
            new = self.files.get(path)
            return new is None or self._same(lower[path], new) is not ChangeKind.IDENTICAL

        for link, inode in lower.items():
            kept = self.files.get(link)
            if inode.kind != SYMLINK or not re.match(WATCHED, link):
                continue
            if kept is None or kept.kind != SYMLINK or kept.link != inode.link:
                continue
            way = [path for path in visited(lower, link) if path != link]
            on_way = [path for path in way if altered(path)]
            above = [
                b"/".join(parts_of(p)[:n]) for p in way for n in range(len(parts_of(p)), 0, -1)
            ]
            for path in [*on_way, *(p for p in above if altered(p))][:1]:
                new = self.files.get(path)
                before, after = lower[path].entry(path), new.entry(path) if new else None
                cause, kind = Cause.LINK_TARGET_CHANGED, ChangeKind.REDIRECTED
                yield Change(kind, link, before, after, cause, path, path)

    # --- what is listed, and what is found first ---

    @staticmethod
    def _notable(added: list[bytes], upper: Files, out: Alone, *, lowest: bool) -> Iterator[Change]:
        for path in added:
            inode, cause, target = upper[path], "", b""
            if any(inode is clone for clone, _ in out.clones.values()):
                cause, target = Cause.HARDLINK, out.names[path]
            elif inode.kind == HARDLINK:
                cause, target = Cause.MISSING_HARDLINK, inode.link or b""
            elif inode.kind == FILE and inode.mode & 0o6000:
                cause = Cause.SETUID
            elif inode.kind in (CHARACTER, BLOCK):
                cause = Cause.DEVICE
            elif "security.capability" in inode.xattrs:
                cause = Cause.CAPABILITY
            elif lowest or inode.kind == DIRECTORY:
                continue
            elif re.match(rb"etc/|root/|home/[^/]+/\.", path):
                cause = Cause.SENSITIVE_PATH
            if cause:
                yield Change(ChangeKind.ADDED, path, None, inode.entry(path), cause, b"", target)

    def _orders(self, files: Files) -> list[tuple[Cause, list[bytes]]]:
        hwcaps = [f + b"/glibc-hwcaps/x86-64-v3" for f in LIBRARIES]
        both = [(Cause.SEARCH_PATH, PATH), (Cause.LIBRARY_PATH, hwcaps + LIBRARIES)]
        found = []
        for cause, folders in both:
            real: list[bytes] = []
            for folder in folders:
                way = resolve(files, folder)
                if way is not None and self._is_folder(files, folder) and way not in real:
                    real.append(way)
            found.append((cause, real))
        return found

    def _shadowed(self, lower: Files, upper: Files) -> Iterator[Change]:
        below = dict(self._orders(lower))
        for cause, folders in self._orders(self.files):
            for path in self.files:
                if not path or up(path) not in folders or not self._found(path, cause):
                    continue
                folder = up(path)
                if folder in below[cause]:
                    old = lower.get(path)
                    stood = old is not None and (
                        old.kind == SYMLINK or (old.kind == FILE and bool(old.mode & 0o111))
                    )
                    if path not in upper or stood:
                        continue
                elif folder in upper and folder not in lower and path not in upper:
                    continue
                for later in folders[folders.index(folder) + 1 :]:
                    other = b"/".join([*parts_of(later), parts_of(path)[-1]])
                    if other not in self.files or other in upper or not self._found(other, cause):
                        continue
                    if self._stands_for(path, other):
                        continue
                    before, after = self.files[other].entry(other), self.files[path].entry(path)
                    kind = ChangeKind.SHADOWED
                    yield Change(kind, other, before, after, cause, path, path)

    def _found(self, path: bytes, cause: Cause) -> bool:
        inode = self.files[path]
        if cause is Cause.SEARCH_PATH:
            return inode.kind == SYMLINK or (inode.kind == FILE and bool(inode.mode & 0o111))
        name = parts_of(path)[-1]
        return inode.kind in (FILE, SYMLINK) and bool(re.search(rb".\.so(\.\d+)*$", name))

    def _stands_for(self, path: bytes, other: bytes) -> bool:
        if resolve(self.files, path) != resolve(self.files, other):
            return False
        link = self.files[path].link
        if self.files[path].kind != SYMLINK or link is None:
            return True
        parts = [part for part in link.split(b"/") if part not in (b"", b".")]
        here = [] if link.startswith(b"/") else parts_of(up(path))
        while parts and parts[0] == b"..":
            parts, here = parts[1:], here[:-1]
        if b".." in parts:
            return False
        named = b"/".join([*here, *parts])
        if up(named) not in {*PATH, *LIBRARIES, up(other)}:
            return False
        real = resolve(self.files, up(named))
        return real is not None and b"/".join([*parts_of(real), *parts_of(named)[-1:]]) == other
