"""The squashed tree against real unpackers, where they agree with the specification.

umoci unpacks layer upon layer into one folder; the kernel's overlayfs stacks layers that lie side
by side, as containerd, containers/storage and Docker have it. Where the two differ (links of lower
layers among the parents), docs/adr/0004 says with which one the tree sides.
"""

import io
import json
import os
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path
from random import Random

import pytest
from tests.unit.oci.tables import file, folder, hardlink, opaque, symlink, table, whiteout

from layerproof.model.entry import (
    DIRECTORY,
    FILE,
    HARDLINK,
    OPAQUE,
    SYMLINK,
    WHITEOUT,
    Entry,
)
from layerproof.oci.tree import Tree

pytestmark = pytest.mark.real

TEXTS = ("one", "two", "three")
DATA = {sha256(text.encode()).digest(): text.encode() for text in TEXTS}
TAR_TYPES = {
    FILE: tarfile.REGTYPE,
    DIRECTORY: tarfile.DIRTYPE,
    SYMLINK: tarfile.SYMTYPE,
    HARDLINK: tarfile.LNKTYPE,
    WHITEOUT: tarfile.REGTYPE,
    OPAQUE: tarfile.REGTYPE,
}
TREE_KINDS = (FILE, DIRECTORY, SYMLINK, HARDLINK)
Seen = dict[str, tuple[str, ...]]  # path → kind, mode, contents or target


# --- an image, by hand -----------------------------------------------------------------------


def tar_name(entry: Entry) -> str:
    head, _, tail = entry.path.decode().rpartition("/")
    if entry.kind == WHITEOUT:
        return os.path.join(head, ".wh." + tail)
    if entry.kind == OPAQUE:
        return os.path.join(head, tail, ".wh..wh..opq")
    return entry.path.decode()


def tar_of(entries: Iterable[Entry]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for entry in entries:
            info = tarfile.TarInfo(tar_name(entry))
            info.type = TAR_TYPES[entry.kind]
            info.mode = entry.mode
            info.uid = info.gid = os.getuid()
            info.linkname = (entry.link or b"").decode()
            data = DATA[entry.sha256] if entry.sha256 else b""
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def write_image(where: Path, layers: Sequence[Sequence[Entry]]) -> None:
    blobs = where / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def put(kind: str, data: bytes) -> dict[str, object]:
        digest = sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        media_type = f"application/vnd.oci.image.{kind}"
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    tars = [put("layer.v1.tar", tar_of(layer)) for layer in layers]
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [tar["digest"] for tar in tars]},
        "history": [{"created_by": "test"} for _ in tars],
    }
    manifest = {
        "schemaVersion": 2,
        "config": put("config.v1+json", json.dumps(config).encode()),
        "layers": tars,
    }
    descriptor = put("manifest.v1+json", json.dumps(manifest).encode())
    descriptor["annotations"] = {"org.opencontainers.image.ref.name": "test"}
    index = {"schemaVersion": 2, "manifests": [descriptor]}
    (where / "index.json").write_text(json.dumps(index))
    (where / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')


# --- what is there ---------------------------------------------------------------------------


def on_disk(root: Path) -> Seen:
    seen: Seen = {}
    for where, folders, files in os.walk(root):
        for name in folders + files:
            path = Path(where, name)
            try:
                status = path.lstat()
            except FileNotFoundError:  # a whiteout shows in listings where nothing is to be merged
                continue
            key = str(path.relative_to(root))
            if stat.S_ISLNK(status.st_mode):
                seen[key] = ("link", os.readlink(path))
            elif stat.S_ISDIR(status.st_mode):
                seen[key] = ("folder", f"{stat.S_IMODE(status.st_mode):o}")
            else:
                seen[key] = ("file", f"{stat.S_IMODE(status.st_mode):o}", path.read_text())
    return seen


def in_tree(layers: Sequence[Sequence[Entry]]) -> Seen:
    tree = Tree()
    for layer in layers:
        tree.apply(table(*layer))
    seen: Seen = {}
    for entry in tree:
        if entry.path:
            key = entry.path.decode()
            if entry.kind == SYMLINK:
                seen[key] = ("link", (entry.link or b"").decode())
            elif entry.kind == DIRECTORY:
                seen[key] = ("folder", f"{entry.mode:o}")
            else:
                text = DATA[entry.sha256 or b""].decode()
                seen[key] = ("file", f"{entry.mode:o}", text)
    return seen


def unpacked_by_umoci(where: Path, layers: Sequence[Sequence[Entry]]) -> Seen:
    if shutil.which("umoci") is None:
        pytest.skip("umoci is not installed")
    write_image(where / "image", layers)
    command = ["umoci", "unpack", "--rootless", "--image", f"{where}/image:test", f"{where}/out"]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert run.returncode == 0, run.stderr
    return on_disk(where / "out" / "rootfs")


# --- layers that every runtime takes ---------------------------------------------------------


class Maker:
    """Random layers within what runtimes agree on: parents are folders that the layer names
    itself, links are nobody's parents, hard links have targets and their metadata, and no path
    changes its type within a layer (over a lower folder only umoci forgets what was there)."""

    FOLDERS = ("a", "b", "a/c", "b/c", "a/c/d")
    NAMES = ("f", "g", "c", "d")

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.tree = Tree()

    def layer(self) -> list[Entry]:
        entries: list[Entry] = []
        for _ in range(self.random.randint(1, 6)):
            more = self._some(entries)
            kinds = {entry.path: entry.kind for entry in entries if entry.kind in TREE_KINDS}
            if all(kinds.get(e.path, e.kind) == e.kind for e in more if e.kind in TREE_KINDS):
                entries += more
        self.tree.stack(table(*entries))
        return entries

    def _some(self, earlier: list[Entry]) -> list[Entry]:
        where = self.random.choice(self.FOLDERS)
        path = f"{where}/{self.random.choice(self.NAMES)}"
        text, mode = self.random.choice(TEXTS), self.random.choice((0o644, 0o755, 0o600))
        parents = [
            folder(where[: n + 1]) for n in range(len(where)) if where[n + 1 :][:1] in ("/", "")
        ]
        made = self.random.choice(
            (
                file(path, text, mode),
                file(path, text, mode),
                folder(path, self.random.choice((0o755, 0o700))),
                symlink(f"{where}/link", self.random.choice(("f", "../g", "nowhere"))),
                whiteout(path),
                opaque(where),
                self._hardlink(where, earlier),
            )
        )
        return [*parents, made]

    def _hardlink(self, where: str, earlier: list[Entry]) -> Entry:
        path = f"{where}/hard"
        now = Tree()
        now.stack(table(*(earlier or self.tree)))  # lower files may be gone once there are others
        above = tuple(f"{path}/"[: n + 1].encode() for n, c in enumerate(f"{path}/") if c == "/")
        files = [e for e in now if e.kind == FILE and e.path + b"/" not in above]
        if not files:
            return folder(where)
        target = self.random.choice(sorted(files, key=lambda entry: entry.path))
        return hardlink(path, target.path.decode(), target.mode)


@pytest.mark.parametrize("seed", range(40))
def test_random_layers_unpack_to_the_tree_with_umoci(tmp_path: Path, seed: int) -> None:
    maker = Maker(seed)
    layers = [maker.layer() for _ in range(4)]
    assert unpacked_by_umoci(tmp_path, layers) == in_tree(layers)


BASE = [
    folder("usr"),
    folder("usr/bin"),
    file("usr/bin/ls", "one", 0o755),
    folder("a"),
    folder("a/s"),
    file("a/x", "one"),
    file("a/s/y", "two"),
    file("f", "one"),
    symlink("l", "f"),
]

AGREED = {
    "whiteout before the file of the same layer": [whiteout("f"), file("f", "two")],
    "whiteout after the file of the same layer": [file("f", "two"), whiteout("f")],
    "whiteout before the folder of the same layer": [
        whiteout("a"),
        folder("a"),
        file("a/n", "two"),
    ],
    "whiteout after the folder of the same layer": [folder("a"), file("a/n", "two"), whiteout("a")],
    "opaque folder named last": [folder("a"), file("a/n", "two"), opaque("a")],
    "opaque folder named first": [folder("a"), opaque("a"), file("a/n", "two")],
    "whiteout inside an opaque folder": [folder("a"), opaque("a"), whiteout("a/s")],
    "whiteout of nothing": [folder("a"), whiteout("a/nothing")],
    "parents that no entry names": [file("new/deep/file", "one")],
    "file over a folder": [file("a", "two")],
    "link over a folder": [symlink("a", "usr")],
    "folder over a file": [folder("f"), file("f/x", "one")],
    "folder over a link": [folder("l"), file("l/x", "one")],
    "twice the same path": [file("f", "two"), file("f", "three")],
    "folder, then file": [folder("d"), file("d/x", "one"), file("d", "two")],
    "file, then folder": [file("d", "two"), folder("d"), file("d/x", "one")],
    "link of this layer among the parents": [
        folder("usr"),
        folder("usr/bin"),
        symlink("q", "usr/bin"),
        file("q/ls", "three"),
    ],
    "whiteout through a link of this layer": [
        folder("usr"),
        folder("usr/bin"),
        symlink("q", "/usr/bin"),
        whiteout("q/ls"),
    ],
    "hard link to a lower file": [hardlink("h", "usr/bin/ls", 0o755)],
    "hard link to a link": [symlink("p", "f"), hardlink("h", "p")],
    "hard link, then its target anew": [file("p", "one"), hardlink("h", "p"), file("p", "two")],
    "mode of a folder": [folder("a", 0o700)],
}


@pytest.mark.parametrize("case", AGREED)
def test_case_unpacks_to_the_tree_with_umoci(tmp_path: Path, case: str) -> None:
    layers = [BASE, AGREED[case]]
    assert unpacked_by_umoci(tmp_path, layers) == in_tree(layers)


# --- the kernel ------------------------------------------------------------------------------

# Layers as a runtime would have unpacked them, each alone; no path twice, and no whiteout of what
# the same layer brings, since all three runtimes refuse that.
STACKED = {
    "link of a lower layer among the parents": [
        [folder("usr"), folder("usr/bin"), file("usr/bin/ls", "one"), symlink("bin", "usr/bin")],
        [folder("bin"), file("bin/ls", "two")],
    ],
    "whiteout through a link of a lower layer": [
        [folder("usr"), folder("usr/bin"), file("usr/bin/ls", "one"), symlink("bin", "usr/bin")],
        [folder("bin"), whiteout("bin/ls"), file("bin/cat", "two")],
    ],
    "whiteouts, opaque folders and changed types": [
        BASE,
        [whiteout("f"), folder("a"), opaque("a"), file("a/n", "two"), folder("l")],
        [file("f", "three"), file("a", "one")],
        [folder("a", 0o700), file("a/back", "two"), whiteout("usr")],
    ],
}


def stacked_by_the_kernel(where: Path, layers: Sequence[Sequence[Entry]]) -> Seen:
    for number, layer in enumerate(layers):
        lay_out(where / str(number), layer)
    (where / "merged").mkdir()
    lower = ":".join(str(number) for number in reversed(range(len(layers))))
    mount = ["mount", "-t", "overlay", "layers", "-o", f"lowerdir={lower}", "merged"]
    run = subprocess.run(mount, cwd=where, capture_output=True, text=True, check=False, timeout=60)
    if run.returncode:
        pytest.skip(f"overlayfs cannot be mounted here: {run.stderr.strip()}")
    try:
        return on_disk(where / "merged")
    finally:
        subprocess.run(["umount", "merged"], cwd=where, check=True, timeout=60)


def lay_out(root: Path, layer: Sequence[Entry]) -> None:
    """As overlayfs.rst: a whiteout is a character device 0/0, an opaque folder has an attribute."""
    root.mkdir()
    for entry in layer:
        path = root / entry.path.decode()
        path.parent.mkdir(parents=True, exist_ok=True)
        if entry.kind == FILE:
            path.write_bytes(DATA[entry.sha256 or b""])
        elif entry.kind == SYMLINK:
            path.symlink_to((entry.link or b"").decode())
        elif entry.kind == WHITEOUT:
            os.mknod(path, stat.S_IFCHR, os.makedev(0, 0))
        elif entry.kind == OPAQUE:
            os.setxattr(path, "trusted.overlay.opaque", b"y")
        else:
            path.mkdir(exist_ok=True)
        if entry.kind in (FILE, DIRECTORY):
            path.chmod(entry.mode)


@pytest.mark.skipif(os.getuid() != 0, reason="only root mounts overlayfs")
@pytest.mark.parametrize("case", STACKED)
def test_case_stacks_to_the_tree_in_the_kernel(tmp_path: Path, case: str) -> None:
    layers = STACKED[case]
    assert stacked_by_the_kernel(tmp_path, layers) == in_tree(layers)
