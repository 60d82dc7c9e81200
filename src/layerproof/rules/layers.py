"""What rules on layers share."""

from layerproof.model.facts import ImageFacts, LayerFacts
from layerproof.model.finding import Finding, Severity, Status
from layerproof.rules.text import shell_word


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
