"""What a policy says about gates: read, kept and found again the same, and first matches first."""

import pytest
from tests.unit.attacks.world import policy

from layerproof.errors import PolicyError
from layerproof.model.facts import Context
from layerproof.model.gate import Mode, Reaction, TagAction
from layerproof.model.verdict import Decision
from layerproof.policy.defaults import DEFAULT_POLICY
from layerproof.policy.model import Policy

TEXT = """
mode: observe
withdrawn: {tags: move}
gates:
  docker: {mode: alert, unavailable: admit, running: stop, calls: {build: admit}}
  kubernetes: {undecided: alert}
blocks:
  - {name: prod, scope: {namespaces: [prod-*]}, mode: enforce}
"""
DOCKER, PROD = Context("docker"), Context("kubernetes", "prod-a")


def test_first_the_block_then_the_gate_then_all() -> None:
    found = policy(TEXT)
    reference = "docker://registry.example/app:1"
    assert found.at(reference, PROD).mode is Mode.ENFORCE
    assert found.at(reference, DOCKER).mode is Mode.ALERT
    assert found.at(reference, Context("containerd")).mode is Mode.OBSERVE


def test_defaults_are_the_strictest_and_do_nothing_to_what_runs() -> None:
    found = DEFAULT_POLICY
    assert found.at("x", DOCKER).mode is Mode.ENFORCE
    assert found.unavailable(DOCKER) is Decision.REFUSE
    assert found.running(DOCKER) is Reaction.ALERT
    assert found.withdrawn_tags is TagAction.KEEP
    assert found.call(DOCKER, "build", Decision.REFUSE) is Decision.REFUSE


def test_kept_policy_is_the_same_again() -> None:
    found = policy(TEXT)
    assert Policy.from_json(found.to_json()) == found
    assert found.withdrawn_tags is TagAction.MOVE
    assert found.running(DOCKER) is Reaction.STOP
    assert found.call(DOCKER, "build", Decision.REFUSE) is Decision.ADMIT
    assert found.digest != DEFAULT_POLICY.digest


@pytest.mark.parametrize(
    "text",
    [
        "mode: off",
        "gates: {cli: {mode: observe}}",
        "gates: {docker: {running: explode}}",
        "gates: {docker: {calls: {everything: admit}}}",
        "gates: {kubernetes: {calls: {build: admit}}}",
        "gates: {registry: {running: kill}}",
        "gates: {docker: {unavailable: maybe}}",
        "withdrawn: {tags: burn}",
        "withdrawn: move",
        "blocks: [{name: a, scope: {hosts: [x]}, mode: never}]",
    ],
)
def test_word_that_is_not_known_is_no_policy(text: str) -> None:
    with pytest.raises(PolicyError):
        policy(text + "\n")
