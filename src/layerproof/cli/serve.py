"""`layerproof serve`: the service."""

from __future__ import annotations

from pathlib import Path

import click

from layerproof.cli.app import App, shared

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.option("--listen", help="HOST:PORT (LAYERPROOF_LISTEN); default: 127.0.0.1:8686.")
@click.option("--tls-cert", type=_FILE, help="Certificate chain in PEM (LAYERPROOF_TLS_CERT).")
@click.option("--tls-key", type=_FILE, help="Its key (LAYERPROOF_TLS_KEY).")
@click.option("--config", type=_FILE, help="The service's file (LAYERPROOF_SERVICE_CONFIG).")
@click.option("--policy", type=_FILE, help="The policy file (LAYERPROOF_POLICY).")
@click.option(
    "--processes", type=click.IntRange(1, 64), default=1, show_default=True,
    help="Processes that answer requests.",
)  # fmt: skip
@click.option(
    "--workers", type=click.IntRange(0, 64), default=None,
    help="Jobs at once; default: one per processor on SQLite, 2 to 4; 0 on PostgreSQL (see"
    " `layerproof worker`).",
)  # fmt: skip
@click.option("--log-json/--log-plain", default=True, help="Logs for programs, or for people.")
@shared
def command(
    app: App,
    listen: str | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    config: Path | None,
    policy: Path | None,
    processes: int,
    workers: int | None,
    log_json: bool,
) -> int:
    """Run the service: registries report to it, it indexes and judges what they report, gates and
    people ask it.

    Needs no set-up: on SQLite it does its jobs itself, and at its first start it writes a token for
    its administrator beside the index. On PostgreSQL, any number of machines run `serve` and
    `worker` on one database.

    \b
    layerproof serve
    layerproof serve --listen 0.0.0.0:8443 --tls-cert chain.pem --tls-key key.pem
    layerproof serve --index postgresql://layerproof@db.example/layerproof --processes 2
    """
    import os

    app.without_service()
    from layerproof.wiring import extra

    extra("fastapi", "uvicorn", "structlog", "prometheus_client")
    app.use("LAYERPROOF_LISTEN", listen)
    app.use("LAYERPROOF_TLS_CERT", tls_cert)
    app.use("LAYERPROOF_TLS_KEY", tls_key)
    app.use("LAYERPROOF_SERVICE_CONFIG", config)
    app.use("LAYERPROOF_POLICY", policy)
    from layerproof.server.run import Certificate, bind, own_slots, serve
    from layerproof.service_config import load_service_config

    loaded = load_service_config(app.settings.service_config)
    Certificate.of(app.settings)  # first, so that it does not say that it listens, and end
    sockets = bind(app.settings.listen)
    os.environ.update(app.given)  # for the processes that are started
    token = _first_token(app)
    _tell(app, sockets[0].getsockname(), token)
    _tell_state(app)
    slots = workers if workers is not None else (0 if app.settings.database else own_slots())
    return serve(app.settings, loaded, sockets, processes=processes, slots=slots, log_json=log_json)


def _tell(app: App, address: tuple[str, int], token: Path | None) -> None:
    scheme = "https" if app.settings.tls_certificate else "http"
    host, port = address[:2]
    url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}/api/v1"
    if app.json:
        from layerproof.report.upkeep import serving_document

        app.emit([serving_document(url, str(token) if token else None)])
    elif not app.quiet:
        click.echo(f"listening at {url}", err=True)
        if token:
            click.echo(f"the administrator's token is in {token}", err=True)


def _tell_state(app: App) -> None:
    """A database may come later, and nobody may have a token yet: neither keeps the service from
    starting, and both must be told."""
    from layerproof.errors import IndexUnavailableError, IndexVersionError
    from layerproof.wiring import open_ledger

    if not app.settings.database:
        return
    ledger = open_ledger(app.settings)
    try:
        tokens = ledger.tokens()
    except IndexVersionError:
        raise
    except IndexUnavailableError as error:
        click.echo(f"not ready yet: {error}", err=True)
        click.echo(f"  {error.remedy}; it is asked again for every request", err=True)
    else:
        if not tokens and not app.json and not app.quiet:
            click.echo("there is no token yet; make one for yourself:", err=True)
            click.echo("  layerproof token create --name admin --role admin", err=True)
    finally:
        ledger.close()


def _first_token(app: App) -> Path | None:
    """Without any token nobody could make one: the first is written to a file."""
    import os
    import secrets

    from layerproof.engine.access import ID_BYTES, SECRET_BYTES, issue
    from layerproof.errors import UsageError
    from layerproof.model.access import Role
    from layerproof.wiring import open_clock, open_ledger

    ledger = open_ledger(app.settings)
    try:
        if app.settings.database or ledger.tokens():
            return None  # on PostgreSQL: layerproof token create
        file = app.settings.index.with_name("admin-token")
        random = secrets.token_bytes(ID_BYTES + SECRET_BYTES)
        try:
            with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
                os.fchmod(out.fileno(), 0o600)
                issued = issue(
                    ledger, name="admin", role=Role.ADMIN, by="first start",
                    now=open_clock().now(), days=365, random=random,
                )  # fmt: skip
                out.write(issued.text + "\n")
        except OSError as error:
            raise UsageError(
                f"the administrator's token cannot be written: {error.strerror}",
                where=str(file),
                remedy="make the index's folder writable",
            ) from error
        return file
    finally:
        ledger.close()
