"""`layerproof pull`: what is not trusted goes into quarantine and is refused from then on."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from layerproof.cli.app import App, parse_platform, platform_option, shared, user
from layerproof.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerproof.engine.pull import Pulled
    from layerproof.model.digest import ChainId


@click.command()
@click.argument("what", metavar="IMAGE")
@click.option(
    "--policy",
    type=click.Path(path_type=Path),
    help="The policy file (LAYERPROOF_POLICY); default: the built-in policy.",
)
@click.option("--inspect-only", is_flag=True, help="Fetch for inspection; withdraw nothing.")
@click.option("--release", is_flag=True, help="Take a withdrawal back; IMAGE may be its id.")
@click.option("-r", "--reason", default="", help="Why; default: the rules that failed.")
@click.option("--by", default="", help="Who; default: the user who runs the command.")
@click.option(
    "--quarantine",
    type=click.Path(path_type=Path),
    help="The folder of pulled layers (LAYERPROOF_QUARANTINE).",
)
@platform_option
@shared
def command(
    app: App,
    what: str,
    policy: Path | None,
    inspect_only: bool,
    release: bool,
    reason: str,
    by: str,
    quarantine: Path | None,
    platform: str | None,
) -> int:
    """Pull the layers of IMAGE that are not trusted.

    They are fetched into the quarantine, an OCI layout that holds them whole and unextracted with
    the findings beside them, and withdrawn: refused in every image from then on, whatever the
    policy says. Trusted layers are not fetched. Tags of registries that name images with these
    layers stay, or are moved aside or deleted, as the policy says (withdrawn.tags); a release
    brings them back.

    \b
    layerproof pull docker://registry.example/app:1.0
    layerproof pull --inspect-only oci:./build
    layerproof pull --release 3f0e5a7c91d2 --reason "reviewed: the vendor's own update"
    """
    app.use("LAYERPROOF_POLICY", policy)
    app.use("LAYERPROOF_QUARANTINE", quarantine)
    if release:
        if inspect_only:
            raise UsageError(
                "--release and --inspect-only exclude each other", remedy="leave out one of them"
            )
        return _release(app, what, by or user(), reason)
    pulled, place = _pull(app, what, platform, by or user(), reason, withdraw=not inspect_only)
    if app.json:
        from layerproof.report.documents import pull_document

        app.emit([pull_document(pulled, place)])
    else:
        from layerproof.report.pulled import pulled_lines

        for line in pulled_lines(pulled, place, quiet=app.quiet):
            click.echo(line)
    chains = [each.layer.chain_id for each in pulled.layers if each.withdrawal is not None]
    return _tags(app, chains, by or user(), restore=False)


def _tags(app: App, chain_ids: Sequence[ChainId], by: str, *, restore: bool) -> int:
    """What becomes of tags in registries, by the policy's word; the exit code."""
    from layerproof.engine.responder import restore_tags, withdraw_tags
    from layerproof.model.access import AuditRecord
    from layerproof.report.pulled import tag_document, tag_line
    from layerproof.wiring import open_clock, open_policy, open_registry_tags

    tags = open_registry_tags(app.settings)
    if restore:
        done = restore_tags(app.index, chain_ids, tags)
    else:
        rules = open_policy(app.settings, app.index, app.ledger)
        done = withdraw_tags(app.index, chain_ids, rules.withdrawn_tags, tags)
    now = open_clock().now()
    for each in done:
        details = {"to": each.to, "reason": each.reason[:500],
                   "undo": "" if restore else "layerproof pull --release"}  # fmt: skip
        outcome = "done" if each.outcome != "failed" else "failed"
        app.ledger.add_audit(
            AuditRecord(0, now, by, "", f"tag.{each.outcome}", each.reference, "", outcome, details)
        )
    if app.json:
        app.emit(map(tag_document, done))
    elif not app.quiet:
        for each in done:
            click.echo(tag_line(each))
    return 3 if any(each.outcome == "failed" for each in done) else 0


def _pull(
    app: App, text: str, platform: str | None, by: str, reason: str, *, withdraw: bool
) -> tuple[Pulled, str]:
    from layerproof.analysis.current import CURRENT
    from layerproof.engine.decide import decide
    from layerproof.engine.lookup import find_image
    from layerproof.engine.needs import is_indexed
    from layerproof.report.documents import record_document
    from layerproof.wiring import open_clock, open_policy, open_puller

    wanted = parse_platform(platform)
    if re.fullmatch(r"sha256:[a-f0-9]{64}", text):
        # A digest says what, its image in the index says where.
        found = find_image(app.index, text, wanted, offline=True, analysers=CURRENT)
        known = app.index.image_by_config(found.config_digest) if found else None
        text = known.image.reference if known else text
    rules = open_policy(app.settings, app.index, app.ledger)
    puller = open_puller(app.settings, app.index)
    with app.source(text) as source:
        image = source.resolve(wanted)
        if not is_indexed(app.index, image, CURRENT):
            image = app.index_image(source, image).image
        now = open_clock().now()
        record = decide(app.index, image, rules, now, CURRENT, advisories=app.advisories)
        bars = app.observer()
        positions = {la.position for la in record.verdict.layers if la.verdict != "trusted"}
        bars.resolved(image, [la.position for la in image.layers if la.position not in positions])
        try:
            pulled = puller.pull(
                source,
                image,
                record.verdict,
                json.dumps(record_document(record), indent=1).encode(),
                by=by,
                reason=reason,
                withdraw=withdraw,
                progress=bars.layer_progress,
            )
        finally:
            bars.stop()
    return pulled, puller.quarantine.place


def _release(app: App, what: str, by: str, reason: str) -> int:
    from layerproof.engine.pull import release
    from layerproof.wiring import open_clock

    if not reason:
        raise UsageError(
            "a release needs a reason", where="--reason", remedy="say why the layer is sound"
        )
    now = open_clock().now()
    released = release(app.index, what, by=by, reason=reason, now=now)
    if app.json:
        from layerproof.report.documents import withdrawal_document

        app.emit(withdrawal_document(record, now) for record in released)
    elif not app.quiet:
        for record in released:
            click.echo(f"released {record.id}: layer {record.chain_id.short} of {record.reference}")
    return _tags(app, [record.chain_id for record in released], by, restore=True)
