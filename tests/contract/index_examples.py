"""Small, odd and complete values to put into an index."""

import struct
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from layerproof.model.change import ChangeKind
from layerproof.model.contents import BlobRecord, ChainRecord, Contents
from layerproof.model.digest import ChainId, DiffId, Digest, chain_ids
from layerproof.model.event import Event, EventKind
from layerproof.model.facts import Context
from layerproof.model.finding import Effect, Finding, Severity, Status
from layerproof.model.image import Descriptor, History, Image, Layer, Platform
from layerproof.model.ownership import (
    Alteration,
    AlteredFile,
    ForeignFile,
    Integrity,
    PackageScript,
)
from layerproof.model.package import Package, PackageChange, PackageChangeKind, PackageType
from layerproof.model.record import VerdictRecord
from layerproof.model.trust import TrustRecord
from layerproof.model.verdict import Base, Decision, LayerVerdict, Trust, Verdict
from layerproof.model.withdrawal import Withdrawal

ANALYSERS = "apk@1 dpkg@2"
NEWER = "apk@1 dpkg@3"
MONDAY = datetime(2024, 1, 1, 12, 30, 15, 123456, tzinfo=UTC)
TUESDAY = MONDAY + timedelta(days=1)
WEDNESDAY = MONDAY + timedelta(days=2)

# What a hostile image may make of a text: surrogates, NUL, line ends, the escape mark itself.
ODD_TEXTS = ("", "\x00", "a\x00b", "\udcff\ud800", "\n", "\x1f", '\x1f"x"', "é ☃ 😀", "x" * 5000)


def diff(name: str) -> DiffId:
    return DiffId.of(f"tar {name}".encode())


def uint32(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}I", *sorted(values))


def package(name: str = "bash", version: str = "5.2-1", **more: Any) -> Package:
    defaults: dict[str, Any] = {
        "type": PackageType.DEB,
        "path": b"var/lib/dpkg/status",
        "architecture": "amd64",
        "source": f"{name}-src",
        "source_version": version,
        "licence": "MIT",
        "distribution": "debian",
    }
    return Package(name=name, version=version, **(defaults | more))


def contents(name: str = "a", **more: Any) -> Contents:
    defaults: dict[str, Any] = {
        "diff_id": diff(name),
        "analysers": ANALYSERS,
        "size": 10_240,
        "entry_count": 3,
        "file_bytes": 1 << 40,
        "entries": f"entries of {name}".encode() * 100,
        "path_filter": uint32(1, 2, 3),
        "file_filter": uint32(4, 5),
        "packages": (package(), package("libc6", "1:2.36-9", path=b"var/lib/\xff\x00/status")),
        "package_files": (b"var/lib/dpkg/status", b"\xff\x00\xe9/METADATA"),
        "facts": {"os-release": {"ID": "debian", "list": [1, 2.5, None, True, "\ud800"]}},
        "skipped": (("dpkg", b"etc/\xff", "not UTF-8\n"),),
        "manifests": b"encoded manifests",
        "scripts": (script(), script("b", kind="npm:install", path=b"\xff\x00")),
    }
    return Contents(**(defaults | more))


def script(name: str = "a", **more: Any) -> PackageScript:
    digest = sha256(f"script {name}".encode()).digest()
    defaults: dict[str, Any] = {"kind": "postinst", "path": b"info/a.postinst", "sha256": digest}
    return PackageScript(package=name, **(defaults | more))


def integrity() -> Integrity:
    digest = sha256(b"x").digest()
    return Integrity(
        altered=(
            AlteredFile(
                b"bin/\xff",
                "bash",
                b"info/bash.md5sums",
                Alteration.CONTENTS,
                "md5:00",
                "md5:01",
                True,
            ),
        ),
        altered_more=1,
        foreign=(ForeignFile(b"bin/\x00x", "elf", 0o755, digest),),
        foreign_more=2,
        verified=((b"bin/ls", ChangeKind.REPLACED, "coreutils"),),
        unverifiable=3,
    )


def blob(name: str = "a", of: str = "a") -> BlobRecord:
    return BlobRecord(Digest.of(f"blob {name}".encode()), diff(of), 4_096, "tar+gzip")


def change(name: str = "bash", kind: PackageChangeKind = PackageChangeKind.ADDED) -> PackageChange:
    old, new = package(name, "1"), package(name, "2")
    match kind:
        case PackageChangeKind.ADDED:
            return PackageChange(kind, None, new)
        case PackageChangeKind.REMOVED:
            return PackageChange(kind, old, None)
        case PackageChangeKind.CHANGED:
            return PackageChange(kind, old, new)


def layers(names: Sequence[str], *, blobs: bool = True) -> tuple[Layer, ...]:
    diffs = [diff(name) for name in names]
    return tuple(
        Layer(
            position=position,
            diff_id=diff_id,
            chain_id=chain_id,
            blob=descriptor(names[position]) if blobs else None,
            created_by=f"RUN {names[position]}",
        )
        for position, (diff_id, chain_id) in enumerate(zip(diffs, chain_ids(diffs), strict=True))
    )


def descriptor(name: str) -> Descriptor:
    return Descriptor(
        "application/vnd.oci.image.layer.v1.tar+gzip",
        Digest.of(f"blob {name}".encode()),
        4_096,
        {"title": name, "odd": "\udc80"},
    )


def image(
    names: str = "ab", reference: str = "docker://docker.io/library/app:1", **more: Any
) -> Image:
    """An image as a registry presents it: one layer per letter of `names`."""
    defaults: dict[str, Any] = {
        "reference": reference,
        "config_digest": Digest.of(f"config {names}".encode()),
        "platform": Platform("linux", "arm", "v7"),
        "layers": layers(list(names)),
        "config": {"config": {"Labels": {"x": "\ud800"}, "Env": None}, "number": 1 << 70},
        "manifest_digest": Digest.of(f"manifest {names}".encode()),
        "index_digest": Digest.of(f"index {names}".encode()),
        "manifest": {"schemaVersion": 2, "annotations": {"a": "b"}},
        "history": (
            History("2024-01-01T00:00:00Z", "RUN a", "comment", "author", False),
            History(created_by="ENV x\x00", empty_layer=True),
        ),
        "notes": ("the platform was not given",),
    }
    return Image(**(defaults | more))


def saved(names: str = "ab", reference: str = "docker-archive:/tmp/app.tar", **more: Any) -> Image:
    """The same image as `docker save` presents it: no manifest."""
    defaults: Mapping[str, Any] = {
        "manifest_digest": None,
        "index_digest": None,
        "manifest": None,
        "notes": (),
        "layers": layers(list(names), blobs=False),
    }
    return image(names, reference, **{**defaults, **more})


def chains(of: Image, **more: Any) -> list[ChainRecord]:
    parents = [None, *(layer.chain_id for layer in of.layers)]
    defaults: dict[str, Any] = {
        "analysers": ANALYSERS,
        "counts": {ChangeKind.ADDED: 3, ChangeKind.REPLACED: 0, ChangeKind.SHADOWED: 1},
        "changes": b"\x00encoded changes" * 10,
        "change_filter": uint32(1, 6),
        "package_changes": tuple(
            change(name, kind)
            for name, kind in zip(("bash", "curl", "vim"), PackageChangeKind, strict=True)
        ),
        "integrity": integrity(),
    }
    return [
        ChainRecord(
            chain_id=layer.chain_id,
            parent=parent,
            position=layer.position,
            diff_id=layer.diff_id,
            **(defaults | more),
        )
        for layer, parent in zip(of.layers, parents, strict=False)
    ]


def trust(
    of: Image, identity: str = "t-1", added_at: datetime = MONDAY, **more: Any
) -> TrustRecord:
    return TrustRecord(
        id=identity,
        reference=of.reference,
        config_digest=of.config_digest,
        manifest_digest=of.manifest_digest,
        chain_ids=tuple(layer.chain_id for layer in of.layers),
        added_by="alice",
        added_at=added_at,
        reason="our golden base",
        **more,
    )


def unknown_chain() -> ChainId:
    return ChainId("sha256:" + sha256(b"unknown").hexdigest())


def event(name: str = "e-1", **more: Any) -> Event:
    defaults: dict[str, Any] = {
        "kind": EventKind.PUSH,
        "at": MONDAY,
        "registry": "registry.example:5000",
        "repository": "team/app",
        "tag": "1.0",
        "manifest_digest": image().manifest_digest,
        "account": "alice",
        "address": "192.0.2.7",
        "details": {"method": "PUT", "list": [1, None, "\ud800"]},
    }
    return Event(identity=name, **(defaults | more))


def withdrawal(name: str = "w-1", of: str = "ab", **more: Any) -> Withdrawal:
    layer = image(of).layers[-1]
    defaults: dict[str, Any] = {
        "chain_id": layer.chain_id,
        "diff_id": layer.diff_id,
        "reference": "docker://registry.example/app:1.0",
        "withdrawn_by": "alice",
        "withdrawn_at": MONDAY,
        "reason": "replaces /bin/login",
    }
    return Withdrawal(id=name, **(defaults | more))


def verdict_record(
    name: str = "a1", of: Image | None = None, made_from: bytes = b"all", **more: Any
) -> VerdictRecord:
    """A record in which no field is empty."""
    judged = of or image()
    top = judged.layers[-1]
    finding = Finding(
        rule="protected-path",
        status=Status.FAIL,
        severity=Severity.HIGH,
        message="replaces /bin/login",
        remedy="leave it",
        position=top.position,
        chain_id=top.chain_id,
        evidence={"path": "/bin/login", "list": [1, None]},
        effect=Effect.ALERT,
    )
    defaults: dict[str, Any] = {
        "verdict": Verdict(
            reference=judged.reference,
            manifest_digest=judged.manifest_digest,
            config_digest=judged.config_digest,
            verdict=Trust.UNTRUSTED,
            decision=Decision.ALERT,
            base=Base("docker://registry.example/base:1", judged.layers[0].chain_id, 1),
            layers=(LayerVerdict(top.position, top.chain_id, Trust.UNTRUSTED, False, (finding,)),),
            findings=(finding,),
            inputs={"policy": Digest.of(b"p"), "analysers": ANALYSERS, "model": None},
            notes=("a note",),
            message="ask the platform team",
        ),
        "decided_at": MONDAY,
        "holds_until": TUESDAY,
        "context": Context("kubernetes", "prod", "node-1", {"app": "shop"}),
    }
    return VerdictRecord(id=name, made_from=sha256(made_from).digest(), **(defaults | more))
