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


@dataclass(frozen=True, slots=True)
class ChangeSet:
    """All changes of one layer: a count per kind, and each notable change."""

    counts: Mapping[ChangeKind, int] = field(default_factory=dict)
    changes: tuple[Change, ...] = ()
