"""`expression`: the operator's own CEL expression over the facts is not true.

1. Each expression has a name and a scope: `image` is evaluated once, `layer` for each layer above
   the base. The variables are those of `layerproof.rules.expression_facts`.
2. True passes, false fails. Anything else cannot be told: a missing field, a wrong type, another
   value than true or false, and an expression that costs more than it may. The finding says which.
3. Expressions are checked when the policy is read: syntax, names, functions, constant patterns.

The evaluator is loaded when there is an expression: start-up time is part of the product.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

from layerproof.model.facts import ImageFacts, LayerFacts
from layerproof.model.finding import Finding, Severity, Status
from layerproof.rules.interface import RuleSettings, expressions
from layerproof.rules.text import show_text

if TYPE_CHECKING:
    from layerproof.expressions.syntax import Node

BUDGET = 100_000  # steps of one evaluation


@dataclass(frozen=True, slots=True)
class Condition:
    """One expression of a policy."""

    name: str
    expression: str
    scope: str = "image"  # or "layer"
    message: str = ""  # what a finding says; the expression if it says nothing


@dataclass(frozen=True, slots=True)
class ExpressionSettings(RuleSettings):
    """`expressions`: what must be true."""

    expressions: tuple[Condition, ...] = expressions("expressions", item=Condition)


class Expression:
    """See the module."""

    __slots__ = ()

    id: ClassVar[str] = "expression"
    severity: ClassVar[Severity] = Severity.MEDIUM
    doc: ClassVar[str] = "An expression of the policy over the facts is not true."
    settings: ClassVar[type[ExpressionSettings]] = ExpressionSettings

    def check(self, facts: ImageFacts, settings: ExpressionSettings) -> tuple[Finding, ...]:
        """Findings on the whole image, and on the layers above the base."""
        if not settings.expressions:
            return ()
        from layerproof.rules.expression_facts import image_names, layer_value  # few have any

        names = image_names(facts)
        found: list[Finding] = []
        for condition in settings.expressions:
            if condition.scope == "layer":
                for layer in facts.above_base:
                    here = {**names, "layer": layer_value(layer)}
                    found.extend(self._judge(condition, here, layer))
            else:
                found.extend(self._judge(condition, names, None))
        return tuple(found)

    def _judge(
        self, condition: Condition, names: Mapping[str, object], layer: LayerFacts | None
    ) -> Iterator[Finding]:
        from layerproof.expressions.evaluate import ExpressionError, evaluate
        from layerproof.expressions.syntax import ExpressionSyntaxError

        status, why = Status.FAIL, ""
        try:
            value = evaluate(_compiled(condition.expression), names, BUDGET)
            if value is True:
                return
            if value is not False:
                status, why = Status.UNKNOWN, "its value is neither true nor false"
        except (ExpressionError, ExpressionSyntaxError, RecursionError) as error:
            status, why = Status.UNKNOWN, str(error) or "it cannot be evaluated"
        said = condition.message or f"not true: {show_text(condition.expression)}"
        message = (
            f"{condition.name}: {said}" if not why else f"{condition.name} has no answer: {why}"
        )
        yield Finding(
            rule=self.id,
            status=status,
            severity=self.severity,
            message=show_text(message, 1000),
            remedy="meet the condition, or ask whoever wrote the policy"
            if status is Status.FAIL
            else "correct the expression: has(a.b) asks whether a field is there",
            position=layer.layer.position if layer else None,
            chain_id=layer.layer.chain_id if layer else None,
            evidence={"name": condition.name, "expression": show_text(condition.expression, 1000)},
        )


@lru_cache(maxsize=256)
def _compiled(source: str) -> "Node":
    from layerproof.expressions.syntax import parse

    return parse(source)


def check_expression(source: str, scope: str) -> None:
    """Raises ExpressionSyntaxError for what could never be evaluated."""
    from layerproof.expressions.evaluate import check
    from layerproof.rules.expression_facts import NAMES

    check(_compiled(source), dict.fromkeys(NAMES[scope]))
