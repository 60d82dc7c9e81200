"""Between the reader and the analysers: who wants which file, and what they all say at the end.

The reader asks, for every regular file, the plain tables of `Dispatch`; only a file that one of
them names is looked at again (`match`) and kept. What holds for every analyser is settled here:

- A path that a later entry of the same layer replaces states nothing.
- A hard link has no contents of its own: it repeats the packages of the file that it links to, if
  that file was read, and is reported if not.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import compress
from operator import attrgetter

from layerproof.analysis.collecting import SkipLog
from layerproof.analysis.interface import Analyser, Facts, Interest
from layerproof.model.entry import HARDLINK, OPAQUE, WHITEOUT, EntryTable
from layerproof.model.ownership import Manifest, PackageScript
from layerproof.model.package import Package

# Not a package manager's (FHS 3.0 section 4.9)
_UNCHECKED = b"usr/local/"
_PACKAGE_ORDER = attrgetter(*Package.__slots__)


@dataclass(frozen=True, slots=True)
class LayerResult:
    """What all analysers say about one layer, in the form that `Contents` keeps. Sorted."""

    packages: tuple[Package, ...] = ()
    package_files: tuple[bytes, ...] = ()
    facts: Mapping[str, object] = field(default_factory=dict)  # by analyser id, if it has any
    skipped: tuple[tuple[str, bytes, str], ...] = ()
    manifests: tuple[Manifest, ...] = ()
    scripts: tuple[PackageScript, ...] = ()


class Dispatch:
    """All interests as look-up tables. Numbers index `analysers`; the tables are read only.

    A regular file is wanted whole if `path in paths or name in names or folder in folders or
    path.endswith(suffixes)`, or `path.endswith(sources)` in a folder that is `searched`, *and*
    `match(path)` is not empty. Its head is wanted if `head[:2] in magics`. Both may be true. Of a
    large program, each of `sections` is given as if it were the file.
    """

    def __init__(self, analysers: Iterable[Analyser]) -> None:
        self.analysers = tuple(analysers)
        interests = tuple(analyser.interest for analyser in self.analysers)
        self.paths = _table(interests, lambda interest: interest.paths)
        self.names = _table(interests, lambda interest: interest.names)
        self.folders = _table(interests, lambda interest: interest.folders)
        self.magics = _table(interests, lambda interest: interest.magics)
        self._suffixes = _table(interests, lambda interest: interest.suffixes)
        self.suffixes = tuple(sorted(self._suffixes))
        self._checked = tuple(sorted({prefix for i in interests for prefix in i.checked}))
        self._sources = _table(interests, lambda interest: interest.sources)
        self.sources = tuple(sorted(self._sources))
        self._searches = tuple(i.searches for i in interests if i.searches is not None)
        self._accepts = tuple(interest.accepts for interest in interests)
        self.sections = _table(interests, lambda i: (i.section,) if i.section else ())

    def match(self, path: bytes) -> tuple[int, ...]:
        """Who wants the whole file at this path."""
        folder, _, name = path.rpartition(b"/")
        found = {
            *self.paths.get(path, ()),
            *self.names.get(name, ()),
            *self.folders.get(folder, ()),
        }
        if path.endswith(self.suffixes):
            found.update(
                number
                for suffix in self.suffixes
                if path.endswith(suffix)
                for number in self._suffixes[suffix]
            )
        if path.endswith(self.sources):
            found.update(
                number
                for suffix in self.sources
                if path.endswith(suffix)
                for number in self._sources[suffix]
            )
        accepts = self._accepts
        return tuple(
            number
            for number in sorted(found)
            if (accept := accepts[number]) is None or accept(path)
        )

    def searched(self, folder: bytes) -> bool:
        """Whether an analyser wants `sources` of this folder."""
        return any(searches(folder) for searches in self._searches)

    def checked(self, folder: bytes) -> bool:
        """Whether package managers put files into this folder (see `Interest.checked`)."""
        return (folder + b"/").startswith(self._checked) and not (folder + b"/").startswith(
            _UNCHECKED
        )

    def start(self) -> "LayerAnalysis":
        """Fresh collectors for one layer."""
        return LayerAnalysis(self)


def _table(
    interests: tuple[Interest, ...], keys: Callable[[Interest], Iterable[bytes]]
) -> dict[bytes, tuple[int, ...]]:
    table: dict[bytes, tuple[int, ...]] = {}
    for number, interest in enumerate(interests):
        for key in keys(interest):
            table[key] = (*table.get(key, ()), number)
    return table


class LayerAnalysis:
    """All collectors of one layer."""

    __slots__ = ("_collectors", "_dispatch", "_files", "_kept", "_lost", "_skipped")

    def __init__(self, dispatch: Dispatch) -> None:
        self._dispatch = dispatch
        self._collectors = [analyser.start() for analyser in dispatch.analysers]
        self._files = [collector.file for collector in self._collectors]
        self._kept: dict[bytes, int] = {}  # path → index of the newest entry that was given
        self._lost: set[bytes] = set()  # paths whose contents are not known in the end
        self._skipped = [SkipLog(analyser.id) for analyser in dispatch.analysers]

    def file(self, which: tuple[int, ...], path: bytes, index: int, data: bytes) -> None:
        """A whole file, to those whom `Dispatch.match` names; or the first bytes of one, to those
        whom `Dispatch.magics` names."""
        self._kept[path] = index
        for number in which:
            self._files[number](path, index, data)

    def skip(self, which: tuple[int, ...], path: bytes, reason: str) -> None:
        """A file that was wanted and could not be given, such as one above `capture_bytes`. It
        stands as a package file that lists nothing: what a lower layer had there is gone."""
        if which:
            self._lost.add(path)
        for number in which:
            self._skipped[number].add(path, reason)

    def finish(self, entries: EntryTable) -> LayerResult:
        """All entries were read: what the analysers say, merged."""
        results = [collector.finish(entries) for collector in self._collectors]
        stated = self._stated(results, entries)
        packages = [package for found in stated.values() for package in found]
        skips = [skip for result in results for skip in result.skipped]
        skips += [skip for log in self._skipped for skip in log.result()]
        return LayerResult(
            packages=tuple(sorted(packages, key=_PACKAGE_ORDER)),
            package_files=tuple(sorted(stated)),
            facts={
                analyser.id: dict(result.data)
                for analyser, result in zip(self._dispatch.analysers, results, strict=True)
                if result.data
            },
            skipped=tuple(sorted((skip.analyser, skip.path, skip.reason) for skip in skips)),
            manifests=tuple(
                sorted(
                    (m for r in results for m in r.manifests if m.path not in self._lost),
                    key=lambda m: (m.path, m.package),
                )
            ),
            scripts=tuple(script for result in results for script in result.scripts),
        )

    def _stated(self, results: list[Facts], entries: EntryTable) -> dict[bytes, list[Package]]:
        """Every package file, with the packages that it states once the layer is whole."""
        stated: dict[bytes, list[Package]] = {
            path: [] for result in results for path in result.package_files
        }
        for result in results:
            for package in result.packages:
                stated[package.path].append(package)
        for path in self._replaced(entries):
            self.skip(self._dispatch.match(path), path, "replaced later in the same layer")
        for path in self._lost:
            stated[path] = []
        for path, target in self._hard_links(entries):
            wanted = self._dispatch.match(path)
            same = set(wanted).intersection(self._dispatch.match(target))
            known = target in stated or target in self._kept
            if not same or not known or target in self._lost:
                self.skip(wanted, path, "a hard link to a file that was not read in this layer")
                stated[path] = []
            elif target in stated:
                stated[path] = [replace(package, path=path) for package in stated[target]]
        return stated

    def _replaced(self, entries: EntryTable) -> set[bytes]:
        """Paths of files that were given, and that a later entry takes without being given."""
        kept = self._kept
        if not kept:
            return set()
        found = compress(range(len(entries)), map(kept.__contains__, entries.paths))
        return {
            entries.paths[index]
            for index in found
            if index > kept[entries.paths[index]] and entries.kinds[index] not in (WHITEOUT, OPAQUE)
        }

    def _hard_links(self, entries: EntryTable) -> Iterator[tuple[bytes, bytes]]:
        """Hard links in wanted places, unless a file that was given replaces them."""
        for index, target in entries.links.items():
            if entries.kinds[index] == HARDLINK:
                path = entries.paths[index]
                if self._kept.get(path, -1) < index and self._dispatch.match(path):
                    yield path, target
