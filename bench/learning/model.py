"""The product's model as a scorer: trained on the index up to the start, then walked forward.

It takes no attack labels, so every family is one that it never saw. Times are the processor's, so
that a busy machine does not change them.
"""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from layerproof.model.event import Event
from layerproof.training.interface import (
    ALL_KINDS,
    Assessment,
    Kind,
    LearnedModel,
    Outcome,
    Stream,
    TrainingOptions,
    train,
)
from learning.cases import Case, Score, Track

PLACES = frozenset({Kind.GEOGRAPHY, Kind.PULLER})


def kinds_of(track: Track) -> frozenset[Kind]:
    """The kinds of metadata that a track has at all."""
    left_out: set[Kind] = set() if track.has_contents else {Kind.CONTENTS}
    if not track.has_places:
        left_out |= PLACES
    return ALL_KINDS - left_out


@dataclass(slots=True)
class Learned:
    """See the module. `kinds`: those that it may use; None: all that the track has."""

    name: str = "learned trust"
    kinds: Collection[Kind] | None = None
    options: TrainingOptions = field(default_factory=TrainingOptions)
    needs_attacks: bool = False
    accepted: Sequence[Event] = ()  # pushes of an attacker that nobody stopped
    seconds: list[float] = field(default_factory=list)  # every first scoring took, reading included
    warm: list[float] = field(default_factory=list)  # and again, with the image's facts at hand
    training: list[float] = field(default_factory=list)  # every fit took
    _track: Track | None = None
    _stream: Stream | None = None
    _position: int = 0
    _events: Sequence[Event] = ()

    def fit(self, track: Track, until: datetime, seed: int, known_attacks: Sequence[Case]) -> None:
        """See `Scorer`."""
        kinds = kinds_of(track) if self.kinds is None else frozenset(self.kinds)
        start = time.process_time()
        model = self.train(track, until, seed, kinds)
        self.training.append(time.process_time() - start)
        self._stream = Stream(model, track.index)
        self._events = sorted(
            [*track.events, *self.accepted], key=lambda event: (event.at, event.identity)
        )
        self._position = sum(event.at < until for event in self._events)

    def train(
        self, track: Track, until: datetime, seed: int, kinds: frozenset[Kind]
    ) -> LearnedModel:
        """One model."""
        return train(track.index, until=until, seed=seed, kinds=kinds, options=self.options)

    def score(self, cases: Sequence[Case]) -> list[Score]:
        """See `Scorer`."""
        assert self._stream is not None, "fit comes first"
        said: dict[str, Assessment] = {}
        found: list[Score] = []
        for case in cases:
            self._walk(case.event.at, said)
            start = time.thread_time()
            assessment = self._stream.score(case.event)
            middle = time.thread_time()
            self._stream.score(case.event)
            self.warm.append(time.thread_time() - middle)
            self.seconds.append(middle - start)
            said[case.event.identity] = assessment
            found.append(
                Score(
                    assessment.trust,
                    assessment.outcome is Outcome.ABSTAIN,
                    assessment.outcome is Outcome.UNTRUSTED,
                    assessment.p_value,
                    assessment.smallest_rate,
                )
            )
        return found

    def _walk(self, until: datetime, said: dict[str, Assessment]) -> None:
        assert self._stream is not None, "fit comes first"
        while self._position < len(self._events) and self._events[self._position].at < until:
            event = self._events[self._position]
            self._stream.observe(event, said.pop(event.identity, None))
            self._position += 1
