"""`outdated-package`: newer versions → findings."""

from datetime import datetime, timedelta

from tests.unit.attacks.world import NOW, Judged, World, policy

from layerproof.advisories.formats import NewestRecord
from layerproof.model.finding import Status
from layerproof.testing.advisories import ECOSYSTEMS, MemoryAdvisories
from layerproof.testing.images import build

RULE = "outdated-package"
BASE = build([{"etc/os-release": "ID=debian\nVERSION_ID=12\n"}])
METADATA = "app/a-1.0.dist-info/METADATA"
APP = build([{METADATA: "Name: a\nVersion: 1.0\n\n"}], base=BASE)


def judge(
    version: str = "", published: datetime | None = None, *, rule: str = "", age: int = 0
) -> Judged:
    records = [NewestRecord("PyPI", "a", version, published)] if version else []
    advisories = MemoryAdvisories(
        records, covers=ECOSYSTEMS, versions=("PyPI",), as_of=NOW - timedelta(days=age)
    )
    world = World(advisories=advisories)
    world.trust(BASE)
    return world.judge(APP, policy=policy(f"rules: {{{RULE}: {{effect: refuse, {rule}}}}}"))


def test_a_package_behind_for_too_long_is_found() -> None:
    judged = judge("1.1", NOW - timedelta(days=31))
    (finding,) = judged.of(RULE)
    assert finding.message == "a 1.0 is behind 1.1"
    assert judged.decision == "refuse"
    assert not judge("1.1", NOW - timedelta(days=30)).of(RULE)
    assert judge("1.1", NOW - timedelta(days=2), rule="graceDays: 1").of(RULE)


def test_versions_are_compared_as_the_ecosystem_does() -> None:
    long_ago = NOW - timedelta(days=300)
    assert judge("1.10", long_ago).of(RULE)
    for version in ("1.0", "1.0.0", "1.0rc1", "0.9"):
        assert not judge(version, long_ago).of(RULE)


def test_an_unknown_day_counts_from_when_the_version_was_known() -> None:
    assert not judge("1.1", age=10, rule="graceDays: 10").of(RULE)
    assert judge("1.1", age=11, rule="graceDays: 10").of(RULE)


def test_a_project_that_was_not_asked_for_is_not_judged() -> None:
    assert not judge().of(RULE)


def test_an_ecosystem_without_newest_versions_cannot_be_told() -> None:
    world = World()
    world.trust(BASE)
    judged = world.judge(APP, policy=policy(f"rules: {{{RULE}: {{effect: refuse}}}}"))
    (finding,) = judged.of(RULE)
    assert finding.status is Status.UNKNOWN
    assert "(PyPI)" in finding.message


def test_the_built_in_policy_ignores_it() -> None:
    world = World(advisories=MemoryAdvisories(covers=ECOSYSTEMS, as_of=NOW))
    world.trust(BASE)
    assert world.judge(APP).decision == "admit"
