"""`layerproof withdrawals`: the layers that are refused everywhere."""

from __future__ import annotations

import click

from layerproof.cli.app import App, shared


@click.command()
@click.option("--all", "everything", is_flag=True, help="Released ones too.")
@shared
def command(app: App, everything: bool) -> int:
    """List withdrawn layers, newest first: who withdrew what, when and why.

    \b
    layerproof withdrawals
    layerproof withdrawals --all --output json
    """
    from layerproof.wiring import open_clock

    now = open_clock().now()
    if app.remote is not None:
        from layerproof.remote.decode import decoded, withdrawal_of

        known = [decoded(withdrawal_of, found) for found in app.remote.items("/quarantine")]
    else:
        known = app.index.withdrawals()
    records = [record for record in known if everything or record.active(now)]
    if app.json:
        from layerproof.report.documents import withdrawal_document

        app.emit(withdrawal_document(record, now) for record in records)
    elif records:
        from layerproof.report.pulled import withdrawal_lines

        for line in withdrawal_lines(records):
            click.echo(line)
    elif not app.quiet:
        click.echo("no layer is withdrawn; layerproof pull IMAGE withdraws what is not trusted")
    return 0
