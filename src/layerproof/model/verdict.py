"""Verdicts per layer and per image, and the decision that a gate takes from one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from layerproof.model.digest import ChainId, Digest
from layerproof.model.finding import Finding


class Trust(StrEnum):
    """`undecided` is never quietly `trusted`. Ordered from best to worst in `TRUST_ORDER`."""

    TRUSTED = "trusted"
    UNDECIDED = "undecided"
    UNTRUSTED = "untrusted"


TRUST_ORDER = (Trust.TRUSTED, Trust.UNDECIDED, Trust.UNTRUSTED)


class Decision(StrEnum):
    """What a gate does."""

    ADMIT = "admit"
    ALERT = "alert"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Base:
    """The trusted run of lowest layers."""

    trusted_image: str  # the reference under which it was trusted
    chain_id: ChainId  # its top
    layers: int  # how many layers it spans


@dataclass(frozen=True, slots=True)
class LayerVerdict:
    """One layer's verdict."""

    position: int
    chain_id: ChainId
    verdict: Trust
    in_base: bool
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """One image's verdict; `inputs` is all that it was made from, so that it can be replayed."""

    reference: str
    manifest_digest: Digest | None
    config_digest: Digest
    verdict: Trust
    decision: Decision
    base: Base | None
    layers: tuple[LayerVerdict, ...]
    findings: tuple[Finding, ...]  # those on the whole image
    inputs: Mapping[str, object] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    message: str = ""  # what the policy wants whoever is refused to know
