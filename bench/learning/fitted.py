"""Baselines that are trained: logistic regression on injected attacks, and an isolation forest.

The regression is what most would build first: honest pushes against simulated attacks. It is given
the attacks of all families but the one that it is tried on. The forest sees honest pushes alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
from sklearn.ensemble import IsolationForest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from layerproof.model.event import EventKind
from learning.baselines import AxisRows
from learning.cases import Case, Score, Track

MOST_ROWS = 8_000  # honest pushes of the training, the latest ones
WARM_UP = 200  # pushes at the beginning, when everything is new


def _honest(track: Track, until: datetime) -> list[Case]:
    pushes = [e for e in track.events if e.kind is EventKind.PUSH and e.at < until]
    return [Case(event) for event in pushes[WARM_UP:][-MOST_ROWS:]]


@dataclass(slots=True)
class LogisticBaseline:
    """Logistic regression on the axes."""

    rows: AxisRows
    name: str = "logistic regression"
    needs_attacks: bool = True
    _model: Any = None

    def fit(self, track: Track, until: datetime, seed: int, known_attacks: Sequence[Case]) -> None:
        """See `Scorer`."""
        cases = sorted(
            [*_honest(track, until), *known_attacks], key=lambda c: (c.event.at, c.event.identity)
        )
        labels = np.array([not case.attack for case in cases])
        self._model = make_pipeline(
            StandardScaler(), LogisticRegression(max_iter=1000, random_state=seed)
        )
        self._model.fit(np.array(self.rows.of(cases)), labels)

    def score(self, cases: Sequence[Case]) -> list[Score]:
        """See `Scorer`."""
        trust = self._model.predict_proba(np.array(self.rows.of(cases)))[:, 1]
        return [Score(float(value)) for value in trust]


@dataclass(slots=True)
class ForestBaseline:
    """Isolation forest on the axes."""

    rows: AxisRows
    name: str = "isolation forest"
    needs_attacks: bool = False
    _model: Any = None
    _range: tuple[float, float] = field(default=(0.0, 1.0))

    def fit(self, track: Track, until: datetime, seed: int, known_attacks: Sequence[Case]) -> None:
        """See `Scorer`."""
        rows = np.array(self.rows.of(_honest(track, until)))
        self._model = IsolationForest(n_estimators=200, random_state=seed).fit(rows)
        found = self._model.score_samples(rows)
        self._range = (float(found.min()) - 0.2, float(found.max()))

    def score(self, cases: Sequence[Case]) -> list[Score]:
        """See `Scorer`."""
        low, high = self._range
        found = self._model.score_samples(np.array(self.rows.of(cases)))
        return [Score(float(np.clip((v - low) / (high - low), 0, 1))) for v in found]
