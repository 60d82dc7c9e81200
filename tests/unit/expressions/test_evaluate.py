"""CEL: what expressions mean, what is refused, and that nothing costs more than it may."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerproof.expressions.evaluate import (
    CostExceededError,
    ExpressionError,
    check,
    evaluate,
)
from layerproof.expressions.syntax import ExpressionSyntaxError, parse

NAMES: dict[str, Any] = {
    "a": 1,
    "s": "hello",
    "l": [1, 2, 3],
    "m": {"k": "v", "n": {"x": 2}},
    "big": list(range(3000)),
}


def value(source: str, budget: int = 100_000) -> object:
    node = parse(source)
    check(node, NAMES)
    return evaluate(node, NAMES, budget)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("1 + 2 * 3 - 4", 3),
        ("-7 / 2", -3),
        ("-7 % 2", -1),
        ("7 / -2", -3),
        ("1.5 + 2.0", 3.5),
        ("'a' + 'b' == 'ab'", True),
        ("[1] + [2] == [1, 2]", True),
        ("1 == 1.0 && 1 < 1.5", True),
        ("1 == '1'", False),
        ("true == 1", False),
        ("null == null", True),
        ("a == 1 ? 'one' : 'many'", "one"),
        ("s.startsWith('he') && s.endsWith('lo') && s.contains('ell')", True),
        ("s.matches('^h.*o$')", True),
        ("s.matches('ell')", True),
        ("matches(s, 'x')", False),
        ("size(l) == 3 && s.size() == 5 && size(m) == 2", True),
        ("2 in l && 'k' in m && !(9 in l)", True),
        ("m.n.x == 2 && m['n']['x'] == 2 && l[0] == 1", True),
        ("has(m.k) && !has(m.z)", True),
        ("l.all(x, x > 0) && l.exists(x, x == 2) && l.exists_one(x, x == 3)", True),
        ("l.map(x, x * 2) == [2, 4, 6]", True),
        ("l.map(x, x > 1, x * 2) == [4, 6]", True),
        ("l.filter(x, x != 2) == [1, 3]", True),
        ("m.exists(k, k == 'k')", True),
        ("{'a': 1, 'b': 2}['b']", 2),
        ("false && 1 / 0 == 1", False),
        ("1 / 0 == 1 && false", False),
        ("true || m.z == 1", True),
        ("m.z == 1 || true", True),
        ("[0, 1].exists(x, 1 / x == 1)", True),
        ("[0, 1].all(x, 1 / x == 5)", False),
        (r"'\u00e9\n\x41\'' == 'é\nA' + \"'\"".replace('\\"', '"'), True),
        (r"r'\d' == '\\d'", True),
        ("string(1) + string(true) == '1true'", True),
        ("int('7') + int(2.9) == 9", True),
        ("type(l) == 'list'", True),
        ("0x10 == 16 && 5u == 5", True),
        ("!(1 > 2) // a comment", True),
        ("-9223372036854775808 < 0", True),
        ("'ABC'.lowerAscii() == 'abc'", True),
    ],
)
def test_meaning(source: str, expected: object) -> None:
    assert value(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        "1 + 'a'", "1 + 1.0", "'a' < 1", "m.z", "l[3]", "l[-1]", "l['a']", "a.b", "!1", "-s",
        "1 && true", "a ? 1 : 2", "1 / 0", "1 % 0", "9223372036854775807 + 1", "int('x')",
        "size(1)", "l.all(x, x)", "1 in 2", "s.startsWith(1)", "{'a': 1, 'a': 2}", "{1.5: 2}",
        "a.all(x, true)", "true < 1", "int(1e300)", "has(a.b)",
    ],
)  # fmt: skip
def test_what_has_no_value_is_an_error(source: str) -> None:
    with pytest.raises(ExpressionError):
        value(source)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", "unexpected"),
        ("1 +", "unexpected"),
        ("(1", "is missing"),
        ("1 2", "unexpected"),
        ("'a", "unexpected"),
        ("a.", "a name is missing"),
        ("l.all(1, true)", "wants a variable"),
        ("l.all(x)", "wants a variable"),
        ("has(a)", "wants a field"),
        ("for", "reserved"),
        ("nope == 1", "there is no nope"),
        ("nope(1)", "no function nope"),
        ("s.nope()", "no method nope"),
        ("s.startsWith()", "no method startsWith of 0"),
        ("size(1, 2)", "no function size of 2"),
        ("s.matches('(')", "no regular expression"),
        (r"s.matches('(a)\\1')", "no regular expression"),
        ("b'x'", "bytes"),
        (r"'\q'", "no escape"),
        (r"'\ud800'", "no character"),
        ("99999999999999999999", "64 bits"),
        ("a == 1 == ", "unexpected"),
        ("#", "unexpected"),
        ("x" * 5000, "longer than"),
        ("(" * 200 + "1" + ")" * 200, "nested deeper"),
        ("-" * 200 + "a", "nested deeper"),
        ("!" * 200 + "true", "nested deeper"),
        ("[" * 200, "nested deeper"),
        ("a ? 1 : " * 200 + "1", "nested deeper"),
        ("1" + " + 1" * 1200, "longer than"),
        ("1" + "+1" * 1200, "more than 1000 parts"),
        ("l" + "[0]" * 600, "parts"),
    ],
)
def test_what_is_no_expression_is_refused_with_its_place(source: str, message: str) -> None:
    with pytest.raises(ExpressionSyntaxError, match=message) as caught:
        check(parse(source), NAMES)
    assert caught.value.column >= 1


@pytest.mark.parametrize(
    "source",
    [
        "big.all(x, big.all(y, big.all(z, x + y + z >= 0)))",
        "big.map(x, big).size() > 0 && big.map(x, big) == big.map(x, big)",
        "big.all(x, 'a' + string(x) != s && !big.exists(y, y < 0))",
        "[1, 2, 3].map(a, big.map(b, big.map(c, c))).size() == 3",
    ],
)
def test_a_cost_bomb_ends_at_once(source: str) -> None:
    start = time.perf_counter()
    with pytest.raises(CostExceededError):
        value(source)
    assert time.perf_counter() - start < 2


def test_a_growing_text_is_bounded() -> None:
    node = parse("s + " * 100 + "s")
    with pytest.raises(CostExceededError):
        evaluate(node, {"s": "x" * (1 << 15)}, 1_000_000)


def test_a_hostile_text_does_not_make_a_pattern_slow() -> None:
    start = time.perf_counter()
    node = parse("s.matches('^(a+)+$') || s.matches('(a|a)*b') || s.matches('(.*)(.*)(.*)x')")
    assert evaluate(node, {"s": "a" * 50_000 + "!"}, 100_000) is False
    assert time.perf_counter() - start < 2


_text = st.text(st.sampled_from("al.ms()[]{}!&|<>=+-*/%?:,'\"0129 \\xinhas"), max_size=60)


@given(_text)
def test_no_text_makes_the_parser_or_the_evaluation_fail_otherwise(source: str) -> None:
    try:
        node = parse(source)
        check(node, NAMES)
    except ExpressionSyntaxError:
        return
    try:
        evaluate(node, NAMES, 10_000)
    except ExpressionError:
        return
