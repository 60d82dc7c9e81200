"""What people are told, and how often: pure; `layerproof.notifiers` sends it.

1. The same thing is told once, and again only after a while: a container that is restarted every
   second must not drown what else happens.
2. In a given time no more than so many notices go out; of those that were held back, the number is
   told with the next one.
"""

from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from layerproof.rules.text import show_text

MOST_TEXT = 2000
_MOST_KEPT = 10_000


class Urgency(StrEnum):
    """How soon somebody should look."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to tell. Texts come from images and runtimes: they are made fit to be shown."""

    kind: str  # stable words: "refused", "new-layer", "trust-ended", "reaction", "withdrawn"
    title: str
    text: str
    at: datetime
    urgency: Urgency = Urgency.WARNING
    fields: Mapping[str, str] = field(default_factory=dict)
    about: str = ""  # what makes two notices the same, with the kind
    held_back: int = 0

    def shown(self) -> "Notice":
        """The same, safe for a terminal, a chat or a mail: one line each, bounded."""
        return replace(
            self,
            title=show_text(self.title, 200),
            text=show_text(self.text, MOST_TEXT),
            fields={show_text(k, 60): show_text(v, 300) for k, v in self.fields.items()},
        )


class Notifier(Protocol):
    """A way to tell people. Raises UnreachableError, never with a secret in it."""

    @property
    def name(self) -> str:
        """For logs: never an address with a secret in it."""

    def send(self, notice: Notice) -> None:
        """Tell it."""


class Throttle:
    """Which notices go out."""

    def __init__(
        self,
        again: timedelta = timedelta(hours=1),
        most: int = 30,
        period: timedelta = timedelta(minutes=1),
    ) -> None:
        self._again = again
        self._most = most
        self._period = period
        self._told: OrderedDict[tuple[str, str], datetime] = OrderedDict()
        self._sent: deque[datetime] = deque()
        self._held_back = 0

    def passes(self, notice: Notice) -> Notice | None:
        """The notice to send, or None."""
        key, now = (notice.kind, notice.about), notice.at
        last = self._told.get(key)
        if last is not None and last <= now < last + self._again:
            return None
        while self._sent and not self._sent[0] <= now < self._sent[0] + self._period:
            self._sent.popleft()
        if len(self._sent) >= self._most:
            self._held_back += 1
            return None
        self._sent.append(now)
        self._told[key] = now
        self._told.move_to_end(key)
        while len(self._told) > _MOST_KEPT:
            self._told.popitem(last=False)
        held, self._held_back = self._held_back, 0
        return replace(notice.shown(), held_back=held)
