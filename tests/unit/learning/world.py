"""A trained model on a small organisation, made once per process, and what tests ask of it."""

from dataclasses import dataclass
from datetime import timedelta
from functools import cache

from tests.unit.learning.organisation import START, Organisation, Work

from layerproof.learning.assess import Assessor
from layerproof.learning.history import Case, History
from layerproof.model.event import Event
from layerproof.model.image import Image
from layerproof.model.learned import Assessment
from layerproof.training.interface import LearnedModel, Stream, train

DAYS = 190
UNTIL = START + timedelta(days=150)
HOME, DEVELOPER, COUNTRY = "team0/app1", "ci0", "DE"
DEPS = Work("team0/app1-deps-x", packages=("lib010", "lib011"))
BUILT = Work("today", programs=("usr/local/bin/app1",))


@dataclass(frozen=True)
class World:
    """`stream` knows everything up to the last event of the organisation."""

    organisation: Organisation
    model: LearnedModel
    stream: Stream

    @property
    def base(self) -> Image:
        """The newest base of HOME's team."""
        pushed = [e for e in self.organisation.events if e.repository == "base/debian"]
        digest = pushed[-1].manifest_digest
        assert digest is not None
        record = self.organisation.index.image_by_manifest(digest)
        assert record is not None
        return record.image

    def event(
        self,
        *works: Work,
        repository: str = HOME,
        account: str = DEVELOPER,
        country: str = COUNTRY,
        tag: str = "1.200",
        **image: object,
    ) -> Event:
        """A push that is asked about; by default an ordinary one."""
        name = f"{repository}:{len(self.organisation.index._seen)}"
        made = self.organisation.image(
            works or (DEPS, BUILT),
            name,
            base=self.base,
            **image,  # type: ignore[arg-type]  # tests name the fields
        )
        return self.organisation.imagined(made, repository, account, country, tag)

    def score(self, event: Event, *, explain: bool = False) -> Assessment:
        """What the model says of it."""
        return self.stream.score(event, explain=explain)

    def case(self, event: Event) -> Case:
        """As the model sees it."""
        return self.stream.case(event)

    @property
    def history(self) -> History:
        """What the stream knows."""
        return self.stream.history

    @property
    def assessor(self) -> Assessor:
        """The model, ready."""
        return self.stream.assessor


@cache
def world() -> World:
    """Tests ask it and change nothing but add images."""
    organisation = Organisation()
    organisation.live(DAYS)
    model = train(organisation.index, UNTIL, seed=3)
    stream = Stream(model, organisation.index)
    for event in organisation.events:
        if event.at >= UNTIL:
            if event.repository.startswith("base/"):
                stream.confirm(str(event.manifest_digest))
            stream.observe(event)
    return World(organisation, model, stream)
