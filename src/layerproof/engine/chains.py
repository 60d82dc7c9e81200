"""Chain rows: what each layer of an image does to the tree, and the packages, below it."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from layerproof.analysis.integrity import OwnershipTree
from layerproof.analysis.package_changes import PackageTree
from layerproof.engine.ports import Index
from layerproof.errors import ImageNotFoundError
from layerproof.model.change import Change, ChangeSet
from layerproof.model.contents import ChainRecord
from layerproof.model.entry import FILE, EntryTable
from layerproof.model.image import Image, Layer
from layerproof.model.ownership import Integrity, Manifest
from layerproof.model.package import SYSTEM_TYPES, PackageChange
from layerproof.oci import changecodec, manifestcodec
from layerproof.oci.entrycodec import decode
from layerproof.oci.limits import Limits
from layerproof.oci.tree import Tree


class Stack:
    """The tree and the packages of an image's layers, put up one after the other."""

    def __init__(
        self, index: Index, image: Image, limits: Limits | None = None, *, integrity: bool = False
    ) -> None:
        self.tree = Tree(limits)
        self.packages = PackageTree()
        self._owners = OwnershipTree(self.tree)
        self._index = index
        self._image = image
        self._integrity = integrity  # whether `compare` follows on `push`

    def push(self, layer: Layer) -> tuple[PackageChange, ...]:
        """Put the layer on top without comparing paths."""
        table = self._table(layer)
        self.tree.stack(table)
        facts = self._index.layer_facts([layer.diff_id])[layer.diff_id]
        packages = self._push_packages(layer, facts, table)
        if self._integrity:
            self._owners.stack(self._manifests(layer), self.packages.installed)
        return packages

    def compare(self, layer: Layer) -> tuple[ChangeSet, tuple[PackageChange, ...], Integrity]:
        """Put the layer on top; everything that it changes."""
        table = self._table(layer)
        changes = self.tree.apply(table)
        facts = self._index.layer_facts([layer.diff_id])[layer.diff_id]
        packages = self._push_packages(layer, facts, table)
        integrity = self._look(layer, table, changes.changes, packages, facts)
        return changes, self._owned(packages), integrity

    def _owned(self, changes: tuple[PackageChange, ...]) -> tuple[PackageChange, ...]:
        """The changes, with the distribution's package that owns a language's."""
        paths = {
            change.after.path
            for change in changes
            if change.after is not None and change.after.type not in SYSTEM_TYPES
        }
        owners = self._owners.system_owners(paths) if paths else {}
        if not owners:
            return changes
        return tuple(
            replace(change, after=replace(change.after, owner=owners[change.after.path]))
            if change.after is not None and change.after.path in owners
            else change
            for change in changes
        )

    def _look(
        self,
        layer: Layer,
        table: EntryTable,
        changes: Iterable[Change],
        packages: tuple[PackageChange, ...],
        facts: Mapping[str, object],
    ) -> Integrity:
        programs = facts.get("programs")
        return self._owners.apply(
            self._manifests(layer),
            table,
            changes,
            packages,
            programs if isinstance(programs, dict) else {},
            self.packages.installed,
        )

    def _manifests(self, layer: Layer) -> list[Manifest]:
        return manifestcodec.decode(self._index.manifests(layer.diff_id) or b"")

    def _table(self, layer: Layer) -> EntryTable:
        blob = self._index.entries(layer.diff_id)
        if blob is None:
            raise ImageNotFoundError(
                f"the contents of layer {layer.position} are not in the index",
                where=self._image.reference,
                remedy="index the image (again, if the index was pruned in the meantime)",
            )
        return decode(blob)

    def _push_packages(
        self, layer: Layer, facts: Mapping[str, object], table: EntryTable
    ) -> tuple[PackageChange, ...]:
        listed = self._index.package_lists([layer.diff_id])[layer.diff_id]
        # a program or an archive that gave way to what is none
        replaced = self.packages.files.intersection(table.paths)
        return self.packages.apply(
            listed.packages,
            listed.files,
            lambda path: path in replaced or self._is_no_file(path),
            distribution=_distribution(facts.get("os-release")),
        )

    def _is_no_file(self, path: bytes) -> bool:
        entry = self.tree.lookup(path)
        return entry is None or entry.kind != FILE


def chain_records(index: Index, image: Image, analysers: str, limits: Limits) -> list[ChainRecord]:
    """The rows that the index lacks for this image's chains, lowest first.

    All contents must be in the index. Layers below the lowest missing row are only stacked up, not
    compared; with no row missing nothing is decoded at all. Raises LimitExceededError.
    """
    known = index.known_chains([layer.chain_id for layer in image.layers], analysers)
    missing = [layer.position for layer in image.layers if layer.chain_id not in known]
    if not missing:
        return []
    stack = Stack(index, image, limits, integrity=True)
    records = []
    for layer in image.layers[: missing[-1] + 1]:
        if layer.position < missing[0]:
            stack.push(layer)
            continue
        changes, package_changes, integrity = stack.compare(layer)
        if layer.chain_id in known:
            continue
        records.append(
            ChainRecord(
                chain_id=layer.chain_id,
                parent=image.layers[layer.position - 1].chain_id if layer.position else None,
                position=layer.position,
                diff_id=layer.diff_id,
                analysers=analysers,
                counts=changes.counts,
                changes=changecodec.encode(changes),
                change_filter=changecodec.change_filter(changes.changes),
                package_changes=package_changes,
                integrity=integrity,
            )
        )
    return records


def _distribution(release: object) -> str:
    """The os-release ID that a layer states, if any (os-release(5))."""
    fields = release.get("fields") if isinstance(release, dict) else None
    found = fields.get("ID") if isinstance(fields, dict) else None
    return found if isinstance(found, str) else ""
