"""`layerproof gate docker`: the authorization plugin."""

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

NAME = "layerproof"
UNIT = "layerproof-docker-gate.service"
_SOCKET = click.option(
    "--socket", "path", type=PATH, default=Path(f"/run/docker/plugins/{NAME}.sock"),
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
@policy_option
@config_option
@host_option
@click.option(
    "--wait", type=click.FloatRange(0, 60), default=10.0, show_default=True,
    help="Seconds that a request waits for an unknown image to be read.",
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
    """Answer the engine, until a signal ends it. `install` makes a service of it.

    \b
    layerproof gate docker serve --policy policy.yaml
    """
    loaded = prepared(app, policy, config)
    from layerproof.server.docker_gate import serve as run

    return run(app.settings, loaded, path, host=host, wait=wait, log_json=log_json)


@command.command()
@_SOCKET
@click.option("--daemon-json", type=PATH, default=Path("/etc/docker/daemon.json"),
              show_default=True, help="The engine's configuration.")  # fmt: skip
@click.option("--unit", type=PATH, default=Path(f"/etc/systemd/system/{UNIT}"),
              show_default=True, help="The service that is made.")  # fmt: skip
@policy_option
@config_option
@systemd_option
@shared
def install(
    app: App,
    path: Path,
    daemon_json: Path,
    unit: Path,
    policy: Path | None,
    config: Path | None,
    systemd: bool | None,
) -> int:
    """Make a service of the gate, and name it in the engine's configuration.

    The gate answers before the engine hears of it. The configuration is copied first; what cannot
    be read, or would keep the engine from starting, is left as it is.

    \b
    layerproof gate docker install --policy /etc/layerproof/policy.yaml
    """
    from layerproof.errors import UsageError
    from layerproof.gates import files, units
    from layerproof.gates.docker.install import activated, on_command_line, with_plugin
    from layerproof.wiring import open_clock

    use(app, policy, config)
    changed = with_plugin(files.read_text(daemon_json), path.stem, str(daemon_json))
    if on_command_line(_commands()):
        raise UsageError(
            "the engine was started with --authorization-plugin: with both it does not start",
            where=str(daemon_json),
            remedy="take the option out of its unit first",
        )
    command = [sys.executable, "-m", "layerproof.cli.main", "gate", "docker", "serve"]
    text = units.unit(
        "Layerproof gate of the Docker Engine", "docker.service",
        [*command, "--socket", str(path)], service_environment(app),
    )  # fmt: skip
    files.write_text(unit, text, mode=0o600)  # a database URL may hold a password
    running = units.has_systemd() if systemd is None else systemd
    if running:
        units.systemctl("daemon-reload")
        units.systemctl("enable", "--now", unit.name)
    wrong = until(lambda: activated(path)) if running else activated(path)
    if wrong:
        raise UsageError(
            f"the gate is not answering, so the engine is not told of it: {wrong}",
            where=str(path),
            remedy=f"start {unit.name}, then run install again",
        )
    copy = files.keep_copy(daemon_json, open_clock().now())
    files.write_text(daemon_json, changed)
    if running:
        units.systemctl("reload", "docker.service")
    if not app.quiet:
        click.echo(f"wrote {unit} and {daemon_json}" + (f", kept {copy}" if copy else ""))
        if not running:
            click.echo("tell the engine: kill -HUP $(pidof dockerd)")
        click.echo("see that it bites: layerproof gate docker status")
    return 0


@command.command()
@_SOCKET
@click.option("--daemon-json", type=PATH, default=Path("/etc/docker/daemon.json"),
              show_default=True, help="The engine's configuration.")  # fmt: skip
@click.option("--unit", type=PATH, default=Path(f"/etc/systemd/system/{UNIT}"),
              show_default=True, help="The service that was made.")  # fmt: skip
@systemd_option
@shared
def uninstall(app: App, path: Path, daemon_json: Path, unit: Path, systemd: bool | None) -> int:
    """Take the gate out of the engine's configuration, then remove its service.

    \b
    layerproof gate docker uninstall
    """
    from layerproof.gates import files, units
    from layerproof.gates.docker.install import names_plugin, without_plugin
    from layerproof.wiring import open_clock

    running = units.has_systemd() if systemd is None else systemd
    text = files.read_text(daemon_json)
    if names_plugin(text, path.stem, str(daemon_json)):
        changed = without_plugin(text, path.stem, str(daemon_json))
        files.keep_copy(daemon_json, open_clock().now())
        files.write_text(daemon_json, changed)
        if running:
            units.systemctl("reload", "docker.service")
        elif not app.quiet:
            click.echo("tell the engine before you end the gate: kill -HUP $(pidof dockerd)")
    if running:
        units.systemctl("disable", "--now", unit.name)
    removed = files.remove(unit)
    if running and removed:
        units.systemctl("daemon-reload")
    if not app.quiet:
        click.echo(f"removed {unit}" if removed else "there was no service")
    return 0


@command.command()
@_SOCKET
@click.option("--daemon-json", type=PATH, default=Path("/etc/docker/daemon.json"),
              show_default=True, help="The engine's configuration.")  # fmt: skip
@shared
def status(app: App, path: Path, daemon_json: Path) -> int:
    """Tell whether the gate is there, and whether the engine really asks it.

    The last is tried: the engine is asked for a container without an image, which the gate refuses
    before the engine does. Exit code: 0 when it bites, 1 when it does not.

    \b
    layerproof gate docker status
    """
    import os

    from layerproof.errors import LayerproofError
    from layerproof.gates import files
    from layerproof.gates.docker.install import activated, names_plugin
    from layerproof.wiring import open_engine

    checks: list[tuple[str, bool, str]] = []
    wrong = activated(path)
    checks.append(("the gate answers", not wrong, wrong or str(path)))
    try:
        named = names_plugin(files.read_text(daemon_json), path.stem, str(daemon_json))
        checks.append(("the configuration names it", named, str(daemon_json)))
    except LayerproofError as error:
        checks.append(("the configuration names it", False, str(error)))
    engine = open_engine(os.environ, app.settings, timeout=10)
    try:
        plugins = engine.info().get("Plugins")
        loaded = plugins.get("Authorization") if isinstance(plugins, dict) else None
        asks = path.stem in (loaded or [])
        checks.append(("the engine has loaded it", asks, f"{engine.host}: {loaded or 'none'}"))
        bites, said = engine.refuses_without_image()
        checks.append(("it refuses what it must", bites, said))
    except LayerproofError as error:
        checks.append(("the engine has loaded it", False, str(error)))
    return show_checks(app, "docker", checks)


def _commands() -> list[list[str]]:
    """The command lines of all processes, as far as we may see them."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(file.read_bytes().decode("utf-8", "replace").split("\0"))
        except OSError:  # it has ended
            continue
    return found
