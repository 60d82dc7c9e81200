"""Track B: real layers. Debian by mmdebstrap, Alpine's root file systems, and what apt, pip and npm
install on them; among them the honest layers that look like attacks.

A recipe is the lower part of an image: everything but the application on top, which changes with
every push. Layers come from the builder of the speed benchmark (`images`) and are kept in its
cache; a Go program and the result of a `curl | sh` are made here.
"""

import gzip
import hashlib
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from images import LayerStore, Step, Tree, build_layers
from layerproof.testing.images import File, Node, Symlink
from learning.prepared import Prepared

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
SLIM = Step("base", ("slim",))
RELEASED = Step("base", ("released",))
PYTHON = Step("apt", ("ca-certificates", "curl", "python3"))
NODE = Step("apt", ("nodejs",))
FLASK = Step("pip", ("flask", "requests", "gunicorn"))
EXPRESS = Step("npm", ("srv/web", "express", "lodash", "axios"))


@dataclass(frozen=True, slots=True)
class Recipe:
    """The lower layers of an image. `base`, `steps`: what is built with a package manager, on
    Debian; or the name of an Alpine release. `extra`: a layer that is made here."""

    name: str
    language: str  # of the application on top: python, node, shell or go
    steps: tuple[Step, ...] = ()
    alpine: str = ""
    extra: str = ""
    moves: bool = False  # to the next release of the base, at some time
    hard: str = ""  # why an honest layer of it looks like an attack; empty: it does not


RECIPES: tuple[Recipe, ...] = (
    Recipe("flask", "python", (SLIM, PYTHON, FLASK), moves=True),
    Recipe("django", "python", (SLIM, PYTHON, Step("pip", ("django", "redis", "celery")))),
    Recipe("express", "node", (SLIM, NODE, EXPRESS)),
    Recipe("nginx", "shell", (SLIM, Step("apt", ("nginx-light",)))),
    Recipe("alpine-shell", "shell", alpine="3.20.3"),
    Recipe("alpine-old", "shell", alpine="3.16.9", moves=True),
    Recipe("alpine-go", "go", alpine="3.20.3", extra="go"),
    # honest, and hard to tell from an attack
    Recipe("sudo-cron", "shell", (SLIM, Step("apt", ("sudo", "cron"))), hard="sudo and cron"),
    Recipe("sshd", "shell", (SLIM, Step("apt", ("openssh-server",))), hard="sshd"),
    Recipe("packed", "go", (SLIM,), extra="packed", hard="packed Go binary", moves=True),
    Recipe("installer", "python", (SLIM, PYTHON), extra="installer", hard="curl | sh", moves=True),
)
NEXT_RELEASE = (RELEASED, Step("upgrade", ()))
NEXT_ALPINE = {"3.16.9": "3.20.3"}


def upgraded(recipe: Recipe) -> Recipe:
    """The recipe on the next release of its base, where it moves to that."""
    if not recipe.moves:
        return recipe
    if recipe.alpine:
        return replace(recipe, alpine=NEXT_ALPINE[recipe.alpine])
    return replace(recipe, steps=(*NEXT_RELEASE, *recipe.steps[1:]))


class LayerShop:
    """Finished layers of recipes, kept below `folder`."""

    def __init__(self, folder: Path, say: IO[str] = sys.stderr) -> None:
        self._folder = folder
        self._say = say
        self._store = LayerStore(folder / "layers")
        self._tree = Tree(folder / "work" / "learning-root")
        self._read: dict[str, Prepared] = {}

    def close(self) -> None:
        """Free the disk that the tree took; the layers stay."""
        self._tree.drop()

    def layers(self, recipe: Recipe) -> tuple[Prepared, ...]:
        """Lowest first. Raises images.BuildError."""
        found = list(self._alpine(recipe.alpine) if recipe.alpine else self._debian(recipe.steps))
        if recipe.extra:
            found.append(self._extra(recipe.extra))
        return tuple(found)

    def base(self, recipe: Recipe) -> Prepared:
        """The lowest layer alone."""
        found = self._alpine(recipe.alpine) if recipe.alpine else self._debian(recipe.steps[:1])
        return next(found)

    def _debian(self, steps: Sequence[Step]) -> Iterator[Prepared]:
        for built in build_layers(steps, self._store, self._tree, self._say):
            if built.diff_id not in self._read:
                blob = built.file.read_bytes()
                self._read[built.diff_id] = Prepared.of(
                    gzip.decompress(blob), f"RUN {built.step.command}", blob
                )
            yield self._read[built.diff_id]

    def _alpine(self, release: str) -> Iterator[Prepared]:
        if release not in self._read:
            file = DATA / "images" / f"alpine-minirootfs-{release}-x86_64.tar.gz"
            blob = file.read_bytes()
            said = f"ADD {file.name} / # buildkit"
            self._read[release] = Prepared.of(gzip.decompress(blob), said, blob)
        yield self._read[release]

    def _extra(self, kind: str) -> Prepared:
        if kind not in self._read:
            self._read[kind] = EXTRAS[kind](self._folder)
        return self._read[kind]


# --- layers made here ----------------------------------------------------------------------------

_GO = """package main

import (
	_ "embed"
	"fmt"
	"net/http"
)

//go:embed payload
var payload []byte

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, len(payload)) })
	_ = http.ListenAndServe("127.0.0.1:8080", nil)
}
"""  # noqa: E501  because it is Go
_INSTALLER = b"""#!/bin/sh
# Installs the tool into /usr/local. Fetched and run by: curl -fsSL https://get.tool.example | sh
set -eu
target=/usr/local/bin
curl -fsSL "https://get.tool.example/tool-$(uname -m).tar.gz" | tar -xzC "$target"
chmod 755 "$target/tool"
"""


def go_program(folder: Path, payload: bytes) -> bytes:
    """A small web server, stripped, with `payload` inside; kept by what it is made of."""
    key = hashlib.sha256(_GO.encode() + payload).hexdigest()[:16]
    kept = folder / "go" / key
    if not kept.exists():
        source = folder / "go" / f"{key}.src"
        source.mkdir(parents=True, exist_ok=True)
        (source / "main.go").write_text(_GO)
        (source / "payload").write_bytes(payload)
        (source / "go.mod").write_text("module server.example\n\ngo 1.18\n")
        flags = ["-trimpath", "-ldflags=-s -w -buildid="]
        subprocess.run(
            ["go", "build", *flags, "-o", str(kept), "."], cwd=source, check=True, timeout=600
        )
    return kept.read_bytes()


def _go(folder: Path) -> Prepared:
    program = go_program(folder, b"none")
    return Prepared.of_tree({"usr/local/bin/server": File(program, mode=0o755)}, "COPY server /")


def _packed(folder: Path) -> Prepared:
    # As packers leave a program: a loader, and a body that cannot be told from noise.
    inner = gzip.compress(go_program(folder, b"none"), mtime=0)
    program = go_program(folder, inner)
    return Prepared.of_tree({"usr/local/bin/agent": File(program, mode=0o755)}, "COPY agent /")


def _installer(folder: Path) -> Prepared:
    tool = go_program(folder, b"tool")
    tree: Mapping[str, Node] = {
        "tmp/install.sh": File(_INSTALLER, mode=0o755),
        "usr/local/bin/tool": File(tool, mode=0o755),
        "usr/local/bin/t": Symlink("tool"),
    }
    return Prepared.of_tree(tree, "RUN curl -fsSL https://get.tool.example | sh")


EXTRAS = {"go": _go, "packed": _packed, "installer": _installer}
