"""What the rules are given: everything known about one image, and nothing else.

Rules are pure functions of `ImageFacts` and their settings. Time is a field.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from layerproof.model.change import ChangeSet
from layerproof.model.digest import ChainId, Digest
from layerproof.model.identity import Identity, Pusher
from layerproof.model.image import Image, Layer
from layerproof.model.ownership import NO_INTEGRITY, Integrity, PackageScript
from layerproof.model.package import PackageChange
from layerproof.model.release import NO_RELEASE, Release
from layerproof.model.trust import TrustRecord
from layerproof.model.verdict import Base
from layerproof.model.withdrawal import Withdrawal

if TYPE_CHECKING:
    from layerproof.model.learned import LearnedFacts
    from layerproof.model.vulnerability import Advice


@dataclass(frozen=True, slots=True)
class LayerFacts:
    """One layer at its place. `changes` is None when the layer was not indexed."""

    layer: Layer
    changes: ChangeSet | None
    package_changes: tuple[PackageChange, ...] = ()
    facts: Mapping[str, object] = field(default_factory=dict)  # by analyser id
    integrity: Integrity = NO_INTEGRITY
    scripts: tuple[PackageScript, ...] = ()  # those that no layer below has
    pushers: tuple[Pusher, ...] = ()  # who pushed images that have the layer at this place
    # what analysers could not use of the layer: analyser, path, reason
    skipped: tuple[tuple[str, bytes, str], ...] = ()
    release: Release = NO_RELEASE  # that the layers up to this one say they are


@dataclass(frozen=True, slots=True)
class KnownImage:
    """Another image of the index, for comparing claims with ChainIDs."""

    image: Image
    names: tuple[str, ...]
    pushers: tuple[Pusher, ...] = ()  # of this very image


@dataclass(frozen=True, slots=True)
class NamedBuild:
    """What a name stood for at a time."""

    reference: str
    manifest_digest: Digest
    top: ChainId
    seen_at: datetime  # when the name stood for it last
    pushers: tuple[Pusher, ...] = ()  # of this very image, under whatever name


@dataclass(frozen=True, slots=True)
class Context:
    """Where a decision is asked for. None: the gate does not know it. `labels` are those of the
    workload; what stands inside an image is its author's word."""

    gate: str = "cli"
    namespace: str | None = None
    host: str | None = None
    labels: Mapping[str, str] | None = None


COMMAND_LINE = Context()


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """All facts about one image at one time."""

    image: Image
    layers: tuple[LayerFacts, ...]  # lowest first, one per image layer
    now: datetime
    trust: tuple[TrustRecord, ...]  # every record that touches one of its ChainIDs, dead ones too
    base: Base | None = None  # filled by the evaluator (step 2) before rules run
    # images that the claims (labels, annotations, history) point at, by claim text:
    # "digest:sha256:…", "name:…" and "history:…" (`layerproof.rules.claims`); a claim that the
    # index knows nothing about is absent
    claimed: Mapping[str, tuple[KnownImage, ...]] = field(default_factory=dict)
    # records that touch none of its ChainIDs, but were given to an image of the same name or with
    # some of the same contents: only to explain why there is no base
    near: tuple[TrustRecord, ...] = ()
    context: Context = COMMAND_LINE
    # trusted images of the index, this one too, whose top is one of this image's ChainIDs
    below: Mapping[ChainId, tuple[KnownImage, ...]] = field(default_factory=dict)
    # images of the index, this one too, whose top is one of this image's ChainIDs
    tops: Mapping[ChainId, tuple[KnownImage, ...]] = field(default_factory=dict)
    # trust records with the name of one in `trust`
    builds: tuple[TrustRecord, ...] = ()
    # what the names of the images in `tops` that this one is built on stand for, the newest first
    named: tuple[NamedBuild, ...] = ()
    identities: Mapping[str, Identity] = field(default_factory=dict)  # the policy's: evaluator
    # sha256 of those scripts of its layers that layers of images that are trusted now have, too,
    # and how many of these layers there are
    known_scripts: Mapping[bytes, int] = field(default_factory=dict)
    # every withdrawal of one of its layers or contents, released ones too
    withdrawn: tuple[Withdrawal, ...] = ()
    advice: Advice | None = None  # None: there are no advisories at all
    learned: LearnedFacts | None = None  # None: nobody asked the model

    @property
    def above_base(self) -> tuple[LayerFacts, ...]:
        """The layers that the rules judge."""
        return self.layers[self.base.layers if self.base else 0 :]
