"""New names that are found before older ones."""

from tests.unit.oci.tables import file, folder, hardlink, program, symlink, table, whiteout

from layerproof.model.change import Cause, ChangeKind
from layerproof.model.entry import Entry
from layerproof.oci.tree import Tree

MERGED = (
    folder("usr/local/bin"),
    folder("usr/bin"),
    folder("usr/sbin"),
    symlink("bin", "usr/bin"),
    symlink("sbin", "usr/sbin"),
    program("usr/bin/ls", "ls"),
    file("usr/bin/notes", "not a program"),
    folder("usr/lib/x86_64-linux-gnu"),
    folder("usr/local/lib"),
    symlink("lib", "usr/lib"),
    file("usr/lib/x86_64-linux-gnu/libc.so.6", "libc"),
)


def shadowed(*layers: tuple[Entry, ...]) -> list[tuple[bytes, bytes, str]]:
    """What the last layer shadows: hidden path, hiding path, cause."""
    tree = Tree()
    for layer in layers[:-1]:
        tree.stack(table(*layer))
    found = tree.apply(table(*layers[-1]))
    shadows = [c for c in found.changes if c.kind is ChangeKind.SHADOWED]
    assert found.counts[ChangeKind.SHADOWED] == len(shadows)
    assert all(c.by == c.target for c in shadows)
    return [(c.path, c.by, c.cause) for c in shadows]


def test_program_earlier_in_path_shadows_the_lower_one_once() -> None:
    found = shadowed(MERGED, (program("usr/local/bin/ls", "evil"),))
    assert found == [(b"usr/bin/ls", b"usr/local/bin/ls", Cause.SEARCH_PATH)]


def test_link_earlier_in_path_shadows_too() -> None:
    found = shadowed(
        MERGED, (program("opt/evil", "evil"), symlink("usr/local/bin/ls", "/opt/evil"))
    )
    assert found == [(b"usr/bin/ls", b"usr/local/bin/ls", Cause.SEARCH_PATH)]


def test_link_to_the_very_program_shadows_nothing() -> None:
    assert shadowed(MERGED, (symlink("usr/local/bin/ls", "/bin/ls"),)) == []


def test_file_that_cannot_be_run_shadows_nothing() -> None:
    assert shadowed(MERGED, (file("usr/local/bin/ls", "text"),)) == []
    assert shadowed(MERGED, (program("usr/local/bin/notes", "1"),)) == []


def test_file_made_executable_shadows_from_then_on() -> None:
    layers = (MERGED, (file("usr/local/bin/ls", "evil"),), (program("usr/local/bin/ls", "evil"),))
    assert shadowed(*layers) == [(b"usr/bin/ls", b"usr/local/bin/ls", Cause.SEARCH_PATH)]


def test_program_that_shadowed_already_is_not_told_again() -> None:
    layers = (MERGED, (program("usr/local/bin/ls", "1"),), (program("usr/local/bin/ls", "2"),))
    assert shadowed(*layers) == []


def test_program_of_the_same_layer_is_not_shadowed() -> None:
    assert shadowed(MERGED, (program("usr/bin/new", "1"), program("usr/local/bin/new", "2"))) == []


def test_deleted_program_is_not_shadowed() -> None:
    assert shadowed(MERGED, (whiteout("usr/bin/ls"), program("usr/local/bin/ls", "2"))) == []


def test_hard_link_earlier_in_path_shadows() -> None:
    layer = (program("x", "evil"), hardlink("usr/local/bin/ls", "x", 0o755))
    assert shadowed(MERGED, layer) == [(b"usr/bin/ls", b"usr/local/bin/ls", Cause.SEARCH_PATH)]


def test_folder_earlier_in_path_exchanged_for_another_shadows_with_all_its_names() -> None:
    prepared = (program("opt/tools/ls", "evil"),)
    found = shadowed(MERGED, prepared, (symlink("usr/local/bin", "/opt/tools"),))
    assert found == [(b"usr/bin/ls", b"opt/tools/ls", Cause.SEARCH_PATH)]


def test_library_earlier_for_the_loader_shadows() -> None:
    found = shadowed(MERGED, (file("usr/local/lib/libc.so.6", "evil"),))
    hidden = b"usr/lib/x86_64-linux-gnu/libc.so.6"
    assert found == [(hidden, b"usr/local/lib/libc.so.6", Cause.LIBRARY_PATH)]


def test_library_is_told_once_whatever_architectures_there_are() -> None:
    base = (*MERGED, folder("usr/lib/aarch64-linux-gnu"), file("usr/lib/libx.so", "1"))
    found = shadowed(base, (file("usr/local/lib/libx.so", "2"),))
    assert found == [(b"usr/lib/libx.so", b"usr/local/lib/libx.so", Cause.LIBRARY_PATH)]


def test_library_in_hwcaps_shadows_the_one_beside_it() -> None:
    evil = "usr/lib/x86_64-linux-gnu/glibc-hwcaps/x86-64-v3/libc.so.6"
    found = shadowed(MERGED, (file(evil, "evil"),))
    hidden = b"usr/lib/x86_64-linux-gnu/libc.so.6"
    assert found == [(hidden, evil.encode(), Cause.LIBRARY_PATH)]


def test_files_that_are_no_libraries_shadow_nothing() -> None:
    base = (*MERGED, file("usr/lib/libx.so.txt", "1"), file("usr/lib/readme", "1"))
    layer = (file("usr/local/lib/libx.so.txt", "2"), file("usr/local/lib/readme", "2"))
    assert shadowed(base, layer) == []


def test_without_merged_usr_each_folder_counts() -> None:
    base = (program("bin/sh", "sh"), program("usr/bin/env", "env"))
    found = shadowed(base, (program("usr/bin/sh", "evil"),))
    assert found == [(b"bin/sh", b"usr/bin/sh", Cause.SEARCH_PATH)]


def test_link_that_leads_to_the_same_file_by_way_of_elsewhere_shadows() -> None:
    layer = (symlink("srv/a", "/usr/bin/ls"), symlink("usr/local/bin/ls", "/srv/a"))
    assert shadowed(MERGED, layer) == [(b"usr/bin/ls", b"usr/local/bin/ls", Cause.SEARCH_PATH)]
    layer = (symlink("srv/a", "/usr/bin"), symlink("usr/local/bin/ls", "/srv/a/ls"))
    assert shadowed(MERGED, layer) == [(b"usr/bin/ls", b"usr/local/bin/ls", Cause.SEARCH_PATH)]
    layer = (folder("srv/a"), symlink("usr/local/bin/ls", "/srv/a/../../usr/bin/ls"))
    assert shadowed(MERGED, layer) == [(b"usr/bin/ls", b"usr/local/bin/ls", Cause.SEARCH_PATH)]


def test_link_to_what_is_no_program_yet_shadows() -> None:
    told = [(b"usr/bin/ls", b"usr/local/bin/ls", Cause.SEARCH_PATH)]
    assert shadowed(MERGED, (file("srv/a"), symlink("usr/local/bin/ls", "/srv/a"))) == told
    assert shadowed(MERGED, (folder("srv/a"), symlink("usr/local/bin/ls", "/srv/a"))) == told
    assert shadowed(MERGED, (symlink("usr/local/bin/ls", "/srv/none"),)) == told


def test_relative_link_to_the_very_program_shadows_nothing() -> None:
    assert shadowed(MERGED, (symlink("usr/local/bin/ls", "../../bin/ls"),)) == []


def test_library_link_by_way_of_elsewhere_shadows_though_it_is_the_same_file_now() -> None:
    hidden = "usr/lib/x86_64-linux-gnu/libc.so.6"
    layer = (symlink("srv/a", "/" + hidden), symlink("usr/local/lib/libc.so.6", "/srv/a"))
    told = [(hidden.encode(), b"usr/local/lib/libc.so.6", Cause.LIBRARY_PATH)]
    assert shadowed(MERGED, layer) == told
    assert shadowed(MERGED, (symlink("usr/local/lib/libc.so.6", "/" + hidden),)) == []


def test_library_in_a_folder_of_older_loaders_shadows_the_one_beside_it() -> None:
    hidden = b"usr/lib/x86_64-linux-gnu/libc.so.6"
    for level in ("tls", "x86_64", "tls/x86_64", "haswell", "avx512_1", "tls/haswell/x86_64"):
        evil = f"usr/lib/x86_64-linux-gnu/{level}/libc.so.6"
        found = shadowed(MERGED, (file(evil, "evil"),))
        assert found == [(hidden, evil.encode(), Cause.LIBRARY_PATH)]


def test_loader_cache_exchanged_for_another_is_replaced() -> None:
    tree = Tree()
    tree.stack(table(*MERGED, file("etc/ld.so.cache", "1")))
    (change,) = tree.apply(table(file("etc/ld.so.cache", "2"))).changes
    assert (change.kind, change.path) == (ChangeKind.REPLACED, b"etc/ld.so.cache")
