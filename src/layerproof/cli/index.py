"""`layerproof index`: read images into the index."""

from __future__ import annotations

import click

from layerproof.cli.app import App, platform_option, shared


@click.command()
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@platform_option
@shared
def command(app: App, images: tuple[str, ...], platform: str | None) -> int:
    """Read IMAGEs into the layer index. Layers that it knows are not read again.

    \b
    layerproof index docker://docker.io/library/debian:12
    layerproof index oci:./build docker-archive:app.tar
    docker save app | gzip > app.tgz && layerproof index app.tgz
    """
    from layerproof.cli.each import each

    return each(app, images, lambda image: _one(app, image, platform))


def _one(app: App, text: str, platform: str | None) -> int:
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
