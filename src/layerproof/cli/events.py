"""`layerproof events`: who pushed and pulled what, as registries report it."""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path

import click

from layerproof.cli.app import App, shared
from layerproof.errors import EventError, UsageError


@click.group()
def command() -> None:
    """Import and list what registries report: who pushed and pulled which image, when, whence.

    The rule trusted-pusher, and groups of a policy with pushedBy, decide by these.
    """


@command.command(name="import")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--registry", default="", help="Its host[:port], as references name it.")
@shared
def import_(app: App, files: tuple[str, ...], registry: str) -> int:
    """Import notifications of a registry (CNCF Distribution, Harbor) from FILEs; `-` reads standard
    input. One JSON document, or one per line. The same report counts once.

    \b
    layerproof events import --registry registry.example notifications.jsonl
    """
    from layerproof.monitors.registry_notifications import read_notifications

    if app.remote is not None:
        raise UsageError(
            "registries report to a service themselves",
            where="--server",
            remedy="see docs/how-to/run-the-service.md, or leave out --server",
        )
    for name in files:
        notified = read_notifications(_read(name), registry, where=name)
        new = app.index.put_events(notified.events)
        if app.json:
            from layerproof.report.documents import imported_document

            app.emit([imported_document(name, len(notified.events), new, notified.left_out)])
        elif not app.quiet:
            click.echo(
                f"{name}: {new} new events of {len(notified.events)}, "
                f"{notified.left_out} of other kinds left out"
            )
    return 0


@command.command(name="list")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True)
@shared
def list_(app: App, limit: int) -> int:
    """List events, newest first."""
    if app.remote is not None:
        from layerproof.remote.decode import decoded, event_of

        documents = app.remote.items("/events", most=limit, limit=min(limit, 200))
        events = [decoded(event_of, document) for document in documents]
    else:
        events = list(islice(app.index.events(), limit))
    if app.json:
        from layerproof.report.documents import event_document

        app.emit(event_document(event) for event in events)
    elif events:
        from layerproof.report.records import event_lines

        for line in event_lines(events):
            click.echo(line)
    elif not app.quiet:
        click.echo("no event is known; import some: layerproof events import FILE")
    return 0


def _read(name: str) -> bytes:
    from layerproof.monitors.registry_notifications import MAX_BYTES

    try:
        if name == "-":
            return sys.stdin.buffer.read(MAX_BYTES + 1)
        with Path(name).open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise EventError(
            f"cannot be read: {error.strerror}", where=name, remedy="check the path"
        ) from error
