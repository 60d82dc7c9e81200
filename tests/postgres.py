"""A real PostgreSQL for tests: one cluster per test process, in a folder of its own, on a Unix
socket; one database per test, copied from one with the newest schema.

PostgreSQL refuses to run as root, so root runs it as the user that owns Debian's package.
"""

import atexit
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from glob import glob
from itertools import count
from pathlib import Path
from typing import NoReturn

import psycopg
import pytest

from layerproof.store.postgresql import engine_of, prepare

_NUMBERS = count()


def fresh_database() -> str:
    """The URL of a new, empty index. Skips the test where there is no PostgreSQL."""
    folder = cluster()
    name = f"t{next(_NUMBERS)}"
    _execute(folder, f"CREATE DATABASE {name} TEMPLATE newest")
    return database_url(folder, name)


def empty_database() -> str:
    """The URL of a database without any table."""
    folder = cluster()
    name = f"t{next(_NUMBERS)}"
    _execute(folder, f"CREATE DATABASE {name}")
    return database_url(folder, name)


def database_url(folder: Path, name: str) -> str:
    """As LAYERPROOF_INDEX has it."""
    return f"postgresql://layerproof@/{name}?host={folder}"


@cache
def cluster() -> Path:
    """The folder of a running cluster, which ends with this process."""
    if not shutil.which("initdb", path=_programs()):
        _skip("initdb is not installed")
    folder = Path(tempfile.mkdtemp(prefix="lp-pg-", dir="/tmp"))
    user = _owner(folder)
    atexit.register(_stop, folder, user)
    initdb = ["initdb", "-D", f"{folder}/data", "-U", "layerproof", "-A", "trust", "-N"]
    _run(user, [*initdb, "--no-locale", "-E", "UTF8"])
    _start(folder, user)
    _execute(folder, "CREATE DATABASE newest")
    engine = engine_of(database_url(folder, "newest"))
    prepare(engine)
    engine.dispose()
    return folder


def crash(folder: Path) -> None:
    """End the server at once, as a power cut would, and start it again."""
    with stopped(folder):
        pass


@contextmanager
def stopped(folder: Path) -> Iterator[None]:
    """Meanwhile the server is gone, as after a power cut."""
    user = _owner(folder)
    _run(user, ["pg_ctl", "-D", f"{folder}/data", "-m", "immediate", "-w", "stop"])
    try:
        yield
    finally:
        _start(folder, user)
        _until_it_answers(folder)


def _start(folder: Path, user: str) -> None:
    options = f"-k {folder} -c listen_addresses= -c max_connections=200"
    start = ["pg_ctl", "-D", f"{folder}/data", "-o", options, "-l", f"{folder}/log", "-w", "start"]
    _run(user, start)


def _until_it_answers(folder: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            _execute(folder, "SELECT 1")
            return
        except psycopg.OperationalError:  # it recovers still
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _execute(folder: Path, statement: str) -> None:
    where = database_url(folder, "postgres")
    with psycopg.connect(where, autocommit=True) as connection:
        connection.execute(statement.encode())


def _owner(folder: Path) -> str:
    """The user to run as: "" for this one."""
    if os.geteuid() != 0:
        return ""
    try:
        found = pwd.getpwnam("postgres")
    except KeyError:
        _skip("root may not run PostgreSQL, and there is no user postgres")
    os.chown(folder, found.pw_uid, found.pw_gid)
    return "postgres"


def _run(user: str, command: list[str]) -> None:
    program = shutil.which(command[0], path=_programs()) or command[0]
    command = [program, *command[1:]]
    if user:
        command = ["runuser", "-u", user, "--", *command]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, cwd="/"
    )
    if done.returncode:
        _skip(f"PostgreSQL does not start: {done.stderr.strip()[-300:]}")


def _programs() -> str:
    versions = sorted(glob("/usr/lib/postgresql/*/bin"), reverse=True)
    return ":".join([os.environ.get("PATH", ""), *versions, "/usr/sbin", "/sbin"])


def _stop(folder: Path, user: str) -> None:
    _run_quietly(user, ["pg_ctl", "-D", f"{folder}/data", "-m", "immediate", "stop"])
    shutil.rmtree(folder, ignore_errors=True)


def _run_quietly(user: str, command: list[str]) -> None:
    program = shutil.which(command[0], path=_programs()) or command[0]
    prefix = ["runuser", "-u", user, "--"] if user else []
    subprocess.run([*prefix, program, *command[1:]], capture_output=True, check=False, cwd="/")


def _skip(why: str) -> NoReturn:
    pytest.skip(f"no PostgreSQL: {why}")
