"""Scoring: the sum of the trees, calibrated. Own evaluator, nothing but integers compared.

A part's contributions are those of the walk: at each step, what the average changes by is put down
to the column that was asked. With the bias they add up to the raw score exactly.
"""

from bisect import bisect_right
from math import exp

from layerproof.learning.model import Part

_KEPT = 20_000  # raw scores of rows that were seen before


class Scorer:
    """One part, made ready. Rows are in the order of the part's declarations."""

    __slots__ = ("_bias", "_kept", "_knots", "_part", "_trees")

    def __init__(self, part: Part) -> None:
        self._part = part
        self._bias = part.bias
        self._trees = [(t.features, t.thresholds, t.left, t.right, t.leaves) for t in part.trees]
        self._knots = ([raw for raw, _ in part.knots], [odds for _, odds in part.knots])
        self._kept: dict[tuple[int, ...], float] = {}

    def raw(self, row: tuple[int, ...]) -> float:
        """Log-odds before calibration."""
        known = self._kept.get(row)
        if known is not None:
            return known
        total = self._bias
        for features, thresholds, left, right, leaves in self._trees:
            node = 0
            while node >= 0:
                goes_left = row[features[node]] <= thresholds[node]
                node = left[node] if goes_left else right[node]
            total += leaves[~node]
        if len(self._kept) >= _KEPT:
            self._kept.clear()
        self._kept[row] = total
        return total

    def trust(self, raw: float) -> float:
        """Calibrated, 0 to 1; strictly rising."""
        xs, ys = self._knots
        at = min(max(bisect_right(xs, raw), 1), len(xs) - 1)
        slope = (ys[at] - ys[at - 1]) / (xs[at] - xs[at - 1])
        odds = ys[at - 1] + (raw - xs[at - 1]) * slope
        if odds >= 0:
            return 1.0 / (1.0 + exp(-min(odds, 500.0)))
        grown = exp(max(odds, -500.0))
        return grown / (1.0 + grown)

    def contributions(self, row: tuple[int, ...]) -> tuple[float, dict[int, float]]:
        """The constant, and each column's part of the raw score."""
        constant = self._bias
        parts: dict[int, float] = {}
        for tree in self._part.trees:
            node, value = 0, tree.means[0]
            constant += value
            while node >= 0:
                column = tree.features[node]
                goes_left = row[column] <= tree.thresholds[node]
                node = tree.left[node] if goes_left else tree.right[node]
                after = tree.means[node] if node >= 0 else tree.leaves[~node]
                parts[column] = parts.get(column, 0.0) + after - value
                value = after
        return constant, parts
