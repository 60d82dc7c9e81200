"""The report's plots as SVG, the same bytes for the same figures."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from learning.summary import MODEL, Figures, Summary

_RATES = np.concatenate(([0.0002, 0.0005], np.logspace(-3, 0, 61)))
_WIDTH = 7.5


def draw(tracks: dict[str, Summary], parts: dict[str, Any], folder: Path) -> None:
    """All that there are figures for."""
    mpl.rcParams["svg.hashsalt"] = "layerproof"
    mpl.rcParams["svg.fonttype"] = "none"
    for name, track in tracks.items():
        _curves(track, folder / f"track-{name.lower()}.svg")
        _families(track, folder / f"families-{name.lower()}.svg")
        _quarters(track, folder / f"quarters-{name.lower()}.svg")
    if parts["d-poisoning"]:
        _poisoning(parts["d-poisoning"], folder / "poisoning.svg")
    if parts["d-days"]:
        _days(parts["d-days"], folder / "days.svg")


def _axes(height: float = 4.0) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    axes = figure.add_subplot()
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Figure, file: Path) -> None:
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    # Its XML ends lines with spaces here and there.
    lines = (line.rstrip() for line in file.read_text().splitlines())
    file.write_text("\n".join(lines) + "\n")


def _curves(track: Summary, file: Path) -> None:
    figure, axes = _axes()
    for name, figures in track.figures.items():
        ours = name == MODEL
        axes.plot(
            _RATES, _recalls(figures), label=name, linewidth=2.5 if ours else 1.2,
            color="black" if ours else None,
        )  # fmt: skip
    axes.set(xscale="log", xlabel="honest pushes refused", ylabel="attacks found", ylim=(0, 1.02))
    axes.axvline(0.01, color="grey", linestyle=":")
    axes.axvline(0.001, color="grey", linestyle=":")
    axes.legend(fontsize=8)
    _save(figure, file)


def _recalls(figures: Figures) -> list[float]:
    return [figures.table.recall(float(rate)) for rate in _RATES]


def _families(track: Summary, file: Path) -> None:
    names = track.model.table.families()
    best = track.best_baseline
    figure, axes = _axes(1.2 + 0.32 * len(names))
    places = np.arange(len(names))
    for shift, scorer, color in ((-0.2, MODEL, "black"), (0.2, best, "tab:orange")):
        recalls = [track.figures[scorer].recalls[name][0.01] for name in names]
        values = np.array([found.value for found in recalls])
        low = np.nan_to_num(np.clip(values - [found.low for found in recalls], 0, 1))
        high = np.nan_to_num(np.clip([found.high for found in recalls] - values, 0, 1))
        axes.barh(places + shift, values, 0.38, xerr=[low, high], label=scorer, color=color,
                  alpha=0.75, ecolor="grey")  # fmt: skip
    axes.set(xlim=(0, 1.02), xlabel="recall at 1 % false positives, family left out")
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.legend(fontsize=8, loc="lower right")
    _save(figure, file)


def _quarters(track: Summary, file: Path) -> None:
    figure, axes = _axes(3.0)
    names = [quarter.name for quarter in track.quarters]
    axes.plot(names, [100 * q.refused for q in track.quarters], marker="o", color="black",
              label="refused")  # fmt: skip
    axes.axhline(1.0, color="grey", linestyle=":", label="asked")
    axes.set(ylabel="% of honest pushes", ylim=(0, None))
    axes.tick_params(axis="x", rotation=60, labelsize=7)
    axes.legend(fontsize=8)
    _save(figure, file)


def _poisoning(found: dict[str, Any], file: Path) -> None:
    figure, axes = _axes(3.2)
    for days, curve in found["curves"].items():
        axes.plot([str(row[0]) for row in curve], [row[1] for row in curve], marker="o",
                  label=f"within {days} days")  # fmt: skip
    axes.set(xlabel="accepted pushes before the attack", ylabel="recall at 1 %", ylim=(0, 1.02))
    axes.legend(fontsize=8)
    _save(figure, file)


def _days(found: dict[str, Any], file: Path) -> None:
    figure, axes = _axes(3.2)
    days = [row[0] for row in found["days"]]
    axes.plot(days, [row[2] for row in found["days"]], marker="o", color="black",
              label="recall at 1 %")  # fmt: skip
    axes.plot(days, [row[3] for row in found["days"]], marker="o", label="abstained, honest")
    axes.set(xlabel="days of history", xscale="log", ylim=(0, 1.02))
    axes.set_xticks(days, [f"{count:.0f}" for count in days])
    axes.legend(fontsize=8)
    _save(figure, file)
