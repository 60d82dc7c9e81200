"""One rule: one file, one registry line, one page, one test file, one id everywhere."""

import re
from pathlib import Path
from typing import Any

import pytest

from layerproof.model.finding import Severity
from layerproof.policy.defaults import DEFAULT_POLICY
from layerproof.rules.interface import Rule, settings_of
from layerproof.rules.registry import RULES

REPOSITORY = Path(__file__).resolve().parents[3]
RULE_FILES = REPOSITORY / "src" / "layerproof" / "rules"
PAGES = REPOSITORY / "docs" / "reference" / "rules"
TESTS = REPOSITORY / "tests" / "unit" / "rules"
every_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)


def module_name(rule: Rule[Any]) -> str:
    return rule.id.replace("-", "_")


def test_ids_are_different_and_in_kebab_case() -> None:
    ids = [rule.id for rule in RULES]
    assert len(set(ids)) == len(ids) > 0
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", rule_id) for rule_id in ids)


@every_rule
def test_rule_has_its_file(rule: Rule[Any]) -> None:
    assert type(rule).__module__ == f"layerproof.rules.{module_name(rule)}"
    text = (RULE_FILES / f"{module_name(rule)}.py").read_text()
    assert text.startswith(f'"""`{rule.id}`: ')


@every_rule
def test_rule_has_its_tests(rule: Rule[Any]) -> None:
    text = (TESTS / f"test_{module_name(rule)}.py").read_text()
    assert f"`{rule.id}`" in text.partition("\n")[0]
    assert "def test_" in text


@every_rule
def test_rule_has_its_page_with_every_setting(rule: Rule[Any]) -> None:
    text = (PAGES / f"{rule.id}.md").read_text()
    assert text.startswith(f"# `{rule.id}`\n")
    assert rule.doc in text
    for setting in settings_of(rule.settings).values():
        assert f"`{setting.key}`" in text
        assert not setting.extra_key or f"`{setting.extra_key}`" in text


@every_rule
def test_rule_is_in_the_default_policy_and_refuses(rule: Rule[Any]) -> None:
    said = DEFAULT_POLICY.of(rule)
    assert isinstance(said.settings, rule.settings)
    optional = ("learned-trust", "outdated-package")
    assert said.effect == ("ignore" if rule.id in optional else "refuse")
    assert isinstance(rule.severity, Severity)


def test_no_page_and_no_file_is_left_of_a_rule_that_is_gone() -> None:
    ids = {rule.id for rule in RULES}
    assert {page.stem for page in PAGES.glob("*.md")} - {"README"} == ids
    headed = {
        found[1]
        for file in RULE_FILES.glob("*.py")
        if (found := re.match(r'"""`([a-z-]+)`: ', file.read_text()))
    }
    assert headed == ids
