"""The policy file: bytes in, `Policy` or every problem out; docs/reference/policy.md describes it.

1. What is not known is an error, never ignored: a misspelt rule would protect nothing.
2. What a file does not name keeps its default. A list under its own key replaces the default list,
   under its `extra…` key it adds to it; both at once are allowed.
3. An empty list is an error where it would switch protection off: `effect: ignore` says that
   openly. A policy that ignores every rule is an error too.
4. All problems are reported at once, each with file, line, column and what to do.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from enum import StrEnum
from hashlib import sha256
from typing import Any, TypeVar

from layerproof.errors import PolicyError
from layerproof.model.finding import Effect, Severity
from layerproof.model.verdict import Decision
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
from layerproof.policy.model import BaseMatch, Policy, RulePolicy
from layerproof.rules.globs import check_glob
from layerproof.rules.interface import Rule, Setting, begins_below, settings_of
from layerproof.rules.registry import RULES

API_VERSION = "layerproof/v1"
KIND = "Policy"
MAX_GLOBS = 2_000  # in one list

_Word = TypeVar("_Word", bound=StrEnum)


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


class _Reader:
    """Nodes → policy. Notes problems and goes on with defaults, so that all are found."""

    def __init__(self, problems: list[Problem]) -> None:
        self._problems = problems

    def policy(self, root: Node) -> Policy:
        keys = self._mapping(root, "a policy", ("apiVersion", "kind", "base", "undecided", "rules"))
        for key, wanted in (("apiVersion", API_VERSION), ("kind", KIND)):
            if key not in keys:
                self._note(root, f"{key} is missing", f"write {key}: {wanted}")
            elif keys[key].value.value != wanted:
                self._note(keys[key].value, f"{key} is not {wanted}", f"write {key}: {wanted}")
        match = BaseMatch.WHOLE
        if "base" in keys:
            base = self._mapping(keys["base"].value, "base", ("match",))
            match = self._word(base, "match", BaseMatch, match)
        rules = dict(DEFAULT_POLICY.rules)
        if "rules" in keys:
            rules.update(self._rules(keys["rules"].value))
        if all(rule.effect is Effect.IGNORE for rule in rules.values()):
            self._note(
                keys["rules"].value,
                "every rule is ignored: nothing would be judged",
                "let at least one rule alert or refuse",
            )
        undecided = self._word(keys, "undecided", Decision, DEFAULT_POLICY.undecided)
        return Policy(rules=rules, match=match, undecided=undecided)

    def _rules(self, node: Node) -> dict[str, RulePolicy]:
        by_id = {rule.id: rule for rule in RULES}
        keys = self._mapping(node, "rules", by_id)
        return {rule_id: self._rule(by_id[rule_id], item.value) for rule_id, item in keys.items()}

    def _rule(self, rule: Rule[Any], node: Node) -> RulePolicy:
        default = DEFAULT_POLICY.of(rule)
        schema = settings_of(rule.settings)
        known = ["effect", "severity"]
        for setting in schema.values():
            known += filter(None, (setting.key, setting.extra_key))
        keys = self._mapping(node, f"the rule {rule.id}", known)
        values = {
            name: self._setting(setting, keys, getattr(default.settings, name))
            for name, setting in schema.items()
        }
        return RulePolicy(
            settings=replace(default.settings, **values),
            effect=self._word(keys, "effect", Effect, default.effect),
            severity=self._word(keys, "severity", Severity, default.severity),
        )

    def _setting(self, setting: Setting, keys: Mapping[str, Item], default: Any) -> object:
        if setting.kind == "globs":
            return self._globs(setting, keys, default)
        if setting.kind == "words":
            return self._words(setting, keys, default)
        if setting.key not in keys:
            return default
        node = keys[setting.key].value
        if setting.kind == "flag":
            return self._checked(node, isinstance(node.value, bool), "true or false")
        return self._checked(node, node.value in setting.choices, _one_of(setting.choices))

    def _globs(
        self, setting: Setting, keys: Mapping[str, Item], default: tuple[str, ...]
    ) -> tuple[str, ...]:
        globs = default
        if setting.key in keys:
            node = keys[setting.key].value
            globs = self._list(node, setting)
            if node.value == [] and not setting.may_be_empty:
                self._note(
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
            self._note(
                node, f"{_shown(node)} is not a list", f"write a list of {_one_of(setting.choices)}"
            )
            return default
        for item in node.value:
            known = isinstance(item.value, str) and item.value in setting.choices
            self._checked(item, known, _one_of(setting.choices))
        return tuple(word for word in setting.choices if word in [i.value for i in node.value])

    def _list(self, node: Node, setting: Setting) -> tuple[str, ...]:
        if not isinstance(node.value, list) or len(node.value) > MAX_GLOBS:
            self._note(node, f"not a list of at most {MAX_GLOBS} globs", "write - /path per line")
            return ()
        return tuple(item.value for item in node.value if self._is_glob(item, setting))

    def _is_glob(self, node: Node, setting: Setting) -> bool:
        if not isinstance(node.value, str):
            self._note(node, f"{_shown(node)} is not a glob", "write a path such as /etc/shadow")
            return False
        try:
            check_glob(node.value)
        except PolicyError as error:
            self._note(node, error.message, error.remedy)
            return False
        if not setting.may_be_everything and not node.value.strip("/*?"):
            remedy = "name what is meant, or set effect: ignore"
            self._note(node, f"{node.value} would free every path of its depth", remedy)
        if setting.below and not begins_below(node.value, setting.below):
            places = ", ".join(f"{folder}…" for folder in setting.below)
            remedy = f"additions are recorded only as {places}: name one of these"
            self._note(node, f"{node.value} would never match", remedy)
        return True

    # --- the small things ----------------------------------------------------------------------

    def _mapping(self, node: Node, what: str, known: Iterable[str]) -> dict[str, Item]:
        """The known keys of a mapping; notes the others, and anything that is no mapping."""
        if not isinstance(node.value, dict):
            self._note(node, f"{what} is not a mapping", f"write keys below it: {', '.join(known)}")
            return {}
        allowed = tuple(known)
        for key, item in node.value.items():
            if key not in allowed:
                message = f"unknown key {key[:60]!r} in {what}"
                self._note(item.key, message, _did_you_mean(key, allowed))
        return {key: item for key, item in node.value.items() if key in allowed}

    def _word(self, keys: Mapping[str, Item], key: str, words: type[_Word], default: Any) -> Any:
        if key not in keys:
            return default
        node = keys[key].value
        allowed = tuple(str(word) for word in words)
        good = isinstance(node.value, str) and node.value in allowed
        self._checked(node, good, _one_of(allowed))
        return words(node.value) if good else default

    def _checked(self, node: Node, good: bool, wanted: str) -> object:
        if not good:
            self._note(node, f"{_shown(node)} is not {wanted}", f"write {wanted}")
        return node.value

    def _note(self, node: Node, message: str, remedy: str) -> None:
        self._problems.append(Problem(node.place, message, remedy))


def _one_of(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last


def _did_you_mean(key: str, known: tuple[str, ...]) -> str:
    from difflib import get_close_matches  # here: only for a misspelt key

    close = get_close_matches(key[:60], known, n=1)
    return f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}"


def _shown(node: Node) -> str:
    kinds: Mapping[type, Callable[[Any], str]] = {
        dict: lambda _: "a mapping",
        list: lambda _: "a list",
        str: lambda text: repr(text[:60]),
        bool: lambda value: str(value).lower(),
        Number: lambda number: number.text[:60],
    }
    return kinds.get(type(node.value), lambda _: "nothing")(node.value)
