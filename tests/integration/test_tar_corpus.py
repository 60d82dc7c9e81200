"""Every odd tar of the corpus ends in GNU tar's entries, in Go's, or in a named error.

The table says which, file by file and with the reason, so that none changes class unseen. Go's
archive/tar (1.26) is the third opinion: runtimes unpack with it, so its view wins over GNU tar's.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import pytest
from tests.unit.oci.tars import Walked, attempt, pieces

from layerproof.errors import CompressionError, LayerproofError, LimitExceededError, TarError
from layerproof.model.entry import Entry
from layerproof.oci.decompress import decompress
from layerproof.oci.limits import Limits


@dataclass(frozen=True)
class Same:
    """Entries, owners, modes, sizes, targets and contents are those of GNU tar."""


@dataclass(frozen=True)
class AsGo:
    """GNU tar sees something else. What Go sees: kind, path, size, and how its sha256 starts."""

    why: str
    entries: tuple[str, ...]


@dataclass(frozen=True)
class Refused:
    """A named error."""

    error: type[LayerproofError]
    message: str
    why: str
    same_before: int = 0  # so many entries before the error are those of GNU tar


BAD = "refused by Go's archive/tar too"

OUTCOMES: dict[str, Same | AsGo | Refused] = {
    "clair-testdata-extranils.tar.gz": Same(),
    "clair-testdata-fatlonglink.tar.gz": Same(),
    "clair-testdata-iso-8859.tar.gz": Same(),
    "clair-testdata-longlink.tar.gz": Same(),
    "clair-testdata-notenoughnils.tar.gz": Same(),
    "claircore-known-oddlayer.tar": Same(),
    "claircore-server-empty_archive.tar.zst": Same(),
    "claircore-testdata-bad_name.tar": Same(),
    "claircore-testdata-concat.tar": Same(),
    "claircore-testdata-layer-with-bad-version.tar": Same(),
    "claircore-testdata-layer-with-cpe.tar": Same(),
    "claircore-testdata-layer-with-embedded-cs.tar": Same(),
    "claircore-testdata-layer-with-invalid-content-manifests-json.tar": Same(),
    "claircore-testdata-layer-with-no-cpe-info.tar": Same(),
    "claircore-testdata-paxsize.tar": Same(),
    "claircore-testdata-rhcos-layer-with-conflicting-files.tar": Same(),
    "claircore-testdata-rhcos-layer-with-embedded-cs.tar": Same(),
    "claircore-testdata-whiteout.layer": Same(),
    "claircore-testdata-whiteout_advanced.layer": Same(),
    "claircore-testdata-whiteout_opaque.layer": Same(),
    "cpython-testtar.tar": Refused(
        TarError,
        "entry of type 'X', which runtimes refuse (at offset 344576)",
        "Solaris extended header: Go hands it on as an entry, runtimes stop at its type",
        same_before=27,
    ),
    "moby-46af0962ab5a-layer.tar": Same(),
    "moby-511136ea3c5a-layer.tar": Same(),
    "moby-collision-collision-0.tar": Same(),
    "moby-collision-collision-1.tar": Same(),
    "moby-collision-collision-2.tar": Same(),
    "moby-collision-collision-3.tar": Same(),
    "moby-testdata-broken.tar": Same(),
    "moby-testdata-emptyLayer.tar": Same(),
    "moby-testdata-file-and-dir.tar": Same(),
    "moby-testdata-gnu-incremental.tar": Refused(
        TarError,
        "entry of type 'D', which runtimes refuse (at offset 0)",
        "folder listing of an incremental backup: Go hands it on, runtimes stop at its type",
    ),
    "moby-testdata-gnu-long-nul.tar": Same(),
    "moby-testdata-gnu-multi-hdrs.tar": Same(),
    "moby-testdata-gnu-nil-sparse-data.tar": Same(),
    "moby-testdata-gnu-nil-sparse-hole.tar": Same(),
    "moby-testdata-gnu-not-utf8.tar": Same(),
    "moby-testdata-gnu-sparse-big.tar": Refused(
        LimitExceededError,
        "sparse files of more than 8589934592 bytes in one layer (at offset 0)",
        "60 GB of holes; with a higher limit it is read",
    ),
    "moby-testdata-gnu-utf8.tar": Same(),
    "moby-testdata-gnu.tar": Same(),
    "moby-testdata-hardlink.tar": Same(),
    "moby-testdata-hdr-only.tar": AsGo(
        "links, folders and devices state a size: to Go they have no data, GNU tar skips it",
        (
            "d dir 0",
            "p fifo 0",
            "f file 46 4b91122a",
            "h hardlink 0",
            "c null 0",
            "b sda 0",
            "l symlink 0",
            "l badlink 0",
        )
        * 2,
    ),
    "moby-testdata-invalid-go17.tar": AsGo(
        "Go reads a GNU header whose times are a name as if it had a prefix; GNU tar drops it",
        (f"f {'a' * 97}/foo 0",),
    ),
    "moby-testdata-issue10968.tar": Refused(
        TarError, "bad header checksum: not a tar header, or damaged (at offset 0)", BAD
    ),
    "moby-testdata-issue11169.tar": Refused(
        TarError, "the tar ends inside a header (at offset 0)", BAD
    ),
    "moby-testdata-issue12435.tar": Refused(
        TarError, "size does not fit 64 bits (at offset 0)", BAD
    ),
    "moby-testdata-neg-size.tar": Refused(TarError, "size does not fit 64 bits (at offset 0)", BAD),
    "moby-testdata-nil-uid.tar": Same(),
    "moby-testdata-pax-bad-hdr-file.tar": Refused(
        TarError, "pax record that ends outside its header (at offset 0)", BAD
    ),
    "moby-testdata-pax-bad-hdr-large.tar.bz2": Refused(
        CompressionError, "bzip2 or xz", "no compression of OCI layers"
    ),
    "moby-testdata-pax-bad-mtime-file.tar": Refused(
        TarError, "pax record mtime is not a time", BAD
    ),
    "moby-testdata-pax-global-records.tar": AsGo(
        "runtimes ignore global pax headers; GNU tar applies their path to the files behind them",
        ("f file1 0", "f file2 0", "f file3 0", "f file4 0"),
    ),
    "moby-testdata-pax-multi-hdrs.tar": Same(),
    "moby-testdata-pax-nil-sparse-data.tar": Same(),
    "moby-testdata-pax-nil-sparse-hole.tar": Same(),
    "moby-testdata-pax-nul-path.tar": Refused(
        TarError, "NUL in pax record 'path' (at offset 0)", BAD
    ),
    "moby-testdata-pax-nul-xattrs.tar": Refused(TarError, "NUL in pax record", BAD),
    "moby-testdata-pax-path-hdr.tar": Refused(
        TarError,
        "the tar ends after an extended header (at offset 1024)",
        "Go and GNU tar drop the header in silence",
    ),
    "moby-testdata-pax-pos-size-file.tar": Same(),
    "moby-testdata-pax-records.tar": Same(),
    "moby-testdata-pax-sparse-big.tar": Refused(
        LimitExceededError,
        "sparse files of more than 8589934592 bytes in one layer (at offset 1024)",
        "60 GB of holes; with a higher limit it is read",
    ),
    "moby-testdata-pax.tar": Same(),
    "moby-testdata-sparse-formats.tar": AsGo(
        "fragments off the block grid, which GNU tar cannot extract; bsdtar reads them as Go does",
        (
            "f sparse-gnu 200 ed7c086b",
            "f sparse-posix-0.0 200 ed7c086b",
            "f sparse-posix-0.1 200 ed7c086b",
            "f sparse-posix-1.0 200 ed7c086b",
            "f end 4 48332fe6",
        ),
    ),
    "moby-testdata-star.tar": Same(),
    "moby-testdata-t.tar.gz": Same(),
    "moby-testdata-trailing-slash.tar": Same(),
    "moby-testdata-ustar-file-devs.tar": Same(),
    "moby-testdata-ustar-file-reg.tar": Same(),
    "moby-testdata-ustar.issue12594.tar": Same(),
    "moby-testdata-ustar.tar": Same(),
    "moby-testdata-v7.tar": Same(),
    "moby-testdata-writer-big-long.tar": Refused(
        TarError,
        "the tar ends inside a file (at offset 1024)",
        "states 16 GiB, holds a header only",
    ),
    "moby-testdata-writer-big.tar": Refused(
        TarError, "the tar ends inside a file (at offset 0)", "states 16 GiB, holds a header only"
    ),
    "moby-testdata-writer.tar": Same(),
    "moby-testdata-xattrs.tar": Same(),
    "moby-xattr-layer.tar": Same(),
}


@dataclass(frozen=True)
class Listed:
    """One entry as a listing has it, in our words."""

    path: bytes
    kind: str
    mode: int
    uid: int
    gid: int
    size: int
    sha256: str | None
    link: bytes | None
    device: tuple[int, int] | None


def corpus() -> Path:
    return Path(__file__).resolve().parents[3] / "shared" / "data" / "tar-corpus"


def files() -> list[Path]:
    return sorted(p for p in corpus().rglob("*") if p.is_file() and p.name != "README")


def read(path: Path) -> Walked:
    def layer(chunk: int) -> Iterator[bytes]:
        yield from decompress(pieces(path.read_bytes(), chunk), Limits())

    walked = attempt(layer(1 << 16))
    assert attempt(layer(1000)).outcome == walked.outcome
    return walked


def ours(entry: Entry) -> Listed:
    return Listed(
        entry.path, chr(entry.kind), entry.mode, entry.uid, entry.gid, entry.size,
        entry.sha256.hex() if entry.sha256 is not None else None, entry.link, entry.device,
    )  # fmt: skip


def summary(entry: Listed) -> str:
    start = f" {entry.sha256[:8]}" if entry.sha256 and entry.size else ""
    return f"{entry.kind} {os.fsdecode(entry.path)} {entry.size}{start}"


# --- GNU tar's view ------------------------------------------------------------------------------

LINE = re.compile(
    rb"(?P<kind>.)(?P<mode>[-rwxsStT]{9}) (?P<uid>-?\d+)/(?P<gid>-?\d+) +"
    rb"(?:(?P<size>\d+)|(?P<major>\d+),(?P<minor>\d+)) +\S+ +\S+ +"
    rb'"(?P<name>(?:[^"\\]|\\.)*)"(?:(?: -> | link to )"(?P<link>(?:[^"\\]|\\.)*)")?'
)
ESCAPES = {
    b"n": b"\n",
    b"t": b"\t",
    b"r": b"\r",
    b"a": b"\a",
    b"b": b"\b",
    b"f": b"\f",
    b"v": b"\v",
}


@pytest.fixture(scope="session")
def gnu_tar() -> str:
    program = shutil.which("tar")
    if program is not None:
        version = subprocess.run([program, "--version"], capture_output=True, check=False)
        if b"GNU tar" in version.stdout:
            return program
    pytest.skip("GNU tar is not installed")


def run(program: str, *arguments: str | Path) -> bytes:
    done = subprocess.run(
        [program, *arguments], env={**os.environ, "LC_ALL": "C", "TZ": "UTC"},
        capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    return done.stdout


def unquoted(text: bytes) -> bytes:
    def one(found: re.Match[bytes]) -> bytes:
        code = found[1]
        return bytes([int(code, 8)]) if code.isdigit() else ESCAPES.get(code, code)

    return re.sub(rb"\\([0-7]{3}|.)", one, text)


def mode_bits(text: bytes) -> int:
    bits = 0
    for place, letter in enumerate(text.decode()):
        if letter in "rwxst":
            bits |= 0o400 >> place
        if letter in "sStT":
            bits |= {2: 0o4000, 5: 0o2000, 8: 0o1000}[place]
    return bits


def cleaned(name: bytes) -> bytes:
    return os.path.normpath(b"/" + name).lstrip(b"/")


def effective(owner: int) -> int:
    """chown takes all ones for "leave it", and root it was that unpacked."""
    return 0 if owner == 2**32 - 1 else owner


def listing(program: str, path: Path) -> Iterator[Listed]:
    """What GNU tar lists and extracts (to its output, where it writes no holes)."""
    lines = run(
        program, "--list", "--verbose", "--numeric-owner", "--full-time", "--quoting-style=c",
        "--file", path,
    ).splitlines()  # fmt: skip
    contents = run(program, "--extract", "--to-stdout", "--file", path)
    at = 0
    for line in lines:
        found = LINE.fullmatch(line)
        assert found is not None, line
        kind = found["kind"].decode().replace("-", "f").replace("C", "f")
        size = int(found["size"] or 0)
        data = contents[at : at + size] if kind == "f" else b""
        at += len(data)
        link = found["link"] and unquoted(found["link"])
        yield Listed(
            path=cleaned(unquoted(found["name"])),
            kind=kind,
            mode=mode_bits(found["mode"]),
            uid=effective(int(found["uid"])),
            gid=effective(int(found["gid"])),
            size=size if kind == "f" else 0,
            sha256=sha256(data).hexdigest() if kind == "f" else None,
            link=cleaned(link) if link is not None and kind == "h" else link,
            device=(int(found["major"]), int(found["minor"])) if found["major"] else None,
        )
    assert at == len(contents)


def as_layer(listed: Listed) -> Listed:
    """An entry called like a whiteout is one (OCI image-spec, layer.md)."""
    folder, name = os.path.split(listed.path)
    if not name.startswith(b".wh."):
        return listed
    opaque = name == b".wh..wh..opq"
    return Listed(
        folder if opaque else os.path.join(folder, name[4:]), "o" if opaque else "w",
        listed.mode, listed.uid, listed.gid, 0, None, None, None,
    )  # fmt: skip


# --- tests ---------------------------------------------------------------------------------------


def test_every_file_of_the_corpus_is_in_the_table(shared_data: Path) -> None:
    assert {path.name for path in files()} == set(OUTCOMES)


@pytest.mark.parametrize("name", sorted(OUTCOMES))
def test_file_of_the_corpus(name: str, shared_data: Path, request: pytest.FixtureRequest) -> None:
    (path,) = (found for found in files() if found.name == name)
    walked = read(path)
    entries = [ours(entry) for entry in walked.entries]
    match OUTCOMES[name]:
        case Same():
            listed = listing(request.getfixturevalue("gnu_tar"), path)
            assert walked.error is None
            assert entries == [as_layer(entry) for entry in listed]
        case AsGo(_, expected):
            assert walked.error is None
            assert tuple(map(summary, entries)) == expected
        case Refused(error, message, _, before):
            assert type(walked.error) is error
            assert message in str(walked.error)
            assert "(at offset " in str(walked.error) or error is CompressionError
            if before:
                listed = listing(request.getfixturevalue("gnu_tar"), path)
                # digests come to their entries when a walk is closed, which this one was not
                without = [replace(e, sha256=e.sha256 and "") for e in map(as_layer, listed)]
                assert entries == without[:before]


# --- sparse files as GNU tar writes them ---------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        ("--format=gnu",),
        ("--format=posix", "--sparse-version=0.0"),
        ("--format=posix", "--sparse-version=0.1"),
        ("--format=posix", "--sparse-version=1.0"),
    ],
    ids=["old GNU", "pax 0.0", "pax 0.1", "pax 1.0"],
)
def test_sparse_files_of_gnu_tar_have_their_holes(
    gnu_tar: str, tmp_path: Path, options: tuple[str, ...]
) -> None:
    data = b"data" * 128
    pieces_of = {
        "few": [4096, 20_480],
        "many": range(0, 100 * 8192, 8192),
        "hole": [],
        "dense": [0, 512],
    }
    sizes = {"few": 30_001, "many": 100 * 8192, "hole": 70_000, "dense": 1024}
    for name, places in pieces_of.items():
        with (tmp_path / name).open("wb") as file:
            for place in places:
                file.seek(place)
                file.write(data)
            file.truncate(sizes[name])
    if (tmp_path / "many").stat().st_blocks * 512 >= sizes["many"]:
        pytest.skip("the file system of the temporary folder knows no holes")
    run(
        gnu_tar, "--create", "--sparse", "--hole-detection=raw", *options, "--directory", tmp_path,
        "--file", tmp_path / "out.tar", *sizes,
    )  # fmt: skip
    expected = {name.encode(): (tmp_path / name).read_bytes() for name in sizes}
    tar = (tmp_path / "out.tar").read_bytes()
    assert len(tar) < sum(sizes.values()) / 4
    for chunk in (7, 1000, 1 << 18):
        walked = attempt(pieces(tar, chunk))
        assert walked.error is None
        assert {entry.path: (entry.size, entry.sha256) for entry in walked.entries} == {
            name: (len(contents), sha256(contents).digest()) for name, contents in expected.items()
        }
