"""Runs a scorer over a track: fit, walk forward, fit again; every family held out in turn."""

from collections.abc import Callable, Sequence
from datetime import datetime

from learning.cases import BENIGN, Case, Scorer, Track
from learning.tables import Row, Table

Progress = Callable[[str], None]


def run(
    make: Callable[[], Scorer],
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


def table(
    make: Callable[[], Scorer],
    tracks: dict[int, tuple[Track, Sequence[Case]]],
    refits: Sequence[datetime] = (),
    progress: Progress = lambda said: None,
) -> Table:
    """All seeds: by seed, the track with its attacks, and the attacks known before it starts."""
    rows: list[Row] = []
    for seed, (track, known) in tracks.items():
        progress(f"{track.name}: {make().name}, seed {seed}")
        rows += run(make, track, seed, known, refits)
    return Table(rows)
