"""Evaluates a syntax tree, at a bounded cost. The meaning is that of the CEL language definition.

1. Values are None, bool, int (64 bits, overflow is an error), float, str, list and dict. Types are
   not converted: `1 + "a"` is an error, `1 == "a"` is false, and numbers compare by value.
2. `&&` and `||` do not care about an error on one side when the other decides; the order of their
   sides means nothing.
3. Every step costs, texts and lists by their length. What costs more than the budget ends with
   `CostExceededError`, whatever it would have been.
4. `matches` is RE2's: linear in the text, partial unless anchored, and no backreferences.
"""

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from layerproof.expressions.syntax import MACROS, ExpressionSyntaxError, Node

MAX_TEXT = 1 << 20  # characters of a text that an expression makes
_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1
_CHARACTERS_PER_STEP = 64
FUNCTIONS = {"double": 1, "int": 1, "matches": 2, "size": 1, "string": 1, "type": 1}
METHODS = {
    "contains": 1,
    "endsWith": 1,
    "lowerAscii": 0,
    "matches": 1,
    "size": 0,
    "startsWith": 1,
}


class ExpressionError(Exception):
    """No value: a missing field, a wrong type, a division by zero."""


class CostExceededError(ExpressionError):
    """It would cost more than it may."""


def check(node: Node, names: Mapping[str, object], bound: frozenset[str] = frozenset()) -> None:
    """Raises ExpressionSyntaxError for names and functions that do not exist."""
    if node.kind == "name" and node.value not in names and node.value not in bound:
        known = ", ".join(sorted(names))
        raise ExpressionSyntaxError(f"there is no {node.value}; known: {known}", node.column)
    if node.kind == "call" and FUNCTIONS.get(str(node.value)) != len(node.children):
        known = ", ".join(sorted(FUNCTIONS))
        raise ExpressionSyntaxError(
            f"no function {node.value} of {len(node.children)} arguments; known: {known}",
            node.column,
        )
    if node.kind == "method" and METHODS.get(str(node.value)) != len(node.children) - 1:
        known = ", ".join(sorted((*METHODS, *MACROS)))
        raise ExpressionSyntaxError(
            f"no method {node.value} of {len(node.children) - 1} arguments; known: {known}",
            node.column,
        )
    if node.value == "matches" and node.kind in ("call", "method"):
        pattern = node.children[1]
        if pattern.kind == "literal" and isinstance(pattern.value, str):
            try:
                _pattern(pattern.value)
            except ExpressionError as error:
                raise ExpressionSyntaxError(str(error), pattern.column) from error
    if node.kind in MACROS:
        check(node.children[0], names, bound)
        for child in node.children[1:]:
            check(child, names, bound | {str(node.value)})
        return
    for child in node.children:
        check(child, names, bound)


def evaluate(node: Node, names: Mapping[str, object], budget: int) -> object:
    """The value. Raises ExpressionError; CostExceededError beyond `budget` steps."""
    return _Evaluation(budget).value(node, names)


class _Evaluation:
    def __init__(self, budget: int) -> None:
        self._left = budget

    def _spend(self, steps: int = 1) -> None:
        self._left -= steps
        if self._left < 0:
            raise CostExceededError("it costs more steps than it may")

    def value(self, node: Node, names: Mapping[str, Any]) -> Any:
        self._spend()
        return _KINDS[node.kind](self, node, names)

    def _literal(self, node: Node, names: Mapping[str, Any]) -> Any:
        return node.value

    def _name(self, node: Node, names: Mapping[str, Any]) -> Any:
        if node.value not in names:
            raise ExpressionError(f"there is no {node.value}")
        return names[str(node.value)]

    def _list(self, node: Node, names: Mapping[str, Any]) -> Any:
        return [self.value(child, names) for child in node.children]

    def _record(self, node: Node, names: Mapping[str, Any]) -> Any:
        found: dict[Any, Any] = {}
        for key, value in zip(node.children[::2], node.children[1::2], strict=True):
            made = self.value(key, names)
            if not isinstance(made, str | int):
                raise ExpressionError("a key that is neither text nor number")
            if made in found:
                raise ExpressionError(f"the key {made!r} stands twice")
            found[made] = self.value(value, names)
        return found

    def _member(self, node: Node, names: Mapping[str, Any]) -> Any:
        of = self.value(node.children[0], names)
        if not isinstance(of, dict):
            raise ExpressionError(f"{_type(of)} has no field {node.value}")
        if node.value not in of:
            raise ExpressionError(f"there is no field {node.value}")
        return of[node.value]

    def _has(self, node: Node, names: Mapping[str, Any]) -> Any:
        of = self.value(node.children[0], names)
        if not isinstance(of, dict):
            raise ExpressionError(f"{_type(of)} has no fields")
        return node.value in of

    def _index(self, node: Node, names: Mapping[str, Any]) -> Any:
        of, at = (self.value(child, names) for child in node.children)
        if isinstance(of, list) and _is_int(at):
            if 0 <= at < len(of):
                return of[at]
            raise ExpressionError(f"there is no item {at}")
        if isinstance(of, dict) and isinstance(at, str | int):
            if at in of:
                return of[at]
            raise ExpressionError(f"there is no key {at!r}")
        raise ExpressionError(f"{_type(of)} has no {_type(at)} items")

    def _choice(self, node: Node, names: Mapping[str, Any]) -> Any:
        condition, chosen, other = node.children
        return self.value(chosen if self._bool(condition, names) else other, names)

    def _bool(self, node: Node, names: Mapping[str, Any]) -> bool:
        found = self.value(node, names)
        if not isinstance(found, bool):
            raise ExpressionError(f"{_type(found)} where true or false is wanted")
        return found

    def _unary(self, node: Node, names: Mapping[str, Any]) -> Any:
        if node.value == "!":
            return not self._bool(node.children[0], names)
        found = self.value(node.children[0], names)
        if _is_int(found):
            return _int(-found)
        if isinstance(found, float):
            return -found
        raise ExpressionError(f"- of {_type(found)}")

    def _binary(self, node: Node, names: Mapping[str, Any]) -> Any:
        operator = str(node.value)
        if operator in ("&&", "||"):
            return self._logic(node, names, decides=operator == "||")
        left, right = (self.value(child, names) for child in node.children)
        if operator in ("==", "!="):
            return self._equal(left, right) is (operator == "==")
        if operator == "in":
            return self._in(left, right)
        if operator in _ORDER:
            if not _comparable(left, right):
                raise ExpressionError(f"{_type(left)} {operator} {_type(right)}")
            self._spend(_cost(left))
            return _ORDER[operator](left, right)
        return self._arithmetic(operator, left, right)

    def _logic(self, node: Node, names: Mapping[str, Any], *, decides: bool) -> bool:
        failed: ExpressionError | None = None
        for child in node.children:
            try:
                if self._bool(child, names) is decides:
                    return decides
            except CostExceededError:
                raise
            except ExpressionError as error:
                failed = failed or error
        if failed is not None:
            raise failed
        return not decides

    def _in(self, left: Any, right: Any) -> bool:
        if isinstance(right, dict):
            return isinstance(left, str | int) and left in right
        if not isinstance(right, list):
            raise ExpressionError(f"in wants a list or a map, not {_type(right)}")
        return any(self._equal(left, item) for item in right)

    def _equal(self, left: Any, right: Any) -> bool:
        self._spend(_cost(left))
        if isinstance(left, bool) or isinstance(right, bool):
            return left is right
        if isinstance(left, list) and isinstance(right, list):
            return len(left) == len(right) and all(map(self._equal, left, right))
        if isinstance(left, dict) and isinstance(right, dict):
            return left.keys() == right.keys() and all(
                self._equal(value, right[key]) for key, value in left.items()
            )
        return bool(left == right)

    def _arithmetic(self, operator: str, left: Any, right: Any) -> Any:
        if operator == "+" and type(left) is type(right) and isinstance(left, str | list):
            self._spend(_cost(left) + _cost(right))
            if len(left) + len(right) > MAX_TEXT:
                raise CostExceededError("a text or list that is too long")
            return left + right
        if _is_int(left) and _is_int(right):
            if operator in "/%" and right == 0:
                raise ExpressionError("a division by zero")
            return _int(_WHOLE[operator](left, right))
        if isinstance(left, float) and isinstance(right, float) and operator != "%":
            if operator == "/" and right == 0:
                return math.nan if left == 0 or math.isnan(left) else left * math.inf
            return _REAL[operator](left, right)
        raise ExpressionError(f"{_type(left)} {operator} {_type(right)}")

    def _call(self, node: Node, names: Mapping[str, Any]) -> Any:
        arguments = [self.value(child, names) for child in node.children]
        return self._function(str(node.value), *arguments)

    def _function(self, name: str, value: Any, *more: Any) -> Any:
        self._spend(_cost(value))
        try:
            return _FUNCTIONS[name](value, *more)
        except (TypeError, ValueError, OverflowError) as error:
            raise ExpressionError(f"{name} of {_type(value)}") from error

    def _method(self, node: Node, names: Mapping[str, Any]) -> Any:
        receiver, *arguments = (self.value(child, names) for child in node.children)
        name = str(node.value)
        if name in FUNCTIONS:
            return self._function(name, receiver, *arguments)
        if not all(isinstance(value, str) for value in (receiver, *arguments)):
            raise ExpressionError(f"{name} of {_type(receiver)}")
        self._spend(_cost(receiver))
        return _TEXT[name](receiver, *arguments)

    def _macro(self, node: Node, names: Mapping[str, Any]) -> Any:
        items = self.value(node.children[0], names)
        if not isinstance(items, list | dict):
            raise ExpressionError(f"{node.kind} of {_type(items)}")
        variable, body = str(node.value), node.children[-1]
        scopes = ({**names, variable: item} for item in items)
        if node.kind in ("all", "exists"):
            return self._any(body, scopes, decides=node.kind == "exists")
        if node.kind == "exists_one":
            return sum(self._bool(body, scope) for scope in scopes) == 1
        found = []
        for scope in scopes:
            self._spend()
            if node.kind == "filter":
                if self._bool(body, scope):
                    found.append(scope[variable])
            elif len(node.children) == 2 or self._bool(node.children[1], scope):
                found.append(self.value(body, scope))
        return found

    def _any(self, body: Node, scopes: Any, *, decides: bool) -> bool:
        """As a chain of `||` or `&&`."""
        failed: ExpressionError | None = None
        for scope in scopes:
            try:
                if self._bool(body, scope) is decides:
                    return decides
            except CostExceededError:
                raise
            except ExpressionError as error:
                failed = failed or error
        if failed is not None:
            raise failed
        return not decides


_E = _Evaluation
_KINDS: Mapping[str, Callable[[_Evaluation, Node, Mapping[str, Any]], Any]] = {
    "literal": _E._literal, "name": _E._name, "list": _E._list, "record": _E._record,
    "member": _E._member, "has": _E._has, "index": _E._index, "choice": _E._choice,
    "unary": _E._unary, "binary": _E._binary, "call": _E._call, "method": _E._method,
    **dict.fromkeys(MACROS, _E._macro),
}  # fmt: skip
_ORDER: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
_REAL: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
}
_WHOLE: Mapping[str, Callable[[Any, Any], Any]] = {
    **_REAL,
    # towards zero, as in C and Go
    "/": lambda a, b: abs(a) // abs(b) * (1 if (a < 0) is (b < 0) else -1),
    "%": lambda a, b: abs(a) % abs(b) * (-1 if a < 0 else 1),
}
_TEXT: Mapping[str, Callable[..., Any]] = {
    "contains": lambda text, part: part in text,
    "endsWith": lambda text, part: text.endswith(part),
    "lowerAscii": lambda text: "".join(c.lower() if c.isascii() else c for c in text),
    "startsWith": lambda text, part: text.startswith(part),
}


def _size(value: object) -> int:
    if isinstance(value, str | list | dict):
        return len(value)
    raise TypeError("nothing that has a size")


def _string(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(_scalar(value))


def _scalar(value: Any) -> str | int | float:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeError("neither text nor number")
    return value


def _matches(text: object, pattern: object) -> bool:
    if not isinstance(text, str) or not isinstance(pattern, str):
        raise TypeError("no text")
    return _pattern(pattern).search(text) is not None


@lru_cache(maxsize=256)
def _pattern(source: str) -> Any:
    import re2  # type: ignore[import-untyped]  # here: few policies have one

    options = re2.Options()
    options.max_mem = 1 << 20
    options.log_errors = False
    try:
        return re2.compile(source, options)
    except re2.error as error:
        text = error.args[0] if error.args else ""
        said = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
        raise ExpressionError(f"no regular expression of RE2: {said[:100]}") from error


def _type(value: object) -> str:
    names = {
        type(None): "null", bool: "bool", int: "int", float: "double", str: "string",
        list: "list", dict: "map",
    }  # fmt: skip
    return names.get(type(value), "unknown")


_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "double": lambda value: float(_scalar(value)),
    "int": lambda value: _int(int(_scalar(value))),
    "matches": _matches,
    "size": _size,
    "string": _string,
    "type": _type,
}


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _int(value: int) -> int:
    if not _INT_MIN <= value <= _INT_MAX:
        raise ExpressionError("a number of more than 64 bits")
    return value


def _comparable(left: object, right: object) -> bool:
    numbers = (_is_int(left) or isinstance(left, float)) and (
        _is_int(right) or isinstance(right, float)
    )
    return numbers or (type(left) is type(right) and isinstance(left, str | bool))


def _cost(value: object) -> int:
    return 1 + len(value) // _CHARACTERS_PER_STEP if isinstance(value, str | list | dict) else 1
