"""A model before it is believed: trained on the past of the past, tried on what came after.

The same settings and seed learn from the events before a time in the past; the events after it are
scored as they came. Realised false positives are those of pushes that nobody disputed. Detection is
told for swapped events and layers, which are no attacks: it says whether the model tells apart
what it was taught, and nothing about attacks (docs/learning/benchmark.md does).
"""

import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from math import sqrt

import numpy as np

from layerproof.engine.cases import CaseReader, Judgement, timeline
from layerproof.engine.ports import Index
from layerproof.learning.history import Case
from layerproof.learning.profile import Profile
from layerproof.learning.rolling import Rolling
from layerproof.model.event import Event, EventKind
from layerproof.model.learned import ALL_KINDS, Kind, Outcome
from layerproof.training.options import TrainingOptions
from layerproof.training.swaps import Swaps
from layerproof.training.train import train

SHARE = 0.8  # of the pushes that the backtest learns from
_ALLOWED = 1.25  # realised over nominal false positives
_ENOUGH = 500  # pushes below which an error of calibration says little
_WORST_ERROR = 0.05  # of calibration; the goal is 0.02


@dataclass(frozen=True)
class Backtest:
    """Rates are shares. `quarters`: pushes, called untrusted. `swapped`: recall by nominal rate."""

    since: datetime
    pushes: int
    called: int
    abstained: int
    quarters: dict[str, tuple[int, int]]
    swapped: dict[str, float]
    milliseconds: tuple[float, float]  # of scoring: median, 99th percentile

    @property
    def realised(self) -> float:
        """Share of undisputed pushes that were called untrusted."""
        return self.called / self.pushes if self.pushes else 0.0


def backtest(
    index: Index,
    until: datetime,
    *,
    seed: int = 0,
    kinds: Collection[Kind] = ALL_KINDS,
    options: TrainingOptions | None = None,
) -> Backtest | None:
    """None where there are too few pushes to hold some back."""
    steps = list(timeline(index, until))
    pushes = [s.at for s in steps if isinstance(s, Event) and s.kind is EventKind.PUSH]
    if len(pushes) < 20:
        return None
    since = pushes[int(len(pushes) * SHARE)]
    model = train(index, since, seed=seed, kinds=kinds, options=options)
    if model.model.context is None and model.model.contents is None:
        return None
    run = _Run(Rolling(model.assessor(), model.history()), seed)
    denied = {s.manifest_digest for s in steps if isinstance(s, Judgement) and not s.trusted}
    reader = CaseReader(index)
    for step in steps:
        if step.at < since:
            continue
        if isinstance(step, Judgement):
            judge = run.rolling.confirm if step.trusted else run.rolling.dispute
            judge(step.manifest_digest)
        else:
            run.see(reader.case(step), denied=step.manifest_digest in denied)
    return run.result(since)


class _Run:
    def __init__(self, rolling: Rolling, seed: int) -> None:
        self.rolling = rolling
        self._swaps = Swaps(seed + 1)
        self._good: list[float] = []
        self._bad: list[float] = []
        self._cases: list[Case] = []
        self._layers: list[Profile] = []
        self._quarters: dict[str, tuple[int, int]] = {}
        self._abstained = 0
        self._times: list[float] = []

    def see(self, case: Case, *, denied: bool) -> None:
        """The next event."""
        said = None
        if case.occasion.kind is EventKind.PUSH:
            self.rolling.advance(case.occasion.at.timestamp())
            began = time.perf_counter()
            said = self.rolling.score(case)
            self._times.append(time.perf_counter() - began)
            if not denied:
                self._good.append(said.trust)
                self._abstained += said.outcome is Outcome.ABSTAIN
                called = said.outcome is Outcome.UNTRUSTED
                at = case.occasion.at
                quarter = f"{at.year} Q{(at.month + 2) // 3}"
                count, bad = self._quarters.get(quarter, (0, 0))
                self._quarters[quarter] = (count + 1, bad + called)
                self._bad.append(self.rolling.score(self._swapped(case)).trust)
        self.rolling.observe(case, said)

    def _swapped(self, case: Case) -> Case:
        swaps, history = self._swaps, self.rolling.history
        if case.profiles and case.profiles[-1] is not None and swaps.chance() < 0.5:
            made = swaps.profile(case.profiles[-1], self._layers[-200:])
            swapped = Case(case.occasion, (*case.profiles[:-1], made), case.config)
        else:
            others = [found.occasion for found in self._cases[-200:]]
            occasion = swaps.occasion(history, case.occasion, others)
            swapped = Case(occasion, case.profiles, case.config)
        self._cases.append(case)
        self._layers.extend(p for p in case.profiles[-1:] if p is not None)
        return swapped

    def result(self, since: datetime) -> Backtest:
        """All events were seen."""
        good, bad = np.array(self._good), np.array(self._bad)
        swapped = {}
        for rate in (0.001, 0.01):
            if len(good) * rate >= 1:
                bar = np.sort(good)[int(len(good) * rate)]
                swapped[f"{rate}"] = round(float((bad < bar).mean()), 4)
        times = np.array(self._times or [0.0]) * 1000
        return Backtest(
            since=since,
            pushes=len(good),
            called=sum(bad for _, bad in self._quarters.values()),
            abstained=self._abstained,
            quarters=self._quarters,
            swapped=swapped,
            milliseconds=(
                round(float(np.median(times)), 3),
                round(float(np.quantile(times, 0.99)), 3),
            ),
        )


def failures(found: Backtest | None, alpha: float, error: float) -> list[str]:
    """What speaks against promoting the model that was tried so."""
    said = []
    if found is None:
        said.append("too few pushes to try it on")
        return said
    allowed = max(_ALLOWED * alpha, alpha + 2 * sqrt(alpha * (1 - alpha) / max(found.pushes, 1)))
    if found.realised > allowed:
        said.append(f"{found.realised:.2%} realised false positives, {alpha:.2%} were asked for")
    if found.pushes >= _ENOUGH and error > _WORST_ERROR:
        said.append(f"calibration error {error:.3f}, above {_WORST_ERROR}")
    return said
