"""What events add up to, as rows: one per image (or layer), deed, place, account and country."""

from collections.abc import Collection, Iterable, Sequence
from hashlib import sha256
from typing import Any, TypeVar

from layerproof.model.activity import Activity
from layerproof.model.digest import ChainId, Digest
from layerproof.model.event import Event, EventKind
from layerproof.model.identity import Account, Pusher
from layerproof.store import codec
from layerproof.store.executor import Session, rows_for

D = TypeVar("D", bound=Digest)


def add(session: Session, events: Iterable[Event]) -> None:
    """Count events that are new in the index."""
    summed: dict[bytes, list[Any]] = {}
    for event in events:
        row = _columns(event)
        known = summed.setdefault(row[0], row)
        if known is not row:
            known[-3:] = min(known[-3], row[-3]), max(known[-2], row[-2]), known[-1] + 1
    session.run_many("put_activity", summed.values())


def of_chains(
    session: Session, chain_ids: Collection[ChainId]
) -> dict[ChainId, tuple[Activity, ...]]:
    """By layer: its own, and that of every image that holds it at its place."""
    keys = [codec.raw(chain_id) for chain_id in chain_ids]
    rows = [
        *rows_for(session, "activity_of_chains", keys),
        *rows_for(session, "own_activity_of_chains", keys),
    ]
    return _activities(ChainId, rows)


def of_manifests(
    session: Session, digests: Collection[Digest]
) -> dict[Digest, tuple[Activity, ...]]:
    """By manifest."""
    keys = [codec.raw(digest) for digest in digests]
    return _activities(Digest, rows_for(session, "activity_of_manifests", keys))


def mounts_of_blobs(
    session: Session, digests: Collection[Digest]
) -> dict[Digest, tuple[Activity, ...]]:
    """By blob, who mounted it where."""
    keys = [codec.raw(digest) for digest in digests]
    return _activities(Digest, rows_for(session, "mounts_of_blobs", keys))


def accounts(session: Session) -> list[Account]:
    """Every account that did something, with how often it did what."""
    found: dict[tuple[str, str], Account] = {}
    with codec.decoding("row of activity"):
        for registry, account, kind, first_at, last_at, count in session.rows("accounts"):
            key = codec.untext(registry), codec.untext(account)
            first, last = codec.unmicros(first_at), codec.unmicros(last_at)
            seen = found.get(key)
            if seen is not None:
                first, last = min(first, seen.first_at), max(last, seen.last_at)
            counts = {**(seen.counts if seen else {}), EventKind(kind): int(count)}
            found[key] = Account(*key, first, last, counts)
    return list(found.values())


def pushers_of_chains(
    session: Session, chain_ids: Collection[ChainId]
) -> dict[ChainId, tuple[Pusher, ...]]:
    """By layer, who pushed images that hold it at its place."""
    keys = [codec.raw(chain_id) for chain_id in chain_ids]
    return _pushers(ChainId, rows_for(session, "pushers_of_chains", keys))


def pushers_of_manifests(
    session: Session, digests: Collection[Digest]
) -> dict[Digest, tuple[Pusher, ...]]:
    """By manifest, who pushed it."""
    keys = [codec.raw(digest) for digest in digests]
    return _pushers(Digest, rows_for(session, "pushers_of_manifests", keys))


def _pushers(kind: type[D], rows: Iterable[Sequence[Any]]) -> dict[D, tuple[Pusher, ...]]:
    found: dict[D, list[Pusher]] = {}
    with codec.decoding("row of activity"):
        for digest, registry, account, at in rows:
            pusher = Pusher(codec.untext(registry), codec.untext(account), codec.unmicros(at))
            found.setdefault(codec.digest(kind, digest), []).append(pusher)
    return {key: tuple(sorted(listed, key=order)) for key, listed in found.items()}


def order(pusher: Pusher) -> tuple[object, ...]:
    """The earliest first."""
    return pusher.first_at, pusher.registry, pusher.account


def _activities(kind: type[D], rows: Iterable[Sequence[Any]]) -> dict[D, tuple[Activity, ...]]:
    found: dict[D, list[Activity]] = {}
    with codec.decoding("row of activity"):
        for digest, *row in rows:
            found.setdefault(codec.digest(kind, digest), []).append(_activity(*row))
    return {key: tuple(sorted(listed, key=activity_order)) for key, listed in found.items()}


def _activity(
    kind: str,
    registry: str,
    repository: str,
    account: str,
    country: str,
    host: str,
    first_at: int,
    last_at: int,
    count: int,
) -> Activity:
    return Activity(
        EventKind(kind),
        codec.untext(registry),
        codec.untext(repository),
        codec.untext(account),
        codec.untext(country),
        codec.untext(host),
        codec.unmicros(first_at),
        codec.unmicros(last_at),
        int(count),
    )


def activity_order(activity: Activity) -> tuple[object, ...]:
    """The earliest first."""
    a = activity
    return a.first_at, a.kind, a.registry, a.repository, a.account, a.country, a.host


def _columns(event: Event) -> list[Any]:
    # A mount is about a blob: its digest stands where that of an image does.
    manifest = codec.raw_or_none(event.manifest_digest or event.blob_digest)
    chain = codec.raw_or_none(event.chain_id)
    texts = [
        str(event.kind),
        codec.text(event.registry),
        codec.text(event.repository),
        codec.text(event.account),
        codec.text(event.country),
        codec.text(event.host),
    ]
    at = codec.micros(event.at)
    return [identity(manifest, chain, texts), manifest, chain, *texts, at, at, 1]


def identity(manifest: bytes | None, chain: bytes | None, texts: Sequence[str]) -> bytes:
    """sha256 over each part with its length, so that no two rows run together."""
    found = sha256()
    for part in (manifest or b"", chain or b"", *(text.encode() for text in texts)):
        found.update(len(part).to_bytes(4, "big") + part)
    return found.digest()
