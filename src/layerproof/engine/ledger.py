"""What the service keeps besides the layer index, as a port: tokens, the audit, its policy."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from layerproof.model.access import AccessToken, AuditRecord
from layerproof.model.amendment import MadeException, PolicyRevision
from layerproof.model.gate import Tally
from layerproof.model.page import Cursor, Page


class Ledger(Protocol):
    """Every `put_*` and `add_*` is one transaction. Raises IndexUnavailableError."""

    # --- tokens ---
    def put_token(self, token: AccessToken) -> None:
        """Insert, or replace the one of the same id."""

    def add_token(self, token: AccessToken, instead_of: AccessToken | None = None) -> bool:
        """Insert a new one, and replace `instead_of` by what it is from now on, both or neither.
        False, and nothing is done, where another token has the name and is good."""

    def tokens(self) -> list[AccessToken]:
        """All, the oldest first; dead ones too."""

    # --- audit ---
    def add_audit(self, record: AuditRecord) -> None:
        """Append; `id` is given by the ledger."""

    def audit(self, limit: int, after: Cursor | None = None) -> Page[AuditRecord]:
        """Some of it, newest first."""

    # --- policy ---
    def add_policy(self, revision: PolicyRevision, after: int | None = None) -> bool:
        """Append; `id` is given by the ledger. `after`: only if this is the newest one's id (0:
        there is none), else nothing is done. Whether it was."""

    def policies(self, limit: int = 1) -> Sequence[PolicyRevision]:
        """The newest ones, newest first."""

    def put_exception(self, made: MadeException) -> None:
        """Insert, or replace the one of the same id (its end)."""

    def exceptions(self) -> list[MadeException]:
        """All, the oldest first; ended ones too."""

    # --- what gates answered ---
    def add_tallies(self, tallies: Sequence[Tally]) -> None:
        """Add to the counts of the same answers: all texts and words alike."""

    def tallies(self, since: datetime | None = None) -> list[Tally]:
        """Those with an answer since then, the last one first."""

    def prune_tallies(self, before: datetime) -> int:
        """Delete those whose last answer is older; how many."""

    # --- what depends on all of it ---
    def access_state(self) -> str:
        """Another text after every change of tokens, policy and exceptions."""

    def close(self) -> None:
        """Close connections."""


class States(Protocol):
    """What every answer is held against; read on an event loop, thousands of times a second."""

    async def read(self) -> tuple[str, str]:
        """`Index.state` and `Ledger.access_state`. Raises IndexUnavailableError."""
