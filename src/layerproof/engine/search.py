"""Which layers hold or change a path, a package, a file; and where those layers are used.

What is common is in most layers of an index, so every answer is limited: the layers that were
indexed last, and whether there are more.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TypeVar
from zlib import crc32

from layerproof.engine.ports import Hit, Index
from layerproof.model.change import Change
from layerproof.model.digest import ChainId, DiffId
from layerproof.model.entry import Entry
from layerproof.model.package import Package, PackageChange
from layerproof.model.page import Cursor, Page
from layerproof.oci import changecodec
from layerproof.oci.entrycodec import entries_at, entries_with

LIMIT = 100  # layers, unless asked for more
PLACES = 10  # chains and images that are listed for each
_AT_ONCE = 64  # entry tables that are in memory together
_MOST_AT_ONCE = 1000  # layers in a page

Changes = tuple[tuple[ChainId, Change], ...]
D = TypeVar("D", DiffId, ChainId)


@dataclass(frozen=True, slots=True)
class Found:
    """One layer's contents with what was looked for, and where they are used."""

    diff_id: DiffId
    entries: tuple[Entry, ...] = ()
    packages: tuple[Package, ...] = ()
    # what the layer does with it in each chain that it stands in
    changes: Changes = ()
    package_changes: tuple[tuple[ChainId, PackageChange], ...] = ()
    images: tuple[str, ...] = ()
    more: bool = False  # whether there are more chains or images


@dataclass(frozen=True, slots=True)
class Answer:
    """The layers that were indexed last."""

    found: tuple[Found, ...]
    more: bool  # whether there are more layers


def find_path(index: Index, path: bytes, limit: int = LIMIT) -> Answer:
    """Layers with an entry at exactly this path (a whiteout of it too); then those that change it
    by what they do elsewhere: a removed parent, an opaque folder, a link."""
    return _used(index, _path_hits(index, path, limit + 1), limit, path)


def find_file(index: Index, sha256: bytes, limit: int = LIMIT) -> Answer:
    """Layers that hold a regular file with these contents."""
    return _used(index, _file_hits(index, sha256, limit + 1), limit)


def find_package(index: Index, name: str, version: str = "", limit: int = LIMIT) -> Answer:
    """Layers whose contents list a package of this name; then those that change one.

    Of the changes, the last few thousand are looked at."""
    packages: dict[DiffId, list[Package]] = {}
    for diff_id, package in index.packages_named(name, _LISTED * (limit + 1), version):
        packages.setdefault(diff_id, []).append(package)
    changes = _package_changes(index, name, version, limit)
    hits = (
        Found(
            diff_id,
            packages=tuple(packages.get(diff_id, ())),
            package_changes=tuple(changes.get(diff_id, ())[:PLACES]),
            more=len(changes.get(diff_id, ())) > PLACES,
        )
        for diff_id in dict.fromkeys([*packages, *changes])
    )
    return _used(index, hits, limit)


_LISTED = 8  # rows for each layer: one may list several packages of a name


def _package_changes(
    index: Index, name: str, version: str, limit: int
) -> Mapping[DiffId, list[tuple[ChainId, PackageChange]]]:
    changed = [
        (chain_id, change)
        for chain_id, change in index.package_changes_named(name, _LISTED * (limit + 1))
        if not version or version in _versions(change)
    ]
    rows = index.chains([chain_id for chain_id, _ in changed])
    changes: dict[DiffId, list[tuple[ChainId, PackageChange]]] = {}
    for (chain_id, change), row in zip(changed, rows, strict=True):
        if row is not None:
            changes.setdefault(row.diff_id, []).append((chain_id, change))
    return changes


def _versions(change: PackageChange) -> set[str]:
    return {p.version for p in (change.before, change.after) if p is not None}


def _path_hits(index: Index, path: bytes, expected: int) -> Iterator[Found]:
    """By entries, then by changes; each contents once. `expected`: how far the caller goes."""
    seen: set[DiffId] = set()
    value = crc32(path)
    for some in _every(index.contents_with_path_hash, value, expected):
        blobs = index.entries_of(some)
        for diff_id in some:
            entries = entries_at(blobs.get(diff_id, b""), path)
            if entries:
                seen.add(diff_id)
                yield Found(diff_id, entries)
    for places in _every(index.chains_with_path_hash, value, expected):
        for chain_id, (diff_id, blob) in index.changes_with_path_hash(places, value).items():
            changes = () if diff_id in seen else _changes(chain_id, blob, path)
            if changes:
                seen.add(diff_id)
                yield Found(diff_id, changes=changes)


def _file_hits(index: Index, sha256: bytes, expected: int) -> Iterator[Found]:
    prefix = int.from_bytes(sha256[:4], "little")
    for some in _every(index.contents_with_file_hash, prefix, expected):
        blobs = index.entries_of(some)
        for diff_id in some:
            entries = entries_with(blobs.get(diff_id, b""), sha256)
            if entries:
                yield Found(diff_id, entries)


def _every(
    ask: Callable[[int, int, Cursor | None], Page[D]], value: int, expected: int
) -> Iterator[Sequence[D]]:
    """Some at a time, as far as the caller goes."""
    at_once = min(expected, _MOST_AT_ONCE)
    page = ask(value, at_once, None)
    yield from _some(page.items)
    while page.after is not None:
        page = ask(value, at_once, page.after)
        yield from _some(page.items)


def _some(items: Sequence[D]) -> Iterator[Sequence[D]]:
    return (items[start : start + _AT_ONCE] for start in range(0, len(items), _AT_ONCE))


def _used(index: Index, hits: Iterable[Found], limit: int, path: bytes | None = None) -> Answer:
    """The first hits with their images; with `path`, also with what they do to it."""
    found = list(islice(hits, limit + 1))
    more, found = len(found) > limit, found[:limit]
    usage = index.usage([hit.diff_id for hit in found], PLACES)
    found = [
        replace(hit, images=at.images, more=hit.more or at.more)
        for hit, at in zip(found, usage, strict=True)
    ]
    if path is not None:
        chain_ids = {chain_id: None for at in usage for chain_id in at.chain_ids}
        blobs = index.changes_with_path_hash(list(chain_ids), crc32(path))
        changes = {c: _changes(c, blob, path) for c, (_, blob) in blobs.items()}
        found = [_with_changes(hit, at, changes) for hit, at in zip(found, usage, strict=True)]
    return Answer(tuple(found), more)


def _with_changes(hit: Found, at: Hit, changes: Mapping[ChainId, Changes]) -> Found:
    """The changes that it was found by, and those at its other places."""
    known = {chain_id for chain_id, _ in hit.changes}
    others = (change for c in at.chain_ids if c not in known for change in changes.get(c, ()))
    return replace(hit, changes=(*hit.changes, *others))


def _changes(chain_id: ChainId, blob: bytes, path: bytes) -> Changes:
    """Those that name the path."""
    return tuple(
        (chain_id, change)
        for change in changecodec.decode(blob).changes
        if path in (change.path, change.by, change.target)
    )
