"""A running service: the real program, on a port of its own, and a client for it."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from tests.e2e.daemons import CannotStartError, Registry, accepts, free_port, serving

PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Running:
    """A service that runs; `token` is its administrator's."""

    url: str
    token: str
    process: "subprocess.Popen[bytes]"

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """One request with the administrator's token."""
        headers = {"Authorization": f"Bearer {self.token}", **more.pop("headers", {})}
        return httpx.request(
            method, f"{self.url}/api/v1{path}", headers=headers, timeout=30, **more
        )

    def ask_root(self, path: str) -> httpx.Response:
        """What stands beside the API."""
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx.get(f"{self.url}{path}", headers=headers, timeout=30)

    def items(self, path: str) -> list[dict[str, Any]]:
        """The first page of a list."""
        answer = self.ask("GET", path)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["items"]
        return found

    def notifier(self, registry: str) -> str:
        """A token for a registry."""
        body = {"name": f"n {registry}", "role": "notifier", "registry": registry}
        answer = self.ask("POST", "/tokens", json=body)
        assert answer.status_code == 201, answer.text
        token: str = answer.json()["token"]
        return token


@contextmanager
def service(
    folder: Path,
    environment: Mapping[str, str] | None = None,
    *arguments: str,
    tls: bool = False,
) -> Iterator[Running]:
    """`layerproof serve` in this folder; on SQLite, if the environment names no other index. `tls`:
    it was given a certificate."""
    port = free_port()
    own = {"LAYERPROOF_INDEX": str(folder / "layerproof/index.db"), "XDG_DATA_HOME": str(folder)}
    variables = clean({**own, **(environment or {})})
    command = [sys.executable, "-m", "layerproof.cli.main", "serve"]
    command += ["--listen", f"127.0.0.1:{port}", *arguments]
    with (folder / "service.log").open("ab") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=variables
        )
    try:
        url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
        until(lambda: process.poll() is not None or _alive(url))
        assert process.poll() is None, (folder / "service.log").read_text()
        yield Running(url, _admin_token(folder, variables), process)
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _admin_token(folder: Path, variables: Mapping[str, str]) -> str:
    file = folder / "layerproof/admin-token"
    if file.exists():
        return file.read_text().strip()
    # On PostgreSQL, where several may start at once, the operator makes the first one.
    command = [sys.executable, "-m", "layerproof.cli.main", "token", "create", "--quiet"]
    command += ["--name", "tests", "--role", "admin"]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def clean(more: Mapping[str, str]) -> dict[str, str]:
    """The caller's environment without what would change the outcome, and more."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("LAYERPROOF_", "DOCKER_"))
    }
    return {**kept, **more}


def until(holds: Callable[[], bool]) -> None:
    """Wait for it."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.1)


def _alive(url: str) -> bool:
    try:
        # because its certificate is one of a test's own
        return httpx.get(f"{url}/readyz", timeout=5, verify=False).status_code == 200
    except httpx.HTTPError:
        return False


CONFIG = """\
version: 0.1
log: {{level: warn}}
storage: {{filesystem: {{rootdirectory: {folder}/data}}, delete: {{enabled: true}}}}
http: {{addr: 127.0.0.1:{port}, secret: not-secret}}
auth: {{htpasswd: {{realm: tests, path: {folder}/htpasswd}}}}
notifications:
  endpoints:
    - name: layerproof
      url: {url}/api/v1/notifications
      headers: {{Authorization: [Bearer {token}]}}
      timeout: 5s
      threshold: 3
      backoff: 1s
"""


@contextmanager
def reporting_registry(
    folder: Path, port: int, running: Running, token: str, accounts: Mapping[str, str]
) -> Iterator[dict[str, Registry]]:
    """A CNCF registry with accounts that reports to the service; it by account."""
    if missing := [n for n in ("docker-registry", "htpasswd", "skopeo") if not shutil.which(n)]:
        raise CannotStartError(f"not installed: {', '.join(missing)}")
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        subprocess.run(
            ["htpasswd", "-Bbn", name, password], capture_output=True, text=True, check=True
        ).stdout.strip()
        for name, password in accounts.items()
    ]
    (folder / "htpasswd").write_text("\n".join(lines) + "\n")
    text = CONFIG.format(folder=folder, port=port, url=running.url, token=token)
    (folder / "config.yml").write_text(text)
    import socket

    command = ["docker-registry", "serve", str(folder / "config.yml")]
    address = ("127.0.0.1", port)
    with serving(command, folder / "log", lambda: accepts(socket.AF_INET, address)):
        host = f"127.0.0.1:{port}"
        yield {name: Registry(host, name, password) for name, password in accounts.items()}


def push(layout: Path, registry: Registry, name: str, folder: Path) -> None:
    """Push an OCI layout's image with skopeo, by an account."""
    config = registry.docker_config(folder / f"docker-{registry.user}") / "config.json"
    subprocess.run(
        ["skopeo", "copy", "--authfile", str(config), "--dest-tls-verify=false",
         f"oci:{layout}:latest", f"docker://{registry.host}/{name}"],
        check=True,
        capture_output=True,
    )  # fmt: skip


def pretty(document: object) -> str:
    """For messages of tests."""
    return json.dumps(document, indent=1)
