"""The whole reasoning about one layer, in plain words: what every rule said, and what follows.

Decides nothing: it tells a verdict that was made, together with the facts and the policy that it
was made from.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from layerproof.analysis.secret_formats import mask_secrets
from layerproof.engine.withdrawn import WITHDRAWN
from layerproof.errors import UsageError
from layerproof.model.change import ChangeKind
from layerproof.model.facts import ImageFacts, LayerFacts
from layerproof.model.finding import Effect, Finding, Status
from layerproof.model.image import Image, Layer
from layerproof.model.trust import TrustRecord
from layerproof.model.verdict import Decision, LayerVerdict, Trust, Verdict
from layerproof.policy.model import Policy
from layerproof.rules.expression import ExpressionSettings
from layerproof.rules.registry import RULES
from layerproof.rules.text import plural, show_text
from layerproof.rules.trusted_base import TrustedBase
from layerproof.rules.trusted_pusher import TrustedPusher

_CHANGES = {
    ChangeKind.ADDED: "added",
    ChangeKind.REPLACED: "replaced",
    ChangeKind.ATTRIBUTES: "re-moded or re-owned",
    ChangeKind.DELETED: "deleted",
    ChangeKind.REDIRECTED: "led elsewhere by links",
    ChangeKind.SHADOWED: "hidden by an earlier name",
    ChangeKind.IDENTICAL: "written again as they were",
}
_OUTCOMES = {
    Decision.ADMIT: "it may run",
    Decision.ALERT: "it may run, and somebody should look",
    Decision.REFUSE: "it may not run",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What one rule said about the layer."""

    rule: str
    doc: str
    effect: Effect  # the policy's
    findings: tuple[Finding, ...]  # none: it passed
    judged: bool = True  # False: the layer is in the base
    on_image: bool = False  # it has findings on the image as a whole
    asked: bool = True  # False: the policy gives the rule nothing to go by


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything about one layer."""

    verdict: Verdict
    layer: Layer
    layer_verdict: LayerVerdict
    what: tuple[str, ...]  # sentences: what the layer is and did
    base: tuple[str, ...]  # why it is in the base or not
    answers: tuple[Answer, ...]
    image: tuple[Finding, ...]  # findings on the whole image, which bear on every layer
    conclusion: tuple[str, ...]


def choose_layer(image: Image, text: str) -> Layer:
    """A layer by its position, `top`, or the beginning of its ChainID. Raises UsageError."""
    if text == "top" and image.layers:
        return image.layers[-1]
    if text.isascii() and text.isdigit() and len(text) < 5 and int(text) < len(image.layers):
        return image.layers[int(text)]
    digits = text.removeprefix("sha256:")
    found = [layer for layer in image.layers if layer.chain_id.hex.startswith(digits)]
    if len(digits) >= 4 and len(found) == 1:
        return found[0]
    raise UsageError(
        f"{text[:80]!r} is no layer of the image, or stands for several",
        where=image.reference,
        remedy=f"a position from 0 to {len(image.layers) - 1}, top, or the beginning of a ChainID",
    )


def explain(facts: ImageFacts, policy: Policy, verdict: Verdict, layer: Layer) -> Explanation:
    """`verdict` was made from `facts` under `policy`."""
    row = next(row for row in facts.layers if row.layer.position == layer.position)
    judged = verdict.layers[layer.position]
    here = policy.at(facts.image.reference, facts.context)
    answers = [
        Answer(
            rule.id,
            rule.doc,
            here.of(rule).effect,
            tuple(f for f in judged.findings if f.rule == rule.id),
            judged=not judged.in_base,
            on_image=any(f.rule == rule.id for f in verdict.findings),
            asked=_asked(rule.id, here),
        )
        for rule in RULES
    ]
    return Explanation(
        verdict=verdict,
        layer=layer,
        layer_verdict=judged,
        what=tuple(_what(row)),
        base=tuple(_base(facts, verdict, judged)),
        answers=tuple(answers),
        image=verdict.findings,
        conclusion=tuple(_conclusion(verdict, judged)),
    )


def _asked(rule: str, policy: Policy) -> bool:
    """Two rules say nothing until the policy tells them whom to trust, or what to ask."""
    if rule == TrustedPusher.id:
        return bool(policy.identities)
    said = policy.rules[rule].settings
    return not isinstance(said, ExpressionSettings) or bool(said.expressions)


def _what(row: LayerFacts) -> Iterator[str]:
    layer = row.layer
    if layer.created_by:
        yield f"It was made by: {show_text(mask_secrets(layer.created_by), 500)}"
    if row.changes is None:
        yield "The index does not know what it holds."
        return
    counts = [
        f"{count:,} {_CHANGES[kind]}"
        for kind, count in row.changes.counts.items()
        if count and kind in _CHANGES
    ]
    yield f"Of the paths below it: {', '.join(counts)}." if counts else "It changes no path."
    kinds: dict[str, list[str]] = {}
    for change in row.package_changes:
        kinds.setdefault(str(change.kind), []).append(change.package.name)
    for kind, names in kinds.items():
        more = f" and {len(names) - 8} more" if len(names) > 8 else ""
        listed = ", ".join(show_text(name, 60) for name in sorted(set(names))[:8])
        yield f"It {kind} {plural(len(names), 'package')}: {listed}{more}."
    if row.integrity.verified:
        count = plural(len(row.integrity.verified), "change")
        yield f"{count} belong to package upgrades that are what the packages say."
    if row.pushers:
        who = ", ".join(
            f"{show_text(p.account, 60) or 'somebody'} ({show_text(p.registry, 60)})"
            for p in row.pushers[:5]
        )
        yield f"Images with this layer were pushed by {who}."


def _base(facts: ImageFacts, verdict: Verdict, judged: LayerVerdict) -> Iterator[str]:
    base = verdict.base
    if base is None:
        yield "The image has no trusted base: none of its layers is the top of a trusted image."
        return
    name, count = show_text(base.trusted_image), plural(base.layers, "layer")
    yield f"The base of the image is {name}: its lowest {count}."
    record = _record(facts.trust, facts, verdict)
    if record is not None:
        yield (
            f"{show_text(record.added_by)} declared it trusted on {record.added_at:%Y-%m-%d}: "
            f"{show_text(record.reason)}"
            + (f" (until {record.expires_at:%Y-%m-%d})" if record.expires_at else "")
        )
    else:
        yield "A group of the policy vouches for it."
    if judged.in_base:
        yield "This layer is in the base, and so trusted with it; no rule judges it."
    else:
        yield "This layer is above the base, and every rule of the policy judges it."


def _record(
    trust: Sequence[TrustRecord], facts: ImageFacts, verdict: Verdict
) -> TrustRecord | None:
    assert verdict.base is not None
    chain = verdict.base.chain_id
    found = [r for r in trust if r.active(facts.now) and r.chain_ids and chain in r.chain_ids]
    tops = [r for r in found if r.top == chain] or found
    return max(tops, key=lambda r: (r.added_at, r.id), default=None)


def _conclusion(verdict: Verdict, judged: LayerVerdict) -> Iterator[str]:
    counting = [f for f in judged.findings if f.effect is not Effect.IGNORE]
    failed = [f for f in counting if f.status is Status.FAIL]
    unknown = [f for f in counting if f.status is Status.UNKNOWN]
    if any(f.rule == WITHDRAWN for f in failed):
        yield "The layer was withdrawn. That holds whatever the policy says."
    if failed:
        yield f"{plural(len(failed), 'finding')} on the layer: it is {judged.verdict}."
    elif unknown:
        count = plural(len(unknown), "question")
        yield f"{count} about the layer cannot be answered: it is {judged.verdict}."
    elif judged.verdict is Trust.TRUSTED:
        yield "Nothing is said against the layer: it is trusted."
    else:
        no_base = any(f.rule == TrustedBase.id for f in verdict.findings)
        why = "without a trusted base no layer is better" if no_base else "no rule judged it"
        yield f"Nothing is said against the layer itself, but {why}: it is {judged.verdict}."
    excused = sum("exception" in f.evidence for f in judged.findings)
    if excused:
        yield f"{plural(excused, 'finding')} is excused by an exception of the policy."
    outcome = _OUTCOMES[verdict.decision]
    yield f"The image is {verdict.verdict}; the decision is {verdict.decision}: {outcome}."
