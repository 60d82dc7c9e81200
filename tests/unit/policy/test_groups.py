"""Trust groups: for which images a policy vouches by itself."""

from datetime import timedelta

import pytest
from tests.unit.attacks.world import NOW, World, policy

from layerproof.errors import PolicyError
from layerproof.policy.model import Policy
from layerproof.testing.images import BuiltImage, build

GOLDEN = build([{"etc/os-release": "ID=demo\n"}, {"etc/hardened": "yes\n"}])
APP = build([{"srv/app": "app\n"}], base=GOLDEN)
IDENTITIES = "identities: {ci: {registries: [registry.example], accounts: [ci-bot]}}\n"
BY_NAME = "groups: {golden: {images: [registry.example/golden/**]}}\n"
NAME = "docker://registry.example/golden/base:1"


def base(world: World, image: BuiltImage = APP) -> tuple[str, int] | None:
    found = world.judge(image, reference="docker://registry.example/app:1").verdict.base
    return None if found is None else (found.trusted_image, found.layers)


def a_world(text: str, name: str = NAME) -> World:
    world = World(policy(text))
    world.read(GOLDEN, name)
    return world


def test_an_image_of_a_name_is_a_base() -> None:
    assert base(a_world(BY_NAME)) == (NAME, 2)


@pytest.mark.parametrize(
    "name",
    [
        "docker://registry.example/team/golden/base:1",
        "docker://registry.example/goldenrod/base:1",
        "docker://registry.example.evil.example/golden/base:1",
        "oci:registry.example/golden/base:1",
    ],
)
def test_a_name_that_only_looks_like_it_is_not(name: str) -> None:
    assert base(a_world(BY_NAME, name)) is None


def test_the_image_itself_may_be_of_the_group() -> None:
    assert base(a_world(BY_NAME), GOLDEN) == (NAME, 2)


def test_images_by_digest_and_layers_by_chain_id() -> None:
    by_digest = f"groups: {{a: {{digests: ['{GOLDEN.manifest_digest}']}}}}\n"
    assert base(a_world(by_digest)) == (str(GOLDEN.manifest_digest), 2)
    chain = GOLDEN.chain_ids[0]
    world = World(policy(f"groups: {{a: {{chainIds: ['{chain}']}}}}\n"))
    assert base(world) == (str(chain), 1)


def test_a_part_of_a_golden_image_is_no_base() -> None:
    lower = build([{"etc/os-release": "ID=demo\n"}, {"srv/app": "x"}])
    assert base(a_world(BY_NAME), lower) is None


def test_a_group_may_ask_who_pushed_the_image() -> None:
    text = IDENTITIES + (
        "groups: {golden: {images: [registry.example/golden/**], pushedBy: [ci]}}\n"
    )
    world = a_world(text)
    assert base(world) is None
    notes = world.judge(APP).verdict.notes
    assert any("but nobody of ci is known to have pushed it" in note for note in notes)
    world.push(GOLDEN, "mallory")
    assert base(world) is None
    world.push(GOLDEN, "ci-bot")
    assert base(world) == (NAME, 2)


def made(created: object) -> BuiltImage:
    return build([{"etc/os-release": "ID=demo\n"}], config_extra={"created": created})


@pytest.mark.parametrize(
    ("created", "good"),
    [
        ((NOW - timedelta(days=9)).isoformat(), True),
        ((NOW - timedelta(days=11)).isoformat(), False),
        ("yesterday", False),
        (None, False),
        (17, False),
        ("2026-05-01T00:00:00", False),
    ],
    ids=["young", "old", "no time", "none", "number", "no zone"],
)
def test_a_group_may_ask_how_old_the_image_is(created: object, good: bool) -> None:
    text = "groups: {golden: {images: [registry.example/golden/**], maxAgeDays: 10}}\n"
    world = World(policy(text))
    world.read(made(created), NAME)
    found = base(world, build([{"srv/app": "x"}], base=made(created)))
    assert (found is not None) is good


def test_what_is_declared_and_what_a_group_says_stand_side_by_side() -> None:
    world = a_world(BY_NAME)
    world.trust(APP, "docker://registry.example/app:1")
    assert base(world, build([{"srv/more": "x"}], base=APP)) == (
        "docker://registry.example/app:1",
        3,
    )


def test_names_of_groups_and_identities_mean_nothing() -> None:
    one, other = (
        policy(IDENTITIES + BY_NAME),
        policy(IDENTITIES.replace("ci:", "robots:") + BY_NAME.replace("golden:", "bases:")),
    )
    assert Policy.from_json(one.to_json()) == one
    assert [g.images for g in one.groups] == [g.images for g in other.groups]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("groups: {}", "not a mapping of 1 to"),
        ("groups: {a: {}}", "names no image"),
        ("groups: {a: {images: []}}", "images is not a list of 1 to"),
        ("groups: {a: {images: ['registry.example*/x']}}", "registry that is none"),
        ("groups: {a: {images: [golden]}}", "names no registry"),
        ("groups: {a: {digests: [abc]}}", "is no digest"),
        ("groups: {a: {chainIds: [abc]}}", "is no digest"),
        ("groups: {a: {images: [r.example/x], pushedBy: [ci]}}", "there is no identity 'ci'"),
        ("groups: {a: {images: [r.example/x], maxAgeDays: soon}}", "not a number of days"),
        ("groups: {a: {images: [r.example/x], maxAgeDays: 0}}", "not a number of days"),
        ("groups: {A B: {images: [r.example/x]}}", "is no name in groups"),
        ("groups: {a: {image: [r.example/x]}}", "unknown key 'image'"),
        ("identities: {a: {accounts: [x]}}", "has no registries"),
        ("identities: {a: {registries: [r.example], accounts: ['*']}}", "is no account"),
        ("identities: {a: {registries: ['*'], accounts: [x]}}", "is no registry"),
        ("identities: {a: {registries: [r.example], accounts: []}}", "not a list of 1 to"),
    ],
)
def test_mistakes_are_named(text: str, message: str) -> None:
    with pytest.raises(PolicyError) as caught:
        policy(text)
    assert any(message in problem for problem in caught.value.problems)
    assert caught.value.remedy
