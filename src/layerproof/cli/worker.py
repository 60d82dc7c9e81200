"""`layerproof worker`: does the service's jobs, on any number of machines."""

from __future__ import annotations

from pathlib import Path

import click

from layerproof.cli.app import App, shared


@click.command()
@click.option(
    "--slots", type=click.IntRange(1, 64), default=2, show_default=True, help="Jobs at once."
)
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The service's file (LAYERPROOF_SERVICE_CONFIG).",
)
@click.option("--log-json/--log-plain", default=True, help="Logs for programs, or for people.")
@shared
def command(app: App, slots: int, config: Path | None, log_json: bool) -> int:
    """Do the jobs of a service on PostgreSQL: index and judge what was pushed, look at registries,
    prune. Any number of workers, on any number of machines, share the work.

    \b
    layerproof worker --index postgresql://layerproof@db.example/layerproof --slots 2
    """
    app.without_service()
    from layerproof.wiring import extra

    extra("structlog", "prometheus_client", "uvicorn", "fastapi")
    app.use("LAYERPROOF_SERVICE_CONFIG", config)
    from layerproof.server import logs
    from layerproof.server.run import work
    from layerproof.service_config import load_service_config

    logs.configure(as_json=log_json)
    loaded = load_service_config(app.settings.service_config)
    if not app.quiet and not app.json:
        click.echo("working; end it with SIGTERM: jobs that run wait again", err=True)
    return work(app.settings, loaded, slots)
