"""The same for several images: one that fails does not hide the others' results."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from layerproof.cli.app import App
from layerproof.errors import LayerproofError


def each(
    app: App,
    images: Iterable[str],
    act: Callable[[str], int],
    failed: Callable[[str, LayerproofError], None] | None = None,
) -> int:
    """Run `act` per image, print its errors and tell `failed` of them; the worst exit code."""
    from layerproof.cli.main import print_error

    worst = 0
    for image in images:
        try:
            code = act(image)
        except LayerproofError as error:
            error.where = error.where or image
            print_error(error, as_json=app.json)
            if failed is not None:
                failed(image, error)
            code = error.exit_code
        worst = max(worst, code)
    return worst
