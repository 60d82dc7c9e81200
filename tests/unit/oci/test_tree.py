"""What a layer does to the tree below, by attack and by situation."""

from tests.unit.oci.tables import (
    device,
    file,
    folder,
    hardlink,
    opaque,
    program,
    symlink,
    table,
    whiteout,
)

from layerproof.model.change import Cause, Change, ChangeKind, ChangeSet
from layerproof.model.entry import DIRECTORY, FILE, HARDLINK, SYMLINK, Entry
from layerproof.oci.tree import Tree

BASE = (
    folder("etc"),
    file("etc/passwd", "root"),
    folder("usr"),
    folder("usr/bin"),
    program("usr/bin/ls", "ls"),
    file("usr/bin/su", "su", 0o4755),
    symlink("bin", "usr/bin"),
    folder("opt", 0o700, 5),
    folder("opt/a"),
    file("opt/a/x", "x"),
    file("opt/y", "y"),
)


def change(*layer: Entry, base: tuple[Entry, ...] = BASE) -> ChangeSet:
    """What `layer` does to `base`."""
    tree = Tree()
    tree.stack(table(*base))
    return tree.apply(table(*layer))


def tree_of(*layers: tuple[Entry, ...]) -> Tree:
    tree = Tree()
    for layer in layers:
        tree.stack(table(*layer))
    return tree


def only(changes: ChangeSet, kind: ChangeKind) -> Change:
    (found,) = [c for c in changes.changes if c.kind is kind]
    return found


def deleted(changes: ChangeSet) -> dict[bytes, tuple[str, bytes]]:
    return {c.path: (c.cause, c.by) for c in changes.changes if c.kind is ChangeKind.DELETED}


def counted(changes: ChangeSet) -> dict[str, int]:
    return {str(kind): count for kind, count in changes.counts.items() if count}


# --- contents and attributes -----------------------------------------------------------------


def test_lowest_layer_only_counts_what_it_adds() -> None:
    tree = Tree()
    found = tree.apply(table(folder("etc"), file("etc/passwd", "root"), program("sbin/init")))
    assert found.changes == ()
    assert counted(found) == {"added": 4}  # with sbin, which no entry names


def test_setuid_file_in_the_lowest_layer_is_listed() -> None:
    found = Tree().apply(table(file("su", "su", 0o4755)))
    assert only(found, ChangeKind.ADDED).cause == Cause.SETUID


def test_other_contents_are_a_replacement_with_both_entries() -> None:
    found = only(change(program("usr/bin/ls", "evil")), ChangeKind.REPLACED)
    assert (found.path, found.cause) == (b"usr/bin/ls", "")
    assert found.before == program("usr/bin/ls", "ls")
    assert found.after == program("usr/bin/ls", "evil")


def test_the_same_file_again_is_identical_and_not_listed() -> None:
    found = change(program("usr/bin/ls", "ls"))
    assert counted(found) == {"identical": 1}
    assert found.changes == ()


def test_setuid_bit_on_an_unchanged_file_is_an_attribute_change() -> None:
    found = only(change(file("usr/bin/ls", "ls", 0o4755)), ChangeKind.ATTRIBUTES)
    assert found.before is not None
    assert found.after is not None
    assert (found.before.mode, found.after.mode) == (0o755, 0o4755)


def test_capability_on_an_unchanged_file_is_an_attribute_change() -> None:
    found = change(file("usr/bin/ls", "ls", 0o755, xattrs={"security.capability": b"\1"}))
    after = only(found, ChangeKind.ATTRIBUTES).after
    assert after is not None
    assert after.xattrs == {"security.capability": b"\1"}


def test_mode_of_a_symlink_means_nothing() -> None:
    link = symlink("bin", "usr/bin")
    other = Entry(link.path, link.kind, 0o755, 0, 0, 0, None, link.link)
    assert counted(change(other)) == {"identical": 1}


def test_folder_that_no_entry_names_keeps_mode_and_owner() -> None:
    tree = tree_of(BASE, (file("opt/new", "1"),))
    assert tree.lookup(b"opt") == folder("opt", 0o700, 5)


def test_folder_named_again_takes_the_new_mode() -> None:
    found = change(folder("opt", 0o777, 5))
    assert only(found, ChangeKind.ATTRIBUTES).path == b"opt"
    assert counted(found) == {"attributes": 1}


def test_implied_folders_belong_to_root() -> None:
    tree = tree_of((file("a/b/c", "1"),))
    assert tree.lookup(b"a/b") == folder("a/b")
    assert tree.lookup(b"") is None


# --- whiteouts -------------------------------------------------------------------------------


def test_whiteout_of_a_file_deletes_it() -> None:
    found = change(whiteout("etc/passwd"))
    assert found.changes == (
        Change(ChangeKind.DELETED, b"etc/passwd", file("etc/passwd", "root"), None, Cause.WHITEOUT),
    )


def test_whiteout_of_a_folder_deletes_each_path_beneath() -> None:
    found = change(whiteout("opt"))
    assert deleted(found) == {
        b"opt": (Cause.WHITEOUT, b""),
        b"opt/a": (Cause.WHITEOUT, b"opt"),
        b"opt/a/x": (Cause.WHITEOUT, b"opt"),
        b"opt/y": (Cause.WHITEOUT, b"opt"),
    }
    assert found.changes[0].hidden == 3


def test_whiteout_after_the_file_of_the_same_layer_hides_only_the_lower_one() -> None:
    for layer in (
        (whiteout("opt/y"), file("opt/y", "new")),
        (file("opt/y", "new"), whiteout("opt/y")),
    ):
        tree = tree_of(BASE, layer)
        assert tree.lookup(b"opt/y") == file("opt/y", "new")
        assert counted(change(*layer)) == {"replaced": 1}


def test_folder_deleted_and_made_again_loses_its_lower_contents() -> None:
    found = change(whiteout("opt"), folder("opt", 0o700, 5), file("opt/y", "y"))
    assert deleted(found) == {
        b"opt/a": (Cause.WHITEOUT, b"opt"),
        b"opt/a/x": (Cause.WHITEOUT, b"opt"),
    }
    assert counted(found) == {"deleted": 2, "identical": 2}


def test_opaque_folder_hides_lower_contents_wherever_it_stands_in_the_tar() -> None:
    for layer in (
        (opaque("opt"), file("opt/a/new", "1")),
        (file("opt/a/new", "1"), opaque("opt")),
    ):
        assert set(deleted(change(*layer))) == {b"opt/a/x", b"opt/y"}


def test_opaque_root_deletes_everything() -> None:
    found = change(opaque(""), file("new", "1"))
    assert counted(found) == {"added": 1, "deleted": len(BASE)}


def test_whiteout_inside_an_opaque_folder_is_told_once() -> None:
    found = change(opaque("opt"), whiteout("opt/a"))
    assert deleted(found)[b"opt/a"] == (Cause.OPAQUE, b"opt")
    assert found.absent_whiteouts == 0


def test_whiteout_of_nothing_is_counted_and_harmless() -> None:
    found = change(whiteout("opt/none"), whiteout("gone/too"))
    assert found.absent_whiteouts == 2
    assert counted(found) == {"added": 1}  # the folder `gone`, as overlayfs shows it
    assert not deleted(found)


def test_whiteout_in_a_later_layer_does_not_outlive_the_path() -> None:
    tree = tree_of(BASE, (whiteout("opt/y"),), (file("opt/y", "back"),))
    assert tree.lookup(b"opt/y") == file("opt/y", "back")


# --- types -----------------------------------------------------------------------------------


def test_file_over_a_folder_deletes_each_path_beneath() -> None:
    found = change(file("opt", "now a file"))
    replaced = only(found, ChangeKind.REPLACED)
    assert (replaced.cause, replaced.hidden) == (Cause.TYPE_CHANGE, 3)
    assert deleted(found)[b"opt/a/x"] == (Cause.TYPE_CHANGE, b"opt")


def test_link_over_a_folder_redirects_it_and_deletes_each_path_beneath() -> None:
    found = change(file("tmp/evil/ls", "evil"), symlink("usr/bin", "/tmp/evil"))
    redirected = only(found, ChangeKind.REDIRECTED)
    assert redirected.path == b"usr/bin"
    assert redirected.target == b"tmp/evil"
    assert redirected.hidden == 2
    assert redirected.before == folder("usr/bin")
    assert deleted(found) == {
        b"usr/bin/ls": (Cause.TYPE_CHANGE, b"usr/bin"),
        b"usr/bin/su": (Cause.TYPE_CHANGE, b"usr/bin"),
    }


def test_link_to_a_folder_that_leads_elsewhere_now_redirects() -> None:
    found = only(change(symlink("bin", "/opt/a")), ChangeKind.REDIRECTED)
    assert (found.path, found.cause, found.target) == (b"bin", Cause.LINK_TARGET, b"opt/a")


def test_file_replaced_by_a_link_tells_where_it_leads() -> None:
    found = only(change(symlink("usr/bin/ls", "../../opt/y")), ChangeKind.REPLACED)
    assert (found.cause, found.target) == (Cause.TYPE_CHANGE, b"opt/y")


def test_folder_over_a_file_replaces_it() -> None:
    found = change(file("opt/y/inner", "1"))
    assert only(found, ChangeKind.REPLACED).path == b"opt/y"
    assert tree_of(BASE, (file("opt/y/inner", "1"),)).lookup(b"opt/y") == folder("opt/y")


def test_later_entry_of_a_path_wins() -> None:
    layer = (folder("d"), file("d/x", "1"), file("d", "2"), folder("e"), folder("e", 0o700))
    tree = tree_of(layer)
    assert tree.lookup(b"d") == file("d", "2")
    assert tree.lookup(b"d/x") is None
    assert tree.lookup(b"e") == folder("e", 0o700)


def test_entry_that_would_replace_the_root_is_ignored() -> None:
    tree = tree_of((folder("", 0o700), file("", "evil"), file("a", "1")))
    assert tree.lookup(b"") == folder("", 0o700)
    assert len(tree) == 2


# --- links among the parents -----------------------------------------------------------------


def test_file_behind_a_lower_link_replaces_the_link_and_tells_where_others_write() -> None:
    found = change(program("bin/ls", "evil"))
    link, inner = found.changes
    assert (link.kind, link.path, link.target) == (ChangeKind.REPLACED, b"bin", b"usr/bin")
    assert inner == Change(
        ChangeKind.REDIRECTED,
        b"bin/ls",
        program("usr/bin/ls", "ls"),
        program("bin/ls", "evil"),
        Cause.SYMLINKED_PARENT,
        b"bin",
        b"usr/bin/ls",
    )
    assert counted(found) == {"replaced": 1, "redirected": 1}


def test_whiteout_behind_a_lower_link_hides_nothing_but_is_told() -> None:
    found = change(whiteout("bin/ls"))
    inner = only(found, ChangeKind.REDIRECTED)
    assert inner.target == b"usr/bin/ls"
    assert inner.before == program("usr/bin/ls", "ls")
    assert inner.after is None
    assert not deleted(found)


def test_entry_behind_a_link_of_its_own_layer_lands_where_the_link_leads() -> None:
    layer = (folder("usr/bin"), symlink("q", "/usr/bin"), program("q/ls", "evil"))
    found = change(*layer)
    detour = only(found, ChangeKind.REDIRECTED)
    assert (detour.path, detour.target, detour.by) == (b"q/ls", b"usr/bin/ls", b"q")
    assert only(found, ChangeKind.REPLACED).path == b"usr/bin/ls"
    assert tree_of(BASE, layer).lookup(b"usr/bin/ls") == program("usr/bin/ls", "evil")


def test_whiteout_behind_a_link_of_its_own_layer_deletes_where_the_link_leads() -> None:
    found = change(symlink("q", "usr/bin"), whiteout("q/ls"))
    assert set(deleted(found)) == {b"usr/bin/ls"}


def test_entry_behind_a_lower_link_to_a_file_is_only_an_addition() -> None:
    found = change(file("l/x", "1"), base=(*BASE, symlink("l", "opt/y")))
    assert counted(found) == {"replaced": 1, "added": 1}


def test_opaque_folder_behind_a_lower_link_is_told_and_its_folder_counts_as_added() -> None:
    found = change(opaque("bin/new"), file("bin/new/x", "1"))
    redirected = [c.path for c in found.changes if c.kind is ChangeKind.REDIRECTED]
    assert redirected == [b"bin/new", b"bin/new/x"]
    assert counted(found) == {"replaced": 1, "redirected": 2, "added": 1}


def test_entry_behind_a_link_that_loops_replaces_the_link() -> None:
    tree = tree_of((symlink("l", "l"), file("l/x", "1")))
    assert tree.lookup(b"l") == folder("l")
    assert tree.lookup(b"l/x") == file("l/x", "1")


# --- hard links ------------------------------------------------------------------------------


def test_hard_link_in_the_same_layer_is_the_same_file() -> None:
    tree = tree_of((program("a", "1"), hardlink("b", "a", 0o755)))
    assert tree.lookup(b"b") == program("b", "1")


def test_hard_link_keeps_the_file_that_its_target_was_then() -> None:
    tree = tree_of((file("a", "1"), hardlink("b", "a"), file("a", "2")))
    assert tree.lookup(b"b") == file("b", "1")


def test_hard_link_before_its_target_is_missing() -> None:
    tree = tree_of((hardlink("b", "a"), file("a", "2")))
    found = tree.lookup(b"b")
    assert found is not None
    assert (found.kind, found.link) == (HARDLINK, b"a")


def test_hard_link_to_a_lower_setuid_file_is_listed_with_its_target() -> None:
    found = only(change(hardlink("tmp/x", "usr/bin/su", 0o4755)), ChangeKind.ADDED)
    assert (found.cause, found.target) == (Cause.HARDLINK, b"usr/bin/su")
    assert found.after == file("tmp/x", "su", 0o4755)


def test_hard_link_reaches_a_lower_file_through_a_lower_link() -> None:
    found = only(change(hardlink("tmp/x", "bin/su", 0o4755)), ChangeKind.ADDED)
    assert found.target == b"usr/bin/su"


def test_hard_link_to_nothing_is_listed_and_stays_a_hard_link() -> None:
    found = only(change(hardlink("tmp/x", "none")), ChangeKind.ADDED)
    assert (found.cause, found.target) == (Cause.MISSING_HARDLINK, b"none")
    assert found.after is not None
    assert found.after.kind == HARDLINK


def test_hard_link_to_a_folder_stays_a_hard_link() -> None:
    assert only(change(hardlink("x", "etc")), ChangeKind.ADDED).cause == Cause.MISSING_HARDLINK


def test_setuid_in_a_hard_link_header_makes_both_names_setuid() -> None:
    tree = tree_of((file("a", "1", 0o755), hardlink("b", "a", 0o4755)))
    assert tree.lookup(b"a") == file("a", "1", 0o4755)
    found = Tree().apply(table(file("a", "1", 0o755), hardlink("b", "a", 0o4755)))
    assert [(c.path, c.cause) for c in found.changes] == [
        (b"a", Cause.SETUID),
        (b"b", Cause.SETUID),
    ]


def test_setuid_in_a_hard_link_header_reaches_the_lower_file_and_is_told() -> None:
    found = change(hardlink("tmp/x", "usr/bin/ls", 0o4755))
    lower = only(found, ChangeKind.ATTRIBUTES)
    assert (lower.path, lower.cause, lower.by) == (b"usr/bin/ls", Cause.HARDLINK, b"tmp/x")
    assert lower.before == program("usr/bin/ls", "ls")
    assert lower.after == file("usr/bin/ls", "ls", 0o4755)


def test_hard_link_to_a_hard_link_to_a_lower_file_is_listed_too() -> None:
    found = change(hardlink("tmp/x", "usr/bin/ls", 0o755), hardlink("tmp/y", "tmp/x", 0o755))
    targets = [c.target for c in found.changes if c.cause == Cause.HARDLINK]
    assert targets == [b"usr/bin/ls", b"usr/bin/ls"]


def test_hard_link_to_itself_tells_its_new_mode_once() -> None:
    found = change(hardlink("usr/bin/ls", "usr/bin/ls", 0o4755))
    assert counted(found) == {"attributes": 1}


def test_hard_link_to_a_link_over_a_folder_redirects() -> None:
    found = only(change(hardlink("opt", "bin", 0o777)), ChangeKind.REDIRECTED)
    assert (found.path, found.cause, found.target) == (b"opt", Cause.TYPE_CHANGE, b"usr/bin")


def test_hard_link_behind_a_link_of_its_own_layer() -> None:
    tree = tree_of(
        (file("d/f", "lower"),),
        (file("e/f", "1"), symlink("d", "e"), hardlink("h", "d/f")),
    )
    assert tree.lookup(b"h") == file("h", "1")


def test_hard_link_header_adds_attributes_to_those_of_the_file() -> None:
    link = hardlink("b", "a")
    capable = Entry(*(getattr(link, n) for n in Entry.__slots__[:8]), {"security.capability": b""})
    tree = tree_of((file("a", "1", xattrs={"user.x": b"1"}), capable))
    found = tree.lookup(b"a")
    assert found is not None
    assert found.xattrs == {"user.x": b"1", "security.capability": b""}


# --- what is listed --------------------------------------------------------------------------


def test_added_files_that_configure_the_system_are_listed() -> None:
    found = change(
        file("etc/ld.so.preload", "/evil.so"),
        file("home/u/.ssh/authorized_keys", "key"),
        file("home/u/data", "1"),
        file("root/.bashrc", "1"),
        file("var/spool/cron/root", "1"),
        file("srv/www/index.html", "1"),
    )
    listed = [c.path for c in found.changes]
    assert listed == [
        b"etc/ld.so.preload",
        b"home/u/.ssh/authorized_keys",
        b"root/.bashrc",
        b"var/spool/cron/root",
    ]
    assert {c.cause for c in found.changes} == {Cause.SENSITIVE_PATH}


def test_added_devices_and_capabilities_are_listed_wherever_they_are() -> None:
    capable = file("srv/p", "1", xattrs={"security.capability": b"\1"})
    found = change(device("srv/mem"), capable)
    assert [c.cause for c in found.changes] == [Cause.DEVICE, Cause.CAPABILITY]


def test_caller_names_more_added_paths_to_list() -> None:
    tree = tree_of(BASE)
    layer = table(file("srv/a", "1"), file("srv/b", "1"))
    found = tree.apply(layer, lambda path: path == b"srv/b")
    assert [(c.path, c.cause) for c in found.changes] == [(b"srv/b", Cause.REQUESTED)]


# --- looking things up -----------------------------------------------------------------------


def test_resolve_stays_inside_the_root() -> None:
    tree = tree_of((*BASE, symlink("etc/out", "../../../../etc/passwd"), symlink("abs", "/etc")))
    assert tree.resolve(b"etc/out") == b"etc/passwd"
    assert tree.resolve(b"abs/out") == b"etc/passwd"
    assert tree.resolve(b"bin/ls") == b"usr/bin/ls"
    assert tree.resolve(b"") == b""


def test_resolve_of_nothing_and_of_loops_is_none() -> None:
    tree = tree_of((*BASE, symlink("a", "b"), symlink("b", "a"), symlink("c", "none")))
    assert tree.resolve(b"a") is None
    assert tree.resolve(b"a/x") is None
    assert tree.resolve(b"c") is None
    assert tree_of(BASE, (symlink("d", "none/../etc"),)).resolve(b"d") is None
    assert tree.resolve(b"etc/passwd/x") is None


def test_tree_holds_what_lookup_finds() -> None:
    tree = tree_of(BASE)
    assert len(tree) == len(BASE)
    assert b"bin" in tree
    assert b"bin/ls" not in tree
    assert {entry.path: entry.kind for entry in tree}[b"bin"] == SYMLINK
    assert {entry.kind for entry in tree} == {FILE, SYMLINK, DIRECTORY}


def test_root_that_nobody_named_and_gets_another_mode_is_told() -> None:
    for root in (folder("", 0o777), folder("", 0o755, 7)):
        tree = Tree()
        tree.stack(table(file("a/x")))
        found = tree.apply(table(root))
        (change,) = found.changes
        assert (change.kind, change.path) == (ChangeKind.ATTRIBUTES, b"")
        assert (change.before, change.after) == (folder(""), root)
        assert found.counts[ChangeKind.ADDED] == 0


def test_root_that_nobody_named_and_is_named_as_it_is_changes_nothing() -> None:
    tree = Tree()
    tree.stack(table(file("a/x")))
    found = tree.apply(table(folder("")))
    assert found.changes == ()
    assert found.counts[ChangeKind.IDENTICAL] == 1


def test_folder_that_nobody_named_and_gets_another_mode_is_told() -> None:
    tree = Tree()
    tree.stack(table(file("a/x")))
    (change,) = tree.apply(table(folder("a", 0o777))).changes
    assert (change.kind, change.before) == (ChangeKind.ATTRIBUTES, folder("a"))
