"""`kill -9` at any moment loses and corrupts nothing, and the next run completes."""

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.e2e.made_image import write_image
from tests.e2e.program import Program
from tests.e2e.rows import QUERIES, Row, problems, rows, tables

# Twenty kills: on each of ten indexes two, the second while the first one's work is continued.
INDEXES = range(10)
KILLS = range(2)
DEATH_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Undisturbed:
    """An image, how long a run on it takes, and the rows that it leaves."""

    reference: str
    seconds: float
    rows: dict[str, list[Row]]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    folder = tmp_path_factory.mktemp("undisturbed")
    write_image(folder / "image", layers=12, files=2000)
    reference = f"oci:{folder / 'image'}"
    started = time.monotonic()
    Program(folder / "index.db").indexed(reference)
    return Undisturbed(reference, time.monotonic() - started, rows(folder / "index.db"))


@contextmanager
def running(program: Program, reference: str) -> Iterator[subprocess.Popen[bytes]]:
    """`layerproof index` as the leader of a process group, which is gone at the end."""
    process = subprocess.Popen(
        program.command("index", reference),
        env=program.variables(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.wait()
        if process.stderr:
            process.stderr.close()
        wait_for_group(process.pid)


def wait_for_group(group: int) -> None:
    """Workers that lost their parent end by themselves; the test fails when they do not."""
    deadline = time.monotonic() + DEATH_SECONDS
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.01)
    os.killpg(group, signal.SIGKILL)
    pytest.fail("worker processes outlived the indexer that was killed")


def kill_after(program: Program, reference: str, seconds: float, *, group: bool) -> None:
    """SIGKILL for the program alone, or for it and its workers at once."""
    with running(program, reference) as process:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            if group:
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()


def check_what_is_left(index: Path, undisturbed: Undisturbed, folder: Path) -> None:
    """A sound file whose rows are a part of the undisturbed ones: each is wholly there or not.

    Looks at a copy, since opening the file would already repair it for the next run.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for file in index.parent.glob(f"{index.name}*"):
        shutil.copyfile(file, folder / file.name)
    copied = folder / index.name
    if not copied.exists() or not tables(copied) >= QUERIES.keys():
        return  # killed before the schema stood
    assert problems(copied) == []
    for table, found in rows(copied).items():
        assert set(found) <= set(undisturbed.rows[table]), table


@pytest.mark.parametrize("number", INDEXES)
def test_killed_indexer_leaves_whole_rows_and_the_next_run_completes(
    number: int, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    chance = random.Random(number)
    index = tmp_path / "index" / "index.db"
    index.parent.mkdir()
    program = Program(index)
    for kill in KILLS:
        seconds = chance.uniform(0.2, 1) * undisturbed.seconds  # before that it only starts
        kill_after(program, undisturbed.reference, seconds, group=bool(kill))
        check_what_is_left(index, undisturbed, tmp_path / "copy")

    program.indexed(undisturbed.reference)
    assert problems(index) == []
    assert rows(index) == undisturbed.rows


def test_killed_worker_is_an_error_and_the_next_run_completes(
    undisturbed: Undisturbed, tmp_path: Path
) -> None:
    index = tmp_path / "index.db"
    program = Program(index, {"LAYERPROOF_WORKERS": "3"})
    with running(program, undisturbed.reference) as process:
        killed = kill_a_child(process)
        _, complaints = process.communicate(timeout=60)
    if not killed:
        pytest.skip("the indexer used no worker process")
    assert process.returncode == 3
    assert b"worker-crashed" in complaints

    program.indexed(undisturbed.reference)
    assert problems(index) == []
    assert rows(index) == undisturbed.rows


def kill_a_child(process: subprocess.Popen[bytes]) -> bool:
    """Kill the first worker as soon as there is one; False when there never was."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while process.poll() is None:
        try:
            found = children.read_text().split()
        except OSError:
            return False
        if found:
            os.kill(int(found[0]), signal.SIGKILL)
            return True
    return False


def test_two_indexers_on_one_index_at_once_leave_the_same_rows(
    undisturbed: Undisturbed, tmp_path: Path
) -> None:
    program = Program(tmp_path / "index.db")
    with (
        running(program, undisturbed.reference) as first,
        running(program, undisturbed.reference) as second,
    ):
        complaints = [first.communicate()[1], second.communicate()[1]]
    assert [first.returncode, second.returncode] == [0, 0], complaints
    assert problems(tmp_path / "index.db") == []
    assert rows(tmp_path / "index.db") == undisturbed.rows
