"""`layerproof explain`: why a layer is trusted, or not."""

from __future__ import annotations

from pathlib import Path

import click

from layerproof.cli.app import App, offline_option, platform_option, shared


@click.command()
@click.argument("image")
@click.argument("layer", default="top")
@click.option(
    "--policy",
    type=click.Path(path_type=Path),
    help="The policy file (LAYERPROOF_POLICY); default: the built-in policy.",
)
@platform_option
@offline_option
@shared
def command(
    app: App, image: str, layer: str, policy: Path | None, platform: str | None, offline: bool
) -> int:
    """Tell the whole reasoning about one LAYER of IMAGE, in plain words: what it is and did, why it
    is in the base or not, what every rule says, and what follows.

    LAYER is a position from 0, `top` (the default), or the beginning of a ChainID.

    \b
    layerproof explain docker://registry.example/app:1.0 3
    layerproof explain oci:./build 8f571b54
    """
    from layerproof.analysis.current import CURRENT
    from layerproof.engine.decide import asks_model
    from layerproof.engine.evaluator import evaluate
    from layerproof.engine.explain import choose_layer, explain
    from layerproof.engine.facts import gather
    from layerproof.wiring import open_clock, open_policy

    app.use("LAYERPROOF_POLICY", policy)
    rules = open_policy(app.settings, app.index, app.ledger)
    found = app.image(image, platform, offline=offline)
    chosen = choose_layer(found, layer)
    facts = gather(
        app.index,
        found,
        open_clock().now(),
        whole=True,
        advisories=app.advisories,
        learned=asks_model(rules),
    )
    told = explain(facts, rules, evaluate(facts, rules, analysers=CURRENT), chosen)
    if app.json:
        from layerproof.report.explained import explained_document

        app.emit([explained_document(told)])
    else:
        from layerproof.report.explained import explained_lines

        for line in explained_lines(told):
            click.echo(line)
    return 0
