"""`layerproof token`: who may use the service. Works on the index's database, or by `--server`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from layerproof.cli.app import App, shared, user

if TYPE_CHECKING:
    from layerproof.engine.access import Issued


@click.group()
def command() -> None:
    """Make, list and end tokens of the service's API.

    \b
    layerproof token create --name ci --role viewer
    layerproof token list
    layerproof token rotate 7db5a135c5c1
    """


@command.command()
@click.option("--name", required=True, help="What it is for.")
@click.option(
    "--role",
    type=click.Choice(["notifier", "viewer", "operator", "admin"]),
    required=True,
    help="notifier: reports only; viewer: reads and asks; operator: trusts, indexes, withdraws;"
    " admin: all.",
)
@click.option("--days", type=click.IntRange(1, 730), default=90, show_default=True)
@click.option("--registry", default="", help="A notifier's: the registry that it speaks for.")
@shared
def create(app: App, name: str, role: str, days: int, registry: str) -> int:
    """Make a token, and print it: it is shown once and never kept.

    \b
    layerproof token create --name ci --role viewer
    layerproof token create --name registry --role notifier --registry registry.example:5000
    """
    if app.remote is not None:
        body = {"name": name, "role": role, "days": days, "registry": registry}
        document = app.remote.post("/tokens", body)
        return _show(app, document)
    from layerproof.engine.access import issue
    from layerproof.model.access import Role
    from layerproof.wiring import open_clock, open_ledger

    ledger = open_ledger(app.settings)
    try:
        now = open_clock().now()
        issued = issue(
            ledger,
            name=name,
            role=Role(role),
            by=user(),
            now=now,
            days=days,
            random=_random(),
            registry=registry.lower(),
        )
        return _show(app, _document(issued, app))
    finally:
        ledger.close()


@command.command(name="list")
@shared
def list_(app: App) -> int:
    """List tokens, the oldest first; never the tokens themselves.

    \b
    layerproof token list
    layerproof token list --server https://layerproof.example
    """
    from layerproof.report.service_documents import token_document
    from layerproof.wiring import open_clock, open_ledger

    if app.remote is not None:
        documents = app.remote.items("/tokens")
    else:
        ledger = open_ledger(app.settings)
        documents = [token_document(t, open_clock().now()) for t in ledger.tokens()]
        ledger.close()
    if app.json:
        app.emit(documents)
    elif documents:
        from layerproof.report.lines import token_lines

        for line in token_lines(documents):
            click.echo(line)
    elif not app.quiet:
        click.echo("there is no token; make one: layerproof token create --name NAME --role ROLE")
    return 0


@command.command()
@click.argument("identity", metavar="ID")
@shared
def revoke(app: App, identity: str) -> int:
    """End the token with this ID now.

    \b
    layerproof token revoke 7db5a135c5c1
    """
    from layerproof.engine import access
    from layerproof.report.service_documents import token_document
    from layerproof.wiring import open_clock, open_ledger

    if app.remote is not None:
        document = app.remote.delete(f"/tokens/{identity}")
    else:
        ledger, now = open_ledger(app.settings), open_clock().now()
        try:
            document = token_document(access.revoke(ledger, identity, by=user(), now=now), now)
        finally:
            ledger.close()
    if app.json:
        app.emit([document])
    elif not app.quiet:
        click.echo(f"revoked {document['id']}: {document['name']}")
    return 0


@command.command()
@click.argument("identity", metavar="ID")
@click.option("--grace-hours", type=click.IntRange(0, 720), default=24, show_default=True)
@shared
def rotate(app: App, identity: str, grace_hours: int) -> int:
    """Make a token in place of the one with this ID, and print it; the old one ends after a while.

    \b
    layerproof token rotate 7db5a135c5c1 --grace-hours 1
    """
    from datetime import timedelta

    from layerproof.engine import access
    from layerproof.wiring import open_clock, open_ledger

    if app.remote is not None:
        return _show(
            app, app.remote.post(f"/tokens/{identity}/rotate", {"graceHours": grace_hours})
        )
    ledger = open_ledger(app.settings)
    try:
        issued = access.rotate(
            ledger,
            identity,
            by=user(),
            now=open_clock().now(),
            grace=timedelta(hours=grace_hours),
            random=_random(),
        )
        return _show(app, _document(issued, app))
    finally:
        ledger.close()


def _random() -> bytes:
    import secrets

    from layerproof.engine.access import ID_BYTES, SECRET_BYTES

    return secrets.token_bytes(ID_BYTES + SECRET_BYTES)


def _document(issued: Issued, app: App) -> dict[str, object]:
    from layerproof.report.service_documents import token_document
    from layerproof.wiring import open_clock

    return token_document(issued.token, open_clock().now(), issued.text)


def _show(app: App, document: dict[str, object]) -> int:
    if app.json:
        app.emit([document])
    else:
        click.echo(document["token"])
        if not app.quiet:
            until = str(document["expiresAt"])[:10]
            click.echo(
                f"{document['role']} until {until}, id {document['id']}; it is not shown again",
                err=True,
            )
    return 0
