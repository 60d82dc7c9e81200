"""What the service keeps of its policy: revisions of the file, and exceptions made beside it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class PolicyRevision:
    """A policy as somebody put it. The newest one rules."""

    id: int
    text: str  # the file
    put_by: str
    put_at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class MadeException:
    """An exception made by the API. `document` is an entry of `exceptions`, as in a policy file."""

    id: str
    document: Mapping[str, object]
    made_by: str
    made_at: datetime
    ended_by: str = ""
    ended_at: datetime | None = None
