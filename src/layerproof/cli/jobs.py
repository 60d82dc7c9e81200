"""`layerproof jobs`: what a service is to do, does, and did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from layerproof.cli.app import App, shared

if TYPE_CHECKING:
    from layerproof.wiring import Stores


@click.group()
def command() -> None:
    """List and cancel the jobs of a service: by its database, or with --server.

    \b
    layerproof jobs list --state failed
    layerproof jobs cancel 17
    """


@command.command(name="list")
@click.option(
    "--state", type=click.Choice(["queued", "running", "done", "failed", "cancelled"]), default=None
)
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True)
@shared
def list_(app: App, state: str | None, limit: int) -> int:
    """List jobs, the last one queued first.

    \b
    layerproof jobs list --state failed
    """
    if app.remote is not None:
        documents = app.remote.items("/jobs", most=limit, limit=limit, state=state)
    else:
        from layerproof.report.service_documents import job_document

        stores = _stores(app)
        try:
            documents = [job_document(j) for j in stores.queue.page(limit, None, state or "").items]
        finally:
            stores.close()
    if app.json:
        app.emit(documents)
    elif documents:
        from layerproof.report.lines import job_lines

        for line in job_lines(documents):
            click.echo(line)
    elif not app.quiet:
        click.echo("there is no job")
    return 0


@command.command()
@click.argument("identity", metavar="ID", type=click.IntRange(1))
@shared
def cancel(app: App, identity: int) -> int:
    """Cancel the job with this ID: one that waits at once, one that runs within seconds.

    \b
    layerproof jobs cancel 17
    """
    if app.remote is not None:
        document: dict[str, Any] = app.remote.post(f"/jobs/{identity}/cancel", {})
    else:
        from layerproof.errors import UsageError
        from layerproof.report.service_documents import job_document

        stores = _stores(app)
        try:
            if not stores.queue.cancel(identity):
                raise UsageError(
                    "there is no such job, or it has ended",
                    where=str(identity),
                    remedy="see layerproof jobs list",
                )
            job = stores.queue.job(identity)
            assert job is not None
            document = job_document(job)
        finally:
            stores.close()
    if app.json:
        app.emit([document])
    elif not app.quiet:
        click.echo(f"job {identity}: {document['state']}")
    return 0


def _stores(app: App) -> Stores:
    from layerproof.wiring import open_stores

    return open_stores(app.settings)
