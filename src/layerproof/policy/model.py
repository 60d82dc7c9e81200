"""A parsed policy: what the evaluator takes. From a file by `policy.load`, or `policy.defaults`.

1. A policy has an entry for every rule; a file that does not name one keeps its defaults.
2. `Policy.digest` is over the canonical JSON of the parsed policy: two files that mean the same
   have the same digest, and a changed default changes it.
3. `to_json` and `from_json` keep a parsed policy, so that later processes need no YAML. The key
   under which to keep it is `policy.load.cache_key`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from functools import cached_property
from typing import Any, TypeVar

from layerproof.errors import PolicyError
from layerproof.model.digest import Digest
from layerproof.model.facts import Context
from layerproof.model.gate import GatePolicy, Mode, Reaction, TagAction
from layerproof.model.identity import Identity
from layerproof.model.verdict import Decision
from layerproof.policy.blocks import Block, Scope, fitting
from layerproof.policy.exceptions import PolicyException, end_of
from layerproof.policy.groups import Group
from layerproof.policy.ruling import RulePolicy, rule_document, rule_policy
from layerproof.rules.interface import Rule
from layerproof.rules.registry import RULES

_Named = TypeVar("_Named", Identity, Group)
_Word = TypeVar("_Word", bound=StrEnum)
_NOTHING = GatePolicy()
_FORM = "layerproof.policy/6"  # of the JSON below; another form is another policy


class BaseMatch(StrEnum):
    """Where a base may end."""

    WHOLE = "whole"  # at the top of a trusted image
    PREFIX = "prefix"  # at any layer of a trusted image


@dataclass(frozen=True)
class Policy:
    """One policy, complete."""

    rules: Mapping[str, RulePolicy]
    match: BaseMatch = BaseMatch.WHOLE
    undecided: Decision = Decision.REFUSE  # what a gate does at most with what rules cannot tell
    exceptions: tuple[PolicyException, ...] = ()  # in the order of the file
    message: str = ""  # what whoever is refused should know
    gates: Mapping[str, GatePolicy] = field(default_factory=dict)
    blocks: tuple[Block, ...] = ()  # in the order of the file
    identities: Mapping[str, Identity] = field(default_factory=dict)  # by name
    groups: tuple[Group, ...] = ()  # in the order of the file
    mode: Mode = Mode.ENFORCE  # what gates do with a refusal
    withdrawn_tags: TagAction = TagAction.KEEP  # what becomes of tags of withdrawn images

    @cached_property
    def digest(self) -> Digest:
        """Identity of what the policy says; the names of blocks say nothing. Computed once, because
        every verdict names it."""
        return Digest.of(self._json(named=False))

    def at(self, reference: str, context: Context) -> "Policy":
        """The policy for one image in one place, without blocks and gates: see `policy.blocks`."""
        fit = fitting(self.blocks, reference, context)
        gate = self.gate(context)
        if not fit and gate is _NOTHING:
            return self
        rules = dict(self.rules)
        for block in reversed(fit):  # so that the first one has the last word
            rules.update(block.rules)
        undecided = next((block.undecided for block in fit if block.undecided is not None), None)
        return replace(
            self,
            rules=rules,
            undecided=undecided or gate.undecided or self.undecided,
            message=next((block.message for block in fit if block.message), self.message),
            mode=next((b.mode for b in fit if b.mode is not None), gate.mode or self.mode),
        )

    def gate(self, context: Context) -> GatePolicy:
        """What it says about the gate of a place."""
        return self.gates.get(context.gate, _NOTHING)

    def unavailable(self, context: Context) -> Decision:
        """What the gate of a place does when it cannot ask what it has to."""
        return self.gate(context).unavailable or Decision.REFUSE

    def running(self, context: Context) -> Reaction:
        """What is done there with a container that runs and is refused."""
        return self.gate(context).running or Reaction.ALERT

    def call(self, context: Context, kind: str, default: Decision) -> Decision:
        """What the gate does with a kind of call that names no image to be judged."""
        return (self.gate(context).calls or {}).get(kind, default)

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
        return self._json(named=True)

    def _json(self, *, named: bool) -> bytes:
        document = {
            "form": _FORM,
            "base": {"match": self.match},
            "undecided": self.undecided,
            "rules": {rule_id: rule_document(rule) for rule_id, rule in self.rules.items()},
            "exceptions": [_exception_document(exception) for exception in self.exceptions],
            "message": self.message,
            "gates": {gate: _gate_document(said) for gate, said in self.gates.items()},
            "mode": self.mode,
            "withdrawn": {"tags": self.withdrawn_tags},
            "blocks": [_block_document(block, named=named) for block in self.blocks],
            "identities": {name: _fields(found) for name, found in self.identities.items()},
            "groups": [_fields(group) for group in self.groups],
        }
        if not named:
            document = _renamed(document, self.identities)
        return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, data: bytes) -> "Policy":
        """Back from `to_json`. Raises PolicyError for anything else: then parse the file again."""
        try:
            document = json.loads(data)
            if document["form"] != _FORM or document["rules"].keys() != {r.id for r in RULES}:
                raise ValueError("written for other rules")
            return cls(
                rules={rule.id: rule_policy(rule, document["rules"][rule.id]) for rule in RULES},
                match=BaseMatch(document["base"]["match"]),
                undecided=Decision(document["undecided"]),
                exceptions=tuple(map(_exception, document["exceptions"])),
                message=_text(document["message"]),
                gates={gate: _gate(said) for gate, said in document["gates"].items()},
                mode=Mode(document["mode"]),
                withdrawn_tags=TagAction(document["withdrawn"]["tags"]),
                blocks=tuple(map(_block, document["blocks"])),
                identities={
                    name: _made(Identity, found) for name, found in document["identities"].items()
                },
                groups=tuple(_made(Group, found) for found in document["groups"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise PolicyError(
                f"a kept policy cannot be read: {type(error).__name__}",
                remedy="parse the policy file again",
            ) from error


def _block_document(block: Block, *, named: bool) -> dict[str, object]:
    return {
        "name": block.name if named else "",
        "scope": {item.name: getattr(block.scope, item.name) for item in fields(Scope)},
        "rules": {rule_id: rule_document(rule) for rule_id, rule in block.rules.items()},
        "undecided": block.undecided,
        "message": block.message,
        "mode": block.mode,
    }


def _block(document: Mapping[str, Any]) -> Block:
    by_id = {rule.id: rule for rule in RULES}
    scope = dict(document["scope"])
    labels = {_text(name): _text(value) for name, value in scope.pop("labels").items()}
    return Block(
        name=_text(document["name"]),
        scope=Scope(labels=labels, **{name: _texts(value) for name, value in scope.items()}),
        rules={name: rule_policy(by_id[name], said) for name, said in document["rules"].items()},
        undecided=_word(Decision, document["undecided"]),
        message=_text(document["message"]),
        mode=_word(Mode, document["mode"]),
    )


def _gate_document(said: GatePolicy) -> dict[str, object]:
    return {item.name: getattr(said, item.name) for item in fields(GatePolicy)}


def _gate(document: Mapping[str, Any]) -> GatePolicy:
    calls = document["calls"]
    if calls is not None:
        calls = {_text(call): Decision(decision) for call, decision in calls.items()}
    return GatePolicy(
        undecided=_word(Decision, document["undecided"]),
        mode=_word(Mode, document["mode"]),
        unavailable=_word(Decision, document["unavailable"]),
        running=_word(Reaction, document["running"]),
        calls=calls,
    )


def _word(kind: type[_Word], value: str | None) -> _Word | None:
    return None if value is None else kind(value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError("not a list")
    return tuple(map(_text, value))


def _renamed(document: dict[str, Any], identities: Mapping[str, Identity]) -> dict[str, Any]:
    """The same with what names stand for in place of the names: they are nobody's business but the
    file's."""
    meant = {
        name: json.dumps([sorted(found.registries), sorted(found.accounts)])
        for name, found in identities.items()
    }

    def plain(value: Any, key: str = "") -> Any:
        if isinstance(value, Mapping):
            return {k: plain(item, k) for k, item in value.items()}
        if key in ("identities", "pushed_by"):
            return sorted(meant.get(name, name) for name in value)
        return [plain(item) for item in value] if isinstance(value, list | tuple) else value

    groups = [{**group, "name": ""} for group in document["groups"]]
    parts = {key: value for key, value in document.items() if key != "identities"}
    return {**plain({**parts, "groups": groups}), "identities": sorted(meant.values())}


def _fields(value: Identity | Group) -> dict[str, object]:
    return {item.name: getattr(value, item.name) for item in fields(value)}


def _made(kind: type[_Named], document: Mapping[str, Any]) -> _Named:
    """Back from `_fields`."""
    values: dict[str, Any] = {}
    for item in fields(kind):
        value = document[item.name]
        if isinstance(value, list):
            values[item.name] = _texts(value)
        elif value is None or isinstance(value, int):
            values[item.name] = value
        else:
            values[item.name] = _text(value)
    return kind(**values)


def _exception_document(exception: PolicyException) -> dict[str, object]:
    return {item.name: getattr(exception, item.name) for item in fields(PolicyException)}


def _exception(document: Mapping[str, Any]) -> PolicyException:
    values: dict[str, Any] = {}
    for item in fields(PolicyException):
        value = document[item.name]
        values[item.name] = _texts(value) if isinstance(value, list) else _text(value)
    end_of(values["until"])
    return PolicyException(**values)
