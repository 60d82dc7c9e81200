"""Attacks on trust itself: on what counts as the base, on the policy, on who pushed. Attack →
outcome."""

import json
from datetime import timedelta

import pytest
from tests.unit.attacks.world import NOW, World, policy

from layerproof.engine.trust import revoke_trust
from layerproof.errors import DigestMismatchError, LayerproofError, ManifestError, PolicyError
from layerproof.model.withdrawal import Withdrawal
from layerproof.testing.images import BuiltImage, File, Whiteout, build
from layerproof.testing.source import MemorySource

OS = {"etc/os-release": "ID=debian\n", "etc/shadow": "root:!:\n"}
HARDENING = {"etc/ssh/sshd_config": "PermitRootLogin no\n"}
APP = {"srv/app": "app\n"}
EVIL = {"etc/shadow": Whiteout()}
GOLDEN = build([OS, HARDENING])
GOOD = build([APP], base=GOLDEN)
NAME = "docker://registry.example/golden/base:1"


def a_world(text: str = "") -> World:
    world = World(policy(text)) if text else World()
    world.trust(GOLDEN, NAME)
    return world


def test_the_honest_image_is_admitted() -> None:
    assert a_world().judge(GOOD).decision == "admit"


# --- the chain -----------------------------------------------------------------------------------


def refused_without_base(image: BuiltImage, world: World | None = None, **more: object) -> bool:
    judged = (world or a_world()).judge(image, **more)  # type: ignore[arg-type]
    return judged.decision == "refuse" and "trusted-base" in judged.rules()


def test_same_names_on_another_chain_are_no_base() -> None:
    other = build([{**OS, "etc/shadow": "root::\n"}, HARDENING, APP])
    assert refused_without_base(other, reference=NAME)


def test_a_partial_golden_base_without_its_hardening_layer_is_no_base() -> None:
    assert refused_without_base(build([OS, APP]))


def test_golden_layers_in_another_order_are_no_base() -> None:
    assert refused_without_base(build([HARDENING, OS, APP]))


def test_a_layer_slipped_below_the_golden_ones_makes_another_chain() -> None:
    assert refused_without_base(build([APP, OS, HARDENING]))


def test_a_layer_slipped_between_the_golden_ones_makes_another_chain() -> None:
    assert refused_without_base(build([OS, EVIL, HARDENING, APP]))


def test_a_duplicate_of_a_golden_layer_above_is_judged_like_any_other() -> None:
    judged = a_world().judge(build([OS], base=build([EVIL], base=GOLDEN)))
    assert judged.decision == "refuse"
    assert "protected-path" in judged.rules()


def test_a_squashed_golden_image_is_another_image() -> None:
    assert refused_without_base(build([{**OS, **HARDENING, **APP}]))


def test_no_layers_at_all_are_no_base() -> None:
    assert refused_without_base(build([]))


def test_the_golden_layers_with_a_hostile_config_are_not_the_golden_image() -> None:
    judged = a_world().judge(build([], base=GOLDEN, env=["LD_PRELOAD=/srv/x.so"]))
    assert judged.decision == "refuse"
    assert "image-config" in judged.rules()


def test_a_good_top_layer_does_not_make_up_for_a_bad_one_below() -> None:
    judged = a_world().judge(build([EVIL, {"etc/shadow": "root:!:\n"}], base=GOLDEN))
    assert judged.decision == "refuse"
    assert [la.verdict for la in judged.verdict.layers][2] == "untrusted"


# --- trust that is over --------------------------------------------------------------------------


def test_revoked_trust_is_no_trust_and_says_so() -> None:
    world = a_world()
    (record,) = world.index.trust_records()
    revoke_trust(world.index, record.id, by="bob", reason="stolen key", now=NOW)
    judged = world.judge(GOOD, now=NOW + timedelta(seconds=1))
    assert judged.decision == "refuse"
    assert any("stolen key" in note for note in judged.verdict.notes)


def test_expired_trust_is_no_trust() -> None:
    world = World()
    world.trust(GOLDEN, NAME, expires_at=NOW)
    assert world.judge(GOOD, now=NOW - timedelta(seconds=1)).decision == "admit"
    assert world.judge(GOOD, now=NOW).decision == "refuse"


def test_trust_does_not_count_before_it_begins() -> None:
    world = World()
    world.trust(GOLDEN, NAME, now=NOW + timedelta(days=1))
    assert world.judge(GOOD).decision == "refuse"


def test_trusting_an_image_that_repairs_a_bad_layer_does_not_trust_the_bad_layer_alone() -> None:
    world = a_world()
    bad = build([EVIL], base=GOLDEN)
    world.trust(build([{"etc/shadow": "root:!:\n"}], base=bad), "docker://registry.example/x:1")
    assert world.judge(bad).decision == "refuse"


def test_a_withdrawn_layer_is_refused_inside_a_trusted_base_and_despite_exceptions() -> None:
    text = (
        "exceptions:\n  - {images: [registry.example/app], rules: [protected-path, trusted-base],"
        " reason: x, owner: y, until: 9000-01-01}\n"
    )
    world = a_world(text)
    layer = GOLDEN.chain_ids[1], GOLDEN.diff_ids[1]
    record = Withdrawal("w", *layer, NAME, "alice", NOW, "bad")
    world.index.put_withdrawals([record])
    judged = world.judge(GOOD, reference="docker://registry.example/app:1")
    assert judged.decision == "refuse"
    assert "withdrawn" in judged.rules()


# --- exceptions and policies ---------------------------------------------------------------------

EXCEPTION = """
exceptions:
  - images: [registry.example/team/app:1]
    rules: [protected-path]
    reason: known
    owner: alice
    until: {until}
"""
BAD = build([EVIL], base=GOLDEN)


def test_an_exception_frees_what_it_names() -> None:
    world = a_world(EXCEPTION.format(until="2026-12-31"))
    assert world.judge(BAD, reference="docker://registry.example/team/app:1").decision == "admit"


@pytest.mark.parametrize(
    "reference",
    [
        "docker://registry.example/team/app:2",
        "docker://registry.example/team/app2:1",
        "docker://registry.example/other/app:1",
        "docker://evil.example/registry.example/team/app:1",
        "docker://registry.example.evil.example/team/app:1",
        "oci:registry.example/team/app:1",
    ],
)
def test_an_exception_for_another_image_does_not_count(reference: str) -> None:
    world = a_world(EXCEPTION.format(until="2026-12-31"))
    assert world.judge(BAD, reference=reference).decision == "refuse"


def test_an_exception_for_an_image_of_the_same_pod_does_not_count() -> None:
    world = a_world(EXCEPTION.format(until="2026-12-31"))
    assert world.judge(BAD, reference="docker://registry.example/team/app:1").decision == "admit"
    sidecar = build([EVIL, {"srv/sidecar": "x"}], base=GOLDEN)
    found = world.judge(sidecar, reference="docker://registry.example/team/sidecar:1")
    assert found.decision == "refuse"


def test_an_expired_exception_does_not_count_and_says_so() -> None:
    world = a_world(EXCEPTION.format(until="2026-05-03"))
    judged = world.judge(BAD, reference="docker://registry.example/team/app:1")
    assert judged.decision == "refuse"
    assert any("but only until 2026-05-03" in note for note in judged.verdict.notes)


def test_an_exception_for_a_rule_does_not_free_from_another() -> None:
    world = a_world(EXCEPTION.format(until="2026-12-31"))
    both = build([{**EVIL, "usr/bin/x": File(b"\x7fELF" + bytes(60), mode=0o755)}], base=GOLDEN)
    judged = world.judge(both, reference="docker://registry.example/team/app:1")
    assert judged.decision == "refuse"


@pytest.mark.parametrize(
    "text",
    [
        "rules: {protected-path: {paths: []}}",
        "groups: {golden: {images: []}}",
        "groups: {golden: {images: ['*']}}",
        "groups: {golden: {images: ['**']}}",
        "groups: {golden: {images: ['registry.example*/golden']}}",
        "groups: {golden: {images: ['*registry.example/golden']}}",
        "groups: {golden: {images: [golden]}}",
        "identities: {ci: {registries: ['*'], accounts: [ci]}}",
        "identities: {ci: {registries: [registry.example], accounts: ['**']}}",
        "rules: {protected-path: {except: ['/**']}}",
        "rules: {protectedpath: {effect: ignore}}",
        "rules: {protected-path: {effect: Refuse}}",
        "rules: {expression: {expressions: [{name: a, expression: 'true ||'}]}}",
        "exceptions: [{images: ['*'], rules: [secret], reason: x, owner: y, until: 2027-01-01}]",
    ],
)
def test_a_policy_that_would_protect_nothing_or_everything_is_an_error(text: str) -> None:
    with pytest.raises(PolicyError) as caught:
        policy(text)
    assert caught.value.problems


def test_a_group_that_names_no_known_image_refuses() -> None:
    world = World(policy("groups: {golden: {images: [registry.example/golden/**]}}"))
    assert world.judge(GOOD).decision == "refuse"


def test_an_attacker_who_pushes_under_a_golden_name_needs_the_right_account() -> None:
    text = (
        "identities: {ci: {registries: [registry.example], accounts: [ci-bot]}}\n"
        "groups: {golden: {images: [registry.example/golden/**], pushedBy: [ci]}}\n"
    )
    world = World(policy(text))
    fake = build([{**OS, "etc/shadow": "root::\n"}])
    world.read(fake, NAME)
    world.push(fake, "mallory")
    assert world.judge(build([APP], base=fake)).decision == "refuse"


# --- bytes that lie ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "extra",
    [
        {"Config": {"User": "root"}},
        {"CONFIG": {"User": "root"}},
        {"rootFS": {"type": "layers", "diff_ids": []}},
        {"Architecture": "arm64"},
    ],
)
def test_case_variant_json_keys_are_refused_as_corrupt(extra: dict[str, object]) -> None:
    with pytest.raises(ManifestError):
        a_world().read(build([APP], base=GOLDEN, config_extra=extra))


def test_a_layer_whose_bytes_are_others_than_named_is_refused_as_corrupt() -> None:
    world = a_world()
    other = build([EVIL], base=GOLDEN)
    swapped = {GOOD.layers[-1].digest: other.layers[-1].blob}
    with pytest.raises(LayerproofError):
        indexed(world, MemorySource(GOOD, "memory:x", replaced=swapped))
    assert world.judge(GOOD).decision == "admit"


def test_a_config_that_names_other_contents_than_the_blob_is_refused_as_corrupt() -> None:
    document = json.loads(GOOD.config)
    document["rootfs"]["diff_ids"][-1] = "sha256:" + "ab" * 32
    lying = build([APP], base=GOLDEN, config_extra={"rootfs": document["rootfs"]})
    with pytest.raises(DigestMismatchError):
        a_world().read(lying)


def indexed(world: World, source: MemorySource) -> None:
    from tests.unit.attacks.world import _Clock, _Nobody

    from layerproof.analysis.registry import dispatch
    from layerproof.engine.indexer import Indexer
    from layerproof.oci.limits import Limits
    from layerproof.workers import Inline

    Indexer(world.index, Inline(), _Clock(), dispatch(), Limits()).run(source, _Nobody())
