"""Making the advisory file: the old one's other feeds and the new feeds, beside it, then swapped
in.

1. Nobody ever sees half a file: it is written under another name, synced and renamed.
2. What is imported under a feed's name replaces what was there under that name.
3. One process builds at a time; readers keep the file that they opened.
4. Memory does not grow with the feeds: rows go out in batches, and indexes are made by sorting.
"""

import fcntl
import json
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

from layerproof.advisories import documents
from layerproof.advisories.formats import (
    Covered,
    CveRecord,
    EndOfLifeRecord,
    NewestRecord,
    Problem,
)
from layerproof.errors import AdvisoryError
from layerproof.feeds import codec
from layerproof.feeds.documents import Container, Document
from layerproof.feeds.schema import APPLICATION_ID, INDEXES, TABLES, VERSION
from layerproof.model.advisory import Advisory, ImportReport
from layerproof.model.vulnerability import VexStatement

MAX_PROBLEMS = 50  # of one feed that are kept; the rest is counted
_BATCH = 2_000
_FEED_TABLES = ("advisory", "cve", "newest", "end_of_life", "vex", "coverage", "feed")
_COVERS = 0.5  # of an archive's records that are about one family of ecosystems


@dataclass(slots=True)
class Feed:
    """One import."""

    name: str
    source: str
    documents: Callable[[], Iterable[Document]]
    as_of: datetime | None = None  # None: the newest time that its records state
    fallback: datetime | None = None  # if they state none
    whole: bool = False
    covers: tuple[str, ...] = ()  # said by whoever imports it
    families: tuple[str, ...] = ()  # all their releases that it names are covered
    etag: str = ""


def feed_of(container: Container, as_of: datetime | None, covers: tuple[str, ...]) -> Feed:
    """A container as a feed of its own."""
    return Feed(
        name=container.name,
        source=container.name,
        documents=container.documents,
        as_of=as_of,
        fallback=container.changed,
        whole=container.whole,
        covers=covers,
    )


def build(
    path: Path,
    feeds: Iterable[Feed],
    now: datetime,
    drop: Iterable[str] = (),
    touched: Mapping[str, datetime] | None = None,
    progress: Callable[[str, int], None] = lambda _name, _count: None,
) -> list[ImportReport]:
    """Import feeds into the file at `path`, and leave out those in `drop`. `touched` are feeds that
    did not change, and as of when. Raises AdvisoryError; the old file then stands."""
    with _locked(path), _beside(path) as (connection, fresh):
        try:
            chosen = list(feeds)
            gone = {feed.name for feed in chosen} | set(drop)
            _copy_others(connection, path, gone)
            found = [_Import(connection, feed, now, progress).run() for feed in chosen]
            for name, as_of in (touched or {}).items():
                connection.execute(
                    "UPDATE feed SET as_of = ? WHERE name = ?", (codec.seconds(as_of), name)
                )
            _finish(connection)
        except sqlite3.Error as error:
            raise AdvisoryError(
                f"the advisory file cannot be written: {error}",
                where=str(path),
                remedy="check the space on its disk; the old file is unchanged",
            ) from error
        connection.close()
        _swap(fresh, path)
    return found


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path.with_name(path.name + ".lock"), os.O_CREAT | os.O_RDWR, 0o600)
    except OSError as error:
        raise AdvisoryError(
            f"its folder cannot be written: {error.strerror}",
            where=str(path),
            remedy="name another file with LAYERPROOF_ADVISORIES",
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise AdvisoryError(
                "another process is building it", where=str(path), remedy="wait until it is done"
            ) from error
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _beside(path: Path) -> Iterator[tuple[sqlite3.Connection, Path]]:
    fresh = path.with_name(f"{path.name}.new")
    for leftover in (fresh, fresh.with_name(fresh.name + "-journal")):
        leftover.unlink(missing_ok=True)  # of a build that was killed
    connection = sqlite3.connect(fresh, isolation_level=None)
    try:
        connection.executescript(
            f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -32768;"
            f"PRAGMA temp_store = FILE; PRAGMA application_id = {APPLICATION_ID};"
            f"PRAGMA user_version = {VERSION}; {TABLES} BEGIN;"
        )
        yield connection, fresh
    finally:
        connection.close()
        fresh.unlink(missing_ok=True)


def _copy_others(connection: sqlite3.Connection, path: Path, gone: set[str]) -> None:
    if not path.exists() or not _is_ours(path):
        return
    connection.execute("COMMIT")
    connection.execute("ATTACH DATABASE ? AS old", (f"{path}",))
    connection.execute("BEGIN")
    marks = ",".join("?" * len(gone))
    names = sorted(gone)
    for table in _FEED_TABLES:
        column = "name" if table == "feed" else "feed"
        connection.execute(
            f"INSERT INTO main.{table} SELECT * FROM old.{table} WHERE {column} NOT IN ({marks})",
            names,
        )
    connection.execute(
        "INSERT INTO temp.staged SELECT a.* FROM old.affected a "
        "JOIN main.advisory b ON b.id = a.advisory"
    )
    connection.execute(
        "INSERT INTO main.vex_name SELECT n.* FROM old.vex_name n JOIN main.vex v "
        "ON v.id = n.statement"
    )
    connection.execute("COMMIT")
    connection.execute("DETACH DATABASE old")
    connection.execute("BEGIN")


def _is_ours(path: Path) -> bool:
    """Whether the file at `path` is an advisory file of this version; any other is left behind."""
    try:
        connection = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)
    except sqlite3.Error:
        return False
    try:
        (kind,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    except sqlite3.Error:
        return False
    finally:
        connection.close()
    return (kind, version) == (APPLICATION_ID, VERSION)


def _finish(connection: sqlite3.Connection) -> None:
    feeds = connection.execute("SELECT name, digest, as_of FROM feed ORDER BY name").fetchall()
    snapshot = sha256(json.dumps([VERSION, feeds]).encode()).hexdigest()
    connection.execute("INSERT INTO meta VALUES ('snapshot', ?)", (f"sha256:{snapshot}",))
    for statement in filter(str.strip, INDEXES.split(";")):
        connection.execute(statement)
    connection.execute("COMMIT")


def _swap(fresh: Path, path: Path) -> None:
    descriptor = os.open(fresh, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.chmod(fresh, 0o600)
    os.replace(fresh, path)
    with suppress(OSError):
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)


class _Import:
    """One feed on its way into the file."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        feed: Feed,
        now: datetime,
        progress: Callable[[str, int], None],
    ) -> None:
        self._connection = connection
        self._feed = feed
        self._now = now
        self._progress = progress
        self._done = ImportReport(feed.name)
        (last,) = connection.execute("SELECT COALESCE(MAX(id), 0) FROM advisory").fetchone()
        self._next = last + 1
        (last,) = connection.execute("SELECT COALESCE(MAX(id), 0) FROM vex").fetchone()
        self._next_statement = last + 1
        self._rows: dict[str, list[tuple[object, ...]]] = {}
        self._digest = sha256()
        self._newest: datetime | None = None
        self._covered: dict[tuple[str, bool], datetime | None] = {}
        for name in feed.covers:
            self._cover(Covered(name))
        self._families: Counter[str] = Counter()
        self._ecosystems: set[str] = set()

    def run(self) -> ImportReport:
        """Raises sqlite3.Error."""
        feed, done = self._feed, self._done
        for document in feed.documents():
            if document.problem:
                self._problem(Problem(document.name, document.problem))
                continue
            self._digest.update(document.name.encode("utf-8", "backslashreplace"))
            self._digest.update(len(document.data).to_bytes(8, "little"))
            self._digest.update(document.data)
            for record in documents.read(document.name, document.data):
                self._put(record)
            self._progress(feed.name, done.records)
        self._flush(least=1)
        self._cover_families()
        done.covered = {ecosystem for ecosystem, _ in self._covered}
        done.as_of = self._as_of()
        self._row(
            "feed",
            feed.name,
            feed.source,
            self._digest.hexdigest(),
            codec.seconds(done.as_of),
            codec.seconds(self._now),
            done.records,
            done.skipped,
            json.dumps(done.problems),
            feed.etag,
        )
        for (ecosystem, versions), as_of in sorted(self._covered.items()):
            own = None if feed.as_of is not None else codec.seconds(as_of)
            self._row("coverage", ecosystem, feed.name, int(versions), own)
        self._flush(least=1)
        return done

    def _as_of(self) -> datetime:
        if self._feed.as_of is not None:
            return self._feed.as_of
        found = self._newest or self._feed.fallback or self._now
        return min(found, self._now)

    def _cover_families(self) -> None:
        """An archive speaks for those ecosystems that half of its records are about. What a project
        publishes as its ecosystem's archive is about that, however much else is in it."""
        for family, count in self._families.items():
            half = count >= _COVERS * max(self._done.kinds.get("advisories", 0), 1)
            if family in self._feed.families or (self._feed.whole and half):
                for name in self._ecosystems:
                    if name.partition(":")[0] == family:
                        self._cover(Covered(name))

    def _cover(self, record: Covered) -> None:
        """Several documents of one ecosystem: as of the newest."""
        known = self._covered.get((record.ecosystem, record.versions))
        as_of = record.as_of
        if as_of is not None:
            self._newest = max(as_of, self._newest or as_of)
        newest = max(known, as_of) if known and as_of else known or as_of
        self._covered[record.ecosystem, record.versions] = newest

    def _put(self, record: documents.Found) -> None:
        feed, done = self._feed.name, self._done
        match record:
            case Problem():
                self._problem(record)
                return
            case Covered():
                self._cover(record)
                return
            case Advisory():
                self._advisory(record)
            case CveRecord(cve, facts):
                row = (facts.exploited, facts.epss, facts.level.value, facts.score)
                self._row("cve", cve, feed, *row)
                self._count("CVEs")
            case NewestRecord(ecosystem, name, version, published):
                self._row("newest", ecosystem, name, feed, version, codec.seconds(published))
                self._count("newest versions")
                self._cover_registry(ecosystem)
            case EndOfLifeRecord(product, cycle, ends):
                self._row("end_of_life", product, cycle, feed, ends.isoformat())
                self._count("ends of life")
            case VexStatement():
                self._statement(record)
        done.records += 1

    def _cover_registry(self, ecosystem: str) -> None:
        """A registry is asked project by project, so one answer speaks for its own project only."""
        if ":" not in ecosystem:
            self._cover(Covered(ecosystem, versions=True))

    def _advisory(self, record: Advisory) -> None:
        for moment in filter(None, (record.modified, record.published)):
            self._newest = max(moment, self._newest or moment)
        self._count("advisories")
        self._families.update({item.ecosystem.partition(":")[0] for item in record.affected})
        self._ecosystems.update(item.ecosystem for item in record.affected)
        if record.withdrawn:
            self._done.withdrawn += 1
            return
        if not record.affected:
            return
        self._row("advisory", self._next, self._feed.name, codec.advisory(record))
        for item in record.affected:
            self._row("staged", item.ecosystem, item.name, self._next, codec.affected(item))
        self._next += 1

    def _statement(self, record: VexStatement) -> None:
        self._count("VEX statements")
        self._row("vex", self._next_statement, self._feed.name, codec.statement(record))
        for name in record.vulnerabilities:
            self._row("vex_name", name, self._next_statement)
        self._next_statement += 1

    def _count(self, kind: str) -> None:
        self._done.kinds[kind] = self._done.kinds.get(kind, 0) + 1

    def _problem(self, problem: Problem) -> None:
        self._done.skipped += 1
        if len(self._done.problems) < MAX_PROBLEMS:
            text = f"{problem.where}: {problem.reason}"[:500]
            printable = text if text.isprintable() else ascii(text)[1:-1]
            self._done.problems.append(printable)

    def _row(self, table: str, *values: object) -> None:
        rows = self._rows.setdefault(table, [])
        rows.append(values)
        if len(rows) >= _BATCH:
            self._flush(least=_BATCH)

    def _flush(self, least: int) -> None:
        for table, rows in self._rows.items():
            if len(rows) >= least:
                marks = ",".join("?" * len(rows[0]))
                self._connection.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)
                rows.clear()
