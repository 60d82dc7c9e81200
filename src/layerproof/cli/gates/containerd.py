"""`layerproof gate containerd`: the image verifier."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from layerproof.cli.app import App, shared
from layerproof.cli.gates._common import (
    PATH,
    config_option,
    host_option,
    log_option,
    policy_option,
    prepared,
    service_environment,
    show_checks,
    systemd_option,
    until,
    use,
)

VERIFIER = "layerproof"
UNIT = "layerproof-containerd-gate.service"
_SOCKET = click.option(
    "--socket", "path", type=PATH, default=Path("/run/layerproof/containerd-gate.sock"),
    show_default=True, help="Where the verifier finds the gate.",
)  # fmt: skip
_FOLDER = click.option(
    "--bin-dir", "folder", type=PATH, default=Path("/opt/containerd/image-verifier/bin"),
    show_default=True, help="containerd's folder of verifiers.",
)  # fmt: skip
_UNIT = click.option(
    "--unit", type=PATH, default=Path(f"/etc/systemd/system/{UNIT}"), show_default=True,
    help="The gate's service.",
)  # fmt: skip
_CONTAINERD = click.option(
    "--containerd-config", type=PATH, default=None,
    help="containerd's configuration; default: as containerd finds it.",
)  # fmt: skip


@click.group()
def command() -> None:
    """Refuse images at containerd (1.7 and newer; Kubernetes' pulls from 2.1 on).

    The gate is an image verifier: containerd starts it before every pull. It says nothing about
    images that are there already, are imported, or are pulled behind its back; `status` tells which
    of these ways are open, `layerproof watch containerd` finds what came by them.

    \b
    layerproof gate containerd install
    layerproof gate containerd status
    """


@command.command()
@_SOCKET
@policy_option
@config_option
@host_option
@click.option(
    "--wait", type=click.FloatRange(0, 8), default=7.0, show_default=True,
    help="Seconds that a pull waits for an unknown image to be read.",
)  # fmt: skip
@log_option
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
    """Answer the verifier, until a signal ends it. `install` makes a service of it.

    \b
    layerproof gate containerd serve --policy policy.yaml
    """
    loaded = prepared(app, policy, config)
    from layerproof.server.containerd_gate import serve as run

    return run(app.settings, loaded, path, host=host, wait=wait, log_json=log_json)


@command.command()
@_SOCKET
@_FOLDER
@_UNIT
@_CONTAINERD
@policy_option
@config_option
@systemd_option
@shared
def install(
    app: App,
    path: Path,
    folder: Path,
    unit: Path,
    containerd_config: Path | None,
    policy: Path | None,
    config: Path | None,
    systemd: bool | None,
) -> int:
    """Make a service of the gate, put the verifier where containerd looks, and look for ways round.

    What the verifier does when the gate does not answer is the policy's
    `gates.containerd.unavailable`, as it is now: install again when that changes.

    \b
    layerproof gate containerd install --policy /etc/layerproof/policy.yaml
    """
    from layerproof.gates import files, units
    from layerproof.gates.containerd.install import build_client, place
    from layerproof.model.facts import Context
    from layerproof.wiring import open_policy

    use(app, policy, config)
    rules = open_policy(app.settings, app.index, app.ledger)
    fail_open = str(rules.unavailable(Context(gate="containerd"))) != "refuse"
    client = build_client(path, fail_open=fail_open)
    command = [sys.executable, "-m", "layerproof.cli.main", "gate", "containerd", "serve"]
    text = units.unit(
        "Layerproof gate of containerd", "containerd.service",
        [*command, "--socket", str(path)], service_environment(app),
    )  # fmt: skip
    files.write_text(unit, text, mode=0o600)  # a database URL may hold a password
    running = units.has_systemd() if systemd is None else systemd
    if running:
        units.systemctl("daemon-reload")
        units.systemctl("enable", "--now", unit.name)
        until(lambda: "" if path.is_socket() else "not yet")
    target = place(folder, VERIFIER, client)
    if not app.quiet:
        kind = "compiled" if client.startswith(b"\x7fELF") else "a script: no C compiler is here"
        click.echo(f"wrote {unit} and {target} ({kind})", err=True)
    return show_checks(app, "containerd", _checks(path, folder, containerd_config))


@command.command()
@_FOLDER
@_UNIT
@systemd_option
@shared
def uninstall(app: App, folder: Path, unit: Path, systemd: bool | None) -> int:
    """Take the verifier away, then the gate's service.

    \b
    layerproof gate containerd uninstall
    """
    from layerproof.gates import files, units

    found = files.remove(folder / VERIFIER)
    running = units.has_systemd() if systemd is None else systemd
    if running and unit.exists():
        units.systemctl("disable", "--now", unit.name)
    removed = files.remove(unit)
    if running and removed:
        units.systemctl("daemon-reload")
    if not app.quiet:
        click.echo(f"removed {folder / VERIFIER}" if found else "there was no verifier")
    return 0


@command.command()
@_SOCKET
@_FOLDER
@_CONTAINERD
@shared
def status(app: App, path: Path, folder: Path, containerd_config: Path | None) -> int:
    """Tell whether containerd asks the gate, and which ways lead round it.

    Exit code: 0 when every way is closed, 1 otherwise.

    \b
    layerproof gate containerd status
    """
    return show_checks(app, "containerd", _checks(path, folder, containerd_config))


def _checks(path: Path, folder: Path, config: Path | None) -> list[tuple[str, bool, str]]:
    from layerproof.errors import LayerproofError
    from layerproof.gates.containerd.install import checks, dumped, read_config, tried

    found = [tried(folder / VERIFIER)]
    try:
        text, version = dumped(config=config)
        found += checks(read_config(text, "containerd config dump"), version, folder, VERIFIER)
        return [(check.what, check.passed, check.details) for check in found]
    except LayerproofError as error:
        known = [(check.what, check.passed, check.details) for check in found]
        return [*known, ("containerd's configuration can be read", False, str(error))]
