"""Raw scores into probabilities, on rows that nothing was trained on.

Isotonic regression by pooling adjacent violators (Zadrozny and Elkan 2002) over bins of raw scores,
with real and swapped rows weighing the same; then made strictly rising, so that it keeps the order.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from layerproof.learning.trees import Scorer
from layerproof.training.walk import Table

Numbers = NDArray[np.float64]
IDENTITY = [(-1.0, -1.0), (1.0, 1.0)]
_FEWEST = 40  # rows below which scores are left as they are
_BINS = 40
_LEAST = 1e-4  # share of the real that a bin is taken to have at least, and at most 1 less that
_RISE = 1e-3  # log-odds, at least, from one knot to the next


def weighed(table: Table) -> tuple[Numbers, Numbers]:
    """Labels, and weights that sum to one half for each label."""
    labels = np.frombuffer(bytes(table.labels), np.uint8).astype(np.float64)
    weights = np.array(table.weights, np.float64)
    for label in (0.0, 1.0):
        total = weights[labels == label].sum()
        if total:
            weights[labels == label] /= 2 * total
    return labels, weights


def raw_scores(table: Table, scorer: Scorer) -> Numbers:
    """Of every row."""
    data, width = bytes(table.data), table.width
    rows = (tuple(data[at : at + width]) for at in range(0, len(data), width))
    return np.array([scorer.raw(row) for row in rows], np.float64)


def knots(table: Table, scorer: Scorer) -> list[tuple[float, float]]:
    """See the module."""
    if len(table) < _FEWEST or len(set(table.labels)) < 2:
        return IDENTITY
    raw = raw_scores(table, scorer)
    weight, real, _, low, high = _binned(table, raw, _BINS)
    pooled: list[_Pool] = []
    for values in zip(weight, real, low, high, strict=True):
        pooled.append(_Pool(*map(float, values)))
        while len(pooled) > 1 and pooled[-2].share >= pooled[-1].share:
            last = pooled.pop()
            first = pooled.pop()
            pooled.append(
                _Pool(first.weight + last.weight, first.real + last.real, first.low, last.high)
            )
    return _rising(pooled)


class _Pool(NamedTuple):
    """Neighbouring bins that are taken as one."""

    weight: float
    real: float  # the weight of the real rows
    low: float  # the lowest and the highest raw score
    high: float

    @property
    def share(self) -> float:
        return self.real / self.weight


def expected_error(table: Table, scorer: Scorer, bins: int = 15) -> float:
    """Expected calibration error: over bins of equal weight, how far trust is from the share of the
    real."""
    if not len(table):
        return 0.0
    trust = np.array([scorer.trust(raw) for raw in raw_scores(table, scorer)])
    weight, real, mean, _, _ = _binned(table, trust, bins)
    return float(np.abs(weight * mean - real).sum() / weight.sum())


def _binned(table: Table, scores: Numbers, bins: int) -> tuple[Numbers, ...]:
    """Bins of about equal weight, lowest first; equal scores are in one. Of each, its weight, the
    weight of the real rows in it, its mean, lowest and highest score."""
    labels, weights = weighed(table)
    values, at = np.unique(scores, return_inverse=True)
    weight = np.bincount(at, weights)
    edges = np.floor((np.cumsum(weight) - weight / 2) / weight.sum() * bins)
    _, first, of = np.unique(edges, return_index=True, return_inverse=True)
    total = np.bincount(of, weight).astype(np.float64)
    real = np.bincount(of, np.bincount(at, weights * labels)).astype(np.float64)
    last = np.append(first[1:], len(values)) - 1
    return total, real, np.bincount(of, weight * values) / total, values[first], values[last]


def _rising(pooled: Sequence[_Pool]) -> list[tuple[float, float]]:
    """Level over a pool, but for the least rise; straight from one to the next."""
    found: list[tuple[float, float]] = []
    for pool in pooled:
        share = min(max(pool.share, _LEAST), 1 - _LEAST)
        odds = float(np.log(share / (1 - share)))
        for raw in (pool.low, pool.high):
            x, y = raw, odds
            if found:
                x, y = max(x, found[-1][0] + 1e-6), max(y, found[-1][1] + _RISE)
            found.append((round(x, 6), round(y, 6)))
    first, last = found[0], found[-1]
    return [(first[0] - 1, first[1] - 0.5), *found, (last[0] + 1, last[1] + 0.5)]
