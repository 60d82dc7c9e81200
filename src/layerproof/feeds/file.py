"""Reading the advisory file. Small and quick to load: `check` opens it for its digest alone.

The file is never changed, only replaced: what is open stays as it was. Memory does not grow with
the file, because nothing but the rows asked for is read.
"""

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from layerproof.errors import AdvisoryError
from layerproof.feeds import codec
from layerproof.feeds.schema import APPLICATION_ID, VERSION
from layerproof.model.advisory import Advisory, Affected, CveFacts, FeedStatus
from layerproof.model.vulnerability import Coverage, Level, Newest, VexStatement

_CHUNK = 400  # values in one statement
_AGAIN = "build it again with `layerproof advisories update` or `layerproof advisories import`"
_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")

Name = tuple[str, str]


class AdvisoryFile:
    """An open advisory file. Raises AdvisoryError for one that cannot be read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._reading():
            self._connection = sqlite3.connect(
                f"file:{quote(str(path))}?mode=ro&immutable=1", uri=True, check_same_thread=False
            )
            kind = self._one("PRAGMA application_id")
            version = self._one("PRAGMA user_version")
        if kind != APPLICATION_ID:
            raise AdvisoryError("this is no advisory file", where=str(path), remedy=_AGAIN)
        if version != VERSION:
            raise AdvisoryError(
                f"it has version {version}, this program reads {VERSION}",
                where=str(path),
                remedy=_AGAIN,
            )
        self.snapshot = str(self._one("SELECT value FROM meta WHERE key = 'snapshot'"))

    def close(self) -> None:
        """Give the file back."""
        self._connection.close()

    def affected(self, names: Collection[Name]) -> Mapping[Name, list[tuple[Advisory, Affected]]]:
        """See `advisories.match.Lookup`."""
        found: dict[Name, list[tuple[Advisory, Affected]]] = {}
        advisories: dict[int, Advisory] = {}
        by_name = _ecosystems(names)
        decode = codec.decoder()
        for chunk in _chunks(sorted(by_name)):
            rows = self._rows(
                "SELECT a.ecosystem, a.name, a.document, b.id, b.document FROM affected a "
                f"JOIN advisory b ON b.id = a.advisory WHERE a.name IN ({_marks(chunk)}) "
                "AND a.ecosystem IN ({})",
                chunk,
                {ecosystem for name in chunk for ecosystem in by_name[name]},
            )
            with self._reading():
                for ecosystem, name, document, number, advisory in rows:
                    if ecosystem not in by_name[name]:
                        continue
                    if number not in advisories:
                        advisories[number] = codec.unadvisory(decode(advisory))
                    item = codec.unaffected(ecosystem, name, decode(document))
                    found.setdefault((ecosystem, name), []).append((advisories[number], item))
        return found

    def cves(self, names: Collection[str]) -> Mapping[str, CveFacts]:
        """See `advisories.match.Lookup`; of several feeds each gives what it knows."""
        found: dict[str, CveFacts] = {}
        for chunk in _chunks(sorted(names)):
            query = (
                "SELECT name, exploited, epss, level, score FROM cve "
                f"WHERE name IN ({_marks(chunk)}) ORDER BY name, feed"
            )
            for name, exploited, epss, level, score in self._rows(query, chunk):
                known = found.get(name, CveFacts())
                found[name] = CveFacts(
                    known.exploited or exploited,
                    epss if epss is not None else known.epss,
                    Level(level) if known.level is Level.UNKNOWN else known.level,
                    score if score is not None else known.score,
                )
        return found

    def newest(self, names: Collection[Name]) -> Mapping[Name, Newest]:
        """See `advisories.match.Lookup`; of several feeds the newest one's."""
        found: dict[Name, Newest] = {}
        by_name = _ecosystems(names)
        for chunk in _chunks(sorted(by_name)):
            query = (
                "SELECT n.ecosystem, n.name, n.version, n.published, f.as_of FROM newest n "
                f"JOIN feed f ON f.name = n.feed WHERE n.name IN ({_marks(chunk)}) "
                "ORDER BY f.as_of, f.name"
            )
            for ecosystem, name, version, published, as_of in self._rows(query, chunk):
                if ecosystem in by_name[name]:
                    times = codec.unseconds(published), codec.unseconds(as_of)
                    found[ecosystem, name] = Newest(version, *times)
        return found

    def statements(self, names: Collection[str]) -> list[VexStatement]:
        """Every VEX statement about one of these vulnerabilities."""
        found: dict[int, VexStatement] = {}
        for chunk in _chunks(sorted(names)):
            query = (
                "SELECT v.id, v.document FROM vex_name n JOIN vex v ON v.id = n.statement "
                f"WHERE n.name IN ({_marks(chunk)})"
            )
            for number, document in self._rows(query, chunk):
                with self._reading():
                    found[number] = codec.unstatement(document)
        return [found[number] for number in sorted(found)]

    def coverage(self, *, versions: bool = False) -> Mapping[str, Coverage]:
        """By ecosystem: the freshest feed that speaks for it, on advisories or newest versions."""
        rows = self._rows(
            "SELECT c.ecosystem, c.feed, COALESCE(c.as_of, f.as_of) AS known FROM coverage c "
            f"JOIN feed f ON f.name = c.feed WHERE c.versions = {int(versions)} "
            "ORDER BY known, f.name"
        )
        return {
            ecosystem: Coverage(ecosystem, feed, codec.unseconds(as_of) or _EPOCH)
            for ecosystem, feed, as_of in rows
        }

    def ends(self, product: str) -> Mapping[str, date]:
        """When the releases of a distribution end, by release."""
        rows = self._rows(
            "SELECT e.cycle, e.ends FROM end_of_life e JOIN feed f ON f.name = e.feed "
            "WHERE e.product = ? ORDER BY f.as_of, f.name",
            [product],
        )
        with self._reading():
            return {cycle: date.fromisoformat(ends) for cycle, ends in rows}

    def feeds(self) -> list[FeedStatus]:
        """All feeds, by name."""
        covers: dict[str, list[str]] = {}
        for ecosystem, feed in self._rows("SELECT ecosystem, feed FROM coverage ORDER BY 1"):
            covers.setdefault(feed, []).append(ecosystem)
        rows = self._rows(
            "SELECT name, source, as_of, imported, records, skipped, problems, etag FROM feed "
            "ORDER BY name"
        )
        with self._reading():
            return [
                FeedStatus(
                    name,
                    source,
                    codec.unseconds(as_of) or _EPOCH,
                    codec.unseconds(imported) or _EPOCH,
                    records,
                    skipped,
                    tuple(json.loads(problems)),
                    etag,
                    tuple(dict.fromkeys(covers.get(name, ()))),
                )
                for name, source, as_of, imported, records, skipped, problems, etag in rows
            ]

    def _one(self, query: str) -> object:
        row = self._connection.execute(query).fetchone()
        return row[0] if row else None

    def _rows(
        self, query: str, values: Iterable[object] = (), more: Collection[object] | None = None
    ) -> list[Any]:
        parameters = list(values)
        if more is not None:
            query = query.format(_marks(more))
            parameters += sorted(map(str, more))
        with self._reading():
            return self._connection.execute(query, parameters).fetchall()

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, ValueError, TypeError, KeyError, LookupError) as error:
            reason = (
                "cannot be opened" if isinstance(error, sqlite3.OperationalError) else "is damaged"
            )
            raise AdvisoryError(
                f"the advisory file {reason}: {error}", where=str(self._path), remedy=_AGAIN
            ) from error


def open_file(path: Path) -> AdvisoryFile | None:
    """The file at `path`; None if there is none. Raises AdvisoryError."""
    return AdvisoryFile(path) if path.exists() else None


def _ecosystems(names: Iterable[Name]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for ecosystem, name in names:
        found.setdefault(name, set()).add(ecosystem)
    return found


def _marks(values: Collection[object]) -> str:
    return ",".join("?" * len(values))


def _chunks(values: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(values), _CHUNK):
        yield values[start : start + _CHUNK]
