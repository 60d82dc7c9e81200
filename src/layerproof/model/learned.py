"""The words of learned trust: kinds of metadata, who controls a feature, what an assessment says.

Standard library only: rules and reports use these without loading anything of the model.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from layerproof.model.digest import ChainId, Digest
from layerproof.model.event import EventKind


class Kind(StrEnum):
    """Kinds of metadata, as the ablations name them."""

    CONTENTS = "contents"  # what layers do to the tree below, and what they bring
    NAME = "name"  # of repository, tag and packages, only in relation to names seen before
    REPOSITORY = "repository"  # the history of the repository itself
    REPOSITORIES = "repositories"  # the set of repositories: co-occurrence, counts only
    GEOGRAPHY = "geography"  # the country of the source
    PULLER = "puller"  # who pulled
    PUSHER = "pusher"  # who pushed, and the hour of it


ALL_KINDS = frozenset(Kind)


class Control(StrEnum):
    """Who decides what a feature says, and so what it may do."""

    ATTACKER = "attacker"  # whoever writes the image: may only lower trust
    RENTED = "rented"  # can be had for money: raises trust only beside hard evidence
    HARD = "hard"  # needs others, or time: may raise trust, capped


class Outcome(StrEnum):
    """What the model says. `abstain` is never quietly `trusted`."""

    TRUSTED = "trusted"
    ABSTAIN = "abstain"
    UNTRUSTED = "untrusted"


@dataclass(frozen=True, slots=True)
class Occasion:
    """One push (or pull) of an image: what context is made from. "" and None: not known."""

    at: datetime
    registry: str = ""
    repository: str = ""
    tag: str = ""
    account: str = ""
    country: str = ""
    manifest_digest: Digest | None = None
    chain_ids: tuple[ChainId, ...] = ()  # lowest first
    kind: EventKind = EventKind.PUSH


@dataclass(frozen=True, slots=True)
class Reason:
    """One feature's part in a score. All parts and the model's constant add up to the raw score."""

    feature: str
    kind: Kind
    value: int
    contribution: float  # log-odds; below 0 speaks against
    words: str


@dataclass(frozen=True, slots=True)
class Scored:
    """One model's answer about one row of features.

    `low` and `high` are the raw scores with everything unknown at its worst and at its best.
    """

    part: str  # "context" or "contents"
    position: int | None  # of the layer; None: the whole image
    trust: float  # 0 to 1, calibrated, of `low`
    best: float  # likewise, of `high`
    low: float
    high: float
    untrusted: bool = False  # even at its best, odder than the asked rate allows
    reasons: tuple[Reason, ...] = ()
    constant: float = 0.0


@dataclass(frozen=True, slots=True)
class Assessment:
    """What the model says about an image on an occasion.

    `trust` is the least of all parts; `p_value` the share of known-good images of the same class
    that look as odd or odder: below the asked rate, the image is untrusted. `smallest_rate` is the
    smallest false-positive rate that the history can vouch for.
    """

    outcome: Outcome
    trust: float
    p_value: float
    best_p_value: float  # with everything unknown at its best; the same when all is known
    smallest_rate: float
    alpha: float  # the asked false-positive rate
    group: str  # the class of repositories that it was compared with
    parts: tuple[Scored, ...] = ()
    reasons: tuple[str, ...] = ()  # in words, the weightiest first
    counterfactual: str = ""
    missing: tuple[str, ...] = ()  # what was not known, in words
    model: str = ""  # its digest


@dataclass(frozen=True, slots=True)
class LearnedFacts:
    """What learned trust says about one image, for the rules. No assessment: it abstains, and
    `reason` says why. `holds_until`: the first moment at which time alone may change it."""

    assessment: Assessment | None
    reason: str = ""
    holds_until: datetime | None = None

    @property
    def model(self) -> str | None:
        """Digest of the model; None if there is none."""
        return self.assessment.model if self.assessment is not None else None
