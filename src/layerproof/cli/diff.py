"""`layerproof diff`: a layer's changes, or two images compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from layerproof.cli.app import App, offline_option, platform_option, shared
from layerproof.errors import UsageError

if TYPE_CHECKING:
    from layerproof.model.image import Image


@click.command()
@click.argument("image")
@click.argument("other", required=False)
@click.option("--layer", type=int, help="A layer's position; default: the top one.")
@click.option("--limit", default=100, show_default=True, help="Changes to show; 0 for all.")
@platform_option
@offline_option
@shared
def command(
    app: App,
    image: str,
    other: str | None,
    layer: int | None,
    limit: int,
    platform: str | None,
    offline: bool,
) -> int:
    """Show what a layer of IMAGE changes below it, or how IMAGE and OTHER differ.

    \b
    layerproof diff oci:./build               the top layer
    layerproof diff oci:./build --layer 3
    layerproof diff app:1.0 app:1.1           two images, as their containers see them
    """
    if limit < 0:
        raise UsageError("not a count", where="--limit", remedy="0 shows all")
    if other is not None and layer is not None:
        raise UsageError("--layer goes with one image", remedy="leave out OTHER, or --layer")
    first = app.image(image, platform, offline=offline)
    if other is None:
        return _layer(app, first, layer, limit)
    from layerproof.engine.compare import compare

    second = app.image(other, platform, offline=offline)
    comparison = compare(app.index, first, second)
    if app.json:
        from layerproof.report.documents import comparison_document

        app.emit([comparison_document(comparison)])
    else:
        from layerproof.report.table import show_comparison

        show_comparison(comparison, limit=limit or len(comparison.changes))
    return 0


def _layer(app: App, image: Image, position: int | None, limit: int) -> int:
    from layerproof.engine.compare import layer_changes

    if not image.layers:
        raise UsageError("the image has no layers", where=image.reference)
    position = len(image.layers) - 1 if position is None else position
    if not 0 <= position < len(image.layers):
        raise UsageError(
            f"there is no layer {position}",
            where="--layer",
            remedy=f"positions go from 0 to {len(image.layers) - 1}",
        )
    changes = layer_changes(app.index, image, position)
    if app.json:
        from layerproof.report.documents import changes_document

        app.emit([changes_document(image.reference, position, changes)])
    else:
        from layerproof.report.lines import command_text
        from layerproof.report.table import show_changes

        layer = image.layers[position]
        title = f"layer {position} {layer.chain_id.short}  {command_text(layer.created_by)}"
        show_changes(title, changes, limit=limit or len(changes))
    return 0
