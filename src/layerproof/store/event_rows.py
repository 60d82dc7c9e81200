"""Events, as rows."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from layerproof.model.digest import ChainId, Digest
from layerproof.model.event import Event, EventKind
from layerproof.store import codec
from layerproof.store.executor import Executor, Session, rows_for


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


def read_of_chains(
    session: Session, chain_ids: Collection[ChainId], kind: EventKind
) -> dict[ChainId, tuple[Event, ...]]:
    """By layer, the events of images that hold it at its place, newest first."""
    found: dict[ChainId, dict[int, Event]] = {}
    keys = [codec.raw(chain_id) for chain_id in chain_ids]
    for chain_id, *row in rows_for(session, "events_of_chains", keys, kind=str(kind)):
        with codec.decoding("row of an event"):
            layer = codec.digest(ChainId, chain_id)
        found.setdefault(layer, {}).setdefault(row[0], _event(row))
    return {layer: tuple(events.values()) for layer, events in found.items()}


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
