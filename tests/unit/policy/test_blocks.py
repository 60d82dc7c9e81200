"""Blocks, gates and the message: the first block that fits decides, and only where it fits."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.rules.facts_builder import a_file, make_facts, make_image, make_trust

from layerproof.engine.evaluator import evaluate
from layerproof.errors import PolicyError
from layerproof.model.change import Change, ChangeKind
from layerproof.model.facts import Context
from layerproof.model.finding import Effect
from layerproof.model.verdict import Decision, Verdict
from layerproof.policy.blocks import Scope
from layerproof.policy.defaults import DEFAULT_POLICY, PROTECTED_PATHS
from layerproof.policy.load import load_policy
from layerproof.policy.model import Policy

APP = "docker://registry.example/team/app:1.4"
HEAD = "apiVersion: layerproof/v1\nkind: Policy\n"
SHADOW = Change(
    ChangeKind.REPLACED, b"etc/shadow", a_file("etc/shadow", "a"), a_file("etc/shadow", "b")
)


def load(text: str) -> Policy:
    return load_policy((HEAD + text).encode(), where="p.yaml")


def blocks(*scoped: tuple[str, str]) -> Policy:
    """A policy with one block per (scope, effect of protected-path)."""
    text = "blocks:\n"
    for number, (scope, effect) in enumerate(scoped):
        text += f"  - name: b{number}\n    scope: {scope}\n"
        text += f"    rules: {{protected-path: {{effect: {effect}}}}}\n"
    return load(text)


def judge(
    policy: Policy,
    context: Context | None = None,
    *,
    reference: str = APP,
    changes: Sequence[Change] | None = (SHADOW,),
) -> Verdict:
    """An application that replaces /etc/shadow of its trusted base. `changes` None: not indexed."""
    image = make_image("os", "app", reference=reference, labels={"env": "dev"})
    trust = [make_trust(make_image("os", reference="docker://registry.example/golden:1"))]
    facts = make_facts(image, trust=trust, changes={1: changes})
    return evaluate(replace(facts, context=context or Context()), policy)


@pytest.mark.parametrize(
    ("scope", "context"),
    [
        ("{registries: [registry.example]}", Context()),
        ("{registries: [other.example, registry.example]}", Context()),
        ("{repositories: [team/app]}", Context()),
        ("{repositories: [team/*]}", Context()),
        ("{repositories: ['**']}", Context()),
        ("{repositories: ['**/app']}", Context()),
        ("{namespaces: [dev-*]}", Context(namespace="dev-7")),
        ("{hosts: [node-1]}", Context(host="node-1")),
        ("{labels: {env: dev}}", Context(labels={"env": "dev", "x": "y"})),
        ("{labels: {env: d*}}", Context(labels={"env": "dev"})),
        ("{namespaces: [dev], repositories: [team/app]}", Context(namespace="dev")),
    ],
)
def test_a_block_decides_where_its_scope_fits(scope: str, context: Context) -> None:
    assert judge(blocks((scope, "alert")), context).decision is Decision.ALERT


@pytest.mark.parametrize(
    ("scope", "context"),
    [
        ("{registries: [registry.example.evil]}", Context()),
        ("{registries: ['*.registry.example']}", Context()),
        ("{repositories: [team]}", Context()),
        ("{repositories: [app]}", Context()),
        ("{repositories: [team/ap]}", Context()),
        ("{namespaces: [dev]}", Context()),  # not known to the gate
        ("{namespaces: [dev]}", Context(namespace="dev2")),
        ("{namespaces: [dev]}", Context(namespace="xdev")),
        ("{namespaces: ['*']}", Context(namespace="")),
        ("{hosts: [node]}", Context(host="node-1")),
        ("{labels: {env: dev}}", Context()),
        ("{labels: {env: dev}}", Context(labels={"env": "prod"})),
        ("{labels: {env: dev, tier: web}}", Context(labels={"env": "dev"})),
        ("{namespaces: [dev], repositories: [other]}", Context(namespace="dev")),
    ],
)
def test_a_block_decides_nothing_where_its_scope_does_not_fit(scope: str, context: Context) -> None:
    assert judge(blocks((scope, "alert")), context).decision is Decision.REFUSE


def test_labels_inside_the_image_scope_nothing() -> None:
    """The image carries env=dev; whoever builds it writes that."""
    assert judge(blocks(("{labels: {env: dev}}", "ignore"))).decision is Decision.REFUSE


@pytest.mark.parametrize("reference", ["oci:registry.example/team/app", "docker-daemon:team/app:1"])
def test_an_image_in_no_registry_fits_no_registry_and_no_repository(reference: str) -> None:
    policy = blocks(("{repositories: ['**']}", "ignore"))
    assert judge(policy, reference=reference).decision is Decision.REFUSE


def test_the_first_block_that_fits_and_names_the_rule_decides() -> None:
    everywhere = "{repositories: ['**']}"
    first = blocks((everywhere, "alert"), (everywhere, "ignore"))
    assert judge(first).decision is Decision.ALERT
    other = blocks(("{repositories: [other]}", "ignore"), (everywhere, "alert"))
    assert judge(other).decision is Decision.ALERT
    silent = load(
        "blocks:\n"
        f"  - {{name: a, scope: {everywhere}, rules: {{trusted-base: {{effect: alert}}}}}}\n"
        f"  - {{name: b, scope: {everywhere}, rules: {{protected-path: {{effect: ignore}}}}}}\n"
    )
    assert judge(silent).decision is Decision.ADMIT


def test_a_rule_of_a_block_starts_from_what_the_policy_says_for_all() -> None:
    policy = load(
        "rules: {protected-path: {severity: low, extraPaths: [/srv/**]}}\n"
        "blocks: [{name: a, scope: {namespaces: [a]}, "
        "rules: {protected-path: {effect: alert, extraPaths: [/data/**]}}}]\n"
    )
    (block,) = policy.blocks
    said = block.rules["protected-path"]
    assert (said.effect, said.severity) == (Effect.ALERT, "low")
    assert said.settings.paths == (*PROTECTED_PATHS, "/srv/**", "/data/**")  # type: ignore[attr-defined]  # because only this rule has it


def test_undecided_by_gate_and_by_block() -> None:
    policy = load(
        "gates: {cli: {undecided: alert}, kubernetes: {undecided: refuse}}\n"
        "blocks: [{name: a, scope: {namespaces: [lab]}, undecided: admit}]\n"
    )
    decided = {
        gate: judge(policy, Context(gate), changes=None).decision
        for gate in ("cli", "kubernetes", "docker")
    }
    assert decided == {
        "cli": Decision.ALERT,
        "kubernetes": Decision.REFUSE,
        "docker": Decision.REFUSE,
    }
    lab = Context("kubernetes", namespace="lab")
    assert judge(policy, lab, changes=None).decision is Decision.ADMIT


def test_the_message_is_that_of_the_first_block_and_only_for_refusals() -> None:
    policy = load(
        "message: ask the platform team\n"
        "blocks: [{name: a, scope: {namespaces: [web]}, message: ask the web team}]\n"
    )
    assert judge(policy).message == "ask the platform team"
    assert judge(policy, Context(namespace="web")).message == "ask the web team"
    assert judge(policy, changes=()).message == ""


def test_a_policy_with_blocks_comes_back_from_its_kept_form() -> None:
    policy = load(
        "message: m\ngates: {docker: {undecided: admit}}\nblocks:\n"
        "  - name: a\n    undecided: alert\n    message: n\n"
        "    scope: {registries: [r.example], hosts: [h], labels: {a/b: '1'}}\n"
        "    rules: {image-config: {ignore: [preload]}}\n"
    )
    assert Policy.from_json(policy.to_json()) == policy
    kept = policy.to_json().replace(b'"hosts":["h"]', b'"hosts":["h",1]')
    assert kept != policy.to_json()
    with pytest.raises(PolicyError, match="cannot be read"):
        Policy.from_json(kept)


def test_the_verdict_names_the_digest_of_the_whole_policy() -> None:
    policy = blocks(("{namespaces: [dev]}", "ignore"))
    for context in (Context(), Context(namespace="dev")):
        assert judge(policy, context).inputs["policy"] == policy.digest
    assert policy.digest != DEFAULT_POLICY.digest


@given(
    names=st.lists(st.from_regex(r"[a-z][a-z ]{0,8}[a-z]", fullmatch=True), min_size=2, max_size=2)
)
def test_renaming_blocks_changes_neither_verdict_nor_digest(names: list[str]) -> None:
    policy = blocks(("{namespaces: [dev]}", "ignore"), ("{namespaces: [d*]}", "alert"))
    renamed = replace(
        policy,
        blocks=tuple(
            replace(block, name=name) for block, name in zip(policy.blocks, names, strict=True)
        ),
    )
    assert renamed.digest == policy.digest
    context = Context(namespace="dev")
    assert judge(renamed, context) == judge(policy, context)


SCOPES = ("{namespaces: [a]}", "{namespaces: [a, b]}", "{namespaces: ['*']}", "{hosts: [h]}")


@given(
    scoped=st.lists(
        st.tuples(st.sampled_from(SCOPES), st.sampled_from(("ignore", "alert", "refuse"))),
        min_size=1,
        max_size=4,
    ),
    namespace=st.sampled_from((None, "a", "b", "c")),
)
def test_first_match_is_what_a_reader_finds_from_the_top(
    scoped: list[tuple[str, str]], namespace: str | None
) -> None:
    fits = {"a": SCOPES[:3], "b": SCOPES[1:3], "c": SCOPES[2:3], None: ()}[namespace]
    expected = next((effect for scope, effect in scoped if scope in fits), "refuse")
    policy = blocks(*scoped).at(APP, Context(namespace=namespace))
    assert policy.rules["protected-path"].effect == expected


@given(reference=st.text(max_size=30), value=st.text(max_size=30))
def test_no_fact_makes_a_scope_raise(reference: str, value: str) -> None:
    scope = Scope(("r.example",), ("**",), ("*",), ("*",), {"a": "*"})
    scope.fits(reference, Context(namespace=value, host=value, labels={"a": value}))


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("blocks: []\n", "3:9", "blocks is not a list of 1 to"),
        ("blocks: [{name: a, rules: {}}]\n", "3:10", "a block without scope"),
        ("blocks: [{scope: {hosts: [a]}, message: x}]\n", "3:10", "a block without name"),
        ("blocks: [{name: a, scope: {hosts: [a]}}]\n", "3:10", "a block that says nothing"),
        ("blocks: [{name: a, scope: {}, message: x}]\n", "3:27", "an empty scope"),
        ("blocks: [{name: a, scope: {hosts: []}, message: x}]\n", "3:35", "hosts is not a list"),
        ("blocks: [{name: a, scope: {host: [a]}, message: x}]\n", "3:28", "unknown key 'host'"),
        ("blocks: [{name: a, scope: {registries: ['*']}, message: x}]\n", "3:41", "is none of"),
        (
            "blocks: [{name: a, scope: {registries: [index.docker.io]}, message: x}]\n",
            "3:41",
            "write a host such as docker.io",
        ),
        ("blocks: [{name: a, scope: {registries: [r*]}, message: x}]\n", "3:41", "is none of"),
        (
            "blocks: [{name: a, scope: {registries: ['*.example']}, message: x}]\n",
            "3:41",
            "is none",
        ),
        ("blocks: [{name: a, scope: {repositories: [/a]}, message: x}]\n", "3:43", "is none of"),
        ("blocks: [{name: a, scope: {repositories: [a**]}, message: x}]\n", "3:43", "is none of"),
        ("blocks: [{name: a, scope: {labels: {env: 1}}, message: x}]\n", "3:37", "is no label"),
        ("blocks: [{name: a, scope: {labels: {}}, message: x}]\n", "3:36", "labels is not a"),
        ("blocks: [{name: a, scope: {hosts: [a]}, undecided: no}]\n", "3:52", "'no' is not admit"),
        ("blocks: [{name: a, scope: {hosts: [a]}, rules: {x: {}}}]\n", "3:49", "unknown key 'x'"),
        ("gates: {podman: {undecided: alert}}\n", "3:9", "unknown key 'podman'"),
        ("gates: {cli: {effect: alert}}\n", "3:15", "unknown key 'effect'"),
        ("message: ''\n", "3:10", "message is not a text"),
    ],
)
def test_a_mistake_is_refused_at_its_place(text: str, place: str, message: str) -> None:
    with pytest.raises(PolicyError) as caught:
        load(text)
    found = [p for p in caught.value.problems if message in p]
    assert any(p.startswith(f"p.yaml:{place}: ") for p in found), caught.value.problems
