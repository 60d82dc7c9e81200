"""`layerproof sbom`: what an image is made of, for other programs."""

from __future__ import annotations

import json

import click

from layerproof.cli.app import App, offline_option, platform_option


@click.command()
@click.argument("image")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["cyclonedx-json", "spdx-json"]),
    default="cyclonedx-json",
    show_default=True,
    help="CycloneDX 1.6 or SPDX 2.3.",
)
@click.option("--index", "index_file", type=click.Path(dir_okay=False), help="The index file.")
@platform_option
@offline_option
@click.pass_obj
def command(
    app: App,
    image: str,
    output: str,
    index_file: str | None,
    platform: str | None,
    offline: bool,
) -> int:
    """Write the software bill of materials of IMAGE: its packages, each with the layer that brought
    it.

    \b
    layerproof sbom oci:./build > sbom.cdx.json
    layerproof sbom --output spdx-json docker://registry.example/app:1.0 > sbom.spdx.json
    """
    from layerproof.engine.packages import inventory
    from layerproof.wiring import open_clock

    app.use("LAYERPROOF_INDEX", index_file)
    app.quiet = True
    found = app.image(image, platform, offline=offline)
    listing = inventory(app.index, found)
    now = open_clock().now()
    if output == "spdx-json":
        from layerproof.report.spdx import spdx_document

        click.echo(json.dumps(spdx_document(listing, now), indent=2))
    else:
        from layerproof.report.cyclonedx import cyclonedx_document

        click.echo(json.dumps(cyclonedx_document(listing, now), indent=2))
    return 0
