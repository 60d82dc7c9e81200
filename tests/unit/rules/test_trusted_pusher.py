"""`trusted-pusher`: who pushed what → findings, through index and events."""

from datetime import timedelta

import pytest
from tests.unit.attacks.world import NOW, Files, Judged, World, policy

from layerproof.errors import PolicyError
from layerproof.model.finding import Status
from layerproof.testing.images import build

RULE = "trusted-pusher"
BASE = build([{"etc/os-release": "ID=demo\n"}])
APP = build([{"srv/app": "app\n"}], base=BASE)
TEXT = """
identities:
  ci: {registries: [registry.example], accounts: [ci-bot, 'robot$ci-*']}
  humans: {registries: ['*.corp.example'], accounts: [alice]}
"""


def a_world(text: str = TEXT) -> World:
    world = World(policy(text))
    world.trust(BASE)
    return world


def status(judged: Judged) -> Status | None:
    found = judged.of(RULE)
    return found[0].status if found else None


@pytest.mark.parametrize("account", ["ci-bot", "robot$ci-1"])
def test_a_layer_that_a_trusted_identity_pushed_passes(account: str) -> None:
    world = a_world()
    world.push(APP, account)
    assert status(world.judge(APP)) is None


def test_a_layer_that_others_pushed_fails_and_names_them() -> None:
    world = a_world()
    world.push(APP, "mallory")
    (finding,) = world.judge(APP).of(RULE)
    assert (finding.status, finding.position) == (Status.FAIL, 1)
    assert "pushed by mallory (registry.example) only" in finding.message


def test_one_trusted_push_is_enough_whoever_pushes_too() -> None:
    world = a_world()
    world.push(APP, "mallory")
    world.push(APP, "ci-bot")
    assert status(world.judge(APP)) is None


def test_the_push_of_another_image_with_the_same_layer_counts() -> None:
    world = a_world()
    other = build([{"srv/more": "x"}], base=APP)
    world.read(other)
    world.push(other, "ci-bot")
    assert status(world.judge(APP)) is None


def test_unknown_pushers_are_their_own_answer() -> None:
    world = a_world()
    assert status(world.judge(APP)) is Status.UNKNOWN
    world.push(APP, "")
    assert status(world.judge(APP)) is Status.UNKNOWN


def test_an_account_of_another_registry_is_somebody_else() -> None:
    world = a_world()
    world.push(APP, "ci-bot", registry="evil.example")
    world.push(APP, "alice", registry="corp.example.evil.example")
    assert status(world.judge(APP)) is Status.FAIL


def test_hosts_below_a_domain() -> None:
    world = a_world()
    world.push(APP, "alice", registry="hub.corp.example")
    assert status(world.judge(APP)) is None


def test_account_patterns_are_anchored() -> None:
    world = a_world()
    world.push(APP, "x-ci-bot")
    world.push(APP, "evil-robot$ci-1")
    assert status(world.judge(APP)) is Status.FAIL


def test_a_push_does_not_count_before_it_happened() -> None:
    world = a_world()
    world.push(APP, "ci-bot", at=NOW + timedelta(days=1))
    assert status(world.judge(APP)) is Status.UNKNOWN
    assert status(world.judge(APP, now=NOW + timedelta(days=2))) is None


def test_the_rule_may_be_narrowed_to_some_identities() -> None:
    world = a_world(TEXT + "rules: {trusted-pusher: {identities: [humans]}}\n")
    world.push(APP, "ci-bot")
    assert status(world.judge(APP)) is Status.FAIL


def test_without_identities_nothing_is_judged() -> None:
    world = World()
    world.trust(BASE)
    files: Files = {"srv/app": "app\n"}
    assert status(world.judge(build([files], base=BASE))) is None


def test_an_identity_that_is_not_defined_is_an_error() -> None:
    with pytest.raises(PolicyError, match="is not ci or humans"):
        policy(TEXT + "rules: {trusted-pusher: {identities: [nobody]}}\n")
