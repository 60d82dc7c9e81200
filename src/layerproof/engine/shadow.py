"""Models beside history: what they would have said of every push since they were trained.

One walk through the events gives the history of now, the known-good scores of now, the realised
rates, the drift, and where a challenger would have said otherwise. Nothing is decided by it.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import log

from layerproof.engine.cases import CaseReader, Judgement, timeline
from layerproof.engine.learned import CHALLENGER, CHAMPION, pointer
from layerproof.engine.ports import Index
from layerproof.learning.assess import Assessor
from layerproof.learning.contents import contents_rows
from layerproof.learning.context import context_row
from layerproof.learning.features import CONTENTS, CONTEXT
from layerproof.learning.history import Case, History
from layerproof.learning.model import Model, known_model
from layerproof.learning.rolling import Rolling
from layerproof.model.event import EventKind
from layerproof.model.learned import Assessment, Outcome

_MOST_KEPT = 200
_OLDEST_DAYS = 90  # before that, older pushes are not suggested
STOOD_DAYS = 14  # how long an image must have stood to be suggested


@dataclass(frozen=True, slots=True)
class Said:
    """What a model said of one push."""

    case: Case
    assessment: Assessment


@dataclass(slots=True)
class Shadow:
    """What one model would have said."""

    rolling: Rolling
    since: datetime
    stood_before: datetime
    outcomes: Counter[str] = field(default_factory=Counter)
    quarters: dict[str, list[int]] = field(default_factory=dict)  # pushes, called untrusted
    vouched: list[int] = field(default_factory=lambda: [0, 0])  # confirmed later: all, called
    recent: dict[str, Counter[int]] = field(default_factory=dict)
    last: dict[str, Said] = field(default_factory=dict)  # by repository, the newest that stood

    def drift(self) -> dict[str, float]:
        """By feature, the population stability index of recent pushes against those of training:
        the sum over values of `(p - q) * ln(p / q)`. Above 0.25, it is another world."""
        model = self.rolling.assessor.model
        return {
            name: _stability(counts, self.recent[name])
            for name, counts in model.drift.items()
            if name in self.recent
        }


def walk_beside(
    index: Index, models: dict[str, tuple[Model, str]], until: datetime, recent_days: int = 60
) -> dict[str, Shadow]:
    """By role. `models`: with their digests."""
    shadows = {
        role: Shadow(
            Rolling(Assessor(model, digest), History(model.settings.maturity_days)),
            datetime.fromisoformat(model.training.until),
            until - timedelta(days=STOOD_DAYS),
        )
        for role, (model, digest) in models.items()
    }
    steps = list(timeline(index, until))
    trusted = {s.manifest_digest for s in steps if isinstance(s, Judgement) and s.trusted}
    denied = {s.manifest_digest for s in steps if isinstance(s, Judgement) and not s.trusted}
    reader = CaseReader(index)
    recent = until - timedelta(days=recent_days)
    for step in steps:
        if isinstance(step, Judgement):
            for shadow in shadows.values():
                judge = shadow.rolling.confirm if step.trusted else shadow.rolling.dispute
                judge(step.manifest_digest)
            continue
        case = reader.case(step)
        for shadow in shadows.values():
            _watch(shadow, case, is_recent=step.at >= recent, trusted=trusted, denied=denied)
    for shadow in shadows.values():
        shadow.rolling.advance(until.timestamp())
    return shadows


def walk_models(index: Index, now: datetime) -> dict[str, Shadow]:
    """The champion and the challenger, as far as there are any. Raises ModelError."""
    models = {}
    for role in (CHAMPION, CHALLENGER):
        found = pointer(index, role)
        data = index.cached(f"learned model {found.model}") if found else None
        if found is not None and data is not None:
            models[role] = (known_model(data), found.model)
    return walk_beside(index, models, now) if models else {}


def _watch(
    shadow: Shadow,
    case: Case,
    *,
    is_recent: bool,
    trusted: Collection[str],
    denied: Collection[str],
) -> None:
    rolling, occasion = shadow.rolling, case.occasion
    said = None
    is_push = occasion.kind is EventKind.PUSH
    scores = is_push and occasion.at >= shadow.since
    oldest = shadow.stood_before - timedelta(days=_OLDEST_DAYS)
    stood = is_push and oldest <= occasion.at <= shadow.stood_before
    if scores or stood:
        said = rolling.score(case)
    if said is not None and stood:
        _keep(shadow, case, said)
    if said is not None and scores:
        _count(shadow, case, said, trusted, denied)
        if is_recent:
            _remember(shadow, case)
    rolling.observe(case, said, scores=scores)


def _count(
    shadow: Shadow, case: Case, said: Assessment, trusted: Collection[str], denied: Collection[str]
) -> None:
    occasion = case.occasion
    shadow.outcomes[said.outcome] += 1
    called = said.outcome is Outcome.UNTRUSTED
    digest = occasion.manifest_digest or ""
    if digest not in denied:
        quarter = f"{occasion.at.year} Q{(occasion.at.month + 2) // 3}"
        counts = shadow.quarters.setdefault(quarter, [0, 0])
        counts[0] += 1
        counts[1] += called
    if digest in trusted:
        shadow.vouched[0] += 1
        shadow.vouched[1] += called


def _keep(shadow: Shadow, case: Case, said: Assessment) -> None:
    """The newest push of each repository that stood long enough, but not for ages."""
    occasion = case.occasion
    name = f"{occasion.registry}/{occasion.repository}"
    if len(shadow.last) < _MOST_KEPT or name in shadow.last:
        shadow.last[name] = Said(case, said)


def _remember(shadow: Shadow, case: Case) -> None:
    history = shadow.rolling.history
    rows = [(context_row(history, case.occasion).low, CONTEXT)]
    if case.profiles:
        rows.extend((row.low, CONTENTS) for row in contents_rows(history, case) if row)
    for row, features in rows:
        for value, feature in zip(row, features, strict=True):
            shadow.recent.setdefault(feature.name, Counter())[value] += 1


def _stability(before: list[int], now: Counter[int]) -> float:
    total, recent = sum(before) + len(before), sum(now.values()) + len(before)
    found = 0.0
    for value, count in enumerate(before):
        p, q = (count + 1) / total, (now[value] + 1) / recent
        found += (q - p) * log(q / p)
    return round(found, 4)
