"""`protected-path`: a layer replaces, deletes, re-modes, re-links or shadows a protected path.

Judged are the changes that a layer makes to the tree below it (`layerproof.model.change`):

1. A change counts when the changed path, the entry that did it (`Change.by`), or what a redirection
   or hard link leads to (`Change.target`) is protected and not excepted. Both spellings of a merged
   `/usr` are one path (`layerproof.rules.globs`). Where a symbolic link leads does not count: a new
   one changes nothing there.
   The folders above the fixed beginning of a protected glob count, too, when they themselves are
   re-moded, replaced, redirected or deleted: who owns `/usr/local` rules `/usr/local/bin`. So does
   a root folder that no lower layer lists and that comes with another mode or owner than usual.
2. Writing the same again (`identical`) never counts; nor does adding a new path, except
   a. one whose creation alone is refused, such as `/etc/ld.so.preload`, or a symbolic link that
      stands for a folder above such a path,
   b. a hard link to a protected file of a lower layer,
   c. a device, or a file with setuid, setgid or capabilities. This, unlike all else, is also judged
      on paths that are not protected, and when an existing file gains such a right, has it and
      gets other contents, another owner or a wider mode; for devices, when anything changes.
   The built-in exceptions do not free of a and c, an operator's own do.
   d. A change that belongs to a verified package upgrade does not count, unless `packageUpgrades`
      says so: the layer adds or changes the package that owns the path, and the path is what this
      package states (`layerproof.analysis.integrity`). A right that the file gains counts anyway.
3. On the lowest layer of an image nothing lies below that could be changed, and what a root file
   system brings is judged by `trusted-base`: 2a and 2c begin with the second layer.
4. A layer that was not indexed makes `unknown`, and so does one whose changes are counted but not
   all listed.
5. What one entry did, such as hiding all of `/usr`, is one finding with a count and examples. Other
   changes are findings of their own, up to `MAX_FINDINGS` per layer; the rest is one per kind.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from layerproof.model.change import Cause, Change, ChangeKind, ChangeSet
from layerproof.model.entry import (
    BLOCK,
    CHARACTER,
    DIRECTORY,
    FILE,
    HARDLINK,
    KIND_NAMES,
    SYMLINK,
    Entry,
)
from layerproof.model.facts import ImageFacts, LayerFacts
from layerproof.model.finding import Finding, Severity, Status
from layerproof.oci.additions import SENSITIVE_ADDITIONS
from layerproof.rules.globs import GlobSet, canonical, is_wild, parents
from layerproof.rules.interface import RuleSettings, choice, flag, globs
from layerproof.rules.text import plural, shell_word, show_path, show_text

MAX_FINDINGS = 50  # per layer, before the rest is summed up
MAX_EXAMPLES = 20  # paths that a finding's evidence lists
# Additions are recorded only here: elsewhere, a list of refused creations would never match.
RECORDED_ADDITIONS = (*(f"/{folder.decode()}" for folder in SENSITIVE_ADDITIONS), "/home/*/.")

# Inside protected folders, and changed by every ordinary installation. These free contents only:
# refused creations and privileged files count here, too, unless an operator's exception says so.
BUILT_IN_EXCEPTIONS = (
    "/lib/apk/db/**",
    "/usr/lib/locale/**",
    "/usr/lib/sysimage/**",
)

_CAPABILITY = "security.capability"
_SETUID, _SETGID = 0o4000, 0o2000
_MAY_GAIN = (
    ChangeKind.ADDED,
    ChangeKind.REPLACED,
    ChangeKind.ATTRIBUTES,
    ChangeKind.REDIRECTED,
)
# What `Change.by` did to a whole folder, so that its changes are one finding.
_SWEEPING = (ChangeKind.DELETED, ChangeKind.REDIRECTED)


@dataclass(frozen=True, slots=True)
class ProtectedPathSettings(RuleSettings):
    """The lists come from the policy; empty ones protect nothing (`policy/defaults.py`)."""

    paths: tuple[str, ...] = globs("paths", "extraPaths")
    creation: tuple[str, ...] = globs("creation", "extraCreation", below=RECORDED_ADDITIONS)
    exceptions: tuple[str, ...] = globs(
        "except", "extraExcept", may_be_empty=True, may_be_everything=False
    )
    privileged: bool = flag("privileged", default=True)  # whether 2c is judged
    package_upgrades: str = choice("packageUpgrades", ("allow", "refuse"), default="allow")


class Hit(NamedTuple):
    """A change that counts."""

    change: Change
    kind: str  # the change's kind, or "created", "linked", "privileged"
    glob: str  # what protects it; "" for "privileged"
    exact: bool  # whether the list names the changed path itself

    @property
    def group(self) -> tuple[str, str, bytes, bytes]:
        """Hits of one group were done by one entry and make one finding."""
        change = self.change
        if change.cause == Cause.OPAQUE:
            return (self.kind, change.cause, change.by, b"")  # by b"": the root
        if change.kind in _SWEEPING:
            return (self.kind, change.cause, change.by or change.path, b"")
        return (self.kind, change.cause, change.path, change.target)

    @property
    def order(self) -> tuple[bool, bytes, bytes]:
        """Those that the list names exactly first."""
        return (not self.exact, self.change.path, self.change.target)


class ProtectedPath:
    """See the module."""

    __slots__ = ()

    id: ClassVar[str] = "protected-path"
    severity: ClassVar[Severity] = Severity.HIGH
    doc: ClassVar[str] = (
        "A layer replaces, deletes, re-modes, re-links or shadows a protected path of the layers "
        "below, creates a refused one, or adds a privileged file."
    )
    settings: ClassVar[type[ProtectedPathSettings]] = ProtectedPathSettings

    def check(self, facts: ImageFacts, settings: ProtectedPathSettings) -> tuple[Finding, ...]:
        """Findings on the layers above the base, lowest first."""
        if not facts.above_base:
            return ()
        lists = _Lists(settings)
        allowed = settings.package_upgrades == "allow"
        found: list[Finding] = []
        for layer in facts.above_base:
            if layer.changes is None:
                found.append(self._not_indexed(facts, layer))
            else:
                if missing := _not_listed(layer.changes):
                    found.append(self._incomplete(facts, layer, missing))
                changes = layer.changes.changes
                found.extend(self._judge(layer, changes, lists, allowed=allowed))
        return tuple(found)

    def _judge(
        self, layer: LayerFacts, changes: Iterable[Change], lists: "_Lists", *, allowed: bool
    ) -> Iterable[Finding]:
        above = layer.layer.position > 0
        groups: dict[tuple[str, str, bytes, bytes], list[Hit]] = {}
        upgraded = {(path, kind) for path, kind, _ in layer.integrity.verified if allowed}
        for change in changes:
            hit = lists.hit(change, above=above)
            if hit is not None and (change.path, change.kind) in upgraded:
                hit = lists.gained(change) if above else None
            if hit is not None:
                groups.setdefault(hit.group, []).append(hit)
        for hits in groups.values():
            hits.sort(key=lambda hit: hit.order)
        ordered = sorted(groups.values(), key=lambda hits: (hits[0].order, hits[0].group))
        if len(ordered) > MAX_FINDINGS:
            ordered[MAX_FINDINGS:] = _by_kind(ordered[MAX_FINDINGS:])
        for hits in ordered:
            yield self._finding(layer, hits)

    def _finding(self, layer: LayerFacts, hits: Sequence[Hit]) -> Finding:
        first = hits[0]
        one = len(hits) == 1
        return Finding(
            rule=self.id,
            status=Status.FAIL,
            severity=Severity.MEDIUM if _only_setgid(hits) else self.severity,
            message=_message(first) if one else _summary(hits),
            remedy=(
                "rebuild without this change, or make it in the trusted base; if it is meant, name "
                "the path in the policy: rules.protected-path.extraExcept"
            ),
            position=layer.layer.position,
            chain_id=layer.layer.chain_id,
            evidence=_evidence_of_one(first) if one else _evidence_of_many(hits),
        )

    def _not_indexed(self, facts: ImageFacts, layer: LayerFacts) -> Finding:
        message = "the layer is not indexed: what it changes is not known"
        return self._unknown(facts, layer, message, {"diffId": layer.layer.diff_id})

    def _incomplete(self, facts: ImageFacts, layer: LayerFacts, missing: int) -> Finding:
        message = (
            f"{plural(missing, 'change')} of the layer cannot be judged: only a count is known"
        )
        return self._unknown(facts, layer, message, {"total": missing})

    def _unknown(
        self, facts: ImageFacts, layer: LayerFacts, message: str, evidence: dict[str, object]
    ) -> Finding:
        return Finding(
            rule=self.id,
            status=Status.UNKNOWN,
            severity=Severity.MEDIUM,
            message=message,
            remedy=f"layerproof index {shell_word(facts.image.reference)}",
            position=layer.layer.position,
            chain_id=layer.layer.chain_id,
            evidence=evidence,
        )


class _Lists:
    """The settings, ready for matching."""

    __slots__ = (
        "_above",
        "_above_creation",
        "_creation",
        "_exceptions",
        "_operators",
        "_paths",
        "_privileged",
    )

    def __init__(self, settings: ProtectedPathSettings) -> None:
        self._paths = GlobSet(settings.paths)
        self._above = _ancestors(settings.paths)
        self._creation = GlobSet(settings.creation)
        self._above_creation = GlobSet(
            above for glob in settings.creation for above in parents(glob)
        )
        self._exceptions = GlobSet(settings.exceptions)
        self._operators = GlobSet(
            glob for glob in settings.exceptions if glob not in BUILT_IN_EXCEPTIONS
        )
        self._privileged = settings.privileged

    def hit(self, change: Change, *, above: bool) -> Hit | None:
        """Why the change counts, or None."""
        if change.kind is ChangeKind.IDENTICAL:
            return None
        if change.kind is ChangeKind.ADDED:
            return self._added(change, above=above)
        glob = self._protected(change.path)
        if glob is not None:
            return Hit(change, change.kind, glob, exact=not is_wild(glob))
        others = (glob for path in _involved(change) if (glob := self._protected(path)))
        glob = next(others, None) or self._leading_to(change)
        if glob is not None:
            return Hit(change, change.kind, glob, exact=False)
        if not above:
            return None
        return self._created(change, change.target) or self.gained(change)

    def _protected(self, path: bytes) -> str | None:
        glob = self._paths.match(path)
        return glob if glob is None or self._exceptions.match(path) is None else None

    def _leading_to(self, change: Change) -> str | None:
        """The glob whose matches lie below a folder that the change is about."""
        for folder in _folders(change):
            glob = self._above.get(canonical(folder))
            if glob is not None and self._exceptions.match(folder) is None:
                return glob
        return None

    def _added(self, change: Change, *, above: bool) -> Hit | None:
        if change.cause == Cause.HARDLINK:
            glob = self._protected(change.target)
            if glob is not None:
                return Hit(change, "linked", glob, exact=not is_wild(glob))
        if not above:
            return None
        if not change.path and _unusual_root(change.after):
            glob = self._protected(b"") or self._leading_to(change)
            if glob is not None:
                return Hit(change, ChangeKind.ATTRIBUTES, glob, exact=not is_wild(glob))
        return self._created(change, change.path) or self.gained(change)

    def _created(self, change: Change, path: bytes) -> Hit | None:
        """Whether the change brings something new at `path`, which nobody may create."""
        redirected = change.kind is ChangeKind.REDIRECTED and change.before is None
        if not (change.kind is ChangeKind.ADDED or redirected):
            return None
        if change.after is None or change.after.kind == DIRECTORY:
            return None
        glob = self._creation.match(path)
        if glob is None and change.after.kind == SYMLINK:
            glob = self._above_creation.match(path)
        if glob is None or self._operators.match(path) is not None:
            return None
        return Hit(change, "created", glob, exact=not is_wild(glob))

    def gained(self, change: Change) -> Hit | None:
        """Whether the change gives a file rights that it had not."""
        if not self._privileged or not _rights(change):
            return None
        if self._operators.match(change.path) is not None:
            return None
        return Hit(change, "privileged", "", exact=False)


def _ancestors(globs: Iterable[str]) -> dict[bytes, str]:
    """The folders above the part of each glob that has no wildcard, each with such a glob."""
    found: dict[bytes, str] = {}
    for glob in globs:
        parts = canonical(glob.encode()[1:]).split(b"/")
        fixed = next((n for n, part in enumerate(parts) if set(part) & set(b"*?")), len(parts))
        # `/etc/cron.*` lies in /etc; `/etc/ssl/**` is /etc/ssl itself, which the glob matches
        for end in range(min(fixed, len(parts) - 1) + 1):
            found.setdefault(b"/".join(parts[:end]), glob)
    return found


def _unusual_root(root: Entry | None) -> bool:
    """Whether the root folder is other than runtimes make it where no layer lists it."""
    return root is not None and (root.mode, root.uid, root.gid) != (0o755, 0, 0)


def _not_listed(changes: ChangeSet) -> int:
    """How many changes other than plain additions and identical rewrites are only counted."""
    listed = Counter(change.kind for change in changes.changes)
    return sum(
        max(0, count - listed[kind])
        for kind, count in changes.counts.items()
        if kind not in (ChangeKind.ADDED, ChangeKind.IDENTICAL)
    )


def gained_rights(before: Entry | None, after: Entry | None) -> tuple[str, ...]:
    """The rights that a file has and had not in this form: "setuid root", "with capabilities".

    Rights that it had are new to other contents, to another owner and by a wider mode.
    """
    if after is None:
        return ()
    if after.kind in (CHARACTER, BLOCK):
        return () if _same(before, after) else (f"a {KIND_NAMES[after.kind]}",)
    if after.kind not in (FILE, HARDLINK):
        return ()
    had = before if _same_use(before, after) else None
    rights = []
    if after.mode & _SETUID and not (had and had.mode & _SETUID):
        rights.append(f"setuid {after.uid or 'root'}")
    if after.mode & _SETGID and not (had and had.mode & _SETGID):
        rights.append(f"setgid {after.gid or 'root'}")
    capability = after.xattrs.get(_CAPABILITY)
    if capability and (had is None or had.xattrs.get(_CAPABILITY) != capability):
        rights.append("with capabilities")
    return tuple(rights)


def _same_contents(before: Entry | None, after: Entry) -> bool:
    return before is not None and (
        (before.kind, before.sha256, before.link, before.device)
        == (after.kind, after.sha256, after.link, after.device)
    )


def _same(before: Entry | None, after: Entry) -> bool:
    return before is not None and (
        _same_contents(before, after)
        and (before.mode, before.uid, before.gid) == (after.mode, after.uid, after.gid)
        and before.xattrs == after.xattrs
    )


def _same_use(before: Entry | None, after: Entry) -> bool:
    """Whether nobody can do more with a file than before, but for rights of its own."""
    return before is not None and (
        _same_contents(before, after)
        and (before.uid, before.gid) == (after.uid, after.gid)
        and not after.mode & ~before.mode & 0o777
    )


def _involved(change: Change) -> list[bytes]:
    """Paths besides its own that a change is about."""
    leads = change.kind is ChangeKind.REDIRECTED or change.cause == Cause.HARDLINK
    paths = [change.by, change.target if leads else b""]
    if change.kind is ChangeKind.SHADOWED:
        return []  # only the hidden path lost something
    if _of_opaque_root(change):
        return [b""]
    return [path for path in paths if path]


def _folders(change: Change) -> list[bytes]:
    """Paths that the change itself is about, and that may be folders above protected ones."""
    if change.kind is ChangeKind.SHADOWED:
        return []
    folders = [change.path]
    if _of_opaque_root(change):
        folders.append(b"")
    if change.cause == Cause.SYMLINKED_PARENT and change.target:
        again = change.after is not None and _same(change.before, change.after)
        folders += [] if again else [change.target]
    return folders


def _of_opaque_root(change: Change) -> bool:
    return change.cause == Cause.OPAQUE and not change.by


def _rights(change: Change) -> tuple[str, ...]:
    """What the file at `change.path` gained; of one that a link leads elsewhere, there."""
    if change.kind in _MAY_GAIN:
        return gained_rights(change.before, change.after)
    return ()


def _only_setgid(hits: Sequence[Hit]) -> bool:
    return all(
        hit.kind == "privileged"
        and all(right.startswith("setgid") for right in _rights(hit.change))
        for hit in hits
    )


def _by_kind(groups: Iterable[list[Hit]]) -> list[list[Hit]]:
    kinds: dict[str, list[Hit]] = {}
    for hits in groups:
        kinds.setdefault(hits[0].kind, []).extend(hits)
    for hits in kinds.values():
        hits.sort(key=lambda hit: hit.order)
    return [kinds[kind] for kind in sorted(kinds)]


# --- words -------------------------------------------------------------------------------------


def _message(hit: Hit) -> str:
    rights = _rights(hit.change)
    if rights and hit.kind != "linked":
        return _privilege(hit.change, rights)
    return _WORDS.get(hit.kind, _replacement)(hit.change)


def _linked(change: Change) -> str:
    return f"adds {show_path(change.path)} as a hard link to {show_path(change.target)}"


def _created(change: Change) -> str:
    what = f", a {_thing(change.after)}" if change.after and change.after.kind == SYMLINK else ""
    if change.kind is ChangeKind.REDIRECTED:
        return f"creates {show_path(change.target)}, by way of {show_path(change.path)}{what}"
    return f"creates {show_path(change.path)}{what}"


def _deleted(change: Change) -> str:
    if _of_opaque_root(change):
        return _emptied(1)
    return f"deletes {show_path(change.path)} ({_how(change)})"


def _emptied(count: int) -> str:
    return f"empties the root folder (opaque): hides {plural(count, 'path')}"


def _redirected(change: Change) -> str:
    done_by = f", by {show_path(change.by)}" if change.by not in (b"", change.path) else ""
    return f"leads {show_path(change.path)} to {show_path(change.target)}{done_by}"


def _shadowed(change: Change) -> str:
    return f"adds {show_path(change.target)}, which hides {show_path(change.path)}"


def _attributes(change: Change) -> str:
    if change.before is None and change.after is not None:
        new = change.after
        return (
            f"brings {show_path(change.path)} with mode {new.mode:04o}, owner {new.uid}:{new.gid}"
        )
    return f"changes {show_path(change.path)}: {_differences(change.before, change.after)}"


def _privilege(change: Change, rights: tuple[str, ...]) -> str:
    path, what = show_path(change.path), " and ".join(rights)
    before, after = change.before, change.after
    if after is None:
        return f"changes {path}: {what}"
    device = after.kind in (CHARACTER, BLOCK)
    if before is None:
        return f"adds {path}: {what}" if device else f"adds {path} {what} (mode {after.mode:04o})"
    same = _same_contents(before, after)
    if device and not same:
        return f"replaces {path}: {what}"
    if not (device or set(rights) <= set(gained_rights(None, before))):
        verb = "makes" if same else "replaces and makes"
        return f"{verb} {path} {what} (mode {before.mode:04o} → {after.mode:04o})"
    if same:
        return f"changes {path}, {what}: {_differences(before, after)}"
    return f"replaces {path}, {what}: {_hash(before)} → {_hash(after)}"


def _replacement(change: Change) -> str:
    path, before, after = show_path(change.path), change.before, change.after
    if before is None or after is None:
        return f"replaces {path}"
    if before.kind != after.kind:
        return f"turns {path} from a {KIND_NAMES[before.kind]} into a {_thing(after)}"
    if after.kind == SYMLINK:
        return f"re-links {path}: {_link(before)} → {_link(after)}"
    if before.sha256 != after.sha256:
        return f"replaces {path}: {_hash(before)} → {_hash(after)}"
    return f"replaces {path}: {_differences(before, after)}"


def _differences(before: Entry | None, after: Entry | None) -> str:
    if before is None or after is None:
        return "its attributes"
    found = []
    if before.mode != after.mode:
        found.append(f"mode {before.mode:04o} → {after.mode:04o}")
    if (before.uid, before.gid) != (after.uid, after.gid):
        found.append(f"owner {before.uid}:{before.gid} → {after.uid}:{after.gid}")
    names = sorted(
        name
        for name in before.xattrs.keys() | after.xattrs.keys()
        if before.xattrs.get(name) != after.xattrs.get(name)
    )
    if names:
        found.append("extended attributes " + show_text(", ".join(names)))
    return "; ".join(found) or "its attributes"


def _how(change: Change) -> str:
    by = change.by or change.path
    if change.cause == Cause.WHITEOUT:
        folder, _, name = by.rpartition(b"/")
        return f"whiteout {show_path((folder + b'/' if folder else b'') + b'.wh.' + name)}"
    if change.cause == Cause.OPAQUE:
        return f"opaque folder {show_path(by)}"
    if change.cause == Cause.TYPE_CHANGE:
        return f"{show_path(by)} is a folder no more"
    return show_text(change.cause) or "no cause known"


_WORDS: Mapping[str, Callable[[Change], str]] = {
    "linked": _linked,
    "created": _created,
    ChangeKind.DELETED: _deleted,
    ChangeKind.REDIRECTED: _redirected,
    ChangeKind.SHADOWED: _shadowed,
    ChangeKind.ATTRIBUTES: _attributes,
}
_DEEDS = {
    "linked": "adds hard links to {}",
    "created": "creates {} that are refused",
    "privileged": "adds {} with special rights",
    ChangeKind.DELETED: "deletes {}",
    ChangeKind.REPLACED: "replaces {}",
    ChangeKind.ATTRIBUTES: "changes owner, mode or attributes of {}",
    ChangeKind.REDIRECTED: "redirects {}",
    ChangeKind.SHADOWED: "hides {} behind other names",
}


def _summary(hits: Sequence[Hit]) -> str:
    first = hits[0]
    if all(_of_opaque_root(hit.change) for hit in hits):
        return _emptied(len(hits))
    noun = "path" if first.kind in ("created", "privileged") else "protected path"
    said = _DEEDS.get(first.kind, "changes {}").format(plural(len(hits), noun))
    if len({hit.group for hit in hits}) > 1:
        return f"{said}, such as {show_path(first.change.path)}"
    if first.kind == ChangeKind.DELETED:
        how = _how(first.change)
    else:
        how = f"by {show_path(first.change.by)}"
    return f"{said} ({how}), such as {show_path(first.change.path)}"


def _thing(entry: Entry) -> str:
    name = KIND_NAMES[entry.kind]
    return f"{name} to {_link(entry)}" if entry.kind in (SYMLINK, HARDLINK) else name


def _link(entry: Entry) -> str:
    return show_text((entry.link or b"").decode("utf-8", "backslashreplace"))


def _hash(entry: Entry) -> str:
    return entry.sha256.hex()[:12] + "…" if entry.sha256 else KIND_NAMES[entry.kind]


# --- evidence ----------------------------------------------------------------------------------


def _evidence_of_one(hit: Hit) -> dict[str, object]:
    change = hit.change
    found: dict[str, object] = {"change": str(hit.kind), "path": show_path(change.path)}
    if hit.glob:
        found["glob"] = hit.glob
    if change.cause:
        found["cause"] = show_text(change.cause)
    if change.by:
        found["by"] = show_path(change.by)
    if change.target:
        found["target"] = show_path(change.target)
    for name, entry in (("before", change.before), ("after", change.after)):
        if entry is not None:
            found[name] = _entry(entry)
    return found


def _evidence_of_many(hits: Sequence[Hit]) -> dict[str, object]:
    found: dict[str, object] = {
        "change": str(hits[0].kind),
        "total": len(hits),
        "paths": [show_path(hit.change.path) for hit in hits[:MAX_EXAMPLES]],
    }
    if len({hit.group for hit in hits}) == 1:
        found["cause"] = show_text(hits[0].change.cause)
        first = hits[0].change
        found["by"] = show_path(first.by if _of_opaque_root(first) else first.by or first.path)
    return found


def _entry(entry: Entry) -> dict[str, object]:
    found: dict[str, object] = {
        "type": KIND_NAMES[entry.kind],
        "mode": f"{entry.mode:04o}",
        "owner": f"{entry.uid}:{entry.gid}",
    }
    if entry.sha256 is not None:
        found["sha256"] = entry.sha256.hex()
    if entry.link is not None:
        found["link"] = _link(entry)
    if entry.device is not None:
        found["device"] = f"{entry.device[0]}:{entry.device[1]}"
    if entry.xattrs:
        found["xattrs"] = [show_text(name) for name in sorted(entry.xattrs)]
    return found
