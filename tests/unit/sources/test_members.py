"""The outer tar: what is read like GNU tar reads it, and what is refused."""

import io
import tarfile
from collections.abc import Iterator
from dataclasses import replace

import pytest

from layerproof.errors import ImageNotFoundError, LimitExceededError, ManifestError, TarError
from layerproof.oci.limits import Limits
from layerproof.sources._members import Member, MemberTable, StreamInput, normalise, scan
from layerproof.testing.images import Dir, File, Hardlink, Symlink, Tree, member, tar

LIMITS = Limits()
END = bytes(1024)


def stream(data: bytes, size: int = 1000) -> StreamInput:
    pieces = (data[start : start + size] for start in range(0, len(data), size))
    return StreamInput(pieces, "doc")


def scanned(data: bytes, limits: Limits = LIMITS, size: int = 1000) -> list[Member]:
    return list(scan(stream(data, size), where="doc", limits=limits))


def table(data: bytes) -> MemberTable:
    found = MemberTable("doc")
    for item in scanned(data):
        found.add(item)
    return found


def contents(data: bytes) -> Iterator[tuple[str, bytes]]:
    source = stream(data)
    for found in scan(source, where="doc", limits=LIMITS):
        yield found.name, b"".join(source.contents(found.size))


@pytest.mark.parametrize("size", [1, 511, 512, 513, 1 << 20])
def test_names_sizes_offsets_and_kinds(size: int) -> None:
    data = tar({"d": Dir(), "d/f": b"abc", "./e//g": b"x" * 600, "l": Symlink("d/f")})
    assert scanned(data, size=size) == [
        Member("d", "folder", 0, 512),
        Member("d/f", "file", 3, 1024),
        Member("e/g", "file", 600, 2048),
        Member("l", "link", 0, 3584, "d/f"),
    ]


def test_contents_follow_their_member() -> None:
    assert dict(contents(tar({"a": b"1" * 3000, "b": b"", "c": b"3"}))) == {
        "a": b"1" * 3000,
        "b": b"",
        "c": b"3",
    }


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_long_names_of_every_tar_format(form: int) -> None:
    folder = "d" * 90
    names = [f"{folder}/{'f' * length}" for length in (1, 50, 99)]
    if form != tarfile.USTAR_FORMAT:
        names += [f"{folder}/{'é' * 90}"]
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=form) as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = 3
            archive.addfile(info, io.BytesIO(b"abc"))
    assert dict(contents(packed.getvalue())) == dict.fromkeys(names, b"abc")


def test_pax_size_overrides_the_header() -> None:
    data = member(b"x", b"x", data=b"12 size=512\n") + member(b"f") + b"y" * 512 + END
    assert dict(contents(data)) == {"f": b"y" * 512}


def test_base_256_size() -> None:
    header = bytearray(member(b"f"))
    header[124:136] = b"\x80" + (512).to_bytes(11, "big")
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    assert dict(contents(bytes(header) + b"y" * 512 + END)) == {"f": b"y" * 512}


@pytest.mark.parametrize(
    "ending", [b"", bytes(512), bytes(1024), bytes(10240)], ids=["none", "one", "two", "many"]
)
def test_archive_may_end_with_or_without_zero_blocks(ending: bytes) -> None:
    assert [found.name for found in scanned(member(b"f", data=b"x") + ending)] == ["f"]


def pax(record: bytes) -> bytes:
    return member(b"p", b"x", data=record) + member(b"f") + END


@pytest.mark.parametrize(
    "data",
    [
        b"x",
        b"x" * 512,
        member(b"f", data=b"x" * 600)[:-512],
        member(b"f", data=b"x" * 600)[:700],
        member(b"f")[:300],
        member(b"f") + bytes(512) + member(b"g") + END,
        member(b"f").replace(b"ustar", b"ustaR"),
        member(b"../f") + END,
        member(b"a/../../f") + END,
        member(b"f", b"S") + END,
        member(b"f", b"M") + END,
        member(b"f", b"1", link=b"g", data=b"x") + END,
        member(b"f", b"2", link=b"g", data=b"x") + END,
        member(b"f", b"5", data=b"x") + END,
        member(b"f", b"3", data=b"x") + END,
        member(b"g", b"g", data=b"13 path=evil\n") + member(b"f") + END,
        member(b"g", b"g", data=b"10 size=9\n") + member(b"f") + END,
        member(b"n", b"L", data=b"name\0"),
        member(b"n", b"L", data=b"../../name\0") + member(b"f") + END,
        pax(b"999 path=x\n"),
        pax(b"path=x\n"),
        pax(b"9 path=x"),
        pax(b"5 a\n\n"),
        pax(b"0 a=b\n"),
        pax(b"12 size=-12\n"),
        pax(b"12 size=1e1\n"),
        pax(b"16 path=../../x\n"),
        pax(b"27 GNU.sparse.realsize=123\n"),
    ],
)
def test_damaged_or_doubtful_tar_is_refused(data: bytes) -> None:
    with pytest.raises(TarError) as caught:
        scanned(data)
    assert caught.value.where == "doc"


def test_negative_size_is_refused() -> None:
    header = bytearray(member(b"f"))
    header[124:136] = b"\xff" * 12
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    with pytest.raises(TarError):
        scanned(bytes(header) + END)


def test_bounds_on_members_and_headers() -> None:
    with pytest.raises(LimitExceededError) as caught:
        scanned(tar({"a": b"", "b": b""}), replace(LIMITS, archive_members=1))
    assert caught.value.limit == "archive_members"
    huge = bytearray(member(b"x", b"x"))
    huge[124:136] = b"77777777777\0"
    huge[148:156] = b" " * 8
    huge[148:156] = b"%06o\0 " % sum(huge)
    with pytest.raises(LimitExceededError) as caught:
        scanned(bytes(huge))
    assert caught.value.limit == "header_bytes"


def test_name_that_stands_twice_is_refused() -> None:
    with pytest.raises(TarError, match="'a' stands twice"):
        table(tar({"a": b"good"})[:-1024] + tar({"./a": b"evil"}))


def test_folder_may_be_repeated() -> None:
    table(tar({"a": Dir()})[:-1024] + tar({"a": Dir()}))


def test_links_are_followed_inside_the_archive() -> None:
    found = table(
        tar(
            {
                "a/b/file": b"x",
                "c/sym": Symlink("../a/b/file"),
                "hard": Hardlink("a/b/file"),
                "twice": Symlink("c/sym"),
            }
        )
    )
    for name in ("a/b/file", "c/sym", "hard", "twice"):
        assert found.file(name).name == "a/b/file"


@pytest.mark.parametrize(
    ("tree", "error"),
    [
        ({"l": Symlink("/etc/passwd")}, ManifestError),
        ({"l": Symlink("../etc/passwd")}, ManifestError),
        ({"l": Hardlink("../etc/passwd")}, ManifestError),
        ({"l": Symlink("l")}, ManifestError),
        ({"l": Symlink("m"), "m": Symlink("l")}, ManifestError),
        ({"l": Symlink("gone")}, ImageNotFoundError),
        ({"l": Symlink("d"), "d": Dir()}, ManifestError),
        ({"other": File(b"")}, ImageNotFoundError),
    ],
)
def test_links_that_lead_nowhere_inside(tree: Tree, error: type[Exception]) -> None:
    with pytest.raises(error):
        table(tar(tree)).file("l")


@pytest.mark.parametrize(
    ("name", "clean"),
    [("a", "a"), ("./a//b/.", "a/b"), ("/a", "a"), ("", ""), ("..", None), ("a/..", None)],
)
def test_normalise(name: str, clean: str | None) -> None:
    assert normalise(name) == clean
