"""What rules on layers share."""

from collections.abc import Sequence

from layerproof.model.facts import ImageFacts, LayerFacts
from layerproof.model.finding import Finding, Severity, Status
from layerproof.rules.text import shell_word, show_path

MAX_EXAMPLES = 20  # paths that a finding on many files lists


def only_counted(rule: str, layer: LayerFacts, message: str, remedy: str, count: int) -> Finding:
    """The answer about what the layer has, and of which only the number is known."""
    return Finding(
        rule=rule,
        status=Status.UNKNOWN,
        severity=Severity.MEDIUM,
        message=message,
        remedy=remedy,
        position=layer.layer.position,
        chain_id=layer.layer.chain_id,
        evidence={"total": count},
    )


def examples(paths: Sequence[bytes]) -> dict[str, object]:
    """The evidence of a finding that sums up many files."""
    return {"total": len(paths), "examples": [show_path(path) for path in paths[:MAX_EXAMPLES]]}


def not_indexed(rule: str, facts: ImageFacts, layer: LayerFacts) -> Finding:
    """The answer of a rule about a layer without facts."""
    return Finding(
        rule=rule,
        status=Status.UNKNOWN,
        severity=Severity.MEDIUM,
        message="the layer is not indexed: what it brings is not known",
        remedy=f"layerproof index {shell_word(facts.image.reference)}",
        position=layer.layer.position,
        chain_id=layer.layer.chain_id,
        evidence={"diffId": layer.layer.diff_id},
    )
