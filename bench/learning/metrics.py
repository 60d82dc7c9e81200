"""Figures from suspicions: plain functions on arrays, held to scikit-learn and to known values.

`attack`: booleans. `suspicion`: higher is more suspicious. Rates between the thresholds that the
honest scores allow are interpolated, as by tossing a coin between two neighbouring thresholds:
otherwise a yes-or-no baseline had no recall at any rate but its own.

Prevalence: the share of attacks in the benchmark is not that of the world. Precision at prevalence
pi is pi·TPR / (pi·TPR + (1-pi)·FPR) (Saito and Rehmsmeier, PLOS ONE 10(3), 2015; Siblini et al.,
"Master your metrics with calibration", 2020).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Numbers = NDArray[np.intp]


class Curve:
    """A ROC curve, sorted once, drawn again for every bootstrap sample by weights of its rows."""

    def __init__(self, attack: Bools, suspicion: Floats) -> None:
        self._order = np.argsort(-suspicion, kind="stable")
        ordered = suspicion[self._order]
        self._attack = attack[self._order]
        self._last = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)

    def rates(self, weights: Floats | None = None) -> tuple[Floats, Floats]:
        """False- and true-positive rates at every distinct threshold, from (0, 0) to (1, 1).
        Raises ValueError without attacks or without honest cases."""
        weight = np.ones(len(self._order)) if weights is None else weights[self._order]
        hits = np.cumsum(np.where(self._attack, weight, 0.0))
        alarms = np.cumsum(np.where(self._attack, 0.0, weight))
        if not len(hits) or not hits[-1] or not alarms[-1]:
            raise ValueError("a curve needs attacks and honest cases")
        fpr = np.concatenate(([0.0], alarms[self._last] / alarms[-1]))
        return fpr, np.concatenate(([0.0], hits[self._last] / hits[-1]))

    def recall(self, rate: float) -> float:
        """The true-positive rate at a false-positive rate."""
        return recall_from(*self.rates(), rate)

    def area(self) -> float:
        """Below the curve; half is chance."""
        fpr, tpr = self.rates()
        return float(np.trapezoid(tpr, fpr))

    def pr_area(self, prevalence: float | None = None) -> float:
        """Average precision, at the benchmark's own share of attacks or at a stated one."""
        fpr, tpr = self.rates()
        share = float(self._attack.mean()) if prevalence is None else prevalence
        return float(np.sum(np.diff(tpr) * precision(tpr, fpr, share)[1:]))


def recall_from(fpr: Floats, tpr: Floats, rate: float) -> float:
    """The true-positive rate of a curve at a false-positive rate, interpolated."""
    above = int(np.searchsorted(fpr, rate, side="right"))
    if above == len(fpr):
        return float(tpr[-1])
    share = (rate - fpr[above - 1]) / (fpr[above] - fpr[above - 1])
    return float(tpr[above - 1] + share * (tpr[above] - tpr[above - 1]))


def precision(tpr: Floats | float, fpr: Floats | float, prevalence: float) -> Floats:
    """Precision where so large a share of pushes are attacks; 1 where nothing alarms."""
    hits = prevalence * np.asarray(tpr, dtype=np.float64)
    alarms = hits + (1 - prevalence) * np.asarray(fpr, dtype=np.float64)
    return np.where(alarms > 0, hits / np.where(alarms > 0, alarms, 1), 1.0)


def calibration_error(trust: Floats, honest: Bools, weights: Floats, bins: int = 10) -> float:
    """ECE: the mean gap between the trust that was told and the (weighted) share that was honest,
    over `bins` bins of equal width (Guo et al., ICML 2017)."""
    place = np.minimum((trust * bins).astype(int), bins - 1)
    gap = 0.0
    for number in range(bins):
        here = place == number
        gap += abs(float((weights[here] * (trust[here] - honest[here])).sum()))
    return gap / float(weights.sum())


def prevalence_weights(attack: Bools, prevalence: float) -> Floats:
    """Weights under which attacks are `prevalence` of all."""
    attacks, honest = max(int(attack.sum()), 1), max(int((~attack).sum()), 1)
    return np.where(attack, prevalence / attacks, (1 - prevalence) / honest)


# --- bootstrap -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with the middle 95 % of its bootstrap."""

    value: float
    low: float
    high: float


def draw_clusters(count: int, rounds: int, seed: int) -> NDArray[np.int64]:
    """How often each of `count` clusters stands in each of `rounds` samples: rounds x count."""
    chance = np.random.default_rng(seed)
    return chance.multinomial(count, np.full(count, 1 / count), size=rounds)


def interval(value: float, sampled: Floats) -> Interval:
    """Samples in which the figure does not exist (NaN: no attack was drawn) are left out."""
    found = sampled[~np.isnan(sampled)]
    if not len(found):
        return Interval(value, float("nan"), float("nan"))
    low, high = np.quantile(found, (0.025, 0.975))
    return Interval(value, float(low), float(high))


def paired(ours: Floats, theirs: Floats) -> float:
    """One-sided p of "ours is no better", from figures of the same samples: (1 + samples in which
    it is not) / (1 + samples)."""
    difference = ours - theirs
    found = difference[~np.isnan(difference)]
    return float((1 + (found <= 0).sum()) / (1 + len(found)))
