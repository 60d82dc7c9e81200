"""A layer's step onto the tree, as changes.

Each path of the layer has one kind: ADDED, REPLACED, ATTRIBUTES or IDENTICAL by what stood there
below; REDIRECTED if a link turns what is reached through it elsewhere. Lower paths that are gone
are DELETED; SHADOWED, the REDIRECTED of a lower link whose target changed, and the ATTRIBUTES of a
lower inode that got another name come on top.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from layerproof.model.change import Cause, Change, ChangeKind, ChangeSet
from layerproof.model.entry import BLOCK, CHARACTER, DIRECTORY, FILE, HARDLINK, SYMLINK, Entry
from layerproof.oci.additions import sensitive
from layerproof.oci.construct import make_change
from layerproof.oci.inodes import Inodes
from layerproof.oci.links import follow
from layerproof.oci.shadowing import Shadow
from layerproof.oci.step import Lead, Redirect, Step
from layerproof.oci.targets import Retarget

_SETUID_SETGID = 0o6000
_CAPABILITY = "security.capability"


class Describer:
    """Writes the changes of one step, after the tree took it."""

    __slots__ = ("_before", "_hidden_by", "_inodes", "_led", "_nodes", "_step", "counts")

    def __init__(
        self, step: Step, led: Mapping[bytes, Lead], nodes: Mapping[bytes, int], inodes: Inodes
    ) -> None:
        self._step = step
        self._led = led
        self._nodes = nodes
        self._inodes = inodes
        self._before = step.before
        self._hidden_by = Counter(
            step.hidden[path][1] for path in step.gone if path != step.hidden[path][1]
        )
        self.counts: Counter[ChangeKind] = Counter(dict.fromkeys(ChangeKind, 0))

    def describe(
        self,
        detours: Sequence[Redirect],
        redirects: Sequence[Redirect],
        retargets: Iterable[Retarget],
        shadows: Iterable[Shadow],
        notable_added: Callable[[bytes], bool] | None,
    ) -> ChangeSet:
        """Everything, sorted by path."""
        changes = [*self._deleted(), *self._met()]
        changes += self._redirected(detours)
        changes += self._redirected(redirects)
        changes += self._added({r.path for r in redirects if r.after is not None}, notable_added)
        changes += self._retargeted(retargets)
        changes += self._relinked()
        changes += self._shadowed(shadows)
        changes.sort(key=lambda change: change.path)
        return ChangeSet(dict(self.counts), tuple(changes), self._step.absent)

    def _entry(self, path: bytes, number: int | None) -> Entry | None:
        return None if number is None else self._inodes.entry(path, number)

    def _deleted(self) -> Iterator[Change]:
        step, entry, hidden_by = self._step, self._inodes.entry, self._hidden_by
        self.counts[ChangeKind.DELETED] += len(step.gone)
        for path in step.gone:
            cause, by = step.hidden[path]
            before = entry(path, step.before[path])
            if by == path:
                hidden = hidden_by[path]
                yield make_change(ChangeKind.DELETED, path, before, None, cause, hidden=hidden)
            else:
                yield make_change(ChangeKind.DELETED, path, before, None, cause, by)

    def _met(self) -> Iterator[Change]:
        """Paths that stood below, too."""
        compare, nodes = self._inodes.compare, self._step.upper.nodes
        for path, old in self._before.items():
            new = nodes.get(path)
            if new is None:  # gone
                continue
            kind = compare(old, new)
            if kind is not ChangeKind.IDENTICAL:
                change = self._changed(kind, path, old, new)
                kind = change.kind
                yield change
            self.counts[kind] += 1

    def _changed(self, kind: ChangeKind, path: bytes, old: int, new: int) -> Change:
        inodes = self._inodes
        cause, target, hidden = "", b"", 0
        if kind is ChangeKind.REPLACED:
            kind, cause, target = self._replaced(path, old, new)
            hidden = self._hidden_by[path] if inodes.kinds[old] == DIRECTORY else 0
        if kind is not ChangeKind.REDIRECTED:
            if inodes.kinds[new] == HARDLINK:
                cause, target = Cause.MISSING_HARDLINK, inodes.hardlinks.get(new, b"")
            elif path in self._step.upper.borrowed:
                cause, target = Cause.HARDLINK, self._step.upper.borrowed[path]
        before, after = inodes.entry(path, old), inodes.entry(path, new)
        return make_change(kind, path, before, after, cause, target=target, hidden=hidden)

    def _replaced(self, path: bytes, old: int, new: int) -> tuple[ChangeKind, str, bytes]:
        old_kind, new_kind = self._inodes.kinds[old], self._inodes.kinds[new]
        lead = self._led.get(path)
        cause = Cause.TYPE_CHANGE if old_kind != new_kind else ""
        if new_kind != SYMLINK:
            return ChangeKind.REPLACED, cause, b"" if lead is None else lead.target
        way = follow(path, self._nodes, self._inodes.symlinks)
        target = b"" if way is None else way[0]
        if old_kind == DIRECTORY:
            return ChangeKind.REDIRECTED, cause, target
        if lead is not None and lead.to_folder:
            return ChangeKind.REDIRECTED, Cause.LINK_TARGET, target
        return ChangeKind.REPLACED, cause, target

    def _redirected(self, redirects: Iterable[Redirect]) -> Iterator[Change]:
        for path, target, before, after, link in redirects:
            self.counts[ChangeKind.REDIRECTED] += 1
            yield make_change(
                ChangeKind.REDIRECTED,
                path,
                self._entry(target, before),
                self._entry(path, after),
                Cause.SYMLINKED_PARENT,
                link,
                target,
            )

    def _retargeted(self, retargets: Iterable[Retarget]) -> Iterator[Change]:
        for path, target, before, after in retargets:
            self.counts[ChangeKind.REDIRECTED] += 1
            yield make_change(
                ChangeKind.REDIRECTED,
                path,
                self._entry(target, before),
                self._entry(target, after),
                Cause.LINK_TARGET_CHANGED,
                target,
                target,
            )

    def _added(
        self, astray: set[bytes], notable_added: Callable[[bytes], bool] | None
    ) -> Iterator[Change]:
        nodes, before = self._step.upper.nodes, self._before
        added = [path for path in nodes if path not in before]
        if astray:
            added = [path for path in added if path not in astray]
        self.counts[ChangeKind.ADDED] += len(added)
        for path, cause in self._notable(added, notable_added).items():
            after = self._inodes.entry(path, nodes[path])
            target = b""
            if cause is Cause.HARDLINK:
                target = self._step.upper.borrowed[path]
            elif cause is Cause.MISSING_HARDLINK:
                target = after.link or b""
            yield make_change(ChangeKind.ADDED, path, None, after, cause, target=target)

    def _notable(
        self, added: list[bytes], notable_added: Callable[[bytes], bool] | None
    ) -> dict[bytes, Cause]:
        """Those that are listed, each with the first reason."""
        nodes, borrowed = self._step.upper.nodes, self._step.upper.borrowed
        reasons = {path: Cause.HARDLINK for path in added if path in borrowed} if borrowed else {}
        marked = self._marked()
        if marked:
            for path in added:
                if nodes[path] in marked:
                    reasons.setdefault(path, marked[nodes[path]])
        if not self._step.lowest:
            kinds = self._inodes.kinds
            for path in sensitive(added, self._step.upper.folders):
                if kinds[nodes[path]] != DIRECTORY:
                    reasons.setdefault(path, Cause.SENSITIVE_PATH)
        if notable_added is not None:
            for path in filter(notable_added, added):
                reasons.setdefault(path, Cause.REQUESTED)
        return reasons

    def _marked(self) -> dict[int, Cause]:
        """This layer's inodes whose addition is notable wherever they stand."""
        inodes, first = self._inodes, self._step.first
        end = first + self._step.count
        kinds = inodes.kinds[first:end]
        marked: dict[int, Cause] = {}
        if HARDLINK in kinds:
            unresolved = (number for number in inodes.hardlinks if first <= number < end)
            marked.update(dict.fromkeys(unresolved, Cause.MISSING_HARDLINK))
        owners = inodes.owners[first:end]
        special = {owner for owner in set(owners) if owner[0] & _SETUID_SETGID}
        if special:
            for number, owner in enumerate(owners, first):
                if owner in special and inodes.kinds[number] == FILE:
                    marked[number] = Cause.SETUID
        for number, xattrs in inodes.xattrs.items():
            if number >= first and _CAPABILITY in xattrs:
                marked.setdefault(number, Cause.CAPABILITY)
        if CHARACTER in kinds or BLOCK in kinds:
            for number, kind in enumerate(kinds, first):
                if kind in (CHARACTER, BLOCK):
                    marked[number] = Cause.DEVICE
        return marked

    def _relinked(self) -> Iterator[Change]:
        """Lower files that a hard link of this layer gives other metadata."""
        upper, inodes = self._step.upper, self._inodes
        for path, (number, by, old) in upper.relinked.items():
            if self._nodes.get(path) != number or path in upper.nodes:
                continue
            if inodes.compare(old, number) is ChangeKind.ATTRIBUTES:
                self.counts[ChangeKind.ATTRIBUTES] += 1
                before, after = inodes.entry(path, old), inodes.entry(path, number)
                yield make_change(ChangeKind.ATTRIBUTES, path, before, after, Cause.HARDLINK, by)

    def _shadowed(self, shadows: Iterable[Shadow]) -> Iterator[Change]:
        nodes, entry = self._nodes, self._inodes.entry
        for hidden, by, cause in shadows:
            self.counts[ChangeKind.SHADOWED] += 1
            before, after = entry(hidden, nodes[hidden]), entry(by, nodes[by])
            yield make_change(ChangeKind.SHADOWED, hidden, before, after, cause, by, by)
