"""Every feature, declared once: its kind, who controls it, which way it may move trust, its words.

1. A value is a small whole number from 0 to `top`. There is no NaN and no float; what is not known
   is an interval from the worst to the best value (`Row`).
2. `up`: more of it may raise trust, and never lowers it. Not `up`: it may only lower trust. What an
   attacker controls is never `up`.
3. What can be rented is, by how it is computed, 0 without hard evidence (`learning.context`), so
   that it raises trust only beside that.
4. `top` is the cap of hard evidence: more than that is worth no more.
"""

from collections.abc import Collection, Sequence
from hashlib import sha256
from typing import NamedTuple

from layerproof.model.learned import Control, Kind

TOP = 7  # of a count: `bucket` of 33 and more


class Feature(NamedTuple):
    """One column. `words` has `{}` for what the value stands for."""

    name: str
    kind: Kind
    control: Control
    up: bool
    words: str
    top: int = TOP
    exact: bool = False  # the value is the count itself, not its bucket


def bucket(count: int) -> int:
    """0, 1, 2, up to 4, up to 8, up to 16, up to 32, more: 0 to 7."""
    return min((count - 1).bit_length() + 1, TOP) if count > 0 else 0


def least(value: int, feature: Feature) -> int:
    """The smallest count that has this value."""
    return value if feature.exact or value < 3 else (1 << (value - 2)) + 1


_A, _R, _H = Control.ATTACKER, Control.RENTED, Control.HARD

CONTEXT: tuple[Feature, ...] = (
    Feature("pusher-here", Kind.PUSHER, _H, True, "days on which the pusher pushed here: {}"),
    Feature("pusher-days", Kind.PUSHER, _H, True, "days on which the pusher pushed anything: {}"),
    Feature("pusher-age", Kind.PUSHER, _H, True, "weeks since the pusher's first push: {}"),
    Feature("pusher-below", Kind.PUSHER, _H, True, "days on which he pushed below this name: {}"),
    Feature("pushers-here", Kind.PUSHER, _H, True, "other accounts that push here: {}"),
    Feature("pusher-hour", Kind.PUSHER, _R, True, "days on which he pushed around this hour: {}"),
    Feature("pusher-strays", Kind.PUSHER, _A, False, "other new places he pushed to lately: {}"),
    Feature("repository-days", Kind.REPOSITORY, _H, True, "days with pushes here: {}"),
    Feature("repository-age", Kind.REPOSITORY, _H, True, "weeks since the first push here: {}"),
    Feature("repository-quiet", Kind.REPOSITORY, _A, False, "weeks without a push here: {}"),
    Feature("layers-here", Kind.REPOSITORY, _H, True, "lowest layers known from here: {}"),
    Feature("layers-known", Kind.REPOSITORIES, _H, True, "lowest layers known from anywhere: {}"),
    Feature("layer-repositories", Kind.REPOSITORIES, _H, True,
            "trusted repositories with its lowest layer: {}"),
    Feature("pusher-repositories", Kind.REPOSITORIES, _H, True,
            "trusted repositories of the pusher: {}"),
    Feature("co-repositories", Kind.REPOSITORIES, _H, True,
            "trusted repositories that he shares with pushers of this one: {}"),
    Feature("country-pusher", Kind.GEOGRAPHY, _R, True,
            "days on which he pushed from this country: {}"),
    Feature("country-here", Kind.GEOGRAPHY, _R, True,
            "days with pushes here from this country: {}"),
    Feature("country-days", Kind.GEOGRAPHY, _R, True,
            "days with any pushes from this country: {}"),
    Feature("country-pulls", Kind.GEOGRAPHY, _R, True,
            "days with pulls from here to this country: {}"),
    Feature("pullers-here", Kind.PULLER, _H, True, "other accounts that pull from here: {}"),
    Feature("layer-pullers", Kind.PULLER, _H, True,
            "other accounts that pulled images with its lowest layer: {}"),
    Feature("pusher-pulls", Kind.PULLER, _H, True, "days on which the pusher pulled from here: {}"),
    Feature("name-near", Kind.NAME, _A, False,
            "a trusted repository's name is one slip away: {}", 1, True),
    Feature("name-below", Kind.NAME, _H, True, "days with pushes below the same name: {}"),
    Feature("tag-form-new", Kind.NAME, _A, False, "a form of tag unknown here: {}", 1, True),
)  # fmt: skip

CONTENTS: tuple[Feature, ...] = (
    Feature("layer-known-here", Kind.CONTENTS, _H, True,
            "the layer is known from here: {}", 1, True),
    Feature("contents-known", Kind.CONTENTS, _H, True,
            "accounts that pushed these contents: {}", 3, True),
    Feature("contents-here", Kind.CONTENTS, _H, True, "days with known contents here: {}"),
    Feature("programs-new", Kind.CONTENTS, _A, False,
            "unknown programs of no package in system places: {}"),
    Feature("programs-more", Kind.CONTENTS, _A, False, "of these, more than usual here: {}"),
    Feature("applications-new", Kind.CONTENTS, _A, False,
            "unknown programs of no package in places of applications: {}"),
    Feature("applications-more", Kind.CONTENTS, _A, False, "of these, more than usual here: {}"),
    Feature("altered", Kind.CONTENTS, _A, False, "files that differ from their package: {}"),
    Feature("altered-more", Kind.CONTENTS, _A, False, "of these, more than usual here: {}"),
    Feature("overrides", Kind.CONTENTS, _A, False, "system files of lower layers it changes: {}"),
    Feature("overrides-more", Kind.CONTENTS, _A, False, "of these, more than usual here: {}"),
    Feature("deletions", Kind.CONTENTS, _A, False, "system files of lower layers it deletes: {}"),
    Feature("deletions-more", Kind.CONTENTS, _A, False, "of these, more than usual here: {}"),
    Feature("privileged", Kind.CONTENTS, _A, False, "files that give more rights: {}"),
    Feature("privileged-more", Kind.CONTENTS, _A, False, "of these, more than usual here: {}"),
    Feature("sensitive", Kind.CONTENTS, _A, False, "additions in places that steer a system: {}"),
    Feature("sensitive-more", Kind.CONTENTS, _A, False, "of these, more than usual here: {}"),
    Feature("secrets", Kind.CONTENTS, _A, False, "secrets: {}"),
    Feature("scripts-new", Kind.CONTENTS, _A, False, "package scripts seen nowhere before: {}"),
    Feature("packages-new", Kind.CONTENTS, _A, False, "packages seen nowhere before: {}"),
    Feature("packages-more", Kind.CONTENTS, _A, False, "of these, more than usual here: {}"),
    Feature("packages-near", Kind.NAME, _A, False,
            "new packages whose name is one slip from a known one: {}", 2, True),
    Feature("deeds-new", Kind.CONTENTS, _A, False, "sorts of changes seen nowhere before: {}"),
    Feature("deeds-new-here", Kind.CONTENTS, _A, False, "sorts of changes unknown here: {}"),
    Feature("config-new", Kind.CONTENTS, _A, False,
            "ways of running seen nowhere before: {}", 3, True),
    Feature("config-new-here", Kind.CONTENTS, _A, False,
            "ways of running unknown here: {}", 3, True),
    Feature("unread", Kind.CONTENTS, _A, False, "files that analysers could not use: {}"),
)  # fmt: skip


class Row(NamedTuple):
    """One row of features: with what is unknown at its worst, and at its best. The same object
    twice where everything is known."""

    low: tuple[int, ...]
    high: tuple[int, ...]
    missing: tuple[str, ...] = ()  # what is unknown, in words

    @property
    def certain(self) -> bool:
        """Whether everything was known."""
        return self.low == self.high


def worst(feature: Feature) -> int:
    """The value that speaks most against."""
    return 0 if feature.up else feature.top


def best(feature: Feature) -> int:
    """The value that speaks most in favour."""
    return feature.top if feature.up else 0


def chosen(features: Sequence[Feature], kinds: Collection[Kind]) -> tuple[int, ...]:
    """Columns of these kinds."""
    return tuple(at for at, feature in enumerate(features) if feature.kind in kinds)


def schema_digest() -> str:
    """Identity of all declarations: a model that was trained with others is refused."""
    lines = [
        f"{f.name} {f.kind} {f.control} {f.up} {f.top} {f.exact}" for f in (*CONTEXT, *CONTENTS)
    ]
    return "sha256:" + sha256("\n".join(lines).encode()).hexdigest()
