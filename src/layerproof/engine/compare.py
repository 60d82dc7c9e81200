"""A layer's changes in full, and two images compared as their containers would see them."""

from collections.abc import Iterator
from dataclasses import dataclass

from layerproof.engine.chains import Stack
from layerproof.engine.ports import Index
from layerproof.errors import ImageNotFoundError
from layerproof.model.change import Change, ChangeKind
from layerproof.model.entry import OPAQUE, WHITEOUT, Entry
from layerproof.model.image import Image
from layerproof.model.package import Package, PackageChange, PackageChangeKind
from layerproof.oci import changecodec
from layerproof.oci.entrycodec import decode
from layerproof.oci.tree import Tree


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the second image has otherwise than the first."""

    first: Image
    second: Image
    common_layers: int  # of the same ChainID, from the lowest up
    changes: tuple[Change, ...]
    package_changes: tuple[PackageChange, ...]


def layer_changes(index: Index, image: Image, position: int) -> tuple[Change, ...]:
    """Every change of one layer: the notable ones as recorded, then what it adds. Raises
    ImageNotFoundError when the layer is not indexed."""
    layer = image.layers[position]
    (row,) = index.chains([layer.chain_id])
    blob = index.entries(layer.diff_id)
    if row is None or blob is None:
        raise ImageNotFoundError(
            f"layer {position} is not indexed", where=image.reference, remedy="index the image"
        )
    notable = changecodec.decode(row.changes).changes
    if not row.counts.get(ChangeKind.ADDED):
        return notable
    told = {change.path for change in notable if change.kind is ChangeKind.ADDED}
    below = _stack(index, image, position).tree
    last = {entry.path: entry for entry in decode(blob) if entry.kind not in (WHITEOUT, OPAQUE)}
    added = (
        Change(ChangeKind.ADDED, path, None, entry)
        for path, entry in sorted(last.items())
        if path not in told and below.lookup(path) is None
    )
    return (*notable, *added)


def compare(index: Index, first: Image, second: Image) -> Comparison:
    """Both images must be indexed. Raises ImageNotFoundError."""
    before = _stack(index, first, len(first.layers))
    after = _stack(index, second, len(second.layers))
    return Comparison(
        first,
        second,
        _common_layers(first, second),
        tuple(_changes(before.tree, after.tree)),
        tuple(_package_changes(before.packages.packages, after.packages.packages)),
    )


def _stack(index: Index, image: Image, count: int) -> Stack:
    stack = Stack(index, image)
    for layer in image.layers[:count]:
        stack.push(layer)
    return stack


def _common_layers(first: Image, second: Image) -> int:
    pairs = zip(first.layers, second.layers, strict=False)
    return sum(mine.chain_id == theirs.chain_id for mine, theirs in pairs)


def _changes(first: Tree, second: Tree) -> Iterator[Change]:
    before = {entry.path: entry for entry in first}
    after = {entry.path: entry for entry in second}
    for path in sorted(before.keys() | after.keys()):
        old, new = before.get(path), after.get(path)
        # A root that no layer names is there all the same.
        if old != new and (path or (old and new)):
            yield Change(_kind(old, new), path, old, new)


def _kind(before: Entry | None, after: Entry | None) -> ChangeKind:
    if before is None:
        return ChangeKind.ADDED
    if after is None:
        return ChangeKind.DELETED
    same = (before.kind, before.sha256, before.link) == (after.kind, after.sha256, after.link)
    return ChangeKind.ATTRIBUTES if same else ChangeKind.REPLACED


def _package_changes(
    before: tuple[Package, ...], after: tuple[Package, ...]
) -> Iterator[PackageChange]:
    """As if the second image were one layer on the first: by name, type and architecture."""
    old, new = _named(before), _named(after)
    for key in sorted(old.keys() | new.keys()):
        gone = [p for p in old.get(key, []) if p not in new.get(key, [])]
        come = [p for p in new.get(key, []) if p not in old.get(key, [])]
        while gone and come:
            yield PackageChange(PackageChangeKind.CHANGED, gone.pop(0), come.pop(0))
        yield from (PackageChange(PackageChangeKind.REMOVED, p, None) for p in gone)
        yield from (PackageChange(PackageChangeKind.ADDED, None, p) for p in come)


def _named(packages: tuple[Package, ...]) -> dict[tuple[str, str, str], list[Package]]:
    found: dict[tuple[str, str, str], list[Package]] = {}
    for package in packages:
        found.setdefault((package.type, package.name, package.architecture), []).append(package)
    return found
