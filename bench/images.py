"""Builds the benchmark's images from Debian, PyPI and npm packages, without a container engine.

Every layer is made the way a Dockerfile makes it: a step changes a root file system, and the layer
is what the step changed (OCI image-spec, layer.md "Change sets"). Finished layers are kept under a
key of the step and all steps below it, so a build that was interrupted goes on where it stopped,
and images that share their lower steps share their layers.

    python bench/images.py medium large     # into LAYERPROOF_BENCH_DIR, default .cache/bench

`<cache>/<image>` is an OCI layout with gzip layers and the tag `latest`; the file
`<cache>/READY-<image>` appears when it is whole. Needs root (chroot), mmdebstrap and npm.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import stat
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

EPOCH = 1_750_000_000  # every time stamp that we choose ourselves
SUITE = "bookworm"
MIRROR = "http://deb.debian.org/debian"
SITE_PACKAGES = "usr/local/lib/python3.11/dist-packages"
# The machine's own name resolution is lent to the chroot and is not part of any layer.
LENT = "etc/resolv.conf"
SKIPPED = {LENT, "proc", "sys", "root/.npm", "root/.cache"}


class BuildError(Exception):
    """A step failed, or the machine lacks something; the message says which."""


# --- what the images hold ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Step:
    """One layer: a kind of installer and what it installs."""

    kind: str  # base, apt, pip, npm, app, upgrade or chown
    items: tuple[str, ...]

    @property
    def command(self) -> str:
        """What the image's history says of it."""
        return f"{self.kind} {' '.join(self.items)}"


BASE = Step("base", ("slim",))

MEDIUM_STEPS = (
    BASE,
    Step("apt", ("ca-certificates", "curl", "python3", "python3-venv")),
    Step("apt", ("git", "openssh-client", "libpq5", "libxml2")),
    Step("pip", ("django", "requests", "celery", "redis", "sqlalchemy", "jinja2", "pyyaml")),
    Step("pip", ("numpy", "pydantic", "fastapi", "uvicorn", "httpx")),
    Step("apt", ("nodejs",)),
    Step("npm", ("srv/web", "express", "lodash", "axios", "date-fns", "rxjs", "winston")),
    Step("app", ("srv/app", "60", "1")),
)
LARGE_STEPS = (
    *MEDIUM_STEPS[:-1],
    Step("apt", ("perl", "vim", "imagemagick", "postgresql-client")),
    Step("pip", ("scipy", "pandas", "plotly", "sympy", "boto3")),
    Step("pip", ("ansible",)),
    Step("npm", ("srv/ui", "typescript", "webpack", "next", "eslint", "@mui/material", "jest")),
    Step("npm", ("srv/icons", "@mui/icons-material", "@fluentui/react-icons", "react-icons")),
    Step("npm", ("srv/cloud", "googleapis", "aws-sdk", "@tabler/icons-react", "lucide-react")),
    Step("app", ("srv/app", "60", "2")),
)
IMAGES: dict[str, tuple[Step, ...]] = {
    "slim": (BASE, Step("apt", ("ca-certificates", "curl", "python3-minimal"))),
    "upgraded": (
        Step("base", ("released",)),
        Step("upgrade", ()),
        Step("apt", ("python3-minimal", "curl")),
        Step("pip", ("requests", "flask")),
        Step("npm", ("srv/web", "express")),
        Step("app", ("srv/app", "20", "5")),
        Step("chown", ("srv",)),
    ),
    "medium": MEDIUM_STEPS,
    "medium-app": (*MEDIUM_STEPS, Step("app", ("srv/next", "20", "3"))),
    "large": LARGE_STEPS,
    "large-app": (*LARGE_STEPS, Step("app", ("srv/next", "20", "4"))),
}


# --- running programs ----------------------------------------------------------------------------


def run(command: Sequence[str | Path], *, env: dict[str, str] | None = None) -> None:
    """Run quietly; on failure show the end of what the program said. Raises BuildError."""
    done = subprocess.run(
        [str(part) for part in command],
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode:
        tail = done.stdout.decode("utf-8", "replace").strip().splitlines()[-15:]
        said = "\n".join(tail)
        raise BuildError(f"{command[0]} ended with {done.returncode}:\n{said}")


def missing_parts() -> list[str]:
    """What the machine lacks for building."""
    lacking = [name for name in ("mmdebstrap", "npm", "tar", "gzip") if not shutil.which(name)]
    if os.geteuid() != 0:
        lacking.append("root (for chroot)")
    return lacking


# --- the steps -----------------------------------------------------------------------------------


def write_base_tar(step: Step, target: Path) -> None:
    """A Debian root file system; `slim` leaves documentation and translations out."""
    options: list[str] = []
    if step.items == ("slim",):
        left_out = ("doc", "man", "info", "locale", "lintian")
        options += [f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in left_out]
        options.append("--dpkgopt=path-include=/usr/share/doc/*/copyright")
    sources: list[str] = []
    if step.items == ("released",):  # as it was released, without the upgrades since
        sources = [f"deb {MIRROR} {SUITE} main"]
        options.append("--include=ca-certificates,openssl,tzdata")
    run(
        ["mmdebstrap", "--quiet", "--variant=minbase", *options, SUITE, target, *sources],
        env={"SOURCE_DATE_EPOCH": str(EPOCH)},
    )


def install_apt(root: Path, packages: Sequence[str]) -> None:
    """`apt-get install` inside the root file system, as a Dockerfile does it."""
    run_apt(root, ["install", "-y", "--no-install-recommends", *packages])


def upgrade(root: Path, _items: Sequence[str]) -> None:
    """`apt-get upgrade` to what was published since the release."""
    sources = root / "etc/apt/sources.list.d/since.list"
    sources.write_text(
        f"deb {MIRROR} {SUITE}-updates main\ndeb {MIRROR}-security {SUITE}-security main\n"
    )
    run_apt(root, ["-y", "upgrade"])
    sources.unlink()


def chown(root: Path, items: Sequence[str]) -> None:
    """`chown -R` of folders, as a Dockerfile does it before USER."""
    for item in items:
        for folder, _, files in os.walk(root / item):
            for path in (folder, *(os.path.join(folder, file) for file in files)):
                os.chown(path, 1000, 1000, follow_symlinks=False)


def run_apt(root: Path, command: Sequence[str]) -> None:
    """apt-get in the root file system, which is left without its traces."""
    shutil.copyfile("/etc/resolv.conf", root / LENT)
    policy = root / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")  # no service starts inside the build
    policy.chmod(0o755)
    apt = [
        "chroot",
        str(root),
        "env",
        "DEBIAN_FRONTEND=noninteractive",
        "LC_ALL=C",
        "apt-get",
        "-q",
    ]
    try:
        run([*apt, "update"])
        run([*apt, *command])
        run([*apt, "clean"])
    finally:
        policy.unlink()
        (root / LENT).unlink()
    lists = root / "var/lib/apt/lists"
    shutil.rmtree(lists)
    lists.mkdir()


def install_pip(root: Path, packages: Sequence[str]) -> None:
    """`pip install` of wheels into the image's site folder."""
    run([
        sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--upgrade",
        "--root-user-action=ignore", "--only-binary=:all:", "--python-version=3.11",
        f"--target={root / SITE_PACKAGES}", *packages,
    ])  # fmt: skip


def install_npm(root: Path, items: Sequence[str]) -> None:
    """`npm install` into a folder of the image, without running anybody's scripts."""
    folder = root / items[0]
    folder.mkdir(parents=True)
    manifest = {"name": folder.name, "version": "1.0.0", "private": True}
    (folder / "package.json").write_text(json.dumps(manifest))
    run([
        "npm", "install", "--prefix", folder, "--ignore-scripts", "--no-audit", "--no-fund",
        "--legacy-peer-deps", "--loglevel=error", *items[1:],
    ])  # fmt: skip


def install_app(root: Path, items: Sequence[str]) -> None:
    """A small application: `items` are folder, number of modules, seed."""
    folder = root / items[0]
    folder.mkdir(parents=True, exist_ok=True)
    chance = random.Random(items[2])
    for number in range(int(items[1])):
        lines = [f"VALUE_{i} = {chance.getrandbits(64)}\n" for i in range(chance.randrange(400))]
        (folder / f"module_{number:03}.py").write_text("".join(lines))
    start = folder / "start.sh"
    start.write_text("#!/bin/sh\nexec python3 -m module_000\n")
    start.chmod(0o755)


INSTALLERS = {
    "apt": install_apt,
    "pip": install_pip,
    "npm": install_npm,
    "app": install_app,
    "upgrade": upgrade,
    "chown": chown,
}


# --- what a step changed -------------------------------------------------------------------------

Fingerprint = tuple[int, int, int, int, int, int]


def snapshot(root: Path) -> dict[str, Fingerprint]:
    """Every path below `root` with what shows a change of it."""
    found: dict[str, Fingerprint] = {}
    pending = [""]
    while pending:
        folder = pending.pop()
        with os.scandir(root / folder) as entries:
            for entry in entries:
                path = f"{folder}/{entry.name}" if folder else entry.name
                if path in SKIPPED:
                    continue
                info = entry.stat(follow_symlinks=False)
                size = 0 if stat.S_ISDIR(info.st_mode) else info.st_size
                found[path] = (
                    info.st_mode, info.st_uid, info.st_gid, size, info.st_mtime_ns, info.st_ctime_ns
                )  # fmt: skip
                if stat.S_ISDIR(info.st_mode):
                    pending.append(path)
    return found


def removed(before: dict[str, Fingerprint], after: dict[str, Fingerprint]) -> Iterator[str]:
    """The topmost paths that are gone."""
    for path in sorted(before.keys() - after.keys()):
        parent = path.rpartition("/")[0]
        if not parent or parent in after:
            yield path


def write_change_set(
    root: Path,
    before: dict[str, Fingerprint],
    after: dict[str, Fingerprint],
    target: IO[bytes],
) -> None:
    """The layer tar: what is new or changed, with its folders, and whiteouts for what is gone."""
    with tarfile.open(fileobj=target, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        whiteouts: dict[str, str] = {}
        for path in removed(before, after):
            parent, _, name = path.rpartition("/")
            whiteouts[f"{parent}/.wh.{name}" if parent else f".wh.{name}"] = path
        changed = [path for path, mark in after.items() if before.get(path) != mark]
        for path in sorted([*changed, *whiteouts]):
            if path in whiteouts:
                entry = tarfile.TarInfo(path)
                entry.mtime = EPOCH
                tar.addfile(entry)
                continue
            entry = tar.gettarinfo(root / path, arcname=path)
            if entry is None:  # a socket: not representable, as with every packer
                continue
            entry.mtime = min(int(entry.mtime), EPOCH)
            if entry.isreg():
                with (root / path).open("rb") as content:
                    tar.addfile(entry, content)
            else:
                tar.addfile(entry)


# --- layers --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Layer:
    """A finished layer in the cache."""

    step: Step
    file: Path
    digest: str
    size: int
    diff_id: str
    tar_size: int
    entries: int
    files: int
    file_bytes: int


def compress(tar: Path, target: Path) -> tuple[str, int]:
    """gzip -6 without a time stamp. Returns the blob's digest and size."""
    partial = target.with_suffix(".partial")
    with tar.open("rb") as source, partial.open("wb") as out:
        subprocess.run(["gzip", "-6", "-n", "-c"], stdin=source, stdout=out, check=True)
    partial.replace(target)
    return sha256_of(target), target.stat().st_size


def sha256_of(path: Path) -> str:
    """`sha256:…` of a file."""
    with path.open("rb") as content:
        return "sha256:" + hashlib.file_digest(content, "sha256").hexdigest()


class LayerStore:
    """Finished layers, each under the key of its step and all steps below."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    @staticmethod
    def key(steps: Sequence[Step]) -> str:
        """Changes with every step that the layer stands on."""
        text = "\n".join(step.command for step in steps)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def load(self, steps: Sequence[Step]) -> Layer | None:
        """The layer on top of these steps, if it was finished."""
        record = self._folder / f"{self.key(steps)}.json"
        if not record.exists():
            return None
        data = json.loads(record.read_text())
        return Layer(step=steps[-1], file=self._folder / f"{self.key(steps)}.tar.gz", **data)

    def save(self, steps: Sequence[Step], tar: Path) -> Layer:
        """Compress and record the layer; `tar` is removed."""
        key = self.key(steps)
        file = self._folder / f"{key}.tar.gz"
        digest, size = compress(tar, file)
        with tarfile.open(tar) as content:
            sizes = [entry.size if entry.isreg() else None for entry in content]
        data: dict[str, Any] = {
            "digest": digest,
            "size": size,
            "diff_id": sha256_of(tar),
            "tar_size": tar.stat().st_size,
            "entries": len(sizes),
            "files": sum(size is not None for size in sizes),
            "file_bytes": sum(size or 0 for size in sizes),
        }
        tar.unlink()
        (self._folder / f"{key}.json").write_text(json.dumps(data))
        return Layer(step=steps[-1], file=file, **data)


class Tree:
    """The root file system that steps change; made from finished layers when first needed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._holds: tuple[Layer, ...] = ()

    def become(self, layers: Sequence[Layer]) -> None:
        """Hold exactly these layers."""
        wanted = tuple(layers)
        if wanted[: len(self._holds)] != self._holds or not self._holds:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
            self._holds = ()
        for layer in wanted[len(self._holds) :]:
            self._apply(layer)
        self._holds = wanted

    def holds_now(self, layers: Sequence[Layer]) -> None:
        """A step was run on the tree, and these are the layers that it stands for."""
        self._holds = tuple(layers)

    def _apply(self, layer: Layer) -> None:
        with tarfile.open(layer.file) as content:
            names = [entry.name for entry in content if "/.wh." in f"/{entry.name}"]
        for name in names:
            folder, _, whiteout = name.rpartition("/")
            gone = self.folder / folder / whiteout.removeprefix(".wh.")
            if gone.is_dir() and not gone.is_symlink():
                shutil.rmtree(gone)
            else:
                gone.unlink()
        run(["tar", "-xpzf", layer.file, "-C", self.folder, "--exclude=.wh.*"])

    def drop(self) -> None:
        """Free the disk."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self._holds = ()


def build_layers(steps: Sequence[Step], store: LayerStore, tree: Tree, say: IO[str]) -> list[Layer]:
    """The layers of an image, from the cache or built now. Raises BuildError."""
    layers: list[Layer] = []
    for count in range(1, len(steps) + 1):
        below, step = steps[: count - 1], steps[count - 1]
        layer = store.load(steps[:count])
        if layer is None:
            started = time.monotonic()
            layer = build_layer(below, step, layers, store, tree)
            say.write(
                f"  {step.command[:60]:60} {layer.tar_size / 1e6:7.0f} MB {layer.entries:7} entries"
                f" {time.monotonic() - started:5.0f} s\n"
            )
            say.flush()
        layers.append(layer)
    return layers


def build_layer(
    below: Sequence[Step], step: Step, layers: Sequence[Layer], store: LayerStore, tree: Tree
) -> Layer:
    """Run one step on top of `layers` and keep what it changed."""
    steps = (*below, step)
    tar = tree.folder.with_suffix(".tar")
    tar.parent.mkdir(parents=True, exist_ok=True)
    if step.kind == "base":
        tar.unlink(missing_ok=True)
        write_base_tar(step, tar)
        return store.save(steps, tar)
    tree.become(layers)
    before = snapshot(tree.folder)
    INSTALLERS[step.kind](tree.folder, step.items)
    with tar.open("wb") as target:
        write_change_set(tree.folder, before, snapshot(tree.folder), target)
    layer = store.save(steps, tar)
    tree.holds_now([*layers, layer])
    return layer


# --- the OCI layout ------------------------------------------------------------------------------


def write_layout(folder: Path, layers: Sequence[Layer]) -> None:
    """An OCI layout (image-spec, image-layout.md) whose blobs are hard links into the cache."""
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    blobs = partial / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(EPOCH))

    def put(document: object, media_type: str) -> dict[str, object]:
        data = json.dumps(document, sort_keys=True).encode()
        name = hashlib.sha256(data).hexdigest()
        (blobs / name).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{name}", "size": len(data)}

    for layer in layers:
        blob = blobs / layer.digest.removeprefix("sha256:")
        if not blob.exists():
            os.link(layer.file, blob)
    config = put(
        {
            "created": created,
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": ["PATH=/usr/local/bin:/usr/bin:/bin"], "Cmd": ["/bin/sh"]},
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
            "history": [{"created": created, "created_by": layer.step.command} for layer in layers],
        },
        "application/vnd.oci.image.config.v1+json",
    )
    manifest = put(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config,
            "layers": [
                {
                    "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                    "digest": layer.digest,
                    "size": layer.size,
                }
                for layer in layers
            ],
        },
        "application/vnd.oci.image.manifest.v1+json",
    )
    manifest["annotations"] = {"org.opencontainers.image.ref.name": "latest"}
    index = {"schemaVersion": 2, "manifests": [manifest]}
    (partial / "index.json").write_text(json.dumps(index))
    (partial / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    shutil.rmtree(folder, ignore_errors=True)
    partial.replace(folder)


# --- command line --------------------------------------------------------------------------------


def cache_folder() -> Path:
    """Where images are kept: LAYERPROOF_BENCH_DIR, or .cache/bench in the project."""
    default = Path(__file__).resolve().parent.parent / ".cache" / "bench"
    return Path(os.environ.get("LAYERPROOF_BENCH_DIR", default))


def build(name: str, cache: Path, tree: Tree, say: IO[str]) -> Path:
    """The layout folder of an image, built if it is not there. Raises BuildError."""
    folder, ready = cache / name, cache / f"READY-{name}"
    if ready.exists() and folder.exists():
        return folder
    if lacking := missing_parts():
        raise BuildError(f"building the image {name} needs {', '.join(lacking)}")
    say.write(f"building the image {name} (kept in {cache})\n")
    layers = build_layers(IMAGES[name], LayerStore(cache / "layers"), tree, say)
    write_layout(folder, layers)
    facts = {
        "layers": len(layers),
        "entries": sum(layer.entries for layer in layers),
        "files": sum(layer.files for layer in layers),
        "bytes": sum(layer.file_bytes for layer in layers),
        "compressed": sum(layer.size for layer in layers),
    }
    ready.write_text(json.dumps(facts) + "\n")
    say.write(f"  {name}: {facts['bytes'] / 1e6:.0f} MB in {facts['files']} files\n")
    return folder


def build_all(names: Sequence[str], say: IO[str]) -> dict[str, Path]:
    """The layout folders of the named images. Raises BuildError."""
    cache = cache_folder()
    tree = Tree(cache / "work" / "root")
    try:
        return {name: build(name, cache, tree, say) for name in names}
    finally:
        tree.drop()


def main() -> int:
    """Build the named images."""
    parser = argparse.ArgumentParser(description="Build the benchmark's images.")
    parser.add_argument("names", nargs="*", help=f"of {', '.join(IMAGES)}; default: all")
    names: list[str] = parser.parse_args().names or list(IMAGES)
    if unknown := set(names) - IMAGES.keys():
        parser.error(f"no such image: {', '.join(sorted(unknown))}")
    try:
        build_all(names, sys.stderr)
    except BuildError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
