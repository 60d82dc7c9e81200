"""Events, as rows."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from layerproof.model.digest import ChainId, Digest
from layerproof.model.event import Event, EventKind
from layerproof.model.identity import Pusher
from layerproof.store import codec
from layerproof.store.executor import Executor, Session, rows_for

D = TypeVar("D", bound=Digest)


def write(executor: Executor, events: Sequence[Event]) -> int:
    """Add those that are not there yet, all or none; how many these were."""
    unique = {codec.text(event.identity): event for event in reversed(events)}
    with executor.write() as session:
        known = {name for (name,) in rows_for(session, "event_identities", list(unique))}
        new = [item for item in reversed(unique.items()) if item[0] not in known]
        session.run_many("put_event", [_columns(identity, event) for identity, event in new])
    return len(new)


def read_all(session: Session) -> Iterator[Event]:
    """All, newest first."""
    return (_event(row) for row in session.stream("events"))


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
    with codec.decoding("row of an event"):
        for digest, registry, account, at in rows:
            pusher = Pusher(codec.untext(registry), codec.untext(account), codec.unmicros(at))
            found.setdefault(codec.digest(kind, digest), []).append(pusher)
    return {key: tuple(sorted(listed, key=order)) for key, listed in found.items()}


def order(pusher: Pusher) -> tuple[object, ...]:
    """The earliest first."""
    return pusher.first_at, pusher.registry, pusher.account


def _columns(identity: str, event: Event) -> tuple[object, ...]:
    return (
        identity,
        str(event.kind),
        codec.micros(event.at),
        codec.text(event.registry),
        codec.text(event.repository),
        codec.text(event.tag),
        codec.raw_or_none(event.manifest_digest),
        codec.text(event.account),
        codec.text(event.address),
        codec.document(dict(event.details)),
    )


def _event(row: Sequence[Any]) -> Event:
    _, identity, kind, at, registry, repository, tag, manifest, account, address, document = row
    with codec.decoding("row of an event"):
        return Event(
            identity=codec.untext(identity),
            kind=EventKind(kind),
            at=codec.unmicros(at),
            registry=codec.untext(registry),
            repository=codec.untext(repository),
            tag=codec.untext(tag),
            manifest_digest=codec.digest_or_none(Digest, manifest),
            account=codec.untext(account),
            address=codec.untext(address),
            details=codec.undocument(document),
        )
