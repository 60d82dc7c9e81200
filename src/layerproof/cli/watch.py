"""`layerproof watch`: what really runs, judged as long as it runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from layerproof.cli.app import App, shared

if TYPE_CHECKING:
    from layerproof.monitors.interface import Runtime

_PATH = click.Path(path_type=Path, dir_okay=False)


@click.group()
def command() -> None:
    """Watch what starts, whoever started it, and judge it as long as it runs.

    A gate can be gone round: by whoever reaches containerd, by an image that was there before, by a
    container that restarts by itself. The monitor sees what runs. Each start is an event of the
    index; what is refused is told, and answered as the policy says (gates.docker.running).

    \b
    layerproof watch docker
    layerproof watch containerd --once
    """


def _options(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(
        (
            click.option("--once", is_flag=True, help="Judge what runs now, list it, and end."),
            click.option("--policy", type=_PATH, help="The policy file (LAYERPROOF_POLICY)."),
            click.option(
                "--config", type=_PATH, help="The service's file (LAYERPROOF_SERVICE_CONFIG)."
            ),
            click.option(
                "--host", default="", help="What policies call this machine; default: its name."
            ),
            click.option(
                "--every", type=click.FloatRange(0.5, 3600), default=3.0, show_default=True,
                help="Seconds between two lists of what runs.",
            ),
            click.option(
                "--log-json/--log-plain", default=True, help="Logs for programs, or for people."
            ),
        )
    ):  # fmt: skip
        function = option(function)
    return function


@command.command()
@_options
@shared
def docker(app: App, **options: Any) -> int:
    """Watch the containers of the Docker Engine that DOCKER_HOST names.

    Exit code of --once: 0 when everything that runs is admitted, 1 otherwise.

    \b
    layerproof watch docker --policy policy.yaml
    layerproof watch docker --once --output json
    """
    import os

    from layerproof.monitors.docker import DockerRuntime
    from layerproof.wiring import open_engine

    return _run(
        app, lambda: DockerRuntime(open_engine(os.environ, app.settings, timeout=60)), **options
    )


@command.command()
@click.option(
    "--address", default="/run/containerd/containerd.sock", show_default=True,
    help="containerd's socket.",
)  # fmt: skip
@_options
@shared
def containerd(app: App, address: str, **options: Any) -> int:
    """Watch the containers of containerd, in every namespace.

    Exit code of --once: 0 when everything that runs is admitted, 1 otherwise.

    \b
    layerproof watch containerd
    layerproof watch containerd --address /run/k3s/containerd/containerd.sock --once
    """
    from layerproof.wiring import open_containerd

    return _run(app, lambda: open_containerd(address, app.settings), **options)


@command.command()
@click.option("--context", default="", help="Of the kubeconfig; default: the current one.")
@_options
@shared
def kubernetes(app: App, context: str, **options: Any) -> int:
    """Watch the pods of a cluster: the one that KUBECONFIG names, or that this runs in.

    The host of an event is the node. Exit code of --once: 0 when everything that runs is admitted,
    1 otherwise.

    \b
    layerproof watch kubernetes
    layerproof watch kubernetes --context production --once --output json
    """
    import os

    from layerproof.monitors.kubernetes import KubernetesRuntime
    from layerproof.wiring import open_cluster

    return _run(app, lambda: KubernetesRuntime(open_cluster(os.environ, context)), **options)


def _run(
    app: App,
    runtime: Callable[[], Runtime],
    *,
    once: bool,
    policy: Path | None,
    config: Path | None,
    host: str,
    every: float,
    log_json: bool,
) -> int:
    import os

    from layerproof.report.running import running_document, running_lines
    from layerproof.wiring import extra

    extra("uvicorn", "structlog", "prometheus_client")
    app.without_service()
    app.use("LAYERPROOF_POLICY", policy)
    app.use("LAYERPROOF_SERVICE_CONFIG", config)
    os.environ.update(app.given)  # for the processes that are started
    from layerproof.server.watch_host import watch
    from layerproof.service_config import load_service_config

    loaded = load_service_config(app.settings.service_config)
    states = watch(
        app.settings, loaded, runtime(), host=host, every=every, once=once, log_json=log_json
    )
    if not once:
        return 0
    if app.json:
        app.emit(running_document(running, answer) for running, answer in states)
    else:
        for line in running_lines(states):
            click.echo(line)
    return 0 if all(a is not None and str(a.decided) != "refuse" for _, a in states) else 1
