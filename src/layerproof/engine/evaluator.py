"""The decision: facts and a policy go in, a verdict comes out. Nothing is read, nothing is asked.

The steps are those of the design, "The decision, in order":

1. Parsing and verifying came before: facts exist only for bytes that match their digests. Of the
   policy, what holds for this image in this place (`layerproof.policy.blocks`).
2. Base: walk the ChainIDs from the top down; the first that is the top of a trusted image ends it
   (`match: prefix`: that is any layer of one). An image is trusted because somebody declared it, or
   because a group of the policy vouches for it (`layerproof.policy.groups`). Dead trust does not
   count, and a note says so.
3. Each layer above the base is judged by every rule of the policy.
4. Without a base, `trusted-base` fails for the image, and no layer is better than that finding.
5. Claims about the base are a rule like the others. Findings that an exception of the policy frees
   are ignored from here on, and say so (`layerproof.policy.exceptions`). Then layers that were
   withdrawn fail, whatever the policy says (`layerproof.engine.withdrawn`).
6. A layer is `untrusted` if a finding on it fails, `undecided` if one is unknown and none fails,
   else `trusted`; findings that the policy ignores do not count. The image's verdict is the worst
   of its layers' and of that of the findings on the whole image.
7. Decision: a finding that fails weighs its effect; one that is unknown weighs its effect or what
   the policy does with the undecided, whichever is milder. The heaviest weight is the decision.

So one more finding never makes a verdict or a decision better, and a layer's verdict follows from
the base, the layer and the layers below it, with one exception: a vulnerable or outdated package
that a layer above replaced is told and does not count (ADR 14). If no rule judges, everything above
is undecided, and the image is refused whatever the policy does with the undecided.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from layerproof.engine.withdrawn import withdrawn_findings
from layerproof.model.facts import ImageFacts, LayerFacts
from layerproof.model.finding import Effect, Finding, Severity, Status
from layerproof.model.image import Image
from layerproof.model.trust import TrustRecord
from layerproof.model.verdict import TRUST_ORDER, Base, Decision, LayerVerdict, Trust, Verdict
from layerproof.policy.exceptions import excuse
from layerproof.policy.groups import Voucher, vouchers
from layerproof.policy.model import BaseMatch, Policy
from layerproof.policy.ruling import RulePolicy
from layerproof.rules.interface import Rule
from layerproof.rules.registry import RULES
from layerproof.rules.text import plural, show_text
from layerproof.rules.trusted_base import TrustedBase, dead_trust, shared_layers

_EFFECTS = tuple(Effect)  # from the mildest to the harshest
_SEVERITIES = tuple(Severity)
_DECISIONS = {
    Effect.IGNORE: Decision.ADMIT,
    Effect.ALERT: Decision.ALERT,
    Effect.REFUSE: Decision.REFUSE,
}
_UNDECIDED = {decision: effect for effect, decision in _DECISIONS.items()}


def evaluate(
    facts: ImageFacts, policy: Policy, rules: Sequence[Rule[Any]] = RULES, analysers: str = ""
) -> Verdict:
    """The verdict on one image; `analysers` are the versions that made the facts.

    Raises PolicyError if the policy says nothing about one of the rules.
    """
    image = facts.image
    digest, policy = policy.digest, policy.at(image.reference, facts.context)
    # 2. base
    declared = find_base(image, facts.trust, facts.now, policy.match)
    found, almost = vouchers(policy.groups, policy.identities, facts)
    base = _higher(declared, image, found)
    facts = replace(facts, base=base, layers=_every_layer(facts), identities=policy.identities)
    # 3. to 5. rules
    findings, judged = _findings(facts, policy, rules)
    findings, excused = excuse(findings, image, policy.exceptions, facts.now)
    findings = [*withdrawn_findings(facts), *findings]
    # 6. verdicts, from the lowest layer up
    layers = _layer_verdicts(facts, findings, judged=judged)
    on_image = tuple(f for f in findings if _layer_of(f, image) is None)
    verdicts = [_trust(on_image), *(layer.verdict for layer in layers)]
    if not judged:
        verdicts.append(Trust.UNDECIDED)
    # 7. decision
    decision = _decision(findings, policy.undecided) if judged else Decision.REFUSE
    return Verdict(
        reference=image.reference,
        manifest_digest=image.manifest_digest,
        config_digest=image.config_digest,
        verdict=_worst(verdicts),
        decision=decision,
        base=base,
        layers=layers,
        findings=on_image,
        inputs={
            "policy": digest,
            "analysers": analysers,
            "advisories": facts.advice.snapshot if facts.advice is not None else None,
            "model": facts.learned.model if facts.learned is not None else None,
        },
        message=policy.message if decision is Decision.REFUSE else "",
        notes=(
            *image.notes,
            *_dead_notes(facts),
            *almost,
            *excused,
            *(() if judged else (_NOBODY_JUDGED,)),
        ),
    )


_NOBODY_JUDGED = "no rule judged the image: the policy ignores all of them, or there are none"


def find_base(
    image: Image, trust: Iterable[TrustRecord], now: datetime, match: BaseMatch
) -> Base | None:
    """Step 2. None if no active trust covers the lowest layers; the order of `trust` is no matter.

    A record without layers covers nothing, and an image without layers has no base.
    """
    active = [record for record in trust if record.chain_ids and record.active(now)]
    for layer in reversed(image.layers):
        tops = [record for record in active if record.top == layer.chain_id]
        if not tops and match is BaseMatch.PREFIX:
            tops = [record for record in active if layer.chain_id in record.chain_ids]
        if tops:
            newest = max(tops, key=lambda record: (record.added_at, record.id))
            return Base(newest.reference, layer.chain_id, layer.position + 1)
    return None


def _higher(declared: Base | None, image: Image, found: Iterable[Voucher]) -> Base | None:
    """Step 2 with the policy's groups. What somebody declared stands before a group as high."""
    heights = {layer.chain_id: layer.position + 1 for layer in image.layers}
    best = max(found, key=lambda voucher: heights[voucher.chain_id], default=None)
    if best is None or (declared is not None and declared.layers >= heights[best.chain_id]):
        return declared
    return Base(best.reference, best.chain_id, heights[best.chain_id])


def _every_layer(facts: ImageFacts) -> tuple[LayerFacts, ...]:
    """One row per layer of the image: a layer without facts is one that is not known."""
    rows = {(row.layer.position, row.layer.chain_id): row for row in facts.layers}
    return tuple(
        rows.get((layer.position, layer.chain_id)) or LayerFacts(layer, changes=None)
        for layer in facts.image.layers
    )


def _findings(
    facts: ImageFacts, policy: Policy, rules: Sequence[Rule[Any]]
) -> tuple[list[Finding], bool]:
    """What the rules say, with effects, worst first; and whether a rule that counts judged."""
    found: list[tuple[int, Finding]] = []
    judged = False
    for order, rule in enumerate(rules):
        said = policy.of(rule)
        judged = judged or said.effect is not Effect.IGNORE
        found.extend((order, _under(said, f)) for f in rule.check(facts, said.settings))
    found.sort(key=lambda item: (-_SEVERITIES.index(item[1].severity), item[0], item[1].message))
    return [finding for _, finding in found], judged


def _under(said: RulePolicy, finding: Finding) -> Finding:
    """The finding with the policy's effect and severity; a rule's milder effect stays."""
    return replace(
        finding,
        effect=min(said.effect, finding.effect, key=_EFFECTS.index),
        severity=said.severity or finding.severity,
    )


def _layer_verdicts(
    facts: ImageFacts, findings: Sequence[Finding], *, judged: bool
) -> tuple[LayerVerdict, ...]:
    height = facts.base.layers if facts.base else 0
    # 4. no layer is better than the finding that there is no base
    no_base = _trust(f for f in findings if f.rule == TrustedBase.id and f.position is None)
    floor = [no_base] if judged else [no_base, Trust.UNDECIDED]
    by_layer: dict[int | None, list[Finding]] = {}
    for finding in findings:
        by_layer.setdefault(_layer_of(finding, facts.image), []).append(finding)
    verdicts = []
    for layer in facts.image.layers:
        own = tuple(by_layer.get(layer.position, ()))
        in_base = layer.position < height
        verdict = _worst([_trust(own), *(() if in_base else floor)])
        verdicts.append(LayerVerdict(layer.position, layer.chain_id, verdict, in_base, own))
    return tuple(verdicts)


def _layer_of(finding: Finding, image: Image) -> int | None:
    """The layer that a finding is on; one on a layer that is not there is on the whole image."""
    there = finding.position is not None and 0 <= finding.position < len(image.layers)
    return finding.position if there else None


def _trust(findings: Iterable[Finding]) -> Trust:
    """6. What findings make of a layer or an image."""
    statuses = {f.status for f in findings if f.effect is not Effect.IGNORE}
    if Status.FAIL in statuses:
        return Trust.UNTRUSTED
    return Trust.UNDECIDED if Status.UNKNOWN in statuses else Trust.TRUSTED


def _worst(verdicts: Iterable[Trust]) -> Trust:
    return max(verdicts, key=TRUST_ORDER.index)


def _decision(findings: Iterable[Finding], undecided: Decision) -> Decision:
    """7. The heaviest weight."""
    most = _UNDECIDED[undecided]
    weights = [
        f.effect if f.status is Status.FAIL else min(f.effect, most, key=_EFFECTS.index)
        for f in findings
    ]
    return _DECISIONS[max(weights, key=_EFFECTS.index, default=Effect.IGNORE)]


def _dead_notes(facts: ImageFacts) -> tuple[str, ...]:
    """2. That trust in layers of the image once was, or is yet to come."""
    notes = {
        f"the lowest {plural(shared, 'layer')} trusted as {show_text(record.reference)} {dead}"
        for record in facts.trust
        if (dead := dead_trust(record, facts))
        and (shared := shared_layers(record, facts.image)) == len(record.chain_ids)
    }
    return tuple(sorted(notes))
