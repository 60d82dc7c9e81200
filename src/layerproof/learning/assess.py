"""From rows to an assessment.

1. Each part scores each row twice: with what is unknown at its worst, and at its best. Since the
   parts are monotone, the true score lies between.
2. Trust is the least over context and every layer's contents: good context never launders bad
   contents, nor the reverse.
3. `untrusted`: even at its best, it is odder than the asked share of known-good images allows.
   `trusted`: even at its worst, it looks like them. Else, and where the history is too short for
   the asked rate, it abstains. So to leave a field out never moves away from abstaining.
4. A part that should be there and was not learned, because the history was too short for it, is
   unknown: nothing is trusted then.
"""

from collections.abc import Sequence
from dataclasses import replace

from layerproof.learning.conformal import Window
from layerproof.learning.contents import contents_rows
from layerproof.learning.context import context_row, group_of
from layerproof.learning.explain import explained, what_if
from layerproof.learning.features import CONTENTS, CONTEXT, Feature, Row
from layerproof.learning.history import Case, History
from layerproof.learning.model import Model
from layerproof.learning.trees import Scorer
from layerproof.model.learned import Assessment, Outcome, Scored

_MOST_WORDS = 6


class Assessor:
    """A model made ready."""

    def __init__(self, model: Model, digest: str, window: Window | None = None) -> None:
        self.model = model
        self.digest = digest
        said = model.settings
        self.window = window or Window(model.scores, said.window, said.alpha)
        self._context = Scorer(model.context) if model.context else None
        self._contents = Scorer(model.contents) if model.contents else None
        asked = set(model.training.kinds)
        self._whole = (
            self._context is not None or asked.isdisjoint(feature.kind for feature in CONTEXT)
        ) and (self._contents is not None or asked.isdisjoint(f.kind for f in CONTENTS))

    def assess(self, history: History, case: Case, *, explain: bool = True) -> Assessment:
        """From the history as it stands; nothing is changed."""
        parts: list[Scored] = []
        missing: dict[str, None] = {}
        rows: list[tuple[Row, Scorer, tuple[Feature, ...], str, int | None]] = []
        if self._context is not None:
            row = context_row(history, case.occasion)
            rows.append((row, self._context, CONTEXT, "context", None))
        if self._contents is not None:
            found = contents_rows(history, case)
            known = bool(case.profiles)
            rows.extend(
                (row, self._contents, CONTENTS, "contents", position if known else None)
                for position, row in enumerate(found)
                if row is not None
            )
        for row, scorer, _, name, position in rows:
            low = scorer.raw(row.low)
            high = low if row.certain else scorer.raw(row.high)
            trust = scorer.trust(low)
            best = trust if row.certain else scorer.trust(high)
            parts.append(Scored(name, position, trust, best, low, high))
            if high > low:
                missing.update(dict.fromkeys(row.missing))
        return self._judged(group_of(history, case.occasion), parts, rows, missing, explain=explain)

    def group(self, history: History, case: Case) -> str:
        """The class of repositories that the case is of."""
        return group_of(history, case.occasion)

    def _judged(
        self,
        group: str,
        parts: list[Scored],
        rows: Sequence[tuple[Row, Scorer, tuple[Feature, ...], str, int | None]],
        missing: dict[str, None],
        *,
        explain: bool,
    ) -> Assessment:
        if not parts:  # contents alone are looked at, and somebody vouched for all of them
            parts, rows = [Scored("contents", None, 1.0, 1.0, 0.0, 0.0)], ()
            explain = False
        worst = min(range(len(parts)), key=lambda at: parts[at].trust)
        trust = parts[worst].trust if self._whole else 0.0
        best = min(part.best for part in parts)
        p, best_p, smallest, compared = self.window.p_range(group, trust, best)
        outcome = self._outcome(p, best_p, smallest)
        if outcome is Outcome.UNTRUSTED:
            parts = [self._marked(part, group) for part in parts]
        words: tuple[str, ...] = ()
        counterfactual = ""
        if explain:
            parts = [
                explained(part, row, scorer, features)
                for part, (row, scorer, features, _, _) in zip(parts, rows, strict=True)
            ]
            order = sorted(parts[worst].reasons, key=lambda reason: reason.contribution)
            words = tuple(r.words for r in order if r.contribution < 0)[:_MOST_WORDS]
            if outcome is not Outcome.TRUSTED:
                row, scorer, features, _, _ = rows[worst]
                bar = self.window.least_at(group, self.model.settings.trusted_above)
                counterfactual = what_if(row, scorer, features, bar)
        return Assessment(
            outcome=outcome,
            trust=trust,
            p_value=p,
            best_p_value=best_p,
            smallest_rate=smallest,
            alpha=self.model.settings.alpha,
            group=compared,
            parts=tuple(parts),
            reasons=words,
            counterfactual=counterfactual,
            missing=tuple(missing),
            model=self.digest,
        )

    def _marked(self, part: Scored, group: str) -> Scored:
        odd = self.window.p_range(group, part.best, part.best)[1] <= self.model.settings.alpha
        return replace(part, untrusted=odd)

    def _outcome(self, p: float, best_p: float, smallest: float) -> Outcome:
        said = self.model.settings
        if smallest > said.alpha:
            return Outcome.ABSTAIN
        if best_p <= said.alpha:
            return Outcome.UNTRUSTED
        return Outcome.TRUSTED if p >= said.trusted_above else Outcome.ABSTAIN
