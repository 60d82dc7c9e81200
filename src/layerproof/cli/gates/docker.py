"""`layerproof gate docker`: the authorization plugin."""

from __future__ import annotations

from pathlib import Path

import click

from layerproof.cli.app import App, shared

NAME = "layerproof"
_PATH = click.Path(path_type=Path)
_SOCKET = click.option(
    "--socket", "path", type=_PATH, default=Path(f"/run/docker/plugins/{NAME}.sock"),
    show_default=True, help="Where the engine finds the plugin.",
)  # fmt: skip


@click.group()
def command() -> None:
    """Refuse images at the Docker Engine.

    The gate is an authorization plugin: the engine asks it before every call. Images are judged by
    what the engine has under their name, when a container is made and again when it starts.

    \b
    layerproof gate docker install
    layerproof gate docker status
    """


@command.command()
@_SOCKET
@click.option("--policy", type=_PATH, help="The policy file (LAYERPROOF_POLICY).")
@click.option("--config", type=_PATH, help="The service's file (LAYERPROOF_SERVICE_CONFIG).")
@click.option("--host", default="", help="What policies call this machine; default: its name.")
@click.option(
    "--wait", type=click.FloatRange(0, 60), default=10.0, show_default=True,
    help="Seconds that a request waits for an unknown image to be read.",
)  # fmt: skip
@click.option("--log-json/--log-plain", default=True, help="Logs for programs, or for people.")
@shared
def serve(
    app: App,
    path: Path,
    policy: Path | None,
    config: Path | None,
    host: str,
    wait: float,
    log_json: bool,
) -> int:
    """Answer the engine, until a signal ends it. `install` makes a service of it.

    \b
    layerproof gate docker serve --policy policy.yaml
    """
    import os

    from layerproof.wiring import extra

    extra("uvicorn", "structlog", "prometheus_client")
    app.use("LAYERPROOF_POLICY", policy)
    app.use("LAYERPROOF_SERVICE_CONFIG", config)
    os.environ.update(app.given)  # for the processes that are started
    from layerproof.server.docker_gate import serve as run
    from layerproof.service_config import load_service_config

    loaded = load_service_config(app.settings.service_config)
    return run(app.settings, loaded, path, host=host, wait=wait, log_json=log_json)
