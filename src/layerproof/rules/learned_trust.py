"""`learned-trust`: the layer does not look like what is trusted here.

The model compares what is known of the image with the organisation's own history
(docs/adr/0017-learned-trust.md). It never overrides another rule: it is one more that can fail.

1. `untrusted`: context (who pushed, where, whence), or the contents of a layer, are odder than the
   share of known-good images that the model allows; or trust is below the policy's `bar`. Odd
   context fails the whole image, odd contents the layer that brings them.
2. `abstain`: there is no model, the history is too short, or too much is unknown. It says which;
   what follows is the policy's: `abstain`.
3. Layers of the base are trusted and are not judged.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from layerproof.model.facts import ImageFacts
from layerproof.model.finding import Effect, Finding, Severity, Status
from layerproof.model.learned import Assessment, Outcome, Scored
from layerproof.rules.interface import RuleSettings, choice, percent
from layerproof.rules.text import show_text

MAX_REASONS = 5
_ABSTAIN = ("ignore", "alert", "refuse")


@dataclass(frozen=True, slots=True)
class LearnedTrustSettings(RuleSettings):
    """`abstain`: the effect, at most, when the model cannot tell. `bar`: trust in percent below
    which a layer fails, whatever is usual."""

    abstain: str = choice("abstain", _ABSTAIN, default="alert")
    bar: int = percent("bar", default=0)

    @property
    def asks_model(self) -> bool:
        """Whether learned trust is to be asked."""
        return True


class LearnedTrust:
    """See the module."""

    __slots__ = ()

    id: ClassVar[str] = "learned-trust"
    severity: ClassVar[Severity] = Severity.MEDIUM
    doc: ClassVar[str] = (
        "The layer, or the context of the image, does not look like what is trusted here."
    )
    settings: ClassVar[type[LearnedTrustSettings]] = LearnedTrustSettings

    def check(self, facts: ImageFacts, settings: LearnedTrustSettings) -> tuple[Finding, ...]:
        """Findings on the image for its context, on layers above the base for their contents."""
        if not facts.above_base or facts.learned is None:
            return ()
        said = facts.learned.assessment
        if said is None:
            return (self._abstains(facts.learned.reason, settings, {}),)
        judged = tuple(self._judged(facts, said, settings))
        if judged or said.outcome is not Outcome.ABSTAIN:
            return judged
        return (self._abstains(_why(said), settings, _evidence(said, None)),)

    def _judged(
        self, facts: ImageFacts, said: Assessment, settings: LearnedTrustSettings
    ) -> Iterator[Finding]:
        height = facts.base.layers if facts.base else 0
        for part in said.parts:
            if part.position is not None and part.position < height:
                continue
            odd = part.untrusted
            if odd or part.best * 100 < settings.bar:
                yield self._fails(facts, said, part)

    def _fails(self, facts: ImageFacts, said: Assessment, part: Scored) -> Finding:
        against = [r.words for r in part.reasons if r.contribution < 0][:MAX_REASONS]
        what = "its context" if part.position is None else "the contents of this layer"
        message = f"{what} does not look like what is trusted here (trust {part.trust:.0%})"
        if part.part == "contents":
            message = message.replace("does not", "do not")
        if against:
            message += ": " + show_text("; ".join(against), 500)
        layer = None if part.position is None else facts.image.layers[part.position]
        remedy = "if it is meant to be so, let somebody vouch for it: layerproof trust add IMAGE"
        if said.counterfactual:
            remedy = f"{show_text(said.counterfactual)}; {remedy}"
        return Finding(
            rule=self.id,
            status=Status.FAIL,
            severity=self.severity,
            message=message,
            remedy=remedy,
            position=None if layer is None else layer.position,
            chain_id=None if layer is None else layer.chain_id,
            evidence=_evidence(said, part),
        )

    def _abstains(
        self, reason: str, settings: LearnedTrustSettings, evidence: dict[str, object]
    ) -> Finding:
        return Finding(
            rule=self.id,
            status=Status.UNKNOWN,
            severity=Severity.LOW,
            effect=Effect(settings.abstain),
            message=f"the model abstains: {reason}",
            remedy="layerproof learn status says what it knows; layerproof learn train teaches it",
            evidence=evidence,
        )


def _why(said: Assessment) -> str:
    if said.missing:
        return f"not known: {', '.join(said.missing)}"
    if said.smallest_rate > said.alpha:
        return (
            f"the history vouches for a false-positive rate of {said.smallest_rate:.1%} at best, "
            f"and {said.alpha:.1%} is asked for"
        )
    return f"of what is trusted here, {said.p_value:.1%} looks as odd: not clear enough"


def _evidence(said: Assessment, part: Scored | None) -> dict[str, object]:
    shown = said.parts if part is None else (part,)
    return {
        "model": said.model,
        "trust": round(said.trust, 4),
        "pValue": round(said.p_value, 5),
        "smallestRate": round(said.smallest_rate, 5),
        "comparedWith": said.group,
        "missing": list(said.missing),
        "parts": [
            {
                "part": found.part,
                "position": found.position,
                "trust": round(found.trust, 4),
                "reasons": [
                    {
                        "feature": reason.feature,
                        "kind": str(reason.kind),
                        "value": reason.value,
                        "contribution": round(reason.contribution, 4),
                        "words": reason.words,
                    }
                    for reason in found.reasons[:MAX_REASONS]
                ],
            }
            for found in shown[:10]
        ],
    }
