"""The parts of the benchmark: each answers one question and returns a JSON document."""

import hashlib
import os
import random
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from layerproof.model.event import Event
from layerproof.training.interface import train
from learning import organisation
from learning.cases import Track
from learning.holdout import held_out
from learning.model import Learned, kinds_of
from learning.results import rows_to_json
from learning.rules_only import RulesOnly
from learning.runs import Make, baselines, run
from learning.tables import Row, Table
from learning.track_a import context_track
from learning.worlds import Worlds

Document = dict[str, Any]
Save = Callable[[Document], None]
POISON = (0, 1, 3, 10, 30)
DAYS = (7, 14, 30, 60, 90, 180, 365)


def say(text: str) -> None:
    """Progress, for whoever waits."""
    sys.stderr.write(f"{datetime.now(UTC):%H:%M:%S} {text}\n")
    sys.stderr.flush()


def main(worlds: Worlds, name: str, seed: int, save: Save) -> None:
    """The model and every baseline, one seed; saved after each, for that takes long."""
    track, known = worlds.track(name, seed)
    model = Learned()
    makes: list[Make] = [lambda: model, *baselines(track)]
    if track.has_contents and seed == worlds.size.seeds[0]:
        makes.append(RulesOnly)  # the same for every seed, but for the attacks
    rows: dict[str, list[Any]] = {}
    for make in makes:
        say(f"track {name}, seed {seed}: {make().name}")
        rows[make().name] = rows_to_json(run(make, track, seed, known))
        save(
            {
                "rows": rows,
                "starts": track.starts.isoformat(),
                "events": len(track.events),
                "honest": sum(case.family == "benign" for case in track.cases),
                "seconds": _quantiles(model.seconds),
                "warm": _quantiles(model.warm),
                "training": model.training,
                "seeds": [seed],
            }
        )


def merged(documents: Sequence[Document]) -> Document:
    """The documents of several seeds as one: rows side by side, the worst of the times."""
    if not documents:
        return {}
    rows: dict[str, list[Any]] = {}
    for document in documents:
        for scorer, found in document["rows"].items():
            rows.setdefault(scorer, []).extend(found)
    return {
        **documents[0],
        "rows": rows,
        "seconds": np.max([d["seconds"] for d in documents], axis=0).tolist(),
        "warm": np.max([d["warm"] for d in documents], axis=0).tolist(),
        "training": [value for d in documents for value in d["training"]],
        "seeds": [seed for d in documents for seed in d["seeds"]],
    }


def _quantiles(seconds: Sequence[float]) -> list[float]:
    """Median, 99th percentile, worst."""
    return [float(value) for value in np.quantile(seconds, (0.5, 0.99, 1.0))]


def ablation(worlds: Worlds, name: str) -> Document:
    """Every kind of metadata left out, and every kind alone; the first seed."""
    seed = worlds.size.seeds[0]
    track, _ = worlds.track(name, seed)
    all_kinds = kinds_of(track)
    found: dict[str, list[Any]] = {}
    for kind in sorted(all_kinds):
        for way, kinds in (("without", all_kinds - {kind}), ("only", frozenset({kind}))):
            say(f"track {name}: {way} {kind}")
            make = lambda kinds=kinds: Learned(kinds=kinds)  # noqa: E731  called at once
            found[f"{way} {kind}"] = _figures(Table(run(make, track, seed)))
    return {"ablation": found, "kinds": [str(kind) for kind in sorted(all_kinds)]}


def _figures(table: Table) -> list[Any]:
    """Recall at 1 % and at 0.1 %, area, and recall at 1 % by family."""
    by_family = {family: table.recall(0.01, family) for family in table.families()}
    return [table.recall(0.01), table.recall(0.001), table.area(), by_family]


def hold_out(worlds: Worlds, name: str) -> Document:
    """Repositories held out: the attacks of some seeds, one model for each."""
    rows: list[Row] = []
    held: frozenset[str] = frozenset()
    for seed in worlds.size.seeds[: worlds.size.held_out[name]]:
        say(f"track {name}, seed {seed}: held out")
        track, held = held_out(worlds.track(name, seed)[0])
        rows += run(Learned, track, seed)
    return {"rows": rows_to_json(rows), "repositories": len(held)}


def refits(worlds: Worlds) -> Document:
    """Track A with a new model every two years, the first seed."""
    seed = worlds.size.seeds[0]
    track, _ = worlds.track("A", seed)
    years = [datetime(year, 1, 1, tzinfo=UTC) for year in (2022, 2024, 2026)]
    say("track A: new models")
    rows = run(Learned, track, seed, refits=years)
    return {"rows": rows_to_json(rows)}


# --- poisoning -----------------------------------------------------------------------------------


def poisoning(worlds: Worlds) -> Document:
    """Attackers of track D whose first pushes, ordinary ones, are accepted: in the 14 days before
    the attack, or, patiently, in the 90 days before."""
    seed = worlds.size.seeds[0]
    track, _ = worlds.track("D", seed)
    chance = random.Random(f"poison {seed}")
    wanted = [c for c in track.cases if c.family in ("new-account", "stolen-account")]
    chosen = {c.event.identity for c in chance.sample(wanted, worlds.size.poisoned)}
    cases = [c for c in track.cases if not c.attack or c.event.identity in chosen]
    attacks = [case for case in cases if case.attack]
    curves: dict[str, list[list[float]]] = {}
    for days in (14, 90):
        for count in POISON:
            say(f"track D: {count} accepted pushes in {days} days")
            accepted = [e for case in attacks for e in accepted_pushes(case.event, count, days)]
            table = Table(run(_poisoned(accepted), replace(track, cases=cases), seed))
            curves.setdefault(str(days), []).append(
                [count, table.recall(0.01), table.recall(0.001)]
            )
    return {"curves": curves, "attackers": len(attacks)}


def _poisoned(accepted: Sequence[Event]) -> Make:
    return lambda: Learned(accepted=accepted)


def accepted_pushes(attack: Event, count: int, days: int) -> list[Event]:
    """So many pushes of the same account into the same repository, spread over the days before."""
    chance = random.Random(f"accepted {attack.identity}")
    found = []
    for number in range(count):
        identity = f"{attack.identity}/accepted/{number}"
        at = attack.at - timedelta(days=chance.uniform(0.02, days))
        digest = attack.manifest_digest
        if digest is not None:
            digest = type(digest).of(identity.encode())
        found.append(replace(attack, identity=identity, at=at, manifest_digest=digest))
    return sorted(found, key=lambda event: event.at)


# --- cold start ----------------------------------------------------------------------------------


def days_to_learn(worlds: Worlds) -> Document:
    """Track D with so many days of history, tried on the 120 days after."""
    seed = worlds.size.seeds[0]
    found: list[list[float]] = []
    first = worlds.simulated.events[0].at
    for days in DAYS:
        say(f"track D: {days} days of history")
        starts = first + timedelta(days=days)
        track, _ = context_track(
            "D",
            worlds.simulated,
            starts,
            organisation.FAMILIES,
            seed,
            worlds.size.per_family["D"],
            places=True,
            ends=starts + timedelta(days=120),
        )
        table = Table(run(Learned, track, seed))
        honest = table.honest()
        before = sum(event.at < starts and event.kind == "push" for event in track.events)
        found.append(
            [
                float(days),
                float(before),
                table.recall(0.01),
                float(honest.abstains.mean()),
                float(table.abstains[table.attack].mean()),
                float(np.mean([row.score.refuses for row in honest.rows])),
            ]
        )
    return {"days": found}


# --- guards and costs ----------------------------------------------------------------------------


def guards(worlds: Worlds) -> Document:
    """What would give a toy away, and what scoring costs to load."""
    track, _ = worlds.track("D", worlds.size.seeds[0])
    say("guards: trained twice; renamed; constant")
    digests = [_model_digest(track) for _ in range(2)]
    say("guards: import cost")
    return {
        "identical": digests[0] == digests[1],
        "renamed": _renamed(track),
        "import": [
            _import_seconds("layerproof.engine.evaluator, layerproof.store.sqlite_index"),
            _import_seconds(
                "layerproof.engine.evaluator, layerproof.store.sqlite_index, "
                "layerproof.learning.assess, layerproof.learning.model"
            ),
        ],
    }


def _model_digest(track: Track) -> str:
    model = train(track.index, until=track.starts, seed=1, kinds=kinds_of(track))
    return hashlib.sha256(model.data + model.state).hexdigest()


def _renamed(track: Track) -> float:
    """The largest change of a score when every repository and account has another name of the same
    shape; spelling counts only in relation to other names, so letters are moved, not drawn."""
    from layerproof.testing.index import MemoryIndex  # only here

    index = MemoryIndex()
    events = [rename(event) for event in track.events]
    index.put_events(events)
    cases = [replace(case, event=rename(case.event)) for case in track.cases][:400]
    other = replace(track, index=index, events=events, cases=cases)
    before = _trusts(replace(track, cases=track.cases[:400]))
    after = _trusts(other)
    return max(abs(one - two) for one, two in zip(before, after, strict=True))


def _trusts(track: Track) -> list[float]:
    return [row.score.trust for row in run(Learned, track, 1)]


_MOVED = str.maketrans("abcdefghijklmnopqrstuvwxyz", "bcdefghijklmnopqrstuvwxyza")


def rename(event: Event) -> Event:
    """Every letter becomes the next one."""
    return replace(
        event,
        repository=event.repository.translate(_MOVED),
        account=event.account.translate(_MOVED),
    )


def _import_seconds(modules: str) -> float:
    """Processor time, the median of a few interpreters that import these."""
    taken = []
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    for _ in range(9):
        start = _children_seconds()
        subprocess.run([sys.executable, "-c", f"import {modules}"], check=True, env=environment)
        taken.append(_children_seconds() - start)
    return statistics.median(taken)


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


MAIN = {"a-main": "A", "d-main": "D", "c-main": "C"}  # run seed by seed
PARTS: dict[str, Callable[[Worlds], Document]] = {
    "a-ablation": lambda worlds: ablation(worlds, "A"),
    "d-ablation": lambda worlds: ablation(worlds, "D"),
    "c-ablation": lambda worlds: ablation(worlds, "C"),
    "a-holdout": lambda worlds: hold_out(worlds, "A"),
    "d-holdout": lambda worlds: hold_out(worlds, "D"),
    "c-holdout": lambda worlds: hold_out(worlds, "C"),
    "a-refits": refits,
    "d-poisoning": poisoning,
    "d-days": days_to_learn,
    "guards": guards,
}
