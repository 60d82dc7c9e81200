"""All figures of one track, worked out once for the tables, the goals and the plots."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from learning import metrics
from learning.cases import BENIGN, NO_ATTACK
from learning.metrics import Curve, Floats, Interval
from learning.results import table_from_json
from learning.tables import RATES, Table

MODEL = "learned trust"
YES_OR_NO = ("repository allow-list", "repository + owner allow-list", "always last seen")


@dataclass(slots=True)
class Figures:
    """One scorer on one track."""

    table: Table  # without the guard's cases
    recalls: dict[str, dict[float, Interval]]  # by family, "" for their mean, by rate
    samples: dict[str, Floats]  # samples x rates, as `Table.sampled`
    rates: tuple[float, ...]  # of `samples`: `RATES`, then the scorers' own rates
    realised: float  # share of honest pushes below full trust


@dataclass(slots=True)
class Quarter:
    """Honest pushes of three months, and what the model did with them."""

    name: str
    honest: int
    refused: float  # at the asked rate of 1 %
    below: float  # share whose p-value is below 0.1 %
    abstained: float


@dataclass(slots=True)
class Summary:
    """One track."""

    name: str
    document: dict[str, Any]
    figures: dict[str, Figures]
    attacks: int
    quarters: list[Quarter] = field(default_factory=list)
    twin_area: float = float("nan")  # the guard: no-attack cases against their twins

    @property
    def model(self) -> Figures:
        """The product's."""
        return self.figures[MODEL]

    @property
    def best_baseline(self) -> str:
        """The one with the highest mean recall at 1 %."""
        others = [name for name in self.figures if name != MODEL]
        return max(others, key=lambda name: self.figures[name].recalls[""][0.01].value)

    def difference(self, other: str, rate: float) -> tuple[Interval, float]:
        """The model's recall minus a baseline's, at a false-positive rate, and its p."""
        ours, theirs = self.model, self.figures[other]
        one = ours.samples[""][:, ours.rates.index(rate)]
        two = theirs.samples[""][:, theirs.rates.index(rate)]
        value = ours.table.recall(rate) - theirs.table.recall(rate)
        return metrics.interval(value, one - two), metrics.paired(one, two)


def summarise(name: str, document: dict[str, Any]) -> Summary:
    """From what `parts.main` wrote."""
    whole = {scorer: table_from_json(rows) for scorer, rows in document["rows"].items()}
    tables = {
        scorer: table.where([row.case.family != NO_ATTACK for row in table.rows])
        for scorer, table in whole.items()
    }
    own = {scorer: _realised(table) for scorer, table in tables.items()}
    rates = (*RATES, *sorted({own[s] for s in YES_OR_NO if s in own and own[s] > 0} - set(RATES)))
    clusters = sorted({cluster for table in tables.values() for cluster in table.clusters})
    figures = {}
    for scorer, table in tables.items():
        samples = table.sampled(rates, clusters)
        recalls = {
            family: {
                rate: metrics.interval(table.recall(rate, family), samples[family][:, at])
                for at, rate in enumerate(rates)
            }
            for family in ("", *table.families())
        }
        figures[scorer] = Figures(table, recalls, samples, rates, own[scorer])
    model = tables[MODEL]
    return Summary(
        name,
        document,
        figures,
        int(model.attack.sum()),
        quarters_of(model),
        twin_area(whole[MODEL]),
    )


def _realised(table: Table) -> float:
    honest = table.honest()
    return float((honest.trust < 1).mean())


def quarters_of(table: Table) -> list[Quarter]:
    """Of the honest rows, by the quarter of the year; every seed scores them anew."""
    by_quarter: dict[str, list[int]] = defaultdict(list)
    for number, row in enumerate(table.rows):
        if row.case.family == BENIGN:
            at = row.case.event.at
            by_quarter[f"{at.year} Q{(at.month + 2) // 3}"].append(number)
    folds = len({row.fold for row in table.rows})
    found = []
    for name, numbers in sorted(by_quarter.items()):
        scores = [table.rows[n].score for n in numbers]
        found.append(
            Quarter(
                name,
                len(numbers) // folds,
                float(np.mean([score.refuses for score in scores])),
                float(np.mean([(score.p_value or 0) < 0.001 for score in scores])),
                float(np.mean([score.abstains for score in scores])),
            )
        )
    return found


def twin_area(table: Table) -> float:
    """ROC area of the pipeline without an attack against its honest twins; half is right."""
    twins = {(row.fold, row.case.event.identity): row.score.trust for row in table.rows}
    pairs = [
        (1 - row.score.trust, 1 - twins[row.fold, row.case.twin])
        for row in table.rows
        if row.case.family == NO_ATTACK and (row.fold, row.case.twin) in twins
    ]
    if not pairs:
        return float("nan")
    suspicion = np.array([value for pair in pairs for value in pair])
    attack = np.array([True, False] * len(pairs), dtype=np.bool_)
    return Curve(attack, suspicion).area()
