"""Real images for the tests, made the way people make them and packed by somebody else's code.

A Debian 12 by mmdebstrap; on it a layer by apt, then side by side a layer by pip and one by npm,
and one that deletes and replaces. umoci unpacks, computes what changed, and packs: it is the other
implementation with which our reading is compared. The layout is kept between runs, under a key of
the recipe.
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SUITE = "bookworm"
MIRROR = "http://deb.debian.org/debian"
APT_PACKAGES = ("ca-certificates", "libcap2-bin", "iputils-ping", "python3-minimal")
PIP_PACKAGES = ("requests==2.32.3", "flask==3.0.3", "pyyaml==6.0.2")
NPM_PACKAGES = ("express@4.19.2", "lodash@4.17.21", "@types/node@20.14.10")
NEEDED = ("mmdebstrap", "umoci", "npm", "chroot")
TAGS = ("debian", "apt", "python", "node", "changed", "released", "upgraded", "owned")


class CannotBuildError(Exception):
    """The machine lacks a program, rights or a network; the message says which."""


@dataclass(frozen=True, slots=True)
class RealImages:
    """An OCI layout with one tag per image."""

    layout: Path
    tags: tuple[str, ...] = TAGS

    def blob(self, digest: str) -> bytes:
        """A blob's bytes."""
        algorithm, _, name = digest.partition(":")
        return (self.layout / "blobs" / algorithm / name).read_bytes()

    def manifest(self, tag: str) -> dict[str, object]:
        """The manifest under a tag."""
        index = json.loads((self.layout / "index.json").read_bytes())
        for entry in index["manifests"]:
            if entry["annotations"]["org.opencontainers.image.ref.name"] == tag:
                found: dict[str, object] = json.loads(self.blob(entry["digest"]))
                return found
        raise KeyError(tag)

    def diff_ids(self, tag: str) -> list[str]:
        """The DiffIDs that umoci wrote into the config."""
        manifest = json.loads(json.dumps(self.manifest(tag)))
        config = json.loads(self.blob(manifest["config"]["digest"]))
        return list(config["rootfs"]["diff_ids"])


def run(*command: str | Path, env: dict[str, str] | None = None) -> str:
    """Standard output of a program. Raises CannotBuildError with the end of what it said."""
    done = subprocess.run(
        [str(part) for part in command],
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        said = (done.stdout + done.stderr).decode("utf-8", "replace").strip().splitlines()[-5:]
        raise CannotBuildError(f"{command[0]} ended with {done.returncode}: {' | '.join(said)}")
    return done.stdout.decode("utf-8", "replace")


def lacking() -> list[str]:
    """What the machine lacks for building."""
    found = [name for name in NEEDED if not shutil.which(name)]
    return found if os.geteuid() == 0 else [*found, "root (for chroot)"]


# --- one function per layer ----------------------------------------------------------------------


def apt_layer(root: Path) -> None:
    """Real maintainer scripts, setuid programs, file capabilities and a rewritten dpkg status."""
    apt_get(root, "install", "-y", "--no-install-recommends", *APT_PACKAGES)


def apt_get(root: Path, *command: str) -> None:
    """apt-get in the root file system, which is left without its traces."""
    shutil.copyfile("/etc/resolv.conf", root / "etc/resolv.conf")
    policy = root / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    apt = ("chroot", root, "env", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C", "apt-get", "-q")
    run(*apt, "update")
    run(*apt, *command)
    run(*apt, "clean")
    policy.unlink()
    (root / "etc/resolv.conf").unlink()
    shutil.rmtree(root / "var/lib/apt/lists")


def upgrading_layer(root: Path) -> None:
    """`apt-get upgrade` to what was published since the release."""
    sources = root / "etc/apt/sources.list.d/since.list"
    sources.write_text(
        f"deb {MIRROR} {SUITE}-updates main\ndeb {MIRROR}-security {SUITE}-security main\n"
    )
    apt_get(root, "-y", "upgrade")
    sources.unlink()


def owning_layer(root: Path) -> None:
    """`chown -R`, as before USER in a Dockerfile."""
    for folder, _, files in os.walk(root / "srv"):
        for path in (folder, *(os.path.join(folder, file) for file in files)):
            os.chown(path, 1000, 1000, follow_symlinks=False)


def pip_layer(root: Path) -> None:
    """Wheels in Debian's site folder."""
    target = root / "usr/local/lib/python3.11/dist-packages"
    run(
        sys.executable, "-m", "pip", "install", "--quiet", "--root-user-action=ignore",
        "--only-binary=:all:", "--python-version=3.11", f"--target={target}", *PIP_PACKAGES,
    )  # fmt: skip


def npm_layer(root: Path) -> None:
    """Node packages, scoped and nested, with their links in node_modules/.bin."""
    folder = root / "srv/app"
    folder.mkdir(parents=True)
    (folder / "package.json").write_text('{"name":"app","version":"1.0.0","private":true}')
    run(
        "npm", "install", "--prefix", folder, "--ignore-scripts", "--no-audit", "--no-fund",
        "--loglevel=error", *NPM_PACKAGES,
    )  # fmt: skip


def changing_layer(root: Path) -> None:
    """What a stranger does to a base: deletes, replaces, re-modes, re-links, changes types."""
    (root / "etc/hostname").write_text("stranger\n")
    (root / "etc/issue").unlink()
    shutil.rmtree(root / "usr/share/doc/bash", ignore_errors=True)
    (root / "usr/bin/whoami").unlink()
    (root / "usr/bin/whoami").symlink_to("/tmp/whoami")
    (root / "usr/bin/env").chmod(0o4755)
    os.chown(root / "usr/bin/id", 1000, 1000)
    os.link(root / "etc/passwd", root / "etc/passwd.hard")
    # An empty folder: for a full one umoci writes whiteouts below the file, which Docker refuses.
    (root / "mnt").rmdir()
    (root / "mnt").write_text("a file where a folder was\n")
    (root / "etc/issue.net").unlink()
    (root / "etc/issue.net").mkdir()
    (root / "etc/issue.net/below").write_text("a folder where a file was\n")
    folder = root / "opt" / ("long-" * 30) / ("longer-" * 20)
    folder.mkdir(parents=True)
    (folder / "naïve ☃.txt").write_text("path longer than ustar can hold\n")


# --- the layout ----------------------------------------------------------------------------------


@contextmanager
def unpacked(layout: Path, base: str, work: Path) -> Iterator[Path]:
    """A runtime bundle of the image, gone afterwards."""
    bundle = work / "bundle"
    run("umoci", "unpack", "--image", f"{layout}:{base}", bundle)
    try:
        yield bundle
    finally:
        shutil.rmtree(bundle)


def add_layer(
    layout: Path, base: str, tag: str, work: Path, change: Callable[[Path], None], created_by: str
) -> None:
    """Tag `tag` = image `base` and one layer, with what `change` did to the tree."""
    with unpacked(layout, base, work) as bundle:
        change(bundle / "rootfs")
        history = ("--history.created_by", created_by)
        run("umoci", "repack", *history, "--image", f"{layout}:{tag}", bundle)


def write_layout(layout: Path, work: Path) -> None:
    """All images. Raises CannotBuildError."""
    base, released = work / "base.tar", work / "released.tar"
    with ThreadPoolExecutor(1) as beside:
        include = "--include=ca-certificates,openssl,login"
        # without what was published since the release
        other = beside.submit(bootstrap, released, [include], f"deb {MIRROR} {SUITE} main")
        bootstrap(base)
        run("umoci", "init", "--layout", layout)
        run("umoci", "new", "--image", f"{layout}:debian")
        run("umoci", "raw", "add-layer", "--image", f"{layout}:debian", base)
        created_by = f"apt-get install {' '.join(APT_PACKAGES)}"
        add_layer(layout, "debian", "apt", work, apt_layer, created_by)
        add_layer(layout, "apt", "python", work, pip_layer, f"pip install {' '.join(PIP_PACKAGES)}")
        add_layer(layout, "apt", "node", work, npm_layer, f"npm install {' '.join(NPM_PACKAGES)}")
        add_layer(layout, "python", "changed", work, changing_layer, "changes")
        other.result()
    run("umoci", "new", "--image", f"{layout}:released")
    run("umoci", "raw", "add-layer", "--image", f"{layout}:released", released)
    add_layer(layout, "released", "upgraded", work, upgrading_layer, "apt-get upgrade")
    add_layer(layout, "node", "owned", work, owning_layer, "chown -R 1000 /srv")
    # An empty history entry, as ENV and LABEL leave behind: it must not count as a layer.
    run("umoci", "config", "--image", f"{layout}:changed", "--config.env", "STAGE=test")


def bootstrap(tar: Path, more: Sequence[str] = (), *sources: str) -> None:
    """A Debian as a tar. Not by way of the disk at every step: a machine that fails starts anew."""
    keep_small = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("man", "locale")]
    run(
        "mmdebstrap", "--quiet", "--variant=minbase", *keep_small, "--dpkgopt=force-unsafe-io",
        *more, SUITE, tar, *sources,
    )  # fmt: skip


def recipe_key(parts: Sequence[object] = (SUITE, APT_PACKAGES, PIP_PACKAGES, NPM_PACKAGES)) -> str:
    """Changes with this file and what it installs."""
    source = Path(__file__).read_bytes()
    return hashlib.sha256(source + repr(parts).encode()).hexdigest()[:16]


def real_images() -> RealImages:
    """The images, from the cache or built now. Raises CannotBuildError."""
    default = REPOSITORY / ".cache" / "e2e"
    cache = Path(os.environ.get("LAYERPROOF_E2E_DIR", default))
    layout = cache / recipe_key()
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        # Two test runs at once: the second waits and finds what the first has built.
        fcntl.flock(lock, fcntl.LOCK_EX)
        return built(layout, cache)


def built(layout: Path, cache: Path) -> RealImages:
    """The layout, built if it is not there; called by one process at a time."""
    if layout.is_dir():
        return RealImages(layout)
    if missing := lacking():
        raise CannotBuildError(f"building real images needs {', '.join(missing)}")
    work = cache / f"work-{os.getpid()}"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        write_layout(work / "layout", work)
        (work / "layout").replace(layout)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return RealImages(layout)


if __name__ == "__main__":
    try:
        real_images()
    except CannotBuildError as error:
        sys.exit(f"real images cannot be built here: {error}")
