"""One decision as a record: from the index if nothing that it depends on has changed, else made.

1. What a record is made from is a digest over everything that goes into a verdict besides the
   time: the image as its source presents it, the place, the policy, the analysers, this version's
   rules, and the state of the index (images, trust, events, withdrawals, what was learned).
2. What depends on time changes at known moments only: when trust begins, ends or grows too old,
   when an exception ends, when something is withdrawn or released. Until the next of them the
   record holds.
3. Errors are never kept.

`at` decides as it would have been decided then, by what the index knows now and knew then: events,
trust and withdrawals have times. The images that a claim is compared with have none.
"""

import json
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from layerproof import __version__
from layerproof.engine.ports import Advisories, Index
from layerproof.errors import IndexUnavailableError, PolicyError
from layerproof.model.facts import COMMAND_LINE, Context, ImageFacts, KnownImage
from layerproof.model.finding import Effect
from layerproof.model.image import Image
from layerproof.model.record import VerdictRecord
from layerproof.policy.exceptions import end_of
from layerproof.policy.groups import made_at
from layerproof.policy.model import Policy
from layerproof.policy.ruling import RulePolicy
from layerproof.rules.interface import settings_of

_ID_DIGITS = 24
_FOREVER = datetime(9999, 1, 1, tzinfo=UTC)


def decide(
    index: Index,
    image: Image,
    policy: Policy,
    now: datetime,
    analysers: str,
    context: Context = COMMAND_LINE,
    advisories: Advisories | None = None,
    keep: bool = True,
) -> VerdictRecord:
    """The verdict on an indexed image, with `keep` kept in the index (as far as that can be
    written)."""
    made_from = _made_from(image, policy, context, analysers, index.state(), advisories)
    kept = index.verdict(made_from, now)
    if kept is not None and kept.holds(now):
        return kept
    record = _made(index, image, policy, now, analysers, context, made_from, advisories)
    if not keep:
        return record
    with suppress(IndexUnavailableError):  # one that can only be read still decides
        index.put_verdict(record)
        index.put_cached(policy_key(policy), policy.to_json())
    return record


def decide_at(
    index: Index,
    image: Image,
    policy: Policy,
    at: datetime,
    analysers: str,
    context: Context = COMMAND_LINE,
    advisories: Advisories | None = None,
) -> VerdictRecord:
    """The verdict as of another time; nothing is kept."""
    made_from = _made_from(image, policy, context, analysers, index.state(), advisories)
    return _made(index, image, policy, at, analysers, context, made_from, advisories)


def policy_key(policy: Policy) -> str:
    """Under which the index keeps a policy that verdicts were made with, for replaying them."""
    return f"verdict-policy {policy.digest}"


def kept_policy(index: Index, record: VerdictRecord) -> Policy:
    """The policy that a kept verdict was made with. Raises PolicyError if it is not there."""
    digest = record.verdict.inputs.get("policy")
    kept = index.cached(f"verdict-policy {digest}")
    if kept is None:
        raise PolicyError(
            f"the policy of verdict {record.id[:12]} is not in the index",
            where=str(digest),
            remedy="give the time with --at instead, and the policy file with --policy",
        )
    return Policy.from_json(kept)


def _made(
    index: Index,
    image: Image,
    policy: Policy,
    now: datetime,
    analysers: str,
    context: Context,
    made_from: bytes,
    advisories: Advisories | None,
) -> VerdictRecord:
    # here: a kept verdict needs neither
    from layerproof.engine.evaluator import evaluate
    from layerproof.engine.facts import gather

    facts = gather(
        index,
        image,
        now,
        whole=judges_base(policy),
        context=context,
        advisories=advisories,
        learned=asks_model(policy),
    )
    verdict = evaluate(facts, policy, analysers=analysers)
    return VerdictRecord(
        id=sha256(made_from + now.isoformat().encode()).hexdigest()[:_ID_DIGITS],
        made_from=made_from,
        verdict=verdict,
        decided_at=now,
        holds_until=_holds_until(facts, policy, now),
        context=context,
    )


def judges_base(policy: Policy) -> bool:
    """Whether a rule looks at the packages of the base, too."""
    return any(getattr(rule.settings, "scope", "") == "all" for rule in _every_rule(policy))


def asks_model(policy: Policy) -> bool:
    """Whether a rule wants to know what learned trust says."""
    return any(
        getattr(rule.settings, "asks_model", False) and rule.effect is not Effect.IGNORE
        for rule in _every_rule(policy)
    )


def _made_from(
    image: Image,
    policy: Policy,
    context: Context,
    analysers: str,
    state: str,
    advisories: Advisories | None,
) -> bytes:
    parts = (
        __version__,
        image.reference,
        image.manifest_digest,
        image.index_digest,
        image.config_digest,
        image.notes,
        [context.gate, context.namespace, context.host],
        None if context.labels is None else sorted(context.labels.items()),
        policy.digest,
        analysers,
        state,
        advisories.snapshot if advisories is not None else None,
    )
    return sha256(json.dumps(parts).encode()).digest()


def _holds_until(facts: ImageFacts, policy: Policy, now: datetime) -> datetime:
    """The first moment after `now` at which time alone may change the verdict."""
    moments = [moment for moment in _moments(facts, policy) if moment > now]
    return min(moments, default=_FOREVER)


def _moments(facts: ImageFacts, policy: Policy) -> Iterable[datetime]:
    for trust in (*facts.trust, *facts.near):
        yield from filter(None, (trust.added_at, trust.expires_at, trust.revoked_at))
    for record in facts.builds:
        yield from filter(None, (record.added_at, record.expires_at, record.revoked_at))
    for withdrawal in facts.withdrawn:
        yield from filter(None, (withdrawal.withdrawn_at, withdrawal.released_at))
    if facts.learned is not None and facts.learned.holds_until is not None:
        yield facts.learned.holds_until
    for exception in policy.exceptions:
        yield end_of(exception.until)
    for layer in facts.layers:
        yield from (pusher.first_at for pusher in layer.pushers)
    made = made_at(KnownImage(facts.image, ()))
    if made is not None and any(_has_expressions(rule) for rule in _every_rule(policy)):
        whole = max((facts.now - made).days, 0)
        yield made + timedelta(days=whole + 1)  # when `image.ageDays` is another number
    # What grows too old does so right after the last moment of its last day.
    days = {value for rules in _every_rule(policy) for value in _days(rules)}
    days |= {group.max_age_days for group in policy.groups if group.max_age_days is not None}
    for moment in _aging(facts):
        for count in days:
            with suppress(OverflowError):
                yield moment + timedelta(days=count, microseconds=1)


def _aging(facts: ImageFacts) -> Iterable[datetime]:
    """Moments from which rules and groups count days."""
    yield from _of_advisories(facts)
    for record in sorted(facts.builds, key=lambda r: r.added_at)[1:]:  # newer than another
        yield record.added_at
    for build in facts.named:
        yield from (pusher.first_at for pusher in build.pushers)
    for known in (known for images in facts.tops.values() for known in images):
        yield from (pusher.first_at for pusher in known.pushers)
        made = made_at(known)
        if made is not None:
            yield made


def _of_advisories(facts: ImageFacts) -> Iterable[datetime]:
    advice = facts.advice
    if advice is None:
        return
    asked = {found.ecosystem for found in advice.packages.values()}
    for covered in (*advice.coverage.values(), *advice.versions.values()):
        if covered.ecosystem in asked:
            yield covered.as_of
    yield from advice.end_of_life.values()
    for found in advice.packages.values():
        yield from (v.published for v in found.vulnerabilities if v.published is not None)
        if found.newest is not None:
            yield from filter(None, (found.newest.published, found.newest.as_of))


def _every_rule(policy: Policy) -> Iterable[RulePolicy]:
    yield from policy.rules.values()
    for block in policy.blocks:
        yield from block.rules.values()


def _has_expressions(rule: RulePolicy) -> bool:
    schema = settings_of(type(rule.settings))
    return any(
        setting.kind == "expressions" and getattr(rule.settings, name)
        for name, setting in schema.items()
    )


def _days(rule: RulePolicy) -> Iterable[int]:
    for name, setting in settings_of(type(rule.settings)).items():
        if setting.kind == "days":
            yield getattr(rule.settings, name)
