"""What events add up to: who did what with an image or a layer, where, since when, how often."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from layerproof.model.digest import ChainId, Digest
from layerproof.model.event import EventKind


@dataclass(frozen=True, slots=True)
class Activity:
    """All events that say the same of one image, but for their time. Times are aware, UTC.

    Empty text means that the reports did not say.
    """

    kind: EventKind
    registry: str
    repository: str
    account: str
    country: str  # ISO 3166-1 alpha-2, or the operator's name of an own network
    host: str  # of a start, stop or sighting
    first_at: datetime
    last_at: datetime
    count: int


@dataclass(frozen=True, slots=True)
class Deed:
    """Activity, and what it was done with: an image, a layer, or both."""

    manifest_digest: Digest | None
    chain_id: ChainId | None
    activity: Activity


@dataclass(frozen=True, slots=True)
class LayerContext:
    """The context of one layer at its place, from the activity around every image that holds it.

    Each tuple is sorted; an unknown account or country is left out.
    """

    repositories: tuple[str, ...] = ()  # registry/repository: where images with it were pushed
    pushers: tuple[str, ...] = ()  # account@registry
    pullers: tuple[str, ...] = ()  # account@registry
    countries: tuple[str, ...] = ()  # whence it was pushed or pulled
    hosts: tuple[str, ...] = ()  # where it ran or was seen
    first_seen: datetime | None = None
    last_seen: datetime | None = None
    pushes: int = 0
    pulls: int = 0
    starts: int = 0
    push_cadence: timedelta | None = None  # mean time between pushes; None below two of them
    mounts: tuple[Activity, ...] = ()  # of the blob that holds the layer, by the earliest


def layer_context(activities: Iterable[Activity], mounts: Iterable[Activity] = ()) -> LayerContext:
    """Add up what is known of the images that hold a layer. `mounts`: of its blobs. They stand by
    themselves: a blob that was mounted may be used at another place, or not at all."""
    found = list(activities)
    pushes = [item for item in found if item.kind is EventKind.PUSH]
    pulls = [item for item in found if item.kind is EventKind.PULL]
    placed = [item for item in pushes if item.repository]
    return LayerContext(
        repositories=_sorted(f"{item.registry}/{item.repository}" for item in placed),
        pushers=_accounts(pushes),
        pullers=_accounts(pulls),
        countries=_sorted(item.country for item in (*pushes, *pulls)),
        hosts=_sorted(item.host for item in found),
        first_seen=min((item.first_at for item in found), default=None),
        last_seen=max((item.last_at for item in found), default=None),
        pushes=sum(item.count for item in pushes),
        pulls=sum(item.count for item in pulls),
        starts=sum(item.count for item in found if item.kind is EventKind.START),
        push_cadence=_cadence(pushes),
        mounts=tuple(sorted(mounts, key=lambda item: (item.first_at, item.repository))),
    )


def _cadence(pushes: list[Activity]) -> timedelta | None:
    count = sum(item.count for item in pushes)
    if count < 2:
        return None
    span = max(item.last_at for item in pushes) - min(item.first_at for item in pushes)
    return span / (count - 1)


def _accounts(activities: Iterable[Activity]) -> tuple[str, ...]:
    return _sorted(f"{item.account}@{item.registry}" for item in activities if item.account)


def _sorted(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({text for text in texts if text}))
