"""The names of blocks, groups and identities mean nothing: renamed, a policy decides the same."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.attacks.world import World, policy

from layerproof.model.verdict import Verdict
from layerproof.testing.images import Whiteout, build

GOLDEN = build([{"etc/os-release": "ID=demo\n", "etc/shadow": "x"}])
APP = build([{"etc/shadow": Whiteout()}], base=GOLDEN)
NAME = "docker://registry.example/golden/base:1"
TEXT = """
identities:
  {ci}: {{registries: [registry.example], accounts: [ci-bot]}}
  {other}: {{registries: [registry.example], accounts: [mallory]}}
groups:
  {golden}: {{images: [registry.example/golden/**], pushedBy: [{ci}]}}
  {spare}: {{images: [registry.example/spare/**]}}
rules:
  trusted-pusher: {{identities: [{ci}]}}
blocks:
  - name: "{block}"
    scope: {{registries: [registry.example]}}
    rules: {{protected-path: {{effect: alert}}}}
"""
WORLD = World()
WORLD.read(GOLDEN, NAME)
WORLD.push(GOLDEN, "ci-bot")
WORLD.read(APP, "docker://registry.example/app:1")
WORLD.push(APP, "mallory")
_names = st.lists(
    st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True).filter(
        lambda name: name not in ("null", "true", "false", "on", "off", "yes", "no", "y", "n")
    ),
    min_size=5,
    max_size=5,
    unique=True,
)


def decided(names: list[str]) -> Verdict:
    ci, other, golden, spare, block = names
    text = TEXT.format(ci=ci, other=other, golden=golden, spare=spare, block=block)
    reference = "docker://registry.example/app:1"
    return WORLD.judge(APP, policy=policy(text), reference=reference).verdict


@given(_names)
def test_renaming_changes_nothing(names: list[str]) -> None:
    first = decided(["ci", "other", "golden", "spare", "block"])
    assert first.base is not None
    assert {f.rule for la in first.layers for f in la.findings} >= {"trusted-pusher"}
    assert decided(names) == replace(first, notes=decided(names).notes)


def test_what_a_name_stands_for_changes_the_digest() -> None:
    names = {"ci": "a", "other": "b", "golden": "c", "spare": "d", "block": "e"}
    one = policy(TEXT.format(**names))
    swapped = TEXT.replace("pushedBy: [{ci}]", "pushedBy: [{other}]").format(**names)
    narrowed = TEXT.replace("identities: [{ci}]", "identities: [{other}]").format(**names)
    assert len({one.digest, policy(swapped).digest, policy(narrowed).digest}) == 3
