"""An image of many small files, made on the spot: for tests that need size and no real packages."""

import gzip
import hashlib
import io
import json
import random
import tarfile
from pathlib import Path


def layer_tar(number: int, files: int) -> bytes:
    """A tar with that many Python modules and a share of their packages' metadata."""
    chance = random.Random(number)
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for item in range(files):
            if item % 50 == 0:
                name = f"usr/lib/python3/dist-packages/part{number}_{item}-1.0.dist-info/METADATA"
                data = f"Metadata-Version: 2.1\nName: part{number}-{item}\nVersion: 1.0\n".encode()
            else:
                name = f"usr/lib/python3/dist-packages/part{number}/module_{item}.py"
                data = chance.randbytes(chance.randrange(3000)).hex().encode()
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return target.getvalue()


def write_image(folder: Path, *, layers: int, files: int) -> None:
    """An OCI layout with the tag `latest`; each layer holds `files` files."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def put(data: bytes, media_type: str) -> dict[str, object]:
        name = hashlib.sha256(data).hexdigest()
        (blobs / name).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{name}", "size": len(data)}

    tars = [layer_tar(number, files) for number in range(layers)]
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {
            "type": "layers",
            "diff_ids": [f"sha256:{hashlib.sha256(tar).hexdigest()}" for tar in tars],
        },
        "history": [{"created_by": f"layer {number}"} for number in range(layers)],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": put(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json"),
        "layers": [
            put(gzip.compress(tar, 1, mtime=0), "application/vnd.oci.image.layer.v1.tar+gzip")
            for tar in tars
        ],
    }
    descriptor = put(json.dumps(manifest).encode(), str(manifest["mediaType"]))
    descriptor["annotations"] = {"org.opencontainers.image.ref.name": "latest"}
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [descriptor]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
