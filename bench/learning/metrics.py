"""Figures from suspicions: plain functions on arrays, held to scikit-learn and to known values.

`attack`: booleans. `suspicion`: higher is more suspicious. Rates between the thresholds that the
honest scores allow are interpolated, as by tossing a coin between two neighbouring thresholds:
otherwise a yes-or-no baseline had no recall at any rate but its own.

Prevalence: the share of attacks in the benchmark is not that of the world. Precision at prevalence
pi is pi·TPR / (pi·TPR + (1-pi)·FPR) (Saito and Rehmsmeier, PLOS ONE 10(3), 2015; Siblini et al.,
"Master your metrics with calibration", 2020).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Numbers = NDArray[np.intp]


class Curve:
    """A ROC curve, sorted once; bootstrap samples of whole clusters are drawn from it."""

    def __init__(self, attack: Bools, suspicion: Floats) -> None:
        self._order = np.argsort(-suspicion, kind="stable")
        ordered = suspicion[self._order]
        self._attack = attack[self._order]
        self._last = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)

    @cached_property
    def rates(self) -> tuple[Floats, Floats]:
        """False- and true-positive rates at every distinct threshold, from (0, 0) to (1, 1).
        Raises ValueError without attacks or without honest cases."""
        hits = np.cumsum(self._attack)[self._last].astype(np.float64)
        alarms = np.cumsum(~self._attack)[self._last].astype(np.float64)
        if not hits[-1] or not alarms[-1]:
            raise ValueError("a curve needs attacks and honest cases")
        return _from_zero(alarms / alarms[-1]), _from_zero(hits / hits[-1])

    def resampled(
        self, clusters: Numbers, draws: NDArray[np.int64], rates: Sequence[float]
    ) -> Floats:
        """Recall at each rate in every sample: samples x rates. `clusters`: of every row, by its
        number; `draws`: how often each cluster stands in each sample. NaN where a sample has no
        attack, or no honest case."""
        ordered = clusters[self._order]
        place = np.zeros(len(ordered), dtype=np.intp)
        place[self._last[:-1] + 1] = 1
        place = np.cumsum(place)  # number of the threshold of every row
        counts = np.zeros((2, len(self._last), draws.shape[1]), dtype=np.float32)
        np.add.at(counts, (self._attack.astype(np.intp), place, ordered), 1)
        weights = draws.astype(np.float32)
        alarms, hits = (np.cumsum(weights @ part.T, axis=1, dtype=np.float64) for part in counts)
        found = np.full((len(draws), len(rates)), np.nan)
        for number in range(len(draws)):
            all_alarms, all_hits = alarms[number, -1], hits[number, -1]
            if all_alarms and all_hits:
                fpr = _from_zero(alarms[number] / all_alarms)
                tpr = _from_zero(hits[number] / all_hits)
                found[number] = [recall_from(fpr, tpr, rate) for rate in rates]
        return found

    def recall(self, rate: float) -> float:
        """The true-positive rate at a false-positive rate."""
        return recall_from(*self.rates, rate)

    def area(self) -> float:
        """Below the curve; half is chance."""
        fpr, tpr = self.rates
        return float(np.trapezoid(tpr, fpr))

    def pr_area(self, prevalence: float | None = None) -> float:
        """Average precision, at the benchmark's own share of attacks or at a stated one."""
        fpr, tpr = self.rates
        share = float(self._attack.mean()) if prevalence is None else prevalence
        return float(np.sum(np.diff(tpr) * precision(tpr, fpr, share)[1:]))


def _from_zero(values: Floats) -> Floats:
    return np.concatenate(([0.0], values))


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
