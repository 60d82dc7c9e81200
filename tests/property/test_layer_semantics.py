"""The tree against a naive model of it, on layers in which everything collides.

OCI image-spec layer.md: "Whiteout files MUST only apply to resources in lower/parent layers."
"Files that are present in the same layer as a whiteout file can only be hidden by whiteout files
in subsequent layers."
"""

from hypothesis import event, given
from hypothesis import strategies as st
from tests.property.layer_model import Model, resolve
from tests.unit.oci.tables import (
    device,
    file,
    folder,
    hardlink,
    opaque,
    symlink,
    table,
    whiteout,
)

from layerproof.model.change import Change, ChangeKind
from layerproof.model.entry import Entry
from layerproof.oci.tree import Tree

PATHS = [
    "",
    "a",
    "a/b",
    "a/b/c",
    "a/c",
    "b",
    "b/c",
    "bin",
    "bin/x",
    "bin/y/x",
    "etc/f",
    "etc/g",
    "home/u/.ssh/k",
    "lib",
    "lib/x.so.1",
    "lib/x86_64-linux-gnu/x.so.1",
    "usr",
    "usr/bin",
    "usr/bin/x",
    "usr/lib",
    "usr/lib/x.so.1",
    "usr/local/bin",
    "usr/local/bin/x",
    "usr/local/lib/x.so.1",
    "usr/local/lib/glibc-hwcaps/x86-64-v3/x.so.1",
]
TARGETS = ["a", "/a", "b", "c", "../b", "../../a/./b", "a/..", "usr/bin", "/usr/lib", "gone", "."]

paths = st.sampled_from(PATHS)
real_paths = st.sampled_from(PATHS[1:])
modes = st.sampled_from([0o644, 0o755, 0o4755])
owners = st.sampled_from([0, 7])
capability = st.sampled_from([None, None, {"security.capability": b"\1"}, {"user.x": b""}])

entries = st.one_of(
    st.builds(file, paths, st.sampled_from(["1", "2"]), modes, owners, capability),
    st.builds(folder, paths, st.sampled_from([0o755, 0o700]), owners),
    st.builds(symlink, real_paths, st.sampled_from(TARGETS)),
    st.builds(hardlink, real_paths, real_paths, modes, owners),
    st.builds(device, real_paths, st.just(1), st.sampled_from([3, 5])),
    st.builds(whiteout, real_paths),
    st.builds(opaque, paths),
)
# Unique paths most of the time, as real layers have them: that is the fast path.
layers = st.one_of(
    st.lists(entries, max_size=8, unique_by=lambda entry: entry.path),
    st.lists(entries, max_size=12),
)
# Half of the images stand on a root file system with something to hide, replace and shadow.
BASE = [
    folder(""),
    folder("a"),
    folder("a/b"),
    file("a/b/c", "1"),
    symlink("bin", "usr/bin"),
    symlink("lib", "usr/lib"),
    folder("usr"),
    folder("usr/bin"),
    file("usr/bin/x", "1", 0o755),
    file("usr/lib/x.so.1", "1"),
    folder("usr/local/bin"),
    folder("usr/local/lib/glibc-hwcaps/x86-64-v3"),
]
few = st.lists(layers, min_size=1, max_size=4)
images = st.one_of(few, few.map(lambda image: [BASE, *image]))


def in_order(changes: list[Change] | tuple[Change, ...]) -> list[Change]:
    return sorted(changes, key=repr)


@given(images)
def test_tree_and_changes_are_those_of_the_model(image: list[list[Entry]]) -> None:
    tree, model = Tree(), Model()
    for layer in image:
        found = tree.apply(table(*layer))
        counts, changes, absent = model.apply(layer)
        assert in_order(found.changes) == in_order(changes)
        assert found.counts == counts
        assert found.absent_whiteouts == absent
        assert {e.path: e for e in tree} == {p: i.entry(p) for p, i in model.files.items()}
        for kind in {change.kind for change in changes}:
            event(f"{kind}")


@given(images)
def test_stacking_leaves_the_same_tree_as_applying(image: list[list[Entry]]) -> None:
    stacked, applied = Tree(), Tree()
    for layer in image:
        stacked.stack(table(*layer))
        applied.apply(table(*layer))
        assert {e.path: e for e in stacked} == {e.path: e for e in applied}


@given(images)
def test_changes_are_sorted_and_account_for_every_path(image: list[list[Entry]]) -> None:
    tree = Tree()
    for layer in image:
        before = {entry.path: entry for entry in tree}
        found = tree.apply(table(*layer))
        after = {entry.path: entry for entry in tree}
        assert [c.path for c in found.changes] == sorted(c.path for c in found.changes)
        told = {c.path for c in found.changes}
        deleted = {c.path for c in found.changes if c.kind is ChangeKind.DELETED}
        assert deleted == before.keys() - after.keys()
        altered = {p for p in before.keys() & after.keys() if before[p] != after[p]}
        modes_of_links = {p for p in altered if p not in told}
        assert all(before[p].kind == after[p].kind == ord("l") for p in modes_of_links)


@given(images, real_paths)
def test_links_lead_where_a_walk_component_by_component_ends(
    image: list[list[Entry]], path: str
) -> None:
    tree, model = Tree(), Model()
    for layer in image:
        tree.stack(table(*layer))
        model.apply(layer)
    assert tree.resolve(path.encode()) == resolve(model.files, path.encode())
    real = tree.resolve(path.encode())
    if real:
        found = tree.lookup(real)
        assert found is not None
        assert found.kind != ord("l")


@given(images)
def test_the_same_layer_again_changes_nothing_that_it_says(image: list[list[Entry]]) -> None:
    tree = Tree()
    for layer in image:
        tree.stack(table(*layer))
    last = [e for e in image[-1] if chr(e.kind) in "fdlc"]
    unique = {entry.path: entry for entry in last}
    if len(unique) == len(last):
        tree.stack(table(*last))
        found = tree.apply(table(*last))
        assert found.counts[ChangeKind.REPLACED] == 0
        assert found.counts[ChangeKind.DELETED] == 0
