"""The model card: written by the training run, from what it saw, with what the model cannot do."""

from typing import Any

from layerproof.training.backtest import Backtest, failures
from layerproof.training.train import LearnedModel

LIMITS = (
    "An attack whose every fact is as usual, done through the usual account, place and pipeline, "
    "is missed by construction.",
    "It says what is usual here. Bad habits that nobody disputed are usual.",
    "New people and new repositories look odd until their first pushes are confirmed, or have "
    "stood undisputed for the days of maturity.",
    "Detection of swapped events says nothing about attacks: see docs/learning/benchmark.md.",
    "It never overrides a withdrawal, a failed rule or a corrupt digest.",
)


def card(model: LearnedModel, tried: Backtest | None) -> dict[str, Any]:
    """Plain JSON values."""
    made = model.model
    errors = [
        float(part["calibrationErrorInSample"])
        for name in ("context", "contents")
        if isinstance(part := model.facts.get(name), dict)
    ]
    return {
        "model": model.digest,
        "trainingSet": made.training.digest,
        "seed": made.training.seed,
        "until": made.training.until,
        "kinds": list(made.training.kinds),
        "maturityDays": made.settings.maturity_days,
        "alpha": made.settings.alpha,
        "facts": model.facts,
        "backtest": None if tried is None else _tried(tried, made.settings.alpha),
        "failed": failures(tried, made.settings.alpha, max(errors, default=0.0)),
        "limits": list(LIMITS),
    }


def _tried(tried: Backtest, alpha: float) -> dict[str, Any]:
    return {
        "since": tried.since.isoformat(),
        "pushes": tried.pushes,
        "calledUntrusted": tried.called,
        "nominalRate": alpha,
        "realisedRate": round(tried.realised, 5),
        "abstained": tried.abstained,
        "quarters": {
            name: {"pushes": count, "calledUntrusted": called}
            for name, (count, called) in tried.quarters.items()
        },
        "recallOfSwapped": tried.swapped,
        "scoringMilliseconds": {"median": tried.milliseconds[0], "p99": tried.milliseconds[1]},
    }


def card_lines(found: dict[str, Any]) -> list[str]:
    """For people, as Markdown."""
    lines = [
        f"# Model {str(found['model'])[:19]}",
        "",
        f"Trained on events before {found['until']}, seed {found['seed']}, training set "
        f"`{found['trainingSet']}`.",
        "",
        "| part | rows | real | trees | splits by kind | calibration error (in sample) |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name in ("context", "contents"):
        part = found["facts"].get(name)
        if part is None:
            lines.append(f"| {name} | nothing to learn from | | | | |")
            continue
        splits = ", ".join(f"{kind} {count}" for kind, count in part["splitsByKind"].items())
        lines.append(
            f"| {name} | {part['rows']} | {part['realRows']} | {part['trees']} | {splits} | "
            f"{part['calibrationErrorInSample']} |"
        )
    lines += ["", "## Tried on what came after", ""]
    tried = found["backtest"]
    if tried is None:
        lines.append("There were too few pushes to hold some back.")
    else:
        lines.append(
            f"{tried['pushes']} pushes since {tried['since']}: {tried['calledUntrusted']} called "
            f"untrusted ({tried['realisedRate']:.2%}; asked for {tried['nominalRate']:.2%}), "
            f"{tried['abstained']} abstained. Swapped events and layers called so at the same "
            f"rates: {tried['recallOfSwapped']}."
        )
    lines += ["", "## Against its promotion", ""]
    lines += [f"- {problem}" for problem in found["failed"]] or ["Nothing."]
    lines += ["", "## What it cannot do", "", *(f"- {limit}" for limit in found["limits"])]
    return lines
