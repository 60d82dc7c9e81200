"""The benchmark of learned trust: `make bench-learning`.

    python bench/learn.py [--quick] [--parts a-main,d-main] [--keep] [--no-docs]

Parts write what they found below `<cache>/learning/results`; the report is made from all parts that
are there. LAYERPROOF_BENCH_DIR: where layers, indexes and results are kept (default .cache/bench).
"""

import argparse
import sys
from functools import partial
from pathlib import Path

from images import cache_folder
from learning.parts import MAIN, PARTS, say
from learning.parts import main as main_part
from learning.report import write_report
from learning.results import Results
from learning.worlds import FULL, QUICK, Worlds

DOCS = Path(__file__).resolve().parent.parent / "docs" / "learning"


def main() -> int:
    """Run the parts, write the report."""
    parser = argparse.ArgumentParser(description="Measure learned trust against its baselines.")
    parser.add_argument("--quick", action="store_true", help="one seed, few attacks; not for docs")
    every = [*MAIN, *PARTS]
    parser.add_argument("--parts", default=",".join(every), help="some of: %(default)s")
    parser.add_argument("--seeds", help="some of the seeds of the main parts, as 1,2")
    parser.add_argument("--keep", action="store_true", help="do not run again what was finished")
    parser.add_argument("--no-docs", action="store_true", help="leave docs/learning as it is")
    parser.add_argument("--no-report", action="store_true", help="only run the parts")
    said = parser.parse_args()
    wanted = [part for part in said.parts.split(",") if part]
    if unknown := set(wanted) - set(every):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(every)}")
    place = cache_folder() / "learning" / ("results-quick" if said.quick else "results")
    results = Results(place)
    worlds = Worlds(cache_folder(), QUICK if said.quick else FULL)
    seeds = [int(seed) for seed in said.seeds.split(",")] if said.seeds else worlds.size.seeds
    for part in wanted:
        for stage, seed in [(f"{part}-{n}", n) for n in seeds] if part in MAIN else [(part, 0)]:
            if said.keep and results.has(stage):
                continue
            say(f"part {stage}")
            if part in MAIN:
                main_part(worlds, MAIN[part], seed, partial(results.write, stage))
            else:
                results.write(stage, PARTS[part](worlds))
    if not said.no_report:
        write_report(results, place if said.quick or said.no_docs else DOCS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
