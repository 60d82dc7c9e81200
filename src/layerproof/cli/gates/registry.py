"""`layerproof gate registry`: the read-through gateway."""

from __future__ import annotations

from pathlib import Path

import click

from layerproof.cli.app import App, shared

_FILE = click.Path(path_type=Path, dir_okay=False)
_FOLDER = click.Path(path_type=Path, file_okay=False)
_GIB = 1 << 30


@click.group()
def command() -> None:
    """Refuse images before they are pulled, whatever runs them.

    A gateway in front of a registry: it serves what the policy admits, and answers anything else
    with the reason. Point Docker, containerd, podman or skopeo at it.

    \b
    layerproof gate registry serve --upstream https://registry.example
    """


@command.command()
@click.option("--upstream", required=True, help="The registry: https://HOST[:PORT].")
@click.option("--listen", default="127.0.0.1:8688", show_default=True, help="HOST:PORT.")
@click.option("--name", "names", multiple=True, help="Another name by which clients may mean it.")
@click.option(
    "--auth", type=click.Choice(("own", "pass")), default="own", show_default=True,
    help="own: read with the gateway's login; pass: with that of each client.",
)  # fmt: skip
@click.option(
    "--wait", type=click.FloatRange(0, 900), default=60.0, show_default=True,
    help="Seconds that a pull waits for an unknown image to be read.",
)  # fmt: skip
@click.option(
    "--tag-seconds", type=click.FloatRange(0, 3600), default=30.0, show_default=True,
    help="How long a tag goes on to name what it named.",
)  # fmt: skip
@click.option("--cache", type=_FOLDER, help="Keep blobs in this folder.")
@click.option(
    "--cache-size", type=click.IntRange(0, 100_000), default=20, show_default=True,
    help="GiB that it may hold.",
)  # fmt: skip
@click.option("--tls-cert", type=_FILE, help="Certificate chain in PEM (LAYERPROOF_TLS_CERT).")
@click.option("--tls-key", type=_FILE, help="Its key (LAYERPROOF_TLS_KEY).")
@click.option("--policy", type=_FILE, help="The policy file (LAYERPROOF_POLICY).")
@click.option("--config", type=_FILE, help="The service's file (LAYERPROOF_SERVICE_CONFIG).")
@click.option("--log-json/--log-plain", default=True, help="Logs for programs, or for people.")
@shared
def serve(
    app: App,
    upstream: str,
    listen: str,
    names: tuple[str, ...],
    auth: str,
    wait: float,
    tag_seconds: float,
    cache: Path | None,
    cache_size: int,
    tls_cert: Path | None,
    tls_key: Path | None,
    policy: Path | None,
    config: Path | None,
    log_json: bool,
) -> int:
    """Stand in front of a registry, until a signal ends it.

    Images are judged under the registry's own name, and are read with the gateway's own login
    (`docker login`), with `--auth pass` too. What the gateway cannot decide on in time is answered
    as the policy says.

    \b
    layerproof gate registry serve --upstream https://registry.example --listen 0.0.0.0:5001
    layerproof gate registry serve --upstream https://registry-1.docker.io --name docker.io
    """
    import os

    from layerproof.wiring import extra

    extra("uvicorn", "starlette", "structlog", "prometheus_client")
    host, insecure = _host(upstream)
    if insecure:
        known = os.environ.get("LAYERPROOF_INSECURE_REGISTRIES", "")
        app.use("LAYERPROOF_INSECURE_REGISTRIES", ",".join(filter(None, (known, host))))
    app.without_service()
    app.use("LAYERPROOF_TLS_CERT", tls_cert)
    app.use("LAYERPROOF_TLS_KEY", tls_key)
    app.use("LAYERPROOF_POLICY", policy)
    app.use("LAYERPROOF_SERVICE_CONFIG", config)
    os.environ.update(app.given)  # for the processes that are started
    from layerproof.server.registry_gate import GatewayOptions
    from layerproof.server.registry_gate import serve as run
    from layerproof.server.run import bind
    from layerproof.service_config import load_service_config

    loaded = load_service_config(app.settings.service_config)
    options = GatewayOptions(
        host, names, auth == "pass", wait, tag_seconds, cache, cache_size * _GIB
    )
    sockets = bind(listen)
    if not app.quiet:
        scheme = "https" if app.settings.tls_certificate else "http"
        click.echo(f"listening at {scheme}://{listen}, before {host}", err=True)
    return run(app.settings, loaded, sockets, options, log_json=log_json)


def _host(upstream: str) -> tuple[str, bool]:
    """As references have it, and whether it is spoken to in plain HTTP. Raises UsageError."""
    from urllib.parse import urlsplit

    from layerproof.errors import LayerproofError, UsageError
    from layerproof.model.reference import DEFAULT_HOST, parse_reference

    parts = urlsplit(upstream)
    host = DEFAULT_HOST if parts.netloc == "registry-1.docker.io" else parts.netloc.lower()
    try:
        good = parse_reference(f"docker://{host}/a/b").host == host
    except LayerproofError:
        good = False
    if parts.scheme not in ("http", "https") or not good or parts.path.strip("/"):
        raise UsageError(
            f"{upstream[:100]!r} is no registry", where="--upstream",
            remedy="write https://registry.example, or http://127.0.0.1:5000",
        )  # fmt: skip
    return host, parts.scheme == "http"
