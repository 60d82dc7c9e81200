"""Plain lines about kept verdicts."""

from collections.abc import Iterator, Sequence

from layerproof.model.event import Event
from layerproof.model.record import VerdictRecord
from layerproof.report.lines import width
from layerproof.rules.text import show_text

_SHOWN_DIGITS = 12


def record_lines(records: Sequence[VerdictRecord]) -> Iterator[str]:
    """One line each; the reference gives way."""
    yield f"{'decided (UTC)':16}  {'id':12}  {'decision':8}  {'verdict':9}  image"
    for record in records:
        verdict = record.verdict
        line = (
            f"{record.decided_at:%Y-%m-%d %H:%M}  {record.id[:_SHOWN_DIGITS]}  "
            f"{verdict.decision!s:8}  {verdict.verdict!s:9}  {show_text(verdict.reference, 500)}"
        )
        yield line if len(line) <= width() else line[: width() - 1] + "…"


def event_lines(events: Sequence[Event]) -> Iterator[str]:
    """One line each; the image gives way."""
    yield f"{'at (UTC)':16}  {'event':8}  {'account':16}  image"
    for event in events:
        name = f"{event.registry}/{event.repository}" + (f":{event.tag}" if event.tag else "")
        if event.manifest_digest:
            name += f"@{event.manifest_digest.short}"
        who = show_text(event.account, 60) if event.account else "(not said)"
        line = f"{event.at:%Y-%m-%d %H:%M}  {event.kind!s:8}  {who:16}  {show_text(name, 500)}"
        yield line if len(line) <= width() else line[: width() - 1] + "…"


def record_head(record: VerdictRecord) -> str:
    """When it was decided."""
    return f"verdict {record.id} of {record.decided_at:%Y-%m-%d %H:%M:%S} UTC"
