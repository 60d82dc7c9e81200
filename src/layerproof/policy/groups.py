"""Trust groups: images that a policy trusts by name, digest or ChainID.

1. A group vouches for an image by a pattern of its registry name, by its manifest or config digest,
   or by the ChainID of its top layer. Such an image's layers are known trusted layers, as if
   somebody had declared it trusted.
2. `pushedBy`: besides, one of these identities must be known to have pushed that image.
3. `maxAgeDays`: besides, the image must say that it was made within so many days. One that does
   not say is too old.
4. A ChainID stands for itself and needs no known image; a group with 2. or 3. needs one all the
   same.
5. A group that names nothing vouches for nothing: that is an error of the file.

Only images that the index knows can vouch for others by name or digest.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property

from layerproof.model.digest import ChainId
from layerproof.model.facts import ImageFacts, KnownImage
from layerproof.model.identity import Identity
from layerproof.policy.patterns import ImagePattern
from layerproof.rules.text import plural, show_text


@dataclass(frozen=True)
class Group:
    """One trust group."""

    name: str
    images: tuple[str, ...] = ()  # patterns (`policy.patterns`)
    digests: tuple[str, ...] = ()
    chain_ids: tuple[str, ...] = ()
    pushed_by: tuple[str, ...] = ()  # names of identities
    max_age_days: int | None = None

    @cached_property
    def _patterns(self) -> tuple[ImagePattern, ...]:
        return tuple(map(ImagePattern, self.images))

    def names(self, known: KnownImage) -> str:
        """The name or digest by which the group means this image; "" if it does not."""
        image = known.image
        for digest in (image.manifest_digest, image.config_digest):
            if digest is not None and digest in self.digests:
                return digest
        for name in known.names:
            named = replace(image, reference=name)
            if any(pattern.matches(named) for pattern in self._patterns):
                return name
        return image.reference if image.layers and image.top in self.chain_ids else ""


@dataclass(frozen=True, slots=True)
class Voucher:
    """That a group vouches for the layers up to `chain_id`."""

    chain_id: ChainId
    group: str
    reference: str


def vouchers(
    groups: Sequence[Group], identities: Mapping[str, Identity], facts: ImageFacts
) -> tuple[list[Voucher], tuple[str, ...]]:
    """All for layers of this image; and notes on images that a group names and that fail a
    condition."""
    found: list[Voucher] = []
    notes: dict[str, None] = {}
    for group in groups:
        for layer in facts.image.layers:
            chain = layer.chain_id
            if chain in group.chain_ids and not group.pushed_by and group.max_age_days is None:
                found.append(Voucher(chain, group.name, chain))
            for known in facts.tops.get(chain, ()):
                name = group.names(known)
                if not name:
                    continue
                lacking = next(_lacking(group, identities, known, facts), "")
                if lacking:
                    notes.setdefault(
                        f"{show_text(name)} is in the group {group.name}, but {lacking}"
                    )
                else:
                    found.append(Voucher(chain, group.name, name))
    return found, tuple(notes)


def _lacking(
    group: Group, identities: Mapping[str, Identity], known: KnownImage, facts: ImageFacts
) -> Iterator[str]:
    """Which conditions the image does not meet."""
    if group.pushed_by and not any(
        identities[name].is_one_of(known.pushers, facts.now) for name in group.pushed_by
    ):
        yield f"nobody of {', '.join(group.pushed_by)} is known to have pushed it"
    if group.max_age_days is not None:
        made = made_at(known)
        if made is None:
            yield "it does not say when it was made"
        elif facts.now - made > timedelta(days=group.max_age_days):
            yield f"it was made more than {plural(group.max_age_days, 'day')} ago"


def made_at(known: KnownImage) -> datetime | None:
    """When the image says that it was made (`created` of its config); None if it does not."""
    created = known.image.config.get("created")
    if not isinstance(created, str) or len(created) > 64:
        return None
    try:
        found = datetime.fromisoformat(created)
    except ValueError:
        return None
    return found if found.utcoffset() is not None else None
