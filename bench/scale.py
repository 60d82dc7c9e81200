"""Look-ups in an index of a million layers, on SQLite and on PostgreSQL.

    python bench/scale.py [--layers 1000000] [--keep FOLDER] [--only sqlite]

1. The index is made up (`scale_data`, `scale_copies`); with --keep it stays for another run.
2. Each look-up is asked many times with other keys, hot; the table has medians, 99th percentiles
   and the first one of a new process.
3. Peers: a table of (path hash, layer) rows, for as many layers as --peer says; and what was done
   before, reading the filter of every layer.
"""

import argparse
import json
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from statistics import median
from zlib import crc32

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import psycopg
from tests import postgres

import scale_copies
import scale_data
from layerproof.engine.ports import Index
from layerproof.engine.search import find_file, find_package, find_path
from layerproof.model.digest import ChainId, DiffId
from layerproof.model.image import Image
from layerproof.store.postgresql import engine_of, open_postgresql, prepare
from layerproof.store.postings import holding
from layerproof.store.sqlite import SqliteExecutor
from layerproof.store.sqlite_index import open_sqlite
from pages import machine, write_section

PREFIX_TARGET, SEARCH_TARGET = 0.005, 0.100
RUNS = 200
INTRO = """## A large index

Look-ups with random keys, hot; medians, 99th percentiles, and the first one of a new process. The
index is made up: bases that many images share, most layers small, some of several thousand paths.
"""
SEEDS = 32_000  # layers that the store's own code puts; the others are copies


@dataclass(frozen=True, slots=True)
class Timed:
    """Seconds."""

    median: float
    last: float  # the 99th percentile
    first: float  # of a new process


# --- making --------------------------------------------------------------------------------------


def make(path: Path, layers: int) -> None:
    """The index file, unless it is there."""
    if path.exists():
        return
    copies = min(scale_copies.MOST, max(0, layers // SEEDS - 1))
    say(f"an index of {layers} layers")
    scale_data.fill(SqliteExecutor(path), layers // (copies + 1))
    if copies:
        scale_copies.multiply(path, copies)
        scale_copies.trust_copies(path, copies)
    scale_copies.merge(path)
    if copies:
        scale_copies.check(path, copies)


def make_postgresql(path: Path) -> str:
    """The same rows in a new database of a temporary cluster; its URL."""
    folder = postgres.cluster()
    name = f"scale{time.time_ns()}"
    with psycopg.connect(postgres.database_url(folder, "postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    url = postgres.database_url(folder, name)
    engine = engine_of(url)
    prepare(engine)
    engine.dispose()
    say("the same rows in PostgreSQL")
    scale_copies.to_postgresql(path, url)
    return url


# --- measuring -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Keys:
    """What is asked for."""

    images: Sequence[Image]  # of 30 layers, on trusted bases
    own: Sequence[ChainId]  # layers of one image
    shared: Sequence[ChainId]  # layers of stacks and bases
    lowest: Sequence[ChainId]  # layers that most images have
    paths: Sequence[bytes]
    rare: Sequence[bytes]
    files: Sequence[bytes]
    packages: Sequence[str]


def keys_of(index: Index, images_of: int, seed: int = 11) -> Keys:
    """Random ones; the images are among the last that were indexed."""
    chance = random.Random(seed)
    page = index.images_page(images_of)
    images = [record.image for record in page.items if len(record.image.layers) == 30][:RUNS]
    return Keys(
        images,
        [image.layers[-1].chain_id for image in images],
        [image.layers[chance.randrange(1, 26)].chain_id for image in images],
        [image.layers[0].chain_id for image in images],
        [_path(chance, 3) for _ in range(RUNS)],
        [scale_data.own_path(20 * chance.randrange(1, 1500)) for _ in range(RUNS)],
        [sha256(b"%d" % chance.randrange(4) + _path(chance, 3)).digest() for _ in range(RUNS)],
        [f"p{chance.randrange(scale_data.PACKAGES)}" for _ in range(RUNS)],
    )


def _path(chance: random.Random, power: int) -> bytes:
    package = int(scale_data.PACKAGES * chance.random() ** power)
    return b"usr/share/p%d/file-%d" % (package, chance.randrange(10))


def _prefix(index: Index, chain_ids: Sequence[ChainId]) -> None:
    """What a decision asks of an image's layers: the trusted base, and which are known."""
    index.trust_of(chain_ids)
    index.known_chains(chain_ids, scale_data.ANALYSERS)


def _unknown(number: int) -> list[ChainId]:
    return [ChainId(DiffId.of(b"unknown %d %d" % (number, n))) for n in range(30)]


def questions(index: Index, keys: Keys) -> dict[str, list[Callable[[], object]]]:
    """By name, each with other keys."""
    chains = {image.config_digest: [la.chain_id for la in image.layers] for image in keys.images}
    every: dict[str, list[Callable[[], object]]] = {
        "known prefix of 30 layers": [
            lambda i=i: _prefix(index, chains[i.config_digest])  # type: ignore[misc]  # because the argument binds the variable
            for i in keys.images
        ],
        "  of an unknown image": [
            lambda n=n: _prefix(index, _unknown(n))  # type: ignore[misc]
            for n in range(RUNS)
        ],
        "image by manifest digest": [
            lambda i=i: index.image_by_manifest(i.manifest_digest)  # type: ignore[misc]
            for i in keys.images
        ],
    }
    for name, some in (
        ("images with a layer: its own", keys.own),
        ("  a shared one", keys.shared),
        ("  a lowest one", keys.lowest),
        ("  unknown", [_unknown(n)[0] for n in range(RUNS)]),
    ):
        every[name] = [lambda c=c: index.images_page(100, chain_id=c) for c in some]  # type: ignore[misc]
    for name, paths in (
        ("layers that change a path", keys.paths),
        ("  a rare one", keys.rare),
        ("  /etc/passwd, the last 100", [b"etc/passwd"] * (RUNS // 4)),
        ("  none has it", [b"opt/none-%d" % n for n in range(RUNS)]),
    ):
        every[name] = [lambda p=p: find_path(index, p) for p in paths]  # type: ignore[misc]
    every["layers with a file, by sha256"] = [lambda f=f: find_file(index, f) for f in keys.files]  # type: ignore[misc]
    every["layers with a package"] = [lambda p=p: find_package(index, p) for p in keys.packages]  # type: ignore[misc]
    return every


def measure(where: str) -> dict[str, Timed]:
    """All questions, hot and in new processes."""
    index = opened(where)
    keys = keys_of(index, 900)
    found = {}
    for name, asked in questions(index, keys).items():
        asked[0]()
        times = sorted(map(timed, asked))
        firsts = [first(where, name) for _ in range(3)]
        found[name] = Timed(median(times), times[int(len(times) * 0.99)], median(firsts))
        say(f"{name.strip()}: {found[name].median * 1000:.2f} ms")
    index.close()
    return found


def opened(where: str) -> Index:
    """By path or URL."""
    return open_postgresql(where) if "://" in where else open_sqlite(Path(where))


def timed(ask: Callable[[], object]) -> float:
    """Seconds."""
    started = time.perf_counter()
    ask()
    return time.perf_counter() - started


def first(where: str, name: str) -> float:
    """Of a question with a random key in a process that asked nothing yet, without its start."""
    command = [sys.executable, __file__, "--ask", name, "--where", where]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout))


def ask_first(where: str, name: str) -> None:
    """In the new process. The keys come from another connection: nothing is prepared."""
    other = opened(where)
    keys = keys_of(other, 230, time.time_ns())
    other.close()
    index = opened(where)
    asked = questions(index, keys)[name]
    print(timed(random.SystemRandom().choice(asked)))


# --- sizes and peers -----------------------------------------------------------------------------


def sqlite_sizes(path: Path) -> dict[str, int]:
    """Bytes by table and index, and of the file."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        rows = connection.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name").fetchall()
        owner = dict(connection.execute("SELECT name, tbl_name FROM sqlite_master"))
    except sqlite3.OperationalError:  # a build without dbstat
        rows, owner = [], {}
    connection.close()
    sizes: dict[str, int] = {}
    for name, size in rows:
        sizes[owner.get(name, name)] = sizes.get(owner.get(name, name), 0) + size
    return {**sizes, "": path.stat().st_size}


def postgresql_sizes(url: str) -> dict[str, int]:
    """The same, indexes and oversized values included."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT relname, pg_total_relation_size(oid) FROM pg_class"
            " WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        ).fetchall()
        row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    assert row is not None
    return {**dict(rows), "": row[0]}


def peers(path: Path, layers: int) -> list[str]:
    """What other structures take, on the same filters."""
    chance = random.Random(5)
    source = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    values = [crc32(_path(chance, 3)) for _ in range(5)]

    def scan(value: int) -> list[int]:
        return holding(value, source.execute("SELECT contents_id, hashes FROM path_filter"))

    scans = median(timed(lambda v=v: scan(v)) for v in values)  # type: ignore[misc]
    with tempfile.TemporaryDirectory(prefix="layerproof-bench-", dir=path.parent) as scratch:
        file = Path(scratch) / "inverted.db"
        table = sqlite3.connect(file)
        table.execute(
            "CREATE TABLE p (hash INT, layer INT, PRIMARY KEY (hash, layer)) WITHOUT ROWID"
        )
        started = time.perf_counter()
        rows = _pairs(source, layers)
        table.executemany("INSERT INTO p VALUES (?, ?)", rows)
        table.commit()
        took = time.perf_counter() - started
        (count,) = table.execute("SELECT count(*) FROM p").fetchone()
        looked = median(
            timed(
                lambda: table.execute(
                    "SELECT layer FROM p WHERE hash = ? ORDER BY layer DESC LIMIT 100",
                    (crc32(_path(chance, 3)),),
                ).fetchall()
            )
            for _ in range(RUNS)
        )
        size = file.stat().st_size
        table.close()
    source.close()
    return [
        f"  reading every layer's filter (paths only)      {scans * 1000:10.1f} ms",
        f"  rows of (path hash, layer), of {layers:,} layers: {count:,} rows,",
        f"    {size / count:.1f} bytes each, {took / layers * 1e3:.2f} ms a layer to put;"
        f" candidates in {looked * 1e3:.2f} ms",
    ]


def _pairs(source: sqlite3.Connection, layers: int) -> Iterator[tuple[int, int]]:
    query = "SELECT contents_id, hashes FROM path_filter LIMIT ?"
    for key, hashes in source.execute(query, (layers,)):
        for value in memoryview(hashes).cast("I"):
            yield value, key


# --- the table -----------------------------------------------------------------------------------


def scale_table(path: Path, results: dict[str, dict[str, Timed]], peer: int) -> list[str]:
    """Times, sizes, peers."""
    source = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    counts = [
        source.execute(query).fetchone()[0]
        for query in (
            "SELECT count(*) FROM layer",
            "SELECT count(*) FROM image",
            "SELECT sum(length(hashes)) / 4 FROM path_filter",
            "SELECT count(*) FROM search_segment",
        )
    ]
    source.close()
    lines = [
        "",
        "index of {:,} layers, {:,} images, {:,} paths ({} segments)".format(*counts),
    ]
    for database, found in results.items():
        lines.append(f"{database:34}{'median':>11}{'99th':>11}{'first':>11}")
        for name, cost in found.items():
            prefix = name in list(found)[:2]
            target = PREFIX_TARGET if prefix else SEARCH_TARGET
            mark = "ok" if cost.last <= target else f"MISSES {target * 1000:.0f} ms"
            lines.append(
                f"  {name:32}{cost.median * 1e3:8.2f} ms{cost.last * 1e3:8.2f} ms"
                f"{cost.first * 1e3:8.1f} ms  {mark}"
            )
    return [*lines, "peers, on SQLite", *peers(path, peer)]


def size_lines(database: str, sizes: dict[str, int]) -> list[str]:
    """The large tables."""
    total = sizes.pop("")
    large = sorted(sizes.items(), key=lambda item: item[1], reverse=True)[:12]
    lines = [f"size on {database}: {total / 1e6:,.0f} MB; of it, with indexes"]
    return lines + [f"  {name:32}{size / 1e6:10,.0f} MB" for name, size in large]


@contextmanager
def folder_of(keep: str) -> Iterator[Path]:
    """Where the index is made."""
    if keep:
        Path(keep).mkdir(parents=True, exist_ok=True)
        yield Path(keep)
        return
    with tempfile.TemporaryDirectory(prefix="layerproof-bench-") as scratch:
        yield Path(scratch)


def measure_scale(folder: Path, layers: int, only: str = "", peer: int = 20_000) -> list[str]:
    """The whole table."""
    path = folder / "index.db"
    make(path, layers)
    results, sizes = {}, []
    if only in ("", "sqlite"):
        say("SQLite")
        results["SQLite"] = measure(str(path))
        sizes += size_lines("SQLite", sqlite_sizes(path))
    if only in ("", "postgresql"):
        url = make_postgresql(path)
        results["PostgreSQL"] = measure(url)
        sizes += size_lines("PostgreSQL", postgresql_sizes(url))
    return [*scale_table(path, results, min(peer, layers)), *sizes]


def say(text: str) -> None:
    """Progress, on standard error."""
    sys.stderr.write(f"… {text}\n")
    sys.stderr.flush()


def main() -> int:
    """Make, measure, print."""
    parser = argparse.ArgumentParser(description="Look-ups in a large index.")
    parser.add_argument("--layers", type=int, default=1_000_000)
    parser.add_argument("--keep", default="", help="a folder for the index, which is used again")
    parser.add_argument("--only", default="", choices=["", "sqlite", "postgresql"])
    parser.add_argument("--peer", type=int, default=20_000, help="layers of the inverted table")
    parser.add_argument("--write-docs", action="store_true", help="write docs/benchmarks.md")
    parser.add_argument("--ask", default="", help=argparse.SUPPRESS)
    parser.add_argument("--where", default="", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.ask:
        ask_first(asked.where, asked.ask)
        return 0
    with folder_of(asked.keep) as folder:
        lines = measure_scale(folder, asked.layers, asked.only, asked.peer)
    text = "\n".join([machine(), *lines])
    print(text)
    if asked.write_docs:
        write_section("scale", INTRO, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
