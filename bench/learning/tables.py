"""Scores beside their cases as columns, and the figures that every part of the report asks for.

A fold is one run: a seed, and for scorers that need labels the family that was held out. Rows of
different folds are never ranked against each other. The headline figure is the mean over families
and folds of the recall of that family among the honest cases of its fold, so that no family counts
for its size, and each is one that nobody was trained on.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from learning import metrics
from learning.cases import BENIGN, Case, Score
from learning.metrics import Bools, Curve, Floats

PREVALENCE = 0.01  # of the PR curve
RATES = (0.01, 0.001)
ROUNDS = 400


@dataclass(frozen=True, slots=True)
class Row:
    """One case in one fold with what a scorer said."""

    case: Case
    score: Score
    fold: str = ""


@dataclass(frozen=True, slots=True)
class _Group:
    """One family in one fold."""

    family: str
    fold: str
    rows: metrics.Numbers
    curve: Curve


@dataclass(slots=True)
class Table:
    """One scorer's rows."""

    rows: Sequence[Row]
    attack: Bools = field(init=False)
    suspicion: Floats = field(init=False)
    trust: Floats = field(init=False)
    abstains: Bools = field(init=False)
    _groups: list[_Group] = field(init=False)

    def __post_init__(self) -> None:
        self.attack = np.array([row.case.attack for row in self.rows], dtype=np.bool_)
        self.trust = np.array([row.score.trust for row in self.rows], dtype=np.float64)
        self.suspicion = 1.0 - self.trust
        self.abstains = np.array([row.score.abstains for row in self.rows], dtype=np.bool_)
        self._groups = self._grouped()

    def _grouped(self) -> list[_Group]:
        families = np.array([row.case.family for row in self.rows])
        folds = np.array([row.fold for row in self.rows])
        found = []
        for fold in sorted(set(folds)):
            here = folds == fold
            for family in sorted(set(families[here & self.attack])):
                rows = np.flatnonzero(here & ((families == family) | (families == BENIGN)))
                if not self.attack[rows].all():
                    curve = Curve(self.attack[rows], self.suspicion[rows])
                    found.append(_Group(str(family), str(fold), rows, curve))
        return found

    def where(self, wanted: Sequence[bool] | Bools) -> "Table":
        """Only those rows."""
        return Table([row for row, keep in zip(self.rows, wanted, strict=True) if keep])

    def families(self) -> list[str]:
        """That it has attacks of."""
        return list(dict.fromkeys(group.family for group in self._groups))

    def recall(self, rate: float, family: str = "") -> float:
        """Mean over families (or of one) and folds, at a false-positive rate. NaN without any."""
        found = [
            (group.family, group.curve.recall(rate))
            for group in self._groups
            if family in ("", group.family)
        ]
        names = sorted({name for name, _ in found})
        means = [np.mean([value for other, value in found if other == name]) for name in names]
        return float(np.mean(means)) if means else float("nan")

    def sampled(self, rates: Sequence[float], clusters: Sequence[str]) -> dict[str, Floats]:
        """`recall` at each of the rates in every bootstrap sample of whole clusters: by family, and
        under "" their mean; samples x rates. The samples are the same for every table that is asked
        with the same clusters."""
        number = {name: n for n, name in enumerate(clusters)}
        column = np.array([number[row.case.cluster] for row in self.rows], dtype=np.intp)
        draws = metrics.draw_clusters(len(clusters), ROUNDS, seed=0)
        by_family: dict[str, list[Floats]] = {}
        for group in self._groups:
            sampled = group.curve.resampled(column[group.rows], draws, rates)
            by_family.setdefault(group.family, []).append(sampled)
        found = {family: _mean(np.stack(values)) for family, values in by_family.items()}
        found[""] = _mean(np.stack(list(found.values())))
        return found

    @property
    def clusters(self) -> list[str]:
        """All of them, sorted."""
        return sorted({row.case.cluster for row in self.rows})

    def pr_area(self) -> float:
        """At `PREVALENCE`, mean over families and folds."""
        return float(np.mean([group.curve.pr_area(PREVALENCE) for group in self._groups]))

    def area(self) -> float:
        """Of the ROC curve, likewise."""
        return float(np.mean([group.curve.area() for group in self._groups]))

    def honest(self) -> "Table":
        """The honest cases alone."""
        return self.where([row.case.family == BENIGN for row in self.rows])

    def calibration_error(self, prevalence: float = PREVALENCE) -> float:
        """Of all trust that was told."""
        weights = metrics.prevalence_weights(self.attack, prevalence)
        return metrics.calibration_error(self.trust, ~self.attack, weights)


def _mean(values: Floats) -> Floats:
    """Over the first axis, of what is there; NaN where nothing is."""
    there = ~np.isnan(values)
    sums, counts = np.where(there, values, 0.0).sum(axis=0), there.sum(axis=0)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
