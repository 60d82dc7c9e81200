"""A gate's answer: from a verdict, or from what stood in the way of one, and the policy's mode.

Pure. Every gate uses these four functions and nothing else, so that the same verdict is answered
the same at each of them.

| what is known | decided | cause |
| --- | --- | --- |
| a verdict | its decision | `verdict` |
| the index does not hold the image | what the policy does with the undecided | `unknown` |
| index, policy, registry … do not answer | `gates.<gate>.unavailable`, by default refuse | `unavailable` |
| the request may not be made, or cannot be read | refuse | `request` |

Then the mode: `enforce` does what was decided; `alert` makes an alert of a refusal; `observe` admits.
"""  # noqa: E501  because a table's row is one line

from collections.abc import Sequence

from layerproof.model.facts import Context
from layerproof.model.finding import Effect, Finding
from layerproof.model.gate import Answer, Cause, Mode
from layerproof.model.record import VerdictRecord
from layerproof.model.verdict import Decision, Verdict
from layerproof.policy.model import Policy
from layerproof.rules.text import show_text

MOST_REASONS = 3  # findings that an answer names; the verdict has them all
MOST_TEXT = 1000


def judged(record: VerdictRecord, policy: Policy) -> Answer:
    """What follows from a verdict. Raises nothing: the record is complete."""
    verdict = record.verdict
    weighty = _weighty(verdict)
    mode = mode_of(policy, verdict.reference, record.context)
    return Answer(
        decision=with_mode(verdict.decision, mode),
        decided=verdict.decision,
        mode=mode,
        cause=Cause.VERDICT,
        reason=_reason(verdict, weighty),
        remedy=_remedy(verdict, weighty),
        reference=verdict.reference,
        manifest_digest=verdict.manifest_digest,
        config_digest=verdict.config_digest,
        top=verdict.layers[-1].chain_id if verdict.layers else None,
        verdict=verdict.verdict,
        verdict_id=record.id,
        rules=tuple(dict.fromkeys(finding.rule for finding in weighty)),
    )


def unknown(policy: Policy, reference: str, context: Context, remedy: str) -> Answer:
    """For an image that the index does not hold; `remedy` says how it gets there."""
    decided = policy.at(reference, context).undecided
    return _other(
        policy,
        Cause.UNKNOWN,
        decided,
        reference,
        context,
        "nothing is known about this image yet",
        remedy,
    )


def unavailable(
    policy: Policy | None, reference: str, context: Context, reason: str, remedy: str
) -> Answer:
    """For what could not be asked. Without a policy, too, it is refused."""
    decided = Decision.REFUSE if policy is None else policy.unavailable(context)
    return _other(policy, Cause.UNAVAILABLE, decided, reference, context, reason, remedy)


def forbidden(
    policy: Policy | None,
    context: Context,
    reason: str,
    remedy: str,
    reference: str = "",
    decided: Decision = Decision.REFUSE,
) -> Answer:
    """For a request that may not be made as it is, whatever image it names."""
    return _other(policy, Cause.REQUEST, decided, reference, context, reason, remedy)


def mode_of(policy: Policy | None, reference: str, context: Context) -> Mode:
    """The mode for an image in a place; without a policy, the strictest."""
    return Mode.ENFORCE if policy is None else policy.at(reference, context).mode


def with_mode(decided: Decision, mode: Mode) -> Decision:
    """What is done with what was decided."""
    if mode is Mode.OBSERVE:
        return Decision.ADMIT
    if mode is Mode.ALERT and decided is Decision.REFUSE:
        return Decision.ALERT
    return decided


def worst(answers: Sequence[Answer]) -> Answer:
    """The one that rules when a request names several images: the heaviest. Raises ValueError when
    there is none: whoever asks about nothing has not asked."""
    order = tuple(Decision)
    return max(answers, key=lambda a: (order.index(a.decision), order.index(a.decided)))


def _other(
    policy: Policy | None,
    cause: Cause,
    decided: Decision,
    reference: str,
    context: Context,
    reason: str,
    remedy: str,
) -> Answer:
    mode = mode_of(policy, reference, context)
    return Answer(
        with_mode(decided, mode),
        decided,
        mode,
        cause,
        reason[:MOST_TEXT],
        remedy[:MOST_TEXT],
        reference,
    )


def _weighty(verdict: Verdict) -> list[Finding]:
    """The findings that made the decision, the most severe first."""
    wanted = Effect.REFUSE if verdict.decision is Decision.REFUSE else Effect.ALERT
    if verdict.decision is Decision.ADMIT:
        return []
    every = [f for layer in verdict.layers for f in layer.findings] + list(verdict.findings)
    counting = [f for f in every if f.effect is not Effect.IGNORE]
    return [f for f in counting if f.effect is wanted] or counting


def _reason(verdict: Verdict, weighty: Sequence[Finding]) -> str:
    if verdict.decision is Decision.ADMIT:
        return ""
    said = [_one(finding) for finding in weighty[:MOST_REASONS]]
    if len(weighty) > MOST_REASONS:
        said.append(f"and {len(weighty) - MOST_REASONS} more")
    text = f"{verdict.verdict}: " + ("; ".join(said) if said else "no rule could judge it")
    if verdict.message:
        text += f" ({show_text(verdict.message)})"
    return text[:MOST_TEXT]


def _one(finding: Finding) -> str:
    where = "" if finding.position is None else f"layer {finding.position} "
    return f"{where}{finding.rule}: {finding.message}"


def _remedy(verdict: Verdict, weighty: Sequence[Finding]) -> str:
    if verdict.decision is Decision.ADMIT:
        return ""
    digest = verdict.manifest_digest or verdict.config_digest
    first = f"{weighty[0].remedy}; " if weighty and weighty[0].remedy else ""
    return f"{first}all of it: layerproof check {digest}"[:MOST_TEXT]
