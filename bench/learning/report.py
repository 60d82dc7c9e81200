"""Writes docs/learning/benchmark.md from the parts that were run, and the plots beside it."""

import os
import platform
from pathlib import Path
from typing import Any

from learning import plots, sections
from learning.goals import goal_table
from learning.parts import PARTS, merged
from learning.results import Results
from learning.summary import Summary, summarise

HEAD = """# Benchmark of learned trust

Written by `make bench-learning`; the figures are those of the run, whatever they are. How the
tracks, attacks and baselines are made stands in the modules below `bench/learning`. The attacks
follow ATT&CK techniques and were not shown to whoever wrote the features; the model is trained
without any attack, so every family is one that it never saw. Those who need attacks to learn
(logistic regression) are fitted anew for every family, without it.

A figure of 99 % counts as a bug here until it holds with the family left out, on repositories that
were held out, and until the pipeline of the attack, run without an attack, scores like its twin.
"""


def write_report(results: Results, folder: Path) -> None:
    """The page and its plots below `folder`."""
    tracks = {
        name: summarise(name, found)
        for name in ("C", "A", "D")
        if (found := merged(results.all_of(f"{name.lower()}-main-")))
    }
    parts = {part: results.read(part) for part in PARTS}
    folder.mkdir(parents=True, exist_ok=True)
    text = "\n".join(
        [
            HEAD,
            *_setting(tracks),
            *goal_table(tracks, parts),
            *_tracks(tracks),
            *sections.held_out(parts),
            *sections.ablations(parts),
            *sections.poisoning(parts["d-poisoning"]),
            *sections.days(parts["d-days"]),
            *sections.refits(parts["a-refits"]),
            *sections.costs(tracks, parts["guards"]),
            *sections.guards(tracks, parts["guards"]),
            *sections.limits(),
        ]
    )
    (folder / "benchmark.md").write_text(text.rstrip() + "\n")
    plots.draw(tracks, parts, folder)


def _setting(tracks: dict[str, Summary]) -> list[str]:
    seeds = sorted({seed for track in tracks.values() for seed in track.document["seeds"]})
    lines = [
        f"Python {platform.python_version()}, {os.cpu_count()} processors; seeds "
        f"{', '.join(map(str, seeds))}. Intervals are the middle 95 % of {sections.ROUNDS_TOLD} "
        "bootstrap samples of whole repositories.",
        "",
        "| track | what it is | history | honest pushes tried | attacks tried | from |",
        "| --- | --- | ---: | ---: | ---: | --- |",
    ]
    for name, track in tracks.items():
        document: dict[str, Any] = track.document
        lines.append(
            f"| {name} | {sections.TRACKS[name]} | {document['events']:,} events "
            f"| {document['honest']:,} | {track.attacks:,} | {document['starts'][:10]} |"
        )
    return [*lines, ""]


def _tracks(tracks: dict[str, Summary]) -> list[str]:
    lines: list[str] = []
    for track in tracks.values():
        lines += [
            *sections.headline(track),
            *sections.families(track),
            *sections.paired(track),
            *sections.rates(track),
            f"![Refused by quarter](quarters-{track.name.lower()}.svg)",
            "",
            *sections.hard_cases(track),
        ]
    return lines
