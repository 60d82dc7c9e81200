"""`layerproof check`: the decision."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from layerproof.cli.app import App, offline_option, platform_option, shared_with

if TYPE_CHECKING:
    from layerproof.errors import LayerproofError
    from layerproof.model.facts import Context
    from layerproof.model.image import Image
    from layerproof.model.verdict import Verdict
    from layerproof.policy.model import Policy
    from layerproof.report.judged import Failed, Judged


@click.command()
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@click.option(
    "--policy",
    type=click.Path(path_type=Path),
    help="The policy file (LAYERPROOF_POLICY); default: the built-in policy.",
)
@click.option("--namespace", help="The namespace that it would run in, for scopes of the policy.")
@click.option("--host", help="The host that it would run on, likewise.")
@click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", help="Of the workload.")
@platform_option
@offline_option
@shared_with("sarif", "markdown", "junit")
def command(
    app: App,
    images: tuple[str, ...],
    policy: Path | None,
    namespace: str | None,
    host: str | None,
    labels: tuple[str, ...],
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
    layerproof check --output sarif app.tar > layerproof.sarif
    """
    from layerproof.cli.each import each
    from layerproof.model.facts import Context
    from layerproof.wiring import open_clock, open_policy

    app.use("LAYERPROOF_POLICY", policy)
    rules = open_policy(app.settings, app.index)
    now = open_clock().now()
    context = Context(namespace=namespace, host=host, labels=_labels(labels))
    report = _Report(app)
    code = each(
        app,
        images,
        lambda text: judge(
            app, app.image(text, platform, offline=offline), rules, now, report.add, context
        ),
        report.fail,
    )
    report.close()
    return code


def judge(
    app: App,
    image: Image,
    policy: Policy,
    now: datetime,
    show: Callable[[Image, Verdict], None] | None = None,
    context: Context | None = None,
) -> int:
    """Decide on an indexed image and show the verdict; the exit code."""
    from layerproof.analysis.current import CURRENT
    from layerproof.engine.evaluator import evaluate
    from layerproof.engine.facts import gather
    from layerproof.model.facts import COMMAND_LINE
    from layerproof.model.verdict import Decision

    facts = gather(app.index, image, now, context=context or COMMAND_LINE)
    verdict = evaluate(facts, policy, analysers=CURRENT)
    (show or _Report(app).add)(image, verdict)
    return 1 if verdict.decision is Decision.REFUSE else 0


def _labels(labels: tuple[str, ...]) -> dict[str, str] | None:
    """None when none are given: then they are not known. Raises UsageError."""
    found = {}
    for text in labels:
        name, equals, value = text.partition("=")
        if not (name and equals):
            from layerproof.errors import UsageError

            raise UsageError(
                f"{text!r} is not NAME=VALUE", where="--label", remedy="for example: env=prod"
            )
        found[name] = value
    return found or None


class _Report:
    """Shows verdicts as they come, or all at the end where the form is one document."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._judged: list[Judged] = []
        self._failed: list[Failed] = []

    def add(self, image: Image, verdict: Verdict) -> None:
        """An image was judged."""
        match self._app.output:
            case "json":
                from layerproof.report.documents import verdict_document

                self._app.emit([verdict_document(verdict)])
            case "markdown":
                from layerproof.report.judged import Judged
                from layerproof.report.markdown import markdown_text

                click.echo(markdown_text(Judged(image, verdict)))
            case "sarif" | "junit":
                from layerproof.report.judged import Judged

                self._judged.append(Judged(image, verdict))
            case _:
                from layerproof.report.lines import verdict_lines

                for line in verdict_lines(verdict, image, quiet=self._app.quiet):
                    click.echo(line)

    def fail(self, text: str, error: LayerproofError) -> None:
        """An image could not be judged; the error was printed already."""
        from layerproof.report.judged import Failed

        self._failed.append(Failed(text, error))

    def close(self) -> None:
        """All images are through."""
        if self._app.output == "sarif":
            from layerproof.report.sarif import sarif_document

            self._app.emit([sarif_document(self._judged, self._failed)])
        elif self._app.output == "junit":
            from layerproof.report.junit import junit_text

            click.echo(junit_text(self._judged, self._failed), nl=False)
