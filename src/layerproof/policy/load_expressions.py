"""The expressions of a policy file: nodes in, conditions and problems out."""

from layerproof.expressions.syntax import ExpressionSyntaxError
from layerproof.policy.document import Node
from layerproof.policy.load_blocks import read_text
from layerproof.policy.nodes import Nodes, one_of, shown
from layerproof.rules.expression import Condition, check_expression
from layerproof.rules.expression_facts import NAMES

MAX_EXPRESSIONS = 200
_KEYS = ("name", "expression", "scope", "message")


def read_expressions(nodes: Nodes, node: Node) -> tuple[Condition, ...]:
    """All of them; those with a problem are left out, and the problem is noted."""
    if not isinstance(node.value, list) or not 0 < len(node.value) <= MAX_EXPRESSIONS:
        wanted = f"a list of 1 to {MAX_EXPRESSIONS} expressions"
        nodes.note(node, f"expressions is not {wanted}", "write - name: … below it")
        return ()
    found = (_one(nodes, item) for item in node.value)
    return tuple(condition for condition in found if condition is not None)


def _one(nodes: Nodes, node: Node) -> Condition | None:
    keys = nodes.mapping(node, "an expression", _KEYS)
    if not isinstance(node.value, dict):
        return None
    missing = [key for key in ("name", "expression") if key not in keys]
    if missing:
        nodes.note(node, f"an expression without {' and '.join(missing)}", "both are needed")
        return None
    before = nodes.count
    scope = "image"
    if "scope" in keys:
        said = keys["scope"].value
        nodes.checked(said, isinstance(said.value, str) and said.value in NAMES, one_of(NAMES))
        scope = said.value if nodes.count == before else scope
    source = keys["expression"].value
    if not isinstance(source.value, str):
        nodes.note(source, f"{shown(source)} is no expression", "write it in quotes")
    else:
        try:
            check_expression(source.value, scope)
        except (ExpressionSyntaxError, RecursionError) as error:
            column = getattr(error, "column", 1)
            nodes.note(
                source,
                f"the expression, at its character {column}: {error}",
                "see docs/reference/rules/expression.md",
            )
    condition = Condition(
        name=read_text(nodes, keys, "name"),
        expression=source.value if isinstance(source.value, str) else "",
        scope=scope,
        message=read_text(nodes, keys, "message"),
    )
    return condition if nodes.count == before else None
