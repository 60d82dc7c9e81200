"""What each layer does to the packages of the layers below.

Layers are applied from the lowest up. A package file (database or metadata file) that a layer holds
states all that it lists from there on; one that a layer deletes or hides states nothing. The
difference of before and after is told record by record:

1. Within one file, records are matched by type, name and architecture; where a file may name
   several versions of a package (lock files, programs, archives; rpm's kernels), by version as
   well.
2. What is left is matched across files of one place: `foo-1.0.dist-info` that gives way to
   `foo-1.1.dist-info` beside it, or a database that moved, is a change and not two.
3. A match is a change if version or source differ: a record that is rewritten under its old version
   but with another source is told, since advisories are matched by source.
4. What has no match was added or removed.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import zip_longest
from operator import attrgetter

from layerproof.model.package import (
    SYSTEM_TYPES,
    Package,
    PackageChange,
    PackageChangeKind,
    PackageType,
)

_Key = tuple[str, str, str, str]  # type, normalised name, architecture, see `_key`
_Records = dict[_Key, Package]
_Pair = tuple[Package | None, Package | None]

_ORDER = attrgetter(*Package.__slots__)  # every field: no order may depend on the input's
_SINGLE = frozenset((PackageType.DEB, PackageType.APK, PackageType.PYPI))
_SEPARATORS = re.compile(r"[-_.]+")


def _normalised(package: Package) -> str:
    """The name as it is compared (PyPA "Names and normalization"; the others compare exactly)."""
    if package.type is PackageType.PYPI:
        return _SEPARATORS.sub("-", package.name).lower()
    return package.name


def _key(package: Package) -> _Key:
    version = "" if package.type in _SINGLE else package.version
    return package.type, _normalised(package), package.architecture, version


def _place(package: Package) -> bytes:
    """Where there can be one installed version of a package."""
    if package.type in SYSTEM_TYPES:
        return b""
    if package.type is not PackageType.PYPI:
        return package.path
    folder, _, name = package.path.rpartition(b"/")
    if name.endswith(b".egg-info"):
        return folder
    parent, _, last = folder.rpartition(b"/")
    return parent.rpartition(b"/")[0] if last == b"EGG-INFO" else parent


_identity = attrgetter("version", "source", "source_version")


def _slot(package: Package) -> tuple[object, bytes]:
    return _key(package)[:3], _place(package)


def _change(pair: _Pair) -> PackageChange | None:
    before, after = pair
    if before is None:
        return PackageChange(PackageChangeKind.ADDED, None, after)
    if after is None:
        return PackageChange(PackageChangeKind.REMOVED, before, None)
    if _identity(before) != _identity(after):
        return PackageChange(PackageChangeKind.CHANGED, before, after)
    return None


def _paired(gone: list[Package], come: list[Package]) -> Iterable[_Pair]:
    """Step 2. Of several candidates, equal ones go together first, then the rest in order."""
    if not gone or not come:  # most layers: nothing to match, so no sorting
        yield from ((package, None) for package in gone)
        yield from ((None, package) for package in come)
        return
    gone, come = _unpaired(gone, come, lambda package: (_slot(package), _identity(package)))
    slots: dict[object, tuple[list[Package], list[Package]]] = {}
    for side, packages in enumerate((gone, come)):
        for package in sorted(packages, key=_ORDER):
            slots.setdefault(_slot(package), ([], []))[side].append(package)
    for before, after in slots.values():
        yield from zip_longest(before, after)


def _unpaired(
    gone: list[Package], come: list[Package], same: Callable[[Package], object]
) -> tuple[list[Package], list[Package]]:
    """What is left of both when each of one side takes away one that is the same of the other."""
    both = Counter(map(same, gone)) & Counter(map(same, come))
    return _without(gone, Counter(both), same), _without(come, both, same)


def _without(
    packages: list[Package], taken: Counter[object], same: Callable[[Package], object]
) -> list[Package]:
    left: list[Package] = []
    for package in sorted(packages, key=_ORDER):
        if taken[same(package)] > 0:
            taken[same(package)] -= 1
        else:
            left.append(package)
    return left


class PackageTree:
    """The packages of a stack of layers, one layer after the other."""

    def __init__(self) -> None:
        self._files: dict[bytes, _Records] = {}
        self._distribution = ""

    @property
    def packages(self) -> tuple[Package, ...]:
        """What is installed after the layers applied so far, sorted."""
        found = (package for records in self._files.values() for package in records.values())
        return tuple(sorted(found, key=_ORDER))

    @property
    def files(self) -> set[bytes]:
        """Every file that states packages now."""
        return set(self._files)

    @property
    def installed(self) -> set[tuple[PackageType, str]]:
        """Type and name of every package after the layers applied so far."""
        found = (package for records in self._files.values() for package in records.values())
        return {(package.type, package.name) for package in found}

    def apply(
        self,
        packages: Iterable[Package],
        package_files: Iterable[bytes],
        removed: Callable[[bytes], bool],
        *,
        distribution: str = "",
    ) -> tuple[PackageChange, ...]:
        """Put the next layer on top; what it changed, sorted.

        `packages` and `package_files` are those of the layer's `Contents`. `removed` tells of a
        package file of the layers below, if `package_files` does not name it again, whether it is
        gone with this layer: deleted, hidden, or replaced by what is no file.
        `distribution` is the os-release ID that the layer states; packages whose own layer does not
        tell take it from the layers below.
        """
        new = self._by_file(packages, package_files, distribution)
        old = {
            path: records for path, records in self._files.items() if path in new or removed(path)
        }
        for path in old:
            del self._files[path]
        self._files |= new
        changes = map(_change, _pairs(old, new))
        return tuple(
            sorted((change for change in changes if change is not None), key=_change_order)
        )

    def _by_file(
        self, packages: Iterable[Package], package_files: Iterable[bytes], distribution: str
    ) -> dict[bytes, _Records]:
        found = sorted(packages, key=_ORDER)
        stated = (package.distribution for package in found if package.distribution)
        self._distribution = distribution or next(stated, self._distribution)
        files: dict[bytes, _Records] = {path: {} for path in package_files}
        for package in map(self._located, found):
            files.setdefault(package.path, {})[_key(package)] = package
        return files

    def _located(self, package: Package) -> Package:
        if package.distribution or not self._distribution or package.type not in SYSTEM_TYPES:
            return package
        return replace(package, distribution=self._distribution)


def _pairs(old: dict[bytes, _Records], new: dict[bytes, _Records]) -> Iterable[_Pair]:
    """Steps 1 and 2."""
    gone: list[Package] = []
    come: list[Package] = []
    for path in old.keys() | new.keys():
        before, after = old.get(path, {}), new.get(path, {})
        gone += (package for key, package in before.items() if key not in after)
        for key, package in after.items():
            if key in before:
                yield before[key], package
            else:
                come.append(package)
    yield from _paired(gone, come)


def _change_order(change: PackageChange) -> tuple[object, ...]:
    kind: tuple[object, ...] = _ORDER(change.package)
    return (*kind, change.kind)
