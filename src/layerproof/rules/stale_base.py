"""`stale-base`: the trusted image has a newer build than the one used, by more than allowed.

1. A newer build is one that was declared trusted later, under the same name, with other layers, and
   whose trust counts now. Names without a registry mean nothing beyond one machine, and are
   compared all the same: they were declared by the same people.
2. Days are counted from the day on which the newer build was trusted: only from then on could one
   build on it.
3. Without a base there is nothing to be stale.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar

from layerproof.model.facts import ImageFacts
from layerproof.model.finding import Finding, Severity, Status
from layerproof.model.trust import TrustRecord
from layerproof.rules.interface import RuleSettings, days
from layerproof.rules.text import plural, show_text


@dataclass(frozen=True, slots=True)
class StaleBaseSettings(RuleSettings):
    """`graceDays`: how long an older build may be used after a newer one was trusted."""

    grace_days: int = days("graceDays", default=30)


class StaleBase:
    """See the module."""

    __slots__ = ()

    id: ClassVar[str] = "stale-base"
    severity: ClassVar[Severity] = Severity.LOW
    doc: ClassVar[str] = (
        "The trusted image has a newer build than the one used, by more days than allowed."
    )
    settings: ClassVar[type[StaleBaseSettings]] = StaleBaseSettings

    def check(self, facts: ImageFacts, settings: StaleBaseSettings) -> tuple[Finding, ...]:
        """At most one finding, on the whole image."""
        base = facts.base
        if base is None:
            return ()
        used = [r for r in facts.trust if r.chain_ids and r.top == base.chain_id]
        since = max((r.added_at for r in used if r.active(facts.now)), default=None)
        if since is None:
            return ()  # a group of the policy vouches: builds of it have no order
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
