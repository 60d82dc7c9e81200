"""The service under load on loopback: decisions by digest, and notifications written down, on
SQLite and on PostgreSQL.

    python bench/service.py [--seconds 8] [--rounds 3] [--write-docs]

`wrk` makes the requests, on the same processors; each run lasts a few seconds and ends by itself.
Beside each figure stands the same server's answer to `/healthz`, which looks nothing up: what the
HTTP server alone costs. Processor time is the service's own, of all its processes.
"""

import argparse
import contextlib
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.e2e.made_image import write_image
from tests.e2e.service import Running, clean, service
from tests.postgres import fresh_database

from pages import machine, write_section

DECISIONS = 2000.0  # what the project promises, per second
DECISION_P99 = 25.0  # ms
NOTIFICATIONS = 1000.0
CONNECTIONS = {"decisions": 16, "notifications": 64, "no-op": 16}
PATHS = {
    "decisions": "/api/v1/decisions",
    "notifications": "/api/v1/notifications",
    "no-op": "/healthz",
}
DECISION = """
wrk.method = "POST"
wrk.headers["Authorization"] = "Bearer {token}"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{body}'
"""
NOTIFICATION = """
local count = 0
local id = "{salt}" .. tostring(math.random(1000000000))
wrk.method = "POST"
wrk.headers["Authorization"] = "Bearer {token}"
wrk.headers["Content-Type"] = "application/vnd.docker.distribution.events.v2+json"
local thread_count = 0
function setup(thread) thread_count = thread_count + 1; thread:set("number", thread_count) end
function request()
  count = count + 1
  local event = '{{"events":[{{"id":"' .. number .. "-" .. id .. count ..
    '","timestamp":"2026-01-01T00:00:00Z","action":"pull","target":{{"mediaType":' ..
    '"application/vnd.oci.image.manifest.v1+json","digest":"{digest}","repository":"a/b"}},' ..
    '"request":{{"addr":"192.0.2.1:1"}},"actor":{{"name":"alice"}}}}]}}'
  return wrk.format(nil, nil, nil, event)
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    """One run of wrk."""

    rate: float  # requests per second
    p99: float  # ms
    cpu: float  # µs of the service's processor time per request
    refused: int


@dataclass(frozen=True, slots=True)
class Row:
    """Medians over the rounds."""

    database: str
    what: str
    loads: Sequence[Load]

    def cells(self) -> tuple[str, ...]:
        """For the table."""
        found = median_load(self.loads)
        rate, p99, cpu = found.rate, found.p99, found.cpu
        return (
            self.database,
            self.what,
            f"{rate:,.0f}/s",
            f"{p99:.1f} ms",
            f"{cpu:.0f} µs",
            str(found.refused),
            self._goal(rate, p99),
        )

    def _goal(self, rate: float, p99: float) -> str:
        if self.what == "decisions":
            met = rate >= DECISIONS and p99 <= DECISION_P99
            return "ok" if met else f"MISSES {DECISIONS:,.0f}/s, {DECISION_P99:.0f} ms"
        if self.what == "notifications":
            return "ok" if rate >= NOTIFICATIONS else f"MISSES {NOTIFICATIONS:,.0f}/s"
        return ""


INTRO = """## The service

One process of `layerproof serve`, with `wrk` on the same processors: decisions by digest for an
indexed image of 10 layers (16 connections), notifications of one pull each, answered when they are
on the disk (64 connections). The no-op is the same server's `/healthz`, a route of the framework
that looks nothing up. Processor time is the service's own, per request.
"""
HEADER = ("database", "what", "rate", "p99", "CPU", "refused", "goal")


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write-docs", action="store_true", help="write docs/benchmarks.md")
    options = parser.parse_args()
    if not shutil.which("wrk"):
        sys.stderr.write("wrk is not installed; on Debian: apt-get install wrk\n")
        return 2
    lines = [f"{machine()}; medians of {options.rounds} runs of {options.seconds} s", ""]
    lines.append(_line(HEADER))
    lines += [_line(row.cells()) for row in measure_service(options.seconds, options.rounds)]
    text = "\n".join(lines)
    sys.stdout.write(f"{text}\n")
    if options.write_docs:
        write_section("service", INTRO, text)
    return 0


def _line(cells: Sequence[str]) -> str:
    widths = (10, 13, 8, 9, 9, 7, 0)
    return "  ".join(f"{c:<{w}}" for c, w in zip(cells, widths, strict=True)).rstrip()


def measure_service(seconds: int, rounds: int) -> Iterator[Row]:
    """Every figure."""
    for database in ("SQLite", "PostgreSQL"):
        index = fresh_database() if database == "PostgreSQL" else ""
        with tempfile.TemporaryDirectory() as text, running(Path(text), index) as (found, digest):
            scripts = _scripts(found, digest)
            loads: dict[str, list[Load]] = {what: [] for what in PATHS}
            for _ in range(rounds):
                for what in PATHS:
                    loads[what].append(_load(found, what, scripts[what], Path(text), seconds))
            for what, listed in loads.items():
                yield Row(database, what, listed)


@contextlib.contextmanager
def running(folder: Path, index: str) -> Iterator[tuple[Running, str]]:
    """A service that has one image in its index, and the image's digest."""
    write_image(folder / "image", layers=10, files=50)
    variables = {"LAYERPROOF_INDEX": index or str(folder / "layerproof/index.db")}
    command = [sys.executable, "-m", "layerproof.cli.main", "index", "--output", "json"]
    command.append(f"oci:{folder}/image:latest")
    done = subprocess.run(command, env=clean(variables), capture_output=True, check=True)
    digest = json.loads(done.stdout)["manifestDigest"]
    (folder / "service.yaml").write_text("requestsPerSecond: 1000000\n")
    variables["LAYERPROOF_SERVICE_CONFIG"] = str(folder / "service.yaml")
    with service(folder, variables, "--workers", "0") as found:
        yield found, digest


def _scripts(found: Running, digest: str) -> Mapping[str, str]:
    notifier = found.notifier("registry.example")
    return {
        "decisions": DECISION.format(token=found.token, body=json.dumps({"image": digest})),
        "notifications": NOTIFICATION.format(token=notifier, digest=digest, salt="bench"),
        "no-op": "",
    }


def _load(found: Running, what: str, script: str, folder: Path, seconds: int) -> Load:
    url = f"{found.url}{PATHS[what]}"
    return run_wrk(url, script, folder, seconds, CONNECTIONS[what], found.process.pid)


def run_wrk(url: str, script: str, folder: Path, seconds: int, connections: int, pid: int) -> Load:
    """One run against an address; the processor time is that of the process."""
    file = folder / "load.lua"
    file.write_text(script)
    before = _cpu(pid)
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]
    command += ["-s", str(file), url]
    report = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "99%" not in report:
        raise RuntimeError(f"wrk measured nothing: {report}")
    spent = _cpu(pid) - before
    count = int(_number(r"(\d+) requests in", report))
    return Load(
        rate=float(_number(r"Requests/sec:\s+(\S+)", report)),
        p99=_milliseconds(_number(r"(?m)^ +99% +(\S+)", report)),
        cpu=1e6 * spent / max(count, 1),
        refused=int(_number(r"Non-2xx or 3xx responses: (\d+)", report, "0")),
    )


def median_load(loads: Sequence[Load]) -> Load:
    """Medians; what was refused is added up."""
    return Load(
        statistics.median(load.rate for load in loads),
        statistics.median(load.p99 for load in loads),
        statistics.median(load.cpu for load in loads),
        sum(load.refused for load in loads),
    )


def _number(pattern: str, report: str, default: str = "") -> str:
    found = re.search(pattern, report)
    return found[1] if found else default


def _milliseconds(text: str) -> float:
    found = re.fullmatch(r"([0-9.]+)(us|ms|s|m)", text)
    if found is None:
        raise ValueError(f"wrk says no time: {text!r}")
    return float(found[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}[found[2]]


def _cpu(pid: int) -> float:
    """Seconds of processor time of a process (proc(5), utime and stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(main())
