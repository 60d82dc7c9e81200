"""An explanation as plain lines, and as a document."""

from collections.abc import Iterator

import click

from layerproof.engine.explain import Answer, Explanation
from layerproof.model.finding import Effect, Status
from layerproof.report.documents import API_VERSION, Document, finding_document
from layerproof.report.lines import findings_lines, human, wrapped
from layerproof.rules.text import show_text


def explained_lines(told: Explanation) -> Iterator[str]:
    """The reasoning from top to bottom."""
    layer = told.layer
    size = f", {human(layer.blob.size)}" if layer.blob else ""
    yield f"layer {layer.position} of {show_text(told.verdict.reference, 500)}{size}"
    yield f"ChainID {layer.chain_id}"
    yield f"DiffID  {layer.diff_id}"
    for title, sentences in (("What it is", told.what), ("The base", told.base)):
        yield ""
        yield click.style(title, bold=True)
        for sentence in sentences:
            yield from wrapped(sentence, "  ")
    yield ""
    yield click.style("The rules", bold=True)
    for answer in told.answers:
        yield from _answer(answer)
    extra = [f for f in told.layer_verdict.findings if f.rule not in {a.rule for a in told.answers}]
    yield from findings_lines(extra)
    if told.image:
        yield ""
        yield click.style("About the image as a whole", bold=True)
        yield from findings_lines(told.image)
    yield ""
    yield click.style("So", bold=True)
    for sentence in told.conclusion:
        yield from wrapped(sentence, "  ")


def _answer(answer: Answer) -> Iterator[str]:
    word = _word(answer)
    effect = "" if answer.effect is Effect.REFUSE else f"  (the policy: {answer.effect})"
    yield f"  {answer.rule:22} {word}{effect}"
    yield from findings_lines(answer.findings)


def _word(answer: Answer) -> str:
    if not answer.judged and not answer.findings:
        return "does not judge the base"
    if not answer.asked and not answer.findings:
        return "is not asked: the policy says nothing for it"
    if answer.on_image and not answer.findings:
        return click.style("speaks about the image, below", fg="yellow")
    if not answer.findings:
        return click.style("has nothing against it", fg="green")
    if any(f.status is Status.FAIL for f in answer.findings):
        return click.style("fails", fg="red")
    return click.style("cannot tell", fg="yellow")


def explained_document(told: Explanation) -> Document:
    """What `explain` prints for programs."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Explanation",
        "reference": told.verdict.reference,
        "position": told.layer.position,
        "chainId": told.layer.chain_id,
        "diffId": told.layer.diff_id,
        "verdict": str(told.layer_verdict.verdict),
        "inBase": told.layer_verdict.in_base,
        "decision": str(told.verdict.decision),
        "what": list(told.what),
        "base": list(told.base),
        "rules": [
            {
                "rule": answer.rule,
                "doc": answer.doc,
                "effect": str(answer.effect),
                "judged": answer.judged,
                "asked": answer.asked,
                "findings": [finding_document(f) for f in answer.findings],
            }
            for answer in told.answers
        ],
        "findings": [
            finding_document(f)
            for f in told.layer_verdict.findings
            if f.rule not in {answer.rule for answer in told.answers}
        ],
        "image": [finding_document(f) for f in told.image],
        "conclusion": list(told.conclusion),
    }
