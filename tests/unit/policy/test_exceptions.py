"""Exceptions: who may excuse what, on which images, until when; and nothing more."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.unit.rules.facts_builder import a_file, make_facts, make_image, make_trust

from layerproof.engine.evaluator import evaluate
from layerproof.errors import PolicyError
from layerproof.model.change import Change, ChangeKind
from layerproof.model.finding import Effect
from layerproof.model.verdict import Decision, Trust, Verdict
from layerproof.policy.load import load_policy
from layerproof.policy.model import Policy

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
APP = "docker://registry.example/team/app:1.4"
HEAD = "apiVersion: layerproof/v1\nkind: Policy\n"
EXCEPTION = """
  - images: [registry.example/team/app]
    rules: [protected-path]
    reason: the sshd package brings its own config
    owner: alice
    until: 2026-06-30
"""


def load(*lines: str) -> Policy:
    return load_policy((HEAD + "exceptions:" + EXCEPTION + "".join(lines)).encode(), where="p.yaml")


def change(path: str) -> Change:
    return Change(ChangeKind.REPLACED, path.encode(), a_file(path, "a"), a_file(path, "b"))


def judge(
    policy: Policy,
    *,
    reference: str = APP,
    now: datetime = NOW,
    paths: Sequence[str] = ("etc/ssh/sshd_config",),
) -> Verdict:
    """An application that replaces files of its trusted base."""
    base = make_image("os", reference="docker://registry.example/golden:1")
    image = make_image("os", "app", reference=reference)
    facts = make_facts(image, trust=[make_trust(base)], changes={1: [change(p) for p in paths]})
    return evaluate(replace(facts, now=now), policy)


def test_an_excused_finding_admits_and_says_by_whose_word() -> None:
    verdict = judge(load())
    assert (verdict.decision, verdict.verdict) == (Decision.ADMIT, Trust.TRUSTED)
    (finding,) = verdict.layers[1].findings
    assert finding.effect is Effect.IGNORE
    assert finding.evidence["exception"] == {
        "owner": "alice",
        "reason": "the sshd package brings its own config",
        "until": "2026-06-30",
    }
    assert finding.evidence["path"] == "/etc/ssh/sshd_config"
    (note,) = verdict.notes
    assert note.startswith("protected-path excused until 2026-06-30 by alice: ")


@pytest.mark.parametrize(
    "reference",
    [
        "docker://registry.example/team/app2:1.4",
        "docker://registry.example.evil.example/team/app:1.4",
        "oci:registry.example/team/app",
        "docker-daemon:registry.example/team/app:1.4",
    ],
)
def test_an_exception_for_another_image_excuses_nothing(reference: str) -> None:
    verdict = judge(load(), reference=reference)
    assert verdict.decision is Decision.REFUSE
    assert verdict.notes == ()


def test_an_exception_for_another_rule_excuses_nothing() -> None:
    policy = load()
    (exception,) = policy.exceptions
    policy = replace(policy, exceptions=(replace(exception, rules=("trusted-base",)),))
    assert judge(policy).decision is Decision.REFUSE


def test_an_exception_holds_to_the_end_of_its_day_and_then_says_that_it_ended() -> None:
    end = datetime(2026, 7, 1, tzinfo=UTC)
    assert judge(load(), now=end - timedelta(microseconds=1)).decision is Decision.ADMIT
    verdict = judge(load(), now=end)
    assert verdict.decision is Decision.REFUSE
    (note,) = verdict.notes
    assert note.startswith("protected-path was excused, but only until 2026-06-30 by alice")


def test_paths_narrow_an_exception() -> None:
    policy = load("    paths: [/etc/ssh/**]\n")
    assert judge(policy).decision is Decision.ADMIT
    verdict = judge(policy, paths=["etc/ssh/sshd_config", "etc/passwd"])
    assert verdict.decision is Decision.REFUSE
    assert [f.effect for f in verdict.layers[1].findings] == [Effect.REFUSE, Effect.IGNORE]


def test_a_path_that_only_begins_alike_is_not_excused() -> None:
    policy = load("    paths: [/etc/ssh/ssh*]\n")
    assert judge(policy, paths=["etc/ssh/sshd_config"]).decision is Decision.ADMIT
    assert judge(policy, paths=["etc/ssh/ssh_config.d/x"]).decision is Decision.REFUSE


def test_a_path_that_is_too_long_to_be_shown_whole_is_not_excused_by_its_beginning() -> None:
    policy = load("    paths: [/etc/ssh/*]\n")
    assert judge(policy, paths=["etc/ssh/" + "a" * 200]).decision is Decision.ADMIT
    verdict = judge(policy, paths=["etc/ssh/" + "a" * 300 + "/deeper"])
    assert verdict.decision is Decision.REFUSE


def test_layers_narrow_an_exception() -> None:
    image = make_image("os", "app")
    mine, other = image.layers[1].chain_id, image.layers[0].chain_id
    assert judge(load(f'    layers: ["{mine}"]\n')).decision is Decision.ADMIT
    assert judge(load(f'    layers: ["{other}"]\n')).decision is Decision.REFUSE


def test_the_first_exception_that_fits_is_the_one_that_is_named() -> None:
    policy = load(EXCEPTION.replace("alice", "bob"))
    (note,) = judge(policy).notes
    assert "alice" in note


def test_what_is_ignored_anyway_needs_no_exception() -> None:
    text = HEAD + "rules: {protected-path: {effect: ignore}}\nexceptions:" + EXCEPTION
    verdict = judge(load_policy(text.encode(), where="p.yaml"))
    assert verdict.notes == ()
    assert "exception" not in verdict.layers[1].findings[0].evidence


def test_exceptions_are_part_of_the_policys_digest_and_of_its_kept_form() -> None:
    policy = load()
    assert Policy.from_json(policy.to_json()) == policy
    assert policy.digest != replace(policy, exceptions=()).digest


@pytest.mark.parametrize("value", ["7", '["a"]', '"2026-02-30"', "null"])
def test_a_kept_policy_with_a_damaged_exception_is_not_used(value: str) -> None:
    text = load().to_json().replace(b'"until":"2026-06-30"', b'"until":' + value.encode())
    with pytest.raises(PolicyError, match="cannot be read"):
        Policy.from_json(text)


@pytest.mark.parametrize(
    ("old", "new", "place", "message"),
    [
        ("    owner: alice\n", "", "4:5", "an exception without owner"),
        ("reason: the", "raison: the", "6:5", "unknown key 'raison'"),
        ("[registry.example/team/app]", "[]", "4:13", "images is not a list of 1 to"),
        ("[registry.example/team/app]", "app", "4:13", "images is not a list of 1 to"),
        ("[registry.example/team/app]", "['*']", "4:14", "names no registry"),
        ("[registry.example/team/app]", "[7]", "4:14", "7 is not a text"),
        ("[protected-path]", "[protected-paths]", "5:13", "there is no rule 'protected-paths'"),
        ("[protected-path]", "[]", "5:12", "rules is not a list of 1 to"),
        ("2026-06-30", "2026-06-31", "8:12", "'2026-06-31' is not a day"),
        ("2026-06-30", "9999-12-31", "8:12", "is not a day"),
        ("2026-06-30", "never", "8:12", "'never' is not a day"),
        ("2026-06-30", "20260630", "8:12", "20260630 is not a day"),
        ("alice", "''", "7:12", "owner is not a text"),
        ("alice", '"a\\nb"', "7:12", "owner holds characters that do not print"),
        ("alice", "alice\n    paths: [etc/x]", "8:13", "does not start with /"),
        ("alice", "alice\n    paths: []", "8:12", "paths is not a list of 1 to"),
        ("alice", "alice\n    layers: [sha256:1]", "8:14", "is not a ChainID"),
    ],
)
def test_a_mistake_is_refused_at_its_place(old: str, new: str, place: str, message: str) -> None:
    text = HEAD + "exceptions:" + EXCEPTION
    assert old in text
    with pytest.raises(PolicyError) as caught:
        load_policy(text.replace(old, new).encode(), where="p.yaml")
    problems = [problem for problem in caught.value.problems if message in problem]
    assert any(problem.startswith(f"p.yaml:{place}: ") for problem in problems), (
        caught.value.problems
    )


@pytest.mark.parametrize("value", ["[]", "{}", "x", "null"])
def test_exceptions_that_are_no_list_are_refused(value: str) -> None:
    with pytest.raises(PolicyError, match="exceptions is not a list"):
        load_policy(f"{HEAD}exceptions: {value}\n".encode(), where="p.yaml")


def test_all_mistakes_are_told_at_once() -> None:
    text = HEAD + "exceptions:" + EXCEPTION.replace("alice", "''").replace("2026-06-30", "soon")
    with pytest.raises(PolicyError) as caught:
        load_policy(text.encode(), where="p.yaml")
    assert len(caught.value.problems) == 2
