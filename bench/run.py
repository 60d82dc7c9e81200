"""The benchmark: Layerproof beside Syft and beside `gzip -dc | sha256sum`, on the same images.

    python bench/run.py [--images medium,large] [--write-docs]

LAYERPROOF_BENCH_RUNS   timed runs of each contestant, in turn; the table shows medians (default 3)
LAYERPROOF_BENCH_DIR    where the images are kept (default .cache/bench)
LAYERPROOF_BENCH_SYFT   the Syft to run (default: the one beside this Python, then the PATH)

The images' bytes are in the page cache for everybody. Every contestant's output is thrown away.
"""

import argparse
import dataclasses
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from advisories import advisory_table, measure_advisories
from bigfiles import write_image
from images import BuildError, build_all, cache_folder
from measure import CommandFailedError, Cost, Summary, alternate, run_once
from pages import PAGE, machine, write_section
from stages import Stages, machine_limit
from verdicts import decision_table, false_findings, false_table, measure_decisions

BIN = Path(sys.executable).parent
RESULTS = Path(__file__).resolve().parent / "results"

# The command lines. {image} is the folder of an OCI layout, {index} the file of an index.
INDEX = (str(BIN / "layerproof"), "index", "--quiet", "oci:{image}", "--index", "{index}")
CHECK = (str(BIN / "layerproof"), "check", "--quiet", "oci:{image}", "--index", "{index}")
SYFT = ("{syft}", "scan", "--quiet", "oci-dir:{image}", "-o", "json")
SYFT_ENV = {"SYFT_CHECK_FOR_APP_UPDATE": "false"}
PIPE = ("sh", "-c", 'for layer; do gzip -dc "$layer" | sha256sum; done', "sh")
# `check` admits, refuses, or cannot decide: all of these are answers here.
CHECK_CODES = (0, 1)

# What the project promises; the table says where a figure misses it.
TARGETS = {"medium": 12.0, "large": 25.0}
THIN_LAYER_TARGET = 50.0
MEMORY_TARGET = 10.0
CHECK_TARGET = 0.150
MiB = 1 << 20
LAYER_SIZES = (256 * MiB, 1024 * MiB, 4096 * MiB)


@dataclass(frozen=True, slots=True)
class Settings:
    """What was asked for."""

    images: tuple[str, ...]
    runs: int
    syft: str
    flat: bool


@dataclass(frozen=True, slots=True)
class ImageResult:
    """All figures of one image."""

    name: str
    facts: dict[str, int]
    syft: Summary
    syft_second: Summary
    cold: Summary
    second: Summary
    known: Summary
    check: Summary
    pipe: Summary
    stages: Stages


# --- contestants ---------------------------------------------------------------------------------


def filled(command: Sequence[str], **values: object) -> list[str]:
    return [part.format(**values) for part in command]


def layer_files(image: Path) -> list[Path]:
    """The blobs of an image's layers, bottom first."""
    blobs = image / "blobs"

    def blob(digest: str) -> Path:
        return blobs.joinpath(*digest.split(":"))

    index = json.loads((image / "index.json").read_bytes())
    manifest = json.loads(blob(index["manifests"][0]["digest"]).read_bytes())
    return [blob(layer["digest"]) for layer in manifest["layers"]]


def warm(files: Sequence[Path]) -> None:
    """Bring the files into the page cache."""
    for file in files:
        with file.open("rb", buffering=0) as content:
            while content.read(MiB):
                pass


class Ours:
    """Layerproof's commands, each on an index prepared outside the clock."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._count = 0

    def _index(self, filled_with: Path | None) -> Path:
        """A new index file; a copy of the one filled with that image, if one is given."""
        self._count += 1
        folder = self._scratch / f"index-{self._count}"
        folder.mkdir()
        if filled_with is None:
            return folder / "index.db"
        template = self._scratch / f"template-{filled_with.name}"
        if not template.exists():
            template.mkdir()
            run_once(filled(INDEX, image=filled_with, index=template / "index.db"))
        for file in template.iterdir():
            shutil.copyfile(file, folder / file.name)
        return folder / "index.db"

    def _run(
        self,
        command: Sequence[str],
        image: Path,
        filled_with: Path | None,
        sample: bool,
        allowed: Sequence[int] = (0,),
    ) -> Cost:
        index = self._index(filled_with)
        try:
            line = filled(command, image=image, index=index)
            return run_once(line, sample=sample, allowed=allowed)
        finally:
            shutil.rmtree(index.parent)

    def cold(self, image: Path) -> Callable[[bool], Cost]:
        """Every layer is new."""
        return lambda sample: self._run(INDEX, image, None, sample)

    def on(self, image: Path, base: Path) -> Callable[[bool], Cost]:
        """The base is indexed already."""
        return lambda sample: self._run(INDEX, image, base, sample)

    def check(self, image: Path) -> Callable[[bool], Cost]:
        """The verdict on an indexed image."""
        return lambda sample: self._run(CHECK, image, image, sample, CHECK_CODES)


def measure_image(name: str, folders: dict[str, Path], settings: Settings) -> ImageResult:
    """Everything about one image and the second image on it."""
    image, second = folders[name], folders[f"{name}-app"]
    layers = layer_files(image)
    warm([*layers, *layer_files(second)])

    def syft(of: Path) -> Callable[[bool], Cost]:
        line = filled(SYFT, syft=settings.syft, image=of)
        return lambda sample: run_once(line, sample=sample, env=SYFT_ENV)

    def pipe(sample: bool) -> Cost:
        return run_once([*PIPE, *map(str, layers)], sample=sample)

    with tempfile.TemporaryDirectory(prefix="layerproof-bench-") as scratch:
        ours = Ours(Path(scratch))
        say(f"{name}: cold")
        cold = alternate(
            {"syft": syft(image), "ours": ours.cold(image), "pipe": pipe}, settings.runs
        )
        say(f"{name}: with known layers")
        warm_ones = alternate(
            {
                "second": ours.on(second, image),
                "known": ours.on(image, image),
                "check": ours.check(image),
            },
            max(settings.runs, 5),
        )
        say(f"{name}: Syft on the second image")
        again = alternate({"syft": syft(second)}, 1)
    say(f"{name}: the machine's limit")
    return ImageResult(
        name=name,
        facts=json.loads((cache_folder() / f"READY-{name}").read_text()),
        syft=cold["syft"],
        syft_second=again["syft"],
        cold=cold["ours"],
        second=warm_ones["second"],
        known=warm_ones["known"],
        check=warm_ones["check"],
        pipe=cold["pipe"],
        stages=machine_limit(layers),
    )


def measure_flatness() -> dict[int, Summary]:
    """Peak memory of a cold run for one layer of each size."""
    found: dict[int, Summary] = {}
    for size in LAYER_SIZES:
        say(f"one layer of {size // MiB} MB")
        with tempfile.TemporaryDirectory(prefix="layerproof-bench-", dir=cache_folder()) as scratch:
            image = Path(scratch) / "image"
            write_image(image, size)
            found[size] = alternate({"ours": Ours(Path(scratch)).cold(image)}, 1)["ours"]
    return found


# --- the table -----------------------------------------------------------------------------------


def row(what: str, cost: Summary, note: str = "") -> str:
    """One line of at most 80 columns."""
    memory = f"{cost.memory / MiB:8.0f} MB"
    return f"{what:26}{cost.wall:9.3f} s{cost.cpu:9.3f} s{memory}  {note}".rstrip()


def against(value: float, target: float, unit: str = "x") -> str:
    """The value, and whether it reaches its target."""
    mark = "" if value >= target else f" MISSES {target:g}{unit}"
    return f"{value:.1f}{unit}{mark}"


def image_table(result: ImageResult) -> list[str]:
    """Costs of all contestants."""
    facts, cold, stages = result.facts, result.cold, result.stages
    target = TARGETS.get(result.name, 1.0)
    floor = stages.total / 2
    check = "ok" if result.check.wall <= CHECK_TARGET else f"MISSES {CHECK_TARGET * 1000:.0f} ms"
    pipe = result.pipe.wall / cold.wall
    lines = [
        "",
        f"{result.name}: {facts['bytes'] / 1e6:.0f} MB in {facts['files']} files, "
        f"{facts['entries']} entries, {facts['layers']} layers",
        f"{'':26}{'wall':>11}{'CPU':>11}{'memory':>11}",
        row("Syft", result.syft),
        row("gzip -dc | sha256sum", result.pipe, f"we: {against(pipe, 1.0)} faster"),
        row("layerproof index, cold", cold),
        row("  second image on it", result.second),
        row("  all layers known", result.known),
        row("layerproof check", result.check, check),
        "",
        f"cold against Syft      {against(result.syft.wall / cold.wall, target)} faster, "
        f"{result.syft.cpu / cold.cpu:.1f}x less CPU,",
        f"                       {against(result.syft.memory / cold.memory, MEMORY_TARGET)} "
        "less memory",
        f"second against Syft    "
        f"{against(result.syft_second.wall / result.second.wall, THIN_LAYER_TARGET)} faster "
        f"(Syft {result.syft_second.wall:.1f} s); "
        f"{cold.wall / result.second.wall:.1f}x our own cold run",
        f"memory, cold           PSS {cold.pss / MiB:.0f} MB and RSS {cold.rss / MiB:.0f} MB "
        f"over all processes,",
        f"                       largest process {cold.largest / MiB:.0f} MB; "
        f"Syft PSS {result.syft.pss / MiB:.0f} MB",
        "",
        f"machine's limit: decompress {stages.decompress:.2f} s, "
        f"blob hash {stages.blob_hash:.2f} s, tar hash {stages.tar_hash:.2f} s,",
        f"  file hashes {stages.file_hash:.2f} s; sum {stages.total:.2f} s, "
        f"over two cores {floor:.2f} s.",
        f"  Of it we reach {floor / cold.wall:.0%} in wall time, "
        f"{stages.total / cold.cpu:.0%} in CPU.",
    ]
    return lines


def flat_table(flatness: dict[int, Summary]) -> list[str]:
    """Memory against layer size."""
    lines = ["", "one layer with 32 big files, cold"]
    for size, cost in flatness.items():
        note = f"PSS {cost.pss / MiB:.0f} MB, RSS {cost.rss / MiB:.0f} MB"
        lines.append(row(f"  {size // MiB} MB", cost, note))
    return lines


def say(text: str) -> None:
    """Progress, on standard error."""
    sys.stderr.write(f"… {text}\n")
    sys.stderr.flush()


# --- command line --------------------------------------------------------------------------------


def find_syft() -> str:
    """Raises BuildError where there is none."""
    beside = BIN / "syft"
    found = os.environ.get("LAYERPROOF_BENCH_SYFT") or (
        str(beside) if beside.exists() else shutil.which("syft")
    )
    if not found:
        raise BuildError("no Syft: `make bench` installs it, or name one in LAYERPROOF_BENCH_SYFT")
    return found


def parse() -> tuple[Settings, bool]:
    parser = argparse.ArgumentParser(description="Layerproof beside Syft, on the same images.")
    parser.add_argument("--images", default="medium,large", help="default: medium,large")
    parser.add_argument(
        "--runs", type=int, default=int(os.environ.get("LAYERPROOF_BENCH_RUNS", "3"))
    )
    parser.add_argument("--no-flat", action="store_true", help="leave the 4 GB layer out")
    parser.add_argument("--write-docs", action="store_true", help="write docs/benchmarks.md")
    asked = parser.parse_args()
    images = tuple(asked.images.split(","))
    return Settings(images, asked.runs, find_syft(), not asked.no_flat), asked.write_docs


def write_results(
    results: Sequence[ImageResult], flatness: dict[int, Summary], text: str, docs: bool
) -> None:
    """The figures as JSON, and the table as a page of the documentation when asked."""
    RESULTS.mkdir(exist_ok=True)
    document = {
        "machine": machine(),
        "images": [dataclasses.asdict(result) for result in results],
        "flatness": {str(size): dataclasses.asdict(cost) for size, cost in flatness.items()},
    }
    file = RESULTS / time.strftime("%Y-%m-%dT%H%M%S.json")
    file.write_text(json.dumps(document, indent=2) + "\n")
    say(f"figures in {file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file}")
    if docs:
        write_section("images", INTRO, text)
        say(f"table in {PAGE.name}")


INTRO = """## Images and decisions

Wall and CPU are medians of alternating runs, everything in the page cache. CPU counts all processes
of a contestant. Memory is the peak over all its processes, sampled in a run of its own: pages that
processes share count once (PSS), or the largest process's own peak where that is higher.
"""


def main() -> int:
    """Build, measure, print."""
    try:
        settings, docs = parse()
        wanted = [name for image in settings.images for name in (image, f"{image}-app")]
        folders = build_all([*wanted, "upgraded"], sys.stderr)
        results = [measure_image(name, folders, settings) for name in settings.images]
        flatness = measure_flatness() if settings.flat else {}
    except (BuildError, CommandFailedError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    lines = [f"{machine()}; medians of {settings.runs}"]
    for result in results:
        lines += image_table(result)
    lines += flat_table(flatness) if flatness else []
    with tempfile.TemporaryDirectory(prefix="layerproof-bench-") as scratch:
        lines += decision_table(measure_decisions(Path(scratch)))
        say("advisories")
        lines += advisory_table(measure_advisories(Path(scratch), BIN / "layerproof"))
        honest = [*settings.images, "upgraded"]
        lines += false_table({n: false_findings(folders[n], Path(scratch)) for n in honest})
    text = "\n".join(lines)
    print(text)
    write_results(results, flatness, text, docs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
