"""The verifier in containerd's configuration, and what goes silently round it.

containerd asks its verifiers only when it pulls by its transfer service. Nothing tells when it does
not, so the configuration is looked at, and each way round is named.

Source: containerd 2.x, docs/image-verification.md, internal/cri/server/images/image_pull.go
(`use_local_image_pull` and what falls back to it), pkg/imageverifier/bindir.
"""

import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from layerproof.errors import UsageError

PLUGIN = "io.containerd.image-verifier.v1.bindir"
_CRI = ("io.containerd.cri.v1.images", "io.containerd.grpc.v1.cri")
FIRST_VERSION = (1, 7)
FIRST_CRI = (2, 1)  # the first whose CRI pulls by the transfer service
DEFAULT_DOWNLOADS = 3
_LEAST_SECONDS = 10.0
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    what: str
    passed: bool
    details: str


def snippet(folder: Path) -> str:
    """What belongs into containerd's configuration."""
    return (
        f"[plugins.'{PLUGIN}']\n"
        f"  bin_dir = '{folder}'\n"
        "  max_verifiers = 10\n"
        "  per_verifier_timeout = '10s'\n"
    )


def build_client(socket: Path, *, fail_open: bool, interpreter: str = sys.executable) -> bytes:
    """The verifier's bytes: compiled where there is a compiler, else a script. Raises UsageError
    for a path that no socket can have."""
    if (
        len(os.fsencode(socket)) > 100
        or not str(socket).isprintable()
        or set(str(socket)) & set('"\\')
    ):
        raise UsageError("no path for a socket", where=str(socket), remedy="name a shorter path")
    compiler = shutil.which("cc")
    if compiler is not None:
        made = _compiled(compiler, socket, fail_open=fail_open)
        if made is not None:
            return made
    source = files("layerproof.gates.containerd").joinpath("client.py.txt").read_text("utf-8")
    return (
        source.replace("@PYTHON@", interpreter)
        .replace("@OPEN@", str(fail_open))
        .replace("@SOCKET@", repr(str(socket)))
        .encode()
    )


def place(folder: Path, name: str, data: bytes) -> Path:
    """Put the verifier where containerd looks: whole, or not at all. Raises UsageError."""
    target = folder / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Not in the folder itself: containerd starts every file that it finds there.
        handle, made = tempfile.mkstemp(prefix=".layerproof-", dir=folder.parent)
        with os.fdopen(handle, "wb") as out:
            out.write(data)
            os.fchmod(out.fileno(), 0o755)
        os.replace(made, target)
    except OSError as error:
        raise UsageError(
            f"cannot be written: {error.strerror}", where=str(target), remedy="run as root"
        ) from error
    return target


def read_config(text: str, where: str) -> Mapping[str, Any]:
    """containerd's configuration. Raises UsageError."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"not TOML: {error}", where=where, remedy="mend it first") from error


def checks(config: Mapping[str, Any], version: str, folder: Path, name: str) -> list[Check]:
    """Whether containerd asks the verifier, by its configuration."""
    found = _version(version)
    plugin = _table(_table(config.get("plugins")).get(PLUGIN))
    disabled = config.get("disabled_plugins")
    off = isinstance(disabled, list) and PLUGIN in disabled
    return [
        Check(
            "containerd knows verifiers",
            found >= FIRST_VERSION,
            f"version {version or '?'}; needs 1.7, for Kubernetes 2.1",
        ),
        Check(
            "the configuration names the folder",
            plugin.get("bin_dir") == str(folder) and not off,
            f"{PLUGIN}: bin_dir = {plugin.get('bin_dir')!r}" + (", disabled" if off else ""),
        ),
        _patience(plugin),
        _reached(folder, name, plugin),
        *_cri(config, found),
    ]


def tried(verifier: Path) -> Check:
    """Whether the verifier reaches the gate: it is asked about nothing, which the gate refuses in
    its own words."""
    what = "the verifier reaches the gate"
    try:
        done = subprocess.run(
            [str(verifier)], input=b"", capture_output=True, timeout=15, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Check(what, False, f"{verifier}: {type(error).__name__}")
    said = done.stdout.decode("utf-8", "replace").strip()
    return Check(what, "cannot be judged" in said, said[:300])


def dumped(program: str = "containerd", config: Path | None = None) -> tuple[str, str]:
    """The whole configuration as containerd reads it, and its version. Raises UsageError."""
    given = ["--config", str(config)] if config is not None else []
    try:
        text = _said([program, *given, "config", "dump"])
        version = re.search(r"\bv?(\d+\.\d+\.\d+)", _said([program, "--version"]))
    except OSError as error:
        raise UsageError(
            f"containerd cannot be asked: {error.strerror}", where=program, remedy="install it"
        ) from error
    return text, version[1] if version else ""


def _said(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise UsageError(
            f"it failed: {done.stderr.strip()[-300:]}",
            where=" ".join(command),
            remedy="mend containerd's configuration",
        )
    return done.stdout


def _compiled(compiler: str, socket: Path, *, fail_open: bool) -> bytes | None:
    source = files("layerproof.gates.containerd").joinpath("client.c").read_text("utf-8")
    with tempfile.TemporaryDirectory(prefix="layerproof-") as folder:
        made = Path(folder) / "client"
        options = [f'-DLAYERPROOF_SOCKET="{socket}"', f"-DLAYERPROOF_OPEN={int(fail_open)}"]
        command = [compiler, "-O2", "-static", *options, "-x", "c", "-", "-o", str(made)]
        for attempt in (command, [word for word in command if word != "-static"]):
            done = subprocess.run(
                attempt, input=source, text=True, capture_output=True, timeout=120, check=False
            )
            if done.returncode == 0:
                return made.read_bytes()
    return None


def _patience(plugin: Mapping[str, Any]) -> Check:
    text = str(plugin.get("per_verifier_timeout", "10s"))
    parts = re.findall(r"([0-9.]+)(ms|h|m|s)", text)
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    return Check(
        "it waits long enough", seconds >= _LEAST_SECONDS, f"per_verifier_timeout = {text}"
    )


def _reached(folder: Path, name: str, plugin: Mapping[str, Any]) -> Check:
    what = "the verifier is there, and only root can change it"
    try:
        there = sorted(entry.name for entry in folder.iterdir())
        states = [folder.stat(), (folder / name).stat()]
    except OSError as error:
        return Check(what, False, f"{error.filename}: {error.strerror}")
    loose = [s for s in states if s.st_uid != 0 or s.st_mode & (stat.S_IWGRP | stat.S_IWOTH)]
    most = plugin.get("max_verifiers", 10)
    late = isinstance(most, int) and 0 <= most <= there.index(name)
    executable = bool(states[1].st_mode & stat.S_IXUSR)
    details = f"{folder / name}, {len(there)} verifiers, max_verifiers = {most}"
    return Check(what, not loose and not late and executable, details)


def _cri(config: Mapping[str, Any], version: tuple[int, ...]) -> list[Check]:
    """What makes CRI, so Kubernetes, pull without asking."""
    disabled = config.get("disabled_plugins")
    off = set(disabled) if isinstance(disabled, list) else set()
    plugins = _table(config.get("plugins"))
    tables = {name: _table(plugins[name]) for name in _CRI if name in plugins and name not in off}
    if not tables:
        return []
    found = [
        Check(
            "Kubernetes' pulls are asked about",
            version >= FIRST_CRI,
            "from containerd 2.1 on; before, CRI pulls by itself",
        )
    ]
    for name, table in tables.items():
        registry = _table(table.get("registry"))
        found.extend(
            Check(
                f"no registry.{key} of CRI",
                not registry.get(key),
                f"{name}: with it CRI pulls by itself; use registry.config_path",
            )
            for key in ("mirrors", "configs", "auths")
        )
        downloads = table.get("max_concurrent_downloads", DEFAULT_DOWNLOADS)
        found.append(
            Check(
                "max_concurrent_downloads is as it was",
                downloads == DEFAULT_DOWNLOADS,
                f"{name}: {downloads}; with another number than 3 CRI pulls by itself",
            )
        )
        found.append(
            Check(
                "use_local_image_pull is off",
                not table.get("use_local_image_pull"),
                f"{name}: with it CRI pulls by itself",
            )
        )
    return found


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2] if part.isdigit()) or (0, 0)


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
