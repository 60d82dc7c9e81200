"""A parsed policy is kept and read back without YAML; anything else is refused."""

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from layerproof.errors import PolicyError
from layerproof.model.finding import Effect, Severity
from layerproof.model.verdict import Decision
from layerproof.policy.defaults import (
    DEFAULT_POLICY,
    EXCEPTIONS,
    PROTECTED_PATHS,
    REFUSED_CREATIONS,
)
from layerproof.policy.model import BaseMatch, Policy
from layerproof.policy.ruling import RulePolicy
from layerproof.rules.globs import GlobSet
from layerproof.rules.interface import begins_below
from layerproof.rules.lying_base_label import LyingBaseLabelSettings
from layerproof.rules.protected_path import RECORDED_ADDITIONS, ProtectedPathSettings
from layerproof.rules.registry import RULES

OTHER = Policy(
    rules={
        **DEFAULT_POLICY.rules,
        "protected-path": RulePolicy(
            ProtectedPathSettings(paths=("/a",), creation=("/etc/b",), privileged=False),
            Effect.ALERT,
            Severity.LOW,
        ),
        "lying-base-label": RulePolicy(LyingBaseLabelSettings(unknown_claims="refuse")),
    },
    match=BaseMatch.PREFIX,
    undecided=Decision.ADMIT,
)


@pytest.mark.parametrize("policy", [DEFAULT_POLICY, OTHER], ids=["default", "other"])
def test_policy_is_read_back_as_it_was(policy: Policy) -> None:
    again = Policy.from_json(policy.to_json())
    assert again == policy
    assert again.digest == policy.digest


def changed(**changes: Any) -> bytes:
    return json.dumps({**json.loads(DEFAULT_POLICY.to_json()), **changes}).encode()


def rule_changed(**changes: Any) -> bytes:
    rules = json.loads(DEFAULT_POLICY.to_json())["rules"]
    rules["protected-path"].update(changes)
    return changed(rules=rules)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"[" * 100_000,
        b"\xff",
        changed(form="layerproof.policy/0"),
        changed(rules={}),
        changed(rules={"trusted-base": {}}),
        changed(undecided="perhaps"),
        changed(base={}),
        rule_changed(effect="deny"),
        rule_changed(severity="bad"),
        rule_changed(settings={}),
        rule_changed(settings=None),
        rule_changed(settings={"paths": "x", "creation": [], "exceptions": [], "privileged": True}),
        rule_changed(settings={"paths": [1], "creation": [], "exceptions": [], "privileged": True}),
        rule_changed(settings={"paths": [], "creation": [], "exceptions": [], "privileged": 1}),
    ],
    ids=range(18),
)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(PolicyError) as caught:
        Policy.from_json(data)
    assert caught.value.remedy


def test_order_in_which_a_policy_was_made_does_not_change_its_digest() -> None:
    rules = dict(reversed(DEFAULT_POLICY.rules.items()))
    assert replace(DEFAULT_POLICY, rules=rules).digest == DEFAULT_POLICY.digest


def test_rule_that_the_policy_does_not_know_is_an_error() -> None:
    with pytest.raises(PolicyError, match="says nothing about the rule trusted-base"):
        Policy({}).of(RULES[0])


def test_default_lists_are_in_the_dialect_and_without_doubles() -> None:
    for globs in (PROTECTED_PATHS, REFUSED_CREATIONS, EXCEPTIONS):
        GlobSet(globs)
        assert len(set(globs)) == len(globs) > 0
    assert all(begins_below(glob, RECORDED_ADDITIONS) for glob in REFUSED_CREATIONS)


def test_policy_is_read_back_without_yaml() -> None:
    code = (
        "import sys; from layerproof.policy.load import cache_key;"
        "from layerproof.policy.defaults import DEFAULT_POLICY as d;"
        "from layerproof.policy.model import Policy;"
        "import layerproof.engine.evaluator;"
        "Policy.from_json(d.to_json()); cache_key(b'');"
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert {"yaml", "pydantic", "shlex", "difflib"} & set(done.stdout.split()) == set()
