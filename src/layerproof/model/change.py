"""What one layer does to the tree of the layers below it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from layerproof.model.entry import Entry


class ChangeKind(StrEnum):
    """Stable words; they appear in machine output."""

    ADDED = "added"  # nothing stood there
    REPLACED = "replaced"  # other contents, another type or another link target
    IDENTICAL = "identical"  # the same again: type, contents, mode, owner, link, xattrs
    ATTRIBUTES = "attributes"  # same contents; mode, owner or xattrs differ
    DELETED = "deleted"  # by whiteout, opaque folder, or because a parent changed its type
    REDIRECTED = "redirected"  # reached through, or moved away by, a link: see Change.target
    SHADOWED = "shadowed"  # a name earlier in PATH or the library path hides it: see Change.target


class Cause(StrEnum):
    """Why a change happened, or why an ADDED one is listed. `Change.cause` holds one of these."""

    # DELETED
    WHITEOUT = "whiteout"
    OPAQUE = "opaque"
    # DELETED, REPLACED, REDIRECTED: what stood there was of another type
    TYPE_CHANGE = "type-change"
    # REDIRECTED
    SYMLINKED_PARENT = "symlinked-parent"  # `by` is the link that stands among the parents
    LINK_TARGET = "link-target"  # the link led to a folder, and leads elsewhere now
    # the link is as it was; `by` and `target` name the path on its way that changed
    LINK_TARGET_CHANGED = "link-target-changed"
    # ADDED, REPLACED, ATTRIBUTES
    HARDLINK = "hardlink"  # an inode of a lower layer: `target` (ATTRIBUTES: `by`) names the other
    MISSING_HARDLINK = "missing-hardlink"  # the target does not exist
    # SHADOWED
    SEARCH_PATH = "search-path"  # a command, in the order of PATH
    LIBRARY_PATH = "library-path"  # a shared library, in the order of ld.so
    # ADDED: why it is listed
    SETUID = "setuid"  # setuid or setgid
    CAPABILITY = "capability"
    DEVICE = "device"
    SENSITIVE_PATH = "sensitive-path"  # layerproof.oci.additions
    REQUESTED = "requested"  # the caller of `Tree.apply` asked for it


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one path. IDENTICAL and plain ADDED ones are only counted, not listed."""

    kind: ChangeKind
    path: bytes  # the path below that is changed (for SHADOWED: the one that is hidden)
    before: Entry | None
    after: Entry | None
    cause: str = ""  # "whiteout", "opaque", "type-change", "symlinked-parent", "hardlink", …
    by: bytes = b""  # the entry of this layer that did it, when it is not `path`
    target: bytes = b""  # REDIRECTED: where it leads now · SHADOWED: the path that hides it
    # · REPLACED: where the new symlink, or else the old one, leads · hard links: the linked path
    hidden: int = 0  # how many lower paths beneath `path` went with it; each is listed as DELETED


@dataclass(frozen=True, slots=True)
class ChangeSet:
    """All changes of one layer: a count per kind, and each notable change."""

    counts: Mapping[ChangeKind, int] = field(default_factory=dict)
    changes: tuple[Change, ...] = ()  # sorted by path
    absent_whiteouts: int = 0  # whiteouts of what no lower layer has; they change nothing
