"""Honest applications: what stands on a recipe, how it changes from push to push.

An application is a folder of source files, copied as one layer. Most pushes change some files. One
in ten does something that only some Dockerfiles do, and keeps doing it: honest builds add users,
jobs, certificates, libraries and programs, and delete what the base has. Without these, anything
that is no source file would be an attack.
"""

import random
import struct
import sysconfig
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from layerproof.testing.images import File, Node, Symlink, Whiteout
from learning.layers import Recipe
from learning.prepared import Prepared

UNUSUAL = 0.10  # pushes that begin to do something that this application did not do before
MOST_SOURCES = 14
# A header of a 64-bit program without any segment: the kernel does not load it (elf(5), e_phnum).
_ELF = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 3, 62, 1, *(0,) * 4, 64, *(0,) * 5)
ADDED_PACKAGES = (
    "attrs",
    "urllib3",
    "tomli",
    "orjson",
    "six",
    "pytz",
    "idna",
    "certifi",
    "packaging",
)


@dataclass(frozen=True, slots=True)
class Build:
    """An image as its Dockerfile leaves it: the layers below, the tree on top, the config."""

    language: str
    lower: tuple[Prepared, ...]
    tree: Mapping[str, Node]
    run: Mapping[str, object]
    note: str = ""

    def lower_files(self) -> dict[str, tuple[int, int]]:
        """Size and mode of every file of the layers below."""
        found: dict[str, tuple[int, int]] = {}
        for layer in self.lower:
            found.update(layer.files)
        return found


def library(chance: random.Random, size: int) -> bytes:
    """Bytes in the shape of a program: a header that no loader accepts, then noise."""
    return (_ELF + chance.randbytes(max(size - len(_ELF), 0)))[:size]


@cache
def source_texts() -> tuple[bytes, ...]:
    """Real source files of ordinary size, of the Python that runs this."""
    folder = Path(sysconfig.get_path("stdlib"))
    files = sorted(file for file in folder.glob("*.py") if 1_000 <= file.stat().st_size <= 9_000)
    return tuple(file.read_bytes() for file in files)


# --- what one in ten pushes begins to do ---------------------------------------------------------

Unusual = Callable[[str, "Application", random.Random], dict[str, Node]]


def own_user(name: str, app: "Application", chance: random.Random) -> dict[str, Node]:
    """useradd."""
    row = f"{name}:x:{1000 + chance.randrange(100)}:1000::/srv/app:/usr/sbin/nologin\n"
    return {
        "etc/passwd": File(f"root:x:0:0:root:/root:/bin/sh\n{row}".encode()),
        "etc/group": File(f"root:x:0:\n{name}:x:1000:\n".encode()),
        "etc/shadow": File(
            f"root:*:19700:0:99999:7:::\n{name}:!:19700::::::\n".encode(), mode=0o640
        ),
    }


def authority(name: str, app: "Application", chance: random.Random) -> dict[str, Node]:
    """The organisation's own certificate authority."""
    body = (
        f"-----BEGIN CERTIFICATE-----\n{chance.randbytes(600).hex()}\n-----END CERTIFICATE-----\n"
    )
    return {"usr/local/share/ca-certificates/organisation.crt": File(body.encode())}


def job(name: str, app: "Application", chance: random.Random) -> dict[str, Node]:
    """A nightly job."""
    line = f"{chance.randrange(60)} {chance.randrange(6)} * * * root /srv/app/cleanup.sh\n"
    script = b"#!/bin/sh\nfind /var/tmp/app -mtime +7 -delete\n"
    return {
        f"etc/cron.d/{name}": File(line.encode()),
        "srv/app/cleanup.sh": File(script, mode=0o755),
    }


def native_library(name: str, app: "Application", chance: random.Random) -> dict[str, Node]:
    """A compiled part, and where the loader finds it."""
    file = f"lib{name}.so.1"
    return {
        f"usr/local/lib/{file}": File(
            library(chance, chance.randrange(20_000, 200_000)), mode=0o755
        ),
        f"usr/local/lib/lib{name}.so": Symlink(file),
        "etc/ld.so.conf.d/local.conf": File(b"/usr/local/lib\n"),
    }


def helper(name: str, app: "Application", chance: random.Random) -> dict[str, Node]:
    """A program beside the application."""
    data = library(chance, chance.randrange(40_000, 400_000))
    return {f"usr/local/bin/{name}-ctl": File(data, mode=0o755)}


def tidied(name: str, app: "Application", chance: random.Random) -> dict[str, Node]:
    """rm -rf of what nobody needs."""
    there = sorted(
        path
        for layer in app.lower
        for path in layer.files
        if path.startswith(("usr/share/doc/", "usr/share/bash-completion/", "usr/share/man/"))
    )
    return {path: Whiteout() for path in chance.sample(there, min(len(there), 8))}


def package(name: str, app: "Application", chance: random.Random) -> dict[str, Node]:
    """One more dependency."""
    return package_files(chance.choice(ADDED_PACKAGES), app.recipe.language, chance)


def entry_point(name: str, app: "Application", chance: random.Random) -> dict[str, Node]:
    """Another start script."""
    app.entry = f"/srv/app/bin/{name}-start"
    script = f'#!/bin/sh\nset -e\n# {chance.getrandbits(32)}\nexec /srv/app/start.sh "$@"\n'
    return {app.entry[1:]: File(script.encode(), mode=0o755)}


def settings(name: str, app: "Application", chance: random.Random) -> dict[str, Node]:
    """Configuration below /etc."""
    body = f"[{name}]\nworkers = {chance.randrange(1, 32)}\n".encode()
    return {f"etc/{name}.conf": File(body), f"etc/logrotate.d/{name}": File(b"/var/log/app {}\n")}


def deploy_key(name: str, app: "Application", chance: random.Random) -> dict[str, Node]:
    """Of images that are logged into: the key of who deploys."""
    return {"home/deploy/.ssh/authorized_keys": File(public_key(chance, "deploy"), mode=0o600)}


def privileged(name: str, app: "Application", chance: random.Random) -> dict[str, Node]:
    """Of images with sudo: an own setuid program."""
    data = library(chance, chance.randrange(15_000, 40_000))
    return {f"usr/local/bin/{name}-as-root": File(data, mode=0o4755)}


UNUSUAL_STEPS: tuple[Unusual, ...] = (
    own_user, authority, job, native_library, helper, tidied, package, entry_point, settings,
)  # fmt: skip
HARD_STEPS: Mapping[str, Unusual] = {"sshd": deploy_key, "sudo and cron": privileged}


def public_key(chance: random.Random, who: str) -> bytes:
    """A line in the shape of an SSH key; the text is noise and no key."""
    text = chance.randbytes(36).hex()
    return f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA{text} {who}@example\n".encode()


def package_files(name: str, language: str, chance: random.Random) -> dict[str, Node]:
    """What `pip install` or `npm install` leaves of a small package."""
    version = f"{chance.randrange(1, 4)}.{chance.randrange(20)}.{chance.randrange(9)}"
    module = chance.choice(source_texts())
    if language == "node":
        folder = f"srv/web/node_modules/{name}"
        manifest = f'{{"name":"{name}","version":"{version}","main":"index.js"}}\n'
        return {
            f"{folder}/package.json": File(manifest.encode()),
            f"{folder}/index.js": File(module),
        }
    folder = "usr/local/lib/python3.11/dist-packages"
    info = f"{folder}/{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    return {
        f"{folder}/{name}/__init__.py": File(module),
        f"{info}/METADATA": File(metadata.encode()),
        f"{info}/RECORD": File(
            f"{name}/__init__.py,,\n{name}-{version}.dist-info/RECORD,,\n".encode()
        ),
    }


# --- an application ------------------------------------------------------------------------------


@dataclass(slots=True)
class Application:
    """One repository's application; every call of `push` is the next version."""

    name: str
    recipe: Recipe
    lower: tuple[Prepared, ...]
    chance: random.Random
    entry: str = "/srv/app/start.sh"
    version: int = 0
    _sources: dict[str, Node] = field(default_factory=dict)
    _beside: dict[str, Node] = field(default_factory=dict)

    def push(self) -> Build:
        """Change something and build."""
        self.version += 1
        note = self.recipe.hard
        for _ in range(self.chance.randrange(1, 5) if self._sources else 6):
            self._change()
        if self.version > 1 and self.chance.random() < UNUSUAL:
            note = self._unusual()
        start = f'#!/bin/sh\nexport APP_VERSION={self.version}\nexec /srv/app/main "$@"\n'
        tree = {
            **self._sources,
            "srv/app/start.sh": File(start.encode(), mode=0o755),
            **self._beside,
        }
        run: dict[str, object] = {
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "Entrypoint": [self.entry],
            "User": "1000",
            "WorkingDir": "/srv/app",
        }
        return Build(self.recipe.language, self.lower, tree, run, note)

    def _change(self) -> None:
        known = sorted(self._sources)
        if known and (len(known) >= MOST_SOURCES or self.chance.random() < 0.8):
            path = self.chance.choice(known)
        else:
            ending = {"python": "py", "node": "js", "go": "tmpl", "shell": "sh"}
            path = f"srv/app/part_{len(known)}.{ending[self.recipe.language]}"
        text = self.chance.choice(source_texts())
        self._sources[path] = File(text + f"\n# {self.chance.getrandbits(64)}\n".encode())
        if self.recipe.language == "go":
            size = self.chance.randrange(100_000, 300_000)
            self._sources["srv/app/main"] = File(library(self.chance, size), mode=0o755)

    def _unusual(self) -> str:
        steps = [*UNUSUAL_STEPS]
        if self.recipe.hard in HARD_STEPS:
            steps += [HARD_STEPS[self.recipe.hard]] * 3
        step = self.chance.choice(steps)
        self._beside |= step(self.name.rpartition("/")[2], self, self.chance)
        return step.__name__.replace("_", " ")
