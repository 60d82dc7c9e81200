"""Runs a command and says what it cost: wall time, CPU of all its processes, peak memory of all.

Time and memory are taken in separate runs, so that the sampler does not slow down what is timed.

- Wall: from start to exit. CPU: user and system time of the process and of all its children, as
  wait4(2) gives it after the last of them was reaped.
- Memory, every ~10 ms, summed over the whole process tree: PSS (/proc/PID/smaps_rollup), which
  counts a page that n processes share as 1/n in each, so that the sum is what the tree really
  occupies; and RSS (/proc/PID/statm), which counts such a page n times. For one process the two are
  nearly the same. `largest` is the largest process's peak as the kernel keeps it (VmHWM): where it
  is above the sampled PSS, the sampler missed a peak, and the table shows the higher. ru_maxrss
  will not do: a process inherits in it what its parent had before exec.
"""

import os
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
PAGE = os.sysconf("SC_PAGE_SIZE")
INTERVAL = 0.010


class CommandFailedError(Exception):
    """A measured command ended with an unexpected code; the message has what it said."""


@dataclass(frozen=True, slots=True)
class Cost:
    """One run. Memory is None where it was not sampled. Bytes and seconds."""

    wall: float
    cpu: float
    largest: int | None = None
    pss: int | None = None
    rss: int | None = None

    @property
    def memory(self) -> int:
        """The peak that is reported."""
        return max(self.largest or 0, self.pss or 0)


@dataclass(frozen=True, slots=True)
class Summary:
    """Medians of the timed runs, and the memory of the sampled run."""

    wall: float
    cpu: float
    memory: int
    pss: int
    rss: int
    largest: int
    runs: int
    walls: tuple[float, ...]


def process_tree(root: int) -> list[int]:
    """The process and its living descendants. Empty when it is gone."""
    found: list[int] = []
    pending = [root]
    while pending:
        pid = pending.pop()
        try:
            threads = [thread.name for thread in (PROC / str(pid) / "task").iterdir()]
        except OSError:
            continue
        found.append(pid)
        for thread in threads:
            try:
                text = (PROC / str(pid) / "task" / thread / "children").read_text()
            except OSError:
                continue
            pending += [int(child) for child in text.split()]
    return found


def resident(pid: int) -> tuple[int, int]:
    """PSS and RSS of one process; zeros when it is gone."""
    try:
        rss = int((PROC / str(pid) / "statm").read_text().split()[1]) * PAGE
        for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024, rss
    except (OSError, IndexError):
        pass
    return 0, 0


def peak(pid: int) -> int:
    """The highest RSS that one process has had since exec; zero when it is gone."""
    try:
        status = (PROC / str(pid) / "status").read_text()
    except OSError:
        return 0
    found = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(found[0]) * 1024 if found else 0


class Sampler(threading.Thread):
    """Keeps the highest sums over the tree below `root` until `stop` is called."""

    def __init__(self, root: int) -> None:
        super().__init__(daemon=True)
        self.pss = 0
        self.rss = 0
        self.largest = 0
        self._root = root
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(INTERVAL):
            tree = process_tree(self._root)
            each = [resident(pid) for pid in tree]
            self.largest = max(self.largest, *(peak(pid) for pid in tree), 0)
            self.pss = max(self.pss, sum(pss for pss, _ in each))
            self.rss = max(self.rss, sum(rss for _, rss in each))

    def stop(self) -> None:
        """End the thread."""
        self._over.set()
        self.join()


def run_once(
    command: Sequence[str],
    *,
    sample: bool = False,
    env: Mapping[str, str] | None = None,
    allowed: Sequence[int] = (0,),
) -> Cost:
    """Run the command with its output thrown away. Raises CommandFailedError."""
    started = time.perf_counter()
    process = subprocess.Popen(
        command,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        bufsize=0,
    )
    complaints = Drain(process)
    sampler = Sampler(process.pid) if sample else None
    if sampler:
        sampler.start()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    if sampler:
        sampler.stop()
    said = complaints.finish()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in allowed:
        raise CommandFailedError(
            f"{' '.join(command)} ended with {process.returncode}:\n{said[-2000:]}"
        )
    return Cost(
        wall=wall,
        cpu=usage.ru_utime + usage.ru_stime,
        largest=sampler.largest if sampler else None,
        pss=sampler.pss if sampler else None,
        rss=sampler.rss if sampler else None,
    )


class Drain(threading.Thread):
    """Keeps what a process writes to standard error, so that its pipe never fills."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        super().__init__(daemon=True)
        self._process = process
        self._text = b""
        self.start()

    def run(self) -> None:
        if self._process.stderr:
            with self._process.stderr as pipe:
                self._text = pipe.read()

    def finish(self) -> str:
        """What was written."""
        self.join(timeout=5)
        return self._text.decode("utf-8", "replace")


def summarise(timed: Sequence[Cost], sampled: Cost) -> Summary:
    """Medians of the timed runs beside the memory of the sampled one."""
    return Summary(
        wall=statistics.median(cost.wall for cost in timed),
        cpu=statistics.median(cost.cpu for cost in timed),
        memory=sampled.memory,
        pss=sampled.pss or 0,
        rss=sampled.rss or 0,
        largest=sampled.largest or 0,
        runs=len(timed),
        walls=tuple(round(cost.wall, 4) for cost in timed),
    )


def alternate(contestants: Mapping[str, Callable[[bool], Cost]], runs: int) -> dict[str, Summary]:
    """Run the contestants in turn, `runs` times each, and once more each with the sampler.

    A contestant is called with whether to sample; it prepares its own ground outside the clock.
    """
    timed: dict[str, list[Cost]] = {name: [] for name in contestants}
    for _ in range(runs):
        for name, contestant in contestants.items():
            timed[name].append(contestant(False))
    return {
        name: summarise(timed[name], contestant(True)) for name, contestant in contestants.items()
    }
