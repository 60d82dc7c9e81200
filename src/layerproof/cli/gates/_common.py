"""What the commands of gates share."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from layerproof.cli.app import App

if TYPE_CHECKING:
    from layerproof.service_config import ServiceConfig

PATH = click.Path(path_type=Path)
START_SECONDS = 30.0
policy_option = click.option("--policy", type=PATH, help="The policy file (LAYERPROOF_POLICY).")
config_option = click.option(
    "--config", type=PATH, help="The service's file (LAYERPROOF_SERVICE_CONFIG)."
)
host_option = click.option(
    "--host", default="", help="What policies call this machine; default: its name."
)
log_option = click.option(
    "--log-json/--log-plain", default=True, help="Logs for programs, or for people."
)
systemd_option = click.option(
    "--systemd/--no-systemd",
    "systemd",
    default=None,
    help="Start and reload by systemd; default: where it runs this machine.",
)


def prepared(app: App, policy: Path | None, config: Path | None) -> ServiceConfig:
    """The settings of a gate that is about to serve. Raises UsageError."""
    from layerproof.wiring import extra

    extra("uvicorn", "structlog", "prometheus_client")
    app.without_service()
    use(app, policy, config)
    os.environ.update(app.given)  # for the processes that are started
    from layerproof.service_config import load_service_config

    return load_service_config(app.settings.service_config)


def use(app: App, policy: Path | None, config: Path | None) -> None:
    """Whole paths: a service starts in another folder."""
    app.use("LAYERPROOF_POLICY", policy and policy.resolve())
    app.use("LAYERPROOF_SERVICE_CONFIG", config and config.resolve())


def service_environment(app: App) -> dict[str, str]:
    """What a gate's service must know: our own settings, wherever they came from."""
    app.without_service()
    names = {name: value for name, value in os.environ.items() if name.startswith("LAYERPROOF_")}
    names.pop("LAYERPROOF_TOKEN", None)
    found = {**names, **app.given}
    found.setdefault("LAYERPROOF_INDEX", str(app.settings.index.resolve()))
    return found


def until(wrong: Callable[[], str]) -> str:
    """Until nothing is wrong any more, or long enough; what is still wrong."""
    deadline = time.monotonic() + START_SECONDS
    while (said := wrong()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return said


def show_checks(app: App, gate: str, checks: Sequence[tuple[str, bool, str]]) -> int:
    """What was looked at; the exit code."""
    if app.json:
        from layerproof.report.tallies import status_document

        app.emit([status_document(gate, checks)])
    else:
        for what, passed, details in checks:
            click.echo(f"{'yes' if passed else 'NO':<4}{what}: {details}")
    return 0 if all(passed for _, passed, _ in checks) else 1
