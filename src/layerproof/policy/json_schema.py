"""The JSON Schema of the policy file, for editors: completion, and mistakes while typing.

Made from the rules themselves. It knows forms, not meanings: `layerproof policy validate` finds
more, and what it accepts this schema accepts.
"""

from collections.abc import Callable
from typing import Any

from layerproof.model.finding import Effect, Severity
from layerproof.model.gate import Mode, Reaction, TagAction
from layerproof.model.verdict import Decision
from layerproof.policy.load import API_VERSION, KIND
from layerproof.policy.load_blocks import CALLS, GATES, gate_keys
from layerproof.policy.model import BaseMatch
from layerproof.rules.expression_facts import NAMES
from layerproof.rules.interface import Rule, Setting, settings_of
from layerproof.rules.registry import RULES

Schema = dict[str, Any]

_TEXTS: Schema = {"type": "array", "minItems": 1, "items": {"type": "string"}}
_TEXT: Schema = {"type": "string", "minLength": 1, "maxLength": 500}


def policy_schema() -> Schema:
    """Draft 2020-12."""
    rules = {"$ref": "#/$defs/rules"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Layerproof policy",
        "description": "What counts as a trusted base, which rules the layers above it have to "
        "meet, and what happens when they do not.",
        **_object(
            {
                "apiVersion": {"const": API_VERSION},
                "kind": {"const": KIND},
                "base": _object({"match": _words(BaseMatch)}),
                "undecided": _words(Decision, "What happens, at most, with what cannot be told."),
                "message": {**_TEXT, "description": "What whoever is refused should know."},
                "mode": _words(Mode, "What gates do with a refusal: count, tell, or refuse."),
                "withdrawn": _object(
                    {"tags": _words(TagAction, "What becomes of the tags of a withdrawn image.")}
                ),
                "gates": _object({gate: _gate(gate) for gate in GATES}),
                "rules": rules,
                "identities": _named(_IDENTITY),
                "groups": _named(_GROUP),
                "exceptions": {"type": "array", "minItems": 1, "items": _EXCEPTION},
                "blocks": {"type": "array", "minItems": 1, "items": _block(rules)},
            },
            required=["apiVersion", "kind"],
        ),
        "$defs": {"rules": _object({rule.id: _rule(rule) for rule in RULES})},
    }


def _rule(rule: Rule[Any]) -> Schema:
    keys: Schema = {
        "effect": _words(Effect),
        "severity": _words(Severity, "Shown only; it does not change the decision."),
    }
    for setting in settings_of(rule.settings).values():
        keys[setting.key] = _setting(setting)
        if setting.extra_key:
            keys[setting.extra_key] = {
                **_TEXTS,
                "minItems": 0,
                "description": f"Added to the built-in list of {setting.key}.",
            }
    return {"description": rule.doc, **_object(keys)}


def _setting(setting: Setting) -> Schema:
    made: dict[str, Callable[[], Schema]] = {
        "globs": lambda: {
            **_TEXTS,
            "minItems": 0 if setting.may_be_empty else 1,
            "description": "Path globs.",
        },
        "words": lambda: {"type": "array", "items": {"enum": list(setting.choices)}},
        "texts": lambda: {
            "type": "array",
            "items": {"type": "string", "pattern": f"^{setting.form}$"},
        },
        "names": lambda: {**_TEXTS, "description": f"Names that {setting.of} defines."},
        "days": lambda: {"type": "integer", "minimum": 0, "maximum": 99_999},
        "percent": lambda: {"type": "integer", "minimum": 0, "maximum": 100},
        "flag": lambda: {"type": "boolean"},
        "choice": lambda: {"enum": list(setting.choices)},
        "expressions": lambda: {"type": "array", "minItems": 1, "items": _EXPRESSION},
    }
    return made[setting.kind]()


def _gate(gate: str) -> Schema:
    keys: Schema = {
        "undecided": _words(Decision),
        "mode": _words(Mode),
        "unavailable": _words(Decision, "What it does when it cannot ask what it has to."),
        "running": _words(Reaction, "What is done with a container that runs and is refused."),
        "calls": _object({kind: _words(Decision) for kind in CALLS}),
    }
    return _object({key: keys[key] for key in gate_keys(gate)})


def _object(properties: Schema, required: list[str] | None = None) -> Schema:
    found: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**found, "required": required} if required else found


def _named(item: Schema) -> Schema:
    return {
        "type": "object",
        "minProperties": 1,
        "propertyNames": {"pattern": "^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$"},
        "additionalProperties": item,
    }


def _words(words: Any, description: str = "") -> Schema:
    found: Schema = {"enum": [str(word) for word in words]}
    return {**found, "description": description} if description else found


_EXPRESSION = _object(
    {
        "name": _TEXT,
        "expression": {"type": "string", "description": "CEL."},
        "scope": {"enum": list(NAMES)},
        "message": _TEXT,
    },
    required=["name", "expression"],
)
_IDENTITY = _object({"registries": _TEXTS, "accounts": _TEXTS}, required=["registries", "accounts"])
_GROUP: Schema = {
    **_object(
        {
            "images": {**_TEXTS, "description": "Image patterns, such as registry.example/base/**"},
            "digests": _TEXTS,
            "chainIds": _TEXTS,
            "pushedBy": {**_TEXTS, "description": "Names that identities defines."},
            "maxAgeDays": {"type": "integer", "minimum": 1, "maximum": 99_999},
        }
    ),
    "anyOf": [{"required": [key]} for key in ("images", "digests", "chainIds")],
}
_EXCEPTION = _object(
    {
        "images": _TEXTS,
        "rules": {"type": "array", "minItems": 1, "items": {"enum": [rule.id for rule in RULES]}},
        "reason": _TEXT,
        "owner": _TEXT,
        "until": {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$"},
        "paths": _TEXTS,
        "layers": _TEXTS,
        "vulnerabilities": {**_TEXTS, "description": "Names, such as CVE-2026-12345."},
    },
    required=["images", "rules", "reason", "owner", "until"],
)


def _block(rules: Schema) -> Schema:
    scope = _object(
        {
            "registries": _TEXTS,
            "repositories": _TEXTS,
            "namespaces": _TEXTS,
            "hosts": _TEXTS,
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        }
    )
    return _object(
        {
            "name": _TEXT,
            "scope": scope,
            "rules": rules,
            "undecided": _words(Decision),
            "message": _TEXT,
            "mode": _words(Mode),
        }
    )
