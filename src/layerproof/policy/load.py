"""The policy file: bytes in, `Policy` or every problem out; docs/reference/policy.md describes it.

1. What is not known is an error, never ignored: a misspelt rule would protect nothing.
2. What a file does not name keeps its default. A list under its own key replaces the default list,
   under its `extra…` key it adds to it; both at once are allowed.
3. An empty list is an error where it would switch protection off: `effect: ignore` says that
   openly. A policy that ignores every rule is an error too.
4. All problems are reported at once, each with file, line, column and what to do.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any

from layerproof.errors import PolicyError
from layerproof.model.finding import Effect, Severity
from layerproof.model.gate import Mode, TagAction
from layerproof.model.identity import Identity
from layerproof.model.verdict import Decision
from layerproof.policy.blocks import Block
from layerproof.policy.defaults import DEFAULT_POLICY
from layerproof.policy.document import (
    DocumentError,
    Item,
    Node,
    Number,
    Problem,
    parse_document,
    policy_error,
)
from layerproof.policy.exceptions import PolicyException
from layerproof.policy.groups import Group
from layerproof.policy.load_blocks import read_blocks, read_gates, read_text
from layerproof.policy.load_exceptions import read_exceptions
from layerproof.policy.load_expressions import read_expressions
from layerproof.policy.load_groups import read_groups, read_identities
from layerproof.policy.model import BaseMatch, Policy
from layerproof.policy.nodes import Nodes, one_of, shown
from layerproof.policy.ruling import RulePolicy
from layerproof.rules.globs import check_glob
from layerproof.rules.interface import Rule, Setting, begins_below, settings_of
from layerproof.rules.registry import RULES

API_VERSION = "layerproof/v1"
KIND = "Policy"
MAX_GLOBS = 2_000  # in one list
_KEYS = ("apiVersion", "kind", "base", "undecided", "rules", "exceptions", "message", "gates",
         "blocks", "identities", "groups", "mode", "withdrawn")  # fmt: skip


def load_policy(text: bytes, *, where: str) -> Policy:
    """Parse a policy file. `where` names it in errors. Raises PolicyError with every problem."""
    problems: list[Problem] = []
    try:
        root = parse_document(text, problems)
    except DocumentError as error:
        raise policy_error([*problems, error.problem], where) from error
    policy = _Reader(problems).policy(root)
    if problems:
        raise policy_error(problems, where)
    return policy


def cache_key(text: bytes) -> str:
    """Under which to keep the parsed form of a file with these bytes (`Policy.to_json`). It changes
    with the built-in defaults too, which the parsed form holds."""
    return "policy:" + sha256(DEFAULT_POLICY.digest.encode() + b" " + text).hexdigest()


class _Reader(Nodes):
    """Nodes → policy. Notes problems and goes on with defaults, so that all are found."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(problems)
        self._defined: dict[str, tuple[str, ...]] = {}  # names, by the key that defines them

    def policy(self, root: Node) -> Policy:
        keys = self.mapping(root, "a policy", _KEYS)
        for key, wanted in (("apiVersion", API_VERSION), ("kind", KIND)):
            if key not in keys:
                self.note(root, f"{key} is missing", f"write {key}: {wanted}")
            elif keys[key].value.value != wanted:
                self.note(keys[key].value, f"{key} is not {wanted}", f"write {key}: {wanted}")
        identities: dict[str, Identity] = {}
        if "identities" in keys:
            identities = read_identities(self, keys["identities"].value)
        self._defined["identities"] = tuple(identities)
        groups: tuple[Group, ...] = ()
        if "groups" in keys:
            groups = read_groups(self, keys["groups"].value, identities)
        match = BaseMatch.WHOLE
        if "base" in keys:
            base = self.mapping(keys["base"].value, "base", ("match",))
            match = self.word(base, "match", BaseMatch, match)
        rules = dict(DEFAULT_POLICY.rules)
        if "rules" in keys:
            rules.update(self._rules(keys["rules"].value, DEFAULT_POLICY.rules))
        if all(rule.effect is Effect.IGNORE for rule in rules.values()):
            self.note(
                keys["rules"].value,
                "every rule is ignored: nothing would be judged",
                "let at least one rule alert or refuse",
            )
        undecided = self.word(keys, "undecided", Decision, DEFAULT_POLICY.undecided)
        exceptions: tuple[PolicyException, ...] = ()
        if "exceptions" in keys:
            exceptions = read_exceptions(self, keys["exceptions"].value)
        return Policy(
            rules=rules,
            match=match,
            undecided=undecided,
            exceptions=exceptions,
            message=read_text(self, keys, "message"),
            gates=read_gates(self, keys["gates"].value) if "gates" in keys else {},
            blocks=self._blocks(keys, rules),
            identities=identities,
            groups=groups,
            mode=self.word(keys, "mode", Mode, Mode.ENFORCE),
            withdrawn_tags=self._withdrawn(keys),
        )

    def _withdrawn(self, keys: Mapping[str, Item]) -> TagAction:
        if "withdrawn" not in keys:
            return TagAction.KEEP
        said = self.mapping(keys["withdrawn"].value, "withdrawn", ("tags",))
        found: TagAction = self.word(said, "tags", TagAction, TagAction.KEEP)
        return found

    def _blocks(
        self, keys: Mapping[str, Item], rules: Mapping[str, RulePolicy]
    ) -> tuple[Block, ...]:
        """A rule of a block starts from what the policy says about it for all."""
        if "blocks" not in keys:
            return ()
        return read_blocks(self, keys["blocks"].value, lambda node: self._rules(node, rules))

    def _rules(self, node: Node, defaults: Mapping[str, RulePolicy]) -> dict[str, RulePolicy]:
        by_id = {rule.id: rule for rule in RULES}
        keys = self.mapping(node, "rules", by_id)
        return {
            rule_id: self._rule(by_id[rule_id], item.value, defaults[rule_id])
            for rule_id, item in keys.items()
        }

    def _rule(self, rule: Rule[Any], node: Node, default: RulePolicy) -> RulePolicy:
        schema = settings_of(rule.settings)
        known = ["effect", "severity"]
        for setting in schema.values():
            known += filter(None, (setting.key, setting.extra_key))
        keys = self.mapping(node, f"the rule {rule.id}", known)
        values = {
            name: self._setting(setting, keys, getattr(default.settings, name))
            for name, setting in schema.items()
        }
        return RulePolicy(
            settings=replace(default.settings, **values),
            effect=self.word(keys, "effect", Effect, default.effect),
            severity=self.word(keys, "severity", Severity, default.severity),
        )

    def _setting(self, setting: Setting, keys: Mapping[str, Item], default: Any) -> object:
        lists = {
            "globs": self._globs,
            "words": self._words,
            "texts": self._texts,
            "names": self._names,
            "expressions": self._expressions,
        }
        if setting.kind in lists:
            return lists[setting.kind](setting, keys, default)
        if setting.key not in keys:
            return default
        node = keys[setting.key].value
        if setting.kind == "days":
            good = isinstance(node.value, Number) and re.fullmatch("[0-9]{1,5}", node.value.text)
            self.checked(node, bool(good), "a whole number of days")
            return int(node.value.text) if good else default
        if setting.kind == "percent":
            good = isinstance(node.value, Number) and re.fullmatch(
                "100|[0-9]{1,2}", node.value.text
            )
            self.checked(node, bool(good), "a whole number from 0 to 100")
            return int(node.value.text) if good else default
        if setting.kind == "flag":
            return self.checked(node, isinstance(node.value, bool), "true or false")
        return self.checked(node, node.value in setting.choices, one_of(setting.choices))

    def _globs(
        self, setting: Setting, keys: Mapping[str, Item], default: tuple[str, ...]
    ) -> tuple[str, ...]:
        globs = default
        if setting.key in keys:
            node = keys[setting.key].value
            globs = self._list(node, setting)
            if node.value == [] and not setting.may_be_empty:
                self.note(
                    node,
                    f"{setting.key} is empty: it would protect nothing",
                    "leave the key out for the default list, or set effect: ignore",
                )
        if setting.extra_key in keys:
            globs += self._list(keys[setting.extra_key].value, setting)
        return tuple(dict.fromkeys(globs))

    def _words(
        self, setting: Setting, keys: Mapping[str, Item], default: tuple[str, ...]
    ) -> tuple[str, ...]:
        """A list of some of a few words; an empty one is none of them."""
        if setting.key not in keys:
            return default
        node = keys[setting.key].value
        if not isinstance(node.value, list):
            self.note(
                node, f"{shown(node)} is not a list", f"write a list of {one_of(setting.choices)}"
            )
            return default
        for item in node.value:
            known = isinstance(item.value, str) and item.value in setting.choices
            self.checked(item, known, one_of(setting.choices))
        return tuple(word for word in setting.choices if word in [i.value for i in node.value])

    def _names(
        self, setting: Setting, keys: Mapping[str, Item], default: tuple[str, ...]
    ) -> tuple[str, ...]:
        """Names that the file itself defines."""
        if setting.key not in keys:
            return default
        node, defined = keys[setting.key].value, self._defined.get(setting.of, ())
        if not isinstance(node.value, list) or not node.value:
            self.note(node, f"{setting.key} is not a list of names", "leave it out for all of them")
            return default
        for item in node.value:
            known = isinstance(item.value, str) and item.value in defined
            wanted = one_of(defined) if defined else f"a name that {setting.of} defines"
            self.checked(item, known, wanted)
        return tuple(dict.fromkeys(i.value for i in node.value if isinstance(i.value, str)))

    def _expressions(
        self, setting: Setting, keys: Mapping[str, Item], default: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        if setting.key not in keys:
            return default
        return read_expressions(self, keys[setting.key].value)

    def _texts(
        self, setting: Setting, keys: Mapping[str, Item], default: tuple[str, ...]
    ) -> tuple[str, ...]:
        if setting.key not in keys:
            return default
        node = keys[setting.key].value
        if not isinstance(node.value, list) or len(node.value) > MAX_GLOBS:
            self.note(node, f"not a list of at most {MAX_GLOBS} texts", f"write {setting.example}")
            return default
        good = []
        for item in node.value:
            fits = isinstance(item.value, str) and re.fullmatch(setting.form, item.value)
            self.checked(item, bool(fits), setting.example)
            if fits:
                good.append(item.value)
        return tuple(dict.fromkeys(good))

    def _list(self, node: Node, setting: Setting) -> tuple[str, ...]:
        if not isinstance(node.value, list) or len(node.value) > MAX_GLOBS:
            self.note(node, f"not a list of at most {MAX_GLOBS} globs", "write - /path per line")
            return ()
        return tuple(item.value for item in node.value if self._is_glob(item, setting))

    def _is_glob(self, node: Node, setting: Setting) -> bool:
        if not isinstance(node.value, str):
            self.note(node, f"{shown(node)} is not a glob", "write a path such as /etc/shadow")
            return False
        try:
            check_glob(node.value)
        except PolicyError as error:
            self.note(node, error.message, error.remedy)
            return False
        if not setting.may_be_everything and not node.value.strip("/*?"):
            remedy = "name what is meant, or set effect: ignore"
            self.note(node, f"{node.value} would free every path of its depth", remedy)
        if setting.below and not begins_below(node.value, setting.below):
            places = ", ".join(f"{folder}…" for folder in setting.below)
            remedy = f"additions are recorded only as {places}: name one of these"
            self.note(node, f"{node.value} would never match", remedy)
        return True
