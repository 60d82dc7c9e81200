"""What the learned model says of an image, for people and for programs."""

from collections.abc import Iterator, Mapping
from typing import Any

from layerproof.engine.shadow import Shadow
from layerproof.model.learned import Assessment, Scored
from layerproof.report.documents import API_VERSION
from layerproof.rules.text import show_text


def assessment_document(reference: str, said: Assessment) -> dict[str, Any]:
    """Plain JSON values."""
    return {
        "apiVersion": API_VERSION,
        "kind": "LearnedAssessment",
        "reference": show_text(reference),
        "outcome": str(said.outcome),
        "trust": said.trust,
        "pValue": said.p_value,
        "smallestRate": said.smallest_rate,
        "comparedWith": said.group,
        "missing": list(said.missing),
        "counterfactual": said.counterfactual,
        "model": said.model,
        "parts": [
            {
                "part": part.part,
                "position": part.position,
                "trust": part.trust,
                "raw": part.low,
                "rawAtBest": part.high,
                "constant": part.constant,
                "contributions": [
                    {
                        "feature": reason.feature,
                        "kind": str(reason.kind),
                        "value": reason.value,
                        "contribution": reason.contribution,
                        "words": reason.words,
                    }
                    for reason in part.reasons
                ],
            }
            for part in said.parts
        ],
    }


def model_document(card: Mapping[str, Any]) -> dict[str, Any]:
    """A model card."""
    return {"apiVersion": API_VERSION, "kind": "LearnedModel", **card}


def evaluation_document(keys: Mapping[str, Any]) -> dict[str, Any]:
    """What a model with some kinds of metadata would be worth."""
    return {"apiVersion": API_VERSION, "kind": "LearnedEvaluation", **keys}


def status_document(keys: Mapping[str, Any]) -> dict[str, Any]:
    """Which models there are, and how they did."""
    return {"apiVersion": API_VERSION, "kind": "LearnedStatus", **keys}


def suggestion_document(keys: Mapping[str, Any]) -> dict[str, Any]:
    """An image that might be declared trusted."""
    return {"apiVersion": API_VERSION, "kind": "Suggestion", **keys}


def assessment_lines(reference: str, said: Assessment) -> Iterator[str]:
    """The worst part in full, the others in a line each."""
    yield f"{said.outcome.upper()}  {show_text(reference)}"
    yield (
        f"  trust {said.trust:.1%}; of known-good images here ({said.group or 'all'}), "
        f"{said.p_value:.1%} look as odd"
    )
    if said.smallest_rate > said.alpha:
        yield (
            f"  the history vouches for {said.smallest_rate:.1%} false positives at best, "
            f"{said.alpha:.1%} is asked for: it abstains"
        )
    if said.missing:
        yield f"  not known: {', '.join(said.missing)}"
    if said.counterfactual:
        yield f"  {show_text(said.counterfactual)}"
    for part in sorted(said.parts, key=lambda part: part.trust):
        where = "context" if part.position is None else f"contents of layer {part.position}"
        yield f"  {where}: trust {part.trust:.1%}, raw score {part.low:+.3f}"
        if part.trust == said.trust:
            yield from _contributions(part)


def _contributions(part: Scored) -> Iterator[str]:
    yield f"    {part.constant:+8.3f}  where every push begins"
    for reason in part.reasons:
        yield f"    {reason.contribution:+8.3f}  {reason.words} ({reason.kind})"
    yield f"    {part.low:+8.3f}  in all"


def shadow_table(shadow: Shadow) -> dict[str, Any]:
    """How a model did since it was trained, as plain JSON values."""
    return {
        "outcomes": dict(shadow.outcomes),
        "quarters": {
            name: {"pushes": count, "calledUntrusted": called}
            for name, (count, called) in shadow.quarters.items()
        },
        "confirmedLater": {"pushes": shadow.vouched[0], "calledUntrusted": shadow.vouched[1]},
        "nominalRate": shadow.rolling.assessor.model.settings.alpha,
        "drift": shadow.drift(),
    }


def shadow_lines(shadow: Shadow) -> list[str]:
    """The same for people."""
    alpha = shadow.rolling.assessor.model.settings.alpha
    lines = [
        f"{name}: {called} of {count} undisputed pushes called untrusted "
        f"({called / count:.2%}; asked for {alpha:.2%})"
        for name, (count, called) in shadow.quarters.items()
    ]
    all_, called = shadow.vouched
    if all_:
        lines.append(f"of {all_} that somebody vouched for, {called} were called untrusted")
    drift = sorted(shadow.drift().items(), key=lambda item: -item[1])[:5]
    if drift:
        lines.append("drift: " + ", ".join(f"{name} {value:.2f}" for name, value in drift))
    return lines or ["no push since it was trained"]
