"""What events add up to, as rows: one per image (or layer), deed, place, account and country."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Any, TypeVar

from layerproof.model.activity import Activity, Deed
from layerproof.model.digest import ChainId, Digest
from layerproof.model.event import Event, EventKind
from layerproof.model.identity import Account, Pusher
from layerproof.store import codec, counter_rows
from layerproof.store.executor import Executor, Session, rows_for

D = TypeVar("D", bound=Digest)


def add(session: Session, events: Iterable[Event]) -> None:
    """Count events that are new in the index."""
    summed: dict[bytes, list[Any]] = {}
    for event in events:
        row = _columns(_deed(event))
        known = summed.setdefault(row[0], row)
        if known is not row:
            known[-3:] = min(known[-3], row[-3]), max(known[-2], row[-2]), known[-1] + 1
    session.run_many("put_activity", summed.values())


def read_all(session: Session) -> Iterator[Deed]:
    """All, in no order."""
    for manifest, chain, *row in session.stream("deeds"):
        with codec.decoding("row of activity"):
            deed = Deed(
                codec.digest_or_none(Digest, manifest),
                codec.digest_or_none(ChainId, chain),
                _activity(*row),
            )
        yield deed


def write(executor: Executor, deeds: Sequence[Deed]) -> int:
    """At least this was done; how many say more than was there."""
    rows = {row[0]: row for row in map(_columns, deeds)}
    changed = set()
    with executor.write() as session:
        there = {key: times for key, *times in rows_for(session, "activity_times", list(rows))}
        for key, row in rows.items():
            first_at, last_at, count = there.get(key) or row[-3:]
            wider = [min(first_at, row[-3]), max(last_at, row[-2]), max(count, row[-1])]
            if key in there and wider != there[key]:
                names = ("new_first_at", "new_last_at", "new_count")
                session.run("widen_activity", identity=key, **dict(zip(names, wider, strict=True)))
                changed.add(key)
        new = [row for key, row in rows.items() if key not in there]
        session.run_many("put_activity", new)
        changed.update(row[0] for row in new)
        if any(rows[key][3] == EventKind.PUSH for key in changed):
            counter_rows.change_state(session)
    return len(changed)


def of_chains(
    session: Session, chain_ids: Collection[ChainId]
) -> dict[ChainId, tuple[Activity, ...]]:
    """By layer: its own, and that of every image that holds it at its place."""
    keys = [codec.raw(chain_id) for chain_id in chain_ids]
    rows = {
        (row[0], row[1]): row
        for statement in ("activity_around_chains", "own_activity_of_chains")
        for row in rows_for(session, statement, keys)
    }
    summed: dict[tuple[Any, ...], list[Any]] = {}
    for chain, _, *said, first_at, last_at, count in rows.values():
        known = summed.setdefault((chain, *said), [first_at, last_at, 0])
        known[:] = min(known[0], first_at), max(known[1], last_at), known[2] + count
    return _activities(ChainId, ((*said, *times) for said, times in summed.items()))


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
    return [found[key] for key in sorted(found)]  # databases sort as their locale says


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


def _deed(event: Event) -> Deed:
    said = (event.kind, event.registry, event.repository, event.account, event.country, event.host)
    activity = Activity(*said, event.at, event.at, 1)
    # A mount is about a blob: its digest stands where that of an image does.
    return Deed(event.manifest_digest or event.blob_digest, event.chain_id, activity)


def _columns(deed: Deed) -> list[Any]:
    manifest = codec.raw_or_none(deed.manifest_digest)
    chain = codec.raw_or_none(deed.chain_id)
    done = deed.activity
    texts = [
        str(done.kind),
        *map(codec.text, (done.registry, done.repository, done.account, done.country, done.host)),
    ]
    times = codec.micros(done.first_at), codec.micros(done.last_at), done.count
    return [identity(manifest, chain, texts), manifest, chain, *texts, *times]


def identity(manifest: bytes | None, chain: bytes | None, texts: Sequence[str]) -> bytes:
    """sha256 over each part with its length, so that no two rows run together."""
    found = sha256()
    for part in (manifest or b"", chain or b"", *(text.encode() for text in texts)):
        found.update(len(part).to_bytes(4, "big") + part)
    return found.digest()
