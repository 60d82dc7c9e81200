"""The starter: a file that can be used as it is, and shows all that can be set."""

import re

from layerproof.policy.defaults import DEFAULT_POLICY
from layerproof.policy.load import load_policy
from layerproof.policy.starter import starter
from layerproof.rules.interface import settings_of
from layerproof.rules.registry import RULES


def test_the_starter_says_what_no_policy_says() -> None:
    policy = load_policy(starter().encode(), where="policy.yaml")
    assert policy == DEFAULT_POLICY
    assert policy.digest == DEFAULT_POLICY.digest


def test_every_rule_and_setting_is_in_the_starter() -> None:
    text = starter()
    for rule in RULES:
        assert f"\n  {rule.id}:\n    effect: " in text
        for setting in settings_of(rule.settings).values():
            assert re.search(rf"\n    (# )?({setting.key}|{setting.extra_key or '-'}):", text)


def test_its_examples_can_be_used_when_the_marks_are_taken_away() -> None:
    head, mark, example = starter().partition("# exceptions:")
    lines = [line.removeprefix("# ") for line in (mark + example).splitlines()]
    (exception,) = load_policy((head + "\n".join(lines)).encode(), where="p").exceptions
    assert exception.owner == "alice"
    shown = re.sub(r"# (extra\w+: \[/some/path\])", r"\1", head)
    assert shown != head
    # additions are recorded in some folders only, so that list wants a path in one of them
    shown = shown.replace("extraCreation: [/some/path]", "extraCreation: [/etc/x]")
    policy = load_policy(shown.encode(), where="p")
    assert policy.digest != DEFAULT_POLICY.digest


def test_no_line_is_wider_than_a_screen_of_a_hundred_columns() -> None:
    assert max(map(len, starter().splitlines())) <= 100
