"""`layerproof demo`: the whole product on images made on the spot, without a network."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from layerproof.cli.app import App, shared

if TYPE_CHECKING:
    from layerproof.testing.images import BuiltImage, Node

_REPOSITORY = "demo"
# Facts of GHSA-8q59-q68h-6hv4 (GitHub Advisory Database), as an OSV record has them
_ADVISORY = {
    "schema_version": "1.7.0",
    "id": "GHSA-8q59-q68h-6hv4",
    "aliases": ["CVE-2020-14343"],
    "modified": "2024-10-22T00:00:00Z",
    "published": "2021-03-25T00:00:00Z",
    "summary": "full_load of PyYAML before 5.4 runs code of its input",
    "severity": [
        {"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"},
    ],
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "pyyaml"},
            "ranges": [
                {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "5.4"}]},
            ],
        }
    ],
}
_STORY = {
    "clean": "adds an application to the golden base",
    "tampered": "deletes /etc/shadow, replaces /bin/login, puts another ls first in PATH",
    "vulnerable": "installs PyYAML 5.3, which has a critical vulnerability",
    "liar": "says in its label that it is built on the golden base; its layers say otherwise",
    "stranger": "is built on a base that nobody has vouched for",
}


@click.command()
@click.option("--keep", type=click.Path(path_type=Path), help="Keep images and index in a folder.")
@shared
def command(app: App, keep: Path | None) -> int:
    """See it work: good and bad images, made on the spot, served by a registry in memory, indexed
    by the real client, judged by the built-in policy. Offline, a few seconds.

    \b
    layerproof demo
    layerproof demo --keep ./demo     to go on with show, diff and find
    """
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        return _play(app, keep, kept=True)
    with tempfile.TemporaryDirectory(prefix="layerproof-demo-") as folder:
        return _play(app, Path(folder), kept=False)


def _play(app: App, folder: Path, *, kept: bool) -> int:
    from layerproof.testing.images import write_oci_layout
    from layerproof.testing.registry import InMemoryRegistry

    images = build_images()
    if kept:
        write_oci_layout(folder / "images", images)
    _advise(folder)
    with InMemoryRegistry() as registry:
        for name, image in images.items():
            registry.add_image(_REPOSITORY, name, image)
        app.settings = replace(
            app.settings,
            index=folder / "index.db",
            advisories=folder / "advisories.db",
            policy=None,
            insecure_registries=app.settings.insecure_registries | {registry.host},
        )
        _tell(app, f"docker://{registry.host}/{_REPOSITORY}")
    if not app.json:
        _what_next(folder if kept else None)
    return 0


def _advise(folder: Path) -> None:
    """One advisory, and the word that it is all there is to know about PyPI."""
    from layerproof.feeds.build import build, feed_of
    from layerproof.feeds.documents import containers
    from layerproof.wiring import open_clock

    record, now = folder / "pyyaml.json", open_clock().now()
    record.write_text(json.dumps(_ADVISORY, indent=2) + "\n")
    feeds = [feed_of(container, now, ("PyPI",)) for container in containers(record)]
    build(folder / "advisories.db", feeds, now)


def _tell(app: App, repository: str) -> None:
    from layerproof.engine.trust import add_trust
    from layerproof.wiring import open_clock

    now = open_clock().now()
    golden = app.image(f"{repository}:golden", None)
    add_trust(app.index, golden, by="you", reason="the demo's golden base", now=now)
    if not app.json:
        click.echo(f"Six images are served at {repository} by a registry in memory.")
        click.echo("The first, golden, was indexed and declared trusted:\n")
        click.echo(f"  layerproof trust add {repository}:golden --reason ...\n")
        click.echo("What would run, and what would not, and why:")
    for name, story in _STORY.items():
        if not app.json:
            click.echo(f"\n{'-' * 78}\n{name}: {story}\n")
        _check(app, f"{repository}:{name}")


def _check(app: App, reference: str) -> None:
    from layerproof.cli.check import Question, judge
    from layerproof.model.facts import COMMAND_LINE
    from layerproof.policy.defaults import DEFAULT_POLICY
    from layerproof.wiring import open_clock

    question = Question(DEFAULT_POLICY, open_clock().now(), COMMAND_LINE)
    judge(app, app.image(reference, None), question)


def build_images() -> dict[str, BuiltImage]:
    """Golden base, clean application, and four that must not run."""
    from layerproof.testing.images import Dir, File, Symlink, Whiteout, build, layer

    system: dict[str, Node | bytes | str] = {
        "bin": Symlink("usr/bin"),
        "etc/os-release": 'ID=demo\nNAME="Demo Linux"\nVERSION_ID=1\n',
        "etc/passwd": "root:x:0:0::/root:/bin/sh\n",
        "etc/shadow": File(b"root:!:1::::::\n", mode=0o640),
        "usr/bin/sh": File(b"\x7fELF sh\n", mode=0o755),
        "usr/bin/ls": File(b"\x7fELF ls\n", mode=0o755),
        "usr/bin/login": File(b"\x7fELF login\n", mode=0o755),
        "usr/bin/su": File(b"\x7fELF su\n", mode=0o4755),
    }
    hardening: dict[str, str] = {"etc/ssh/sshd_config": "PermitRootLogin no\n"}
    golden = build(
        [
            layer(system, created_by="RUN install the demo system"),
            layer(hardening, created_by="RUN harden it"),
        ]
    )
    stranger: dict[str, Node | bytes | str] = {
        "bin/sh": File(b"\x7fELF another sh\n", mode=0o755),
        "etc/passwd": "root:x:0:0::/root:/bin/sh\n",
    }
    unknown = build([layer(stranger, created_by="ADD rootfs.tar /")])
    program: dict[str, Node | bytes | str] = {
        "srv": Dir(),
        "srv/app.py": File(b"#!/usr/bin/python3\n", mode=0o755),
    }
    application = layer(program, created_by="COPY app.py /srv/")
    harm: dict[str, Node | bytes | str] = {
        "etc/shadow": Whiteout(),
        "usr/bin/login": File(b"\x7fELF login, and a little more\n", mode=0o755),
        "usr/local/bin/ls": File(b"#!/bin/sh\n", mode=0o755),
    }
    sabotage = layer(harm, created_by="RUN ./setup.sh")
    library = {
        "usr/lib/python3/dist-packages/PyYAML-5.3.dist-info/METADATA": (
            "Metadata-Version: 2.1\nName: PyYAML\nVersion: 5.3\nLicense: MIT\n\n"
        )
    }
    claims = {
        "org.opencontainers.image.base.name": "demo/golden:1",
        "org.opencontainers.image.base.digest": golden.manifest_digest,
    }
    return {
        "golden": golden,
        "clean": build([application], base=golden),
        "tampered": build([application, sabotage], base=golden),
        "vulnerable": build(
            [layer(library, created_by="RUN pip install PyYAML==5.3")], base=golden
        ),
        "liar": build([application], base=unknown, labels=claims),
        "stranger": build([application], base=unknown),
    }


def _what_next(folder: Path | None) -> None:
    lines = [
        "",
        "-" * 78,
        "Your own images:",
        '  layerproof trust add debian:12 --reason "base of the platform team"',
        "  layerproof check docker://registry.example/team/app:1.0",
        "  layerproof check ./image.tar         (docker save, OCI layouts and archives too)",
    ]
    if folder is None:
        lines += ["", "To look into these images: layerproof demo --keep ./demo"]
    else:
        index = f"--index {folder}/index.db"
        lines += [
            "",
            "Look into these images:",
            f"  layerproof show oci:{folder}/images:tampered {index}",
            f"  layerproof diff oci:{folder}/images:tampered {index}",
            f"  layerproof find path /etc/shadow {index}",
            f"  layerproof vulnerabilities oci:{folder}/images:vulnerable {index}",
        ]
    for line in lines:
        click.echo(line)
