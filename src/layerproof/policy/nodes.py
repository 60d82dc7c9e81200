"""Reads nodes of a document and notes what is wrong, so that all problems are found at once."""

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any, TypeVar

from layerproof.errors import PolicyError
from layerproof.policy.document import Item, Node, Number, Problem

_Word = TypeVar("_Word", bound=StrEnum)


class Nodes:
    """What every reader of a part of a policy needs."""

    def __init__(self, problems: list[Problem]) -> None:
        self._problems = problems

    @property
    def count(self) -> int:
        """How many problems were noted."""
        return len(self._problems)

    def mapping(self, node: Node, what: str, known: Iterable[str]) -> dict[str, Item]:
        """The known keys of a mapping; notes the others, and anything that is no mapping."""
        if not isinstance(node.value, dict):
            self.note(node, f"{what} is not a mapping", f"write keys below it: {', '.join(known)}")
            return {}
        allowed = tuple(known)
        for key, item in node.value.items():
            if key not in allowed:
                message = f"unknown key {key[:60]!r} in {what}"
                self.note(item.key, message, _did_you_mean(key, allowed))
        return {key: item for key, item in node.value.items() if key in allowed}

    def word(self, keys: Mapping[str, Item], key: str, words: type[_Word], default: Any) -> Any:
        """One of a few words; the default where the key is not there."""
        if key not in keys:
            return default
        node = keys[key].value
        allowed = tuple(str(word) for word in words)
        good = isinstance(node.value, str) and node.value in allowed
        self.checked(node, good, one_of(allowed))
        return words(node.value) if good else default

    def items(
        self, keys: Mapping[str, Item], key: str, most: int, check: Callable[[str], None]
    ) -> tuple[str, ...]:
        """A list of texts, none where the key is not there. `check` raises PolicyError for one that
        is wrong. An empty list is an error: it would mean nothing, or all."""
        if key not in keys:
            return ()
        node = keys[key].value
        if not isinstance(node.value, list) or not 0 < len(node.value) <= most:
            wanted = f"a list of 1 to {most} items"
            self.note(node, f"{key} is not {wanted}", "name what is meant, or leave the key out")
            return ()
        found = []
        for item in node.value:
            if not isinstance(item.value, str):
                self.note(item, f"{shown(item)} is not a text", "write it in quotes")
                continue
            try:
                check(item.value)
                found.append(item.value)
            except PolicyError as error:
                self.note(item, error.message, error.remedy)
        return tuple(found)

    def checked(self, node: Node, good: bool, wanted: str) -> object:
        """The value, after a note unless it is `good`."""
        if not good:
            self.note(node, f"{shown(node)} is not {wanted}", f"write {wanted}")
        return node.value

    def note(self, node: Node, message: str, remedy: str) -> None:
        """One problem at the node's place."""
        self._problems.append(Problem(node.place, message, remedy))


def one_of(words: Iterable[str]) -> str:
    """`a, b or c`."""
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last


def _did_you_mean(key: str, known: tuple[str, ...]) -> str:
    from difflib import get_close_matches  # here: only for a misspelt key

    close = get_close_matches(key[:60], known, n=1)
    return f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}"


def shown(node: Node) -> str:
    """The value, as a message names it."""
    kinds: Mapping[type, Callable[[Any], str]] = {
        dict: lambda _: "a mapping",
        list: lambda _: "a list",
        str: lambda text: repr(text[:60]),
        bool: lambda value: str(value).lower(),
        Number: lambda number: number.text[:60],
    }
    return kinds.get(type(node.value), lambda _: "nothing")(node.value)
