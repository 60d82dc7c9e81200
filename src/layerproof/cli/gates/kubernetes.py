"""`layerproof gate kubernetes`: the admission webhooks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from layerproof.cli.app import App, shared

if TYPE_CHECKING:
    pass

_FOLDER = click.Path(path_type=Path, file_okay=False)
_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group()
def command() -> None:
    """Refuse images at the Kubernetes API.

    Two webhooks: one replaces tags by digests, one decides. Images are found in pods, in every
    workload and in custom resources, in all kinds of containers and in image volumes.

    \b
    layerproof gate kubernetes install > gate.yaml
    layerproof gate kubernetes status
    """


@command.command()
@click.option("--listen", default="127.0.0.1:8687", show_default=True, help="HOST:PORT.")
@click.option("--tls-cert", type=_FILE, help="Certificate chain in PEM (LAYERPROOF_TLS_CERT).")
@click.option("--tls-key", type=_FILE, help="Its key (LAYERPROOF_TLS_KEY).")
@click.option(
    "--certificates", "service", default="",
    help="Make certificates for this name, NAME.NAMESPACE.svc, and keep them in the cluster.",
)  # fmt: skip
@click.option("--client-ca", type=_FILE, help="Answer only clients with a certificate of these.")
@click.option("--policy", type=_FILE, help="The policy file (LAYERPROOF_POLICY).")
@click.option("--config", type=_FILE, help="The service's file (LAYERPROOF_SERVICE_CONFIG).")
@click.option(
    "--wait", type=click.FloatRange(0, 25), default=3.0, show_default=True,
    help="Seconds that a review waits for an unknown image to be read.",
)  # fmt: skip
@click.option("--log-json/--log-plain", default=True, help="Logs for programs, or for people.")
@shared
def serve(
    app: App,
    listen: str,
    tls_cert: Path | None,
    tls_key: Path | None,
    service: str,
    client_ca: Path | None,
    policy: Path | None,
    config: Path | None,
    wait: float,
    log_json: bool,
) -> int:
    """Answer the API server, until a signal ends it.

    The API server speaks TLS only. Certificate and key are read again when they change. Inside a
    cluster, --certificates makes and renews them.

    \b
    layerproof gate kubernetes serve --listen 0.0.0.0:8443 --tls-cert tls.crt --tls-key tls.key
    """
    import os

    from layerproof.wiring import extra

    extra("uvicorn", "starlette", "structlog", "prometheus_client")
    app.use("LAYERPROOF_TLS_CERT", tls_cert)
    app.use("LAYERPROOF_TLS_KEY", tls_key)
    app.use("LAYERPROOF_POLICY", policy)
    app.use("LAYERPROOF_SERVICE_CONFIG", config)
    os.environ.update(app.given)  # for the processes that are started
    from layerproof.server.kubernetes_gate import serve as run
    from layerproof.server.run import bind
    from layerproof.service_config import load_service_config

    loaded = load_service_config(app.settings.service_config)
    sockets = bind(listen)
    if not app.quiet:
        scheme = "https" if app.settings.tls_certificate else "http"
        click.echo(f"listening at {scheme}://{listen}", err=True)
    return run(app.settings, loaded, sockets, wait=wait, client_ca=client_ca, log_json=log_json)
