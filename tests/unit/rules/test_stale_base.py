"""`stale-base`: newer trusted builds of the base → findings."""

from datetime import timedelta

from tests.unit.attacks.world import NOW, Judged, World, policy

from layerproof.advisories.formats import EndOfLifeRecord
from layerproof.engine.trust import revoke_trust
from layerproof.model.finding import Severity
from layerproof.testing.advisories import ECOSYSTEMS, MemoryAdvisories
from layerproof.testing.images import BuiltImage, build

RULE = "stale-base"
NAME = "docker://registry.example/golden:1"
OLD = build([{"etc/os-release": "ID=demo\nVERSION_ID=1\n"}])
NEW = build([{"etc/os-release": "ID=demo\nVERSION_ID=2\n"}])
APP = build([{"srv/app": "app\n"}], base=OLD)


def a_world(days: int, newer: BuiltImage = NEW, name: str = NAME) -> World:
    """The old base is trusted for a year, a newer build since `days`."""
    world = World()
    world.trust(OLD, NAME, now=NOW - timedelta(days=365))
    world.trust(newer, name, now=NOW - timedelta(days=days))
    return world


def stale(judged: Judged) -> bool:
    return bool(judged.of(RULE))


def test_an_older_build_may_be_used_for_some_days() -> None:
    assert not stale(a_world(30).judge(APP))
    judged = a_world(31).judge(APP)
    (finding,) = judged.of(RULE)
    assert (finding.position, finding.severity) == (None, Severity.LOW)
    assert "since 31 days" in finding.message


def test_the_days_can_be_set() -> None:
    strict = policy("rules: {stale-base: {graceDays: 0}}")
    assert stale(a_world(1).judge(APP, policy=strict))
    assert not stale(a_world(0).judge(APP, policy=strict))
    assert not stale(
        a_world(300).judge(APP, policy=policy("rules: {stale-base: {graceDays: 300}}"))
    )


def test_the_newest_build_is_not_stale() -> None:
    assert not stale(a_world(100).judge(build([{"srv/app": "app\n"}], base=NEW)))


def test_a_build_of_another_name_is_no_newer_one() -> None:
    assert not stale(a_world(100, name="docker://registry.example/other:1").judge(APP))


def test_the_same_build_trusted_again_is_no_newer_one() -> None:
    assert not stale(a_world(100, newer=OLD).judge(APP))


def test_a_newer_build_that_is_not_trusted_any_more_does_not_count() -> None:
    world = a_world(100)
    record = next(r for r in world.index.trust_records() if r.added_at > NOW - timedelta(days=200))
    revoke_trust(world.index, record.id, by="bob", reason="broken", now=NOW)
    assert not stale(world.judge(APP, now=NOW + timedelta(seconds=1)))


def test_a_kept_verdict_becomes_stale_on_its_day() -> None:
    world = a_world(30)
    assert not stale(world.judge(APP, reference=NAME))
    assert stale(world.judge(APP, reference=NAME, now=NOW + timedelta(microseconds=1)))


def ended(days: int, rule: str = "") -> Judged:
    """The base's distribution ended so many days ago."""
    ends = EndOfLifeRecord("demo", "1", (NOW - timedelta(days=days)).date())
    world = World(advisories=MemoryAdvisories([ends], covers=ECOSYSTEMS, as_of=NOW))
    world.trust(OLD, NAME)
    return world.judge(APP, policy=policy(f"rules: {{stale-base: {{{rule}}}}}"))


def test_a_distribution_past_its_end_of_life_is_stale() -> None:
    (finding,) = ended(2).of(RULE)
    assert "demo 1, which the base is, reached its end of life on" in finding.message
    assert not ended(0).of(RULE)  # its last day
    assert not ended(30, "endOfLifeDays: 40").of(RULE)


def test_a_distribution_whose_end_is_not_known_is_not_stale() -> None:
    world = World(advisories=MemoryAdvisories(covers=ECOSYSTEMS, as_of=NOW))
    world.trust(OLD, NAME)
    assert not world.judge(APP).of(RULE)


# --- builds that registries report -------------------------------------------------------------


def moved(*pushers: tuple[BuiltImage, str, int]) -> World:
    """The base is trusted; its name then stood for these images in turn, each pushed by an account
    so many days ago."""
    world = World()
    world.trust(OLD, NAME, now=NOW - timedelta(days=365))
    for built, account, days in pushers:
        world.read(built, NAME)
        world.push(built, account, at=NOW - timedelta(days=days), repository="golden", tag="1")
    return world


def test_a_base_whose_name_its_own_pusher_moved_on_is_stale() -> None:
    world = moved((OLD, "ci", 90), (NEW, "ci", 31))
    (finding,) = world.judge(APP).of(RULE)
    assert "pushed 31 days ago by ci" in finding.message
    assert finding.evidence["newest"] == NEW.manifest_digest
    assert not stale(moved((OLD, "ci", 90), (NEW, "ci", 30)).judge(APP))


def test_what_another_account_pushes_under_the_name_makes_no_base_stale() -> None:
    assert not stale(moved((OLD, "ci", 90), (NEW, "mallory", 40)).judge(APP))
    assert not stale(moved((OLD, "", 90), (NEW, "", 40)).judge(APP))


def test_a_name_that_was_moved_back_to_the_base_does_not_make_it_stale() -> None:
    assert not stale(moved((OLD, "ci", 90), (NEW, "ci", 60), (OLD, "ci", 50)).judge(APP))


def test_an_older_build_of_the_name_makes_no_base_stale() -> None:
    assert not stale(moved((NEW, "ci", 300), (OLD, "ci", 90)).judge(APP))


def test_a_kept_verdict_becomes_stale_on_the_day_counted_from_the_push() -> None:
    world = moved((OLD, "ci", 90), (NEW, "ci", 30))
    assert not stale(world.judge(APP, reference=NAME + "app"))
    later = NOW + timedelta(microseconds=1)
    assert stale(world.judge(APP, reference=NAME + "app", now=later))
