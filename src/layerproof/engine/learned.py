"""What learned trust says about an image at verdict time: from the index alone.

1. The model in use, its state and its known-good scores lie in the index (`Index.put_learned`),
   checked when they were put there. Whoever can write the index can declare trust as well.
2. The history is taken as of the beginning of the day: evidence is counted in days, so all
   verdicts of a day, at every gate, are the same.
3. The occasion is the first push of the image into the repository that it is asked for; failing
   that, its first known push anywhere. Nobody is known to have pushed it: then that is missing, and
   the model abstains unless it is bad even at its best.
4. Pending events of the history ripen by themselves for as long as the days of maturity; a history
   that is older than that says nothing, and the model abstains.
5. Loaded once per process and champion; a lock, because a history moves forward when it is read.
"""

import threading
from collections import OrderedDict
from datetime import UTC, datetime, timedelta

import msgspec

from layerproof.engine.cases import CaseReader
from layerproof.engine.ports import Index
from layerproof.errors import ModelError
from layerproof.learning.assess import Assessor
from layerproof.learning.conformal import Window
from layerproof.learning.history import Case, History
from layerproof.learning.model import known_model
from layerproof.learning.profile import config_of
from layerproof.learning.snapshot import read_history
from layerproof.model.activity import Activity
from layerproof.model.event import EventKind
from layerproof.model.image import Image
from layerproof.model.learned import Assessment, LearnedFacts, Occasion

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
_NO_MODEL = "no model was trained here; layerproof learn train makes one"
_MOST_LOADED = 2


class Pointer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Which model has a part to play, and which state goes with it."""

    model: str
    state: str
    at: str
    by: str


class Loaded:
    """A model with its history, ready to be asked by several threads."""

    def __init__(self, assessor: Assessor, history: History) -> None:
        self.assessor = assessor
        self.history = history
        self.as_of = datetime.fromtimestamp(history.now, UTC)
        self._lock = threading.Lock()

    def assess(self, case: Case, now: datetime, *, explain: bool = True) -> Assessment:
        """As of the beginning of the day."""
        day = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        with self._lock:
            self.history.advance(day.timestamp())
            return self.assessor.assess(self.history, case, explain=explain)


_loaded: OrderedDict[tuple[str, str], Loaded] = OrderedDict()
_loading = threading.Lock()


def pointer(index: Index, role: str = CHAMPION) -> Pointer | None:
    """Which model plays this part; None if there is none. Raises ModelError."""
    found = index.cached(f"learned {role}")
    if not found:
        return None
    try:
        return msgspec.json.decode(found, type=Pointer)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise ModelError(f"the {role} is not readable: {error}") from error


def load(index: Index, role: str = CHAMPION) -> Loaded | None:
    """The model of this part, made ready. Raises ModelError."""
    found = pointer(index, role)
    if found is None:
        return None
    key = (found.model, found.state)
    with _loading:
        known = _loaded.get(key)
        if known is None:
            known = _loaded[key] = _read(index, found)
            while len(_loaded) > _MOST_LOADED:
                _loaded.popitem(last=False)
        return known


def learned_facts(index: Index, image: Image, now: datetime) -> LearnedFacts:
    """For the rules. A model that cannot be used abstains, and says why."""
    tomorrow = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    tomorrow += timedelta(days=1)
    try:
        loaded = load(index)
    except ModelError as error:
        return LearnedFacts(None, error.message)
    if loaded is None:
        return LearnedFacts(None, _NO_MODEL)
    old = (now - loaded.as_of).days
    if old > loaded.assessor.model.settings.maturity_days:
        return LearnedFacts(None, f"its history is {old} days old; layerproof learn refresh")
    case = case_of(index, image, now)
    return LearnedFacts(loaded.assess(case, now), holds_until=tomorrow)


def case_of(index: Index, image: Image, now: datetime) -> Case:
    """The image with what the index knows of it and of its first push."""
    pushed = _push(index, image, now)
    reader = CaseReader(index)
    registry, repository, tag = _name(image.reference)
    occasion = Occasion(
        at=pushed.first_at if pushed else now,
        registry=pushed.registry if pushed else registry,
        repository=pushed.repository if pushed else repository,
        tag=tag,
        account=pushed.account if pushed else "",
        country=pushed.country if pushed else "",
        manifest_digest=image.manifest_digest,
        chain_ids=tuple(layer.chain_id for layer in image.layers),
    )
    return Case(occasion, reader.profiles(image), config_of(image))


def _push(index: Index, image: Image, now: datetime) -> Activity | None:
    digests = [d for d in (image.manifest_digest, image.index_digest) if d is not None]
    found = index.activity_of_images(digests) if digests else {}
    pushes = [
        activity
        for digest in digests
        for activity in found.get(digest, ())
        if activity.kind is EventKind.PUSH and activity.first_at <= now
    ]
    registry, repository, _ = _name(image.reference)
    here = [p for p in pushes if (p.registry, p.repository) == (registry, repository)]
    return min(here or pushes, key=lambda p: (p.first_at, p.repository, p.account), default=None)


def _name(reference: str) -> tuple[str, str, str]:
    """Registry, repository and tag; empty where the reference is not a registry's."""
    transport, _, rest = reference.partition("://")
    if transport != "docker":
        return "", "", ""
    name = rest.partition("@")[0]
    head, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:
        head, tag = name, ""
    registry, _, repository = head.partition("/")
    return registry, repository, tag


def _read(index: Index, found: Pointer) -> Loaded:
    data = index.cached(f"learned model {found.model}")
    state = index.cached(f"learned state {found.state}")
    if data is None or state is None:
        raise ModelError(
            "the model in use is not in the index", remedy="train again: layerproof learn train"
        )
    model = known_model(data)
    scores = index.cached(f"learned window {found.state}")
    try:
        known = msgspec.json.decode(scores, type=dict[str, list[float]]) if scores else model.scores
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise ModelError(f"the known-good scores are not readable: {error}") from error
    window = Window(known, model.settings.window, model.settings.alpha)
    return Loaded(Assessor(model, found.model, window), read_history(state))
