"""Withdrawals: layers that are refused everywhere, until somebody releases them."""

from dataclasses import dataclass
from datetime import datetime

from layerproof.model.digest import ChainId, DiffId


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """Who withdrew which layer, when, why; and whether it was released. Never deleted.

    It holds for the layer at its place (`chain_id`), and for its contents (`diff_id`) anywhere
    above a trusted base: the same bytes do not become good on another layer. Times are aware, UTC.
    """

    id: str  # stable, unique; shown to people and taken by `pull --release`
    chain_id: ChainId
    diff_id: DiffId
    reference: str  # the image that it was withdrawn with
    withdrawn_by: str
    withdrawn_at: datetime
    reason: str
    released_by: str = ""
    released_at: datetime | None = None
    release_reason: str = ""

    def active(self, now: datetime) -> bool:
        """Whether it holds at `now`."""
        return self.withdrawn_at <= now and (self.released_at is None or now < self.released_at)
