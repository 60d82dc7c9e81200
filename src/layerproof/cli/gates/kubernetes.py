"""`layerproof gate kubernetes`: the admission webhooks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from layerproof.cli.app import App, shared

if TYPE_CHECKING:
    from layerproof.clusters.kubernetes import Kubernetes

_FOLDER = click.Path(path_type=Path, file_okay=False)
_FILE = click.Path(path_type=Path, dir_okay=False)
_CONTEXT = click.option(
    "--context", default="", help="Of the kubeconfig; default: the current one."
)


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
    app.without_service()
    app.use("LAYERPROOF_TLS_CERT", tls_cert)
    app.use("LAYERPROOF_TLS_KEY", tls_key)
    app.use("LAYERPROOF_POLICY", policy)
    app.use("LAYERPROOF_SERVICE_CONFIG", config)
    os.environ.update(app.given)  # for the processes that are started
    from layerproof.server.kubernetes_gate import certified
    from layerproof.server.kubernetes_gate import serve as run
    from layerproof.server.run import bind
    from layerproof.service_config import load_service_config

    loaded = load_service_config(app.settings.service_config)
    sockets = bind(listen)
    if not app.quiet:
        scheme = "https" if app.settings.tls_certificate else "http"
        click.echo(f"listening at {scheme}://{listen}", err=True)
    with certified(app.settings, service, log_json=log_json) as settings:
        return run(settings, loaded, sockets, wait=wait, client_ca=client_ca, log_json=log_json)


@command.command()
@click.argument("folder", type=_FOLDER)
@click.option("--host", "hosts", multiple=True, required=True, help="Name or address of the gate.")
@shared
def certificates(app: App, folder: Path, hosts: tuple[str, ...]) -> int:
    """Make certificates for a gate outside of the cluster, or renew what is due, in FOLDER.

    ca.crt is for `install`, tls.crt and tls.key for `serve`; ca.key signs the next ones. Run it
    every day: what is not due stays as it is.

    \b
    layerproof gate kubernetes certificates /etc/layerproof/tls --host gate.example
    """
    from layerproof.errors import UsageError
    from layerproof.gates.kubernetes.certificates import renewed
    from layerproof.server.cluster_certificates import read_files, write_files
    from layerproof.wiring import open_clock

    try:
        before = read_files(folder)
        after = renewed(before, hosts, open_clock().now())
        write_files(folder, after, with_authority_key=True)
    except OSError as error:
        raise UsageError(
            f"cannot be written: {error.strerror}", where=str(folder), remedy="name another folder"
        ) from error
    if not app.quiet:
        click.echo("nothing was due" if after == before else f"renewed in {folder}")
    return 0


def _placed(function: Callable[..., Any]) -> Callable[..., Any]:
    """Where the gate stands."""
    for option in reversed(
        (
            click.option("--namespace", default="layerproof", show_default=True, help="Its own."),
            click.option("--url", default="", help="Of a gate outside of the cluster."),
            _CONTEXT,
        )
    ):
        function = option(function)
    return function


@command.command()
@_placed
@click.option("--ca-file", type=_FILE, help="Authorities of a gate outside: ca.crt.")
@click.option("--image", default="", help="Of Layerproof, by its digest: NAME@sha256:…")
@click.option("--database", default="", help="SECRET/KEY with a PostgreSQL URL.")
@click.option("--policy", type=_FILE, help="The policy file.")
@click.option("--config", type=_FILE, help="The service's file.")
@click.option(
    "--cert-manager", "issuer", default="", metavar="[Issuer/]NAME",
    help="Let cert-manager make the certificates, by this ClusterIssuer or Issuer.",
)  # fmt: skip
@click.option("--soft", multiple=True, help="A namespace that starts without the gate, too.")
@click.option("--custom", multiple=True, help="RESOURCE.GROUP of a custom resource with pods.")
@click.option("--timeout", type=click.IntRange(1, 30), default=10, show_default=True,
              help="Seconds that the API server waits.")  # fmt: skip
@click.option("--ignore-failure", is_flag=True, help="Let all pass while the gate is down.")
@click.option("--apply", "applied", is_flag=True, help="Put it into the cluster, not to output.")
@shared
def install(
    app: App,
    namespace: str,
    url: str,
    context: str,
    ca_file: Path | None,
    image: str,
    database: str,
    policy: Path | None,
    config: Path | None,
    issuer: str,
    soft: tuple[str, ...],
    custom: tuple[str, ...],
    timeout: int,
    ignore_failure: bool,
    applied: bool,
) -> int:
    """Write the gate's manifests, or put them into the cluster.

    Begin with `mode: observe` in the policy. The webhooks come last. The chart
    deploy/helm/layerproof does the same.

    \b
    layerproof gate kubernetes install --image IMAGE@sha256:… --database db/url > gate.yaml
    layerproof gate kubernetes install --url https://gate.example:8443 --ca-file ca.crt --apply
    """
    from layerproof.errors import UsageError
    from layerproof.gates.kubernetes.manifests import Plan, path_of, webhooks, workload

    if url and not (url.startswith("https://") and ca_file):
        raise UsageError(
            "a gate outside needs https, and its authorities", where="--url",
            remedy="--url https://gate.example:8443 --ca-file ca.crt",
        )  # fmt: skip
    if not url and ("@sha256:" not in image or not database):
        raise UsageError(
            "a gate inside needs an image by its digest, and a database", where="--image",
            remedy="--image registry.example/layerproof@sha256:… --database SECRET/KEY",
        )  # fmt: skip
    if issuer and (url or issuer.rpartition("/")[0] not in ("", "Issuer", "ClusterIssuer")):
        raise UsageError(
            "cert-manager makes certificates for a gate inside, by a ClusterIssuer or an Issuer",
            where="--cert-manager", remedy="--cert-manager NAME, or --cert-manager Issuer/NAME",
        )  # fmt: skip
    plan = Plan(
        namespace=namespace,
        issuer=issuer,
        authorities=_bytes(ca_file),
        url=url.rstrip("/"),
        timeout=timeout,
        soft=soft or Plan().soft,
        custom=custom,
        fail=not ignore_failure,
        image=image,
        service_config=_bytes(config).decode() or "{}\n",
        policy=_bytes(policy).decode(),
        database=database,
    )
    documents = [*workload(plan), *webhooks(plan)]
    if not applied:
        import yaml

        click.echo(yaml.safe_dump_all(documents, sort_keys=False), nl=False)
        return 0
    api = _cluster(context)
    for document in documents:
        api.apply(path_of(document), document)
        if not app.quiet:
            click.echo(f"applied {path_of(document)}", err=True)
    return 0


@command.command()
@_placed
@shared
def uninstall(app: App, namespace: str, url: str, context: str) -> int:
    """Take the gate out of the cluster: the webhooks first, so that nothing is refused meanwhile.

    The namespace stays, with what else is in it.

    \b
    layerproof gate kubernetes uninstall
    """
    from layerproof.gates.kubernetes.manifests import (
        SECRET,
        Plan,
        certificate,
        path_of,
        webhooks,
        workload,
    )

    plan = Plan(namespace=namespace, url=url)
    api = _cluster(context)
    documents = [*webhooks(plan), *reversed(workload(plan))]
    if not url:
        documents.append(certificate(plan))  # where cert-manager made it
    paths = [path_of(d) for d in documents if d["kind"] != "Namespace"]
    if not url:
        paths.append(f"/api/v1/namespaces/{namespace}/secrets/{SECRET}")
    for path in paths:
        api.delete(path)
        if not app.quiet:
            click.echo(f"deleted {path}", err=True)
    return 0


@command.command()
@_CONTEXT
@click.option("--probe", default="default", show_default=True, help="Namespace for a dry run.")
@shared
def status(app: App, context: str, probe: str) -> int:
    """Tell whether the gate stands before the cluster, and whether it is asked.

    It makes a pod by dry run, which nothing can trust: this gate must refuse it. Exit code: 0 when
    all is well, 1 otherwise.

    \b
    layerproof gate kubernetes status
    """
    from layerproof.server.kubernetes_status import look

    found = look(_cluster(context), probe)
    if app.json:
        checks = [{"check": c.name, "passed": c.good, "details": c.said} for c in found]
        document = {"apiVersion": "layerproof/v1", "kind": "GateStatus", "gate": "kubernetes"}
        app.emit([{**document, "bites": found[-1].good, "checks": checks}])
    else:
        for check in found:
            click.echo(f"{'ok ' if check.good else 'NOT'} {check.name}: {check.said}")
    return 0 if all(check.good for check in found) else 1


def _cluster(context: str) -> Kubernetes:
    import os

    from layerproof.wiring import open_cluster

    return open_cluster(os.environ, context)


def _bytes(file: Path | None) -> bytes:
    from layerproof.errors import UsageError

    if file is None:
        return b""
    try:
        return file.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=str(file)) from error
