"""Feeds' documents → records."""

# ruff: noqa: E501  a case is one line

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest

from layerproof.advisories.documents import read
from layerproof.advisories.formats import (
    Covered,
    CveRecord,
    EndOfLifeRecord,
    NewestRecord,
    Problem,
)
from layerproof.advisories.severity import level_of_score, score_of_vector
from layerproof.model.advisory import Advisory, EventKind
from layerproof.model.vulnerability import Level, State, VexStatement, VexStatus

RECORD: dict[str, Any] = {
    "id": "GHSA-aaaa-bbbb-cccc",
    "aliases": ["CVE-2026-10000"],
    "modified": "2026-01-02T03:04:05Z",
    "published": "2026-01-01T00:00:00Z",
    "summary": "Bad  thing\n",
    "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
    "references": [
        {"type": "WEB", "url": "https://example.com/w"},
        {"type": "ADVISORY", "url": "https://example.com/a"},
    ],
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "My_Package"},
            "ranges": [
                {"type": "GIT", "events": [{"introduced": "0"}]},
                {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.2"}]},
            ],
            "versions": ["1.0", "1.1"],
        }
    ],
}


def records(document: Any, name: str = "x.json") -> list[Any]:
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    return list(read(name, data))


def one(document: Any) -> Advisory:
    (found,) = records(document)
    assert isinstance(found, Advisory)
    return found


def test_osv_record() -> None:
    advisory = one(RECORD)
    assert (advisory.id, advisory.cves) == ("GHSA-aaaa-bbbb-cccc", ("CVE-2026-10000",))
    assert (advisory.score, advisory.level) == (9.8, Level.CRITICAL)
    assert (advisory.summary, advisory.url) == ("Bad thing", "https://example.com/a")
    assert advisory.modified == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    (affected,) = advisory.affected
    assert (affected.ecosystem, affected.name) == ("PyPI", "my-package")
    assert affected.ranges == (((EventKind.INTRODUCED, "0"), (EventKind.FIXED, "1.2")),)
    assert affected.versions == ("1.0", "1.1")


def test_osv_withdrawn_and_commits_only() -> None:
    assert one({**RECORD, "withdrawn": "2026-02-01T00:00:00Z"}).withdrawn
    commits = {"ranges": [{"type": "GIT", "events": [{"introduced": "0"}]}]}
    assert one({**RECORD, "affected": [commits]}).affected == ()


@pytest.mark.parametrize(
    ("identity", "extra", "cves"),
    [
        ("UBUNTU-CVE-2026-1000", {"upstream": ["CVE-2026-1000"]}, ("CVE-2026-1000",)),
        ("ALPINE-CVE-2026-1000", {}, ("CVE-2026-1000",)),
        ("ALSA-2026:1", {"related": ["CVE-2026-1000", "CVE-2026-1001"]},
         ("CVE-2026-1000", "CVE-2026-1001")),
        ("GO-2026-0001", {"related": ["CVE-2026-1000"]}, ()),
    ],
)  # fmt: skip
def test_osv_names_its_cves(identity: str, extra: dict[str, Any], cves: tuple[str, ...]) -> None:
    assert one({"id": identity, "affected": [], **extra}).cves == cves


def test_osv_of_bug_fixes_is_no_advisory() -> None:
    assert records({"id": "ALBA-2019:1", "affected": []}) == []


def test_osv_of_modules_tells_the_stream() -> None:
    record = {
        "id": "ALSA-2021:1",
        "summary": "Important: nodejs:12 security update",
        "affected": [
            {
                "package": {"ecosystem": "AlmaLinux:8", "name": "nodejs"},
                "ranges": [
                    {
                        "type": "ECOSYSTEM",
                        "events": [
                            {"introduced": "0"},
                            {"fixed": "1:12.22.5-1.module_el8.4.0+2521+c668cc9f"},
                        ],
                    }
                ],
            }
        ],
    }
    advisory = one(record)
    assert (advisory.affected[0].module, advisory.level) == ("nodejs:12", Level.HIGH)


@pytest.mark.parametrize(
    ("urgency", "events", "state"),
    [
        ("unimportant", [{"introduced": "0"}], State.UNFIXED),
        ("end-of-life", [{"introduced": "0"}], State.END_OF_LIFE),
        ("low", [{"introduced": "0"}, {"fixed": "1"}], State.FIXED),
    ],
)
def test_osv_of_debian_keeps_states(urgency: str, events: list[Any], state: State) -> None:
    affected = {
        "package": {"ecosystem": "Debian:12", "name": "a"},
        "ranges": [{"type": "ECOSYSTEM", "events": events}],
        "ecosystem_specific": {"urgency": urgency},
    }
    found = one({"id": "CVE-2026-1000", "affected": [affected]}).affected[0]
    assert (found.state, found.urgency) == (state, urgency)


@pytest.mark.parametrize(
    "broken",
    [
        {"affected": [{"package": {"ecosystem": "PyPI", "name": ""}}]},
        {"affected": [{"package": {"ecosystem": "PyPI", "name": "a\u202eb"}}]},
        {"affected": [{"package": {"ecosystem": "PyPI", "name": "a"}, "ranges": [{"events": 1}]}]},
        {"affected": [{"package": {"ecosystem": "PyPI", "name": "a"},
                       "ranges": [{"type": "SEMVER", "events": [{"fixed": "1"}]}]}]},
        {"affected": {"a": 1}},
        {"affected": [{"package": {"ecosystem": "PyPI", "name": "a"}, "versions": ["1" * 9999]}]},
    ],
)  # fmt: skip
def test_osv_that_says_nothing_usable_is_a_problem(broken: dict[str, Any]) -> None:
    (found,) = records({**RECORD, **broken})
    assert isinstance(found, Problem)
    assert "GHSA-aaaa-bbbb-cccc" in found.where


def test_several_records_in_one_document() -> None:
    assert len(records([RECORD, RECORD])) == 2
    assert len(records({"a": RECORD, "b": RECORD})) == 2
    lines = b"\n".join([json.dumps(RECORD).encode()] * 3)
    assert len(records(lines, "all.jsonl")) == 3


def test_secdb() -> None:
    document = {
        "distroversion": "v3.20",
        "packages": [
            {
                "pkg": {
                    "name": "musl",
                    "secfixes": {
                        "1.2.5-r1": ["CVE-2025-26519 (+ another fix)", "CVE-2026-1000 XSA-1"],
                        "0": ["CVE-2020-1000"],
                    },
                }
            },
            {"pkg": {"name": "", "secfixes": {}}},
            {"pkg": {"name": "odd", "secfixes": {"1": ["no name"]}}},
        ],
    }
    covered, *found = records(document)
    assert covered == Covered("Alpine:v3.20")
    advisories = [record for record in found if isinstance(record, Advisory)]
    assert [(a.id, a.aliases, a.affected[0].state) for a in advisories] == [
        ("CVE-2025-26519", (), State.FIXED),
        ("CVE-2026-1000", ("XSA-1",), State.FIXED),
        ("CVE-2020-1000", (), State.NOT_AFFECTED),
    ]
    assert sum(isinstance(record, Problem) for record in found) == 2


def test_debian_tracker_keeps_states_apart() -> None:
    def release(**more: Any) -> dict[str, Any]:
        return {"bookworm": {"repositories": {}, "urgency": "not yet assigned", **more}}

    document = {
        "curl": {
            "CVE-2026-1": {"releases": release(status="resolved", fixed_version="7.88.1-10+deb12u5")},
            "CVE-2026-2": {"releases": release(status="resolved", fixed_version="0")},
            "CVE-2026-3": {"releases": release(status="open")},
            "CVE-2026-4": {"releases": release(status="open", nodsa="Minor issue", nodsa_reason="")},
            "CVE-2026-5": {"releases": release(status="undetermined")},
            "CVE-2026-6": {"releases": release(status="open", urgency="end-of-life")},
            "CVE-2026-7": {"releases": release(status="open", urgency="unimportant")},
            "CVE-2026-8": {"releases": release(status="novel")},
        }
    }  # fmt: skip
    found = records(document)
    advisories = {r.id: r for r in found if isinstance(r, Advisory)}
    assert {name: a.affected[0].state for name, a in advisories.items()} == {
        "CVE-2026-1": State.FIXED,
        "CVE-2026-2": State.NOT_AFFECTED,
        "CVE-2026-3": State.UNFIXED,
        "CVE-2026-4": State.NO_DSA,
        "CVE-2026-5": State.UNDETERMINED,
        "CVE-2026-6": State.END_OF_LIFE,
        "CVE-2026-7": State.UNFIXED,
    }
    assert advisories["CVE-2026-7"].level is Level.NEGLIGIBLE
    assert Covered("Debian:12") in found
    assert sum(isinstance(record, Problem) for record in found) == 1


def test_large_documents_are_read_item_by_item(monkeypatch: pytest.MonkeyPatch) -> None:
    release = {"bookworm": {"status": "open", "urgency": "low"}}
    tracker = {f"p{n}": {"CVE-2026-1000": {"releases": release}} for n in range(3)}
    small = records(tracker), records([RECORD] * 3), records({"a": RECORD, "b": RECORD})
    monkeypatch.setattr("layerproof.advisories.documents._LARGE", 10)
    large = records(tracker), records([RECORD] * 3), records({"a": RECORD, "b": RECORD})
    assert small == large
    assert isinstance(records({"a": RECORD, "b": 7})[1], Problem)
    assert isinstance(records(b"[" * 99)[0], Problem)


def test_kev_epss_and_scores() -> None:
    kev = {"catalogVersion": "1", "vulnerabilities": [
        {"cveID": "CVE-2026-1000", "dateAdded": "2026-01-02"}, {"cveID": "x"}]}  # fmt: skip
    exploited, problem = records(kev)
    assert (exploited.cve, exploited.facts.exploited) == ("CVE-2026-1000", "2026-01-02")
    assert isinstance(problem, Problem)
    csv = b"#model_version:v2025\ncve,epss,percentile\nCVE-2026-1000,0.5,0.9\nx,1,1\n"
    probable, problem = records(csv, "epss_scores-current.csv")
    assert (probable.cve, probable.facts.epss) == ("CVE-2026-1000", 0.5)
    assert isinstance(problem, Problem)
    (scored,) = records({"CVE-2026-1000": {"epss": "0.1", "cvssv3": "7.5"}})
    assert isinstance(scored, CveRecord)
    assert (scored.facts.score, scored.facts.level) == (7.5, Level.HIGH)


def test_newest_versions() -> None:
    text = b"Package: a\nVersion: 1.0-2\nDescription: x\n Version: 9\n\nPackage: a\nVersion: 1.0-10\n\n"
    assert records(text, "Debian:12#Packages")[1:] == [NewestRecord("Debian:12", "a", "1.0-10")]
    index = b"C:Q1x\nP:musl\nV:1.2.5-r1\n\nP:musl\nV:1.2.5-r0\n\n"
    assert records(index, "Alpine:v3.20#APKINDEX")[1:] == [
        NewestRecord("Alpine:v3.20", "musl", "1.2.5-r1")
    ]
    (untold,) = records(text, "Packages")
    assert isinstance(untold, Problem)
    pypi = {
        "info": {"name": "Flask"},
        "releases": {
            "3.0.0": [{"upload_time_iso_8601": "2026-01-01T00:00:00Z", "yanked": False}],
            "3.1.0": [{"yanked": True}],
            "4.0.0rc1": [{"yanked": False}],
            "2.9": [{"yanked": False}],
        },
    }
    newest = NewestRecord("PyPI", "flask", "3.0.0", datetime(2026, 1, 1, tzinfo=UTC))
    assert records(pypi) == [newest]
    npm = {"name": "@a/b", "dist-tags": {"latest": "1.2.3"}, "time": {}}
    assert records(npm) == [NewestRecord("npm", "@a/b", "1.2.3")]


def test_ends_of_life() -> None:
    v1 = {
        "result": {
            "name": "debian",
            "releases": [{"name": "12", "eolFrom": "2026-06-10"}, {"name": "99", "eolFrom": None}],
        }
    }
    assert records(v1) == [EndOfLifeRecord("debian", "12", date(2026, 6, 10))]
    old = [{"cycle": "3.20", "eol": "2026-04-01"}, {"cycle": "edge", "eol": False}]
    assert records(old, "alpine.json") == [EndOfLifeRecord("alpine", "3.20", date(2026, 4, 1))]
    page = b'---\ntitle: x\nreleases:\n  - releaseCycle: "8"\n    eol: 2029-05-31\n---\n\ntext\n'
    found = records(page, "products/almalinux.md")
    assert found == [EndOfLifeRecord("almalinux", "8", date(2029, 5, 31))]
    assert records(page, "products/emacs.md") == []


@pytest.mark.parametrize(
    ("text", "events"),
    [
        ("<1.2.3", "introduced 0, fixed 1.2.3"),
        ("<= 1.6.8", "introduced 0, last_affected 1.6.8"),
        (">=1.0.0 <1.2.0", "introduced 1.0.0, fixed 1.2.0"),
        (">1.0.0", "after 1.0.0"),
        ("1.x", "introduced 1.0.0, fixed 2.0.0"),
        ("~1.2.3", "introduced 1.2.3, fixed 1.3.0"),
        ("^0.2.3", "introduced 0.2.3, fixed 0.3.0"),
        ("^1.2", "introduced 1.2.0, fixed 2.0.0"),
        ("*", "introduced 0.0.0"),
        ("1.0.0 - 1.4.0", "introduced 1.0.0, last_affected 1.4.0"),
        ("=1.0.0", "introduced 1.0.0, last_affected 1.0.0"),
        ("<=1.2", "introduced 0, fixed 1.3.0"),
    ],
)
def test_ranges_of_the_node_working_group(text: str, events: str) -> None:
    advisory = one({"id": 7, "module_name": "a", "vulnerable_versions": text, "cves": []})
    (found,) = advisory.affected[0].ranges
    assert ", ".join(f"{kind} {version}" for kind, version in found) == events
    assert advisory.id == "NODE-SWG-7"


def test_a_range_that_cannot_be_read_is_a_problem() -> None:
    (found,) = records({"id": 7, "module_name": "a", "vulnerable_versions": "see notes"})
    assert isinstance(found, Problem)


def test_openvex() -> None:
    document = {
        "@context": "https://openvex.dev/ns/v0.2.0",
        "@id": "https://example.com/vex/1",
        "author": "security@example.com",
        "timestamp": "2026-05-01T00:00:00Z",
        "statements": [
            {
                "vulnerability": {"name": "CVE-2026-1000", "aliases": ["GHSA-x"]},
                "products": [
                    {
                        "@id": "pkg:oci/app@sha256:" + "a" * 64,
                        "subcomponents": [{"@id": "pkg:pypi/a"}],
                    }
                ],
                "status": "not_affected",
                "justification": "vulnerable_code_not_in_execute_path",
            },
            {
                "vulnerability": {"name": "CVE-1"},
                "products": [{"@id": "x"}],
                "status": "not_affected",
            },
            {"vulnerability": {"name": "CVE-1"}, "products": [], "status": "fixed"},
            {"vulnerability": {"name": "CVE-1"}, "products": ["x"], "status": "fine"},
        ],
    }
    statement, *problems = records(document)
    assert isinstance(statement, VexStatement)
    assert statement.vulnerabilities == ("CVE-2026-1000", "GHSA-x")
    assert statement.parts == ("pkg:pypi/a",)
    assert len(problems) == 3
    assert all(isinstance(problem, Problem) for problem in problems)


def test_csaf() -> None:
    product = {
        "product_id": "P",
        "name": "a",
        "product_identification_helper": {"purl": "pkg:deb/debian/curl"},
    }
    document = {
        "document": {
            "category": "csaf_vex",
            "publisher": {"name": "Example"},
            "tracking": {"id": "EX-1", "current_release_date": "2026-05-01T00:00:00Z"},
        },
        "product_tree": {"branches": [{"branches": [{"product": product}]}]},
        "vulnerabilities": [
            {
                "cve": "CVE-2026-1000",
                "product_status": {"known_not_affected": ["P"], "known_affected": ["Q"]},
                "flags": [{"label": "component_not_present", "product_ids": ["P"]}],
                "threats": [
                    {"category": "impact", "details": "not built in", "product_ids": ["P"]}
                ],
            }
        ],
    }
    (statement,) = records(document)
    assert (statement.status, statement.justification, statement.statement) == (
        VexStatus.NOT_AFFECTED,
        "component_not_present",
        "not built in",
    )
    assert statement.products == ("pkg:deb/debian/curl",)


@pytest.mark.parametrize("data", [b"", b"{", b"[" * 100_000, b"\xff\xfe", b'{"a": 1}', b"[1, 2]"])
def test_what_no_format_claims_is_a_problem(data: bytes) -> None:
    (found,) = records(data)
    assert isinstance(found, Problem)


def test_yaml_that_is_hostile_is_a_problem() -> None:
    for data in (b"!!python/object/apply:os.system ['true']", b"a: &a [*a", b"x" * (5 << 20)):
        (found,) = records(data, "x.yaml")
        assert isinstance(found, Problem)


@pytest.mark.parametrize(
    ("vector", "score"),
    [
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 9.8),
        ("CVSS:3.0/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", 10.0),
        ("AV:N/AC:L/Au:N/C:P/I:P/A:P", 7.5),
        ("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N", 9.3),
        ("CVSS:3.1/AV:X", None),
        ("", None),
        ("CVSS:3.1/" + "A" * 10_000, None),
    ],
)
def test_scores_of_vectors(vector: str, score: float | None) -> None:
    """The first four: examples of FIRST's specifications and calculators."""
    assert score_of_vector(vector) == score


def test_levels_of_scores() -> None:
    found = [level_of_score(score) for score in (0.0, 0.1, 3.9, 4.0, 6.9, 7.0, 8.9, 9.0)]
    assert found == [
        Level.NEGLIGIBLE, Level.LOW, Level.LOW, Level.MEDIUM, Level.MEDIUM, Level.HIGH, Level.HIGH,
        Level.CRITICAL,
    ]  # fmt: skip
