"""`layerproof verdicts`: what was decided, when."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING

import click

from layerproof.cli.app import App, shared

if TYPE_CHECKING:
    from layerproof.model.record import VerdictRecord


@click.command()
@click.argument("what", required=False, default="", metavar="[IMAGE|ID]")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True)
@click.option(
    "--decision",
    type=click.Choice(["admit", "alert", "refuse"]),
    help="Only verdicts with this decision.",
)
@shared
def command(app: App, what: str, limit: int, decision: str | None) -> int:
    """List kept verdicts, newest first; or show one, by its id, in full.

    `check` keeps a verdict together with all that it was made from. The same question with nothing
    changed is answered from here. `check --at ID IMAGE` makes it again and compares.

    \b
    layerproof verdicts
    layerproof verdicts docker://registry.example/app:1.0 --decision refuse
    layerproof verdicts 9c1f4e20
    """
    if app.remote is not None:
        return _ask(app, what, limit, decision)
    if re.fullmatch(r"[0-9a-f]{4,64}", what):
        found = app.index.verdicts_by_id(what)
        if found:
            return _show(app, found)
    reference = _reference(what) if what else ""
    kept = app.index.verdicts(reference)
    listed = (r for r in kept if decision in (None, str(r.verdict.decision)))
    return _list(app, list(islice(listed, limit)), reference)


def _list(app: App, records: list[VerdictRecord], reference: str) -> int:
    if app.json:
        from layerproof.report.documents import record_document

        app.emit(record_document(record) for record in records)
    elif records:
        from layerproof.report.records import record_lines

        for line in record_lines(records):
            click.echo(line)
    elif not app.quiet:
        about = f" about {reference}" if reference else ""
        click.echo(f"no verdict is kept{about}; layerproof check IMAGE makes one")
    return 0


def _ask(app: App, what: str, limit: int, decision: str | None) -> int:
    from layerproof.remote.decode import decoded, record_of

    assert app.remote is not None
    if re.fullmatch(r"[0-9a-f]{8,64}", what):
        return _show(app, [decoded(record_of, app.remote.get(f"/verdicts/{what}"))])
    reference = _reference(what) if what else ""
    documents = app.remote.items(
        "/verdicts", most=limit, limit=min(limit, 200), reference=reference, decision=decision
    )
    return _list(app, [decoded(record_of, document) for document in documents], reference)


def _show(app: App, records: list[VerdictRecord]) -> int:
    if app.json:
        from layerproof.report.documents import record_document

        app.emit(record_document(record) for record in records)
        return 0
    from layerproof.report.lines import verdict_lines
    from layerproof.report.records import record_head

    for record in records:
        click.echo(record_head(record))
        known = (
            None
            if app.remote is not None
            else app.index.image_by_config(record.verdict.config_digest)
        )
        image = known.image if known else None
        for line in verdict_lines(record.verdict, image, quiet=app.quiet):
            click.echo(line)
    return 0


def _reference(text: str) -> str:
    from layerproof.wiring import read_reference

    return str(read_reference(text))
