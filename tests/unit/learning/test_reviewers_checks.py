"""How a reviewer looks for a toy: one test for each way."""

from dataclasses import replace
from datetime import timedelta
from functools import cache
from random import Random

import pytest
from tests.unit.learning.organisation import START, Organisation, Work
from tests.unit.learning.world import BUILT, DEPS, UNTIL, world

from layerproof.learning.assess import Assessor
from layerproof.learning.contents import contents_rows
from layerproof.learning.context import context_row
from layerproof.learning.features import CONTENTS, CONTEXT
from layerproof.learning.history import Case
from layerproof.learning.trees import Scorer
from layerproof.model.event import EventKind
from layerproof.model.image import History as Line
from layerproof.model.learned import ALL_KINDS, Control, Kind, Outcome
from layerproof.training.interface import LearnedModel, Stream, TrainingOptions, train

ODD = {
    "an unknown account": {"account": "mallory"},
    "an account of another team": {"account": "ci1"},
    "a foreign country": {"country": "KP"},
    "an unknown repository and account": {"repository": "other/thing", "account": "mallory"},
    "a name one slip away": {"repository": "team0/app1x", "account": "mallory"},
}
BAD = {
    "a setuid file": Work("evil", setuid=("bin/sh",)),
    "a file in root's home": Work("evil", adds=("root/.profile",)),
    "a replaced system program": Work("evil", replaces=("bin/login",)),
    "deleted system files": Work("evil", deletes=("etc/shadow", "etc/passwd")),
    "a program in a system place": Work("evil", programs=("usr/bin/helper",)),
}


@pytest.mark.parametrize("what", ODD)
def test_odd_context_is_untrusted(what: str) -> None:
    found = world().score(world().event(**ODD[what]))
    assert found.outcome is Outcome.UNTRUSTED


@pytest.mark.parametrize("what", BAD)
def test_odd_contents_are_untrusted_whoever_pushes_them(what: str) -> None:
    found = world().score(world().event(DEPS, replace(BUILT, seed="b"), BAD[what]))
    assert found.outcome is Outcome.UNTRUSTED
    assert found.parts[0].trust > found.trust  # good context launders nothing


def test_an_ordinary_push_is_trusted() -> None:
    assert world().score(world().event()).outcome is Outcome.TRUSTED


def test_the_pipeline_without_an_attack_scores_like_its_benign_twin() -> None:
    """AUC about 0.5: what is made for asking is not told by having been made."""
    here = world()
    stream = Stream(here.model, here.organisation.index)
    real, twins = [], []
    for event in here.organisation.events:
        if event.at < UNTIL:
            continue
        if event.kind is EventKind.PUSH and event.repository.startswith("team"):
            real.append(stream.score(event).trust)
            assert event.manifest_digest is not None
            record = here.organisation.index.image_by_manifest(event.manifest_digest)
            assert record is not None
            twin = replace(record.image, reference=f"{record.image.reference}-twin")
            here.organisation.index.put_image(twin, [], event.at)
            made = here.organisation.imagined(
                twin, event.repository, event.account, event.country, event.tag
            )
            twins.append(stream.score(replace(made, at=event.at)).trust)
        stream.observe(event)
    wins = sum((a > b) + 0.5 * (a == b) for a in real for b in twins)
    assert len(real) > 50
    assert 0.45 < wins / (len(real) * len(twins)) < 0.55


def test_renaming_all_repositories_and_accounts_alike_moves_no_score() -> None:
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    table = str.maketrans(letters, letters[7:] + letters[:7])
    models, scores = [], []
    for renamed in ({}, table):
        organisation = Organisation(letters=renamed)
        organisation.live(80, teams=3)
        until = START + timedelta(days=60)
        models.append(train(organisation.index, until, seed=1))
        stream = Stream(models[-1], organisation.index)
        later = [e for e in organisation.events if e.at >= until]
        scores.append([])
        for event in later:
            if event.kind is EventKind.PUSH:
                scores[-1].append(stream.score(event).trust)
            stream.observe(event)
    assert scores[0] == scores[1]
    assert len(scores[0]) > 20
    assert models[0].data == models[1].data  # nor does it move the training


def test_what_an_author_writes_as_text_moves_no_score() -> None:
    here = world()
    event = here.event(Work("text", packages=("lib010",)), BUILT)
    before = here.score(event).trust
    assert event.manifest_digest is not None
    record = here.organisation.index.image_by_manifest(event.manifest_digest)
    assert record is not None
    image = record.image
    config = {
        **image.config,
        "created": "1999-01-01T00:00:00Z",
        "author": "golden team",
        "config": {
            **image.config["config"],  # type: ignore[dict-item]  # a mapping, as made above
            "Labels": {"org.opencontainers.image.base.name": "golden"},
            "Cmd": ["/bin/true"],
        },
    }
    written = replace(
        image,
        config=config,
        history=tuple(Line(created_by="COPY trusted / # golden") for _ in image.layers),
        layers=tuple(replace(la, created_by="golden") for la in image.layers),
        manifest_digest=type(event.manifest_digest).of(b"written"),
    )
    here.organisation.index.put_image(written, [], here.organisation.now)
    assert here.score(replace(event, manifest_digest=written.manifest_digest)).trust == before


def test_no_change_of_a_field_that_an_attacker_writes_raises_trust() -> None:
    here, random = world(), Random(5)
    counts = ("altered", "overrides", "deletions", "privileged", "sensitive", "secrets", "unread")
    lists = ("programs", "applications", "scripts", "deeds")
    benign = [e for e in here.organisation.events if e.kind is EventKind.PUSH][-40:]
    tried = 0
    for event in (*benign, here.event()):
        case = here.case(replace(event, at=here.organisation.now))
        before = here.assessor.assess(here.history, case, explain=False)
        for _ in range(12):
            profile = case.profiles[-1]
            assert profile is not None
            changes: dict[str, object] = {
                name: getattr(profile, name) + random.randrange(5)
                for name in random.sample(counts, 2)
            }
            for name in random.sample(lists, 2):
                changes[name] = (*getattr(profile, name), random.getrandbits(60))
            changes["packages"] = (*profile.packages, f"deb:x{random.random()}")
            bad = profile._replace(**changes)  # type: ignore[arg-type]  # names are those above
            occasion = case.occasion
            if random.random() < 0.5:
                occasion = replace(occasion, tag=random.choice(("x", "latest", "0", "a.b-c_d")))
            changed = Case(occasion, (*case.profiles[:-1], bad), case.config)
            after = here.assessor.assess(here.history, changed, explain=False)
            if occasion.tag == case.occasion.tag or before.parts[0].low >= after.parts[0].low:
                assert after.trust <= before.trust
                assert after.best_p_value <= before.best_p_value
                tried += 1
    assert tried > 300


def test_a_tag_of_a_known_form_is_the_best_that_a_tag_can_do() -> None:
    here = world()
    best = here.score(here.event(tag="1.77")).trust
    assert all(
        here.score(here.event(tag=tag)).trust <= best for tag in ("latest", "golden", "v1", "1.7.1")
    )


@pytest.mark.parametrize("country", ["DE", "FR", "US", "KP", "ZZ"])
def test_an_address_in_a_good_country_buys_an_unknown_account_nothing(country: str) -> None:
    here = world()
    row = context_row(
        here.history, here.case(here.event(account="mallory", country=country)).occasion
    )
    rented = [at for at, f in enumerate(CONTEXT) if f.control is Control.RENTED]
    assert [row.low[at] for at in rented] == [0] * len(rented)


def test_a_constant_model_decides_otherwise() -> None:
    here = world()
    model = here.model.model
    assert model.context is not None
    assert model.contents is not None
    flat = [replace_tree(t) for t in model.context.trees]
    constant = with_parts(model, context_trees=flat, contents_trees=[
        replace_tree(t) for t in model.contents.trees
    ])  # fmt: skip
    assessor = Assessor(constant, "constant")
    events = [here.event(), *(here.event(**odd) for odd in ODD.values())]
    mine = [here.score(e).outcome for e in events]
    its = [assessor.assess(here.history, here.case(e), explain=False).outcome for e in events]
    assert mine != its
    assert len({assessor.assess(here.history, here.case(e)).trust for e in events}) == 1


def replace_tree(tree: object) -> object:
    """The same questions, and one answer to all."""
    from msgspec.structs import replace as replaced

    return replaced(tree, leaves=[0.0] * len(tree.leaves))  # type: ignore[type-var,attr-defined]


def with_parts(model, context_trees, contents_trees):  # type: ignore[no-untyped-def]
    from msgspec.structs import replace as replaced

    return replaced(
        model,
        context=replaced(model.context, trees=context_trees),
        contents=replaced(model.contents, trees=contents_trees),
    )


@pytest.mark.parametrize("kind", sorted(ALL_KINDS))
def test_every_kind_of_metadata_has_splits_in_the_trees(kind: Kind) -> None:
    model = world().model.model
    used = set()
    for part, features in ((model.context, CONTEXT), (model.contents, CONTENTS)):
        assert part is not None
        used.update(features[c].kind for tree in part.trees for c in tree.features)
    assert kind in used


@pytest.mark.parametrize("kind", sorted(ALL_KINDS))
def test_every_kind_alone_tells_something_apart(kind: Kind) -> None:
    model = train(small().index, START + timedelta(days=70), seed=3, kinds={kind}, options=FEW)
    low = _lowest(model)
    assert low < 0.5


FEW = TrainingOptions(trees=8, negatives=2)


@cache
def small() -> Organisation:
    """Ten weeks of three teams."""
    organisation = Organisation()
    organisation.live(70, teams=3)
    return organisation


def _lowest(model: LearnedModel) -> float:
    """What it says of the row at its worst."""
    found = []
    for part, features in ((model.model.context, CONTEXT), (model.model.contents, CONTENTS)):
        if part is not None:
            scorer = Scorer(part)
            worst = tuple(0 if f.up else f.top for f in features)
            best = tuple(f.top if f.up else 0 for f in features)
            assert scorer.raw(worst) < scorer.raw(best)
            found.append(scorer.trust(scorer.raw(worst)))
    return min(found)


@pytest.mark.parametrize("field", ["account", "country", "repository", "tag"])
@pytest.mark.parametrize("what", ["ordinary", *ODD])
def test_to_drop_a_field_moves_towards_abstaining(field: str, what: str) -> None:
    here = world()
    event = here.event(**ODD.get(what, {}))
    before = here.score(event)
    after = here.score(replace(event, **{field: ""}))  # type: ignore[arg-type]  # a text field
    order = {
        Outcome.TRUSTED: (Outcome.TRUSTED, Outcome.ABSTAIN),
        Outcome.ABSTAIN: (Outcome.ABSTAIN,),
        Outcome.UNTRUSTED: (Outcome.UNTRUSTED, Outcome.ABSTAIN),
    }
    assert after.outcome in order[before.outcome]
    assert after.trust <= before.trust
    assert after.best_p_value >= before.best_p_value


def test_contents_that_nobody_read_are_no_good_contents() -> None:
    here = world()
    found = here.score(here.event(replace(DEPS, seed="unread"), indexed=False), explain=True)
    assert found.outcome is Outcome.ABSTAIN
    assert found.missing == ("the contents",)


@pytest.mark.parametrize("pushes", [1, 3, 10])
def test_pushes_of_the_last_fortnight_buy_nothing(pushes: int) -> None:
    """Poisoning: accepted pushes, unconfirmed, in 14 days."""
    here = world()
    attack = Work("attack", programs=("usr/local/bin/app1", "usr/bin/x"))
    image = here.event(replace(attack, seed="a"), attack)
    last = here.organisation.now + timedelta(days=13)

    def trust(observed: int) -> float:
        stream = Stream(here.model, here.organisation.index)
        for number in range(observed):
            at = here.organisation.now + timedelta(days=number * 13 / observed)
            event = here.event(replace(attack, seed=f"a{number}"), attack, account="mallory")
            stream.observe(replace(event, at=at))
        return stream.score(replace(image, account="mallory", at=last)).trust

    assert trust(pushes) <= trust(0)


def test_thirty_pushes_of_one_day_count_as_one() -> None:
    organisation = Organisation()
    organisation.live(40)
    here = world()
    stream = Stream(here.model, organisation.index)
    image = organisation.image((BUILT,), "many:1")
    for number in range(30):
        event = organisation.imagined(image, "burst/app", "mallory", "DE")
        stream.observe(replace(event, identity=str(number)))
    stream.history.advance(organisation.now.timestamp() + 20 * 86_400)
    row = context_row(
        stream.history,
        stream.case(organisation.imagined(image, "burst/app", "mallory", "DE")).occasion,
    )
    assert row.low[next(at for at, f in enumerate(CONTEXT) if f.name == "pusher-here")] == 1


def test_the_future_changes_nothing() -> None:
    """Delete what happened later: the same training, the same scores."""
    whole, past = Organisation(), Organisation()
    whole.live(75, teams=3)
    past.live(60, teams=3)
    until = START + timedelta(days=60)
    a, b = train(whole.index, until, seed=2), train(past.index, until, seed=2)
    assert a.data == b.data
    assert a.state == b.state
    asked = [
        e for e in past.events if e.kind is EventKind.PUSH and e.at >= until - timedelta(days=5)
    ]
    for event in asked:
        now = replace(event, at=until)
        assert Stream(a, whole.index).score(now) == Stream(b, past.index).score(now)


def test_training_again_gives_the_same_bytes() -> None:
    until = START + timedelta(days=70)
    first, again, other = (train(small().index, until, seed=seed) for seed in (3, 3, 4))
    assert again.data == first.data
    assert again.state == first.state
    assert other.data != first.data


def test_contributions_add_up_to_the_raw_score() -> None:
    here = world()
    for event in (here.event(), *(here.event(**odd) for odd in ODD.values())):
        for part in here.score(event, explain=True).parts:
            total = part.constant + sum(reason.contribution for reason in part.reasons)
            assert total == pytest.approx(part.low, abs=1e-6)


def test_an_untrusted_push_is_told_what_would_make_it_trusted() -> None:
    found = world().score(world().event(account="mallory"), explain=True)
    assert found.reasons
    assert (
        "confirmed pushes like this one" in found.counterfactual or "vouch" in found.counterfactual
    )


def test_rows_are_in_the_order_of_their_declarations() -> None:
    here = world()
    case = here.case(here.event())
    for rows, features in (
        ((context_row(here.history, case.occasion),), CONTEXT),
        (contents_rows(here.history, case), CONTENTS),
    ):
        for row in filter(None, rows):
            assert len(row.low) == len(features)
            assert all(0 <= v <= f.top for v, f in zip(row.low, features, strict=True))


def test_what_an_attacker_controls_never_raises_trust_by_declaration() -> None:
    for feature in (*CONTEXT, *CONTENTS):
        assert feature.up == (feature.control is not Control.ATTACKER)
