"""What each layer does to files that packages own, and which executables nobody owns.

Layers are applied from the lowest up, each together with the tree that it leaves:

1. A file of a package database states what it lists until a layer replaces or removes it. That of
   dpkg, apk or rpm counts only if the package is installed.
2. Of a layer are looked at: every path whose checksum it states, and every path that it brings and
   that some package owns. So a database that is brought without its files is compared with the
   files below, and a file that is brought without its database with the database below.
3. A path may have several owners (diversions); it is sound if it is what one of them says.
   A path that is not there is no alteration: leaving out documentation is common.
4. A change of a path is *verified* if a package that this layer changes owns it and did so before,
   this layer states the package's checksum, and the file has it, with the owner and mode that it
   had; a symbolic link, if it leads to such a file; a deletion, if the package owned the path
   before and no longer lists it; what the scripts of an upgraded package are known to write
   (`_GENERATED`). What the layer says is compared with what the layer brings: that excludes
   accidents and carelessness, not a forger.
5. An executable is *foreign* if no database lists it and it is not part of an installed Node
   package. The package databases' own scripts are not looked at here.

Folders that became links (a merged /usr) are followed: databases name paths as packages had them.
"""

from collections import Counter
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import compress

from layerproof.model.change import Change, ChangeKind
from layerproof.model.entry import DIRECTORY, FILE, HARDLINK, SYMLINK, EntryTable
from layerproof.model.ownership import (
    CHECKSUM_BYTES,
    Alteration,
    AlteredFile,
    Checksum,
    ForeignFile,
    Integrity,
    Manifest,
)
from layerproof.model.package import (
    SYSTEM_TYPES,
    PackageChange,
    PackageChangeKind,
    PackageType,
)
from layerproof.oci.digests import CHECK_BYTES
from layerproof.oci.tree import Tree

MAX_LISTED = 20_000  # altered and foreign files of one layer
_MERGED = (b"bin", b"lib", b"lib32", b"lib64", b"libx32", b"sbin")  # that may be links into /usr
_DATABASES = (
    b"var/lib/dpkg/",
    b"lib/apk/db/",
    b"usr/lib/apk/db/",
    b"var/lib/rpm/",
    b"usr/lib/sysimage/rpm/",
)
_REDIRECTED = ChangeKind.REDIRECTED
_IS_FILE = bytes(kind == FILE for kind in range(256))
_BY_SIZE = {size: checksum for checksum, size in CHECKSUM_BYTES.items()}
_PROGRAMS = ("elf", "script")
_CHECKED = (
    ChangeKind.REPLACED,
    ChangeKind.ATTRIBUTES,
    ChangeKind.DELETED,
    ChangeKind.REDIRECTED,
)
# What a package's own scripts write when it is upgraded, by package; no database lists it.
_GENERATED = {
    (PackageType.DEB, "ca-certificates"): (b"etc/ssl/certs/", b"etc/ca-certificates.conf"),
}


class OwnershipTree:
    """The package databases of a stack of layers, one layer after the other."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._files: dict[bytes, tuple[Manifest, ...]] = {}  # by the file that states them
        # about paths of the current layer: those that are listed without a digest
        self._listed: set[bytes] = set()
        # path → digest, of some owner; its size tells which
        self.stated: dict[bytes, bytes] = {}
        self._folders: dict[bytes, bytes] = {}  # folder → where it really is, in the current layer
        self._empty: dict[bytes, bool] = {}  # folder → see `nothing_at`

    def apply(
        self,
        manifests: Sequence[Manifest],
        entries: EntryTable,
        changes: Iterable[Change],
        package_changes: Iterable[PackageChange],
        programs: Mapping[str, object],
        installed: Container[tuple[PackageType, str]],
    ) -> Integrity:
        """What the layer that the tree was just given does. `manifests`, `entries` and `programs`
        (the facts of that analyser) are those of the layer's contents; `installed` are the packages
        there are now, by type and name."""
        self._folders, self._empty = {}, {}
        known = [m for m in manifests if not m.paths or _is_installed(m, installed)]
        new = _by_file(_shared(known, entries))
        before = self._take(new)
        self._look_up(new, entries)
        layer = _Layer(self, new, before, entries, package_changes)
        altered, unverifiable = layer.altered()
        foreign = sorted(layer.foreign(programs), key=lambda file: file.path)
        return Integrity(
            altered=tuple(altered[:MAX_LISTED]),
            altered_more=max(len(altered) - MAX_LISTED, 0),
            foreign=tuple(foreign[:MAX_LISTED]),
            foreign_more=max(len(foreign) - MAX_LISTED, 0),
            verified=tuple(sorted(layer.verified(changes))),
            unverifiable=unverifiable,
        )

    def stack(
        self, manifests: Sequence[Manifest], installed: Container[tuple[PackageType, str]]
    ) -> None:
        """Take the databases of a layer about which nothing is to be told."""
        self._take(_by_file([m for m in manifests if not m.paths or _is_installed(m, installed)]))

    # --- the databases ---

    def _take(self, new: dict[bytes, tuple[Manifest, ...]]) -> dict[bytes, tuple[Manifest, ...]]:
        """Make the layer's databases the current ones; those that gave way to them."""
        before = {
            path: found
            for path, found in self._files.items()
            if path in new or not self._is_file(path)
        }
        for path in before:
            del self._files[path]
        self._files |= new
        return before

    def _look_up(self, new: Mapping[bytes, tuple[Manifest, ...]], entries: EntryTable) -> None:
        """Make ready what the databases say about the layer's own paths, and all that it states
        itself. Of a thin layer on a large base, that is next to nothing."""
        paths = self._names(entries)
        self._listed, self.stated = set(), {}
        for file, found in self._files.items():
            for manifest in found:
                if file not in new and paths.isdisjoint(manifest.paths):
                    continue
                known = stated(manifest)
                self.stated.update(known)
                if len(known) < len(manifest.paths):
                    self._listed.update(path for path in manifest.paths if path not in known)

    def _names(self, entries: EntryTable) -> set[bytes]:
        """Every name that a database may have for a path of the layer."""
        paths = set(entries.paths)
        folders = {path.rpartition(b"/")[0] for path in paths}
        if any(self.real(folder + b"/x") != folder + b"/x" for folder in folders if folder):
            paths.update([self.real(path) for path in entries.paths])
        below = tuple(b"usr/" + top for top in self.merged())
        if below:
            paths.update([path[4:] for path in paths if path.startswith(below)])
        return paths

    def _is_file(self, path: bytes) -> bool:
        number = self._tree.number(path)
        return number is not None and self._tree.kind(number) == FILE

    def nothing_at(self, path: bytes) -> bool:
        """Whether it is plain at once that nothing is at the path: no folder above it is a link.
        Packages state thousands of files that slim images leave out."""
        tree = self._tree
        if tree.number(path) is not None:
            return False
        folder = path.rpartition(b"/")[0]
        known = self._empty.get(folder)
        if known is None:
            above = folder
            while (number := tree.number(above)) is None and above:
                above = above.rpartition(b"/")[0]
            known = number is None or tree.kind(number) == DIRECTORY
            self._empty[folder] = known
        return known

    def owners(self, path: bytes) -> Iterator[tuple[Manifest, int]]:
        """Every manifest that lists a path, as the databases name it, and where."""
        for found in self._files.values():
            for manifest in found:
                if path in manifest.paths:
                    yield manifest, manifest.paths.index(path)

    def system_owners(self, paths: Collection[bytes]) -> dict[bytes, str]:
        """The distribution's package that lists each path, by its name without architecture; those
        that none lists are left out. Total work: one pass over what the databases list."""
        names: dict[bytes, bytes] = {}
        for path in paths:
            names.setdefault(path, path)
            names.setdefault(self.old_name(path), path)
        found: dict[bytes, str] = {}
        for manifests in self._files.values():
            for manifest in manifests:
                if manifest.type in SYSTEM_TYPES:
                    for path in names.keys() & manifest.paths:
                        found[names[path]] = manifest.package.partition(":")[0]
        return found

    def owned(self, path: bytes) -> bool:
        """Whether a package lists the path, under this name or that of before /usr was merged."""
        if path in self.stated or path in self._listed:
            return True
        old = self.old_name(path)
        return old in self.stated or old in self._listed

    def merged(self) -> tuple[bytes, ...]:
        """`bin/` and so on, of those top folders that are links into /usr."""
        return tuple(
            top + b"/" for top in _MERGED if self.real(top + b"/x") == b"usr/" + top + b"/x"
        )

    def old_name(self, path: bytes) -> bytes:
        """`bin/ls` for `usr/bin/ls` where /bin is a link to it, else the path itself."""
        if path[:4] != b"usr/":
            return path
        top = path[4:].partition(b"/")[0]
        if top in _MERGED and self.real(top + b"/x") == b"usr/" + top + b"/x":
            return path[4:]
        return path

    def real(self, path: bytes) -> bytes:
        """Where a path really is: links among its folders followed, its own name not."""
        folder, slash, name = path.rpartition(b"/")
        if not slash:
            return path
        there = self._folders.get(folder)
        if there is None:
            resolved = self._tree.resolve(folder)
            there = self._folders[folder] = folder if resolved is None else resolved
        return there + b"/" + name if there else name

    def compare(self, path: bytes, checksum: Checksum, digest: bytes) -> bool | None:
        """Whether what really is at the path has this digest. None: nothing is there, or it has no
        such checksum to compare."""
        tree = self._tree
        number = tree.number(path)
        if number is None:
            return None
        found = tree.digest(number, checksum)
        if found is None:
            return None if tree.kind(number) == FILE or checksum is Checksum.NONE else False
        return found == digest

    def found(self, path: bytes, checksum: Checksum) -> bytes | None:
        """The digest of what really is at the path."""
        number = self._tree.number(path)
        return None if number is None else self._tree.digest(number, checksum)

    def mode(self, path: bytes) -> int:
        """Of what really is at the path; 0 for nothing."""
        entry = self._tree.lookup(path)
        return 0 if entry is None else entry.mode

    def follow(self, path: bytes) -> bytes | None:
        """Where a path leads to, all links followed."""
        return self._tree.resolve(path)

    def is_there(self, path: bytes) -> bool:
        """Whether anything is at the path."""
        return self._tree.number(path) is not None

    def is_link(self, path: bytes) -> bool:
        """Whether a symbolic link is at the path."""
        number = self._tree.number(path)
        return number is not None and self._tree.kind(number) == SYMLINK


class _Layer:
    """One layer while it is looked at."""

    def __init__(
        self,
        owners: OwnershipTree,
        new: Mapping[bytes, tuple[Manifest, ...]],
        before: Mapping[bytes, tuple[Manifest, ...]],
        entries: EntryTable,
        package_changes: Iterable[PackageChange],
    ) -> None:
        self._owners = owners
        self._new = [manifest for found in new.values() for manifest in found]
        self._before = [manifest for found in before.values() for manifest in found]
        self._entries = entries
        self._changed = {
            (change.package.type, change.package.name): change.kind
            for change in package_changes
            if change.kind is not PackageChangeKind.REMOVED
        }

    # --- 2. and 3. ---

    def altered(self) -> tuple[list[AlteredFile], int]:
        """Sorted by path; and how many owned paths of the layer could not be compared."""
        owners = self._owners
        found: dict[bytes, AlteredFile] = {}
        unknown = 0
        for path in self._doubtful():
            real = owners.real(path)
            digest = owners.stated[path]
            if owners.compare(real, _BY_SIZE[len(digest)], digest):
                continue
            if not owners.is_there(real):
                continue
            said = [
                (manifest, digest)
                for manifest, index in owners.owners(path)
                if (digest := manifest.digest(index))
            ]
            answers = [owners.compare(real, m.checksum, digest) for m, digest in said]
            if True in answers:
                continue
            if False in answers:
                found[real] = self._alteration(real, *said[answers.index(False)])
            else:
                unknown += 1
        return [found[path] for path in sorted(found)], unknown

    def _doubtful(self) -> set[bytes]:
        """Names, as the databases have them, of what is not at once seen to be sound."""
        entries, stated_now = self._entries, self._owners.stated
        tops = self._owners.merged()
        own = _digests(entries, {manifest.checksum for manifest in self._new})
        doubtful: set[bytes] = set()
        sound: set[bytes] = set()
        for manifest in self._new:
            of = own.get(manifest.checksum, {})
            items = stated(manifest).items()
            left = {path: digest for path, digest in items if of.get(path) != digest}
            sound.update([path for path, _ in items if path not in left])
            if left:
                at_once = [
                    path
                    for path, digest in left.items()
                    if path.startswith(tops) and of.get(b"usr/" + path) == digest
                ]
                sound.update(at_once)
                doubtful.update(left)
        doubtful.update(stated_now.keys() & set(entries.paths))
        if tops:
            below = tuple(b"usr/" + top for top in tops)
            old = [path[4:] for path in entries.paths if path.startswith(below)]
            doubtful.update([path for path in old if path in stated_now])
        nothing = self._owners.nothing_at
        return {path for path in doubtful - sound if not nothing(path)}

    def _alteration(self, path: bytes, manifest: Manifest, digest: bytes) -> AlteredFile:
        found = self._owners.found(path, manifest.checksum)
        word = manifest.checksum
        return AlteredFile(
            path=path,
            package=manifest.package,
            manifest=manifest.path,
            how=Alteration.KIND if found is None else Alteration.CONTENTS,
            expected=f"{word}:{digest.hex()}",
            found="" if found is None else f"{word}:{found.hex()}",
            config=manifest.config
            or (manifest.type is PackageType.APK and path.startswith(b"etc/")),
        )

    # --- 4. ---

    def verified(self, changes: Iterable[Change]) -> Iterator[tuple[bytes, ChangeKind, str]]:
        """Changes that belong to a package upgrade, with the package."""
        mine = [m for m in self._new if m.type in SYSTEM_TYPES and self._kind(m) is not None]
        if not mine:
            return
        digests = {path: (m, digest) for m in mine for path, digest in stated(m).items()}
        listed = {path: manifest.package for manifest in mine for path in manifest.paths}
        generated = {
            prefix: name
            for (kind, name), prefixes in _GENERATED.items()
            if self._changed.get((kind, name)) is PackageChangeKind.CHANGED
            and any(m.package == name and m.digests and not m.config for m in mine)
            for prefix in prefixes
        }
        found: dict[tuple[bytes, ChangeKind], str] = {}
        for change in changes:
            if change.kind not in _CHECKED or not _same_owner(change):
                continue
            # a redirection is the doing of a link
            path = change.by or change.path if change.kind is _REDIRECTED else change.path
            names = (path, self._owners.old_name(path))
            if change.kind is ChangeKind.DELETED:
                package = self._dropped(names, listed)
            else:
                package = self._brought(path, names, digests, listed)
            if package is None and path.startswith(tuple(generated)):
                package = next(p for prefix, p in generated.items() if path.startswith(prefix))
            if package is not None:
                found[change.path, change.kind] = package
        yield from ((path, kind, package) for (path, kind), package in found.items())

    def _brought(
        self,
        path: bytes,
        names: tuple[bytes, ...],
        digests: Mapping[bytes, tuple[Manifest, bytes]],
        listed: Mapping[bytes, str],
    ) -> str | None:
        for name in names:
            said = digests.get(name)
            if said is not None:
                manifest, digest = said
                same = self._owners.compare(path, manifest.checksum, digest)
                return manifest.package if same and self._was_of(manifest.package, names) else None
        package = next((listed[name] for name in names if name in listed), None)
        if package is None or not self._owners.is_link(path) or not self._was_of(package, names):
            return None
        target = self._owners.follow(path)
        if target is None:
            return None
        for name in (target, self._owners.old_name(target)):
            said = digests.get(name)
            if said is not None and self._owners.compare(target, said[0].checksum, said[1]):
                return package
        return None

    def _was_of(self, package: str, names: tuple[bytes, ...]) -> bool:
        """Whether the same package owned the path before: another one that takes it over is no
        upgrade, and what nobody owned was nobody's to upgrade."""
        return any(
            manifest.package == package and any(name in manifest.paths for name in names)
            for manifest in self._before
        )

    def _dropped(self, names: tuple[bytes, ...], listed: Mapping[bytes, str]) -> str | None:
        if any(name in listed for name in names):
            return None
        for manifest in self._before:
            upgraded = self._kind(manifest) is PackageChangeKind.CHANGED
            if upgraded and any(name in manifest.paths for name in names):
                return manifest.package
        return None

    def _kind(self, manifest: Manifest) -> PackageChangeKind | None:
        """What the layer does to the package."""
        return self._changed.get((manifest.type, manifest.package.partition(":")[0]))

    # --- 5. ---

    def foreign(self, programs: Mapping[str, object]) -> Iterator[ForeignFile]:
        """Executables that nobody owns, in no order."""
        entries, owners = self._entries, self._owners
        kinds = _programs(programs)
        files = compress(range(len(entries)), bytes(entries.kinds).translate(_IS_FILE))
        for index in files:
            mode = entries.owners[index][0]
            kind = _startable(kinds.get(index), mode)
            if kind and self._is_foreign(path := owners.real(entries.paths[index])):
                yield ForeignFile(path, kind, mode, entries.sha256(index))
        yield from self._foreign_links(kinds)

    def _foreign_links(self, kinds: Mapping[int, str]) -> Iterator[ForeignFile]:
        """Hard links: another name is another place, whatever the file's first one is."""
        entries, owners = self._entries, self._owners
        places = {path: index for index, path in enumerate(entries.paths)} if entries.links else {}
        for index, target in entries.links.items():
            if entries.kinds[index] != HARDLINK:
                continue
            path = owners.real(entries.paths[index])
            digest = owners.found(path, Checksum.SHA256)
            if digest is None or not self._is_foreign(path):
                continue
            mode = owners.mode(path)
            kind = _startable(kinds.get(places.get(target, -1)), mode)
            if kind:
                yield ForeignFile(path, kind, mode, digest)

    def _is_foreign(self, path: bytes) -> bool:
        owned = self._owners.owned(path) or path.startswith(_DATABASES)
        return not owned and not self._of_node(path)

    def _of_node(self, path: bytes) -> bool:
        """Whether it is part of a Node package: the nearest folder below `node_modules` has a
        manifest."""
        above, below, rest = (b"/" + path).rpartition(b"/node_modules/")
        if not below:
            return False
        parts = rest.split(b"/")
        depth = 2 if rest.startswith(b"@") else 1
        if parts[0] == b".bin":
            return True
        folder = b"/".join((above[1:], b"node_modules", *parts[:depth]))
        return self._owners.is_there(folder.lstrip(b"/") + b"/package.json")


def _same_owner(change: Change) -> bool:
    """Whether a file keeps its owner and mode: no checksum tells of these."""
    before, after = change.before, change.after
    if before is None or after is None or SYMLINK in (after.kind, before.kind):
        return True
    return (before.mode, before.uid, before.gid) == (after.mode, after.uid, after.gid)


def _startable(kind: str | None, mode: int) -> str:
    """What a file counts as, of this kind and mode; "" for no executable. A script that nobody can
    start by itself is none."""
    if mode & 0o111:
        return kind or "executable"
    return kind if kind and kind != "script" else ""


def stated(manifest: Manifest) -> dict[bytes, bytes]:
    """By path, the digests that are stated."""
    size = CHECKSUM_BYTES[manifest.checksum]
    if not size:
        return {}
    data = manifest.digests
    digests = [data[at : at + size] for at in range(0, len(data), size)]
    found = dict(zip(manifest.paths, digests, strict=True))
    none = bytes(size)
    if none in digests:
        found = {path: digest for path, digest in found.items() if digest != none}
    return found


def _is_installed(manifest: Manifest, installed: Container[tuple[PackageType, str]]) -> bool:
    """Whether the package database knows the package: a list of files alone makes none."""
    if manifest.type not in SYSTEM_TYPES:
        return True
    return (manifest.type, manifest.package.partition(":")[0]) in installed


def _shared(manifests: Sequence[Manifest], entries: EntryTable) -> list[Manifest]:
    """The same, with the very path objects of the layer where it has them: a copy of every path
    that packages own is a tenth of what an image takes in memory."""
    own = {path: path for path in entries.paths} if manifests else {}
    return [replace(m, paths=tuple([own.get(path, path) for path in m.paths])) for m in manifests]


def _by_file(manifests: Sequence[Manifest]) -> dict[bytes, tuple[Manifest, ...]]:
    found: dict[bytes, list[Manifest]] = {}
    for manifest in manifests:
        found.setdefault(manifest.path, []).append(manifest)
    return {path: tuple(listed) for path, listed in found.items()}


def _digests(
    entries: EntryTable, wanted: Collection[Checksum]
) -> dict[Checksum, dict[bytes, bytes]]:
    """By algorithm, the digests of the layer's own files by path; the last entry of a path
    counts."""
    paths, checked = entries.paths, list(entries.checked)
    found: dict[Checksum, dict[bytes, bytes]] = {}
    if Checksum.SHA256 in wanted:
        files = compress(range(len(paths)), bytes(entries.kinds).translate(_IS_FILE))
        all_digests = bytes(entries.digests)
        found[Checksum.SHA256] = {paths[i]: all_digests[32 * i : 32 * i + 32] for i in files}
    checks = bytes(entries.checks)
    for checksum, start, stop in ((Checksum.MD5, 0, 16), (Checksum.SHA1, 16, CHECK_BYTES)):
        if checksum in wanted:
            at = range(0, CHECK_BYTES * len(checked), CHECK_BYTES)
            found[checksum] = {
                paths[i]: checks[n + start : n + stop] for i, n in zip(checked, at, strict=True)
            }
    if found and len(set(paths)) != len(paths):  # a path that is there twice: look at the tree
        once = Counter(paths)
        for digests in found.values():
            for path in [path for path in digests if once[path] > 1]:
                del digests[path]
    return found


def _programs(facts: Mapping[str, object]) -> dict[int, str]:
    """Entry index → kind, of ELF files and scripts."""
    found: dict[int, str] = {}
    groups = facts.get("groups")
    for group in groups if isinstance(groups, list) else ():
        if group.get("kind") in _PROGRAMS:
            found.update(dict.fromkeys(group["entries"], group["kind"]))
    return found
