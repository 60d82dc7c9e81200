"""What holds of every verdict, whatever the image, the trust and the findings.

1. One more finding never makes a verdict or a decision better.
2. A layer's verdict does not depend on the layers above it, as long as the base stays the same.
3. Revoked, expired and future trust never yields a base.
4. Without trust, or without rules, every image is refused.
5. The order of trust records, known images and changes is irrelevant.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar

from hypothesis import assume, given
from hypothesis import strategies as st
from tests.unit.rules.facts_builder import (
    NOW,
    a_file,
    added,
    deleted,
    known,
    make_facts,
    make_image,
    make_trust,
    re_moded,
    shadowed,
)

from layerproof.engine.evaluator import evaluate, find_base
from layerproof.model.change import Change
from layerproof.model.facts import ImageFacts
from layerproof.model.finding import Effect, Finding, Severity, Status
from layerproof.model.image import Image
from layerproof.model.trust import TrustRecord
from layerproof.model.verdict import TRUST_ORDER, Decision, Trust, Verdict
from layerproof.policy.defaults import DEFAULT_POLICY
from layerproof.policy.exceptions import PolicyException
from layerproof.policy.model import BaseMatch, Policy
from layerproof.policy.ruling import RulePolicy
from layerproof.rules.claims import BASE_DIGEST, BASE_NAME
from layerproof.rules.interface import RuleSettings
from layerproof.rules.trusted_base import TrustedBase

DECISIONS = tuple(Decision)  # from the mildest to the harshest
CONTENTS = st.sampled_from(["os", "libc", "python", "app", "alien"])
STACKS = st.lists(CONTENTS, max_size=5).map(tuple)
EFFECTS = st.sampled_from(Effect)


class Says:
    """A rule that says what it is told to."""

    id: ClassVar[str] = "says"
    severity: ClassVar[Severity] = Severity.HIGH
    doc: ClassVar[str] = "Says."
    settings: ClassVar[type[RuleSettings]] = RuleSettings

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)

    def check(self, facts: ImageFacts, settings: RuleSettings) -> tuple[Finding, ...]:
        return self.findings


@st.composite
def findings(draw: st.DrawFn) -> Finding:
    return Finding(
        rule="says",
        status=draw(st.sampled_from(Status)),
        severity=draw(st.sampled_from(Severity)),
        message=draw(st.text("ab", max_size=2)),
        remedy="",
        position=draw(st.none() | st.integers(-1, 5)),
        effect=draw(EFFECTS),
    )


@st.composite
def changes(draw: st.DrawFn) -> Change:
    path = draw(st.sampled_from(["etc/shadow", "usr/bin/ls", "opt/x", "root/.ssh/authorized_keys"]))
    return draw(
        st.sampled_from(
            [
                added(a_file(path)),
                added(a_file(path, mode=0o4755)),
                deleted(path),
                deleted(path, "opaque", "usr"),
                re_moded(a_file(path), a_file(path, mode=0o666)),
                shadowed(path, "usr/local/bin/ls"),
            ]
        )
    )


@st.composite
def records(draw: st.DrawFn) -> TrustRecord:
    image = make_image(*draw(STACKS), reference=f"docker://base.example/{draw(CONTENTS)}:1")
    days = st.integers(-20, 20).map(lambda n: NOW + timedelta(days=n))
    added_at = draw(days)
    record = make_trust(
        image,
        added_at=added_at,
        expires_at=draw(st.none() | days),
        revoked_at=draw(st.none() | days),
    )
    return replace(record, id=f"{draw(st.integers(0, 10**9)):012}")


TRUST = st.lists(records(), max_size=5, unique_by=lambda record: record.id)
LAYER_CHANGES = st.dictionaries(
    st.integers(0, 4), st.none() | st.lists(changes(), max_size=4), max_size=3
)
POLICIES = st.builds(
    lambda match, undecided, effects: Policy(
        rules={
            rule_id: replace(rule, effect=effect)
            for (rule_id, rule), effect in zip(DEFAULT_POLICY.rules.items(), effects, strict=True)
        },
        match=match,
        undecided=undecided,
    ),
    st.sampled_from(BaseMatch),
    st.sampled_from(Decision),
    st.tuples(*[EFFECTS] * len(DEFAULT_POLICY.rules)),
)


@st.composite
def images(draw: st.DrawFn) -> Image:
    labels = draw(
        st.sampled_from(
            [{}, {BASE_DIGEST: "sha256:" + "a" * 64}, {BASE_NAME: "x"}, {BASE_DIGEST: "x"}]
        )
    )
    return make_image(*draw(STACKS), labels=labels)


def not_better(worse: Verdict, verdict: Verdict) -> bool:
    return (
        TRUST_ORDER.index(worse.verdict) >= TRUST_ORDER.index(verdict.verdict)
        and DECISIONS.index(worse.decision) >= DECISIONS.index(verdict.decision)
        and all(
            TRUST_ORDER.index(mine.verdict) >= TRUST_ORDER.index(other.verdict)
            for mine, other in zip(worse.layers, verdict.layers, strict=True)
        )
    )


# --- 1 -----------------------------------------------------------------------------------------


@given(
    images(),
    TRUST,
    st.lists(findings(), max_size=4),
    findings(),
    EFFECTS,
    st.sampled_from(Decision),
)
def test_one_more_finding_never_makes_a_verdict_better(
    image: Image,
    trust: list[TrustRecord],
    said: list[Finding],
    more: Finding,
    effect: Effect,
    undecided: Decision,
) -> None:
    policy = Policy({"says": RulePolicy(RuleSettings(), effect)}, undecided=undecided)
    facts = make_facts(image, trust=trust)
    verdict = evaluate(facts, policy, [Says(said)])
    assert not_better(evaluate(facts, policy, [Says([*said, more])]), verdict)


@given(images(), TRUST, LAYER_CHANGES, changes(), st.integers(0, 4), POLICIES)
def test_one_more_change_never_makes_a_verdict_better(
    image: Image,
    trust: list[TrustRecord],
    made: dict[int, list[Change] | None],
    more: Change,
    position: int,
    policy: Policy,
) -> None:
    assume(made.get(position, []) is not None)
    worse = {**made, position: [*(made.get(position) or []), more]}
    verdict = evaluate(make_facts(image, trust=trust, changes=made), policy)
    assert not_better(evaluate(make_facts(image, trust=trust, changes=worse), policy), verdict)


@given(images(), TRUST, LAYER_CHANGES, POLICIES)
def test_harsher_policy_never_makes_a_verdict_better(
    image: Image, trust: list[TrustRecord], made: dict[int, Any], policy: Policy
) -> None:
    facts = make_facts(image, trust=trust, changes=made)
    assume(any(rule.effect is not Effect.IGNORE for rule in policy.rules.values()))
    rules = {name: replace(rule, effect=Effect.REFUSE) for name, rule in policy.rules.items()}
    harsher = replace(policy, rules=rules, undecided=Decision.REFUSE)
    assert not_better(evaluate(facts, harsher), evaluate(facts, policy))


# --- 2 -----------------------------------------------------------------------------------------


@given(STACKS, st.lists(CONTENTS, min_size=1, max_size=3), TRUST, LAYER_CHANGES, POLICIES)
def test_verdict_of_a_layer_does_not_depend_on_those_above(
    lower: tuple[str, ...],
    upper: list[str],
    trust: list[TrustRecord],
    made: dict[int, Any],
    policy: Policy,
) -> None:
    short = evaluate(make_facts(make_image(*lower), trust=trust, changes=made), policy)
    long = evaluate(make_facts(make_image(*lower, *upper), trust=trust, changes=made), policy)
    assume(short.base == long.base)  # the layers above may complete a trusted image
    assert [layer.verdict for layer in long.layers[: len(lower)]] == [
        layer.verdict for layer in short.layers
    ]
    assert [layer.findings for layer in long.layers[: len(lower)]] == [
        layer.findings for layer in short.layers
    ]


# --- 3 -----------------------------------------------------------------------------------------


@given(images(), TRUST, st.sampled_from(BaseMatch))
def test_dead_trust_never_yields_a_base(
    image: Image, trust: list[TrustRecord], match: BaseMatch
) -> None:
    alive = [record for record in trust if record.active(NOW)]
    assert find_base(image, trust, NOW, match) == find_base(image, alive, NOW, match)
    dead = [replace(record, revoked_at=NOW) for record in trust]
    assert find_base(image, dead, NOW, match) is None


@given(images(), TRUST, st.sampled_from(BaseMatch))
def test_base_is_part_of_a_trusted_image_and_the_tallest_such(
    image: Image, trust: list[TrustRecord], match: BaseMatch
) -> None:
    base = find_base(image, trust, NOW, match)
    chain = [layer.chain_id for layer in image.layers]
    known_trusted = {
        chain_id
        for record in trust
        if record.active(NOW) and record.chain_ids
        for chain_id in (record.chain_ids if match is BaseMatch.PREFIX else [record.top])
    }
    tallest = max((n for n, here in enumerate(chain, 1) if here in known_trusted), default=0)
    assert (base.layers if base else 0) == tallest
    assert base is None or base.chain_id == chain[tallest - 1]


# --- 4 -----------------------------------------------------------------------------------------


@given(images(), LAYER_CHANGES, st.sampled_from(BaseMatch), st.sampled_from(Decision))
def test_without_trust_every_image_is_refused(
    image: Image, made: dict[int, Any], match: BaseMatch, undecided: Decision
) -> None:
    policy = replace(DEFAULT_POLICY, match=match, undecided=undecided)
    verdict = evaluate(make_facts(image, changes=made), policy)
    assert (verdict.verdict, verdict.decision) == (Trust.UNTRUSTED, Decision.REFUSE)
    assert all(layer.verdict is Trust.UNTRUSTED for layer in verdict.layers)
    assert [f.rule for f in verdict.findings if f.rule == TrustedBase.id] == [TrustedBase.id]


@given(images(), TRUST, LAYER_CHANGES, POLICIES)
def test_without_rules_every_image_is_refused(
    image: Image, trust: list[TrustRecord], made: dict[int, Any], policy: Policy
) -> None:
    verdict = evaluate(make_facts(image, trust=trust, changes=made), policy, [])
    assert (verdict.verdict, verdict.decision) == (Trust.UNDECIDED, Decision.REFUSE)


@given(images(), TRUST, LAYER_CHANGES)
def test_admitted_means_trusted_by_the_default_policy(
    image: Image, trust: list[TrustRecord], made: dict[int, Any]
) -> None:
    verdict = evaluate(make_facts(image, trust=trust, changes=made), DEFAULT_POLICY)
    assert (verdict.decision is Decision.ADMIT) == (verdict.verdict is Trust.TRUSTED)
    if verdict.decision is Decision.ADMIT:
        assert verdict.base is not None


# --- 5 -----------------------------------------------------------------------------------------


@given(images(), TRUST.flatmap(lambda t: st.tuples(st.just(t), st.permutations(t))), POLICIES)
def test_order_of_trust_records_is_irrelevant(
    image: Image, trust: tuple[list[TrustRecord], list[TrustRecord]], policy: Policy
) -> None:
    one, other = trust
    assert evaluate(make_facts(image, trust=one, near=other), policy) == evaluate(
        make_facts(image, trust=other, near=one), policy
    )


@given(
    images(),
    st.lists(images(), max_size=4).flatmap(lambda t: st.tuples(st.just(t), st.permutations(t))),
)
def test_order_of_known_images_is_irrelevant(
    image: Image, others: tuple[list[Image], list[Image]]
) -> None:
    def judge(known_images: list[Image]) -> Verdict:
        rows = tuple(known(other) for other in known_images)
        claimed = {"name:x": rows, "digest:sha256:" + "a" * 64: rows}
        return evaluate(make_facts(image, claimed=claimed), DEFAULT_POLICY)

    one, other = others
    assert judge(one) == judge(other)


@given(st.lists(changes(), max_size=6).flatmap(lambda t: st.tuples(st.just(t), st.permutations(t))))
def test_order_of_changes_is_irrelevant(made: tuple[list[Change], list[Change]]) -> None:
    image = make_image("os", "app")
    one, other = (evaluate(make_facts(image, changes={1: m}), DEFAULT_POLICY) for m in made)
    assert one == other


@given(
    images(),
    TRUST,
    LAYER_CHANGES,
    POLICIES,
    st.sets(st.sampled_from(sorted(DEFAULT_POLICY.rules)), min_size=1),
)
def test_an_exception_only_softens_and_only_its_own_image(
    image: Image,
    trust: list[TrustRecord],
    layers: dict[int, list[Change] | None],
    policy: Policy,
    rules: set[str],
) -> None:
    facts = make_facts(image, trust=trust, changes=layers)

    def excused(pattern: str) -> Verdict:
        exception = PolicyException((pattern,), tuple(rules), "because", "alice", "2030-01-01")
        return evaluate(facts, replace(policy, exceptions=(exception,)))

    before = evaluate(facts, policy)
    other = excused("registry.example/another")
    assert replace(other, inputs={}) == replace(before, inputs={})
    after = excused(str(facts.image.config_digest))
    assert TRUST_ORDER.index(after.verdict) <= TRUST_ORDER.index(before.verdict)
    order = list(Decision)
    assert order.index(after.decision) <= order.index(before.decision)
    kept = [f for f in _all(after) if f.rule not in rules]
    assert kept == [f for f in _all(before) if f.rule not in rules]


def _all(verdict: Verdict) -> list[Finding]:
    return [*verdict.findings, *(f for layer in verdict.layers for f in layer.findings)]
