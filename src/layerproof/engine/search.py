"""Which layers hold or change a path, a package, a file; and where those layers are used."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from zlib import crc32

from layerproof.engine.ports import Index
from layerproof.model.change import Change
from layerproof.model.digest import ChainId, DiffId
from layerproof.model.entry import FILE, Entry
from layerproof.model.package import Package, PackageChange
from layerproof.oci import changecodec
from layerproof.oci.entrycodec import decode


@dataclass(frozen=True, slots=True)
class Found:
    """One layer's contents with what was looked for, and where they are used."""

    diff_id: DiffId
    entries: tuple[Entry, ...] = ()
    packages: tuple[Package, ...] = ()
    # what the layer does with it in each chain that it stands in
    changes: tuple[tuple[ChainId, Change], ...] = ()
    package_changes: tuple[tuple[ChainId, PackageChange], ...] = ()
    images: tuple[str, ...] = ()


def find_path(index: Index, path: bytes) -> list[Found]:
    """Layers with an entry at exactly this path (a whiteout of it too), or that hide it by what
    they do elsewhere: a removed parent, an opaque folder, a link."""
    wanted = [path, *_parents(path)]
    diff_ids = dict.fromkeys(
        diff_id for name in wanted for diff_id in index.layers_with_path_hash(crc32(name))
    )
    found = []
    for diff_id in diff_ids:
        entries = _entries_at(index, diff_id, path)
        hit = _used(index, diff_id, path)
        if entries or hit.changes:
            found.append(Found(diff_id, entries, changes=hit.changes, images=hit.images))
    return found


def find_file(index: Index, sha256: bytes) -> list[Found]:
    """Layers that hold a regular file with these contents."""
    prefix = int.from_bytes(sha256[:4], "little")
    found = []
    for diff_id in index.layers_with_file_hash(prefix):
        blob = index.entries(diff_id)
        if blob is None:
            continue
        table = decode(blob)
        entries = []
        at = table.digests.find(sha256)
        while at >= 0:
            if at % 32 == 0 and table.kinds[at // 32] == FILE:
                entries.append(table.entry(at // 32))
            at = table.digests.find(sha256, at + 1)
        if entries:
            found.append(Found(diff_id, tuple(entries), images=_images(index, diff_id)))
    return found


def find_package(index: Index, name: str, version: str = "") -> list[Found]:
    """Layers whose contents list a package of this name, or that change one."""
    packages: dict[DiffId, list[Package]] = {}
    for diff_id, package in index.packages_named(name):
        if not version or package.version == version:
            packages.setdefault(diff_id, []).append(package)
    changes: dict[DiffId, list[tuple[ChainId, PackageChange]]] = {}
    changed = [
        (chain_id, change)
        for chain_id, change in index.package_changes_named(name)
        if not version or version in _versions(change)
    ]
    rows = index.chains([chain_id for chain_id, _ in changed])
    for (chain_id, change), row in zip(changed, rows, strict=True):
        if row is not None:
            changes.setdefault(row.diff_id, []).append((chain_id, change))
    return [
        Found(
            diff_id,
            packages=tuple(packages.get(diff_id, ())),
            package_changes=tuple(changes.get(diff_id, ())),
            images=_images(index, diff_id),
        )
        for diff_id in dict.fromkeys([*packages, *changes])
    ]


def _versions(change: PackageChange) -> set[str]:
    return {p.version for p in (change.before, change.after) if p is not None}


def _parents(path: bytes) -> Iterable[bytes]:
    while b"/" in path:
        path = path.rpartition(b"/")[0]
        yield path


def _entries_at(index: Index, diff_id: DiffId, path: bytes) -> tuple[Entry, ...]:
    blob = index.entries(diff_id)
    if blob is None:
        return ()
    table = decode(blob)
    return tuple(table.entry(i) for i, name in enumerate(table.paths) if name == path)


def _used(index: Index, diff_id: DiffId, path: bytes) -> Found:
    hits = index.usage([diff_id])
    chain_ids: Sequence[ChainId] = hits[0].chain_ids if hits else ()
    rows = index.chains(chain_ids)
    changes = tuple(
        (row.chain_id, change)
        for row in rows
        if row is not None
        for change in changecodec.decode(row.changes).changes
        if path in (change.path, change.by, change.target)
    )
    return Found(diff_id, changes=changes, images=hits[0].images if hits else ())


def _images(index: Index, diff_id: DiffId) -> tuple[str, ...]:
    hits = index.usage([diff_id])
    return hits[0].images if hits else ()
