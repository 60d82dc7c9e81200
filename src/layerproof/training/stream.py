"""A stream of events, scored as they come: what a service does over months, in seconds."""

import heapq
from datetime import datetime

from layerproof.engine.cases import CaseReader
from layerproof.engine.ports import Index
from layerproof.learning.assess import Assessor
from layerproof.learning.conformal import Window
from layerproof.learning.history import Case
from layerproof.model.event import Event, EventKind
from layerproof.model.learned import Assessment
from layerproof.training.train import LearnedModel


class Stream:
    """See `training.interface`. Events come oldest first."""

    def __init__(self, model: LearnedModel, index: Index) -> None:
        self._history = model.history()
        settings = model.model.settings
        self._window = Window(model.model.scores, settings.window, settings.alpha)
        self._assessor = Assessor(model.model, model.digest, self._window)
        self._reader = CaseReader(index)
        self._waiting: list[tuple[float, int, str, float, str]] = []
        self._cases: dict[str, list[Case]] = {}
        self._order = 0

    def score(self, event: Event, *, explain: bool = False) -> Assessment:
        """What the model says of a push, from what was known before it. Changes nothing but the
        time."""
        self._advance(event.at)
        return self._assessor.assess(self._history, self._reader.case(event), explain=explain)

    def observe(self, event: Event, scored: Assessment | None = None) -> None:
        """It happened. `scored` is what `score` said of it, which spares scoring it again."""
        self._advance(event.at)
        case = self._reader.case(event)
        if event.kind is EventKind.PUSH:
            said = scored or self._assessor.assess(self._history, case, explain=False)
            due = event.at.timestamp() + self._history.maturity
            self._order += 1
            digest = str(event.manifest_digest or "")
            group = self._assessor.group(self._history, case)
            heapq.heappush(self._waiting, (due, self._order, group, said.trust, digest))
            if digest:
                self._cases.setdefault(digest, []).append(case)
        self._history.observe(case)

    def confirm(self, digest: str) -> None:
        """Somebody vouched for the image: its events count now."""
        self._history.confirm(digest)

    def dispute(self, digest: str) -> None:
        """Somebody denied the image: its events never count."""
        self._history.dispute(digest, self._cases.get(digest, ()))

    def _advance(self, at: datetime) -> None:
        """Scores of what ripened without dispute become known-good ones."""
        now = at.timestamp()
        while self._waiting and self._waiting[0][0] <= now:
            _, _, group, trust, digest = heapq.heappop(self._waiting)
            if digest not in self._history.disputed:
                self._window.add(group, trust)
        self._history.advance(now)
