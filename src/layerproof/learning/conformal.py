"""p-values from known-good images: which share of them looks as odd as this one, or odder.

Of n scores of known-good images, exchangeable with the new one, the share `(1 + how many are not
above it) / (n + 1)` is at most a with a probability of at most a (Vovk, Gammerman and Shafer,
Algorithmic Learning in a Random World, 2nd ed., 2.3 and 4.6 for classes). Ties count against
nobody. The smallest share there can be is `1 / (n + 1)`: a false-positive rate below that cannot be
vouched for.
"""

from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Mapping, Sequence

ALL = "all"


class Window:
    """The newest scores by class of repositories; a class with too few is compared with all."""

    def __init__(self, scores: Mapping[str, Sequence[float]], limit: int, alpha: float) -> None:
        self._limit = limit
        self._enough = int(1 / alpha)
        self._sorted: dict[str, list[float]] = {}
        self._order: dict[str, deque[float]] = {}
        for group, found in scores.items():
            if group != ALL:
                for score in found:
                    self.add(group, score)

    def add(self, group: str, score: float) -> None:
        """A known-good image's score; the oldest gives way."""
        for name in (group, ALL):
            ordered = self._sorted.setdefault(name, [])
            order = self._order.setdefault(name, deque())
            insort(ordered, score)
            order.append(score)
            if len(order) > self._limit:
                del ordered[bisect_left(ordered, order.popleft())]

    def p_value(self, group: str, score: float) -> tuple[float, float, str]:
        """The p-value, the smallest that there could be, and with which class it was compared."""
        found, name = self._scores(group)
        return (1 + bisect_right(found, score)) / (len(found) + 1), 1 / (len(found) + 1), name

    def least_at(self, group: str, p: float) -> float:
        """The smallest known score with at least this p-value; above all known, 1."""
        found, _ = self._scores(group)
        for score in found:
            if (1 + bisect_right(found, score)) / (len(found) + 1) >= p:
                return score
        return 1.0

    def scores(self) -> dict[str, list[float]]:
        """By class, the newest last."""
        return {group: list(order) for group, order in self._order.items()}

    def _scores(self, group: str) -> tuple[list[float], str]:
        found = self._sorted.get(group, [])
        if len(found) < self._enough:
            return self._sorted.get(ALL, []), ALL
        return found, group
