"""Links of lower layers that stay as they are while what they lead to changes."""

import pytest
from tests.unit.oci.tables import (
    file,
    folder,
    hardlink,
    opaque,
    program,
    symlink,
    table,
    whiteout,
)

from layerproof.model.change import Cause, Change, ChangeKind
from layerproof.model.entry import Entry
from layerproof.oci.tree import Tree

BASE = (
    folder("opt"),
    folder("opt/jdk", 0o755),
    program("opt/jdk/bin/java", "java"),
    symlink("etc/alternatives/java", "/opt/jdk/bin/java"),
    symlink("usr/bin/java", "/etc/alternatives/java"),
    symlink("home/u/java", "/opt/jdk/bin/java"),
)
JAVA = b"opt/jdk/bin/java"
BOTH = {b"etc/alternatives/java", b"usr/bin/java"}


def turned(*layers: tuple[Entry, ...]) -> list[Change]:
    """What the last layer does to links that it does not touch."""
    tree = Tree()
    for layer in layers[:-1]:
        tree.apply(table(*layer))
    found = tree.apply(table(*layers[-1]))
    redirected = [c for c in found.changes if c.kind is ChangeKind.REDIRECTED]
    assert found.counts[ChangeKind.REDIRECTED] == len(redirected)
    changes = [c for c in redirected if c.cause == Cause.LINK_TARGET_CHANGED]
    assert all(c.by == c.target for c in changes)
    return changes


@pytest.mark.parametrize(
    ("layer", "by"),
    [
        ((program("opt/jdk/bin/java", "evil"),), JAVA),
        ((file("opt/jdk/bin/java", "java", 0o4755),), JAVA),
        ((whiteout("opt/jdk/bin/java"),), JAVA),
        ((whiteout("opt"),), JAVA),
        ((whiteout("opt"), program("opt/jdk/bin/java", "evil")), JAVA),
        ((opaque("opt/jdk"),), JAVA),
        ((symlink("opt/jdk", "/srv"),), JAVA),
        ((hardlink("x", "opt/jdk/bin/java", 0o4755),), JAVA),
        ((folder("opt/jdk", 0o777),), b"opt/jdk"),
        ((folder("opt", 0o755, 7),), b"opt"),
    ],
)
def test_target_of_lower_links_that_changes_redirects_them(
    layer: tuple[Entry, ...], by: bytes
) -> None:
    found = turned(BASE, layer)
    assert {change.path for change in found} == BOTH
    assert {change.target for change in found} == {by}


def test_what_the_target_was_and_is_comes_with_the_change() -> None:
    change = turned(BASE, (program("opt/jdk/bin/java", "evil"),))[0]
    assert change.before == program("opt/jdk/bin/java", "java")
    assert change.after == program("opt/jdk/bin/java", "evil")
    assert turned(BASE, (whiteout("opt/jdk/bin/java"),))[0].after is None


@pytest.mark.parametrize(
    "layer",
    [
        (program("opt/jdk/bin/java", "java"),),
        (folder("opt"), program("opt/jdk/bin/other", "new")),
        (folder("", 0o700),),
        (whiteout("opt/none"),),
    ],
)
def test_layer_that_leaves_the_target_alone_redirects_nothing(layer: tuple[Entry, ...]) -> None:
    assert turned(BASE, layer) == []


def test_link_in_between_that_is_pointed_elsewhere_redirects_the_first() -> None:
    base = (*BASE, symlink("srv/a", "/opt/jdk/bin/java"), symlink("usr/bin/prog", "/srv/a"))
    (change,) = turned(base, (symlink("srv/a", "/tmp/evil"),))
    assert (change.path, change.target) == (b"usr/bin/prog", b"srv/a")


def test_folder_before_dots_in_a_target_that_becomes_a_link_redirects() -> None:
    base = (folder("srv/d"), program("srv/p"), symlink("usr/bin/p", "/srv/d/../p"))
    (change,) = turned(base, (symlink("srv/d", "/tmp/x/y"),))
    assert (change.path, change.target) == (b"usr/bin/p", b"srv/d")


def test_link_that_the_layer_itself_replaces_is_not_told_twice() -> None:
    layer = (program("opt/jdk/bin/java", "2"), program("usr/bin/java", "2"))
    assert [c.path for c in turned(BASE, layer)] == [b"etc/alternatives/java"]
    gone = (whiteout("opt/jdk/bin/java"), whiteout("usr/bin/java"), whiteout("etc"))
    assert turned(BASE, gone) == []


def test_link_written_again_by_the_layer_that_exchanges_its_target_is_redirected() -> None:
    layer = (program("opt/jdk/bin/java", "2"), symlink("usr/bin/java", "/etc/alternatives/java"))
    assert {c.path for c in turned(BASE, layer)} == BOTH


def test_ways_are_followed_anew_when_a_layer_in_between_changed_them() -> None:
    moved = (symlink("etc/alternatives/java", "/srv/java"),)
    filled = (program("srv/java", "1"),)
    found = turned(BASE, moved, filled, (program("srv/java", "2"),))
    assert {c.path for c in found} == BOTH
    assert turned(BASE, moved, filled, (program("opt/jdk/bin/java", "2"),)) == []


def test_missing_parents_that_come_later_as_a_link_are_followed() -> None:
    base = (symlink("usr/bin/p", "/srv/a/b/p"), program("var/b/p"))
    found = turned(base, (file("x"),), (symlink("srv/a", "/var"),), (program("var/b/p", "2"),))
    assert [(c.path, c.target) for c in found] == [(b"usr/bin/p", b"var/b/p")]


def test_winding_way_is_followed_to_its_end() -> None:
    folders = [folder(f"srv/d{n}") for n in range(100)]
    way = "".join(f"d{n}/../" for n in range(100))
    base = (*folders, program("srv/p"), symlink("usr/bin/p", f"/srv/{way}p"))
    for path in ("srv/p", "srv/d99"):
        (change,) = turned(base, (file("x"),), (file(path, "evil"),))
        assert (change.path, change.target) == (b"usr/bin/p", path.encode())


def test_link_that_loops_redirects_nothing_until_it_is_broken_up() -> None:
    base = (symlink("usr/bin/a", "b"), symlink("usr/bin/b", "a"))
    assert turned(base, (file("x"),)) == []
    (change,) = turned(base, (program("usr/bin/b", "evil"),))
    assert (change.path, change.target) == (b"usr/bin/a", b"usr/bin/b")
