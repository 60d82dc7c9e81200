"""The quarantine: an OCI image layout that holds blobs as they came, and what was found in them.

1. Nothing is unpacked, nothing is executable, and only the owner may look in.
2. A blob has its name only once all of it was verified and is on the disk; what a crash leaves
   behind lies in `incoming/` and is swept away by the next use.
3. One manifest per pull (image-spec manifest.md "Guidelines for Artifact Usage"): the pulled blobs
   with their media types, and the verdict as a blob of its own. No tool takes it for an image.
4. All blobs together have a cap.

One process writes at a time (`lock`).
"""

import fcntl
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from layerproof.errors import LimitExceededError, QuarantineError
from layerproof.model.digest import Digest
from layerproof.model.image import Descriptor

if TYPE_CHECKING:
    _Temporary: TypeAlias = "tempfile._TemporaryFileWrapper[bytes]"

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"
_EMPTY = b"{}"
_EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
_ARTIFACT = "application/vnd.layerproof.pull.v1+json"
_VERDICT = "application/vnd.layerproof.verdict.v1+json"
_NAME = "org.opencontainers.image.ref.name"


class LayoutQuarantine:
    """Implements `engine.ports.Quarantine`. Made when something is first kept."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._folder = folder.absolute()
        self._most = most_bytes

    @property
    def place(self) -> str:
        """The folder."""
        return str(self._folder)

    def holds(self, digest: Digest) -> int | None:
        """The size of a blob that is kept, None if it is not."""
        with self.usable(), suppress(FileNotFoundError):
            return self.blob(digest).stat().st_size
        return None

    @contextmanager
    def receiving(self) -> Iterator["_Incoming"]:
        """A new blob; it is thrown away unless it was kept when the block ends."""
        with self._locked():
            incoming = _Incoming(self, self._temporary(), self._room())
            try:
                yield incoming
            finally:
                incoming.close()

    def describe(
        self,
        name: str,
        blobs: Sequence[tuple[Descriptor, Mapping[str, str]]],
        document: bytes,
        annotations: Mapping[str, str],
    ) -> Digest:
        """List a pull under `name`: its blobs with annotations, and the verdict. One that was
        listed under this name before is replaced; its blobs stay."""
        with self._locked():
            config = self._put(_EMPTY)
            verdict = self._put(document)
            manifest = {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "artifactType": _ARTIFACT,
                "config": _descriptor(config, _EMPTY_TYPE, len(_EMPTY)),
                "layers": [
                    _descriptor(verdict, _VERDICT, len(document)),
                    *(
                        {**_descriptor(d.digest, d.media_type, d.size), "annotations": dict(said)}
                        for d, said in blobs
                    ),
                ],
                "annotations": dict(annotations),
            }
            data = json.dumps(manifest, indent=1, sort_keys=True).encode()
            digest = self._put(data)
            self._list(name, digest, len(data), annotations)
            return digest

    # --- files ---

    def _list(self, name: str, digest: Digest, size: int, said: Mapping[str, str]) -> None:
        entry = {
            **_descriptor(digest, MANIFEST, size),
            "artifactType": _ARTIFACT,
            "annotations": {**said, _NAME: name},
        }
        path = self._folder / "index.json"
        try:
            index = json.loads(path.read_bytes())
            manifests = [m for m in index["manifests"] if m["annotations"].get(_NAME) != name]
        except FileNotFoundError:
            manifests = []
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise QuarantineError(
                "its index.json cannot be read",
                where=str(path),
                remedy="restore it, or name another folder with LAYERPROOF_QUARANTINE",
            ) from error
        document = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": [*manifests, entry]}
        self._replace(self._folder / "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        self._replace(path, json.dumps(document, indent=1, sort_keys=True).encode())

    def _put(self, data: bytes) -> Digest:
        digest = Digest.of(data)
        if self.holds(digest) is None:
            self._replace(self.blob(digest), data)
        return digest

    def _replace(self, path: Path, data: bytes) -> None:
        with self.usable(), self._temporary() as file:
            file.write(data)
            _settle(file, path)

    def _temporary(self) -> "_Temporary":
        return tempfile.NamedTemporaryFile(dir=self._folder / "incoming", delete=False)

    def blob(self, digest: Digest) -> Path:
        """Where a blob stands, or would."""
        return self._folder / "blobs" / digest.algorithm / digest.hex

    def _room(self) -> int:
        """How many bytes may still come."""
        blobs = self._folder / "blobs"
        return self._most - sum(p.stat().st_size for p in blobs.rglob("*") if p.is_file())

    @contextmanager
    def _locked(self) -> Iterator[None]:
        flags = os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
        with self.usable():
            self._make()
            lock = os.open(self._folder / "lock", flags, 0o600)
        try:
            with self.usable():
                fcntl.flock(lock, fcntl.LOCK_EX)
                for left in (self._folder / "incoming").iterdir():
                    left.unlink()  # of a process that died: nobody else holds the lock
            yield
        finally:
            os.close(lock)

    def _make(self) -> None:
        there = self._folder.is_dir() and {path.name for path in self._folder.iterdir()}
        if there and "incoming" not in there:
            raise QuarantineError(
                "the folder holds other things",
                where=self.place,
                remedy="name an empty or a new one with LAYERPROOF_QUARANTINE",
            )
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in ("incoming", "blobs", "blobs/sha256", "blobs/sha512"):
            (self._folder / folder).mkdir(mode=0o700, exist_ok=True)

    @contextmanager
    def usable(self) -> Iterator[None]:
        """Raises QuarantineError for what the system refuses."""
        try:
            yield
        except OSError as error:
            raise QuarantineError(
                f"the quarantine cannot be used: {error.strerror}",
                where=self.place,
                remedy="make it writable, free space, or name another with LAYERPROOF_QUARANTINE",
            ) from error


class _Incoming:
    """A blob on its way in: `engine.ports.Incoming`."""

    def __init__(self, quarantine: LayoutQuarantine, file: "_Temporary", room: int) -> None:
        self._quarantine = quarantine
        self._file = file
        self._room = room
        self._kept = False

    def write(self, chunk: bytes) -> None:
        """The next bytes. Raises LimitExceededError, QuarantineError."""
        self._room -= len(chunk)
        if self._room < 0:
            raise LimitExceededError(
                "the quarantine is full",
                limit="quarantine_bytes",
                where=self._quarantine.place,
                remedy="remove what was inspected, or raise LAYERPROOF_LIMIT_QUARANTINE_BYTES",
            )
        with self._quarantine.usable():
            self._file.write(chunk)

    def keep(self, digest: Digest) -> None:
        """All of it came, and it is what `digest` names."""
        with self._quarantine.usable():
            _settle(self._file, self._quarantine.blob(digest))
        self._kept = True

    def close(self) -> None:
        """Throw it away unless it was kept."""
        with suppress(OSError):
            self._file.close()
        if not self._kept:
            with suppress(OSError):
                os.unlink(self._file.name)


def _settle(file: "_Temporary", path: Path) -> None:
    """Give a whole file its name, on the disk before it has it."""
    file.flush()
    os.fsync(file.fileno())
    os.rename(file.name, path)


def _descriptor(digest: Digest, media_type: str, size: int) -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest, "size": size}
