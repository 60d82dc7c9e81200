"""The goals of learned trust, each with its figure and whether it was met."""

import math
from collections.abc import Iterator
from typing import Any

from learning.sections import percent, with_interval
from learning.summary import Summary

Line = tuple[str, str, str, bool | None]  # goal, target, found, met (None: not measured)


def goal_table(tracks: dict[str, Summary], parts: dict[str, Any]) -> list[str]:
    """Of all goals. The headline is track C's: contents and context."""
    lines = ["## Goals", "", "| goal | target | found | |", "| --- | --- | --- | --- |"]
    for goal, target, found, met in _goals(tracks, parts):
        word = "not measured" if met is None else "met" if met else "**missed**"
        lines.append(f"| {goal} | {target} | {found} | {word} |")
    return [*lines, ""]


def _goals(tracks: dict[str, Summary], parts: dict[str, Any]) -> Iterator[Line]:
    track = tracks.get("C")
    if track is not None:
        yield from _recalls(track)
        yield _best_baseline(track)
    for name, found in tracks.items():
        yield _quarters(name, found)
        error = found.model.table.calibration_error()
        yield f"ECE, track {name}", "≤ 0.02", f"{error:.3f}", error <= 0.02
    yield _poisoning(parts["d-poisoning"])
    for name, found in tracks.items():
        p99 = 1000 * found.document["warm"][1]
        yield f"scoring, track {name}", "p99 ≤ 1 ms", f"{p99:.2f} ms", p99 <= 1
    yield from _guards(parts["guards"])


def _recalls(track: Summary) -> Iterator[Line]:
    mean = track.model.recalls[""]
    for rate, least in ((0.01, 0.8), (0.001, 0.6)):
        yield (
            f"leave-family-out recall at {percent(rate, 1)}, contents + context (track C)",
            f"≥ {percent(least, 0)} as the lower end",
            with_interval(mean[rate]),
            mean[rate].low >= least,
        )
    worst = min(track.model.table.families(), key=lambda f: track.model.recalls[f][0.01].value)
    found = track.model.recalls[worst][0.01]
    yield (
        "worst family at 1 % (track C)",
        "≥ 50 %",
        f"{worst}: {with_interval(found)}",
        (found.value >= 0.5),
    )


def _best_baseline(track: Summary) -> Line:
    best = track.best_baseline
    found, p_value = track.difference(best, 0.01)
    told = f"{best}: {100 * found.value:+.0f} points, p = {p_value:.3f}"
    met = found.value >= 0.15 and p_value < 0.01
    return "over the best baseline at equal rate (track C)", "≥ 15 points, p < 0.01", told, met


def _quarters(name: str, track: Summary) -> Line:
    worst = max(track.quarters, key=lambda quarter: quarter.refused)
    ratio = worst.refused / 0.01
    told = f"{ratio:.2f} in {worst.name} ({worst.honest} pushes)"
    beyond = [q for q in track.quarters if _beyond_chance(q.refused * q.honest, q.honest)]
    told += f"; beyond chance in {len(beyond)} of {len(track.quarters)}"
    return (
        f"realised / nominal at 1 % in every quarter, track {name}",
        "≤ 1.25",
        told,
        ratio <= 1.25,
    )


def _beyond_chance(refused: float, honest: int, rate: float = 0.01) -> bool:
    """Whether so many or more have a chance below 5 % at the nominal rate (binomial)."""
    least = round(refused)
    below = sum(
        math.comb(honest, k) * rate**k * (1 - rate) ** (honest - k) for k in range(min(least, 200))
    )
    return 1 - below < 0.05


def _poisoning(found: dict[str, Any]) -> Line:
    goal, target = "10 unconfirmed pushes in 14 days cost (track D)", "≤ 2 points"
    if not found:
        return goal, target, "-", None
    by_count = {int(row[0]): row[1] for row in found["curves"]["14"]}
    cost = by_count[0] - by_count[10]
    return goal, target, f"{100 * cost:.1f} points", cost <= 0.02


def _guards(found: dict[str, Any]) -> Iterator[Line]:
    if not found:
        yield "import, retraining", "≤ 50 ms; byte for byte", "-", None
        return
    without, with_it = found["import"]
    added = 1000 * (with_it - without)
    yield "import added to a verdict", "≤ 50 ms", f"{added:.0f} ms", added <= 50
    told = "byte for byte" if found["identical"] else "not the same"
    yield "identical retraining", "byte for byte", told, bool(found["identical"])
