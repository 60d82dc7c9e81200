"""What a policy says about one rule, and that as plain JSON values."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from layerproof.model.finding import Effect, Severity
from layerproof.rules.interface import Rule, RuleSettings, Setting, settings_of


@dataclass(frozen=True, slots=True)
class RulePolicy:
    """What a policy says about one rule."""

    settings: RuleSettings
    effect: Effect = Effect.REFUSE
    severity: Severity | None = None  # None: as the rule finds


def rule_document(rule: RulePolicy) -> dict[str, object]:
    return {
        "effect": rule.effect,
        "severity": rule.severity,
        "settings": {
            name: _plain(setting, getattr(rule.settings, name))
            for name, setting in settings_of(type(rule.settings)).items()
        },
    }


def rule_policy(rule: Rule[Any], document: Mapping[str, Any]) -> RulePolicy:
    severity, values = document["severity"], dict(document["settings"])
    schema = settings_of(rule.settings)
    if values.keys() != schema.keys():
        raise ValueError("written for other settings")
    for name, setting in schema.items():
        values[name] = _value(setting, values[name])
    return RulePolicy(
        settings=replace(rule.settings(), **values),
        effect=Effect(document["effect"]),
        severity=None if severity is None else Severity(severity),
    )


def _plain(setting: Setting, value: Any) -> object:
    if setting.kind == "expressions":
        return [{f.name: getattr(item, f.name) for f in fields(item)} for item in value]
    return value


def _value(setting: Setting, value: Any) -> object:
    if setting.kind in ("globs", "texts", "names"):
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
    elif setting.kind == "expressions":
        if isinstance(value, list):
            texts = ({str(k): str(v) for k, v in item.items()} for item in value)
            return tuple(setting.item(**item) for item in texts)
    elif setting.kind == "words":
        if isinstance(value, list) and all(word in setting.choices for word in value):
            return tuple(value)
    elif setting.kind in ("days", "percent"):
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    elif setting.kind == "flag":
        if isinstance(value, bool):
            return value
    elif value in setting.choices:
        return value
    raise TypeError("not a value of this setting")
