"""The sections of the report, each a list of lines of Markdown."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from learning import metrics
from learning.cases import BENIGN, FAMILY
from learning.metrics import Interval
from learning.results import table_from_json
from learning.summary import MODEL, YES_OR_NO, Summary
from learning.tables import PREVALENCE, ROUNDS, Row

ROUNDS_TOLD = str(ROUNDS)
TRACKS = {
    "A": "the real pushes into docker-library/official-images, context only",
    "C": "real and inert layers (track B among them) on the real stream: contents and context",
    "D": "an organisation simulated from A's distributions: with countries and pullers",
}


def percent(value: float, digits: int = 1) -> str:
    """As people read it."""
    return "-" if np.isnan(value) else f"{100 * value:.{digits}f} %"


def with_interval(found: Interval) -> str:
    """`61 % (54-67)`."""
    if np.isnan(found.low):
        return percent(found.value, 0)
    return f"{100 * found.value:.0f} % ({100 * found.low:.0f}-{100 * found.high:.0f})"


def headline(track: Summary) -> list[str]:
    """Every scorer: each family left out in turn."""
    lines = [
        f"## Track {track.name}: {TRACKS[track.name]}",
        "",
        "Mean over attack families, each left out: recall at 1 % and 0.1 % false positives; "
        "PR-AUC "
        f"where {percent(PREVALENCE, 0)} of pushes are attacks; precision at the threshold of "
        "0.1 % false positives where one push in 1,000, or in 10,000, is an attack; area below "
        "the ROC curve.",
        "",
        "| scorer | recall at 1 % | recall at 0.1 % | PR-AUC | precision at 10⁻³ | at 10⁻⁴ | ROC |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, figures in track.figures.items():
        mean = figures.recalls[""]
        low = mean[0.001].value
        lines.append(
            f"| {_strong(name)} | {with_interval(mean[0.01])} | {with_interval(mean[0.001])} "
            f"| {figures.table.pr_area():.3f} "
            f"| {percent(float(metrics.precision(low, 0.001, 1e-3)))} "
            f"| {percent(float(metrics.precision(low, 0.001, 1e-4)))} "
            f"| {figures.table.area():.3f} |"
        )
    return [*lines, "", f"![Recall against false positives](track-{track.name.lower()}.svg)", ""]


def _strong(name: str) -> str:
    return f"**{name}**" if name == MODEL else name


def families(track: Summary) -> list[str]:
    """The model and the best baseline, family by family."""
    best = track.best_baseline
    lines = [
        f"### Families of track {track.name}",
        "",
        f"| family | ATT&CK | what is done | learned trust at 1 % | at 0.1 % | {best} at 1 % |",
        "| --- | --- | --- | ---: | ---: | ---: |",
    ]
    for family in track.model.table.families():
        told = FAMILY[family]
        ours, theirs = track.model.recalls[family], track.figures[best].recalls[family]
        lines.append(
            f"| {family} | {told.technique} | {told.says} | {with_interval(ours[0.01])} "
            f"| {with_interval(ours[0.001])} | {with_interval(theirs[0.01])} |"
        )
    return [*lines, "", f"![Recall by family](families-{track.name.lower()}.svg)", ""]


def paired(track: Summary) -> list[str]:
    """The model against every baseline on the same samples."""
    lines = [
        f"### Against the baselines on track {track.name}",
        "",
        "Recall of the model minus that of the baseline at an equal realised rate of false "
        "positives, on the same bootstrap samples: at 1 %, and for yes-or-no baselines at the rate "
        "that they have.",
        "",
        "| baseline | rate | difference in points | p |",
        "| --- | ---: | ---: | ---: |",
    ]
    for name, figures in track.figures.items():
        if name == MODEL:
            continue
        rates = [0.01]
        if name in YES_OR_NO and figures.realised in figures.rates:
            rates.append(figures.realised)
        for rate in dict.fromkeys(rates):
            found, p_value = track.difference(name, rate)
            lines.append(f"| {name} | {percent(rate, 2)} | {_points(found)} | {p_value:.3f} |")
    return [*lines, ""]


def _points(found: Interval) -> str:
    return f"{100 * found.value:+.0f} ({100 * found.low:+.0f} to {100 * found.high:+.0f})"


def rates(track: Summary) -> list[str]:
    """Realised against nominal, alerts, abstentions, calibration."""
    table = track.model.table
    honest = table.honest()
    attacks = table.where(table.attack)
    refused = float(np.mean([row.score.refuses for row in honest.rows]))
    caught = float(np.mean([row.score.refuses for row in attacks.rows]))
    abstained = float(honest.abstains.mean())
    smallest = float(np.median([row.score.smallest_rate for row in honest.rows]))
    return [
        f"### Rates of track {track.name}",
        "",
        f"At its own threshold for 1 % the model refused {percent(refused, 2)} of honest pushes "
        f"({1000 * refused:.1f} alerts per 1,000 pushes) and {percent(caught)} of all attacks. It "
        f"abstained from {percent(abstained)} of honest pushes and from "
        f"{percent(float(attacks.abstains.mean()))} of attacks; a gate that refuses what it "
        f"abstains from stops {percent(float(np.mean(_stopped(attacks.rows))))} of attacks "
        f"at the cost of {percent(float(np.mean(_stopped(honest.rows))))} of honest pushes. "
        f"The smallest rate that its history can vouch for was {percent(smallest, 3)} (median). "
        f"ECE {table.calibration_error():.3f} where {percent(PREVALENCE, 0)} of pushes are "
        "attacks.",
        "",
        "| quarter | honest pushes | refused at 1 % | realised / nominal | below 0.1 % "
        "| abstained |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        *(
            f"| {q.name} | {q.honest} | {percent(q.refused, 2)} | {q.refused / 0.01:.2f} "
            f"| {percent(q.below, 2)} | {percent(q.abstained)} |"
            for q in track.quarters
        ),
        "",
    ]


def _stopped(rows: Sequence[Row]) -> list[bool]:
    return [row.score.refuses or row.score.abstains for row in rows]


def hard_cases(track: Summary) -> list[str]:
    """Track B: what honest layers that look like attacks cost."""
    by_note: dict[str, list[Row]] = defaultdict(list)
    for row in track.model.table.rows:
        if row.case.family == BENIGN:
            by_note[row.case.note or "nothing special"].append(row)
    if len(by_note) < 2:
        return []
    folds = len({row.fold for row in track.model.table.rows})
    lines = [
        "### Track B: honest pushes by what is unusual in them",
        "",
        "| what the build does | pushes | refused at 1 % | abstained | median trust |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for note, rows in sorted(by_note.items()):
        refused = float(np.mean([row.score.refuses for row in rows]))
        abstained = float(np.mean([row.score.abstains for row in rows]))
        trust = float(np.median([row.score.trust for row in rows]))
        lines.append(
            f"| {note} | {len(rows) // folds} | {percent(refused)} | {percent(abstained)} "
            f"| {trust:.3f} |"
        )
    return [*lines, ""]


def held_out(parts: dict[str, Any]) -> list[str]:
    """Repositories of which nothing was known before the start."""
    lines = [
        "## Repositories held out",
        "",
        "One repository in ten has its past deleted, all at once; scored are the pushes into these "
        "alone. Recall ranks them among themselves.",
        "",
        "| track | repositories | honest scorings | refused at 1 % | abstained | attacks "
        "| recall at 1 % | refused or abstained |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name in ("C", "A", "D"):
        found = parts[f"{name.lower()}-holdout"]
        if not found:
            continue
        table = table_from_json(found["rows"])
        honest, attacks = table.honest(), table.where(table.attack)
        refused = float(np.mean([row.score.refuses for row in honest.rows]))
        lines.append(
            f"| {name} | {found['repositories']} | {len(honest.rows):,} | {percent(refused, 2)} "
            f"| {percent(float(honest.abstains.mean()))} | {len(attacks.rows)} "
            f"| {percent(table.recall(0.01))} | {percent(float(np.mean(_stopped(attacks.rows))))} |"
        )
    return [*lines, ""]


def ablations(parts: dict[str, Any]) -> list[str]:
    """Drop one, only one."""
    lines = [
        "## Ablations",
        "",
        "One seed. `without`: every kind of metadata but this one; `only`: this one alone.",
        "",
        "| track | kind | without: recall at 1 % | at 0.1 % | ROC | only: recall at 1 % | at 0.1 % "
        "| ROC |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name in ("C", "A", "D"):
        found = parts[f"{name.lower()}-ablation"]
        for kind in found.get("kinds", ()):
            without, only = found["ablation"][f"without {kind}"], found["ablation"][f"only {kind}"]
            figures = [f"{percent(v[0])} | {percent(v[1])} | {v[2]:.3f}" for v in (without, only)]
            lines.append(f"| {name} | {kind} | {' | '.join(figures)} |")
    return [*lines, ""]


def poisoning(found: dict[str, Any]) -> list[str]:
    """The curve as a table."""
    if not found:
        return []
    lines = [
        "## Poisoning",
        "",
        f"{found['attackers']} attackers of track D (new and stolen accounts) whose first pushes "
        "were accepted and never disputed: within 14 days before the attack, and, "
        "patiently, within 90.",
        "",
        "| accepted pushes | 14 days: recall at 1 % | at 0.1 % | 90 days: at 1 % | at 0.1 % |",
        "| ---: | ---: | ---: | ---: | ---: |",
    ]
    for quick, patient in zip(found["curves"]["14"], found["curves"]["90"], strict=True):
        figures = [percent(value) for value in (*quick[1:], *patient[1:])]
        lines.append(f"| {quick[0]} | {' | '.join(figures)} |")
    return [*lines, "", "![Poisoning](poisoning.svg)", ""]


def days(found: dict[str, Any]) -> list[str]:
    """The cold start."""
    if not found:
        return []
    lines = [
        "## Days to learn",
        "",
        "Track D with so many days of history, tried on the 120 days after; one seed.",
        "",
        "| days | pushes known | recall at 1 % | abstained, honest | abstained, attacks "
        "| honest refused |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for count, pushes, recall, honest, attacks, refused in found["days"]:
        lines.append(
            f"| {count:.0f} | {pushes:.0f} | {percent(recall)} | {percent(honest)} "
            f"| {percent(attacks)} | {percent(refused, 2)} |"
        )
    return [*lines, "", "![Days to learn](days.svg)", ""]


def refits(found: dict[str, Any]) -> list[str]:
    """New models instead of one for all."""
    if not found:
        return []
    table = table_from_json(found["rows"])
    return [
        "## A new model every two years",
        "",
        f"Track A, one seed, trained anew in January 2022, 2024 and 2026: recall "
        f"{percent(table.recall(0.01))} at 1 % and {percent(table.recall(0.001))} at 0.1 %, "
        f"ROC {table.area():.3f}.",
        "",
    ]


def costs(tracks: dict[str, Summary], guards_found: dict[str, Any]) -> list[str]:
    """Time."""
    lines = [
        "## What it costs",
        "",
        "Processor time of scoring one push: with the image's facts read from the index, and with "
        "these at hand; and of training.",
        "",
        "| track | median | p99 | median, facts at hand | p99, facts at hand | training, median |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, track in tracks.items():
        cold, warm = track.document["seconds"], track.document["warm"]
        training = float(np.median(track.document["training"]))
        lines.append(
            f"| {name} | {1000 * cold[0]:.2f} ms | {1000 * cold[1]:.2f} ms "
            f"| {1000 * warm[0]:.2f} ms | {1000 * warm[1]:.2f} ms | {training:.1f} s |"
        )
    if guards_found:
        without, with_it = guards_found["import"]
        lines += [
            "",
            f"Importing the scorer adds {1000 * (with_it - without):.0f} ms to a verdict.",
        ]
    return [*lines, ""]


def guards(tracks: dict[str, Summary], found: dict[str, Any]) -> list[str]:
    """What would give a toy away."""
    lines = ["## Guards", "", "| check | found |", "| --- | --- |"]
    for name, track in tracks.items():
        lines.append(
            f"| track {name}: the pipeline without an attack against its twin, ROC area (half is "
            f"right) | {track.twin_area:.3f} |"
        )
    if found:
        told = "byte for byte" if found["identical"] else "**not the same**"
        lines.append(f"| trained twice with one seed | {told} |")
        lines.append(
            "| largest change of a score when all repositories and accounts are renamed "
            f"| {found['renamed']:.6f} |"
        )
    return [*lines, ""]


def limits() -> list[str]:
    """What these figures do not say."""
    return [
        "## What these figures do not say",
        "",
        "- Track A's accounts wrote the change that a maintainer merged; newcomers are 4 % of its "
        "pushes. A new account there is, by what the log holds, what an honest newcomer is, so no "
        "model can find most of them at 1 %. Registries with few newcomers are track D's.",
        "- Track D's countries and pulls are assumptions (`bench/learning/organisation.py`), and "
        "so is what each push of track C contains (`applications.py`).",
        "- Every attack shows on one axis; real ones show on several, and are easier. One that "
        "shows on none, as xz did, is missed by construction.",
        "- Few honest pushes fall into a quarter: at 1 % of 300 pushes, 3 are expected and 5 or "
        "more come in one quarter of five by chance alone.",
        "",
    ]
