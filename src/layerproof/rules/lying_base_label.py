"""`lying-base-label`: label, annotation or history claim a base that the ChainIDs contradict.

Each claim (`layerproof.rules.claims`) is held against the images that the index knows for it.

1. An image is the base of another exactly if its top ChainID is the other's ChainID at that
   height. Labels are inherited, so any image further down satisfies a claim as well as the lowest
   or the topmost one.
2. A digest claim is satisfied by the image of that digest, or by any image chosen from the image
   index of that digest. It is contradicted by the image of that digest, or by an image of our own
   platform chosen from that index; images of other platforms prove nothing.
3. A name claim is satisfied by any known build of that name, and contradicted when the builds of
   our platform that are known are all others. That is milder: tags move, and the index may have
   missed the build that was used.
4. A history claim is contradicted when the image repeats the whole history of a known image of
   our platform, and no known image with that history, or with more of it, is its base: it was
   copied. An image that is trusted up to its top needs no history: it is not held against it.
5. A claim that nothing known can decide is `unknown`. Above a trusted base that endangers nothing:
   the ChainIDs prove what lies below, whatever the label says, and every layer above is judged.
   Its effect is then that of the setting `unknownClaims`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from layerproof.model.facts import ImageFacts, KnownImage
from layerproof.model.finding import Effect, Finding, Severity, Status
from layerproof.model.image import Image
from layerproof.rules.claims import Claim, claims, starts_with_history
from layerproof.rules.interface import RuleSettings, choice
from layerproof.rules.text import shell_word, show_text

MAX_LISTED = 10  # known images that a message's evidence lists


@dataclass(frozen=True, slots=True)
class LyingBaseLabelSettings(RuleSettings):
    """`unknownClaims`: the effect of a claim that cannot be checked, above a trusted base."""

    unknown_claims: str = choice("unknownClaims", ("ignore", "alert", "refuse"), default="alert")


class LyingBaseLabel:
    """See the module."""

    __slots__ = ()

    id: ClassVar[str] = "lying-base-label"
    severity: ClassVar[Severity] = Severity.HIGH
    doc: ClassVar[str] = "Label, annotation or history claim a base that the ChainIDs contradict."
    settings: ClassVar[type[LyingBaseLabelSettings]] = LyingBaseLabelSettings

    def check(self, facts: ImageFacts, settings: LyingBaseLabelSettings) -> tuple[Finding, ...]:
        """Findings on the whole image: one per contradicted or malformed claim, and one for all
        that cannot be checked."""
        found: list[Finding] = []
        unknown: list[Claim] = []
        for claim in claims(facts.image):
            known = _others(facts, claim)
            if claim.malformed:
                found.append(self._malformed(claim))
            elif claim.kind == "history":
                if facts.above_base:  # two trusted builds of one Dockerfile tell one history
                    found.extend(self._forged(facts.image, known))
            elif any(is_base(image.image, facts.image) for image in known):
                continue
            elif contrary := _contrary(claim, known, facts.image):
                found.append(self._contradicted(claim, contrary))
            else:
                unknown.append(claim)
        if unknown:
            found.append(self._unknown(unknown, facts, settings))
        return tuple(found)

    def _contradicted(self, claim: Claim, known: Sequence[KnownImage]) -> Finding:
        what, names = show_text(claim.value), _names(known)
        if claim.kind == "digest":
            severity = self.severity
            message = f"{_where(claim)} claims the base {what}, but its layers are not below"
        else:
            severity = Severity.MEDIUM
            message = (
                f"{_where(claim)} claims the base {what}, but no known build of that name is below"
            )
        return Finding(
            rule=self.id,
            status=Status.FAIL,
            severity=severity,
            message=f"{message}; known: {', '.join(names)}",
            remedy="build on the image that the claim names, or correct the claim",
            evidence={**_claimed(claim), "known": [_evidence(image) for image in known]},
        )

    def _forged(self, image: Image, known: Sequence[KnownImage]) -> Iterator[Finding]:
        told = [other for other in known if starts_with_history(image, other.image)]
        # What a true base's own history says is explained by it, whoever else says the same.
        true = max((len(o.image.history) for o in told if is_base(o.image, image)), default=0)
        copied = [
            other
            for other in told
            if len(other.image.history) > true and other.image.platform == image.platform
        ]
        if not copied:
            return
        tallest = max(len(other.image.history) for other in copied)
        copied = [other for other in copied if len(other.image.history) == tallest]
        yield Finding(
            rule=self.id,
            status=Status.FAIL,
            severity=self.severity,
            message=(
                f"the first {tallest} entries of its history are those of {_names(copied)[0]}, "
                "but that image's layers are not below"
            ),
            remedy="build on the image whose history it is, or with a history of its own",
            evidence={
                "claim": "history",
                "entries": tallest,
                "known": [_evidence(other) for other in _listed(copied)],
            },
        )

    def _malformed(self, claim: Claim) -> Finding:
        return Finding(
            rule=self.id,
            status=Status.FAIL,
            severity=Severity.LOW,
            message=f"{_where(claim)} claims a base by {show_text(claim.value)!r}, not a digest",
            remedy="write sha256: and the 64 hex digits of the base's manifest, or no such claim",
            evidence=_claimed(claim),
        )

    def _unknown(
        self, unknown: Sequence[Claim], facts: ImageFacts, settings: LyingBaseLabelSettings
    ) -> Finding:
        first = unknown[0]
        texts = " and ".join(show_text(claim.value) for claim in unknown)
        harmless = facts.base is not None
        message = f"{_where(first)} claims the base {texts}, which the index cannot confirm"
        if harmless:
            message += "; what lies below is trusted by its ChainIDs all the same"
        return Finding(
            rule=self.id,
            status=Status.UNKNOWN,
            severity=Severity.LOW if harmless else Severity.MEDIUM,
            message=message,
            remedy=f"layerproof index {shell_word(_to_index(unknown))}",
            evidence={"claims": [_claimed(claim) for claim in unknown]},
            effect=Effect(settings.unknown_claims) if harmless else Effect.REFUSE,
        )


def is_base(base: Image, image: Image) -> bool:
    """Whether all layers of `base` are the lowest layers of `image`. One without layers is none."""
    height = len(base.layers)
    return 0 < height <= len(image.layers) and base.top == image.layers[height - 1].chain_id


def _others(facts: ImageFacts, claim: Claim) -> tuple[KnownImage, ...]:
    """The known images of a claim; never the judged one itself, which proves nothing about it."""
    mine = facts.image.config_digest
    known = (image for image in facts.claimed.get(claim.key, ()) if image.image.layers)
    return _listed([image for image in known if image.image.config_digest != mine], limit=None)


def _contrary(claim: Claim, known: Sequence[KnownImage], image: Image) -> tuple[KnownImage, ...]:
    """The known images that contradict a claim which none of them satisfies."""

    def decides(other: KnownImage) -> bool:
        if claim.kind == "digest" and other.image.manifest_digest == claim.value:
            return True
        return other.image.platform == image.platform

    return _listed([other for other in known if decides(other)])


def _listed(known: Sequence[KnownImage], limit: int | None = MAX_LISTED) -> tuple[KnownImage, ...]:
    """In an order that does not depend on the index's."""
    return tuple(sorted(known, key=lambda other: (_name(other), other.image.config_digest)))[:limit]


def _name(known: KnownImage) -> str:
    return min(known.names, default=known.image.reference)


def _names(known: Sequence[KnownImage]) -> list[str]:
    return [
        f"{show_text(_name(other))} (top layer {other.image.layers[-1].chain_id.short})"
        for other in known
    ]


def _where(claim: Claim) -> str:
    return f"the {' and the '.join(claim.origins)} image.base.{claim.kind}"


def _claimed(claim: Claim) -> dict[str, object]:
    return {"claim": claim.kind, "value": show_text(claim.value), "origins": list(claim.origins)}


def _evidence(known: KnownImage) -> dict[str, object]:
    return {
        "reference": show_text(_name(known)),
        "configDigest": known.image.config_digest,
        "manifestDigest": known.image.manifest_digest,
        "top": known.image.top,
        "layers": len(known.image.layers),
    }


def _to_index(unknown: Sequence[Claim]) -> str:
    """The reference whose indexing would settle the claims: name and digest where both stand."""
    texts = {claim.kind: claim.value for claim in reversed(unknown)}
    name, digest = texts.get("name", ""), texts.get("digest", "")
    if not name:
        return f"NAME@{digest}"
    return f"docker://{name.partition('@')[0]}@{digest}" if digest else f"docker://{name}"
