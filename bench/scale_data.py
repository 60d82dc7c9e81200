"""A large index, made up: the same for the same number of layers.

Bases carry stacks, stacks carry images: twenty images share a stack, ten stacks a base, all bases
one of four lowest layers; images have 30 layers or 12, in turn by base. What layers hold is drawn
from a pool of shapes: most of 1 to 60 entries, one in 50 of up to 300, one in 1,000 of several
thousand. A shape's paths are those of some of 6,000 packages, the first of them far more often, and
some of everyone's: /etc/passwd, the package database. One layer in 20 has a path of its own.

The first rows are written by the store's own code, only in longer transactions. The others are
copies of them (`scale_copies`).
"""

import random
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import count

from layerproof.model.change import Change, ChangeKind, ChangeSet
from layerproof.model.contents import BlobRecord, ChainRecord, Contents
from layerproof.model.digest import ChainId, DiffId, Digest
from layerproof.model.entry import DIRECTORY, FILE, Entry, EntryTable
from layerproof.model.image import Descriptor, Image, Layer, Platform
from layerproof.model.package import Package, PackageType
from layerproof.model.trust import TrustRecord
from layerproof.oci import changecodec
from layerproof.oci.entrycodec import encode, file_filter, path_filter
from layerproof.store import segment_rows
from layerproof.store.executor import Executor, Session
from layerproof.store.index import SqlIndex

ANALYSERS = "bench@1"
START = datetime(2026, 1, 1, tzinfo=UTC)
BASES, STACKS, OWN = (14, 5), (12, 3), 4  # layers
LOWEST = 4
STACKS_PER_BASE, IMAGES_PER_STACK = 10, 20
SHAPES = 10_000
PACKAGES = 6_000
COMMON = (b"etc/passwd", b"var/lib/dpkg/status", b"etc/shadow", b"usr/bin/curl")
_PUTS = 20_000  # in a transaction
_ROOT = (0o755, 0, 0)


@dataclass(frozen=True, slots=True)
class Shape:
    """What a layer holds and does."""

    table: EntryTable
    entries: bytes
    path_filter: bytes
    file_filter: bytes
    changes: bytes
    change_filter: bytes
    packages: tuple[Package, ...]


class LongTransactions:
    """An executor whose transactions are joined, thousands at a time."""

    def __init__(self, inner: Executor) -> None:
        self._inner = inner
        self._open: AbstractContextManager[Session] | None = None
        self._session: Session | None = None
        self._left = 0

    @contextmanager
    def write(self) -> Iterator[Session]:
        """The transaction that is open, or the next one."""
        if self._left == 0:
            self.finish()
            self._open = self._inner.write()
            self._session = self._open.__enter__()
            self._left = _PUTS
        self._left -= 1
        assert self._session is not None
        yield self._session

    read = write

    def claim(self, diff_id: DiffId) -> AbstractContextManager[None]:
        """As the inner one."""
        return self._inner.claim(diff_id)

    def finish(self) -> None:
        """Commit."""
        if self._open is not None:
            self._open.__exit__(None, None, None)
        self._open, self._left = None, 0

    def close(self) -> None:
        """Commit and close."""
        self.finish()
        self._inner.close()


def fill(executor: Executor, layers: int) -> int:
    """Put about as many layers; how many these were."""
    joined = LongTransactions(executor)
    index = SqlIndex(joined)
    chance = random.Random(7)
    shapes = [_shape(chance) for _ in range(min(SHAPES, max(100, layers // 20)))]
    maker = Maker(index, shapes, chance)
    segment_rows.EVERY = sys.maxsize  # merged when all is there
    while maker.layers < layers:
        maker.base()
        if maker.bases % 20 == 0:
            sys.stderr.write(f"\r… {maker.layers} layers")
            sys.stderr.flush()
    joined.finish()
    sys.stderr.write("\n")
    return maker.layers


class Maker:
    """Puts bases with all that is built on them."""

    def __init__(self, index: SqlIndex, shapes: list[Shape], chance: random.Random) -> None:
        self._index = index
        self._shapes = shapes
        self._chance = chance
        self._numbers = count()
        self._shape_of: dict[ChainId, Shape] = {}  # of layers that no image was put with
        self._lowest: list[Layer] = []
        self.layers = 0
        self.bases = 0

    def base(self) -> None:
        """One base, its stacks and their images."""
        name = f"docker://registry.example/base-{self.bases}:1"
        if not self._lowest:
            self._lowest = [self._layer(None, 0) for _ in range(LOWEST)]
        depth, more = BASES[self.bases % 2], STACKS[self.bases % 2]
        base = self._grown((self._lowest[self.bases % LOWEST],), depth - 1)
        image = self._image(base, name)
        self._put(image, depth if self.bases < LOWEST else depth - 1)
        self._index.put_trust(_trust(image, f"t-{self.bases}"))
        for stack_number in range(STACKS_PER_BASE):
            stack = self._grown(base, more)
            for number in range(IMAGES_PER_STACK):
                text = f"app-{self.bases}-{stack_number}-{number}"
                grown = self._grown(stack, OWN)
                new = OWN if number else OWN + more
                self._put(self._image(grown, f"docker://registry.example/{text}:1"), new)
        self.bases += 1

    def _grown(self, on: tuple[Layer, ...], number: int) -> tuple[Layer, ...]:
        layers = list(on)
        for _ in range(number):
            layers.append(self._layer(layers[-1] if layers else None, len(layers)))
        return tuple(layers)

    def _layer(self, parent: Layer | None, position: int) -> Layer:
        number = next(self._numbers)
        diff_id = DiffId("sha256:" + sha256(b"tar %d" % number).hexdigest())
        blob = Digest("sha256:" + sha256(b"blob %d" % number).hexdigest())
        shape = self._chance.choice(self._shapes)
        if number % 20 == 0:
            shape = _with_own(shape, number)
        record = BlobRecord(blob, diff_id, 4096, "tar+gzip")
        self._index.put_contents(_contents(diff_id, shape), record)
        self.layers += 1
        chain_id = ChainId(diff_id) if parent is None else _chain(parent.chain_id, diff_id)
        descriptor = Descriptor("application/vnd.oci.image.layer.v1.tar+gzip", blob, 4096, {})
        self._shape_of[chain_id] = shape
        return Layer(position, diff_id, chain_id, descriptor, f"RUN step {position}")

    def _image(self, layers: tuple[Layer, ...], name: str) -> Image:
        top = layers[-1].chain_id.encode()
        return Image(
            reference=name,
            config_digest=Digest.of(b"config " + top),
            platform=Platform("linux", "amd64"),
            layers=layers,
            config={"os": "linux", "architecture": "amd64", "config": {"Cmd": ["/app"]}},
            manifest_digest=Digest.of(b"manifest " + top),
        )

    def _put(self, image: Image, new: int) -> None:
        records = []
        for layer in image.layers[-new:]:
            shape = self._shape_of.pop(layer.chain_id)
            parent = image.layers[layer.position - 1].chain_id if layer.position else None
            records.append(
                ChainRecord(
                    layer.chain_id, parent, layer.position, layer.diff_id, ANALYSERS,
                    {ChangeKind.ADDED: len(shape.table)}, shape.changes, shape.change_filter,
                )
            )  # fmt: skip
        self._index.put_image(image, records, START + timedelta(seconds=self.layers))


def own_path(number: int) -> bytes:
    """The path that only this layer has, for every twentieth."""
    return b"srv/app/own-%d" % number


def _contents(diff_id: DiffId, shape: Shape) -> Contents:
    table = shape.table
    return Contents(
        diff_id, ANALYSERS, 10_240, len(table), sum(table.sizes), shape.entries,
        shape.path_filter, shape.file_filter, shape.packages,
    )  # fmt: skip


def _chain(parent: ChainId, diff_id: DiffId) -> ChainId:
    return ChainId("sha256:" + sha256(f"{parent} {diff_id}".encode()).hexdigest())


def _trust(image: Image, name: str) -> TrustRecord:
    return TrustRecord(
        id=name, reference=image.reference, config_digest=image.config_digest,
        manifest_digest=image.manifest_digest, added_by="bench", added_at=START, reason="base",
        chain_ids=tuple(layer.chain_id for layer in image.layers),
    )  # fmt: skip


# --- shapes --------------------------------------------------------------------------------------


def _shape(chance: random.Random) -> Shape:
    size = chance.randrange(1, 60)
    if chance.random() < 0.02:
        size = chance.randrange(60, 300)
    if chance.random() < 0.001:
        size = chance.randrange(2_000, 6_000)
    paths: dict[bytes, int] = {}
    packages = []
    while len(paths) < size:
        package = int(PACKAGES * chance.random() ** 3)  # the first ones far more often
        release = chance.randrange(4)
        packages.append(_package(package, release))
        paths[b"usr/share/p%d" % package] = DIRECTORY
        for n in range(min(size - len(paths), chance.randrange(1, 40))):
            paths[b"usr/share/p%d/file-%d" % (package, n)] = FILE
    if chance.random() < 0.3:
        paths |= dict.fromkeys(chance.sample(COMMON, 2), FILE)
    return _shape_of(sorted(paths.items()), chance.randrange(1 << 30), tuple(packages[:3]))


def _with_own(shape: Shape, number: int) -> Shape:
    table = shape.table
    entries = [*zip(table.paths, table.kinds, strict=True), (own_path(number), FILE)]
    return replace(_shape_of(entries, number, shape.packages), packages=shape.packages)


def _shape_of(entries: list[tuple[bytes, int]], salt: int, packages: tuple[Package, ...]) -> Shape:
    table = EntryTable()
    changes: list[Change] = []
    for path, kind in entries:
        # Files of packages are the same wherever the release is; some are a layer's own.
        own = salt if salt % 3 == 0 else salt % 4
        digest = sha256(b"%d" % own + path).digest() if kind == FILE else bytes(32)
        table.paths.append(path)
        table.kinds.append(kind)
        table.owners.append(_ROOT)
        table.sizes.append(1_000 if kind == FILE else 0)
        table.digests += digest
        if path in COMMON or (kind == FILE and len(changes) < 3):
            after = Entry(path, kind, 0o644, 0, 0, 1_000, digest, None)
            before = replace(after, sha256=sha256(path).digest())
            changes.append(Change(ChangeKind.REPLACED, path, before, after))
    return Shape(
        table, encode(table), path_filter(table), file_filter(table),
        changecodec.encode(ChangeSet({}, tuple(changes))), changecodec.change_filter(changes),
        packages,
    )  # fmt: skip


def _package(number: int, release: int) -> Package:
    return Package(
        PackageType.DEB, f"p{number}", f"1.{release}", b"var/lib/dpkg/status", "amd64",
        f"p{number}", f"1.{release}", "MIT", "debian",
    )  # fmt: skip
