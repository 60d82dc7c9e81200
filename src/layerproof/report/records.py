"""Plain lines about kept verdicts."""

from collections.abc import Iterator, Sequence

from layerproof.model.event import Event
from layerproof.model.record import VerdictRecord
from layerproof.report.lines import row
from layerproof.rules.text import show_text

_SHOWN_DIGITS = 12


def record_lines(records: Sequence[VerdictRecord]) -> Iterator[str]:
    """One line each, or two where the reference is long."""
    yield f"{'decided (UTC)':16}  {'id':12}  {'decision':8}  {'verdict':9}  image"
    for record in records:
        verdict = record.verdict
        head = (
            f"{record.decided_at:%Y-%m-%d %H:%M}  {record.id[:_SHOWN_DIGITS]}  "
            f"{verdict.decision!s:8}  {verdict.verdict!s:9}"
        )
        yield from row(head, show_text(verdict.reference, 500))


def event_lines(events: Sequence[Event]) -> Iterator[str]:
    """One line each, or two where the image's name is long."""
    yield f"{'at (UTC)':16}  {'event':8}  {'account':16}  image"
    for event in events:
        name = f"{event.registry}/{event.repository}" + (f":{event.tag}" if event.tag else "")
        if event.manifest_digest:
            name += f"@{event.manifest_digest.short}"
        who = show_text(event.account, 60) if event.account else "(not said)"
        head = f"{event.at:%Y-%m-%d %H:%M}  {event.kind!s:8}  {who:16}"
        yield from row(head, show_text(name, 500))


def record_head(record: VerdictRecord) -> str:
    """When it was decided."""
    return f"verdict {record.id} of {record.decided_at:%Y-%m-%d %H:%M:%S} UTC"
