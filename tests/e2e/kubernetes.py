"""A real kube-apiserver on a real etcd, on loopback, in a folder of its own. No nodes: what a
kubelet would report is written into the status of pods."""

import os
import shutil
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from tests.e2e.daemons import CannotStartError, accepts, free_port, serving

from layerproof.gates.kubernetes.certificates import renewed
from layerproof.server.cluster_certificates import write_files

ROOT = Path(__file__).parents[2]
TOKEN = "not-a-secret"
KUBECONFIG = """\
apiVersion: v1
kind: Config
current-context: test
contexts: [{{name: test, context: {{cluster: test, user: admin}}}}]
clusters: [{{name: test, cluster: {{server: "{url}", certificate-authority: "{authority}"}}}}]
users: [{{name: admin, user: {{token: {token}}}}}]
"""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running API server."""

    url: str
    folder: Path

    @property
    def kubeconfig(self) -> Path:
        """Of its administrator."""
        return self.folder / "kubeconfig"

    def ask(
        self, method: str, path: str, body: object = None, *, user: str = "", groups: str = "",
        kind: str = "application/json",
    ) -> httpx.Response:  # fmt: skip
        """One request, as the administrator or for somebody else."""
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": kind}
        if user:
            headers |= {"Impersonate-User": user, "Impersonate-Group": groups}
        context = ssl.create_default_context(cafile=str(self.folder / "tls/ca.crt"))
        with httpx.Client(verify=context, timeout=40) as client:
            return client.request(method, self.url + path, json=body, headers=headers)

    def create(self, resource: str, body: dict[str, Any], **more: Any) -> httpx.Response:
        """In the namespace `shop` unless it says another."""
        namespace = body["metadata"].get("namespace", "shop")
        root = f"/apis/{body['apiVersion']}" if "/" in body["apiVersion"] else "/api/v1"
        return self.ask("POST", f"{root}/namespaces/{namespace}/{resource}", body, **more)


def program() -> Path:
    """kube-apiserver. Raises CannotStartError."""
    named = os.environ.get("LAYERPROOF_KUBE_APISERVER")
    found = (
        [Path(named)] if named else sorted((ROOT / ".cache/kubernetes").glob("kube-apiserver-*"))
    )
    if not found or not found[-1].exists():
        raise CannotStartError("no kube-apiserver: `make e2e-kubernetes` builds it")
    if not shutil.which("etcd"):
        raise CannotStartError("not installed: etcd (etcd-server)")
    return found[-1]


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """Runs inside the block. Raises CannotStartError."""
    server = program()
    folder.mkdir(parents=True, exist_ok=True)
    material = renewed(None, ["127.0.0.1"], datetime.now(UTC))
    write_files(folder / "tls", material, with_authority_key=True)
    (folder / "tokens.csv").write_text(f'{TOKEN},admin,1,"system:masters"\n')
    client, peer, port = free_port(), free_port(), free_port()
    url = f"https://127.0.0.1:{port}"
    etcd = [
        "etcd", "--data-dir", str(folder / "etcd"), "--unsafe-no-fsync",
        "--listen-client-urls", f"http://127.0.0.1:{client}",
        "--advertise-client-urls", f"http://127.0.0.1:{client}",
        "--listen-peer-urls", f"http://127.0.0.1:{peer}",
        "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}",
        "--initial-cluster", f"default=http://127.0.0.1:{peer}",
    ]  # fmt: skip
    api = [
        str(server), f"--etcd-servers=http://127.0.0.1:{client}", "--bind-address=127.0.0.1",
        f"--secure-port={port}", "--advertise-address=127.0.0.1",
        f"--tls-cert-file={folder}/tls/tls.crt", f"--tls-private-key-file={folder}/tls/tls.key",
        f"--token-auth-file={folder}/tokens.csv", "--authorization-mode=RBAC",
        "--service-cluster-ip-range=10.99.0.0/24",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={folder}/tls/tls.crt",
        f"--service-account-signing-key-file={folder}/tls/tls.key",
        "--disable-admission-plugins=ServiceAccount", "--feature-gates=ImageVolume=true",
        "--endpoint-reconciler-type=none",
    ]  # fmt: skip
    running = Cluster(url, folder)
    running.kubeconfig.write_text(
        KUBECONFIG.format(url=url, authority=folder / "tls/ca.crt", token=TOKEN)
    )

    def ready() -> bool:
        try:
            return running.ask("GET", "/readyz").status_code == 200
        except httpx.HTTPError:
            return False

    def etcd_up() -> bool:
        return accepts(socket.AF_INET, ("127.0.0.1", client))

    with (
        serving(etcd, folder / "etcd.log", etcd_up),
        serving(api, folder / "apiserver.log", ready),
    ):
        yield running
