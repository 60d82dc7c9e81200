"""Imports run downwards only, the core does no I/O, and the command line starts light.

The rows are those of the design: surfaces → wiring → adapters → engine → rules, policy, analysis,
oci … → model, errors. Adapters never import each other. Read from the syntax tree, so that imports
inside functions and under TYPE_CHECKING count as well.
"""

import ast
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src" / "layerproof"

# From the bottom up. A part imports from rows below, and from its own row where `MAY_MIX` says so.
ROWS = (
    {"model", "errors"},
    {"oci", "analysis", "advisories", "signatures", "learning", "rules", "policy", "expressions"},
    {"engine"},
    {
        "sources",
        "store",
        "monitors",
        "gates",
        "report",
        "workers",
        "native",
        "quarantine",
        "testing",
        "feeds",
        "remote",
        "clusters",
        "notifiers",
        "training",
    },
    {"service_notify"},
    {"config", "service_config"},
    {"wiring"},
    {"server"},
    {"cli", "__main__"},  # which starts the service
)
ADAPTERS = 3
CORE = set().union(*ROWS[:ADAPTERS])
# Rules and policy may use each other's vocabulary; adapters never.
MAY_MIX = {0, 1}
ANYWHERE = {"__init__"}  # the package itself: its version

# Files, sockets, clocks, databases, processes and frameworks. Threads are not among them.
IO_MODULES = {
    "aiohttp", "alembic", "asyncio", "click", "ctypes", "fcntl", "fileinput", "ftplib", "glob",
    "grpc", "http", "httpx", "importlib", "mmap", "multiprocessing", "pathlib", "platform",
    "psycopg", "random", "requests", "rich", "secrets", "select", "selectors", "shutil", "signal",
    "socket", "socketserver", "sqlalchemy", "sqlite3", "ssl", "starlette", "subprocess",
    "tempfile", "time", "urllib", "urllib3", "uvicorn",
}  # fmt: skip
# Of these, what is pure.
PURE = {
    "os.path.basename",
    "os.path.dirname",
    "pathlib.PurePath",
    "pathlib.PurePosixPath",
    "urllib.parse",
}
IO_CALLS = {"open", "print", "input", "exec", "eval", "compile", "__import__", "breakpoint"}
CLOCK_CALLS = {"now", "utcnow", "today"}
# What the core may use of modules that also reach outside. `uname`: an index without a platform is
# read for the processor that we run on.
PURE_PARTS = {
    "os": {"fsdecode", "fsencode", "uname"},
    "sys": {"byteorder", "getsizeof", "intern", "maxsize", "version_info"},
}

HEAVY = {
    "alembic", "asyncio", "httpx", "lightgbm", "multiprocessing", "numpy", "pydantic", "rich",
    "sqlalchemy", "yaml", "zstandard",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Import:
    """`name` is absolute and dotted; `line` points at the statement."""

    file: Path
    line: int
    name: str

    def __str__(self) -> str:
        return f"{self.file.relative_to(SOURCE.parent)}:{self.line} imports {self.name}"


@cache
def trees() -> dict[Path, ast.Module]:
    return {file: ast.parse(file.read_text(), str(file)) for file in sorted(SOURCE.rglob("*.py"))}


def part_of(file: Path) -> str:
    """The first name below the package: `oci/tar.py` → `oci`, `errors.py` → `errors`."""
    return file.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports_in(file: Path, tree: ast.Module) -> Iterator[Import]:
    package = ["layerproof", *file.relative_to(SOURCE).parts[:-1]]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(file, node.lineno, alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield Import(file, node.lineno, f"{module}.{alias.name}")


def all_imports() -> list[Import]:
    return [found for file, tree in trees().items() for found in imports_in(file, tree)]


def row_of(part: str) -> int:
    for number, row in enumerate(ROWS):
        if part in row:
            return number
    pytest.fail(f"{part} stands in no row of ROWS: say where it belongs")


def own_part(name: str) -> str | None:
    """`layerproof.oci.tar.Reader` → `oci`; None for other packages and for the package itself."""
    parts = name.split(".")
    if parts[0] != "layerproof" or len(parts) < 2 or parts[1].startswith("__version"):
        return None
    return parts[1]


def upward(found: Import) -> bool:
    """Whether the import goes to a row above, or across one that does not mix."""
    here, there = part_of(found.file), own_part(found.name)
    if there is None or there == here:
        return False
    if here in ANYWHERE:
        return True
    low, high = row_of(there), row_of(here)
    return low > high or (low == high and low not in MAY_MIX)


def does_io(found: Import) -> bool:
    root, _, name = found.name.partition(".")
    if root in PURE_PARTS and name:
        return name not in PURE_PARTS[root] and found.name not in PURE
    pure = any(found.name == name or found.name.startswith(f"{name}.") for name in PURE)
    return root in IO_MODULES and not pure


def io_uses(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and text of built-ins that reach outside, readings of the clock, uses of `os`, `sys`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id in IO_CALLS:
                yield node.lineno, node.func.id
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            owner, name = node.value.id, node.attr
            reads_clock = owner in {"datetime", "date"} and name in CLOCK_CALLS
            reaches_out = owner in PURE_PARTS and name not in PURE_PARTS[owner]
            if reads_clock or reaches_out:
                yield node.lineno, ast.unparse(node)


# --- the source ----------------------------------------------------------------------------------


def test_every_part_stands_in_a_row() -> None:
    for file in trees():
        if part_of(file) not in ANYWHERE:
            row_of(part_of(file))


def test_imports_run_downwards_only() -> None:
    assert [str(found) for found in all_imports() if upward(found)] == []


def test_core_imports_nothing_that_does_io() -> None:
    core = [found for found in all_imports() if part_of(found.file) in CORE]
    assert len(core) > 10
    assert [str(found) for found in core if does_io(found)] == []


def test_core_opens_no_file_and_reads_no_clock() -> None:
    uses = [
        f"{file.relative_to(SOURCE.parent)}:{line} uses {text}"
        for file, tree in trees().items()
        if part_of(file) in CORE
        for line, text in io_uses(tree)
    ]
    assert uses == []


def test_parts_of_the_core_do_not_import_in_circles() -> None:
    needs: dict[str, set[str]] = {part: set() for part in CORE}
    for found in all_imports():
        here, there = part_of(found.file), own_part(found.name)
        if here in CORE and there in CORE and here != there:
            needs[here].add(there)
    # Take away, again and again, the parts that need nothing more; a circle stays.
    while free := {part for part, needed in needs.items() if not needed}:
        needs = {part: needed - free for part, needed in needs.items() if part not in free}
    assert needs == {}


def test_nothing_is_imported_by_star() -> None:
    assert [str(found) for found in all_imports() if found.name.endswith(".*")] == []


def test_command_line_starts_without_the_heavy_parts() -> None:
    if importlib.util.find_spec("layerproof.cli.main") is None:
        pytest.skip("there is no command line")
    code = "import sys, layerproof.cli.main; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert HEAVY & set(done.stdout.split()) == set()


# --- the test itself -----------------------------------------------------------------------------


def find(path: str, code: str) -> list[Import]:
    return list(imports_in(SOURCE / path, ast.parse(code)))


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("model/digest.py", "import layerproof.oci.tar"),
        ("oci/tar.py", "from layerproof.engine import ports"),
        ("engine/indexer.py", "from layerproof.store.sqlite import Store"),
        ("sources/layout.py", "from layerproof.store import sqlite"),
        ("sources/layout.py", "from layerproof import wiring"),
        ("report/table.py", "from ..sources import layout"),
        ("rules/base.py", "def f():\n  from layerproof.cli import main"),
        ("policy/load.py", "if TYPE_CHECKING:\n  import layerproof.config"),
        ("__init__.py", "from layerproof.cli import main"),
        ("server/app.py", "from layerproof.cli import main"),
    ],
)
def test_upward_and_sideways_imports_are_found(path: str, code: str) -> None:
    assert any(upward(found) for found in find(path, code))


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("cli/show.py", "from layerproof.wiring import open_index"),
        ("store/sqlite.py", "from layerproof.engine.ports import Index"),
        ("rules/base.py", "from layerproof.policy.document import Policy"),
        ("oci/tar.py", "from layerproof.oci import limits"),
        ("oci/tar.py", "from . import limits\nimport hashlib"),
        ("cli/main.py", "from layerproof import __version__"),
    ],
)
def test_downward_imports_are_allowed(path: str, code: str) -> None:
    assert not any(upward(found) for found in find(path, code))


@pytest.mark.parametrize(
    "code",
    ["import socket", "from os import path", "import urllib.request", "from pathlib import Path"],
)
def test_io_modules_are_found(code: str) -> None:
    assert any(does_io(found) for found in find("oci/tar.py", code))


@pytest.mark.parametrize("code", ["from pathlib import PurePosixPath", "import urllib.parse"])
def test_pure_parts_of_io_modules_are_allowed(code: str) -> None:
    assert not any(does_io(found) for found in find("oci/tar.py", code))


@pytest.mark.parametrize(
    "code",
    ["open('x')", "datetime.now(UTC)", "date.today()", "sys.stderr.write('x')", "os.stat('x')"],
)
def test_uses_that_reach_outside_are_found(code: str) -> None:
    assert list(io_uses(ast.parse(code)))


@pytest.mark.parametrize(
    "code", ["clock.now()", "sys.intern('x')", "re.compile('x')", "os.uname()"]
)
def test_pure_uses_are_allowed(code: str) -> None:
    assert not list(io_uses(ast.parse(code)))
