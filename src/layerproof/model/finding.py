"""Findings are data: one structure feeds terminal, JSON, API and SARIF."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from layerproof.model.digest import ChainId


class Status(StrEnum):
    """What a rule says: it failed, or it cannot tell. A pass makes no finding."""

    FAIL = "fail"
    UNKNOWN = "unknown"


class Severity(StrEnum):
    """From the mildest to the worst."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class Effect(StrEnum):
    """What a policy lets a finding do."""

    IGNORE = "ignore"
    ALERT = "alert"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a rule found on one layer (`position`, `chain_id`) or the image (None)."""

    rule: str
    status: Status
    severity: Severity
    message: str
    remedy: str
    position: int | None = None
    chain_id: ChainId | None = None
    evidence: Mapping[str, object] = field(default_factory=dict)  # plain JSON values
    effect: Effect = Effect.REFUSE  # set by the evaluator from the policy
