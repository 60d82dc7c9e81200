"""A parsed policy: what the evaluator takes. From a file by `policy.load`, or `policy.defaults`.

1. A policy has an entry for every rule; a file that does not name one keeps its defaults.
2. `Policy.digest` is over the canonical JSON of the parsed policy: two files that mean the same
   have the same digest, and a changed default changes it.
3. `to_json` and `from_json` keep a parsed policy, so that later processes need no YAML. The key
   under which to keep it is `policy.load.cache_key`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any

from layerproof.errors import PolicyError
from layerproof.model.digest import Digest
from layerproof.model.finding import Effect, Severity
from layerproof.model.verdict import Decision
from layerproof.policy.exceptions import PolicyException, end_of
from layerproof.rules.interface import Rule, RuleSettings, settings_of
from layerproof.rules.registry import RULES

_FORM = "layerproof.policy/2"  # of the JSON below; another form is another policy


class BaseMatch(StrEnum):
    """Where a base may end."""

    WHOLE = "whole"  # at the top of a trusted image
    PREFIX = "prefix"  # at any layer of a trusted image


@dataclass(frozen=True, slots=True)
class RulePolicy:
    """What a policy says about one rule."""

    settings: RuleSettings
    effect: Effect = Effect.REFUSE
    severity: Severity | None = None  # None: as the rule finds


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy, complete."""

    rules: Mapping[str, RulePolicy]
    match: BaseMatch = BaseMatch.WHOLE
    undecided: Decision = Decision.REFUSE  # what a gate does at most with what rules cannot tell
    exceptions: tuple[PolicyException, ...] = ()  # in the order of the file

    @property
    def digest(self) -> Digest:
        """Identity of what the policy says."""
        return Digest.of(self.to_json())

    def of(self, rule: Rule[Any]) -> RulePolicy:
        """What holds for a rule. Raises PolicyError if that is nothing: nobody may guess it."""
        found = self.rules.get(rule.id)
        if found is None:
            raise PolicyError(
                f"the policy says nothing about the rule {rule.id}",
                remedy="make it from a file or from the default policy: these know every rule",
            )
        return found

    def to_json(self) -> bytes:
        """Canonical JSON: sorted keys, no spaces."""
        document = {
            "form": _FORM,
            "base": {"match": self.match},
            "undecided": self.undecided,
            "rules": {rule_id: _rule_document(rule) for rule_id, rule in self.rules.items()},
            "exceptions": [_exception_document(exception) for exception in self.exceptions],
        }
        return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, data: bytes) -> "Policy":
        """Back from `to_json`. Raises PolicyError for anything else: then parse the file again."""
        try:
            document = json.loads(data)
            if document["form"] != _FORM or document["rules"].keys() != {r.id for r in RULES}:
                raise ValueError("written for other rules")
            return cls(
                rules={rule.id: _rule_policy(rule, document["rules"][rule.id]) for rule in RULES},
                match=BaseMatch(document["base"]["match"]),
                undecided=Decision(document["undecided"]),
                exceptions=tuple(map(_exception, document["exceptions"])),
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise PolicyError(
                f"a kept policy cannot be read: {type(error).__name__}",
                remedy="parse the policy file again",
            ) from error


def _rule_document(rule: RulePolicy) -> dict[str, object]:
    return {
        "effect": rule.effect,
        "severity": rule.severity,
        "settings": {
            name: getattr(rule.settings, name) for name in settings_of(type(rule.settings))
        },
    }


def _exception_document(exception: PolicyException) -> dict[str, object]:
    return {item.name: getattr(exception, item.name) for item in fields(PolicyException)}


def _exception(document: Mapping[str, Any]) -> PolicyException:
    values: dict[str, Any] = {}
    for item in fields(PolicyException):
        value = document[item.name]
        if isinstance(value, list) and all(isinstance(text, str) for text in value):
            value = tuple(value)
        elif not isinstance(value, str):
            raise TypeError("not a value of an exception")
        values[item.name] = value
    end_of(values["until"])
    return PolicyException(**values)


def _rule_policy(rule: Rule[Any], document: Mapping[str, Any]) -> RulePolicy:
    severity, values = document["severity"], dict(document["settings"])
    schema = settings_of(rule.settings)
    if values.keys() != schema.keys():
        raise ValueError("written for other settings")
    for name, setting in schema.items():
        values[name] = _value(setting.kind, setting.choices, values[name])
    return RulePolicy(
        settings=replace(rule.settings(), **values),
        effect=Effect(document["effect"]),
        severity=None if severity is None else Severity(severity),
    )


def _value(kind: str, choices: tuple[str, ...], value: Any) -> object:
    if kind == "globs":
        if isinstance(value, list) and all(isinstance(glob, str) for glob in value):
            return tuple(value)
    elif kind == "words":
        if isinstance(value, list) and all(word in choices for word in value):
            return tuple(value)
    elif kind == "flag":
        if isinstance(value, bool):
            return value
    elif value in choices:
        return value
    raise TypeError("not a value of this setting")
