"""Verdicts as they are kept: what was decided when, and how long that holds."""

from dataclasses import dataclass
from datetime import datetime

from layerproof.model.facts import COMMAND_LINE, Context
from layerproof.model.verdict import Verdict


@dataclass(frozen=True, slots=True)
class VerdictRecord:
    """One verdict. Times are aware, UTC.

    `made_from` is the sha256 (32 bytes) over everything that the verdict was made from besides the
    time. With all that unchanged it is the verdict of every moment from `decided_at` until before
    `holds_until`.
    """

    id: str  # hexadecimal; unique
    made_from: bytes
    verdict: Verdict
    decided_at: datetime
    holds_until: datetime
    context: Context = COMMAND_LINE

    def holds(self, now: datetime) -> bool:
        """Whether nothing that depends on time alone has changed by `now`."""
        return self.decided_at <= now < self.holds_until
