"""The index's events, images and judgements as the learned part takes them, oldest first.

Reads the index, decides nothing. What was recorded at or after `until` does not exist here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from layerproof.engine.facts import layers_of
from layerproof.engine.ports import Index
from layerproof.learning.history import Case
from layerproof.learning.profile import Profile, config_of, profile_of
from layerproof.model.digest import ChainId, Digest
from layerproof.model.event import Event, EventKind
from layerproof.model.image import Image
from layerproof.model.learned import Occasion

_KINDS = (EventKind.PUSH, EventKind.PULL, EventKind.START)
_MOST_PROFILES = 100_000  # kept while reading


@dataclass(frozen=True, slots=True)
class Judgement:
    """Somebody vouched for an image, or withdrew one of its layers."""

    at: datetime
    manifest_digest: Digest
    trusted: bool
    chain_id: ChainId | None = None  # the layer that was withdrawn


class CaseReader:
    """Cases of one index; remembers the profiles of layers that it met."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._profiles: dict[ChainId, Profile | None] = {}
        self._images: dict[Digest, tuple[Image, tuple[int, ...]] | None] = {}

    def case(self, event: Event) -> Case:
        """The event, with what the index knows of its image. A start counts as a pull by its
        host."""
        found = self._image(event.manifest_digest) if event.manifest_digest is not None else None
        image, config = found or (None, ())
        occasion = occasion_of(event, image)
        if image is None or event.kind is not EventKind.PUSH:
            return Case(occasion)
        return Case(occasion, self.profiles(image), config)

    def profiles(self, image: Image) -> tuple[Profile | None, ...]:
        """One per layer, lowest first."""
        if any(layer.chain_id not in self._profiles for layer in image.layers):
            if len(self._profiles) > _MOST_PROFILES:
                self._profiles.clear()
            for layer in layers_of(self._index, image):
                self._profiles[layer.layer.chain_id] = profile_of(layer)
        return tuple(self._profiles[layer.chain_id] for layer in image.layers)

    def forget(self) -> None:
        """Read images and layers again."""
        self._images.clear()
        self._profiles.clear()

    def _image(self, digest: Digest) -> tuple[Image, tuple[int, ...]] | None:
        if digest not in self._images:
            record = self._index.image_by_manifest(digest)
            found = None if record is None else (record.image, config_of(record.image))
            if found is None:
                return None  # it may be indexed later
            if len(self._images) > _MOST_PROFILES:
                self._images.clear()
            self._images[digest] = found
        return self._images[digest]


def occasion_of(event: Event, image: Image | None) -> Occasion:
    """The occasion of an event."""
    is_push = event.kind is EventKind.PUSH
    return Occasion(
        at=event.at,
        registry=event.registry,
        repository=event.repository,
        tag=event.tag,
        account=event.account or ("" if is_push else event.host),
        country=event.country,
        manifest_digest=event.manifest_digest,
        chain_ids=tuple(layer.chain_id for layer in image.layers) if image else (),
        kind=EventKind.PUSH if is_push else EventKind.PULL,
    )


def timeline(index: Index, until: datetime) -> Iterator[Event | Judgement]:
    """Pushes, pulls, starts and judgements before `until`, oldest first. All of them are in memory
    once: some hundred bytes for each."""
    steps: list[Event | Judgement] = [
        event for event in index.events() if event.kind in _KINDS and event.at < until
    ]
    steps.reverse()  # of one time, in the order in which they were reported
    steps.extend(judgements(index, until))
    steps.sort(key=lambda step: step.at)
    return iter(steps)


def judgements(index: Index, until: datetime) -> Iterator[Judgement]:
    """Trust that was given and not yet taken back, and withdrawals that were not released."""
    for record in index.trust_records():
        if record.added_at < until and record.active(max(record.added_at, until)):
            digest = record.manifest_digest
            if digest is None:
                known = index.image_by_config(record.config_digest)
                digest = known.image.manifest_digest if known else None
            if digest is not None:
                yield Judgement(record.added_at, digest, trusted=True)
    for withdrawal in index.withdrawals():
        if withdrawal.active(until):
            for image in index.images_with_chain(withdrawal.chain_id):
                digest = image.image.manifest_digest
                if digest is not None:
                    at, chain = withdrawal.withdrawn_at, withdrawal.chain_id
                    yield Judgement(at, digest, trusted=False, chain_id=chain)
