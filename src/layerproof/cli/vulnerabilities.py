"""`layerproof vulnerabilities`: everything that advisories say about an image's packages."""

from __future__ import annotations

import click

from layerproof.cli.app import App, offline_option, platform_option, shared


@click.command()
@click.argument("image")
@click.option(
    "--level",
    type=click.Choice(["negligible", "low", "medium", "high", "critical"]),
    default="negligible",
    help="From this level on; those that nobody rated are always listed.",
)
@click.option("--fixed", is_flag=True, help="Only what has a fix.")
@platform_option
@offline_option
@shared
def command(
    app: App, image: str, level: str, fixed: bool, platform: str | None, offline: bool
) -> int:
    """List the vulnerabilities of IMAGE's packages, each with the layer that brought the package.

    It decides nothing: `check` does, by the rule vulnerable-package. What a VEX statement excuses
    is listed with its reason. Exit code: 0, whatever is found; 3 without advisories.

    \b
    layerproof vulnerabilities docker://registry.example/app:1.0
    layerproof vulnerabilities --level high --fixed oci:./build
    layerproof vulnerabilities -o json app.tar | jq '.vulnerabilities[].id'
    """
    from layerproof.engine.packages import look_up
    from layerproof.errors import AdvisoryError

    found = app.image(image, platform, offline=offline)
    if app.advisories is None:
        raise AdvisoryError(
            "there are no advisories yet",
            where=str(app.settings.advisories),
            remedy="layerproof advisories update",
        )
    listing = look_up(app.index, found, app.advisories, level, only_fixed=fixed)
    if app.json:
        from layerproof.report.vulnerable import vulnerabilities_document

        app.emit([vulnerabilities_document(listing)])
    else:
        from layerproof.report.vulnerable import vulnerability_lines

        for line in vulnerability_lines(listing, quiet=app.quiet):
            click.echo(line)
    return 0
