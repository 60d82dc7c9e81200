"""`expression`: conditions of the operator → findings, through policy file and reader."""

import pytest
from tests.unit.attacks.world import NOW, Deb, Judged, World, installed, policy

from layerproof.errors import PolicyError
from layerproof.model.facts import Context
from layerproof.model.finding import Status
from layerproof.testing.images import build

RULE = "expression"
BASE = build([installed(Deb("base", "1", {"usr/share/base": b"x"}))])
GCC = Deb("gcc", "12", {"usr/share/gcc": b"x"})


def judged(expression: str, scope: str = "image", **config: object) -> Judged:
    world = World()
    world.trust(BASE)
    layer = installed(Deb("base", "1", {"usr/share/base": b"x"}), GCC, new=["gcc"])
    built = build([layer], base=BASE, **config)  # type: ignore[arg-type]
    text = (
        "rules:\n  expression:\n    expressions:\n"
        f"      - {{name: mine, scope: {scope}, expression: {expression!r}}}\n"
    )
    context = Context(namespace="prod", labels={"team": "shop"})
    reference = "docker://registry.example:5000/team/app:1.0"
    return world.judge(built, policy=policy(text), context=context, reference=reference)


def status(found: Judged) -> Status | None:
    listed = found.of(RULE)
    return listed[0].status if listed else None


@pytest.mark.parametrize(
    "expression",
    [
        "image.user == ''",
        "image.registry == 'registry.example:5000' && image.repository == 'team/app'",
        "image.tag == '1.0' && image.digest.startsWith('sha256:')",
        "base.trusted && base.layers == 1 && image.layers == 2 && size(layers) == 1",
        "context.namespace == 'prod' && context.labels.team == 'shop' && context.gate == 'cli'",
        "layers.all(l, l.indexed && l.changes.added > 0)",
        "layers[0].packages.added.exists(p, p.name == 'gcc' && p.version == '12')",
        "image.os == 'linux' && image.ageDays >= -1",
    ],
)
def test_true_passes(expression: str) -> None:
    assert status(judged(expression)) is None


def test_false_fails_and_says_which() -> None:
    (finding,) = judged('image.user == "app"').of(RULE)
    assert (finding.status, finding.position) == (Status.FAIL, None)
    assert 'mine: not true: image.user == "app"' in finding.message


def test_each_layer_above_the_base_is_asked() -> None:
    (finding,) = judged('!layer.packages.added.exists(p, p.name == "gcc")', "layer").of(RULE)
    assert finding.position == 1


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("image.nope == 1", "no field nope"),
        ("image.layers", "neither true nor false"),
        ('image.labels.missing == "x"', "no field missing"),
        ('image.layers + "x" == "x"', "int + string"),
    ],
)
def test_what_has_no_answer_cannot_be_told(expression: str, why: str) -> None:
    (finding,) = judged(expression).of(RULE)
    assert finding.status is Status.UNKNOWN
    assert why in finding.message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("expressions: []", "not a list of 1 to"),
        ("expressions: [{name: a}]", "without expression"),
        ("expressions: [{name: a, expression: 1}]", "is no expression"),
        ("expressions: [{name: a, expression: 'x ==='}]", "at its character"),
        ("expressions: [{name: a, expression: 'layer.position == 1'}]", "there is no layer"),
        ("expressions: [{name: a, expression: 'true', scope: pod}]", "is not image or layer"),
        ("expressions: [{name: a, expression: 'true', mesage: x}]", "unknown key 'mesage'"),
        ("expressions: [{name: a, expression: \"image.tag.matches('(')\"}]", "RE2"),
    ],
)
def test_mistakes_are_found_when_the_policy_is_read(text: str, message: str) -> None:
    with pytest.raises(PolicyError) as caught:
        policy(f"rules: {{expression: {{{text}}}}}")
    assert any(message in problem for problem in caught.value.problems), caught.value.problems


def test_a_kept_verdict_ends_when_the_image_is_a_day_older() -> None:
    from datetime import timedelta

    world = World()
    world.trust(BASE)
    made = build([], base=BASE, config_extra={"created": (NOW - timedelta(hours=23)).isoformat()})
    rules = policy("rules: {expression: {expressions: [{name: a, expression: image.ageDays < 1}]}}")
    reference = "docker://registry.example/app:1"
    assert status(world.judge(made, policy=rules, reference=reference)) is None
    later = NOW + timedelta(hours=1)
    assert status(world.judge(made, policy=rules, reference=reference, now=later)) is Status.FAIL
