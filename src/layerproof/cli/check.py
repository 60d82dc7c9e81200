"""`layerproof check`: the decision."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from layerproof.cli.app import App, offline_option, platform_option, shared

if TYPE_CHECKING:
    from layerproof.model.image import Image
    from layerproof.policy.model import Policy


@click.command()
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@click.option(
    "--policy",
    type=click.Path(path_type=Path),
    help="The policy file (LAYERPROOF_POLICY); default: the built-in policy.",
)
@platform_option
@offline_option
@shared
def command(
    app: App,
    images: tuple[str, ...],
    policy: Path | None,
    platform: str | None,
    offline: bool,
) -> int:
    """Decide whether IMAGEs may run here, layer by layer, and say why.

    Layers that the index does not know are read first. Exit code: 0 admit (an alert too),
    1 refuse, 2 wrong use, 3 could not decide.

    \b
    layerproof check docker://registry.example/app:1.0
    layerproof check --policy policy.yaml oci:./build
    layerproof check --output json app.tar | jq .decision
    """
    from layerproof.cli.each import each
    from layerproof.wiring import open_clock, open_policy

    app.use("LAYERPROOF_POLICY", policy)
    rules = open_policy(app.settings, app.index)
    now = open_clock().now()
    return each(
        app,
        images,
        lambda text: judge(app, app.image(text, platform, offline=offline), rules, now),
    )


def judge(app: App, image: Image, policy: Policy, now: datetime) -> int:
    """Decide on an indexed image and print the verdict; the exit code."""
    from layerproof.analysis.current import CURRENT
    from layerproof.engine.evaluator import evaluate
    from layerproof.engine.facts import gather
    from layerproof.model.verdict import Decision

    facts = gather(app.index, image, now)
    verdict = evaluate(facts, policy, analysers=CURRENT)
    if app.json:
        from layerproof.report.documents import verdict_document

        app.emit([verdict_document(verdict)])
    else:
        from layerproof.report.lines import verdict_lines

        for line in verdict_lines(verdict, image, quiet=app.quiet):
            click.echo(line)
    return 1 if verdict.decision is Decision.REFUSE else 0
