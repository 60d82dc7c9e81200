"""A stream of events, scored as they come."""

from layerproof.engine.cases import CaseReader
from layerproof.engine.ports import Index
from layerproof.learning.assess import Assessor
from layerproof.learning.history import Case, History
from layerproof.learning.rolling import Rolling
from layerproof.model.event import Event
from layerproof.model.learned import Assessment
from layerproof.training.train import LearnedModel


class Stream:
    """See `training.interface`. Events come oldest first."""

    def __init__(self, model: LearnedModel, index: Index) -> None:
        self._rolling = Rolling(model.assessor(), model.history())
        self._reader = CaseReader(index)

    def score(self, event: Event, *, explain: bool = False) -> Assessment:
        """What the model says of a push, from what was known before it. Changes nothing but the
        time."""
        return self._rolling.score(self.case(event), explain=explain)

    def observe(self, event: Event, scored: Assessment | None = None) -> None:
        """It happened. `scored` is what `score` said of it, which spares scoring it again."""
        self._rolling.observe(self.case(event), scored)

    def confirm(self, digest: str) -> None:
        """Somebody vouched for the image: its events count now."""
        self._rolling.confirm(digest)

    def dispute(self, digest: str) -> None:
        """Somebody denied the image: its events never count."""
        self._rolling.dispute(digest)

    def case(self, event: Event) -> Case:
        """The event with what the index knows of its image."""
        return self._reader.case(event)

    @property
    def history(self) -> History:
        """What is known so far."""
        return self._rolling.history

    @property
    def assessor(self) -> Assessor:
        """The model, ready."""
        return self._rolling.assessor
