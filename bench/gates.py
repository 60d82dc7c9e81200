"""The Docker gate under load: admissions per second and how long each takes, on SQLite.

    python bench/gates.py [--count 20000] [--rounds 3] [--reviews 100000] [--write-docs]

Load, gate and engine share this machine's processors. Beside the gate stands a plugin of the same
server that reads a request and allows it: what the protocol alone costs. `hot`: the verdict is
kept, everything else is done again for every request (the state of the index, the engine's answer
about the name). `cold`: another image each time, so every one is judged. `index gone`: the file is
no database any more. Memory is the gate's, before and after that many reviews.
"""

import argparse
import base64
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import psutil
from tests.e2e.service import clean, until

from layerproof.testing.images import BuiltImage, build, write_oci_layout
from pages import machine, write_section

HERE = Path(__file__).resolve().parent
GOAL = 1000.0  # admissions per second
GOAL_P99 = 20.0  # ms
CONNECTIONS = 16
COLD = 200  # images
GONE = 64  # requests while there is no index
INTRO = """## The Docker gate

`layerproof gate docker serve` on SQLite; load, gate and an engine that only answers about names
share the processors. The no-op is a plugin of the same HTTP server that reads a request and allows
it. Hot: the verdict is kept, the state of the index and the engine's word about the name are asked
every time. Cold: each image for the first time. Index gone: the file is no database any more.
"""


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one kind of load."""

    name: str
    rate: float  # per second
    p50: float  # ms
    p99: float  # ms
    refused: int


class Bench:
    """A gate, an engine and a plugin that does nothing, in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.gate = folder / "gate.sock"
        self.noop = folder / "noop.sock"
        self._environment = clean(
            {
                "LAYERPROOF_INDEX": str(folder / "index.db"),
                "DOCKER_HOST": f"unix://{folder}/docker.sock",
                "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
            }
        )

    @contextmanager
    def running(self) -> Iterator["psutil.Process"]:
        """All of it; the gate's process."""
        self._images()
        peers = str(HERE / "gate_peers.py")
        told = str(self._folder / "engine.json")
        started = [
            self._start(sys.executable, peers, "noop", str(self.noop)),
            self._start(sys.executable, peers, "engine", f"{self._folder}/docker.sock", told),
            self._layerproof("gate", "docker", "serve", "--socket", str(self.gate), "--wait", "0"),
        ]
        try:
            until(lambda: all(p.exists() for p in (self.gate, self.noop)))
            yield psutil.Process(started[-1].pid)
        finally:
            for process in started:
                process.terminate()
            for process in started:
                process.wait(30)

    def load(self, name: str, path: Path, images: list[str], count: int) -> Figures:
        """So many requests about these images in turn."""
        file = self._folder / "requests.json"
        file.write_text("\n".join(json.dumps(request(image)) for image in images))
        command = [sys.executable, str(HERE / "gate_load.py"), str(path), str(file)]
        done = subprocess.run(
            [*command, str(CONNECTIONS), str(count)], capture_output=True, text=True, check=True
        )
        found: dict[str, Any] = json.loads(done.stdout)
        rate = found["count"] / found["seconds"]
        return Figures(name, rate, found["ms"]["50"], found["ms"]["99"], found["refused"])

    def lose_index(self) -> None:
        """The file is no database any more."""
        for file in self._folder.glob("index.db*"):
            file.write_bytes(b"x" * 8192)

    def _images(self) -> None:
        good = [{f"srv/part{layer}": "x" * 100} for layer in range(10)]
        images = {"good": build(good), **{f"cold{n}": build([{"x": str(n)}]) for n in range(COLD)}}
        write_oci_layout(self._folder / "images", images)
        names = [f"oci:{self._folder}/images:{name}" for name in images]
        self._wait("index", "--quiet", *names)
        self._wait("trust", "add", names[0], "--reason", "bench")
        told = {name: as_told(image) for name, image in images.items()}
        (self._folder / "engine.json").write_text(json.dumps(told))

    def _wait(self, *words: str) -> None:
        assert self._layerproof(*words).wait(900) == 0, words[:2]

    def _layerproof(self, *words: str) -> "subprocess.Popen[bytes]":
        return self._start(sys.executable, "-m", "layerproof.cli.main", *words)

    def _start(self, *command: str) -> "subprocess.Popen[bytes]":
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(
                command, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )


def as_told(image: BuiltImage) -> dict[str, object]:
    """ImageInspect."""
    layers = [str(diff_id) for diff_id in image.diff_ids]
    return {"Id": str(image.config_digest), "RootFS": {"Type": "layers", "Layers": layers}}


def request(image: str) -> dict[str, object]:
    """What the engine sends of `docker run`, with the settings that the client sends."""
    host: dict[str, object] = {
        "NetworkMode": "default", "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
        "Binds": None, "LogConfig": {"Type": "", "Config": {}}, "Devices": [], "Memory": 0,
    }  # fmt: skip
    body = {
        "Hostname": "", "Env": ["PATH=/bin"], "Cmd": ["/run"], "Image": image, "Volumes": {},
        "Labels": {}, "HostConfig": host, "NetworkingConfig": {"EndpointsConfig": {}},
    }  # fmt: skip
    return {
        "RequestMethod": "POST",
        "RequestUri": "/v1.41/containers/create",
        "RequestBody": base64.b64encode(json.dumps(body).encode()).decode(),
        "RequestHeaders": {"Content-Type": "application/json", "User-Agent": "Docker-Client"},
    }


def main() -> int:
    """Print the figures, and write them down where that is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=20_000, help="requests of one round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--reviews", type=int, default=100_000, help="after which memory is read")
    parser.add_argument("--write-docs", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lp-", dir="/tmp") as text:
        bench = Bench(Path(text))
        with bench.running() as gate:
            lines = measured(bench, gate, options.count, options.rounds, options.reviews)
    table = "\n".join([machine(), "", *lines])
    sys.stdout.write(table + "\n")
    if options.write_docs:
        write_section("gates", INTRO, table)
    return 0


def measured(
    bench: Bench, gate: "psutil.Process", count: int, rounds: int, reviews: int
) -> list[str]:
    """The lines of the table."""
    bench.load("warm", bench.gate, ["good"], 500)
    found: dict[str, list[Figures]] = {"no-op": [], "hot": []}
    for _ in range(rounds):  # one after the other, so that both meet the same machine
        found["no-op"].append(bench.load("no-op plugin", bench.noop, ["good"], count))
        found["hot"].append(bench.load("hot, by name", bench.gate, ["good"], count))
    noop, hot = (median(runs) for runs in found.values())
    cold = bench.load("cold, each once", bench.gate, [f"cold{n}" for n in range(COLD)], COLD)
    before = gate.memory_info().rss
    began = time.monotonic()
    many = bench.load("hot, by name", bench.gate, ["good"], reviews)
    after = gate.memory_info().rss
    took = time.monotonic() - began
    bench.lose_index()
    gone = bench.load("index gone", bench.gate, ["good"], GONE)
    good = hot.rate >= GOAL and hot.p99 <= GOAL_P99
    lines = [
        f"{'Docker gate, SQLite':<28}{'per second':>12}{'p50 ms':>9}{'p99 ms':>9}{'refused':>9}"
    ]
    lines += [line(figures) for figures in (noop, hot, cold, gone)]
    lines += [
        "",
        f"goal {GOAL:,.0f}/s and p99 {GOAL_P99:g} ms, hot: {'met' if good else 'MISSES'}",
        f"memory after {reviews:,} reviews ({took:.0f} s, {many.refused} refused):"
        f" {before / 1e6:.1f} -> {after / 1e6:.1f} MB",
    ]
    return lines


def median(runs: list[Figures]) -> Figures:
    """Of each figure."""
    return Figures(
        runs[0].name,
        statistics.median(run.rate for run in runs),
        statistics.median(run.p50 for run in runs),
        statistics.median(run.p99 for run in runs),
        max(run.refused for run in runs),
    )


def line(figures: Figures) -> str:
    """One row."""
    return (
        f"{figures.name:<28}{figures.rate:>12,.0f}{figures.p50:>9.2f}{figures.p99:>9.2f}"
        f"{figures.refused:>9,}"
    )


if __name__ == "__main__":
    sys.exit(main())
