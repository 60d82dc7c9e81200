"""`layerproof advisories`: what is known about vulnerable packages, and how old that is."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from layerproof.cli.app import App, shared
from layerproof.errors import UsageError

if TYPE_CHECKING:
    from layerproof.model.advisory import ImportReport


@click.group()
def command() -> None:
    """Download or import advisories, and tell how old they are.

    They are kept in one file (LAYERPROOF_ADVISORIES) that is built apart and swapped in whole.
    """


@command.command()
@click.argument("feeds", nargs=-1, metavar="[FEED]...")
@click.option("--mirror", help="Fetch from MIRROR/HOST/PATH (LAYERPROOF_ADVISORY_MIRROR).")
@shared
def update(app: App, feeds: tuple[str, ...], mirror: str | None) -> int:
    """Download FEEDs and import them; by default those that the file has, at first the usual ones.

    What did not change is not downloaded again; what was interrupted is gone on with.

    \b
    layerproof advisories update
    layerproof advisories update Debian Alpine PyPI npm KEV EPSS end-of-life
    """
    from layerproof.cli.progress import Transfers
    from layerproof.feeds.update import chosen
    from layerproof.feeds.update import update as run
    from layerproof.wiring import open_clock

    app.use("LAYERPROOF_ADVISORY_MIRROR", mirror)
    settings = app.settings
    wanted = chosen(feeds, settings.advisories)
    with Transfers(shown=app.shows_progress) as transfers:
        found, errors = run(
            settings.advisories,
            wanted,
            settings.advisory_mirror,
            open_clock().now(),
            transfers.show,
        )
    _tell(app, found)
    known = {imported.name for imported in found}
    rest = len(wanted) - len(known) - len(errors)
    if rest and not (app.quiet or app.json):
        click.echo(f"{rest} feeds did not change")
    for error in errors:
        from layerproof.cli.main import print_error

        print_error(error, as_json=app.json)
    return 3 if errors else 0


@command.command(name="import")
@click.argument(
    "paths", nargs=-1, required=True, metavar="PATH...", type=click.Path(path_type=Path)
)
@click.option("--name", help="Import as this feed; default: the file's or folder's name.")
@click.option("--as-of", metavar="TIME", help="As of when they are; default: the newest record's.")
@click.option("--release", default="", help="What a package index is of, such as Debian:12.")
@click.option("--covers", multiple=True, metavar="ECOSYSTEM", help="They speak for all of it.")
@shared
def import_(
    app: App,
    paths: tuple[Path, ...],
    name: str | None,
    as_of: str | None,
    release: str,
    covers: tuple[str, ...],
) -> int:
    """Import advisories from files, archives and folders, without a network.

    Recognised by their contents: OSV records and archives (`all.zip`), Alpine secdb, Debian's
    tracker, KEV, EPSS, endoflife.date, package indexes (`Packages`, `APKINDEX`), documents of PyPI
    and npm, OpenVEX and CSAF. What was imported under the same name before is replaced.

    \b
    layerproof advisories import all.zip --name PyPI
    layerproof advisories import ./advisories
    layerproof advisories import Packages.xz --release Debian:12
    layerproof advisories import our.openvex.json
    """
    from layerproof.feeds.build import build, feed_of
    from layerproof.feeds.documents import containers
    from layerproof.wiring import open_clock

    time = _time(as_of)
    found = [container for path in paths for container in containers(path, release)]
    if not found:
        raise UsageError(
            "there is no document that could be imported",
            where=", ".join(map(str, paths)),
            remedy="give files, archives or folders of advisories: layerproof advisories import -h",
        )
    feeds = [feed_of(container, time, covers) for container in found]
    if name is not None:
        if len(feeds) > 1:
            raise UsageError(
                f"{len(feeds)} feeds cannot have one name", where="--name", remedy="import one PATH"
            )
        feeds[0].name = name
    doubled = {feed.name for feed in feeds if [f.name for f in feeds].count(feed.name) > 1}
    if doubled:
        raise UsageError(
            f"two feeds are called {min(doubled)!r}, and would replace each other",
            where=", ".join(map(str, paths)),
            remedy="import them one by one, each with --name",
        )
    _tell(app, build(app.settings.advisories, feeds, open_clock().now()))
    return 0


@command.command()
@shared
def status(app: App) -> int:
    """Tell which feeds there are, how old each is, and what it covers."""
    from layerproof.feeds.file import open_file
    from layerproof.wiring import open_clock

    file = open_file(app.settings.advisories)
    if file is None:
        if app.json:
            from layerproof.report.advised import status_document

            app.emit([status_document(None, [])])
        else:
            click.echo("there are no advisories yet: layerproof advisories update")
        return 0
    try:
        feeds, snapshot = file.feeds(), file.snapshot
    finally:
        file.close()
    if app.json:
        from layerproof.report.advised import status_document

        app.emit([status_document(snapshot, feeds)])
    else:
        from layerproof.report.advised import status_lines

        for line in status_lines(snapshot, feeds, open_clock().now()):
            click.echo(line)
    return 0


@command.command()
@click.argument("feeds", nargs=-1, required=True, metavar="FEED...")
@shared
def remove(app: App, feeds: tuple[str, ...]) -> int:
    """Take FEEDs out of the file.

    \b
    layerproof advisories remove our.openvex.json
    """
    from layerproof.feeds.build import build
    from layerproof.feeds.file import open_file
    from layerproof.wiring import open_clock

    file = open_file(app.settings.advisories)
    known = [feed.name for feed in file.feeds()] if file is not None else []
    if file is not None:
        file.close()
    unknown = [name for name in feeds if name not in known]
    if unknown:
        raise UsageError(
            f"there is no feed {unknown[0][:80]!r} in the file",
            where=str(app.settings.advisories),
            remedy="layerproof advisories status lists them",
        )
    build(app.settings.advisories, (), open_clock().now(), drop=feeds)
    if not app.quiet:
        click.echo("removed " + ", ".join(feeds), err=app.json)
    return 0


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            f"{text[:100]!r} is not a time", where="--as-of", remedy="for example 2026-11-01"
        ) from error
    return time.replace(tzinfo=time.tzinfo or UTC).astimezone(UTC)


def _tell(app: App, found: list[ImportReport]) -> None:
    if app.json:
        from layerproof.report.advised import imported_document

        app.emit(imported_document(item) for item in found)
    else:
        from layerproof.report.advised import imported_lines

        for item in found:
            for line in imported_lines(item, quiet=app.quiet):
                click.echo(line)
