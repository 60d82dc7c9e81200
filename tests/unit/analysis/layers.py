"""Small layers for the tests of the analysers."""

from layerproof.analysis.dispatch import Dispatch, LayerResult
from layerproof.analysis.interface import HEAD_BYTES, Analyser, Facts
from layerproof.analysis.registry import ANALYSERS
from layerproof.model.entry import DIRECTORY, FILE, HARDLINK, NO_DIGEST, SYMLINK, EntryTable
from layerproof.model.package import Package


def analyser(name: str) -> Analyser:
    """The registered one."""
    return next(found for found in ANALYSERS if found.id == name)


def run(name: str, files: dict[bytes, bytes], entries: EntryTable | None = None) -> Facts:
    """What one analyser says about files that the reader gives it."""
    collector = analyser(name).start()
    for index, (path, data) in enumerate(files.items()):
        collector.file(path, index, data)
    return collector.finish(entries or EntryTable())


def add(
    table: EntryTable,
    path: bytes,
    kind: int = FILE,
    *,
    mode: int = 0o644,
    size: int = 0,
    link: bytes | None = None,
    xattrs: dict[str, bytes] | None = None,
) -> int:
    """One more entry; its index."""
    index = len(table)
    table.paths.append(path)
    table.kinds.append(kind)
    table.owners.append((mode, 0, 0))
    table.sizes.append(size)
    table.digests += NO_DIGEST
    if link is not None:
        table.links[index] = link
    if xattrs is not None:
        table.xattrs[index] = xattrs
    return index


def read(dispatch: Dispatch, *tar: tuple[bytes, int, bytes]) -> LayerResult:
    """As the reader does it: entries of (path, kind, contents or link target) in tar order."""
    analysis, table = dispatch.start(), EntryTable()
    for path, kind, data in tar:
        link = None if kind == FILE else data
        index = add(table, path, kind, size=len(data) if kind == FILE else 0, link=link)
        if kind != FILE:
            continue
        folder, _, name = path.rpartition(b"/")
        if (
            path in dispatch.paths
            or name in dispatch.names
            or folder in dispatch.folders
            or path.endswith(dispatch.suffixes)
        ) and (which := dispatch.match(path)):
            analysis.file(which, path, index, data)
        elif which := dispatch.magics.get(data[:2], ()):
            analysis.file(which, path, index, data[:HEAD_BYTES])
    return analysis.finish(table)


def names(packages: tuple[Package, ...]) -> list[tuple[str, str]]:
    """Name and version of each, sorted."""
    return sorted((package.name, package.version) for package in packages)


def reasons(facts: Facts) -> str:
    """All reasons for skipping, as one text."""
    return "; ".join(skip.reason for skip in facts.skipped)


__all__ = [
    "DIRECTORY",
    "FILE",
    "HARDLINK",
    "SYMLINK",
    "add",
    "analyser",
    "names",
    "read",
    "reasons",
    "run",
]
