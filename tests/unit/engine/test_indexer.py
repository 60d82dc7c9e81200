"""What is read, what is only verified, what is refused; on an index and sources in memory."""

import gzip
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest

from layerproof.analysis.registry import analysers_key, dispatch
from layerproof.engine.indexer import Indexer
from layerproof.engine.needs import Indexed, Need
from layerproof.errors import (
    CompressionError,
    CorruptImageError,
    DigestMismatchError,
    LimitExceededError,
    TarError,
)
from layerproof.model.change import ChangeKind
from layerproof.model.contents import BlobRecord
from layerproof.model.digest import DiffId
from layerproof.model.image import Image
from layerproof.oci.limits import Limits
from layerproof.testing.images import BuiltImage, File, Whiteout, build, layer, member
from layerproof.testing.index import MemoryIndex
from layerproof.testing.source import MemorySource
from layerproof.workers import Inline

BASE = build([{"etc/passwd": "root:x:0:0::/root:/bin/sh\n", "bin/sh": File(b"sh", mode=0o755)}])
APP = build([{"srv/app": "1\n"}, {"etc/passwd": Whiteout()}], base=BASE)


class FixedClock:
    """A clock that stands still."""

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)

    def monotonic(self) -> float:
        return 0.0


@dataclass
class Watching:
    """An observer that remembers."""

    known: list[int] = field(default_factory=list)
    done: list[int] = field(default_factory=list)

    def resolved(self, image: Image, known: Collection[int]) -> None:
        self.known = sorted(known)

    def layer_progress(self, position: int, bytes_read: int) -> None:
        assert bytes_read > 0

    def layer_done(self, position: int) -> None:
        self.done.append(position)


@pytest.fixture
def index() -> MemoryIndex:
    return MemoryIndex()


@pytest.fixture
def run(index: MemoryIndex) -> Callable[..., Indexed]:
    def run(source: MemorySource, limits: Limits | None = None) -> Indexed:
        indexer = Indexer(index, Inline(), FixedClock(), dispatch(), limits or Limits())
        return indexer.run(source, Watching())

    return run


def reads(image: BuiltImage, **settings: object) -> tuple[MemorySource, list[int]]:
    """A source and the list of the layers that were asked of it."""
    asked: list[int] = []
    return MemorySource(image, on_read=asked.append, **settings), asked  # type: ignore[arg-type]


def test_every_layer_is_read_once_and_never_again(run: Callable[..., Indexed]) -> None:
    source, asked = reads(APP)
    first = run(source)
    assert first.positions(Need.READ) == (0, 1, 2)
    assert sorted(asked) == [0, 1, 2]
    again, asked = reads(APP)
    assert run(again).positions(Need.NOTHING) == (0, 1, 2)
    assert asked == []


def test_image_on_a_known_base_costs_its_own_layers_only(run: Callable[..., Indexed]) -> None:
    run(MemorySource(BASE))
    source, asked = reads(APP)
    run(source)
    assert asked
    assert 0 not in asked


def test_observer_hears_what_is_known_and_what_is_done(index: MemoryIndex) -> None:
    indexer = Indexer(index, Inline(), FixedClock(), dispatch(), Limits())
    indexer.run(MemorySource(BASE), Watching())
    watching = Watching()
    indexer.run(MemorySource(APP), watching)
    assert (watching.known, sorted(watching.done)) == ([0], [1, 2])


def test_chain_rows_say_what_each_layer_changes(
    run: Callable[..., Indexed], index: MemoryIndex
) -> None:
    image = run(MemorySource(APP)).image
    rows = index.chains([la.chain_id for la in image.layers])
    assert [row is not None and row.position for row in rows] == [0, 1, 2]
    assert rows[2] is not None
    assert rows[2].counts[ChangeKind.DELETED] == 1
    assert next(iter(index.images())).image.config_digest == APP.config_digest


def test_same_contents_in_another_blob_are_verified_not_analysed(
    run: Callable[..., Indexed], index: MemoryIndex
) -> None:
    run(MemorySource(BASE))
    plain = build([layer({"etc/passwd": "root:x:0:0::/root:/bin/sh\n",
                          "bin/sh": File(b"sh", mode=0o755)}, compression="zstd")])  # fmt: skip
    assert plain.diff_ids == BASE.diff_ids
    source, asked = reads(plain)
    assert run(source).positions(Need.VERIFY) == (0,)
    assert asked == [0]
    source, asked = reads(plain)
    assert run(source).positions(Need.NOTHING) == (0,)
    assert asked == []


def test_known_diff_id_over_an_evil_blob_is_refused(
    run: Callable[..., Indexed], index: MemoryIndex
) -> None:
    """A config that names trusted DiffIDs does not lend them to the blobs of its manifest."""
    run(MemorySource(BASE))
    evil = build([{"bin/sh": File(b"evil", mode=0o755)}], env=["A=b"], config_extra={"rootfs": {
        "type": "layers", "diff_ids": list(BASE.diff_ids)}})  # fmt: skip
    with pytest.raises(DigestMismatchError, match="decompresses to"):
        run(MemorySource(evil))
    assert index.image_by_config(evil.config_digest) is None


def test_config_that_names_other_contents_is_refused(
    run: Callable[..., Indexed], index: MemoryIndex
) -> None:
    liar = build([{"bin/sh": "x"}], config_extra={"rootfs": {
        "type": "layers", "diff_ids": ["sha256:" + "0" * 64]}})  # fmt: skip
    with pytest.raises(DigestMismatchError, match="the config states"):
        run(MemorySource(liar))
    assert list(index.images()) == []
    assert index.known_contents([liar.layers[0].diff_id], "") == set()


def test_blob_with_other_bytes_is_refused_and_leaves_no_row(
    run: Callable[..., Indexed], index: MemoryIndex
) -> None:
    blob = APP.layers[2].digest
    other = build([{"etc/passwd": "evil"}])
    data = other.blobs[other.layers[0].digest]
    padded = data + bytes(max(0, len(APP.blobs[blob]) - len(data)))
    with pytest.raises(CorruptImageError) as caught:
        run(MemorySource(APP, replaced={blob: padded[: len(APP.blobs[blob])]}))
    assert "layer 2" in caught.value.where
    assert index.contents(APP.diff_ids[2]) is None
    assert list(index.images()) == []


def test_cut_blob_is_refused_and_finished_layers_stay(
    run: Callable[..., Indexed], index: MemoryIndex
) -> None:
    blob = APP.layers[2].digest
    with pytest.raises(CompressionError, match="truncated"):
        run(MemorySource(APP, replaced={blob: APP.blobs[blob][:-4]}))
    source, asked = reads(APP)
    run(source)
    assert 2 in asked
    assert len(asked) < 3 or index.contents(APP.diff_ids[0]) is not None


def test_layer_that_is_no_tar_is_refused_with_its_offset(run: Callable[..., Indexed]) -> None:
    broken = build([layer(b"x" * 1024)])
    with pytest.raises(TarError, match="offset 0") as caught:
        run(MemorySource(broken))
    assert "layer 0" in caught.value.where


def test_bomb_is_refused(run: Callable[..., Indexed], index: MemoryIndex) -> None:
    bomb = build([layer(member(b"zeros", data=bytes(4 << 20)) + bytes(1024))])
    limits = replace(Limits(), ratio=100, ratio_floor=1 << 20)
    with pytest.raises(LimitExceededError, match="100 times"):
        run(MemorySource(bomb), limits)
    assert list(index.images()) == []


def test_repeated_layer_is_read_once(run: Callable[..., Indexed]) -> None:
    tree = {"srv/app": "1\n"}
    twice = build([tree, tree], base=BASE)
    source, asked = reads(twice)
    image = run(source).image
    assert len(asked) == 2
    assert image.layers[1].diff_id == image.layers[2].diff_id
    assert image.layers[1].chain_id != image.layers[2].chain_id


def test_stream_without_names_is_matched_by_diff_id(
    run: Callable[..., Indexed], index: MemoryIndex
) -> None:
    run(MemorySource(APP, random_access=False))
    assert all(index.contents(diff_id) is not None for diff_id in APP.diff_ids)


def test_stream_with_a_foreign_layer_is_refused(
    run: Callable[..., Indexed], index: MemoryIndex
) -> None:
    foreign = gzip.compress(member(b"x", data=b"y") + bytes(1024), mtime=0)
    with pytest.raises(DigestMismatchError, match="does not name"):
        run(MemorySource(APP, random_access=False, replaced={APP.layers[1].digest: foreign}))
    assert list(index.images()) == []


def test_stream_that_leaves_a_layer_out_is_refused(run: Callable[..., Indexed]) -> None:
    with pytest.raises(DigestMismatchError, match="never sent layer 1"):
        run(
            MemorySource(
                APP,
                random_access=False,
                replaced={APP.layers[1].digest: APP.blobs[APP.layers[0].digest]},
            )
        )


def test_layers_read_by_an_older_analyser_are_read_again(index: MemoryIndex) -> None:
    old = dispatch()
    older = Indexer(index, Inline(), FixedClock(), type(old)(old.analysers[:-1]), Limits())
    older.run(MemorySource(APP), Watching())
    source, asked = reads(APP)
    Indexer(index, Inline(), FixedClock(), old, Limits()).run(source, Watching())
    assert sorted(asked) == [0, 1, 2]


def test_layer_that_another_process_read_meanwhile_is_not_read_again(index: MemoryIndex) -> None:
    """Both planned to read it; the second gets its claim when the first is done."""

    class Racing(MemoryIndex):
        def claim(self, diff_id: DiffId) -> AbstractContextManager[None]:
            if self.known_contents([diff_id], key) == set():
                Indexer(index, Inline(), FixedClock(), dispatch(), Limits()).run(
                    MemorySource(APP), Watching()
                )
                for other in APP.diff_ids:
                    contents = index.contents(other)
                    assert contents is not None
                    self.put_contents(contents, None)
                for built in APP.layers:
                    self.put_blob(BlobRecord(built.digest, built.diff_id, 1, "x"))
            return nullcontext()

    key = analysers_key(dispatch().analysers)
    racing = Racing()
    source, asked = reads(APP)
    Indexer(racing, Inline(), FixedClock(), dispatch(), Limits()).run(source, Watching())
    assert asked == []
    assert racing.image_by_config(APP.config_digest) is not None
