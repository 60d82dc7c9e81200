"""Layers made to cost: deep, wide, looping, repeated. Time limits are ten times what it takes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.unit.oci.tables import append, file, folder, hardlink, opaque, symlink, table, whiteout

from layerproof.errors import LimitExceededError
from layerproof.model.change import ChangeKind
from layerproof.model.entry import DIRECTORY, FILE, NO_DIGEST, EntryTable
from layerproof.oci.limits import Limits
from layerproof.oci.tree import Tree


@contextmanager
def within(seconds: float) -> Iterator[None]:
    start = time.process_time()
    yield
    assert time.process_time() - start < seconds


def wide(count: int, owner: tuple[int, int, int] = (0o644, 0, 0)) -> EntryTable:
    """One folder with many files."""
    made = EntryTable()
    made.paths = [b"d", *(b"d/file-%06d" % n for n in range(count))]
    made.kinds = bytearray([DIRECTORY] + [FILE] * count)
    made.owners = [(0o755, 0, 0), *[owner] * count]
    made.sizes.extend([1] * (count + 1))
    made.digests = bytearray(NO_DIGEST * (count + 1))
    return made


def test_200000_entries_in_one_folder() -> None:
    tree = Tree()
    with within(5):
        tree.apply(wide(200_000))
        found = tree.apply(table(whiteout("d/file-000000"), file("d/new", "1")))
    assert found.counts[ChangeKind.DELETED] == 1


def test_100000_files_deleted_by_one_whiteout_are_all_listed() -> None:
    tree = Tree()
    tree.stack(wide(100_000))
    with within(10):
        found = tree.apply(table(whiteout("d")))
    assert len(found.changes) == found.counts[ChangeKind.DELETED] == 100_001
    assert found.changes[0].hidden == 100_000
    assert len(tree) == 0


def test_50000_files_of_another_owner_are_all_listed() -> None:
    tree = Tree()
    tree.stack(wide(50_000))
    with within(5):
        found = tree.apply(wide(50_000, (0o644, 1000, 1000)))
    assert found.counts[ChangeKind.ATTRIBUTES] == len(found.changes) == 50_000


def test_path_of_5000_components() -> None:
    deep = "/".join("a" * 5000)
    tree = Tree()
    with within(5):
        tree.apply(table(file(deep, "1")))
        assert tree.resolve(deep.encode()) == deep.encode()
        found = tree.apply(table(whiteout("a")))
    assert found.counts[ChangeKind.DELETED] == 5000


def test_paths_that_imply_too_many_folders_are_refused() -> None:
    entries = [file("/".join([f"{n}", *"a" * 2000]), "1") for n in range(100)]
    with pytest.raises(LimitExceededError) as refused:
        Tree(Limits(implied_bytes=1 << 20)).apply(table(*entries))
    assert refused.value.limit == "implied_bytes"


def test_paths_that_imply_too_many_folders_are_refused_over_all_layers() -> None:
    tree = Tree(Limits(implied_bytes=2_000))
    for n in range(3):
        tree.stack(table(file(f"{n}/a/b/c/d/e", "1")))
    with pytest.raises(LimitExceededError):
        tree.stack(table(file("3/a/b/c/d/e", "1")))


def test_links_in_a_circle_of_10000() -> None:
    links = [symlink(f"l{n}", f"l{(n + 1) % 10_000}") for n in range(10_000)]
    tree = Tree()
    with within(10):
        tree.apply(table(*links))
        tree.apply(table(*(folder(f"l{n}") for n in range(10_000))))
    assert tree.resolve(b"l5") == b"l5"


def test_links_that_double_on_each_step() -> None:
    links = [symlink(f"l{n}", f"l{n - 1}/l{n - 1}") for n in range(1, 60)]
    tree = Tree()
    with within(5):
        tree.apply(table(folder("l0"), *links))
        assert tree.resolve(b"l59") is None


def test_link_target_of_nothing_but_parents() -> None:
    tree = Tree()
    with within(5):
        tree.apply(table(file("f", "1"), symlink("l", "../" * 1300 + "f")))
        assert tree.resolve(b"l") == b"f"


def test_link_target_longer_than_any_kernel_takes_leads_nowhere() -> None:
    tree = Tree()
    tree.apply(table(folder("a"), symlink("l", "a/../" * 1000 + "a")))
    assert tree.resolve(b"l") is None


def test_folder_and_link_in_turns_at_one_path() -> None:
    made = EntryTable()
    for n in range(5_000):
        append(made, [folder("a"), file(f"a/{n}", "1"), symlink("a", "b"), file(f"a/{n}", "2")])
    tree = Tree()
    with within(10):
        tree.apply(made)
    assert len(tree) == 5_002  # a, b and what went through the link


def test_many_whiteouts_of_parents_and_children() -> None:
    deep = [folder("/".join("a" * n)) for n in range(1, 1500)]
    tree = Tree()
    tree.stack(table(*deep))
    with within(10):
        found = tree.apply(table(*(whiteout("/".join("a" * n)) for n in range(1, 1500))))
    # As overlayfs shows it: a whiteout lies in a folder, so only the deepest folder is gone.
    assert found.counts[ChangeKind.DELETED] == 1
    assert len(tree) == 1498


def test_a_folder_emptied_and_filled_again_by_each_of_many_layers() -> None:
    tree = Tree()
    tree.stack(wide(20_000))
    layer = table(opaque("d"), file("d/x", "1"))
    with within(10):
        for _ in range(1000):
            tree.apply(layer)
    assert len(tree) == 2


def test_hard_links_in_a_long_chain() -> None:
    links = [hardlink(f"h{n:05}", f"h{n - 1:05}") for n in range(1, 20_000)]
    tree = Tree()
    with within(5):
        tree.apply(table(file("h00000", "1"), *links))
    assert tree.lookup(b"h19999") == file("h19999", "1")
