"""One walk through history: rows for training, from each event and what was known before it.

1. The first part of the events only makes history. Nothing is learned from a history that nobody
   could have known yet.
2. A push is learned from as real once it is older than the maturity and undisputed, or confirmed.
   The newest pushes are therefore unlabelled, and are left out.
3. Of a disputed push the layer that was withdrawn is a negative of contents; the push is left out
   of context, because who pushed it may have meant no harm.
4. The last part of the time makes the calibration block, on which nothing is trained.
"""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from layerproof.engine.cases import CaseReader, Judgement, timeline
from layerproof.engine.ports import Index
from layerproof.learning.contents import contents_rows
from layerproof.learning.context import context_row, group_of
from layerproof.learning.features import CONTENTS, CONTEXT, Row
from layerproof.learning.history import Case, History
from layerproof.learning.profile import Profile
from layerproof.model.event import Event, EventKind
from layerproof.model.learned import Occasion
from layerproof.training.options import TrainingOptions
from layerproof.training.swaps import Swaps

_REMEMBERED = 2_000  # events and layers that axes are exchanged with
_Any = TypeVar("_Any")
_CONFIG_SHARE = 0.15  # of the swapped layers, so many have a swapped config, too
_KNOWN_SHARE = 0.1  # of the layers that were here before, so many are learned from
_CONFIRMED = 2.0  # weight of a confirmed push, beside 1 of one that nobody disputed


@dataclass(slots=True)
class Table:
    """Rows of one part, as bytes: a value is a byte."""

    width: int
    data: bytearray = field(default_factory=bytearray)
    labels: bytearray = field(default_factory=bytearray)  # 1: real
    weights: list[float] = field(default_factory=list)

    def add(self, row: tuple[int, ...], label: int, weight: float) -> None:
        """One row."""
        self.data.extend(row)
        self.labels.append(label)
        self.weights.append(weight)

    def __len__(self) -> int:
        return len(self.labels)

    def rows(self) -> NDArray[np.uint8]:
        """All of them, one per line."""
        return np.frombuffer(bytes(self.data), np.uint8).reshape(-1, self.width)


@dataclass(slots=True)
class Block:
    """Rows of a part of the time."""

    context: Table = field(default_factory=lambda: Table(len(CONTEXT)))
    contents: Table = field(default_factory=lambda: Table(len(CONTENTS)))


@dataclass(frozen=True, slots=True)
class Good:
    """A known-good push of the calibration block: its rows at their worst, its class."""

    group: str
    context: tuple[int, ...]
    contents: tuple[tuple[int, ...], ...]


@dataclass(slots=True)
class Walked:
    """What a walk gave."""

    history: History
    fit: Block = field(default_factory=Block)
    calibration: Block = field(default_factory=Block)
    good: list[Good] = field(default_factory=list)
    events: int = 0


def walk(index: Index, until: datetime, seed: int, options: TrainingOptions) -> Walked:
    """See the module. The history is that of `until`."""
    return _Walk(index, until, seed, options).run()


class _Walk:
    def __init__(self, index: Index, until: datetime, seed: int, options: TrainingOptions) -> None:
        self._until, self._options = until, options
        self._ripe = until - timedelta(days=options.maturity_days)
        self._reader = CaseReader(index)
        self._steps = list(timeline(index, until))
        self._swaps = Swaps(seed)
        self._others: deque[Case] = deque(maxlen=_REMEMBERED)
        self._layers: deque[Profile] = deque(maxlen=_REMEMBERED)
        self._trusted = {
            s.manifest_digest for s in self._steps if isinstance(s, Judgement) and s.trusted
        }
        self._denied: dict[str, set[str]] = {}
        for step in self._steps:
            if isinstance(step, Judgement) and not step.trusted:
                chains = self._denied.setdefault(step.manifest_digest, set())
                chains.add(step.chain_id or "")
        self._cases: dict[str, list[Case]] = {d: [] for d in self._denied}
        self.walked = Walked(History(options.maturity_days))

    def run(self) -> Walked:
        history = self.walked.history
        pushes = [s.at for s in self._steps if isinstance(s, Event) and s.kind is EventKind.PUSH]
        warm, calibrate_from = self._bounds(pushes)
        seen = 0
        for step in self._steps:
            if isinstance(step, Judgement):
                self._judge(step)
                continue
            case = self._reader.case(step)
            self.walked.events += 1
            history.advance(step.at.timestamp())
            if step.kind is EventKind.PUSH:
                seen += 1
                rows = contents_rows(history, case) if case.profiles else ()
                novel = self._novel(case, rows)
                if seen > warm:
                    calibrates = step.at >= calibrate_from
                    self._learn(
                        case, rows, novel, calibrates=calibrates, is_ripe=step.at < self._ripe
                    )
                self._remember(case, novel)
            history.observe(case)
        history.advance(self._until.timestamp())
        return self.walked

    def _bounds(self, pushes: list[datetime]) -> tuple[int, datetime]:
        """How many pushes warm up, and where the calibration block begins."""
        options = self._options
        most = options.most_rows // (1 + options.negatives)
        warm = max(int(len(pushes) * options.warm_up), len(pushes) - most)
        left = [at for at in pushes[warm:] if at < self._ripe]  # newer ones are not learned from
        at = int(len(left) * (1 - options.calibration_share))
        return warm, left[at] if at < len(left) else self._until

    def _judge(self, step: Judgement) -> None:
        digest = step.manifest_digest
        if step.trusted:
            self.walked.history.confirm(digest)
        else:
            self.walked.history.dispute(digest, self._cases.get(digest, ()))

    def _remember(self, case: Case, novel: list[Profile]) -> None:
        self._others.append(case)
        self._layers.extend(novel)
        digest = case.occasion.manifest_digest
        if digest is not None and digest in self._cases:
            self._cases[digest].append(case)

    @staticmethod
    def _novel(case: Case, rows: tuple[Row | None, ...]) -> list[Profile]:
        """The layers that this push is about: those that were not here before, or the top one."""
        pairs = zip(case.profiles, rows, strict=False)
        new = [p for p, row in pairs if p and row is not None and not row.low[0]]
        top = case.profiles[-1] if case.profiles else None
        return new or ([top] if top else [])

    def _learn(
        self,
        case: Case,
        rows: tuple[Row | None, ...],
        novel: list[Profile],
        *,
        calibrates: bool,
        is_ripe: bool,
    ) -> None:
        digest = case.occasion.manifest_digest
        block = self.walked.calibration if calibrates else self.walked.fit
        denied = self._denied.get(digest) if digest is not None else None
        if denied is not None:
            for profile, row in zip(case.profiles, rows, strict=False):
                if profile is not None and row is not None and profile.chain in denied:
                    block.contents.add(row.low, 0, _CONFIRMED)
            return
        trusted = digest is not None and digest in self._trusted
        if not is_ripe and not trusted:
            return
        weight = _CONFIRMED if trusted else 1.0
        context = self._learn_context(case.occasion, weight, block.context)
        for profile, row in zip(case.profiles, rows, strict=False):
            if profile is None or row is None:
                continue
            if not row.low[0] or self._swaps.chance() <= _KNOWN_SHARE:
                block.contents.add(row.low, 1, weight)
        for profile in novel:
            self._swap_contents(case, profile, weight, block.contents)
        if calibrates:
            group = group_of(self.walked.history, case.occasion)
            if group:
                self.walked.good.append(Good(group, context, tuple(r.low for r in rows if r)))

    def _learn_context(self, real: Occasion, weight: float, table: Table) -> tuple[int, ...]:
        history, negatives = self.walked.history, self._options.negatives
        row = context_row(history, real)
        table.add(row.low, 1, weight)
        for _ in range(negatives):
            others = [self._pick(self._others).occasion] if self._others else []
            swapped = self._swaps.occasion(history, real, others)
            table.add(context_row(history, swapped).low, 0, weight / negatives)
        return row.low

    def _swap_contents(self, case: Case, real: Profile, weight: float, table: Table) -> None:
        negatives = self._options.negatives
        for _ in range(negatives):
            others = [self._pick(self._layers)] if self._layers else []
            made = self._swaps.profile(real, others)
            config = case.config
            if self._swaps.chance() < _CONFIG_SHARE:
                config = self._swaps.config(config)
            row = contents_rows(self.walked.history, Case(case.occasion, (made,), config))[0]
            if row is not None:
                table.add(row.low, 0, weight / negatives)

    def _pick(self, choices: deque[_Any]) -> _Any:
        return choices[int(self._swaps.chance() * len(choices))]
