"""What package databases say about files, and what hostile layers write there."""

import time

import pytest
from tests.unit.analysis.layers import DIRECTORY, add, run

from layerproof.model.entry import EntryTable
from layerproof.model.ownership import Checksum, Manifest
from layerproof.oci import manifestcodec

MD5 = "0123456789abcdef" * 2
INFO = b"var/lib/dpkg/info/"


def one(path: bytes, data: bytes) -> Manifest:
    (found,) = run("manifests", {path: data}).manifests
    return found


def test_md5sums_name_files_with_their_digests() -> None:
    lines = f"{MD5}  usr/bin/a b\n{MD5} *./usr/bin/c\n{MD5}  /etc/d\nnot a line\n"
    found = one(INFO + b"bash:amd64.md5sums", lines.encode())
    assert (found.package, found.checksum) == ("bash:amd64", Checksum.MD5)
    assert found.paths == (b"usr/bin/a b", b"usr/bin/c", b"etc/d")
    assert found.digest(2) == bytes.fromhex(MD5)


def test_a_list_keeps_what_neither_is_a_folder_nor_stands_beside_it() -> None:
    entries = EntryTable()
    add(entries, b"usr/bin", DIRECTORY)
    files = {
        INFO + b"a.list": b"/.\n/usr/bin\n/usr/bin/a\n/usr/bin/link\n",
        INFO + b"a.md5sums": f"{MD5}  usr/bin/a\n".encode(),
    }
    found = {m.path: m for m in run("manifests", files, entries).manifests}
    assert found[INFO + b"a.list"].paths == (b"usr/bin/link",)


def test_conffiles_stand_in_the_status_of_their_package() -> None:
    status = (
        f"Package: a\nConffiles:\n /etc/a {MD5}\n /etc/old {MD5} obsolete\nVersion: 1\n\n"
        f"Package: b\nVersion: 2\n\nPackage: c\nConffiles:\n /etc/c {MD5}\n"
    )
    found = run("manifests", {b"var/lib/dpkg/status": status.encode()}).manifests
    assert [(m.package, m.paths, m.config) for m in found] == [
        ("a", (b"etc/a", b"etc/old"), True),
        ("c", (b"etc/c",), True),
    ]


def test_a_database_that_lists_nothing_stands_for_itself() -> None:
    assert one(b"var/lib/dpkg/status", b"Package: a\n").paths == ()
    assert one(INFO + b"a.list", b"").paths == ()


def test_apk_names_files_by_folder_with_their_digests() -> None:
    data = b"P:a\nV:1\nF:\nR:init\nF:bin\nR:sh\nZ:Q1AAECAwQFBgcICQoLDA0ODxAREhM=\n"
    data += b"R:odd\nZ:Q1x\n\nP:b\n"
    found = one(b"lib/apk/db/installed", data)
    assert found.paths == (b"init", b"bin/sh", b"bin/odd")
    assert [found.digest(n) for n in range(3)] == [b"", bytes(range(20)), b""]


def test_record_names_files_from_the_folder_above_the_metadata() -> None:
    digest = "A" * 43
    data = (
        f'a/b.py,sha256={digest},1\n"a,""c"".py",sha256={digest[:-1]}E,2\n'
        "../../../bin/tool,,\nx-1.dist-info/RECORD,,\n/usr/bin/x,md5=1,\n"
    )
    site = b"usr/lib/python3/dist-packages/"
    found = one(site + b"x-1.dist-info/RECORD", data.encode())
    assert found.paths == (
        site + b"a/b.py",
        site + b'a,"c".py',
        b"usr/bin/tool",
        site + b"x-1.dist-info/RECORD",
        b"usr/bin/x",
    )
    assert [len(found.digest(n)) for n in range(5)] == [0, 32, 0, 0, 0]


@pytest.mark.parametrize("folder", ["srv", "usr/local/lib/python3.11/site-packages", "usr/lib/x"])
def test_a_record_claims_nothing_outside_its_prefix(folder: str) -> None:
    up = "../" * folder.count("/") + "../"
    data = f"{up}usr/bin/login,,\n/etc/shadow,,\nmine.py,,\n".encode()
    found = one(f"{folder}/x-1.dist-info/RECORD".encode(), data)
    assert found.paths == (f"{folder}/mine.py".encode(),)


def test_a_record_cannot_name_a_path_above_the_root() -> None:
    found = one(b"x-1.dist-info/RECORD", b"../../../../etc/passwd,,\n")
    assert found.paths == (b"etc/passwd",)


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (INFO + b"a.md5sums", f"{MD5}  usr/bin/a\n".encode()),
        (INFO + b"a.list", b"/usr/bin/a\n"),
        (b"lib/apk/db/installed", b"R:a\nZ:Q1\n"),
        (b"x-1.dist-info/RECORD", b'"' * 20 + b",sha256=,\n"),
        (b"var/lib/dpkg/status", b"Conffiles:\n /etc/a 0\n"),
    ],
    ids=["md5sums", "list", "apk", "RECORD", "status"],
)
def test_a_huge_database_is_read_in_linear_time(path: bytes, line: bytes) -> None:
    start = time.process_time()
    run("manifests", {path: line * 200_000})
    assert time.process_time() - start < 5


def test_manifests_come_back_from_the_index_equal() -> None:
    every = (
        Manifest(b"a\xff", "deb", "a", (b"x", b"\xff y"), Checksum.MD5, bytes(range(32)), True),
        Manifest(b"b", "apk", "b"),
        Manifest(b"c", "pypi", "é", (b"z",), Checksum.SHA256, bytes(32)),
    )
    assert tuple(manifestcodec.decode(manifestcodec.encode(every))) == every
    assert manifestcodec.encode(()) == b""
    assert manifestcodec.decode(b"") == []


def test_a_name_with_a_nul_is_left_out_with_its_digest() -> None:
    odd = Manifest(b"a", "deb", "a", (b"x\x00y", b"z"), Checksum.MD5, bytes(range(32)))
    (found,) = manifestcodec.decode(manifestcodec.encode([odd]))
    assert (found.paths, found.digests) == ((b"z",), bytes(range(16, 32)))
