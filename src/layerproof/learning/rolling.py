"""A history that moves on, with a model that scores what comes: what a service does over months."""

import heapq

from layerproof.learning.assess import Assessor
from layerproof.learning.history import Case, History
from layerproof.model.event import EventKind
from layerproof.model.learned import Assessment, Outcome


class Rolling:
    """Cases come oldest first. Scores of pushes that ripen undisputed become known-good ones."""

    def __init__(self, assessor: Assessor, history: History) -> None:
        self.assessor = assessor
        self.history = history
        self._waiting: list[tuple[float, int, str, float, bool, str]] = []
        self._cases: dict[str, list[Case]] = {}
        self._order = 0

    def score(self, case: Case, *, explain: bool = False) -> Assessment:
        """From what was known before it. Changes nothing but the time."""
        self.advance(case.occasion.at.timestamp())
        return self.assessor.assess(self.history, case, explain=explain)

    def observe(self, case: Case, said: Assessment | None = None, *, scores: bool = True) -> None:
        """It happened. `said` is what `score` said of it; `scores=False`: it becomes no known-good
        one."""
        at, digest = case.occasion.at.timestamp(), case.occasion.manifest_digest or ""
        self.advance(at)
        if case.occasion.kind is EventKind.PUSH:
            if digest:
                self._cases.setdefault(digest, []).append(case)
            if scores:
                said = said or self.assessor.assess(self.history, case, explain=False)
                group = self.assessor.group(self.history, case)
                called = said.outcome is Outcome.UNTRUSTED
                self._order += 1
                waiting = (at + self.history.maturity, self._order, group, said.trust, called)
                if group:
                    heapq.heappush(self._waiting, (*waiting, digest))
        self.history.observe(case)

    def confirm(self, digest: str) -> None:
        """Somebody vouched for the image: its events count now."""
        self.history.confirm(digest)

    def dispute(self, digest: str) -> None:
        """Somebody denied the image: its events never count."""
        self.history.dispute(digest, self._cases.get(digest, ()))

    def advance(self, now: float) -> None:
        """Time goes on."""
        while self._waiting and self._waiting[0][0] <= now:
            _, _, group, trust, called, digest = heapq.heappop(self._waiting)
            if digest not in self.history.disputed:
                self.assessor.window.add(group, trust, called=called)
        self.history.advance(now)
