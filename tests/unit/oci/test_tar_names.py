"""Names: escaping, odd, hidden; whiteouts in every form."""

import pytest
from tests.unit.oci.tars import END, V7, entries, long_name, member, only, pax, walk

from layerproof.errors import TarError
from layerproof.model.entry import DIRECTORY, FILE, OPAQUE, SYMLINK, WHITEOUT
from layerproof.oci.tarnames import clean_path, escapes
from layerproof.testing.images import member as image_member

# --- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "path"),
    [
        (b"x", b"x"),
        (b"./x", b"x"),
        (b"././x", b"x"),
        (b"/x", b"x"),
        (b"//x", b"x"),
        (b"a//b", b"a/b"),
        (b"a/./b", b"a/b"),
        (b"a/b/.", b"a/b"),
        (b"a/../b", b"b"),
        (b"a/b/..", b"a"),
        (b".hidden", b".hidden"),
        (b"a/.hidden", b"a/.hidden"),
        (b"..data", b"..data"),
        (b"a/...", b"a/..."),
        (b"caf\xe9", b"caf\xe9"),
        (b"\xff\x00ignored", b"\xff"),
        (b"new\nline", b"new\nline"),
        (b" ", b" "),
        (b"back\\slash", b"back\\slash"),
    ],
)
def test_name_is_made_clean_and_relative(name: bytes, path: bytes) -> None:
    assert only(member(name, b"x")).path == path
    assert only(pax((b"uid", b"0")) + member(name, b"x")).path == path


@pytest.mark.parametrize("name", [b"../x", b"../../etc/passwd", b"a/../../x", b"/../x"])
def test_name_that_climbs_out_stays_inside_and_is_noted(name: bytes) -> None:
    walked = walk(member(name) + END)
    assert walked.entries[0].path == clean_path(name) != b""
    assert b".." not in walked.entries[0].path
    assert walked.walker.notes == {"name that climbs above the root, taken as a chroot takes it": 1}


def test_climbing_is_judged_step_by_step() -> None:
    assert escapes(b"a/../../b/c")
    assert not escapes(b"a/b/../../c/..")
    assert not escapes(b"./a//../b")


@pytest.mark.parametrize("name", [b"", b".", b"./", b"/", b"a/..", b".."])
def test_folder_entry_of_the_root_has_the_empty_path(name: bytes) -> None:
    entry = only(member(name, kind=b"5", mode=0o711))
    assert (entry.path, entry.kind, entry.mode) == (b"", DIRECTORY, 0o711)


@pytest.mark.parametrize("kind", [b"0", b"1", b"2", b"3", b"6"])
@pytest.mark.parametrize("name", [b"", b"./", b"a/.."])
def test_root_that_is_no_folder_is_refused(name: bytes, kind: bytes) -> None:
    with pytest.raises(TarError, match="root of the image is not a folder"):
        walk(member(name, kind=kind, link=b"t") + END)


def test_component_over_255_bytes_is_kept() -> None:
    name = b"d/" + b"n" * 4000
    assert only(long_name(name) + member()).path == name


@pytest.mark.parametrize("name", [b"d/", b"d//", b"./d/", b"/d/."])
def test_folder_loses_its_slash(name: bytes) -> None:
    assert only(member(name, kind=b"5")).path == b"d"


def test_trailing_slash_makes_a_folder_of_the_old_type_only() -> None:
    assert only(member(b"d/", kind=b"\x00", magic=V7)).kind == DIRECTORY
    assert only(member(b"d/", kind=b"0")).kind == FILE
    assert only(member(b"f", kind=b"\x00", magic=V7)).kind == FILE


def test_trailing_slash_counts_in_a_long_name_too() -> None:
    assert only(long_name(b"d/") + member(b"d", kind=b"\x00")).kind == DIRECTORY
    assert only(pax((b"path", b"d/")) + member(b"d", kind=b"\x00")).kind == DIRECTORY
    assert only(pax((b"path", b"d")) + member(b"d/", kind=b"\x00")).kind == FILE


def test_file_with_a_trailing_slash_keeps_its_data() -> None:
    found = entries(member(b"f/", b"data") + member(b"next") + END)
    assert [(e.path, e.kind, e.size) for e in found] == [(b"f", FILE, 4), (b"next", FILE, 0)]


# --- whiteouts -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "path"),
    [
        (b".wh.x", b"x"),
        (b"./.wh.x", b"x"),
        (b"a/.wh.x", b"a/x"),
        (b"a/b/.wh..hidden", b"a/b/.hidden"),
        (b"a/.wh....", b"a/..."),
        (b"a/.wh..wh.x", b"a/.wh.x"),
        (b"a/.wh..wh.plnk", b"a/.wh.plnk"),
        (b"a/.wh..wh..opq.", b"a/.wh..opq."),
        (b"a/../.wh.x", b"x"),
        (b".wh.\xff", b"\xff"),
    ],
)
def test_whiteout_names_what_it_hides(name: bytes, path: bytes) -> None:
    entry = only(member(name))
    assert (entry.path, entry.kind, entry.size, entry.sha256) == (path, WHITEOUT, 0, None)


@pytest.mark.parametrize(
    ("name", "path"),
    [(b".wh..wh..opq", b""), (b"a/.wh..wh..opq", b"a"), (b"/a/.wh..wh..opq", b"a")],
)
def test_opaque_whiteout_names_its_folder(name: bytes, path: bytes) -> None:
    entry = only(member(name))
    assert (entry.path, entry.kind) == (path, OPAQUE)


@pytest.mark.parametrize("name", [b".wh.", b".wh..", b".wh...", b"a/.wh.", b"a/.wh..", b"a/.wh..."])
def test_whiteout_of_nothing_or_of_a_parent_is_refused(name: bytes) -> None:
    with pytest.raises(TarError, match="whiteout of nothing"):
        walk(member(name) + END)


@pytest.mark.parametrize("kind", [b"\x00", b"0", b"1", b"2", b"3", b"4", b"5", b"6", b"7"])
def test_every_type_can_be_a_whiteout(kind: bytes) -> None:
    entry = only(member(b".wh.x", kind=kind, link=b"t"))
    assert (entry.path, entry.kind, entry.link, entry.device) == (b"x", WHITEOUT, None, None)


def test_data_of_a_whiteout_is_passed_over() -> None:
    found = entries(member(b".wh.x", b"data" * 400) + member(b"next", b"1") + END)
    assert [(e.path, e.kind) for e in found] == [(b"x", WHITEOUT), (b"next", FILE)]


def test_folder_called_like_a_whiteout_hides_and_its_files_stand() -> None:
    """As runtimes do it: the folder's entry hides `x`, its files make the folder themselves."""
    found = entries(member(b".wh.x/", kind=b"5") + member(b".wh.x/f", b"1") + END)
    assert [(e.path, e.kind) for e in found] == [(b"x", WHITEOUT), (b".wh.x/f", FILE)]


def test_whiteout_in_a_pax_path_is_one() -> None:
    assert only(pax((b"path", b"a/.wh.x")) + member(b"harmless")).kind == WHITEOUT


def test_whiteout_in_the_name_of_a_sparse_file_is_one() -> None:
    records = [(b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0")]
    tar = pax(*records, (b"GNU.sparse.name", b".wh.x"), (b"GNU.sparse.realsize", b"0"))
    assert only(tar + member(b"harmless", b"0\n" + bytes(510))).kind == WHITEOUT


def test_whiteout_prefix_inside_a_name_is_no_whiteout() -> None:
    assert only(member(b"a.wh.x")).kind == FILE
    assert only(member(b".whx")).kind == FILE
    assert only(member(b"a/.WH.x", kind=b"2", link=b"t")).kind == SYMLINK


# --- AUFS metadata -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [b".wh..wh.plnk/", b".wh..wh.plnk/12.34", b".wh..wh.aufs", b"./.wh..wh.orph/x", b"/.wh..wh.x"],
)
def test_aufs_metadata_hides_nothing(name: bytes) -> None:
    """containerd and umoci unpack such names, so a setuid file there would run."""
    walked = walk(member(name, b"data" * 200, mode=0o4755) + member(b"next") + END)
    first, second = walked.entries
    assert first.path.startswith(b".wh..wh.")
    assert (first.kind in (FILE, DIRECTORY), first.mode, second.path) == (True, 0o4755, b"next")
    assert list(walked.walker.notes) == [
        "AUFS metadata, taken as files because some runtimes unpack it"
    ]


def test_hard_link_into_aufs_metadata_is_a_hard_link() -> None:
    tar = member(b".wh..wh.plnk/12.34", b"payload") + member(
        b"bin/sh", kind=b"1", link=b"/.wh..wh.plnk/12.34"
    )
    assert [entry.link for entry in walk(tar + END).entries] == [None, b".wh..wh.plnk/12.34"]


@pytest.mark.parametrize("name", ["trusted.overlay.opaque", "user.overlay.redirect"])
def test_attribute_that_steers_the_overlay_is_refused(name: str) -> None:
    tar = image_member(b"usr/local", b"5", mode=0o755, xattrs={name: b"y"}) + END
    with pytest.raises(TarError, match=r"of the overlay file system"):
        walk(tar)
