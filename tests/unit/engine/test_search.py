"""What a search finds: everything that a layer does to a path, also without an entry there."""

from dataclasses import replace
from hashlib import sha256

import pytest
from tests.unit.engine.test_indexer import FixedClock, Watching

from layerproof.analysis.registry import dispatch
from layerproof.engine.indexer import Indexer
from layerproof.engine.search import Answer, find_file, find_path
from layerproof.model.change import Cause, ChangeKind
from layerproof.oci.limits import Limits
from layerproof.testing.images import Dir, Opaque, Symlink, Whiteout, build
from layerproof.testing.index import MemoryIndex
from layerproof.testing.source import MemorySource
from layerproof.workers import Inline

BASE = build(
    [{"usr/bin/ls": "ls", "bin": Symlink("usr/bin"), "etc/shadow": "root", "etc/ssl/cert": "c"}]
)
LAYERS = {
    "removes": {"etc/shadow": Whiteout()},
    "removes-parent": {"etc": Whiteout()},
    "hides": {"etc": Opaque()},
    "turns-into-a-file": {"etc": "no folder"},
    "unrelated": {"etc/motd": "hello"},
    "only-the-folder": {"etc": Dir()},
    "through-a-link": {"bin/ls": "evil"},
}


@pytest.fixture
def index() -> MemoryIndex:
    index = MemoryIndex()
    indexer = Indexer(index, Inline(), FixedClock(), dispatch(), Limits())
    for name, tree in LAYERS.items():
        image = build([tree], base=BASE)
        indexer.run(MemorySource(image, reference=f"docker://h/{name}:1"), Watching())
    return index


def images(answer: Answer) -> set[str]:
    return {name for hit in answer.found if not _base(hit.images) for name in hit.images}


def _base(names: tuple[str, ...]) -> bool:
    return len(names) == len(LAYERS)


def test_layers_that_remove_or_hide_a_path_are_found_and_no_others(index: MemoryIndex) -> None:
    answer = find_path(index, b"etc/shadow")
    assert images(answer) == {
        f"docker://h/{name}:1"
        for name in ("removes", "removes-parent", "hides", "turns-into-a-file")
    }
    assert not answer.more
    kinds = {change.kind for hit in answer.found if hit.images for _, change in hit.changes}
    assert kinds == {ChangeKind.DELETED}


def test_a_file_that_lands_elsewhere_by_a_link_is_found_where_it_lands(index: MemoryIndex) -> None:
    answer = find_path(index, b"usr/bin/ls")
    assert images(answer) == {"docker://h/through-a-link:1"}
    (hit,) = [hit for hit in answer.found if not _base(hit.images)]
    assert hit.entries == ()
    assert [change.cause for _, change in hit.changes] == [Cause.SYMLINKED_PARENT]


def test_limits_keep_the_newest_and_say_that_there_is_more(index: MemoryIndex) -> None:
    every = find_path(index, b"etc/shadow")
    some = find_path(index, b"etc/shadow", 2)
    assert some == Answer(every.found[:2], more=True)
    assert find_path(index, b"etc/shadow", len(every.found)) == every
    assert find_path(index, b"no/such") == Answer((), more=False)


def test_files_are_found_by_their_bytes(index: MemoryIndex) -> None:
    answer = find_file(index, sha256(b"evil").digest())
    assert images(answer) == {"docker://h/through-a-link:1"}
    assert [entry.path for entry in answer.found[0].entries] == [b"bin/ls"]
    assert find_file(index, sha256(b"none").digest()) == Answer((), more=False)


def test_another_path_of_the_same_crc32_is_not_found(index: MemoryIndex) -> None:
    """Whoever makes names collide costs a decoding, and gets no wrong answer."""
    rows = dict(index._contents)
    for diff_id, row in rows.items():
        index._contents[diff_id] = replace(row, path_filter=(0).to_bytes(4, "little"))
    assert find_path(index, b"") == Answer((), more=False)  # crc32 of nothing is 0
