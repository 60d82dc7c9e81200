"""Verdicts as they are kept: what was decided when, and how long that holds."""

from dataclasses import dataclass
from datetime import datetime

from layerproof.model.facts import COMMAND_LINE, Context
from layerproof.model.verdict import Verdict


@dataclass(frozen=True, slots=True)
class VerdictRecord:
    """One verdict. Times are aware, UTC.

    `id` is a digest over everything that the verdict was made from besides the time, in hex. With
    all that unchanged it is the verdict of every moment from `decided_at` until before
    `holds_until`.
    """

    id: str
    verdict: Verdict
    decided_at: datetime
    holds_until: datetime
    context: Context = COMMAND_LINE

    def holds(self, now: datetime) -> bool:
        """Whether nothing that depends on time alone has changed by `now`."""
        return self.decided_at <= now < self.holds_until
