"""The squashed tree of an image, and the exact change that each layer makes to it.

Layers go on from the lowest up, as overlayfs stacks them (kernel filesystems/overlayfs.rst):

1. The layer alone: `layerproof.oci.upper`.
2. Whiteouts and opaque folders hide what is below (image-spec layer.md "Whiteouts"); anything but
   a folder over a folder hides all beneath; a folder over anything else replaces it. What the
   same layer brings stands in any case.
3. A folder over a folder merges. The upper one's mode and owner hold, unless no entry names it.
4. A link of a lower layer is never written through: a folder of the upper layer replaces it.
   Since other runtimes do write through, such entries are reported as REDIRECTED.

docs/adr/0004 tells what real runtimes do, case by case, and why the tree sides with which.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping

from layerproof.model.change import Cause, ChangeSet
from layerproof.model.entry import DIRECTORY, Entry, EntryTable
from layerproof.model.ownership import Checksum
from layerproof.oci.describe import Describer
from layerproof.oci.inodes import IMPLIED, Inodes
from layerproof.oci.limits import Limits
from layerproof.oci.links import parent_of
from layerproof.oci.shadowing import View, search_orders, shadows
from layerproof.oci.step import Step, detours, hiding_roots, leads, redirects
from layerproof.oci.targets import Targets
from layerproof.oci.upper import Allowance, Unpacker


class Tree:
    """What a container sees of the layers so far. Paths are normalised as in `Entry.path`."""

    __slots__ = ("_children", "_inodes", "_nodes", "_targets", "_unpacker")

    def __init__(self, limits: Limits | None = None) -> None:
        self._inodes = Inodes()
        # path → number. Every path's parents are in it, as folders: `links.follow` relies on that.
        self._nodes: dict[bytes, int] = {}
        self._unpacker = Unpacker(self._inodes, Allowance((limits or Limits()).implied_bytes))
        self._targets = Targets(self._nodes, self._inodes)
        # folder → paths right in it; made when first needed, since many images never need it
        self._children: dict[bytes, set[bytes]] | None = None

    def stack(self, entries: EntryTable) -> None:
        """Put a layer on top without telling its changes. Raises LimitExceededError; the tree is
        then as it was."""
        self._take(self._meet(entries))

    def apply(
        self, entries: EntryTable, notable_added: Callable[[bytes], bool] | None = None
    ) -> ChangeSet:
        """Put a layer on top and tell what it changes. Raises LimitExceededError.

        `notable_added` names added paths to list besides those that always are. The lowest layer's
        additions are listed only for what they are (setuid, capability, device, broken hard
        link), not for where they are.
        """
        step = self._meet(entries)
        orders = [] if step.lowest else search_orders(View(self._nodes, self._inodes))
        led = leads(step, self._nodes, self._inodes)
        ways = detours(step, self._nodes)
        astray = redirects(step, led, self._nodes, self._inodes)
        turned = self._targets.changed(step)
        self._take(step)
        view = View(self._nodes, self._inodes)
        hiding = [] if step.lowest else shadows(view, step, orders, self._index)
        describer = Describer(step, led, self._nodes, self._inodes)
        return describer.describe(ways, astray, turned, hiding, notable_added)

    def lookup(self, path: bytes) -> Entry | None:
        """What stands at `path`, no link followed. A folder that paths imply and no entry names is
        one of root's with mode 0755. The root itself is there only if an entry names it."""
        number = self._nodes.get(path)
        return None if number is None else self._inodes.entry(path, number)

    def resolve(self, path: bytes) -> bytes | None:
        """The real path of what `path` leads to, all links followed as in a chroot. None if that
        is nothing, or a loop."""
        return View(self._nodes, self._inodes).resolve(path)

    def number(self, path: bytes) -> int | None:
        """What stands at `path`, no link followed, by its number (`oci.inodes`)."""
        return self._nodes.get(path)

    def kind(self, number: int) -> int:
        """The kind of entry that a number stands for."""
        return self._inodes.kinds[number]

    def digest(self, number: int, checksum: Checksum) -> bytes | None:
        """The digest of a file's contents, or SHA-1 of a symbolic link's target. None where it was
        not taken."""
        return self._inodes.digest(number, checksum)

    def __contains__(self, path: object) -> bool:
        return path in self._nodes

    def __len__(self) -> int:
        return len(self._nodes)

    def __iter__(self) -> Iterator[Entry]:
        entry = self._inodes.entry
        return (entry(path, number) for path, number in self._nodes.items())

    def _meet(self, entries: EntryTable) -> Step:
        """Compare a layer with the tree, which stays as it is."""
        nodes, kinds = self._nodes, self._inodes.kinds
        first = self._inodes.add(entries)
        upper = self._unpacker.unpack(entries, first, nodes)
        shared = [path for path in upper.nodes if path in nodes] if nodes else []
        hidden = self._hidden(hiding_roots(upper, shared, nodes, self._inodes))
        for path in shared:
            implied = upper.nodes[path] == IMPLIED and path not in hidden
            if implied and kinds[nodes[path]] == DIRECTORY:
                del upper.nodes[path]  # no entry speaks of it: it stays as it is
        before = {path: nodes[path] for path in shared if path in upper.nodes}
        if nodes and b"" in upper.nodes:
            before.setdefault(b"", IMPLIED)  # a root that nobody named is there all the same
        gone = [path for path in hidden if path not in upper.nodes]
        before.update((path, nodes[path]) for path in gone)
        absent = sum(path not in nodes for path in set(upper.whiteouts)) + upper.beneath_own
        return Step(first, len(entries), not nodes, upper, before, hidden, gone, absent)

    def _hidden(self, roots: list[tuple[bytes, int, Cause]]) -> dict[bytes, tuple[Cause, bytes]]:
        nodes, kinds = self._nodes, self._inodes.kinds
        hidden: dict[bytes, tuple[Cause, bytes]] = {}
        for root, _, cause in roots:
            if root in hidden:  # with all beneath it
                continue
            because = (cause, root)
            if cause is Cause.WHITEOUT and root:
                hidden[root] = because
            if root and kinds[nodes[root]] != DIRECTORY:
                continue
            folders = [root]
            while folders:
                for path in self._index().get(folders.pop(), ()):
                    if path not in hidden:
                        hidden[path] = because
                        if kinds[nodes[path]] == DIRECTORY:
                            folders.append(path)
        return hidden

    def _take(self, step: Step) -> None:
        """Make the layer part of the tree."""
        self._targets.take(step)
        nodes, children = self._nodes, self._children
        if children is not None:
            for path in step.gone:
                children.pop(path, None)
                children.get(parent_of(path), set()).discard(path)
            for path in step.upper.nodes:
                if path and path not in nodes:
                    children.setdefault(parent_of(path), set()).add(path)
        for path in step.gone:
            del nodes[path]
        nodes.update(step.upper.nodes)
        for path, relink in step.upper.relinked.items():
            if path in nodes and path not in step.upper.nodes:
                nodes[path] = relink.number

    def _index(self) -> Mapping[bytes, Collection[bytes]]:
        if self._children is None:
            children: defaultdict[bytes, set[bytes]] = defaultdict(set)
            for path in self._nodes:
                children[path.rpartition(b"/")[0]].add(path)
            children[b""].discard(b"")
            self._children = dict(children)
        return self._children
