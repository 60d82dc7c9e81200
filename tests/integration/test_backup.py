"""Backup and restore as docs/how-to/back-up-and-restore.md says, by the very commands of that page:
what is restored answers as what was backed up."""

import os
import re
import shutil
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.contract.index_examples import (
    ANALYSERS,
    MONDAY,
    TUESDAY,
    chains,
    contents,
    diff,
    event,
    image,
    trust,
    withdrawal,
)
from tests.integration.test_store_processes import sound
from tests.postgres import _programs, cluster, fresh_database

from layerproof.engine.decide import decide
from layerproof.engine.ports import Index
from layerproof.errors import UsageError
from layerproof.model.access import AccessToken, Role
from layerproof.model.change import ChangeSet
from layerproof.oci import changecodec
from layerproof.policy.defaults import DEFAULT_POLICY
from layerproof.store.ledger import SqlLedger
from layerproof.store.postgresql import PostgresExecutor, engine_of, open_postgresql
from layerproof.store.sqlite import SqliteExecutor, back_up
from layerproof.store.sqlite_index import open_sqlite

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "back-up-and-restore.md"
NOW = datetime(2026, 3, 1, tzinfo=UTC)
TOKEN = AccessToken("id", "ci", Role.ADMIN, b"\x07" * 32, "root", MONDAY, NOW)


def commands(heading: str) -> list[str]:
    """The commands of a section, each on one line."""
    section = PAGE.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"```console\n(.*?)```", section, re.DOTALL)
    return "".join(blocks).replace("\\\n", "").splitlines()


def fill(index: Index) -> None:
    of = image("ab")
    for letter in "ab":
        index.put_contents(contents(letter, diff_id=diff(letter)), None)
    index.put_image(of, chains(of, changes=changecodec.encode(ChangeSet())), MONDAY)
    index.put_trust(trust(image("a")))
    index.put_withdrawals([withdrawal()])
    index.put_events([event()])


def answers(index: Index) -> tuple[object, ...]:
    """What the service says: the verdict on the image, and everybody's word."""
    known = next(iter(index.images())).image
    verdict = decide(index, known, DEFAULT_POLICY, NOW, ANALYSERS).verdict
    return verdict, index.trust_records(), index.withdrawals(), list(index.events())


def run(command: str, **settings: str) -> None:
    done = subprocess.run(
        ["bash", "-euc", command],
        env={**os.environ, "PATH": _programs(), **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


@pytest.fixture
def program(tmp_path: Path) -> str:
    """`layerproof` as the page writes it."""
    source = Path(__file__).parents[2] / "src"
    return f"PYTHONPATH={source} {sys.executable} -m layerproof.cli.main"


@pytest.mark.parametrize("way", ["while it runs", "with the service stopped"])
def test_an_sqlite_index_is_restored_by_the_pages_commands(
    tmp_path: Path, program: str, way: str
) -> None:
    home, backup = tmp_path / "home", tmp_path / "backup"
    path = home / ".local/share/layerproof/index.db"
    backup.mkdir()
    index = open_sqlite(path)
    fill(index)
    before = answers(index)
    index.close()
    executor = SqliteExecutor(path)
    SqlLedger(executor).put_token(TOKEN)
    executor.close()
    steps = [c for c in commands("SQLite") if not c.startswith("systemctl")]
    live, copied, *restore = steps
    assert (live, len(restore)) == ("layerproof index backup /backup/index.db", 3)
    for step in [live if way == "while it runs" else copied, *restore]:
        command = step.replace("/backup", str(backup)).replace("~", str(home))
        command = command.replace("layerproof index", f"{program} index")
        run(command, LAYERPROOF_INDEX=str(path), HOME=str(home))
        if step.startswith("rm"):
            assert not list(path.parent.glob("index.db*"))
    restored = open_sqlite(path)
    assert answers(restored) == before
    restored.close()
    executor = SqliteExecutor(path)
    assert SqlLedger(executor).tokens() == [TOKEN]
    executor.close()
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.skipif(not shutil.which("pg_dump", path=_programs()), reason="no pg_dump")
def test_a_postgresql_index_is_restored_by_the_pages_commands(tmp_path: Path, program: str) -> None:
    url = fresh_database()
    name = engine_of(url).url.database
    index = open_postgresql(url)
    fill(index)
    before = answers(index)
    index.close()
    engine = engine_of(url)
    SqlLedger(PostgresExecutor(engine)).put_token(TOKEN)
    engine.dispose()
    steps = [c for c in commands("PostgreSQL") if "docker compose" not in c]
    steps = [c for c in steps if not c.startswith("  --username")]
    assert [step.split()[0] for step in steps] == [
        "pg_dump", "dropdb", "createdb", "pg_restore", "layerproof",
    ]  # fmt: skip
    for step in steps:
        command = step.replace("db.example", str(cluster())).replace("/backup", str(tmp_path))
        command = command.replace("--username=postgres", "--username=layerproof")
        command = re.sub(r"(--dbname=| )layerproof$", rf"\g<1>{name}", command)
        command = command.replace("--dbname=layerproof ", f"--dbname={name} ")
        command = command.replace("layerproof index", f"{program} index")
        run(command, LAYERPROOF_INDEX=url)
    restored = open_postgresql(url)
    assert answers(restored) == before
    restored.put_events([event("later", at=TUESDAY)])  # keys go on where they were
    restored.close()
    engine = engine_of(url)
    assert SqlLedger(PostgresExecutor(engine)).tokens() == [TOKEN]
    engine.dispose()


def test_a_backup_while_somebody_writes_is_of_one_moment(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    index = open_sqlite(path)
    fill(index)
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            index.put_events([event(f"{number}-{n}") for n in range(20)])
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(5):
            copy = tmp_path / f"copy-{number}.db"
            assert back_up(path, copy) == copy.stat().st_size
            assert copy.stat().st_mode & 0o077 == 0
            assert sound(copy)
            opened = open_sqlite(copy)
            count = len(list(opened.events())) - 1
            assert count % 20 == 0  # whole transactions
            (account,) = opened.accounts()
            assert sum(account.counts.values()) == count + 1
            opened.close()
    finally:
        stop.set()
        writer.join()
        index.close()


def test_a_backup_overwrites_nothing_and_makes_no_index(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    with pytest.raises(UsageError, match="no index"):
        back_up(path, tmp_path / "copy.db")
    assert not list(tmp_path.iterdir())
    open_sqlite(path).put_cached("a", b"b")
    with pytest.raises(UsageError, match="cannot be written"):
        back_up(path, tmp_path / "no" / "such" / "folder.db")
    (tmp_path / "copy.db").write_bytes(b"mine")
    with pytest.raises(UsageError, match="exists already"):
        back_up(path, tmp_path / "copy.db")
    assert (tmp_path / "copy.db").read_bytes() == b"mine"
