"""How long an index keeps what it need not keep."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Retention:
    """Moments (aware, UTC): what is older goes; None keeps all. What events add up to stays."""

    events: datetime | None = None
    verdicts: datetime | None = None
    images: datetime | None = None  # last seen before, never pulled or started since, not trusted


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many rows of each went."""

    events: int = 0
    verdicts: int = 0
    images: int = 0
    layers: int = 0
