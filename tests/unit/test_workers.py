"""Forked workers: every job once, progress and errors come back, nobody is left behind."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from layerproof.engine.ports import DONE
from layerproof.errors import DigestMismatchError, LimitExceededError, TarError
from layerproof.workers import Forked, Inline, WorkerCrashedError

Report = Callable[[int, int], None]


def children() -> list[int]:
    """Processes that this one has not yet waited for."""
    found = []
    try:
        while (pid := os.waitpid(-1, os.WNOHANG)[0]) != 0:
            found.append(pid)
    except ChildProcessError:
        pass
    return found


@pytest.mark.parametrize("workers", [Inline(), Forked(1), Forked(2), Forked(4)])
def test_every_job_runs_exactly_once(workers: Inline | Forked, tmp_path: Path) -> None:
    def work(job: int, report: Report) -> None:
        (tmp_path / str(job)).open("x").close()
        report(job, 10)
        report(job, DONE)

    done = []
    jobs = list(range(20))
    workers.run(jobs, work, lambda job, count: done.append(job) if count == DONE else None)
    assert sorted(int(p.name) for p in tmp_path.iterdir()) == jobs
    assert sorted(done) == jobs
    assert children() == []


@pytest.mark.parametrize(
    "error",
    [
        DigestMismatchError("other bytes", where="layer 3", remedy="do not use it"),
        TarError("bad header", offset=512),
        LimitExceededError("too many", limit="entries"),
    ],
)
def test_error_of_a_child_comes_back_whole(error: Exception) -> None:
    parent = os.getpid()

    def work(job: int, report: Report) -> None:
        if os.getpid() != parent:
            raise error

    with pytest.raises(type(error)) as caught:
        Forked(2).run(list(range(8)), _until_child_took_one(work, parent), _silent)
    assert str(caught.value) == str(error)
    assert caught.value.__dict__ == error.__dict__
    assert children() == []


def _silent(job: int, count: int) -> None:
    pass


def test_killed_child_is_an_error() -> None:
    parent = os.getpid()

    def work(job: int, report: Report) -> None:
        if os.getpid() != parent:
            os.kill(os.getpid(), 9)

    with pytest.raises(WorkerCrashedError, match="SIGKILL"):
        Forked(2).run(list(range(8)), _until_child_took_one(work, parent), _silent)
    assert children() == []


def test_defect_in_a_child_is_an_error_with_its_place() -> None:
    parent = os.getpid()

    def work(job: int, report: Report) -> None:
        if os.getpid() != parent:
            raise KeyError("the defect")

    with pytest.raises(WorkerCrashedError, match="the defect"):
        Forked(2).run(list(range(8)), _until_child_took_one(work, parent), _silent)
    assert children() == []


def test_error_of_the_caller_ends_the_children() -> None:
    parent = os.getpid()
    read, write = os.pipe()

    def work(job: int, report: Report) -> None:
        if os.getpid() == parent:
            raise TarError("mine", offset=1)
        os.read(read, 1)  # for ever: nobody writes

    with pytest.raises(TarError, match="mine"):
        Forked(2).run([0, 1], work, _silent)
    os.close(read)
    os.close(write)
    assert children() == []


def _until_child_took_one(
    work: Callable[[int, Report], None], parent: int
) -> Callable[[int, Report], None]:
    """The caller waits in its first job until a child began one: else it might do them all."""
    read, write = os.pipe()

    def waiting(job: int, report: Report) -> None:
        if os.getpid() == parent:
            os.read(read, 1)
            os.write(write, b"x")
        else:
            os.write(write, b"x")
        work(job, report)

    return waiting
