"""`stale-base`: the trusted image has a newer build than the one used, by more than allowed, or its
distribution is past its end of life.

1. A newer build is one that was declared trusted later, under the same name, with other layers, and
   whose trust counts now. Names without a registry mean nothing beyond one machine, and are
   compared all the same: they were declared by the same people.
2. A newer build is also one that registries report: the name of the base stands for another image
   now, which an account pushed that had pushed the base. What others push there says nothing: who
   may write to a name could call every base old. So builds have an order where a group of the
   policy vouches for them, too.
3. Days are counted from the day on which the newer build was trusted, or pushed: only from then on
   could one build on it.
4. The distribution is the one that the base's layers say they are; its end of life comes with the
   advisories (endoflife.date). Where these do not know it, nothing is said: it is no feed that an
   attacker could hold back, and most distributions without a date live.
5. Without a base there is nothing to be stale.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import ClassVar

from layerproof.model.facts import ImageFacts, KnownImage, NamedBuild
from layerproof.model.finding import Finding, Severity, Status
from layerproof.model.trust import TrustRecord
from layerproof.model.verdict import Base
from layerproof.rules.interface import RuleSettings, days
from layerproof.rules.text import plural, show_text


@dataclass(frozen=True, slots=True)
class _Successor:
    """What a name stands for after the base. `since`: when the first newer build was pushed."""

    newest: NamedBuild
    since: datetime
    account: str


def _names(used: Iterable[KnownImage]) -> list[str]:
    return list(dict.fromkeys(name for known in used for name in known.names))


def _successor(facts: ImageFacts, base: Base, name: str) -> _Successor | None:
    """None where the name stands for the base still, or where nobody is known to have pushed both
    it and what came after."""
    builds = [build for build in facts.named if build.reference == name]
    if not builds or builds[0].top == base.chain_id:
        return None
    pushed: dict[tuple[str, str], datetime] = {}
    for build in builds:
        for pusher in build.pushers if build.top == base.chain_id else ():
            who = pusher.registry, pusher.account
            if pusher.account and pusher.first_at <= facts.now:
                pushed[who] = max(pusher.first_at, pushed.get(who, pusher.first_at))
    later = [
        (pusher.first_at, pusher.account)
        for build in builds
        if build.top != base.chain_id
        for pusher in build.pushers
        if (last := pushed.get((pusher.registry, pusher.account))) is not None
        and last < pusher.first_at <= facts.now
    ]
    if not later:
        return None
    since, account = min(later)
    return _Successor(builds[0], since, account)


@dataclass(frozen=True, slots=True)
class StaleBaseSettings(RuleSettings):
    """`graceDays`: how long an older build may be used after a newer one was trusted;
    `endOfLifeDays`: how long a distribution after its end of life."""

    grace_days: int = days("graceDays", default=30)
    end_of_life_days: int = days("endOfLifeDays", default=0)


class StaleBase:
    """See the module."""

    __slots__ = ()

    id: ClassVar[str] = "stale-base"
    severity: ClassVar[Severity] = Severity.LOW
    doc: ClassVar[str] = (
        "The trusted image has a newer build than the one used, by more days than allowed, or its "
        "distribution is past its end of life."
    )
    settings: ClassVar[type[StaleBaseSettings]] = StaleBaseSettings

    def check(self, facts: ImageFacts, settings: StaleBaseSettings) -> tuple[Finding, ...]:
        """At most two findings, on the whole image."""
        if facts.base is None:
            return ()
        return (
            *(
                self._newer(facts, facts.base, settings)
                or self._pushed(facts, facts.base, settings)
            ),
            *self._ended(facts, facts.base, settings),
        )

    def _ended(
        self, facts: ImageFacts, base: Base, settings: StaleBaseSettings
    ) -> Iterator[Finding]:
        release = facts.layers[base.layers - 1].release
        ends = facts.advice.end_of_life.get(release) if facts.advice is not None else None
        if ends is None or facts.now - ends <= timedelta(days=settings.end_of_life_days):
            return
        day = (ends - timedelta(days=1)).date().isoformat()
        yield Finding(
            rule=self.id,
            status=Status.FAIL,
            severity=Severity.MEDIUM,
            message=f"{show_text(release.name)}, which the base is, reached its end of life on "
            f"{day}",
            remedy="move to a release that still gets security updates",
            evidence={"release": show_text(release.name), "endOfLife": day},
        )

    def _newer(
        self, facts: ImageFacts, base: Base, settings: StaleBaseSettings
    ) -> tuple[Finding, ...]:
        used = [r for r in facts.trust if r.chain_ids and r.top == base.chain_id]
        since = max((r.added_at for r in used if r.active(facts.now)), default=None)
        if since is None:
            return ()  # a group of the policy vouches
        newer = [
            record
            for record in facts.builds
            if record.active(facts.now)
            and record.added_at > since
            and record.top != base.chain_id
            and any(record.reference == other.reference for other in used)
        ]
        if not newer:
            return ()
        first = min(newer, key=lambda record: (record.added_at, record.id))
        if facts.now - first.added_at <= timedelta(days=settings.grace_days):
            return ()
        newest = max(newer, key=lambda record: (record.added_at, record.id))
        return (self._finding(facts, first, newest),)

    def _pushed(
        self, facts: ImageFacts, base: Base, settings: StaleBaseSettings
    ) -> tuple[Finding, ...]:
        """Rule 2. The name that was left for longest speaks for all."""
        used = facts.tops.get(base.chain_id, ())
        found = [s for s in map(partial(_successor, facts, base), _names(used)) if s is not None]
        if not found:
            return ()
        first = min(found, key=lambda s: (s.since, s.newest.reference))
        age = facts.now - first.since
        if age <= timedelta(days=settings.grace_days):
            return ()
        name = show_text(first.newest.reference)
        return (
            Finding(
                rule=self.id,
                status=Status.FAIL,
                severity=self.severity,
                message=f"a newer build of the base {name} was pushed "
                f"{plural(age.days, 'day')} ago by {show_text(first.account)}",
                remedy=f"trust today's {name} and build the image again on it",
                evidence={
                    "base": name,
                    "newerSince": first.since.isoformat(),
                    "newest": first.newest.manifest_digest,
                    "pushedBy": show_text(first.account),
                },
            ),
        )

    def _finding(self, facts: ImageFacts, first: TrustRecord, newest: TrustRecord) -> Finding:
        name, age = show_text(newest.reference), (facts.now - first.added_at).days
        return Finding(
            rule=self.id,
            status=Status.FAIL,
            severity=self.severity,
            message=f"a newer build of the base {name} is trusted since {plural(age, 'day')}",
            remedy=f"build the image again on today's {name}",
            evidence={
                "trustedImage": name,
                "newerSince": first.added_at.isoformat(),
                "newest": newest.top,
                "newestTrustedAt": newest.added_at.isoformat(),
            },
        )
