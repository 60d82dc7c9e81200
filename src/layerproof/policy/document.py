"""YAML with positions, for files that a person writes and an attacker may have touched.

Only what a policy needs is read: one document of mappings, lists and scalars.

1. Anchors, aliases and merge keys are refused: the file cannot unfold into more than it shows.
2. Tags and directives are refused: nothing is constructed but text, numbers, booleans and null
   (YAML 1.2 core schema, section 10.3).
3. Keys are text and stand once per mapping.
4. Bytes, depth and nodes are bounded before anything is built.

Nodes are made from parser events; no constructor of the YAML library runs.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from layerproof.errors import PolicyError

MAX_BYTES = 256 * 1024
MAX_DEPTH = 16
MAX_NODES = 20_000

_NULL = re.compile(r"null|Null|NULL|~|")
_TRUE = re.compile(r"true|True|TRUE")
_FALSE = re.compile(r"false|False|FALSE")
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|0o[0-7]+|0x[0-9a-fA-F]+")


class Place(NamedTuple):
    """Where something stands; both count from 1."""

    line: int
    column: int


class Number(NamedTuple):
    """A number as it was written; no setting is one, so none is computed."""

    text: str


class Node(NamedTuple):
    """`value` is a dict of `Item` by key, a list of nodes, a text, a `Number`, a bool or None."""

    value: Any
    place: Place


class Item(NamedTuple):
    """One entry of a mapping."""

    key: Node
    value: Node


class Problem(NamedTuple):
    """One thing that is wrong with a policy, and what to do about it."""

    place: Place
    message: str
    remedy: str


class DocumentError(Exception):
    """The text is not such a document; nothing more can be said about it."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def parse_document(text: bytes, problems: list[Problem]) -> Node:
    """The root node; adds to `problems` what can be passed over, such as a duplicate key.

    Raises DocumentError for what cannot.
    """
    import yaml  # here: every other command runs without YAML
    from yaml.error import MarkedYAMLError, YAMLError

    decoded = _decode(text)
    # libyaml's parser, where PyYAML was built with it, is twenty times as fast as the other
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return _Builder(yaml.parse(decoded, Loader=loader), problems).document()
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1)
        said = " ".join(filter(None, (error.context, error.problem)))
        raise _broken(place, f"not YAML: {said}", "check indentation, colons and quotes") from error
    except YAMLError as error:
        said = str(error).partition("\n")[0]
        raise _broken(Place(1, 1), f"not YAML: {said}", "save it as plain text") from error


def _decode(text: bytes) -> str:
    if len(text) > MAX_BYTES:
        remedy = f"a policy has at most {MAX_BYTES // 1024} KiB"
        raise _broken(Place(1, 1), f"too large: {len(text):,} bytes", remedy)
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        column = error.start - (text.rfind(b"\n", 0, error.start) + 1) + 1
        raise _broken(Place(line, column), "not UTF-8 text", "save it as UTF-8") from error


def _broken(place: Place, message: str, remedy: str) -> DocumentError:
    return DocumentError(Problem(place, message, remedy))


class _Builder:
    """Parser events → nodes."""

    def __init__(self, events: Iterator[Any], problems: list[Problem]) -> None:
        self._events = events
        self._problems = problems
        self._nodes = 0

    def document(self) -> Node:
        root: Node | None = None
        for event in self._events:
            kind = type(event).__name__
            if kind == "DocumentStartEvent":
                self._check_start(event, again=root is not None)
            elif kind not in ("StreamStartEvent", "StreamEndEvent", "DocumentEndEvent"):
                root = self._node(event, 1)
        return root or Node(None, Place(1, 1))

    def _check_start(self, event: Any, *, again: bool) -> None:
        if again:
            raise _broken(_place(event), "a second document", "one policy per file: remove it")
        if event.version or event.tags:
            raise _broken(_place(event), "a % directive", "remove it")

    def _node(self, event: Any, depth: int) -> Node:
        place = _place(event)
        self._nodes += 1
        if self._nodes > MAX_NODES or depth > MAX_DEPTH:
            raise _broken(place, "too many or too deeply nested values", "make the policy smaller")
        kind = type(event).__name__
        if kind == "AliasEvent" or event.anchor is not None:
            raise _broken(place, "an anchor or alias", "write the value out in full")
        if event.tag is not None and not (kind == "ScalarEvent" and str(event.tag) == "!"):
            raise _broken(place, f"a tag, {str(event.tag)[:60]!r}", "write the plain value")
        if kind == "MappingStartEvent":
            return Node(self._mapping(depth), place)
        if kind == "SequenceStartEvent":
            return Node(self._sequence(depth), place)
        return Node(_scalar(event), place)

    def _mapping(self, depth: int) -> dict[str, Item]:
        found: dict[str, Item] = {}
        while type(event := next(self._events)).__name__ != "MappingEndEvent":
            key = self._node(event, depth + 1)
            value = self._node(next(self._events), depth + 1)
            if value.value is None:  # nothing stands there: the key is what a person looks for
                value = Node(None, key.place)
            if not isinstance(key.value, str):
                self._problems.append(Problem(key.place, "a key that is not text", "quote it"))
            elif key.value in found:
                first = found[key.value].key.place
                message = f"the key {key.value[:60]!r} stands twice (first in line {first.line})"
                self._problems.append(Problem(key.place, message, "keep one of them"))
            else:
                found[key.value] = Item(key, value)
        return found

    def _sequence(self, depth: int) -> list[Node]:
        found = []
        while type(event := next(self._events)).__name__ != "SequenceEndEvent":
            found.append(self._node(event, depth + 1))
        return found


def _place(event: Any) -> Place:
    return Place(event.start_mark.line + 1, event.start_mark.column + 1)


def _scalar(event: Any) -> object:
    text = str(event.value)
    if event.style in ("'", '"', "|", ">"):
        return text
    if _NULL.fullmatch(text):
        return None
    if _TRUE.fullmatch(text) or _FALSE.fullmatch(text):
        return bool(_TRUE.fullmatch(text))
    return Number(text) if _NUMBER.fullmatch(text) else text


def policy_error(problems: list[Problem], where: str) -> PolicyError:
    """One error for all problems, in the order of the file."""
    ordered = sorted(set(problems))
    lines = tuple(
        f"{where}:{p.place.line}:{p.place.column}: {p.message}; {p.remedy}" for p in ordered
    )
    first = ordered[0]
    more = f" (and {len(ordered) - 1} more)" if len(ordered) > 1 else ""
    return PolicyError(
        first.message + more,
        where=f"{where}:{first.place.line}:{first.place.column}",
        remedy=first.remedy,
        problems=lines,
    )
