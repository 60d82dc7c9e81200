"""How long a decision takes, and how often the rules are wrong about honest images.

1. One image of 30 layers, each with a package and some files, on a base of 5: decided anew with all
   rules, and again from the index. In process, medians.
2. A policy of 500 blocks, read from its text.
3. Real images, made by apt, pip, npm, `apt-get upgrade` and `chown -R`: their lowest layer is
   trusted, and whatever is said against the others is false.
"""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from layerproof.analysis.current import CURRENT
from layerproof.cli.progress import Silent
from layerproof.config import Settings
from layerproof.engine.decide import decide, decide_at
from layerproof.engine.ports import Index
from layerproof.engine.trust import add_trust
from layerproof.model.finding import Effect
from layerproof.model.image import Image
from layerproof.policy.defaults import DEFAULT_POLICY
from layerproof.policy.load import load_policy
from layerproof.policy.model import Policy
from layerproof.store.sqlite_index import open_sqlite
from layerproof.testing.advisories import nothing_known
from layerproof.testing.images import BuiltImage, File, build
from layerproof.testing.source import MemorySource
from layerproof.wiring import open_clock, open_indexer, open_source, read_reference

DECISION_TARGET = 0.020
CACHED_TARGET = 0.001
POLICY_TARGET = 0.300
RUNS = 41


@dataclass(frozen=True, slots=True)
class Decisions:
    """Seconds."""

    anew: float
    kept: float
    policy: float


def thirty_layers() -> tuple[BuiltImage, BuiltImage]:
    """The base and the image."""
    stanzas: list[str] = []

    def layer(number: int) -> dict[str, File | str]:
        stanzas.append(
            f"Package: p{number}\nStatus: install ok installed\nVersion: 1\nArchitecture: amd64\n"
        )
        files: dict[str, File | str] = {
            f"usr/share/p{number}/{n}": f"{number} {n}" for n in range(100)
        }
        info = f"var/lib/dpkg/info/p{number}"
        return files | {
            "var/lib/dpkg/status": "\n".join(stanzas),
            f"{info}.list": "".join(f"/{path}\n" for path in files),
            f"{info}.postinst": File(f"#!/bin/sh\n# {number}\n".encode(), mode=0o755),
            f"srv/app/{number}": File(b"#!/bin/sh\n", mode=0o755),
        }

    base = build([layer(number) for number in range(5)])
    return base, build([layer(number) for number in range(5, 30)], base=base)


def blocks() -> str:
    """A policy of 500 blocks."""
    head = "apiVersion: layerproof/v1\nkind: Policy\nblocks:\n"
    return head + "".join(
        f"  - name: block {n}\n    scope: {{registries: [r{n}.example], namespaces: [n{n}-*]}}\n"
        "    rules: {protected-path: {effect: alert}, secret: {effect: ignore}}\n"
        for n in range(500)
    )


def measure_decisions(folder: Path) -> Decisions:
    """In an index of its own."""
    index = open_sqlite(folder / "decisions.db")
    settings = Settings(
        index=folder / "decisions.db",
        quarantine=folder / "quarantine",
        advisories=folder / "advisories.db",
    )
    base, image = (
        open_indexer(settings, index).run(MemorySource(built, f"memory:{name}"), Silent()).image
        for name, built in zip(("base", "image"), thirty_layers(), strict=True)
    )
    now = open_clock().now()
    add_trust(index, base, by="bench", reason="bench", now=now)

    def anew() -> object:
        return decide_at(index, image, DEFAULT_POLICY, now, CURRENT)

    def kept() -> object:
        return decide(index, image, DEFAULT_POLICY, now, CURRENT)

    text = blocks().encode()
    found = Decisions(
        anew=timed(anew, RUNS),
        kept=timed(kept, RUNS),
        policy=timed(lambda: load_policy(text, where="bench"), 7),
    )
    index.close()
    return found


def timed(work: Callable[[], object], runs: int) -> float:
    """The median of some runs, after one to warm up."""
    work()
    taken = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return median(taken)


def false_findings(image: Path, folder: Path) -> Counter[tuple[str, str]]:
    """By rule and effect, what the built-in policy says against an honest image."""
    file = folder / f"{image.name}-false.db"
    settings = Settings(
        index=file, quarantine=folder / "quarantine", advisories=folder / "advisories.db"
    )
    index = open_sqlite(file)
    found = _indexed(image, settings, index)
    policy = _trusting_the_lowest(found)
    now = open_clock().now()
    record = decide_at(index, found, policy, now, CURRENT, advisories=nothing_known(now))
    verdict = record.verdict
    every = [*verdict.findings, *(f for la in verdict.layers for f in la.findings)]
    index.close()
    return Counter((f.rule, str(f.effect)) for f in every if f.effect is not Effect.IGNORE)


def _indexed(image: Path, settings: Settings, index: Index) -> Image:
    source = open_source(read_reference(f"oci:{image}"), settings, index)
    return open_indexer(settings, index).run(source, Silent()).image


def _trusting_the_lowest(image: Image) -> Policy:
    chain = image.layers[0].chain_id
    head = "apiVersion: layerproof/v1\nkind: Policy\n"
    return load_policy(f"{head}groups: {{a: {{chainIds: ['{chain}']}}}}".encode(), where="bench")


def decision_table(found: Decisions) -> list[str]:
    """Figures with their goals."""

    def line(what: str, seconds: float, goal: float) -> str:
        word = "ok" if seconds <= goal else "MISSES"
        return f"  {what:38} {seconds * 1000:8.2f} ms   {word} {goal * 1000:.0f} ms"

    return [
        "",
        "decisions in process, medians",
        line("30 layers, all rules, anew", found.anew, DECISION_TARGET),
        line("the same from the index", found.kept, CACHED_TARGET),
        line("reading a policy of 500 blocks", found.policy, POLICY_TARGET),
    ]


def false_table(found: dict[str, Counter[tuple[str, str]]]) -> list[str]:
    """One line per image: what is said against honest layers above the lowest."""
    lines = ["", "findings on honest images (the lowest layer is trusted; all of these are false)"]
    for name, counts in found.items():
        listed = [f"{rule} {n} ({effect})" for (rule, effect), n in sorted(counts.items())]
        lines.append(f"  {name:10} {', '.join(listed) or 'none'}")
    return lines
