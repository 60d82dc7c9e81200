"""A summary of what a layer holds."""

from collections import Counter
from itertools import compress

from layerproof.analysis.interface import Collector, Facts, Interest
from layerproof.model.entry import FILE, KIND_NAMES, EntryTable

_IS_FILE = bytes(kind == FILE for kind in range(256))


class _Collector:
    def file(self, path: bytes, index: int, data: bytes) -> None:
        """Never called: the summary needs no contents."""

    def finish(self, entries: EntryTable) -> Facts:
        kinds = bytes(entries.kinds)
        counts = {name: kinds.count(kind) for kind, name in KIND_NAMES.items()}
        files = Counter(compress(entries.owners, kinds.translate(_IS_FILE)))
        return Facts(
            data={
                "kinds": {name: count for name, count in counts.items() if count},
                "bytes": sum(entries.sizes),
                "executables": sum(n for (mode, _, _), n in files.items() if mode & 0o111),
            }
        )


class EntriesAnalyser:
    """`data`: {"kinds": {"file": 3, …}, "bytes", "executables"}; every tar entry counts, also one
    that a later entry of the same path replaces."""

    id = "entries"
    version = 2
    interest = Interest()

    def start(self) -> Collector:
        """A fresh collector."""
        return _Collector()
