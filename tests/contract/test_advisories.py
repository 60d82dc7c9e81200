"""Every implementation of `engine.ports.Advisories` gives the same answers."""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from layerproof.advisories.formats import CveRecord, EndOfLifeRecord, NewestRecord
from layerproof.engine.ports import Advisories
from layerproof.feeds import build as building
from layerproof.feeds.build import Feed, build
from layerproof.feeds.documents import Document
from layerproof.feeds.file import AdvisoryFile
from layerproof.model.advisory import Advisory, Affected, CveFacts, EventKind
from layerproof.model.vulnerability import Level, Newest, State, VexStatement, VexStatus
from layerproof.testing.advisories import MemoryAdvisories

NOW = datetime(2026, 5, 4, tzinfo=UTC)
RANGE = ((EventKind.INTRODUCED, "0"), (EventKind.FIXED, "2"))
WEAK = Advisory(
    "GHSA-1", ("CVE-2026-1000",), ("CVE-2026-1000",), "Bad “thing”", NOW, NOW, False, Level.HIGH,
    7.5,
    "https://example.com/1",
    (
        Affected("PyPI", "a", (RANGE,), ("1", "1.1"), State.FIXED, "soon", ""),
        Affected("npm", "a", (RANGE, ((EventKind.AFTER, "3"), (EventKind.LAST_AFFECTED, "4"),
                                      (EventKind.LIMIT, "5"))), (), State.NO_DSA),
        Affected("AlmaLinux:8", "nodejs", (RANGE,), module="nodejs:12"),
    ),
)  # fmt: skip
GONE = Advisory("GHSA-2", withdrawn=True, affected=WEAK.affected)
VEX = VexStatement(
    ("CVE-2026-1000", "GHSA-1"), ("pkg:pypi/a",), VexStatus.FIXED, ("x",), "just", "say", "me",
    "doc", NOW,
)  # fmt: skip
RECORDS: tuple[Any, ...] = (
    WEAK,
    GONE,
    VEX,
    CveRecord("CVE-2026-1000", CveFacts(exploited="2026-01-02")),
    CveRecord("CVE-2026-1000", CveFacts(epss=0.25, level=Level.LOW, score=3.1)),
    NewestRecord("PyPI", "a", "3", NOW - timedelta(days=3)),
    EndOfLifeRecord("debian", "12", date(2026, 6, 10)),
)
Make = Callable[[Iterable[Any]], Advisories]


@pytest.fixture(params=["memory", "file"])
def make(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Make]:
    made: list[Advisories] = []

    def in_memory(records: Iterable[Any]) -> Advisories:
        return MemoryAdvisories(records, covers=("PyPI", "npm"), versions=("PyPI",), as_of=NOW)

    def in_file(records: Iterable[Any]) -> Advisories:
        found = list(records)
        monkeypatch.setattr(building.documents, "read", lambda *_: iter(found))
        document = Document("x", repr(found).encode())
        feed = Feed("f", "s", lambda: [document], as_of=NOW, covers=("PyPI", "npm"))
        build(tmp_path / "a.db", [feed], NOW)
        made.append(AdvisoryFile(tmp_path / "a.db"))
        return made[-1]

    yield in_memory if request.param == "memory" else in_file
    for advisories in made:
        advisories.close()


def test_rows_come_back_as_they_were(make: Make) -> None:
    found = make(RECORDS).affected(
        {("PyPI", "a"), ("npm", "a"), ("npm", "b"), ("AlmaLinux:8", "nodejs")}
    )
    assert set(found) == {("PyPI", "a"), ("npm", "a"), ("AlmaLinux:8", "nodejs")}
    for item in WEAK.affected:
        ((advisory, affected),) = found[item.ecosystem, item.name]
        assert affected == item
        assert (advisory.id, advisory.aliases, advisory.cves) == (WEAK.id, WEAK.aliases, WEAK.cves)
        assert (advisory.summary, advisory.url, advisory.level) == (
            WEAK.summary,
            WEAK.url,
            WEAK.level,
        )
        assert (advisory.score, advisory.published) == (7.5, NOW)


def test_a_name_is_looked_up_in_its_own_ecosystem(make: Make) -> None:
    assert set(make(RECORDS).affected({("npm", "a"), ("PyPI", "nodejs")})) == {("npm", "a")}
    assert not make(RECORDS).affected(set())


def test_facts_about_a_cve_are_put_together(make: Make) -> None:
    found = make(RECORDS).cves({"CVE-2026-1000", "CVE-2026-9999"})
    assert found == {"CVE-2026-1000": CveFacts("2026-01-02", 0.25, Level.LOW, 3.1)}


def test_newest_versions_ends_statements_and_coverage(make: Make) -> None:
    advisories = make(RECORDS)
    newest = Newest("3", NOW - timedelta(days=3), NOW)
    assert advisories.newest({("PyPI", "a"), ("npm", "a")}) == {("PyPI", "a"): newest}
    assert advisories.ends("debian") == {"12": date(2026, 6, 10)}
    assert advisories.ends("alpine") == {}
    assert list(advisories.statements({"GHSA-1"})) == [VEX]
    assert list(advisories.statements({"GHSA-2"})) == []
    assert {name: c.as_of for name, c in advisories.coverage().items()} == {"PyPI": NOW, "npm": NOW}
    assert set(advisories.coverage(versions=True)) == {"PyPI"}


def test_the_snapshot_follows_from_what_there_is(make: Make) -> None:
    first, again, other = make(RECORDS).snapshot, make(RECORDS).snapshot, make(RECORDS[1:]).snapshot
    assert first == again != other
    assert first.startswith("sha256:")


def test_many_names_at_once(make: Make) -> None:
    many = [
        Advisory(f"X-{n}", affected=(Affected("PyPI", f"p{n}", (RANGE,)),)) for n in range(2_000)
    ]
    found = make(many).affected({("PyPI", f"p{n}") for n in range(3_000)})
    assert len(found) == 2_000
