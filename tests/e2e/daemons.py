"""Real servers for the tests: a CNCF registry and a Docker Engine, each in a folder of its own, on
the loopback address or a Unix socket, stopped by process id."""

import base64
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

START_SECONDS = 60.0


class CannotStartError(Exception):
    """A program is missing, or it ended before it served; the message has its last words."""


@dataclass(frozen=True, slots=True)
class Registry:
    """A running registry. `user` and `password` are empty where it asks for none."""

    host: str
    user: str = ""
    password: str = ""

    def docker_config(self, folder: Path) -> Path:
        """Write a docker `config.json` with the credentials; returns its folder."""
        folder.mkdir(parents=True, exist_ok=True)
        auth = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        document = {"auths": {self.host: {"auth": auth}}}
        (folder / "config.json").write_text(json.dumps(document))
        return folder


@dataclass(frozen=True, slots=True)
class DockerEngine:
    """A running Docker Engine, and the containerd that it started for itself."""

    socket: Path
    folder: Path

    @property
    def url(self) -> str:
        """As DOCKER_HOST has it."""
        return f"unix://{self.socket}"

    @property
    def containerd(self) -> Path:
        """The socket of its containerd."""
        return self.folder / "exec" / "containerd" / "containerd.sock"

    def layer(self, chain_id: str) -> tuple[str, str]:
        """The DiffID and the parent's ChainID (empty for the lowest) that Docker keeps under a
        ChainID: its layer store has one folder for each. Raises FileNotFoundError."""
        store = self.folder / "data" / "image" / "overlay2" / "layerdb"
        folder = store.joinpath(*chain_id.split(":"))
        parent = folder / "parent"
        return (folder / "diff").read_text(), parent.read_text() if parent.exists() else ""


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def serving(
    command: list[str], log: Path, ready: Callable[[], bool]
) -> Iterator[subprocess.Popen[bytes]]:
    """The program runs inside the block. Raises CannotStartError."""
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                said = log.read_text(errors="replace").strip().splitlines()[-5:]
                raise CannotStartError(f"{command[0]} did not start: {' | '.join(said)}")
            time.sleep(0.05)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def accepts(family: socket.AddressFamily, address: object) -> bool:
    """Whether somebody listens there."""
    with socket.socket(family) as probe:
        return probe.connect_ex(address) == 0  # type: ignore[arg-type]  # because it depends on family


REGISTRY_CONFIG = """\
version: 0.1
log: {{level: warn}}
storage: {{filesystem: {{rootdirectory: {folder}/data}}, delete: {{enabled: true}}}}
http: {{addr: 127.0.0.1:{port}, secret: not-secret}}
"""
AUTH_CONFIG = "auth: {{htpasswd: {{realm: tests, path: {folder}/htpasswd}}}}\n"


@contextmanager
def registry(folder: Path, user: str = "", password: str = "") -> Iterator[Registry]:
    """A registry, with basic authentication where a user is given. Raises CannotStartError."""
    needed = ["docker-registry", *(["htpasswd"] if user else [])]
    if missing := [name for name in needed if not shutil.which(name)]:
        raise CannotStartError(f"not installed: {', '.join(missing)}")
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    config = REGISTRY_CONFIG.format(folder=folder, port=port)
    if user:
        config += AUTH_CONFIG.format(folder=folder)
        done = subprocess.run(
            ["htpasswd", "-Bbn", user, password], capture_output=True, text=True, check=True
        )
        (folder / "htpasswd").write_text(done.stdout)
    (folder / "config.yml").write_text(config)
    command = ["docker-registry", "serve", str(folder / "config.yml")]
    address = ("127.0.0.1", port)
    with serving(command, folder / "log", lambda: accepts(socket.AF_INET, address)):
        yield Registry(f"127.0.0.1:{port}", user, password)


@contextmanager
def docker_engine(folder: Path, *options: str) -> Iterator[DockerEngine]:
    """A Docker Engine with its own data, without network. Raises CannotStartError."""
    program = shutil.which("dockerd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if not program:
        raise CannotStartError("not installed: dockerd")
    if os.geteuid() != 0:
        raise CannotStartError("dockerd needs root")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "docker.sock"
    command = [
        program,
        f"--data-root={folder}/data",
        f"--exec-root={folder}/exec",
        f"--pidfile={folder}/pid",
        f"--host=unix://{path}",
        "--iptables=false",
        "--bridge=none",
        "--storage-driver=overlay2",
        *options,
    ]
    with serving(command, folder / "log", lambda: accepts(socket.AF_UNIX, str(path))):
        running = DockerEngine(path, folder)
        check_unpacking(running)
        yield running


def check_unpacking(engine: DockerEngine) -> None:
    """An engine that starts may yet be unable to unpack a layer, in a chroot for example; and
    clients that load an image do not always say so. Raises CannotStartError."""
    empty_tar = bytes(10_240)
    done = subprocess.run(
        ["docker", "--host", engine.url, "import", "-", "probe:latest"],
        input=empty_tar,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()
        raise CannotStartError(f"dockerd cannot unpack layers here: {said}")


CONTAINERD_CONFIG = """\
version = 2
root = "{folder}/root"
state = "{folder}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "{folder}/c.sock"
[ttrpc]
  address = "{folder}/t.sock"
"""


@contextmanager
def containerd(folder: Path) -> Iterator[Path]:
    """A containerd of its own; its socket. Raises CannotStartError."""
    program = shutil.which("containerd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if not program or not shutil.which("ctr"):
        raise CannotStartError("not installed: containerd")
    if os.geteuid() != 0:
        raise CannotStartError("containerd needs root")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.toml").write_text(CONTAINERD_CONFIG.format(folder=folder))
    path = folder / "c.sock"
    command = [program, "--config", str(folder / "config.toml")]
    with serving(command, folder / "log", lambda: accepts(socket.AF_UNIX, str(path))):
        yield path
