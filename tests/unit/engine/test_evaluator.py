"""The decision: attack or situation → verdict."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from tests.unit.rules.facts_builder import (
    NOW,
    WEEK,
    a_file,
    deleted,
    identical,
    known,
    make_facts,
    make_image,
    make_trust,
)

from layerproof.engine.evaluator import evaluate, find_base
from layerproof.errors import PolicyError
from layerproof.model.facts import ImageFacts
from layerproof.model.finding import Effect, Finding, Severity, Status
from layerproof.model.verdict import Decision, Trust, Verdict
from layerproof.policy.defaults import DEFAULT_POLICY
from layerproof.policy.model import BaseMatch, Policy
from layerproof.policy.ruling import RulePolicy
from layerproof.rules.claims import BASE_DIGEST
from layerproof.rules.interface import Rule, RuleSettings
from layerproof.rules.registry import RULES

BASE = make_image("os", "runtime", reference="docker://registry.example/base:1")
APP = make_image("os", "runtime", "app")
TRUSTED = make_trust(BASE)


@dataclass(frozen=True)
class Says:
    """A rule that says what it is told to."""

    findings: tuple[Finding, ...] = ()
    id: str = "says"
    severity: ClassVar[Severity] = Severity.HIGH
    doc: ClassVar[str] = "Says."
    settings: ClassVar[type[RuleSettings]] = RuleSettings

    def check(self, facts: ImageFacts, settings: RuleSettings) -> tuple[Finding, ...]:
        return self.findings


def finding(position: int | None, status: Status = Status.FAIL, **more: Any) -> Finding:
    said = Finding("says", status, Severity.HIGH, "said", "do", position=position)
    return replace(said, **more)


def decide(
    *findings: Finding,
    effect: Effect = Effect.REFUSE,
    undecided: Decision = Decision.REFUSE,
    facts: ImageFacts | None = None,
) -> Verdict:
    """The verdict on an application on its trusted base when one rule says `findings`."""
    policy = Policy({"says": RulePolicy(RuleSettings(), effect)}, undecided=undecided)
    return evaluate(facts or make_facts(APP, trust=[TRUSTED]), policy, [Says(findings)])


def with_effect(rule_id: str, effect: Effect) -> Policy:
    rules = dict(DEFAULT_POLICY.rules)
    rules[rule_id] = replace(rules[rule_id], effect=effect)
    return replace(DEFAULT_POLICY, rules=rules)


# --- the whole way, with the real rules --------------------------------------------------------


def test_clean_application_on_a_trusted_base_is_admitted() -> None:
    changes = [identical(a_file("etc/shadow"))]
    verdict = evaluate(make_facts(APP, trust=[TRUSTED], changes={2: changes}), DEFAULT_POLICY)
    assert (verdict.verdict, verdict.decision) == (Trust.TRUSTED, Decision.ADMIT)
    assert verdict.base is not None
    assert (verdict.base.trusted_image, verdict.base.layers) == (BASE.reference, 2)
    assert [layer.in_base for layer in verdict.layers] == [True, True, False]
    assert [layer.verdict for layer in verdict.layers] == [Trust.TRUSTED] * 3


def test_whiteout_of_shadow_file_is_refused_and_only_that_layer_is_untrusted() -> None:
    image = make_image("os", "runtime", "app", "more")
    facts = make_facts(image, trust=[TRUSTED], changes={2: [deleted("etc/shadow")]})
    verdict = evaluate(facts, DEFAULT_POLICY)
    assert (verdict.verdict, verdict.decision) == (Trust.UNTRUSTED, Decision.REFUSE)
    assert [layer.verdict for layer in verdict.layers] == [
        Trust.TRUSTED,
        Trust.TRUSTED,
        Trust.UNTRUSTED,
        Trust.TRUSTED,
    ]
    assert [f.rule for f in verdict.layers[2].findings] == ["protected-path"]


def test_image_from_nowhere_is_refused_and_none_of_its_layers_is_trusted() -> None:
    verdict = evaluate(make_facts(make_image("alien", "app")), DEFAULT_POLICY)
    assert (verdict.verdict, verdict.decision) == (Trust.UNTRUSTED, Decision.REFUSE)
    assert verdict.base is None
    assert [f.rule for f in verdict.findings] == ["trusted-base"]
    assert {layer.verdict for layer in verdict.layers} == {Trust.UNTRUSTED}


def test_layers_without_a_base_are_judged_too() -> None:
    facts = make_facts(make_image("alien", "app"), changes={1: [deleted("etc/shadow")]})
    verdict = evaluate(facts, DEFAULT_POLICY)
    assert [f.rule for f in verdict.layers[1].findings] == ["protected-path"]


def test_lying_label_on_a_trusted_base_is_refused() -> None:
    claimed = make_image("golden", reference="docker://registry.example/golden:1")
    image = make_image("os", "runtime", "app", labels={BASE_DIGEST: str(claimed.manifest_digest)})
    facts = make_facts(
        image,
        trust=[TRUSTED],
        claimed={f"digest:{claimed.manifest_digest}": (known(claimed),)},
    )
    verdict = evaluate(facts, DEFAULT_POLICY)
    assert (verdict.verdict, verdict.decision) == (Trust.UNTRUSTED, Decision.REFUSE)
    assert {layer.verdict for layer in verdict.layers} == {Trust.TRUSTED}


def test_unknown_claim_on_a_trusted_base_alerts() -> None:
    image = make_image("os", "runtime", "app", labels={BASE_DIGEST: "sha256:" + "a" * 64})
    verdict = evaluate(make_facts(image, trust=[TRUSTED]), DEFAULT_POLICY)
    assert (verdict.verdict, verdict.decision) == (Trust.UNDECIDED, Decision.ALERT)


def test_layer_that_was_not_indexed_is_undecided_and_refused() -> None:
    verdict = evaluate(make_facts(APP, trust=[TRUSTED], changes={2: None}), DEFAULT_POLICY)
    assert (verdict.verdict, verdict.decision) == (Trust.UNDECIDED, Decision.REFUSE)


def test_layer_that_the_facts_left_out_is_undecided_and_refused() -> None:
    facts = make_facts(APP, trust=[TRUSTED])
    verdict = evaluate(replace(facts, layers=facts.layers[:2]), DEFAULT_POLICY)
    assert verdict.layers[2].verdict is Trust.UNDECIDED
    assert verdict.decision is Decision.REFUSE


def test_facts_about_another_chain_are_not_taken_for_the_layer() -> None:
    facts = make_facts(APP, trust=[TRUSTED])
    other = make_facts(make_image("os", "other", "app"))
    verdict = evaluate(replace(facts, layers=(*facts.layers[:2], other.layers[2])), DEFAULT_POLICY)
    assert verdict.layers[2].verdict is Trust.UNDECIDED


def test_verdict_says_what_it_was_made_from() -> None:
    verdict = evaluate(make_facts(APP), DEFAULT_POLICY, analysers="apk@1 dpkg@2")
    assert verdict.inputs == {
        "policy": DEFAULT_POLICY.digest,
        "analysers": "apk@1 dpkg@2",
        "advisories": None,
        "model": None,
    }


def test_same_facts_give_the_same_verdict() -> None:
    facts = make_facts(APP, trust=[TRUSTED], changes={2: [deleted("etc/shadow")]})
    assert evaluate(facts, DEFAULT_POLICY) == evaluate(facts, DEFAULT_POLICY)


# --- base --------------------------------------------------------------------------------------


def test_topmost_trusted_image_is_the_base() -> None:
    low = make_trust(make_image("os", reference="docker://registry.example/os:1"))
    base = find_base(APP, [low, TRUSTED], NOW, BaseMatch.WHOLE)
    assert base is not None
    assert base.layers == 2


def test_base_trusted_twice_goes_by_the_newer_name_whatever_the_order() -> None:
    newer = replace(TRUSTED, id="other", reference="oci:./base", added_at=NOW - WEEK)
    for records in ([TRUSTED, newer], [newer, TRUSTED]):
        base = find_base(APP, records, NOW, BaseMatch.WHOLE)
        assert base is not None
        assert base.trusted_image == "oci:./base"


def test_trusted_image_itself_is_all_base() -> None:
    verdict = evaluate(make_facts(BASE, trust=[TRUSTED]), DEFAULT_POLICY)
    assert verdict.decision is Decision.ADMIT
    assert all(layer.in_base for layer in verdict.layers)


def test_lower_part_of_a_trusted_image_is_no_base() -> None:
    part = make_image("os", "app")
    assert find_base(part, [TRUSTED], NOW, BaseMatch.WHOLE) is None


def test_lower_part_of_a_trusted_image_is_a_base_if_the_policy_says_prefix() -> None:
    part = make_image("os", "app")
    base = find_base(part, [TRUSTED], NOW, BaseMatch.PREFIX)
    assert base is not None
    assert base.layers == 1
    policy = replace(DEFAULT_POLICY, match=BaseMatch.PREFIX)
    assert evaluate(make_facts(part, trust=[TRUSTED]), policy).decision is Decision.ADMIT


def test_base_layers_in_another_order_are_no_base() -> None:
    image = make_image("runtime", "os", "app")
    assert find_base(image, [TRUSTED], NOW, BaseMatch.PREFIX) is None


@pytest.mark.parametrize(
    ("dead", "said"),
    [
        (
            {"revoked_at": NOW, "revoked_by": "bob", "revoke_reason": "backdoor"},
            "until 2026-05-04 12:00 UTC, revoked by bob because: backdoor",
        ),
        ({"expires_at": NOW}, "until 2026-05-04 12:00 UTC, when the trust expired"),
        ({"added_at": NOW + WEEK}, "only from 2026-05-11 12:00 UTC on"),
    ],
    ids=["revoked", "expired", "not-yet"],
)
@pytest.mark.parametrize("match", BaseMatch)
def test_dead_trust_makes_no_base_and_a_note(
    dead: dict[str, Any], said: str, match: BaseMatch
) -> None:
    facts = make_facts(APP, trust=[make_trust(BASE, **dead)])
    verdict = evaluate(facts, replace(DEFAULT_POLICY, match=match))
    assert verdict.base is None
    assert verdict.decision is Decision.REFUSE
    assert verdict.notes == (
        f"the lowest 2 layers trusted as docker://registry.example/base:1 {said}",
    )


def test_trust_counts_until_the_moment_it_ends() -> None:
    record = make_trust(BASE, expires_at=NOW + timedelta(microseconds=1))
    assert find_base(APP, [record], NOW, BaseMatch.WHOLE) is not None


def test_note_says_that_a_taller_base_was_trusted_once() -> None:
    low = make_trust(make_image("os", reference="docker://registry.example/os:1"))
    facts = make_facts(APP, trust=[low, make_trust(BASE, expires_at=NOW)])
    verdict = evaluate(facts, DEFAULT_POLICY)
    assert verdict.base is not None
    assert verdict.base.layers == 1
    assert len(verdict.notes) == 1


@pytest.mark.parametrize("match", BaseMatch)
def test_image_without_layers_is_never_trusted(match: BaseMatch) -> None:
    empty = make_image()
    facts = make_facts(empty, trust=[make_trust(empty), TRUSTED])
    verdict = evaluate(facts, replace(DEFAULT_POLICY, match=match))
    assert verdict.base is None
    assert (verdict.verdict, verdict.decision) == (Trust.UNTRUSTED, Decision.REFUSE)


@pytest.mark.parametrize("match", BaseMatch)
def test_trust_record_without_layers_is_no_base(match: BaseMatch) -> None:
    assert find_base(APP, [make_trust(make_image())], NOW, match) is None


# --- findings → verdict → decision -------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "effect", "undecided", "verdict", "decision"),
    [
        (Status.FAIL, Effect.REFUSE, Decision.ADMIT, Trust.UNTRUSTED, Decision.REFUSE),
        (Status.FAIL, Effect.ALERT, Decision.REFUSE, Trust.UNTRUSTED, Decision.ALERT),
        (Status.UNKNOWN, Effect.REFUSE, Decision.REFUSE, Trust.UNDECIDED, Decision.REFUSE),
        (Status.UNKNOWN, Effect.REFUSE, Decision.ALERT, Trust.UNDECIDED, Decision.ALERT),
        (Status.UNKNOWN, Effect.REFUSE, Decision.ADMIT, Trust.UNDECIDED, Decision.ADMIT),
        (Status.UNKNOWN, Effect.ALERT, Decision.REFUSE, Trust.UNDECIDED, Decision.ALERT),
    ],
)
@pytest.mark.parametrize("position", [2, None, 99])
def test_weight_of_a_finding(
    position: int | None,
    status: Status,
    effect: Effect,
    undecided: Decision,
    verdict: Trust,
    decision: Decision,
) -> None:
    made = decide(finding(position, status), effect=effect, undecided=undecided)
    assert (made.verdict, made.decision) == (verdict, decision)


def test_ignored_finding_is_shown_and_does_not_count() -> None:
    policy = Policy(
        {
            "says": RulePolicy(RuleSettings(), Effect.IGNORE),
            "other": RulePolicy(RuleSettings()),
        }
    )
    rules: Sequence[Rule[Any]] = [Says((finding(2),)), Says(id="other")]
    verdict = evaluate(make_facts(APP, trust=[TRUSTED]), policy, rules)
    assert (verdict.verdict, verdict.decision) == (Trust.TRUSTED, Decision.ADMIT)
    assert verdict.layers[2].findings[0].effect is Effect.IGNORE


def test_milder_effect_that_a_rule_chose_is_not_made_harsher() -> None:
    made = decide(finding(2, Status.UNKNOWN, effect=Effect.ALERT))
    assert made.decision is Decision.ALERT


def test_rule_cannot_be_harsher_than_the_policy() -> None:
    assert decide(finding(2), effect=Effect.ALERT).decision is Decision.ALERT


def test_policy_sets_the_severity() -> None:
    policy = Policy({"says": RulePolicy(RuleSettings(), severity=Severity.LOW)})
    verdict = evaluate(make_facts(APP, trust=[TRUSTED]), policy, [Says((finding(2),))])
    assert verdict.layers[2].findings[0].severity is Severity.LOW


def test_finding_on_a_layer_of_the_base_counts() -> None:
    made = decide(finding(0))
    assert made.layers[0].verdict is Trust.UNTRUSTED
    assert made.decision is Decision.REFUSE


def test_finding_on_a_layer_that_is_not_there_counts_for_the_image() -> None:
    assert decide(finding(99)).findings[0].position == 99


def test_worst_findings_come_first() -> None:
    made = decide(finding(2, severity=Severity.LOW), finding(2, severity=Severity.CRITICAL))
    assert [f.severity for f in made.layers[2].findings] == [Severity.CRITICAL, Severity.LOW]


def test_ignored_trusted_base_lets_the_layers_be_judged_alone() -> None:
    policy = with_effect("trusted-base", Effect.IGNORE)
    facts = make_facts(make_image("alien", "app"), changes={1: [deleted("etc/shadow")]})
    verdict = evaluate(facts, policy)
    assert [layer.verdict for layer in verdict.layers] == [Trust.TRUSTED, Trust.UNTRUSTED]


# --- closed when empty -------------------------------------------------------------------------


@pytest.mark.parametrize("undecided", Decision)
def test_empty_rule_set_refuses(undecided: Decision) -> None:
    policy = replace(DEFAULT_POLICY, undecided=undecided)
    verdict = evaluate(make_facts(APP, trust=[TRUSTED]), policy, [])
    assert (verdict.verdict, verdict.decision) == (Trust.UNDECIDED, Decision.REFUSE)
    assert verdict.layers[2].verdict is Trust.UNDECIDED
    assert "no rule judged the image" in verdict.notes[-1]


def test_policy_that_ignores_every_rule_refuses() -> None:
    rules = {
        name: replace(rule, effect=Effect.IGNORE) for name, rule in DEFAULT_POLICY.rules.items()
    }
    policy = replace(DEFAULT_POLICY, rules=rules, undecided=Decision.ADMIT)
    verdict = evaluate(make_facts(BASE, trust=[TRUSTED]), policy)
    assert (verdict.verdict, verdict.decision) == (Trust.UNDECIDED, Decision.REFUSE)


def test_policy_without_rules_is_an_error() -> None:
    with pytest.raises(PolicyError, match="trusted-base"):
        evaluate(make_facts(APP), Policy({}))


def test_default_rules_are_all_of_them() -> None:
    assert {rule.id for rule in RULES} == set(DEFAULT_POLICY.rules)
