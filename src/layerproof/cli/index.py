"""`layerproof index`: read images into the index, and look after it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from layerproof.cli.app import App, platform_option, shared
from layerproof.errors import UsageError

if TYPE_CHECKING:
    from layerproof.engine.ports import ImageRecord, Index
    from layerproof.engine.transfer import Copied

_FILE = click.Path(path_type=Path, dir_okay=False)


class _Default(click.Group):
    """A group whose first word may be an image: then it is `layerproof index IMAGE…`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the name of the default command before what names none."""
        named = args and (args[0] in self.commands or args[0] in ("-h", "--help"))
        return super().parse_args(ctx, args if named or not args else ["images", *args])


@click.group(cls=_Default)
def command() -> None:
    """Read images into the layer index, and look after the index.

    \b
    layerproof index docker://docker.io/library/debian:12
    layerproof index oci:./build docker-archive:app.tar
    layerproof index export air-gap.db
    """


@command.command()
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@platform_option
@shared
def images(app: App, images: tuple[str, ...], platform: str | None) -> int:
    """Read IMAGEs into the layer index (`images` may be left out). Layers that it knows are not
    read again. With --server, the service reads them.

    \b
    layerproof index docker://docker.io/library/debian:12
    layerproof index oci:./build docker-archive:app.tar
    docker save app | gzip > app.tgz && layerproof index app.tgz
    """
    from layerproof.cli.each import each

    return each(app, images, lambda image: _one(app, image, platform))


def _one(app: App, text: str, platform: str | None) -> int:
    if app.remote is not None:
        return _ask(app, text)
    indexed = app.read(text, platform)
    if app.json:
        from layerproof.engine.view import view_image
        from layerproof.report.documents import image_document
        from layerproof.wiring import open_clock

        app.emit([image_document(view_image(app.index, indexed.image, open_clock().now()))])
    elif not app.quiet:
        from layerproof.report.lines import indexed_lines

        for line in indexed_lines(indexed):
            click.echo(line)
    return 0


def _ask(app: App, text: str) -> int:
    from layerproof.cli.app import asked

    assert app.remote is not None
    name = asked(text)
    app.remote.index(name)
    if app.json:
        app.emit([app.remote.get("/image", reference=name)])
    elif not app.quiet:
        click.echo(f"{name}: indexed by the service")
    return 0


@command.command()
@click.argument("file", type=_FILE)
@click.option("--image", "names", multiple=True, help="Only this one; may be given several times.")
@click.option(
    "--with-word", is_flag=True, help="Also trust, withdrawals and events: who said what."
)
@shared
def export(app: App, file: Path, names: tuple[str, ...], with_word: bool) -> int:
    """Write the index, or some images of it, to FILE: an index of its own, for a machine that
    reaches no registry.

    \b
    layerproof index export air-gap.db
    layerproof index export --image docker://registry.example/app:1.0 app.db
    """
    if file.exists():
        raise UsageError("the file exists already", where=str(file), remedy="name another one")
    from layerproof.store.sqlite_index import open_sqlite

    records = _named(app.index, names)
    part = file.with_name(f"{file.name}.part")  # so that half an export is never taken for one
    _remove(part)
    target = open_sqlite(part)
    try:
        target.state()  # an export of nothing is an index too
        copied = _copy(app, app.index, target, records, word=with_word)
        target.close()
        part.rename(file)
    finally:
        target.close()
        _remove(part)
    return _tell(app, file, copied, word=with_word)


@command.command(name="import")
@click.argument("file", type=_FILE)
@click.option("--image", "names", multiple=True, help="Only this one; may be given several times.")
@click.option(
    "--with-word", is_flag=True, help="Also its trust, withdrawals and events: believe them."
)
@shared
def import_(app: App, file: Path, names: tuple[str, ...], with_word: bool) -> int:
    """Add what FILE holds, an index that `export` wrote, to the index.

    What it says about layers is believed: take it only from whom you would let index for you. What
    it says about trust is not taken over, unless --with-word is given.

    \b
    layerproof index import air-gap.db
    """
    from layerproof.engine.transfer import check
    from layerproof.store.sqlite_export import open_export

    with open_export(file) as source:
        records = _named(source, names)
        check(source, source.images() if records is None else records, word=with_word)
        copied = _copy(app, source, app.index, records, word=with_word)
    return _tell(app, file, copied, word=with_word)


def _remove(file: Path) -> None:
    for end in ("", "-wal", "-shm"):
        file.with_name(file.name + end).unlink(missing_ok=True)


def _named(source: Index, names: tuple[str, ...]) -> list[ImageRecord] | None:
    """The images of these names; None for all that there are."""
    from layerproof.wiring import read_reference

    records: list[ImageRecord] = []
    for name in names:
        found = source.images_by_name(str(read_reference(name)))
        if not found:
            raise UsageError(
                "no image is known by this name", where=name, remedy="name it as it was indexed"
            )
        records += found
    return records if names else None


def _copy(
    app: App, source: Index, target: Index, records: list[ImageRecord] | None, *, word: bool
) -> Copied:
    from layerproof.analysis.current import CURRENT
    from layerproof.cli.progress import Counts
    from layerproof.engine.transfer import copy
    from layerproof.wiring import open_clock

    with Counts(shown=app.shows_progress) as bars:

        def tell(what: str, count: int) -> None:
            total = len(records) if records is not None and what == "images" else None
            bars.show(what, count, total)

        chosen = source.images() if records is None else records
        now = open_clock().now()
        return copy(source, target, chosen, analysers=CURRENT, word=word, now=now, progress=tell)


def _tell(app: App, file: Path, copied: Copied, *, word: bool) -> int:
    if app.json:
        from layerproof.report.upkeep import copied_document

        app.emit([copied_document(str(file), copied)])
    elif not app.quiet:
        from layerproof.rules.text import plural

        told = [plural(copied.images, "image"), plural(copied.layers, "new layer")]
        if word:
            told += [
                plural(copied.trust, "trust record"),
                plural(copied.withdrawals, "withdrawal"),
                plural(copied.events, "event"),
            ]
        click.echo(f"{file}: {', '.join(told)}")
    return 0


@command.command()
@click.argument("file", type=_FILE)
@shared
def backup(app: App, file: Path) -> int:
    """Write a copy of everything in an SQLite index to FILE, while it is in use. To restore it, put
    FILE in the place of the index. On PostgreSQL, use pg_dump.

    \b
    layerproof index backup /backup/index.db
    """
    if app.settings.database:
        raise UsageError(
            "PostgreSQL has its own backups",
            where="--index",
            remedy="pg_dump --format=custom writes one, pg_restore reads it",
        )
    from layerproof.cli.progress import Transfers
    from layerproof.store.sqlite import back_up

    with Transfers(shown=app.shows_progress) as bars:
        size = back_up(
            app.settings.index, file, lambda done, total: bars.show("copying", done, total)
        )
    if app.json:
        from layerproof.report.upkeep import backup_document

        app.emit([backup_document(str(file), size)])
    elif not app.quiet:
        from layerproof.report.lines import human

        click.echo(f"{file}: {human(size)}")
    return 0


@command.command()
@shared
def migrate(app: App) -> int:
    """Make the index, or bring it to this version's schema. Every command does so by itself; this
    one does nothing else.

    \b
    layerproof index migrate --index postgresql://layerproof@db.example/layerproof
    """
    app.index.state()
    from layerproof.wiring import index_place

    place, schema = index_place(app.settings)
    if app.json:
        from layerproof.report.upkeep import ready_document

        app.emit([ready_document(place, schema)])
    elif not app.quiet:
        click.echo(f"the index is ready, schema {schema}: {place}")
    return 0


@command.command()
@click.option("--images", "images_", metavar="DAYS", type=click.IntRange(1), help="Not seen since.")
@click.option("--events", metavar="DAYS", type=click.IntRange(1), help="Older ones.")
@click.option("--verdicts", metavar="DAYS", type=click.IntRange(1), help="Older ones.")
@shared
def prune(app: App, images_: int | None, events: int | None, verdicts: int | None) -> int:
    """Delete what is old: events and verdicts by their age; images that were not seen, moved or
    started for so many days and are not trusted, with the layers that only they hold. What events
    add up to stays: who pushed what, since when.

    \b
    layerproof index prune --events 400 --verdicts 90 --images 365
    """
    if (images_, events, verdicts) == (None, None, None):
        raise UsageError("say what to prune", where="prune", remedy="for example: --verdicts 90")
    from layerproof.model.retention import Retention
    from layerproof.wiring import open_clock

    now = open_clock().now()
    moments = {
        name: now - timedelta(days=days)
        for name, days in (("images", images_), ("events", events), ("verdicts", verdicts))
        if days is not None
    }
    pruned = app.index.prune(Retention(**moments))
    if app.json:
        from layerproof.report.upkeep import pruned_document

        app.emit([pruned_document(pruned)])
    elif not app.quiet:
        from layerproof.rules.text import plural

        click.echo(
            f"deleted {plural(pruned.images, 'image')} with {plural(pruned.layers, 'layer')},"
            f" {plural(pruned.events, 'event')}, {plural(pruned.verdicts, 'verdict')}"
        )
    return 0
