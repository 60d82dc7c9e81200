"""The webhooks' certificates inside a cluster: kept in a Secret, trusted by the configurations.

Every replica does the same: read the Secret, renew what is due, write it back unless another was
faster, put the authorities into the configurations, and lay what it serves into files, which are
read again when they change. So nothing is restarted, and no replica leads.
"""

import base64
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from layerproof.clusters.kubernetes import ConflictError, Kubernetes
from layerproof.errors import LayerproofError
from layerproof.gates.kubernetes.certificates import Material, renewed
from layerproof.gates.kubernetes.manifests import (
    NAME,
    SECRET,
    Plan,
    path_of,
    trusting,
    webhooks,
)
from layerproof.server import logs

LOOK_SECONDS = 60.0
_TRIES = 5
_PARTS = {
    "ca.crt": "authorities",
    "ca.key": "authority_key",
    "tls.crt": "certificate",
    "tls.key": "key",
}


class ClusterCertificates:
    """For one namespace. `names`: of the service; `folder`: where tls.crt and tls.key are laid."""

    def __init__(
        self,
        api: Kubernetes,
        namespace: str,
        names: Sequence[str],
        folder: Path,
        now: Callable[[], datetime],
    ) -> None:
        self._api = api
        self._path = f"/api/v1/namespaces/{namespace}/secrets"
        self._namespace = namespace
        self._names = names
        self._folder = folder
        self._now = now
        self._stop = threading.Event()

    @property
    def files(self) -> tuple[Path, Path]:
        """Chain and key."""
        return self._folder / "tls.crt", self._folder / "tls.key"

    def once(self) -> None:
        """See the module. Raises LayerproofError."""
        material = self._material()
        write_files(self._folder, material, with_authority_key=False)
        for wanted in webhooks(Plan(namespace=self._namespace)):
            found = self._api.find(path_of(wanted))
            changed = trusting(found, material.authorities) if found else None
            if changed is not None:
                self._api.replace(path_of(wanted), changed)
                logs.logger().info("authorities written", where=path_of(wanted))

    def start(self) -> None:
        """Go on by a thread."""
        threading.Thread(target=self._run, name="certificates", daemon=True).start()

    def stop(self) -> None:
        """End it."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            try:
                self.once()
            except LayerproofError as error:
                logs.logger().error("certificates not renewed", error=str(error))

    def _material(self) -> Material:
        for _ in range(_TRIES):
            secret = self._api.find(f"{self._path}/{SECRET}")
            before = None if secret is None else _read(secret)
            after = renewed(before, self._names, self._now())
            if after == before:
                return after
            try:
                return self._write(secret, after)
            except ConflictError:
                continue  # another replica was faster: what it wrote is read
        raise ConflictError("the Secret changes all the time", where=f"{self._path}/{SECRET}")

    def _write(self, secret: Mapping[str, Any] | None, material: Material) -> Material:
        data = {
            name: base64.b64encode(getattr(material, part)).decode()
            for name, part in _PARTS.items()
        }
        if secret is None:
            metadata = {
                "name": SECRET,
                "namespace": self._namespace,
                "labels": {"app.kubernetes.io/name": NAME},
            }
            body = {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": metadata}
            self._api.create(self._path, {**body, "data": data})
        else:
            self._api.replace(f"{self._path}/{SECRET}", {**secret, "data": data})
        logs.logger().info("certificates renewed", where=SECRET)
        return material


def _read(secret: Mapping[str, Any]) -> Material | None:
    data = secret.get("data") or {}
    if not all(data.get(name) for name in _PARTS):
        return None
    return Material(**{part: base64.b64decode(data[name]) for name, part in _PARTS.items()})


def read_files(folder: Path) -> Material | None:
    """From a folder of `write_files`; None if there is none yet."""
    try:
        return Material(**{part: (folder / name).read_bytes() for name, part in _PARTS.items()})
    except FileNotFoundError:
        return None


def write_files(folder: Path, material: Material, *, with_authority_key: bool) -> None:
    """Lay it into files that only we may read; unchanged ones stay. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, part in _PARTS.items():
        if name == "ca.key" and not with_authority_key:
            continue
        file, data = folder / name, getattr(material, part)
        if file.exists() and file.read_bytes() == data:
            continue
        made = folder / f".{name}"
        with open(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            out.write(data)
        os.replace(made, file)
