"""p-values from known-good images: which share of them looks as odd as this one, or odder.

Of n scores of known-good images, exchangeable with the new one, the share `(1 + how many are not
above it) / (n + 1)` is at most a with a probability of at most a (Vovk, Gammerman and Shafer,
Algorithmic Learning in a Random World, 2nd ed., 2.3 and 4.6 for classes). Ties count against
nobody. The smallest share there can be is `1 / (n + 1)`: a false-positive rate below that cannot be
vouched for.

Months are not exchangeable: newcomers come in waves. So the level that p-values are held against
follows what happens (Gibbs and Candes, Adaptive Conformal Inference Under Distribution Shift,
2021): each known-good image that was called untrusted lowers it by `STEP * (1 - a)`, each other
raises it by `STEP * a`. Over T known-good images the realised rate then is within
`(a + STEP) / (STEP * T)` of a, whatever the order, as long as the level is above its floor and they
are known to be good at once; here that takes the days of maturity. p-values are given as if the
level stood still: scaled by `a / level`.
"""

from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Mapping, Sequence

ALL = "all"
STEP = 0.005
_FLOOR = 0.1  # of the asked rate: whoever floods history with oddities gets no further


class Window:
    """The newest scores by class of repositories; a class with too few is compared with all."""

    def __init__(
        self,
        scores: Mapping[str, Sequence[float]],
        limit: int,
        alpha: float,
        level: float | None = None,
    ) -> None:
        self._limit = limit
        self._alpha = alpha
        self.level = alpha if level is None else min(max(level, alpha * _FLOOR), 1.0)
        self._enough = int(1 / alpha)
        self._sorted: dict[str, list[float]] = {}
        self._order: dict[str, deque[float]] = {}
        for group, found in scores.items():
            if group != ALL:
                for score in found:
                    self.add(group, score)

    def add(self, group: str, score: float, *, called: bool | None = None) -> None:
        """A known-good image's score; the oldest gives way. `called`: whether it was called
        untrusted, where that is known."""
        if called is not None:
            level = self.level + STEP * (self._alpha - called)
            self.level = min(max(level, self._alpha * _FLOOR), 1.0)
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
        smallest = 1 / (len(found) + 1)
        p = (1 + bisect_right(found, score)) * smallest
        return min(p * self._alpha / self.level, 1.0), smallest, name

    def p_range(self, group: str, low: float, high: float) -> tuple[float, float, float, str]:
        """The p-value of the lowest and of the highest that a score may be, the smallest that there
        could be, and the class. A class of "" is not known: then it may be any."""
        names = (group,) if group else (ALL, *self._sorted)
        worst = min((self.p_value(name, low) for name in names), key=lambda found: found[0])
        best = max((self.p_value(name, high) for name in names), key=lambda found: found[0])
        return worst[0], best[0], max(worst[1], best[1]), group and worst[2]

    def least_at(self, group: str, p: float) -> float:
        """The smallest known score with at least this p-value; above all known, 1."""
        found, _ = self._scores(group)
        for score in found:
            if self.p_value(group, score)[0] >= p:
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
