"""`layerproof show`: an image's stack of layers."""

from __future__ import annotations

import click

from layerproof.cli.app import App, offline_option, platform_option, shared


@click.command()
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@click.option("--packages", is_flag=True, help="Also list what each layer does to packages.")
@platform_option
@offline_option
@shared
def command(
    app: App, images: tuple[str, ...], packages: bool, platform: str | None, offline: bool
) -> int:
    """Show the stack of layers of IMAGE: ChainID, size, command, trust, what changed.

    \b
    layerproof show debian:12
    layerproof show --packages oci:./build
    layerproof show --output json sha256:3f0e…   (a manifest or config digest)
    """
    from layerproof.cli.each import each

    def one(text: str) -> int:
        if app.remote is not None:
            return _ask(app, text, packages=packages)
        from layerproof.engine.view import view_image
        from layerproof.wiring import open_clock

        image = app.image(text, platform, offline=offline)
        view = view_image(app.index, image, open_clock().now())
        if app.json:
            from layerproof.report.documents import image_document

            app.emit([image_document(view)])
        else:
            from layerproof.report.table import show_image

            show_image(view, packages=packages)
        return 0

    return each(app, images, one)


def _ask(app: App, text: str, *, packages: bool) -> int:
    from layerproof.cli.app import asked
    from layerproof.remote.decode import decoded, view_of

    assert app.remote is not None
    name = asked(text)
    document = (
        app.remote.get(f"/images/{name}")
        if name.startswith("sha256:")
        else app.remote.get("/image", reference=name)
    )
    if app.json:
        app.emit([document])
        return 0
    from layerproof.report.table import show_image

    show_image(decoded(view_of, document), packages=packages)
    return 0
