"""Scores in words: what spoke for and against, and what would have to be different."""

from collections.abc import Sequence
from dataclasses import replace

from layerproof.learning.features import Feature, Row, bucket, least
from layerproof.learning.trees import Scorer
from layerproof.model.learned import Reason, Scored

# What grows with every day on which somebody pushes such an image here.
_GROWS = frozenset(
    (
        "pusher-here", "pusher-days", "pusher-below", "pusher-hour", "repository-days",
        "country-pusher", "country-here", "country-days", "country-pulls", "pusher-pulls",
        "name-below", "layers-here",
        "layers-known", "layer-known-here", "contents-known", "contents-here",
    )
)  # fmt: skip
_AGES = frozenset(("pusher-age", "repository-age"))
_CLEAR = 1e-9  # contributions below are none


def explained(part: Scored, row: Row, scorer: Scorer, features: Sequence[Feature]) -> Scored:
    """With the contributions of its row at its worst, the ones against first."""
    constant, parts = scorer.contributions(row.low)
    reasons = tuple(
        Reason(
            feature=features[column].name,
            kind=features[column].kind,
            value=row.low[column],
            contribution=contribution,
            words=worded(features[column], row.low[column], unknown=_unknown(row, column)),
        )
        for column, contribution in sorted(parts.items(), key=lambda item: (item[1], item[0]))
        if abs(contribution) > _CLEAR
    )
    return replace(part, reasons=reasons, constant=constant)


def worded(feature: Feature, value: int, *, unknown: bool = False) -> str:
    """A value of a feature, as people read it."""
    if unknown:
        return feature.words.format("not known")
    if feature.exact and feature.top == 1:
        return feature.words.format("yes" if value else "no")
    more = " or more" if value == feature.top else ""
    return feature.words.format(f"{least(value, feature)}{more}")


def what_if(row: Row, scorer: Scorer, features: Sequence[Feature], bar: float) -> str:
    """The smallest change of one feature after which the row would reach `bar`; failing that, how
    much history would do."""
    found: list[tuple[int, int, str]] = []
    for column, feature in enumerate(features):
        value = row.low[column]
        steps = range(value + 1, feature.top + 1) if feature.up else range(value - 1, -1, -1)
        for wanted in steps:
            changed = (*row.low[:column], wanted, *row.low[column + 1 :])
            if scorer.trust(scorer.raw(changed)) >= bar:
                found.append((abs(wanted - value), column, worded(feature, wanted)))
                break
    if found:
        return f"trusted if: {min(found)[2]}"
    return _with_history(row, scorer, features, bar)


def _with_history(row: Row, scorer: Scorer, features: Sequence[Feature], bar: float) -> str:
    """After how many days of confirmed pushes like this one the row would reach `bar`."""
    for days in (1, 2, 3, 5, 9, 17, 33):
        changed = tuple(
            max(value, _grown(feature, days))
            for feature, value in zip(features, row.low, strict=True)
        )
        if changed != row.low and scorer.trust(scorer.raw(changed)) >= bar:
            what = "day" if days == 1 else "days"
            return f"trusted if: there had been {days} {what} of confirmed pushes like this one"
    return "no more history of this kind alone would make it trusted: somebody has to vouch for it"


def _grown(feature: Feature, days: int) -> int:
    """What the feature is at least after so many days of such pushes, five of them a week."""
    if feature.name in _AGES:
        return bucket(days // 5)
    return min(bucket(days), feature.top) if feature.name in _GROWS else 0


def _unknown(row: Row, column: int) -> bool:
    return row.low[column] != row.high[column]
