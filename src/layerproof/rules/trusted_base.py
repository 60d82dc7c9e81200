"""`trusted-base`: the image is not composed from a trusted image.

1. A base was found: pass. (Finding it is step 2 of the decision, `layerproof.engine.evaluator`.)
2. None was found, but the policy lets the learned model vouch (`modelMayVouch`), and it calls the
   image trusted by at least `modelBar`: pass.
3. None was found: one finding on the whole image, which says what came nearest, best guess first:
   a. a trust that covered this very image or its lower layers and is dead now;
   b. a trusted image of which this one has the lower layers only;
   c. a trusted image of whose contents this one has some, in another order or on other layers;
   d. a trusted image of the same name, which is another image.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, NamedTuple

from layerproof.model.digest import ChainId, DiffId
from layerproof.model.facts import ImageFacts
from layerproof.model.finding import Finding, Severity, Status
from layerproof.model.image import Image
from layerproof.model.learned import Outcome
from layerproof.model.trust import TrustRecord
from layerproof.rules.interface import RuleSettings, flag, percent
from layerproof.rules.text import plural, shell_word, show_text

MAX_NEAR = 10  # near misses that the evidence lists
_MAX_HASHES = 4096  # ChainIDs computed to recognise contents in another order


class Near(NamedTuple):
    """A trust that does not apply, and why not."""

    rank: int  # 0 is nearest
    kind: str  # "dead", "partial", "other-order", "same-name"
    record: TrustRecord
    layers: int  # how many layers of the image it is about
    message: str


@dataclass(frozen=True, slots=True)
class TrustedBaseSettings(RuleSettings):
    """`model_may_vouch`: learned trust may stand in for a base, above `model_bar` percent."""

    model_may_vouch: bool = flag("modelMayVouch", default=False)
    model_bar: int = percent("modelBar", default=90)

    @property
    def asks_model(self) -> bool:
        """Whether learned trust is to be asked."""
        return self.model_may_vouch


class TrustedBase:
    """See the module."""

    __slots__ = ()

    id: ClassVar[str] = "trusted-base"
    severity: ClassVar[Severity] = Severity.HIGH
    doc: ClassVar[str] = "The image is not composed from a trusted image."
    settings: ClassVar[type[TrustedBaseSettings]] = TrustedBaseSettings

    def check(self, facts: ImageFacts, settings: TrustedBaseSettings) -> tuple[Finding, ...]:
        """At most one finding, on the whole image."""
        if facts.base is not None or _vouched(facts, settings):
            return ()
        near = sorted(_near(facts), key=_nearest_first)[:MAX_NEAR]
        if facts.image.layers:
            message = "no trusted image is the base of this image"
        else:
            message = "the image has no layers, and so no base that could be trusted"
        if near:
            message += ": " + near[0].message
        return (
            Finding(
                rule=self.id,
                status=Status.FAIL,
                severity=self.severity,
                message=message,
                remedy=_remedy(facts, near),
                evidence={"top": facts.image.top, "near": [_evidence(item) for item in near]},
            ),
        )


def _vouched(facts: ImageFacts, settings: TrustedBaseSettings) -> bool:
    """Whether the model vouches. An image without layers has nothing that it could vouch for."""
    if not settings.model_may_vouch or facts.learned is None or not facts.image.layers:
        return False
    said = facts.learned.assessment
    return (
        said is not None
        and said.outcome is Outcome.TRUSTED
        and said.trust * 100 >= settings.model_bar
    )


def dead_trust(record: TrustRecord, facts: ImageFacts) -> str:
    """Why a record does not count at `facts.now`, in words; "" when it does."""
    if record.active(facts.now):
        return ""
    if record.revoked_at is not None and record.revoked_at <= facts.now:
        by, why = show_text(record.revoked_by), show_text(record.revoke_reason)
        return f"until {record.revoked_at:%Y-%m-%d %H:%M} UTC, revoked by {by} because: {why}"
    if record.expires_at is not None and record.expires_at <= facts.now:
        return f"until {record.expires_at:%Y-%m-%d %H:%M} UTC, when the trust expired"
    return f"only from {record.added_at:%Y-%m-%d %H:%M} UTC on"


def shared_layers(record: TrustRecord, image: Image) -> int:
    """How many of its lowest layers the image has in common with the trusted one.

    A ChainID stands for all layers below it, so the highest common one tells.
    """
    theirs = set(record.chain_ids)
    return max((x.position + 1 for x in image.layers if x.chain_id in theirs), default=0)


def _near(facts: ImageFacts) -> Iterator[Near]:
    records = {record.id: record for record in (*facts.near, *facts.trust) if record.chain_ids}
    for record in records.values():
        name, shared = show_text(record.reference), shared_layers(record, facts.image)
        dead = dead_trust(record, facts)
        if dead and shared:
            by = show_text(record.added_by)
            said = f"its lowest {plural(shared, 'layer')} {_was(shared)} trusted as {name} by {by}"
            if shared < len(record.chain_ids):
                said += f" (which has {len(record.chain_ids)})"
            yield Near(0, "dead", record, shared, f"{said} {dead}")
        elif shared:
            total = len(record.chain_ids)
            said = f"it has the lowest {shared} of the {total} layers of trusted {name}"
            yield Near(1, "partial", record, shared, f"{said} and leaves out those above")
        elif not dead:
            yield from _elsewhere(record, name, facts.image)


def _elsewhere(record: TrustRecord, name: str, image: Image) -> Iterator[Near]:
    found = _contents_in_common(record.chain_ids, image)
    if found:
        total = len(record.chain_ids)
        said = f"it has the contents of {found} of the {total} layers of trusted {name}"
        yield Near(2, "other-order", record, found, f"{said}, in another order or on other layers")
    elif _plain_name(record.reference) == _plain_name(image.reference):
        said = f"{name} is trusted as another image (top layer {record.top.short})"
        yield Near(3, "same-name", record, 0, said)


def _contents_in_common(chain: tuple[ChainId, ...], image: Image) -> int:
    """How many layers of a trusted chain have contents that the image holds too.

    The record keeps ChainIDs only; which DiffID leads from one to the next is found by trying
    those of the image (ChainID(L0) = DiffID(L0); above, sha256(ChainID(below) + " " + DiffID)).
    """
    mine = {layer.diff_id for layer in image.layers}
    if len(mine) * len(chain) > _MAX_HASHES:
        return 0
    found = int(DiffId(chain[0]) in mine)
    for below, here in pairwise(chain):
        found += any(ChainId.of(f"{below} {diff_id}".encode()) == here for diff_id in mine)
    return found


def _plain_name(reference: str) -> str:
    """Without tag and digest: what people call an image across its builds."""
    name = reference.partition("@")[0]
    head, _, tag = name.rpartition(":")
    # without a slash in it, the head is a transport and not a name: docker-archive:FILE
    return head if "/" in head and "/" not in tag else name


def _nearest_first(near: Near) -> tuple[int, int, float, str]:
    return (near.rank, -near.layers, -near.record.added_at.timestamp(), near.record.id)


def _was(count: int) -> str:
    return "was" if count == 1 else "were"


def _evidence(near: Near) -> dict[str, object]:
    return {
        "kind": near.kind,
        "trust": near.record.id,
        "reference": show_text(near.record.reference),
        "layers": near.layers,
        "trustedLayers": len(near.record.chain_ids),
        "message": near.message,
    }


def _remedy(facts: ImageFacts, near: list[Near]) -> str:
    if not facts.image.layers:
        return "build the image on a trusted one"
    reference = _would_be_base(facts) or facts.image.reference
    command = f"layerproof trust add {shell_word(reference)} --reason WHY"
    if near and near[0].kind != "dead":
        name = show_text(near[0].record.reference)
        return f"build the image on the whole of {name}; or, if you vouch for its base: {command}"
    return f"build the image on a trusted one; or, if you vouch for its base: {command}"


def _would_be_base(facts: ImageFacts) -> str:
    """The tallest indexed image that is claimed as base and really is one by its ChainIDs."""
    mine = facts.image.layers
    tallest, name = 0, ""
    for known in (image for images in facts.claimed.values() for image in images):
        count = len(known.image.layers)
        if tallest < count < len(mine) and known.image.top == mine[count - 1].chain_id:
            tallest, name = count, min(known.names, default=known.image.reference)
    return name
