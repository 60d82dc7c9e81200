"""CEL source → syntax tree. The grammar is that of the CEL language definition, "Syntax".

Left out, each with an error that says so: bytes, timestamps and durations (facts give days as
numbers), messages, and macros other than has, all, exists, exists_one, map and filter. Source,
depth and nodes are bounded.
"""

import re
from dataclasses import dataclass
from typing import NamedTuple, NoReturn

MAX_SOURCE = 4096  # characters
MAX_DEPTH = 50
MAX_NODES = 1000

MACROS = ("all", "exists", "exists_one", "map", "filter")
_RESERVED = frozenset(
    (
        "as", "break", "const", "continue", "else", "for", "function", "if", "import", "let",
        "loop", "package", "namespace", "return", "var", "void", "while",
    )
)  # fmt: skip
_INT_MAX = 2**63 - 1
_TOKEN = re.compile(
    r"""(?P<space>[\s]+|//[^\n]*)
    |(?P<float>\d+\.\d+(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+)
    |(?P<int>0x[0-9a-fA-F]+|\d+)(?P<unsigned>[uU])?
    |(?P<raw>[rR](?:"[^"\n]*"|'[^'\n]*'))
    |(?P<bytes>[bB][rR]?["'])
    |(?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    |(?P<name>[_a-zA-Z][_a-zA-Z0-9]*)
    |(?P<mark>\|\||&&|==|!=|<=|>=|[-+*/%!<>?:.,()\[\]{}])""",
    re.VERBOSE,
)
_ESCAPE = re.compile(
    r"\\(?:([abfnrtv\\?\"'`])|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|(.))"
)
_SIMPLE = dict(zip("abfnrtv\\?\"'`", "\a\b\f\n\r\t\v\\?\"'`", strict=True))
_BINARY = {"||": 1, "&&": 2, "==": 3, "!=": 3, "<": 3, "<=": 3, ">": 3, ">=": 3, "in": 3,
           "+": 4, "-": 4, "*": 5, "/": 5, "%": 5}  # fmt: skip


class ExpressionSyntaxError(Exception):
    """The source is no expression; `column` counts from 1."""

    def __init__(self, message: str, column: int) -> None:
        super().__init__(message)
        self.column = column


@dataclass(frozen=True, slots=True)
class Node:
    """`kind`: "literal" (value), "name" (value), "list", "record" (a map; children: key, value …),
    "member" (value: its name), "has" (value), "index", "call" (value: function; children:
    arguments), "method" (value; children: receiver, arguments), "unary" and "binary" (value:
    operator), "choice", or a macro (value: the variable; children: range and bodies)."""

    kind: str
    column: int
    value: object = None
    children: tuple["Node", ...] = ()


class _Token(NamedTuple):
    kind: str
    text: str
    column: int


def parse(source: str) -> Node:
    """Raises ExpressionSyntaxError."""
    if len(source) > MAX_SOURCE:
        raise ExpressionSyntaxError(f"longer than {MAX_SOURCE} characters", 1)
    parser = _Parser(list(_tokens(source)))
    node = parser.expression(0)
    parser.end()
    return node


def _tokens(source: str) -> list[_Token]:
    found = []
    position = 0
    while position < len(source):
        match = _TOKEN.match(source, position)
        if match is None:
            raise ExpressionSyntaxError(
                f"unexpected {source[position]!r} (a text must end in its line)", position + 1
            )
        kind = match.lastgroup or ""
        if match["int"] is not None:
            kind = "unsigned" if match["unsigned"] else "int"
        if kind == "bytes":
            raise ExpressionSyntaxError("bytes are not supported: write a text", position + 1)
        if kind != "space":
            found.append(_Token(kind, match[0], position + 1))
        position = match.end()
    found.append(_Token("end", "the end", len(source) + 1))
    return found


class _Parser:
    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._nodes = 0

    def expression(self, depth: int) -> Node:
        """A whole one: a choice, or anything that binds more tightly."""
        condition = self._binary(0, depth + 1)
        if not self._take("?"):
            return condition
        chosen = self._binary(0, depth + 1)
        self._expect(":")
        other = self.expression(depth + 1)
        return self._node("choice", condition.column, None, condition, chosen, other)

    def end(self) -> None:
        """Nothing may follow."""
        if self._now.kind != "end":
            self._fail(f"unexpected {self._now.text!r}")

    def _binary(self, least: int, depth: int) -> Node:
        left = self._unary(depth + 1)
        while True:
            token = self._now
            binds = _BINARY.get(token.text, 0) if token.kind in ("mark", "name") else 0
            if binds <= least:
                return left
            self._at += 1
            right = self._binary(binds, depth + 1)
            left = self._node("binary", token.column, token.text, left, right)

    def _unary(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            self._fail(f"nested deeper than {MAX_DEPTH}")
        token = self._now
        if token.kind == "mark" and token.text in "!-":
            self._at += 1
            following = self._now
            if token.text == "-" and following.kind in ("int", "float"):
                return self._members(self._number(negative=True), depth)
            return self._node("unary", token.column, token.text, self._unary(depth + 1))
        return self._members(self._primary(depth), depth)

    def _members(self, node: Node, depth: int) -> Node:
        while True:
            token = self._now
            if self._take("."):
                name = self._name()
                if self._take("("):
                    node = self._method(node, name, self._arguments(")", depth), token.column)
                else:
                    node = self._node("member", token.column, name, node)
            elif self._take("["):
                index = self.expression(depth + 1)
                self._expect("]")
                node = self._node("index", token.column, None, node, index)
            else:
                return node

    def _method(self, receiver: Node, name: str, arguments: list[Node], column: int) -> Node:
        if name not in MACROS:
            return self._node("method", column, name, receiver, *arguments)
        if len(arguments) < 2 or arguments[0].kind != "name":
            raise ExpressionSyntaxError(f"{name} wants a variable and a condition", column)
        if len(arguments) > (3 if name == "map" else 2):
            raise ExpressionSyntaxError(f"{name} has too many arguments", column)
        return self._node(name, column, arguments[0].value, receiver, *arguments[1:])

    def _primary(self, depth: int) -> Node:
        token = self._now
        if token.kind in ("int", "unsigned", "float"):
            return self._number(negative=False)
        self._at += 1
        if token.kind in ("raw", "text"):
            raw = token.kind == "raw"
            text = token.text[2:-1] if raw else _unescaped(token)
            return self._node("literal", token.column, text)
        if token.kind == "name":
            return self._named(token, depth)
        if token.text == "(":
            node = self.expression(depth + 1)
            self._expect(")")
            return node
        if token.text == "{":
            return self._map(token, depth)
        if token.text != "[":
            self._at -= 1
            self._fail(f"unexpected {token.text!r}")
        return self._node("list", token.column, None, *self._arguments("]", depth))

    def _named(self, token: _Token, depth: int) -> Node:
        constants: dict[str, object] = {"true": True, "false": False, "null": None}
        if token.text in constants:
            return self._node("literal", token.column, constants[token.text])
        if token.text in _RESERVED or token.text == "in":
            raise ExpressionSyntaxError(f"{token.text} is a reserved word", token.column)
        if not self._take("("):
            return self._node("name", token.column, token.text)
        arguments = self._arguments(")", depth)
        if token.text == "has":
            if len(arguments) != 1 or arguments[0].kind != "member":
                raise ExpressionSyntaxError("has wants a field: has(a.b)", token.column)
            inner = arguments[0]
            return self._node("has", token.column, inner.value, *inner.children)
        return self._node("call", token.column, token.text, *arguments)

    def _map(self, token: _Token, depth: int) -> Node:
        parts: list[Node] = []
        while not self._take("}"):
            parts.append(self.expression(depth + 1))
            self._expect(":")
            parts.append(self.expression(depth + 1))
            if not self._take(","):
                self._expect("}")
                break
        return self._node("record", token.column, None, *parts)

    def _arguments(self, end: str, depth: int) -> list[Node]:
        found: list[Node] = []
        while not self._take(end):
            found.append(self.expression(depth + 1))
            if not self._take(","):
                self._expect(end)
                break
        return found

    def _number(self, *, negative: bool) -> Node:
        token = self._now
        self._at += 1
        if token.kind == "float":
            return self._node(
                "literal", token.column, float(("-" if negative else "") + token.text)
            )
        digits = token.text.rstrip("uU")
        whole = int(digits, 16 if digits[:2].lower() == "0x" else 10)
        whole = -whole if negative else whole
        if not -_INT_MAX - 1 <= whole <= _INT_MAX:
            raise ExpressionSyntaxError("a number of more than 64 bits", token.column)
        return self._node("literal", token.column, whole)

    def _name(self) -> str:
        token = self._now
        if token.kind != "name":
            self._fail("a name is missing")
        self._at += 1
        return token.text

    def _node(self, kind: str, column: int, value: object, *children: Node) -> Node:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise ExpressionSyntaxError(f"more than {MAX_NODES} parts", column)
        return Node(kind, column, value, children)

    @property
    def _now(self) -> _Token:
        return self._tokens[self._at]

    def _take(self, mark: str) -> bool:
        token = self._now
        if token.kind == "mark" and token.text == mark:
            self._at += 1
            return True
        return False

    def _expect(self, mark: str) -> None:
        if not self._take(mark):
            self._fail(f"{mark!r} is missing before {self._now.text!r}")

    def _fail(self, message: str) -> NoReturn:
        raise ExpressionSyntaxError(message, self._now.column)


def _unescaped(token: _Token) -> str:
    def character(match: re.Match[str]) -> str:
        simple, two, four, eight, octal, other = match.groups()
        if other is not None:
            raise ExpressionSyntaxError(f"\\{other} is no escape", token.column)
        if simple is not None:
            return _SIMPLE[simple]
        code = int(octal, 8) if octal else int(two or four or eight, 16)
        if code > 0x10FFFF or 0xD800 <= code < 0xE000:
            raise ExpressionSyntaxError("an escape that is no character", token.column)
        return chr(code)

    return _ESCAPE.sub(character, token.text[1:-1])
