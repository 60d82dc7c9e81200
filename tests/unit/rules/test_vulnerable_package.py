"""`vulnerable-package`: what a layer brings, and advisories → findings."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.attacks.world import NOW, Judged, World, policy

from layerproof.advisories.formats import CveRecord
from layerproof.model.advisory import Advisory, Affected, CveFacts, EventKind
from layerproof.model.finding import Severity, Status
from layerproof.model.vulnerability import Level, State, VexStatement, VexStatus
from layerproof.testing.advisories import ECOSYSTEMS, MemoryAdvisories
from layerproof.testing.images import BuiltImage, Whiteout, build

RULE = "vulnerable-package"
OS = {"etc/os-release": "ID=debian\nVERSION_ID=12\n"}
STATUS = "var/lib/dpkg/status"


def record(name: str, version: str, source: str = "") -> str:
    more = f"Source: {source}\n" if source else ""
    head = f"Package: {name}\nStatus: install ok installed\nArchitecture: amd64\n"
    return f"{head}{more}Version: {version}\n\n"


BASH, CURL = record("bash", "5.2-1"), record("curl", "7.88.1-10")
LIBCURL = record("libcurl4", "7.88.1-10", "curl")
BASE = build([OS | {STATUS: BASH}])
APP = build([{STATUS: BASH + CURL}], base=BASE)


def advisory(fixed: str = "7.88.1-10+deb12u5", **more: Any) -> Advisory:
    events = [(EventKind.INTRODUCED, "0")]
    state = more.pop("state", State.FIXED)
    if fixed:
        events.append((EventKind.FIXED, fixed))
    package = more.pop("package", "curl")
    made = Advisory(
        "CVE-2026-1000",
        cves=("CVE-2026-1000",),
        level=Level.HIGH,
        published=NOW - timedelta(days=60),
        affected=(Affected("Debian:12", package, (tuple(events),), state=state),),
    )
    return made._replace(**more)


def judge(
    *records: Any,
    image: BuiltImage = APP,
    rule: str = "",
    base: BuiltImage = BASE,
    as_of: timedelta = timedelta(0),
    covers: tuple[str, ...] = ECOSYSTEMS,
) -> Judged:
    world = World(advisories=MemoryAdvisories(records, covers=covers, as_of=NOW - as_of))
    world.trust(base)
    rules = f"{{trusted-base: {{}}, {RULE}: {{{rule}}}}}"
    return world.judge(
        image, reference="docker://registry.example/app:1", policy=policy(f"rules: {rules}")
    )


def test_a_vulnerable_package_above_the_base_is_refused_and_explained() -> None:
    judged = judge(advisory(summary="Bad thing", url="https://example.com/1"))
    (finding,) = judged.of(RULE)
    assert judged.decision == "refuse"
    assert (finding.status, finding.severity, finding.position) == (Status.FAIL, Severity.HIGH, 1)
    assert finding.message == (
        "curl 7.88.1-10 has CVE-2026-1000 (high, fixed in 7.88.1-10+deb12u5): Bad thing"
    )
    assert "7.88.1-10+deb12u5 or newer" in finding.remedy
    assert finding.evidence["installed"] == "7.88.1-10"
    assert finding.evidence["url"] == "https://example.com/1"


def test_no_advisory_means_no_finding() -> None:
    assert not judge().of(RULE)
    assert not judge(advisory("7.88.1-10")).of(RULE)  # fixed by what is installed


def test_packages_of_one_source_are_one_finding() -> None:
    image = build([{STATUS: BASH + CURL + LIBCURL}], base=BASE)
    (finding,) = judge(advisory(), image=image).of(RULE)
    assert "(and 1 package of curl)" in finding.message
    packages = finding.evidence["packages"]
    assert isinstance(packages, list)
    assert len(packages) == 2


def test_the_base_is_judged_when_the_policy_says_so_and_then_as_a_whole() -> None:
    of_bash = advisory("5.2-2", package="bash")
    assert not judge(of_bash).of(RULE)
    (finding,) = judge(of_bash, rule="scope: all").of(RULE)
    assert (finding.position, finding.evidence["introducedBy"]) == (None, 0)


@pytest.mark.parametrize(
    ("rule", "found", "expected"),
    [
        ("", {"level": Level.MEDIUM}, False),
        ("level: medium", {"level": Level.MEDIUM}, True),
        ("level: critical", {"level": Level.HIGH}, False),
        ("level: critical", {"level": Level.UNKNOWN}, True),
        ("", {"level": Level.NEGLIGIBLE}, False),
        ("graceDays: 59", {}, True),
        ("graceDays: 60", {}, False),
        ("graceDays: 60", {"published": None}, True),
    ],
)
def test_severity_and_days_of_grace(rule: str, found: dict[str, Any], expected: bool) -> None:
    assert bool(judge(advisory(**found), rule=rule).of(RULE)) is expected


def test_without_a_fix_it_counts_only_when_asked() -> None:
    unfixed = advisory("", state=State.NO_DSA)
    assert not judge(unfixed).of(RULE)
    (finding,) = judge(unfixed, rule="unfixed: true").of(RULE)
    assert "no fix" in finding.message
    assert finding.remedy.startswith("the distribution will issue no advisory")


def test_what_is_exploited_counts_whatever_its_severity() -> None:
    exploited = CveRecord("CVE-2026-1000", CveFacts("2026-01-02"))
    mild = advisory("", state=State.UNFIXED, level=Level.LOW)
    (finding,) = judge(mild, exploited).of(RULE)
    assert "exploited since 2026-01-02" in finding.message
    assert not judge(mild, exploited, rule="exploited: false").of(RULE)


def test_a_malicious_package_counts_whatever_the_policy_asks() -> None:
    malicious = advisory("", state=State.UNFIXED, id="MAL-2026-1", cves=(), level=Level.CRITICAL)
    (finding,) = judge(malicious, rule="exploited: false").of(RULE)
    assert "a malicious package" in finding.message


def test_a_database_that_is_written_again_introduces_nothing() -> None:
    image = build([{STATUS: BASH + CURL}, {STATUS: BASH + CURL, "srv/x": "x"}], base=BASE)
    assert [f.position for f in judge(advisory(), image=image).of(RULE)] == [1]


def test_what_is_likely_to_be_exploited_counts_when_asked() -> None:
    likely = CveRecord("CVE-2026-1000", CveFacts(epss=0.5))
    mild = advisory(level=Level.LOW)
    assert not judge(mild, likely).of(RULE)
    assert judge(mild, likely, rule="epss: 50").of(RULE)
    assert not judge(mild, likely, rule="epss: 51").of(RULE)


def test_a_vex_statement_excuses_and_is_shown() -> None:
    statement = VexStatement(
        ("CVE-2026-1000",),
        ("registry.example/app:1",),
        VexStatus.NOT_AFFECTED,
        justification="component_not_present",
        author="security",
    )
    judged = judge(advisory(), statement)
    (finding,) = judged.of(RULE)
    assert judged.decision == "admit"
    assert finding.effect == "ignore"
    assert "does not matter here: component_not_present (security)" in finding.message
    affected = replace(statement, status=VexStatus.AFFECTED)
    assert judge(advisory(), affected).decision == "refuse"


def test_a_version_that_a_later_layer_fixed_is_told_and_does_not_count() -> None:
    newer = record("curl", "7.88.1-10+deb12u5")
    image = build([{STATUS: BASH + CURL}, {STATUS: BASH + newer}], base=BASE)
    judged = judge(advisory(), image=image)
    (finding,) = judged.of(RULE)
    assert (finding.position, finding.effect) == (1, "ignore")
    assert "replaced in layer 2" in finding.message
    still = build(
        [{STATUS: BASH + CURL}, {STATUS: BASH + record("curl", "7.88.1-10+b1")}], base=BASE
    )
    assert judge(advisory(), image=still).decision == "refuse"


@pytest.mark.parametrize("above", [{STATUS: BASH}, {STATUS: Whiteout()}])
def test_taking_the_metadata_away_hides_nothing(above: dict[str, Any]) -> None:
    image = build([{STATUS: BASH + CURL}, above], base=BASE)
    found = judge(advisory(), image=image).of(RULE)
    assert any("but still in this one" in f.message and f.effect == "refuse" for f in found)


def test_what_only_a_lock_file_names_alerts() -> None:
    lock = b'{"lockfileVersion": 3, "packages": {"node_modules/a": {"version": "1.0.0"}}}'
    events = ((EventKind.INTRODUCED, "0"), (EventKind.FIXED, "2.0.0"))
    weak = advisory(affected=(Affected("npm", "a", (events,)),))
    (finding,) = judge(weak, image=build([{"app/package-lock.json": lock}], base=BASE)).of(RULE)
    assert finding.effect == "alert"
    manifest = b'{"name": "a", "version": "1.0.0"}'
    installed = build([{"app/node_modules/a/package.json": manifest}], base=BASE)
    assert judge(weak, image=installed).decision == "refuse"


def test_a_languages_package_that_the_distribution_owns_is_its_to_answer_for() -> None:
    """python3-flask of Debian, whose fix does not change Flask's own version."""
    site = "usr/lib/python3/dist-packages/"
    metadata = f"{site}flask-2.0.0.dist-info/METADATA"
    owned = {
        STATUS: BASH + record("python3-flask", "2.0.0-1+deb12u1", "flask"),
        "var/lib/dpkg/info/python3-flask.list": f"/{site}flask-2.0.0.dist-info\n/{metadata}\n",
        metadata: "Name: Flask\nVersion: 2.0.0\n\n",
    }
    events = ((EventKind.INTRODUCED, "0"), (EventKind.FIXED, "2.1"))
    pypi = advisory(id="GHSA-1", affected=(Affected("PyPI", "flask", (events,)),))
    debian = advisory("2.0.0-1+deb12u1", package="flask")
    image = build([owned], base=BASE)
    assert judge(pypi, image=image).decision == "refuse"  # Debian says nothing of it
    assert not judge(pypi, debian, image=image).of(RULE)
    own_copy = build([{metadata: owned[metadata]}], base=BASE)
    assert judge(pypi, debian, image=own_copy).decision == "refuse"
    open_ = advisory("2.0.0-2", package="flask")
    (finding,) = judge(pypi, open_, image=image).of(RULE)  # once, as Debian's
    assert str(finding.evidence["package"]).startswith("pkg:deb/debian/python3-flask@")


# --- what cannot be told ---


def test_no_advisories_at_all_are_said_plainly() -> None:
    world = World(advisories=None)
    world.trust(BASE)
    judged = world.judge(APP)
    (finding,) = judged.of(RULE)
    assert finding.status is Status.UNKNOWN
    assert judged.decision == "refuse"
    assert judged.verdict.verdict == "undecided"
    assert "there are no advisories" in finding.message
    assert finding.remedy == "layerproof advisories update"


def test_an_ecosystem_without_advisories_is_said_plainly() -> None:
    (finding,) = judge(covers=("PyPI",)).of(RULE)
    assert "there are no advisories for Debian:12" in finding.message
    assert finding.remedy == "layerproof advisories update Debian"


def test_a_database_that_cannot_be_read_hides_nothing_in_silence() -> None:
    for path, data in (
        ("var/lib/rpm/rpmdb.sqlite", b"SQLite format 3\0" + bytes(50)),
        (STATUS, (BASH + CURL).replace("Version: 7", "Version: \x1b7")),
    ):
        (finding,) = judge(advisory(), image=build([{path: data}], base=BASE)).of(RULE)
        assert finding.status is Status.UNKNOWN
        assert "may hide packages" in finding.message


def test_old_advisories_are_said_plainly() -> None:
    (finding,) = judge(as_of=timedelta(days=15)).of(RULE)
    assert (finding.status, "15 days old" in finding.message) == (Status.UNKNOWN, True)
    assert not judge(as_of=timedelta(days=14)).of(RULE)
    assert not judge(as_of=timedelta(days=15), rule="maxAgeDays: 15").of(RULE)


@pytest.mark.parametrize(
    "release", ["ID=ubuntu\nVERSION_ID=24.04\n", "ID=debian\nVERSION_ID=11\n", "ID=nonsense\n"]
)
def test_a_layer_that_says_to_be_another_distribution_is_not_believed(release: str) -> None:
    image = build([{STATUS: BASH + CURL, "etc/os-release": release}], base=BASE)
    (finding,) = judge(advisory(), image=image).of(RULE)
    assert finding.status is Status.UNKNOWN
    assert "on top of debian 12" in finding.message


def test_a_layer_without_packages_needs_no_advisories() -> None:
    world = World(advisories=None)
    world.trust(BASE)
    assert not world.judge(build([{"srv/data": "x"}], base=BASE)).of(RULE)


def test_very_many_vulnerabilities_are_summed_up() -> None:
    many = [advisory(id=f"CVE-2026-{n}", cves=(f"CVE-2026-{n}",)) for n in range(1000, 1300)]
    found = judge(*many).of(RULE)
    assert len(found) == 201
    assert [f.evidence["total"] for f in found if "total" in f.evidence] == [100]


def test_one_vulnerability_can_be_excused_by_name() -> None:
    text = """
rules: {trusted-base: {}}
exceptions:
  - images: ['registry.example/**']
    rules: [vulnerable-package]
    vulnerabilities: [%s]
    reason: not reachable
    owner: alice
    until: 2027-01-01
"""
    world = World(
        advisories=MemoryAdvisories([advisory(aliases=("DSA-1",))], covers=ECOSYSTEMS, as_of=NOW)
    )
    world.trust(BASE)
    for name, decision in (
        ("CVE-2026-1000", "admit"),
        ("DSA-1", "admit"),
        ("CVE-2026-1", "refuse"),
    ):
        judged = world.judge(APP, policy=policy(text % name))
        assert judged.decision == decision, name
