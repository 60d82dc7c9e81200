"""Runs scorers over a track: fit, walk forward; every family held out in turn."""

from collections.abc import Callable, Sequence
from datetime import datetime

from learning.baselines import AxisRows, simple_baselines
from learning.cases import BENIGN, Case, Scorer, Track
from learning.fitted import ForestBaseline, LogisticBaseline
from learning.tables import Row

Make = Callable[[], Scorer]


def baselines(track: Track) -> list[Make]:
    """All that say something about such a track, but for the rules."""
    rows = AxisRows(track)
    simple: list[Make] = [lambda scorer=scorer: scorer for scorer in simple_baselines(track)]  # type: ignore[misc]
    return [*simple, lambda: LogisticBaseline(rows), lambda: ForestBaseline(rows)]


def run(
    make: Make,
    track: Track,
    seed: int,
    known_attacks: Sequence[Case] = (),
    refits: Sequence[datetime] = (),
) -> list[Row]:
    """Scores for every case of the track. The scorer is fitted at the track's start and again at
    each of `refits`; what it scores lies between a fit and the next. A scorer that needs attacks is
    fitted once for each family, without that family, and tried on it and on the honest cases."""
    if not make().needs_attacks:
        return _walk(make(), track, seed, (), refits, track.cases, str(seed))
    rows: list[Row] = []
    for family in track.families():
        others = [case for case in known_attacks if case.family != family]
        cases = [case for case in track.cases if case.family in (BENIGN, family)]
        rows += _walk(make(), track, seed, others, refits, cases, f"{seed}/{family}")
    return rows


def _walk(
    scorer: Scorer,
    track: Track,
    seed: int,
    known_attacks: Sequence[Case],
    refits: Sequence[datetime],
    cases: Sequence[Case],
    fold: str,
) -> list[Row]:
    starts = [track.starts, *sorted(moment for moment in refits if moment > track.starts)]
    rows: list[Row] = []
    for number, start in enumerate(starts):
        end = starts[number + 1] if number + 1 < len(starts) else None
        here = [c for c in cases if start <= c.event.at and (end is None or c.event.at < end)]
        if not here:
            continue
        known = [case for case in known_attacks if case.event.at < start]
        scorer.fit(track, start, seed, known)
        scores = scorer.score(here)
        rows += [Row(case, score, fold) for case, score in zip(here, scores, strict=True)]
    return rows
