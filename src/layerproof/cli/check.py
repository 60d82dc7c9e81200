"""`layerproof check`: the decision."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from layerproof.cli.app import App, offline_option, platform_option, shared_with
from layerproof.errors import UsageError

if TYPE_CHECKING:
    from layerproof.errors import LayerproofError
    from layerproof.model.facts import Context
    from layerproof.model.image import Image
    from layerproof.model.record import VerdictRecord
    from layerproof.policy.model import Policy
    from layerproof.report.judged import Failed, Judged


@click.command()
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@click.option(
    "--policy",
    type=click.Path(path_type=Path),
    help="The policy file (LAYERPROOF_POLICY); default: the built-in policy.",
)
@click.option("--gate", default="cli", help="The gate that asks, for `gates` of the policy.")
@click.option("--namespace", help="The namespace that it would run in, for scopes of the policy.")
@click.option("--host", help="The host that it would run on, likewise.")
@click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", help="Of the workload.")
@click.option(
    "--at",
    metavar="TIME|ID",
    help="Decide as of a time (UTC), or make a kept verdict again and compare (see `verdicts`).",
)
@platform_option
@offline_option
@shared_with("sarif", "markdown", "junit")
def command(
    app: App,
    images: tuple[str, ...],
    policy: Path | None,
    gate: str,
    namespace: str | None,
    host: str | None,
    labels: tuple[str, ...],
    at: str | None,
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
    layerproof check --at 2026-11-01T12:00 oci:./build
    """
    from layerproof.cli.each import each

    app.use("LAYERPROOF_POLICY", policy)
    if app.remote is not None:
        if policy is not None or at is not None:
            raise UsageError(
                "a service decides by its own policy, as of now",
                where="--policy, --at",
                remedy="leave them out, or leave out --server",
            )
        asking = {"platform": platform or "", "gate": gate, "namespace": namespace, "host": host,
                  "labels": _labels(labels)}  # fmt: skip
        report = _Report(app)
        code = each(app, images, lambda text: ask(app, text, asking, report.add), report.fail)
        report.close()
        return code
    from layerproof.model.facts import Context
    from layerproof.wiring import open_clock, open_policy

    question = Question(
        open_policy(app.settings, app.index, app.ledger),
        open_clock().now(),
        Context(gate, namespace, host, _labels(labels)),
    )
    if at is not None:
        question = _past(app, at, question)
    report = _Report(app)
    code = each(
        app,
        images,
        lambda text: judge(app, app.image(text, platform, offline=offline), question, report.add),
        report.fail,
    )
    report.close()
    return code


@dataclass(frozen=True)
class Question:
    """What is asked about each image. `kept`: a verdict to make again; `past`: keep nothing."""

    policy: Policy
    now: datetime
    context: Context
    past: bool = False
    kept: VerdictRecord | None = None


def judge(
    app: App,
    image: Image,
    question: Question,
    show: Callable[[Image, VerdictRecord], None] | None = None,
) -> int:
    """Decide on an indexed image and show the verdict; the exit code. Raises UsageError."""
    from layerproof.analysis.current import CURRENT
    from layerproof.engine.decide import decide, decide_at
    from layerproof.model.verdict import Decision

    make = decide_at if question.past else decide
    record = make(
        app.index,
        image,
        question.policy,
        question.now,
        CURRENT,
        context=question.context,
        advisories=app.advisories,
    )
    (show or _Report(app).add)(image, record)
    if question.kept is not None:
        _compare(app, question.kept, record)
    return 1 if record.verdict.decision is Decision.REFUSE else 0


def ask(
    app: App,
    text: str,
    asking: Mapping[str, object],
    show: Callable[[Image, VerdictRecord], None],
) -> int:
    """Have a service decide, and show the verdict; the exit code."""
    from layerproof.cli.app import asked
    from layerproof.model.verdict import Decision
    from layerproof.remote.decode import decoded, image_of, record_of

    assert app.remote is not None
    document = app.remote.decide({"image": asked(text), **asking})
    record = decoded(record_of, document)
    config = record.verdict.config_digest
    image = decoded(image_of, app.remote.get(f"/images/{config}"))
    show(image, record)
    return 1 if record.verdict.decision is Decision.REFUSE else 0


def _past(app: App, at: str, question: Question) -> Question:
    """The question as of another time, or as it was asked for a kept verdict."""
    found = app.index.verdicts_by_id(at) if re.fullmatch(r"[0-9a-f]{8,64}", at) else []
    if len(found) == 1:
        from layerproof.engine.decide import kept_policy

        (kept,) = found
        policy = kept_policy(app.index, kept)
        return Question(policy, kept.decided_at, kept.context, past=True, kept=kept)
    try:
        time = datetime.fromisoformat(at)
    except ValueError as error:
        raise UsageError(
            f"{at[:100]!r} is neither a time nor the id of one kept verdict",
            where="--at",
            remedy="for example 2026-11-01T12:00, or an id that layerproof verdicts lists",
        ) from error
    now = time.replace(tzinfo=time.tzinfo or UTC).astimezone(UTC)
    return replace(question, now=now, past=True)


def _compare(app: App, kept: VerdictRecord, again: VerdictRecord) -> None:
    """Say whether a verdict that was made again is what it was. Raises UsageError."""
    if again.verdict.config_digest != kept.verdict.config_digest:
        raise UsageError(
            f"verdict {kept.id[:12]} is about another image",
            where="--at",
            remedy=f"give {kept.verdict.reference}",
        )
    if not app.quiet:
        same = replace(again.verdict, reference="") == replace(kept.verdict, reference="")
        said = "the same verdict as" if same else "another verdict than"
        click.echo(f"{said} {kept.id[:12]} of {kept.decided_at:%Y-%m-%d %H:%M:%S} UTC", err=True)


def _labels(labels: tuple[str, ...]) -> dict[str, str] | None:
    """None when none are given: then they are not known. Raises UsageError."""
    found = {}
    for text in labels:
        name, equals, value = text.partition("=")
        if not (name and equals):
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

    def add(self, image: Image, record: VerdictRecord) -> None:
        """An image was judged."""
        verdict = record.verdict
        match self._app.output:
            case "json":
                from layerproof.report.documents import record_document

                self._app.emit([record_document(record)])
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
