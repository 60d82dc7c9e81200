"""Events, as rows."""

from collections.abc import Iterator, Sequence
from typing import Any

from layerproof.model.digest import ChainId, Digest
from layerproof.model.event import Event, EventKind
from layerproof.model.page import Cursor, Page
from layerproof.store import activity_rows, codec, counter_rows
from layerproof.store.executor import Executor, Session, rows_for


def write(executor: Executor, events: Sequence[Event]) -> int:
    """Add those that are not there yet, all or none; how many these were."""
    unique = {codec.text(event.identity): event for event in reversed(events)}
    with executor.write() as session:
        known = {name for (name,) in rows_for(session, "event_identities", list(unique))}
        new = [item for item in reversed(unique.items()) if item[0] not in known]
        if new:
            session.run_many("put_event", [_columns(identity, event) for identity, event in new])
            activity_rows.add(session, [event for _, event in new])
        # Verdicts depend on who pushed an image, and on no other event.
        if any(event.kind is EventKind.PUSH and event.manifest_digest for _, event in new):
            counter_rows.change_state(session)
    return len(new)


def read_all(session: Session) -> Iterator[Event]:
    """All, newest first."""
    return (_event(row) for row in session.stream("events"))


def page(session: Session, limit: int, after: Cursor | None, wanted: dict[str, str]) -> Page[Event]:
    """Some of them, newest first. `wanted`: kind, registry, repository, account, where given."""
    rows = session.rows(
        "events_page",
        **codec.before(after),
        limit=limit + 1,
        **{
            f"wanted_{name}": codec.text(wanted.get(name, ""))
            for name in ("kind", "registry", "repository", "account")
        },
    )
    return Page.of([(_event(row), Cursor(row[3], row[0])) for row in rows], limit)


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
        codec.text(event.country),
        codec.text(event.host),
        codec.raw_or_none(event.blob_digest),
        codec.raw_or_none(event.chain_id),
    )


def _event(row: Sequence[Any]) -> Event:
    _, identity, kind, at, registry, repository, tag, manifest, account, address, *rest = row
    document, country, host, blob, chain = rest
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
            country=codec.untext(country),
            host=codec.untext(host),
            blob_digest=codec.digest_or_none(Digest, blob),
            chain_id=codec.digest_or_none(ChainId, chain),
        )
