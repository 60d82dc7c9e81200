"""`layerproof trust`: declarations of trust."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from layerproof.cli.app import App, offline_option, platform_option, shared, user
from layerproof.errors import UsageError

if TYPE_CHECKING:
    from layerproof.model.trust import TrustRecord


@click.group()
def command() -> None:
    """Declare images trusted, list or revoke such trust.

    A trusted image vouches for its layers at their place: its ChainIDs. Images built on all of it
    have it as their base.
    """


@command.command()
@click.argument("image")
@click.option("-r", "--reason", required=True, help="Why; it stands in every verdict.")
@click.option("--by", default="", help="Who; default: the user who runs the command.")
@click.option("--expires", help="YYYY-MM-DD (its end, UTC), or a number of days such as 90d.")
@platform_option
@offline_option
@shared
def add(
    app: App,
    image: str,
    reason: str,
    by: str,
    expires: str | None,
    platform: str | None,
    offline: bool,
) -> int:
    """Trust IMAGE: all of its layers, at their place.

    \b
    layerproof trust add debian:12 --reason "base image of the platform team"
    layerproof trust add registry.example/golden@sha256:… -r "release 7" --expires 180d
    """
    from layerproof.engine.trust import add_trust
    from layerproof.wiring import open_clock

    now = open_clock().now()
    until = _expiry(expires, now)
    if app.remote is not None:
        if by:
            raise UsageError(
                "a service knows who asks", where="--by", remedy="leave out --by: the token says it"
            )
        from layerproof.cli.app import asked
        from layerproof.remote.decode import decoded, trust_of

        body = {"image": asked(image), "reason": reason, "expiresAt": until and until.isoformat()}
        document = app.remote.post("/trust", body)
        return _added(app, decoded(trust_of, document), now)
    found = app.image(image, platform, offline=offline)
    record = add_trust(app.index, found, by=by or user(), reason=reason, now=now, expires_at=until)
    return _added(app, record, now)


def _added(app: App, record: TrustRecord, now: datetime) -> int:
    if app.json:
        from layerproof.report.documents import trust_document

        app.emit([trust_document(record, now)])
    elif not app.quiet:
        click.echo(f"trusted {record.reference} as {record.id}: {len(record.chain_ids)} layers")
    return 0


@command.command(name="list")
@click.option("--all", "everything", is_flag=True, help="Revoked and expired ones too.")
@shared
def list_(app: App, everything: bool) -> int:
    """List trusted images, newest first."""
    from layerproof.wiring import open_clock

    now = open_clock().now()
    if app.remote is not None:
        from layerproof.remote.decode import decoded, trust_of

        documents = app.remote.items("/trust", all=str(everything).lower())
        records = [decoded(trust_of, document) for document in documents]
    else:
        records = [r for r in app.index.trust_records() if everything or r.active(now)]
    if app.json:
        from layerproof.report.documents import trust_document

        app.emit(trust_document(record, now) for record in records)
    elif records:
        from layerproof.report.table import show_trust

        show_trust(records, now)
    elif not app.quiet:
        click.echo("no image is trusted; begin with: layerproof trust add IMAGE --reason WHY")
    return 0


@command.command()
@click.argument("what")
@click.option("-r", "--reason", required=True, help="Why; verdicts say that it once was trusted.")
@click.option("--by", default="", help="Who; default: the user who runs the command.")
@shared
def revoke(app: App, what: str, reason: str, by: str) -> int:
    """Take trust back: WHAT is an id from `trust list`, a reference, or a digest.

    \b
    layerproof trust revoke 5f70bf18a086 --reason "CVE-2026-1234 in its libc"
    """
    from layerproof.engine.trust import revoke_trust
    from layerproof.wiring import open_clock

    now = open_clock().now()
    if app.remote is not None:
        from layerproof.remote.decode import decoded, trust_of

        page = app.remote.post(f"/trust/{what}/revoke", {"reason": reason})
        records = [decoded(trust_of, document) for document in page["items"]]
    else:
        records = revoke_trust(app.index, what, by=by or user(), reason=reason, now=now)
    if app.json:
        from layerproof.report.documents import trust_document

        app.emit(trust_document(record, now) for record in records)
    elif not app.quiet:
        for record in records:
            click.echo(f"revoked {record.id}: {record.reference}")
    return 0


def _expiry(text: str | None, now: datetime) -> datetime | None:
    if text is None:
        return None
    try:
        if text.endswith("d") and text[:-1].isdigit():
            return now + timedelta(days=int(text[:-1]))
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
        return day + timedelta(days=1)
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"{text!r} is not a date", where="--expires", remedy="for example: 2027-01-31 or 90d"
        ) from error
