"""The policy that `layerproof policy init` writes: the built-in one, spelt out and explained.

Made from the rules themselves, so it names all of them with today's defaults. It says the same as
no policy at all, and every line of it can be changed.
"""

import textwrap
from collections.abc import Iterator
from typing import Any

from layerproof.policy.defaults import DEFAULT_POLICY
from layerproof.policy.model import BaseMatch
from layerproof.rules.interface import Rule, Setting, settings_of
from layerproof.rules.registry import RULES

_HEAD = """\
# The policy of Layerproof: what counts as a trusted base, which rules the layers above
# it have to meet, and what happens when they do not.
# Every key is optional but the first two. What is left out keeps its default.
#
#   layerproof policy validate FILE
#   layerproof check --policy FILE IMAGE

apiVersion: layerproof/v1
kind: Policy

base:
  # whole: a base ends at the top layer of a trusted image.
  # prefix: it may end at any of its layers, so upper layers may be left out.
  match: {match}

# What happens, at most, with what a rule cannot tell: refuse, alert or admit.
undecided: {undecided}

# Each rule has an effect: refuse, alert or ignore. A `severity` of low, medium, high
# or critical may be set; it does not change the decision.
rules:
"""

_TAIL = """
# Images that the policy vouches for by itself, beside those declared with `trust add`:
# identities:
#   ci: {registries: [registry.example], accounts: [ci-bot]}
# groups:
#   golden: {images: [registry.example/golden/**], pushedBy: [ci], maxAgeDays: 90}

# Findings that somebody answers for, on some images, until a day. For example:
# exceptions:
#   - images: [registry.example/team/app:1.*]
#     rules: [protected-path]
#     paths: [/etc/ssh/**]
#     reason: brings its own configuration until the base has one
#     owner: alice
#     until: 2027-01-31
"""


def starter() -> str:
    """The file's text."""
    default = DEFAULT_POLICY
    head = _HEAD.format(match=BaseMatch(default.match), undecided=default.undecided)
    return head + "\n".join(line for rule in RULES for line in _rule(rule)) + _TAIL


def _rule(rule: Rule[Any]) -> Iterator[str]:
    said = DEFAULT_POLICY.of(rule)
    for line in textwrap.wrap(rule.doc, 84):
        yield f"  # {line}"
    yield f"  {rule.id}:"
    yield f"    effect: {said.effect}"
    for name, setting in settings_of(rule.settings).items():
        yield from _setting(setting, getattr(said.settings, name))
    yield ""


def _setting(setting: Setting, value: Any) -> Iterator[str]:
    if setting.extra_key:
        yield f"    # {setting.extra_key} adds to the built-in list, {setting.key} replaces it:"
        yield f"    # {setting.extra_key}: [/some/path]"
        return
    if setting.kind == "expressions":
        yield f"    # {setting.key}:"
        yield "    #   - name: not root"
        yield "    #     expression: image.user != '' && image.user != 'root'"
        return
    if setting.kind in ("texts", "names"):
        yield f"    # {setting.key}: []"
        return
    if setting.kind in ("days", "percent"):
        yield f"    {setting.key}: {value}"
        return
    allowed = ", ".join(setting.choices) or "true, false"
    what = "any of " if setting.kind == "words" else ""
    for line in textwrap.wrap(f"{what}{allowed}", 80):
        yield f"    # {line}"
    yield f"    {setting.key}: {_written(value)}"


def _written(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(value)}]"
    return str(value)
