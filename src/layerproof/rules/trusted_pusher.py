"""`trusted-pusher`: no trusted identity pushed an image that has this layer at this place.

1. Who pushed what is known from events (`layerproof events import`). A layer was pushed by whoever
   pushed an image that has it at this place: registries report no push for a layer that they hold
   already, so pushes of the layer itself prove nothing.
2. One trusted identity is enough, whoever else pushed it, too: the same ChainID is the same layer.
3. Accounts that are no trusted identity: the layer fails. An account that the registry did not
   name, or no known push at all: that cannot be told, and says so.
4. The rule judges once the policy defines identities: nobody else can say who is trusted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from layerproof.model.facts import ImageFacts, LayerFacts
from layerproof.model.finding import Finding, Severity, Status
from layerproof.model.identity import Identity, Pusher
from layerproof.rules.interface import RuleSettings, names
from layerproof.rules.text import show_text

MAX_LISTED = 20


@dataclass(frozen=True, slots=True)
class TrustedPusherSettings(RuleSettings):
    """`identities`: names of those that count; none named: all that the policy defines."""

    identities: tuple[str, ...] = names("identities", of="identities")


class TrustedPusher:
    """See the module."""

    __slots__ = ()

    id: ClassVar[str] = "trusted-pusher"
    severity: ClassVar[Severity] = Severity.HIGH
    doc: ClassVar[str] = (
        "No trusted identity is known to have pushed an image that has the layer at this place."
    )
    settings: ClassVar[type[TrustedPusherSettings]] = TrustedPusherSettings

    def check(self, facts: ImageFacts, settings: TrustedPusherSettings) -> tuple[Finding, ...]:
        """At most one finding per layer above the base, lowest first."""
        wanted = settings.identities or tuple(facts.identities)
        trusted = [facts.identities[name] for name in wanted if name in facts.identities]
        if not trusted:
            return ()
        found = (self._judge(layer, facts, trusted) for layer in facts.above_base)
        return tuple(finding for finding in found if finding is not None)

    def _judge(
        self, layer: LayerFacts, facts: ImageFacts, trusted: Sequence[Identity]
    ) -> Finding | None:
        known = [p for p in layer.pushers if p.first_at <= facts.now]
        if any(identity.is_one_of(known, facts.now) for identity in trusted):
            return None
        named = [pusher for pusher in known if pusher.account]
        if named:
            who = ", ".join(_shown(pusher) for pusher in named[:3])
            more = f" and {len(named) - 3} more" if len(named) > 3 else ""
            return self._finding(layer, Status.FAIL, f"it was pushed by {who}{more} only", known)
        if known:
            said = f"{show_text(known[0].registry)} did not say who pushed it"
            return self._finding(layer, Status.UNKNOWN, said, known)
        said = "nobody is known to have pushed an image with this layer"
        return self._finding(layer, Status.UNKNOWN, said, known)

    def _finding(
        self, layer: LayerFacts, status: Status, message: str, known: Sequence[Pusher]
    ) -> Finding:
        return Finding(
            rule=self.id,
            status=status,
            severity=self.severity if status is Status.FAIL else Severity.MEDIUM,
            message=message,
            remedy="have a trusted identity build and push it; pushes that happened before are "
            "made known by: layerproof events import FILE",
            position=layer.layer.position,
            chain_id=layer.layer.chain_id,
            evidence={
                "pushers": [
                    {
                        "registry": show_text(pusher.registry),
                        "account": show_text(pusher.account),
                        "firstAt": pusher.first_at.isoformat(),
                    }
                    for pusher in known[:MAX_LISTED]
                ]
            },
        )


def _shown(pusher: Pusher) -> str:
    return f"{show_text(pusher.account, 100)} ({show_text(pusher.registry, 100)})"
