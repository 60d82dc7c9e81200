"""`learned-trust`: what the model says → findings; the base that it may vouch for."""

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.unit.learning.organisation import Work
from tests.unit.learning.world import BUILT, DEPS, World, world
from tests.unit.rules.facts_builder import make_facts, make_image, make_trust

from layerproof.engine.decide import asks_model, decide
from layerproof.engine.learned import case_of, learned_facts, load
from layerproof.engine.promotion import promote, put_challenger, rollback
from layerproof.errors import ModelError
from layerproof.learning.snapshot import write_history
from layerproof.model.event import Event
from layerproof.model.finding import Effect, Status
from layerproof.model.image import Image
from layerproof.model.learned import Assessment, Kind, LearnedFacts, Outcome, Reason, Scored
from layerproof.model.verdict import Base, Decision, Verdict
from layerproof.policy.defaults import DEFAULT_POLICY
from layerproof.policy.load import load_policy
from layerproof.rules.learned_trust import LearnedTrust, LearnedTrustSettings
from layerproof.rules.trusted_base import TrustedBase, TrustedBaseSettings

RULE = LearnedTrust()
IMAGE = make_image("base", "app")
REASON = Reason("pusher-here", Kind.PUSHER, 0, -3.0, "days on which the pusher pushed here: 0")


def said(outcome: Outcome, *parts: Scored, trust: float = 0.5) -> LearnedFacts:
    assessment = Assessment(
        outcome, trust, 0.005, 0.005, 0.001, 0.01, "settled", parts, counterfactual="trusted if: x"
    )
    return LearnedFacts(replace(assessment, model="sha256:" + "0" * 64))


def part(position: int | None, *, odd: bool, trust: float = 0.1) -> Scored:
    name = "context" if position is None else "contents"
    return Scored(name, position, trust, trust, -1.0, -1.0, odd, (REASON,), 2.0)


def check(learned: LearnedFacts | None, base: int = 0, **settings: object):  # type: ignore[no-untyped-def]
    facts = replace(make_facts(IMAGE), learned=learned)
    if base:
        facts = replace(facts, base=Base("base", IMAGE.layers[base - 1].chain_id, base))
    return RULE.check(facts, LearnedTrustSettings(**settings))  # type: ignore[arg-type]


def test_odd_context_fails_the_image_and_says_why() -> None:
    (finding,) = check(said(Outcome.UNTRUSTED, part(None, odd=True), part(1, odd=False)))
    assert (finding.status, finding.position) == (Status.FAIL, None)
    assert "pushed here: 0" in finding.message
    assert "trusted if: x" in finding.remedy
    assert finding.evidence["pValue"] == 0.005


def test_odd_contents_fail_the_layer_that_brings_them() -> None:
    (finding,) = check(said(Outcome.UNTRUSTED, part(None, odd=False), part(1, odd=True)))
    assert (finding.status, finding.position) == (Status.FAIL, 1)
    assert finding.chain_id == IMAGE.layers[1].chain_id


def test_a_layer_of_the_base_is_not_judged() -> None:
    assert check(said(Outcome.UNTRUSTED, part(0, odd=True)), base=1) == ()


def test_an_image_that_is_all_base_is_not_judged() -> None:
    assert check(LearnedFacts(None, "no model"), base=2) == ()


def test_a_trusted_image_has_no_finding() -> None:
    assert check(said(Outcome.TRUSTED, part(None, odd=False, trust=0.9))) == ()


def test_trust_below_the_bar_of_the_policy_fails() -> None:
    found = check(said(Outcome.TRUSTED, part(None, odd=False, trust=0.4)), bar=50)
    assert [f.status for f in found] == [Status.FAIL]


@pytest.mark.parametrize("effect", ["ignore", "alert", "refuse"])
def test_without_a_model_it_abstains_and_says_so(effect: str) -> None:
    (finding,) = check(LearnedFacts(None, "no model was trained here"), abstain=effect)
    assert finding.status is Status.UNKNOWN
    assert finding.effect is Effect(effect)
    assert finding.message == "the model abstains: no model was trained here"


def test_it_abstains_where_the_history_is_too_short_and_says_how_short() -> None:
    learned = said(Outcome.ABSTAIN, part(None, odd=False))
    assert learned.assessment is not None
    short = replace(learned, assessment=replace(learned.assessment, smallest_rate=0.2))
    (finding,) = check(short)
    assert "20.0% at best, and 1.0% is asked for" in finding.message


def test_nobody_asked_the_model() -> None:
    assert check(None) == ()


@pytest.mark.parametrize(
    ("outcome", "trust", "vouches"),
    [
        (Outcome.TRUSTED, 0.95, True),
        (Outcome.TRUSTED, 0.85, False),
        (Outcome.ABSTAIN, 0.99, False),
        (Outcome.UNTRUSTED, 0.99, False),
    ],
)
def test_the_model_vouches_for_a_base_only_where_the_policy_lets_it_and_above_its_bar(
    outcome: Outcome, trust: float, vouches: bool
) -> None:
    facts = replace(make_facts(IMAGE), learned=said(outcome, trust=trust))
    rule, lets = TrustedBase(), TrustedBaseSettings(model_may_vouch=True)
    assert (rule.check(facts, lets) == ()) is vouches
    assert rule.check(facts, TrustedBaseSettings()) != ()


def test_an_image_without_layers_is_vouched_for_by_nobody() -> None:
    facts = replace(make_facts(make_image()), learned=said(Outcome.TRUSTED, trust=1.0))
    assert TrustedBase().check(facts, TrustedBaseSettings(model_may_vouch=True)) != ()


# --- through the index ---

POLICY = load_policy(
    b"apiVersion: layerproof/v1\nkind: Policy\nrules:\n"
    b"  trusted-base: {modelMayVouch: true, modelBar: 50}\n"
    b"  learned-trust: {effect: refuse, abstain: refuse}\n"
    b"  trusted-pusher: {effect: ignore}\n  vulnerable-package: {effect: ignore}\n"
    b"  foreign-executable: {effect: ignore}\n  protected-path: {effect: ignore}\n"
    b"  package-script: {effect: ignore}\n",
    where="policy.yaml",
)


def pushed(here: World, event: Event) -> Image:
    """The image of an event that has really happened."""
    here.organisation.index.put_events([event])
    assert event.manifest_digest is not None
    record = here.organisation.index.image_by_manifest(event.manifest_digest)
    assert record is not None
    return replace(record.image, reference="docker://registry.example/team0/app1:1.200")


def put(here: World, card: dict[str, object] | None = None) -> None:
    put_challenger(
        here.organisation.index,
        here.model.data,
        write_history(here.history),
        card or {},
        scores=here.assessor.window.scores(),
        by="alice",
        now=here.organisation.now,
    )


def verdict(here: World, image: Image) -> Verdict:
    now = here.organisation.now + timedelta(hours=2)
    return decide(here.organisation.index, image, POLICY, now, "all@1").verdict


def test_a_cold_start_abstains_and_a_promoted_model_decides() -> None:
    here = world()
    index = here.organisation.index
    good = pushed(here, here.event(replace(DEPS, seed="g"), replace(BUILT, seed="g")))
    evil = Work("evil", setuid=("bin/sh",))
    bad = pushed(here, here.event(replace(DEPS, seed="b"), evil))
    odd = pushed(here, here.event(replace(DEPS, seed="o"), BUILT, account="mallory"))
    cold = verdict(here, good)
    assert any("no model was trained here" in f.message for f in cold.findings)
    assert cold.decision is Decision.REFUSE
    put(here)
    assert verdict(here, good).inputs["model"] is None  # a challenger decides nothing
    promote(index, by="alice", now=here.organisation.now)
    trusted = verdict(here, good)
    assert trusted.inputs["model"] == here.model.digest
    assert [f.rule for f in trusted.findings if f.rule in ("trusted-base", RULE.id)] == []
    assert any(f.rule == RULE.id for layer in verdict(here, bad).layers for f in layer.findings)
    assert any(f.rule == RULE.id for f in verdict(here, odd).findings)


def test_a_verdict_sees_the_features_that_the_stream_sees() -> None:
    here = world()
    put(here)
    event = here.event(replace(DEPS, seed="same"), replace(BUILT, seed="same"))
    image = pushed(here, event)
    found = case_of(here.organisation.index, image, here.organisation.now)
    assert found == here.case(event)


def test_what_did_not_pass_is_promoted_only_with_a_reason() -> None:
    here = world()
    put(here, {"failed": ["too many false positives"]})
    now = here.organisation.now
    with pytest.raises(ModelError, match="too many false positives"):
        promote(here.organisation.index, by="alice", now=now)
    found = promote(here.organisation.index, by="alice", now=now, despite="we looked")
    assert found.by == "alice, despite: we looked"
    put(here)
    promote(here.organisation.index, by="bob", now=now)
    assert rollback(here.organisation.index).by == "alice, despite: we looked"


def test_a_model_that_cannot_be_read_abstains() -> None:
    here = world()
    index = here.organisation.index
    put(here)
    promote(index, by="alice", now=here.organisation.now)
    found = load(index)
    assert found is not None
    kept = index.cached("learned champion")
    assert kept is not None
    index.put_learned("champion", b"{}")
    image = make_image("base", "app")
    assert learned_facts(index, image, here.organisation.now).assessment is None
    index.put_learned("champion", kept)


def test_a_history_that_is_too_old_abstains() -> None:
    here = world()
    put(here)
    promote(here.organisation.index, by="alice", now=here.organisation.now)
    later = here.organisation.now + timedelta(days=20)
    image = make_image("base", "app")
    found = learned_facts(here.organisation.index, image, later)
    assert found.assessment is None
    assert "days old" in found.reason


def test_the_built_in_policy_asks_no_model() -> None:
    assert not asks_model(DEFAULT_POLICY)
    assert asks_model(POLICY)
    facts = make_facts(IMAGE, trust=[make_trust(IMAGE)])
    assert facts.learned is None
