"""Jobs in child processes: what a child does wrong hurts its own job only."""

import json
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from layerproof.engine.queue import CancelledError, next_try
from layerproof.errors import (
    CorruptImageError,
    DigestMismatchError,
    IndexUnavailableError,
    PolicyError,
)
from layerproof.model.job import Job, JobState, Priority
from layerproof.server.children import ChildDiedError, Children, JobTimeoutError

NOW = datetime(2026, 3, 9, tzinfo=UTC)
# A child that does as its job says; it writes down which jobs it began.
CHILD = """\
import json, os, subprocess, sys, time
for line in sys.stdin:
    told = json.loads(line)["arguments"]
    with open(sys.argv[1], "a") as log:
        log.write(f"{told['name']} {os.getpid()}\\n")
    for text in told["say"]:
        if text == "DIE":
            os._exit(9)
        if text == "FORK":
            child = subprocess.Popen(["sleep", "600"])
            text = json.dumps({"progress": {"pid": child.pid}})
        if text.startswith("SLEEP"):
            time.sleep(float(text[5:]))
            continue
        print(text, flush=True)
"""
DONE = '{"done": true}'
PROGRESS = '{"progress": {"layers": 1}}'


class Told:
    """A job as its work sees it."""

    def __init__(self, fails: bool = False) -> None:
        self.fails = fails
        self.documents: list[Mapping[str, object]] = []
        self.stop = threading.Event()

    def progress(self, document: Mapping[str, object]) -> None:
        self.documents.append(document)
        if self.fails:
            raise IndexUnavailableError("the database is away")

    def cancelled(self) -> bool:
        return self.stop.is_set()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def children(log: Path) -> Iterator[Children]:
    found = Children({}, [sys.executable, "-c", CHILD, str(log)])
    yield found
    found.close()


def job(name: str, *say: str) -> Job:
    return Job(
        id=1,
        kind="index",
        key=name,
        turn=name,
        arguments={"name": name, "say": list(say)},  # type: ignore[dict-item]
        priority=Priority.PUSHED,
        state=JobState.RUNNING,
        attempts=1,
        queued_at=NOW,
    )


def begun(log: Path) -> list[str]:
    return [line.split()[0] for line in log.read_text().splitlines()]


def processes(log: Path) -> set[str]:
    return {line.split()[1] for line in log.read_text().splitlines()}


def error_line(kind: str, message: str) -> str:
    return json.dumps(
        {"error": {"class": kind, "args": [message], "message": message, "where": "x",
                   "remedy": "y"}}
    )  # fmt: skip


def test_one_child_does_many_jobs_and_tells_how_far_it_is(children: Children, log: Path) -> None:
    told = Told()
    for name in "abc":
        children.work(job(name, PROGRESS, DONE), told)
    assert len(told.documents) == 3
    assert begun(log) == ["a", "b", "c"]
    assert len(processes(log)) == 1


def test_what_a_job_raised_is_raised_and_its_child_goes_on(children: Children, log: Path) -> None:
    with pytest.raises(DigestMismatchError, match="other bytes") as caught:
        children.work(job("a", error_line("DigestMismatchError", "other bytes")), Told())
    assert (caught.value.where, caught.value.remedy) == ("x", "y")
    children.work(job("b", DONE), Told())
    assert len(processes(log)) == 1


def test_a_child_that_crashes_fails_its_job_with_its_status_and_is_replaced(
    children: Children, log: Path
) -> None:
    with pytest.raises(ChildDiedError, match="status 9"):
        children.work(job("a", PROGRESS, "DIE"), Told())
    children.work(job("b", DONE), Told())
    assert len(processes(log)) == 2


def test_a_job_whose_child_died_is_tried_again_and_corrupt_bytes_are_not() -> None:
    assert next_try(ChildDiedError("x"), 1, NOW) is not None
    assert next_try(JobTimeoutError("x"), 1, NOW) is not None
    assert next_try(PolicyError("x"), 1, NOW) is not None
    assert next_try(CorruptImageError("x"), 1, NOW) is None


@pytest.mark.parametrize("line", ["nonsense", "[1]", '"progress"', "{}}"])
def test_a_child_that_says_nonsense_is_replaced(children: Children, log: Path, line: str) -> None:
    with pytest.raises(ChildDiedError, match="no message"):
        children.work(job("a", line, DONE), Told())
    children.work(job("b", DONE), Told())
    assert len(processes(log)) == 2


def test_a_job_left_in_the_middle_is_not_taken_for_the_next_one(
    children: Children, log: Path
) -> None:
    """The end of a job that nobody waited for must not make the next one `done`."""
    with pytest.raises(IndexUnavailableError):
        children.work(job("a", PROGRESS, "SLEEP0.2", DONE), Told(fails=True))
    told = Told()
    children.work(job("b", '{"progress": {"of": "b"}}', DONE), told)
    assert begun(log) == ["a", "b"]
    assert told.documents == [{"of": "b"}]


def test_a_cancelled_job_ends_its_child_with_all_that_it_started(
    children: Children, log: Path
) -> None:
    told = Told()
    threading.Timer(0.3, told.stop.set).start()
    began = time.monotonic()
    with pytest.raises(CancelledError):
        children.work(job("a", "FORK", "SLEEP600"), told)
    assert time.monotonic() - began < 60
    pids = [int(processes(log).pop()), int(str(told.documents[0]["pid"]))]
    deadline = time.monotonic() + 30
    while any(map(lives, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(lives, pids))


def lives(pid: int) -> bool:
    """Whether it runs; one that ended and that nobody asked about yet does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def test_a_job_without_end_is_ended(log: Path) -> None:
    found = Children({}, [sys.executable, "-c", CHILD, str(log)], timedelta(seconds=1))
    try:
        with pytest.raises(JobTimeoutError, match="not done after"):
            found.work(job("a", *[PROGRESS, "SLEEP0.1"] * 6000), Told())
        found.work(job("b", DONE), Told())
        assert len(processes(log)) == 2
    finally:
        found.close()
