"""Baselines that need no training: what a shop without a model does.

Each answers with the share of its own test that a push passes, 1 for all of it; several are plain
yes or no. What was accepted before counts as known at once, as such lists are kept in practice.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from layerproof.model.digest import ChainId, Digest
from layerproof.model.event import Event
from learning.axes import CONTEXT, NOVELTIES, ContentAxes, context_axes, images_of
from learning.cases import Case, Score, Track
from learning.history import History, walk


class Judge(Protocol):
    """A baseline's view of one push: trust in 0…1."""

    def __call__(self, event: Event, history: History) -> float: ...


def chain_prefix(event: Event, history: History) -> float:
    """The share of layers, from the lowest up, that some image pushed before has as well."""
    layers = history.layers(event)
    if not layers:
        return 0.0
    known = 0
    while known < len(layers) and layers[known] in history.chains:
        known += 1
    return known / len(layers)


def repository_list(event: Event, history: History) -> float:
    """The repository has been pushed to."""
    return float(event.repository in history.by_repository)


def owner_list(event: Event, history: History) -> float:
    """The account has pushed to this repository."""
    return float((event.repository, event.account) in history.by_pair)


def always_last(event: Event, history: History) -> float:
    """The account that pushed there last, on the base that was used last."""
    if history.last_account.get(event.repository) != event.account:
        return 0.0
    layers = history.layers(event)
    return float(not layers or history.base_of.get(event.repository) == layers[0])


def novelty(event: Event, history: History) -> float:
    """How many of the things that can be new are not."""
    axes = context_axes(event, history)
    new = sum(axes[number] for number in NOVELTIES)
    layers = history.layers(event)
    new += float(bool(layers) and layers[0] not in history.chains)
    hours = axes[CONTEXT.index("share of pushes near this hour")]
    new += float(axes[1] == 0 and hours == 0)
    return 1 - new / (len(NOVELTIES) + 2)


@dataclass(slots=True)
class Walked:
    """A baseline that only walks forward."""

    name: str
    judge: Judge
    needs_attacks: bool = False
    _track: Track | None = None
    _history: History = field(default_factory=History)

    def fit(self, track: Track, until: datetime, seed: int, known_attacks: Sequence[Case]) -> None:
        """Nothing but the history counts."""
        self._track = track

    def score(self, cases: Sequence[Case]) -> list[Score]:
        """See `Scorer`."""
        assert self._track is not None, "fit comes first"
        asked = [(case.event, case) for case in cases]
        start = History(images_of(self._track.index) if self._track.has_contents else {})
        return [
            Score(self.judge(event, history))
            for history, event, _ in walk(self._track.events, asked, start)
        ]


def simple_baselines(track: Track) -> list[Walked]:
    """Those that say something about such a track."""
    found = [
        Walked("repository allow-list", repository_list),
        Walked("repository + owner allow-list", owner_list),
        Walked("always last seen", always_last),
        Walked("novelty count", novelty),
    ]
    if track.has_contents:
        found.insert(0, Walked("exact chain prefix", chain_prefix))
    return found


# --- rows for those that are trained -------------------------------------------------------------


@dataclass(slots=True)
class AxisRows:
    """A row of numbers for each case, by the history before it; every case is worked out once."""

    track: Track
    _images: dict[Digest, tuple[ChainId, ...]] = field(init=False)
    _contents: ContentAxes = field(init=False)
    _known: dict[str, list[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._images = images_of(self.track.index) if self.track.has_contents else {}
        self._contents = ContentAxes(self.track.index)

    def of(self, cases: Sequence[Case]) -> list[list[float]]:
        """One for each, in the order given, which is that of time."""
        asked = [(c.event, c) for c in cases if c.event.identity not in self._known]
        for history, event, _ in walk(self.track.events, asked, History(self._images)):
            row = context_axes(event, history)
            if self._images:
                row += self._contents.of(event, history)
            self._known[event.identity] = row
        return [self._known[case.event.identity] for case in cases]
