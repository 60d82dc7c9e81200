"""rpm headers, and the databases that they are kept in, made by hand."""

import sqlite3
from pathlib import Path
from struct import pack

Tags = dict[int, tuple[int, list[bytes] | list[int]]]
STRING, NUMBERS, TEXTS = 6, 4, 8


def package(
    name: str = "bash",
    version: str = "5.1.8",
    release: str = "6.el9",
    *,
    epoch: int | None = None,
    module: str = "",
    files: tuple[tuple[str, str, int], ...] = (),
    script: str = "",
) -> Tags:
    """Files are (path, sha256 in hexadecimal, flags)."""
    tags: Tags = {
        1000: (STRING, [name.encode()]),
        1001: (STRING, [version.encode()]),
        1002: (STRING, [release.encode()]),
        1014: (STRING, [b"GPLv3+"]),
        1022: (STRING, [b"x86_64"]),
        1044: (STRING, [f"{name.partition('-')[0]}-{version}-{release}.src.rpm".encode()]),
    }
    if epoch is not None:
        tags[1003] = (NUMBERS, [epoch])
    if module:
        tags[5096] = (STRING, [module.encode()])
    if files:
        folders = sorted({path.rpartition("/")[0] + "/" for path, _, _ in files})
        tags[1117] = (TEXTS, [path.rpartition("/")[2].encode() for path, _, _ in files])
        tags[1118] = (TEXTS, [folder.encode() for folder in folders])
        places = [folders.index(path.rpartition("/")[0] + "/") for path, _, _ in files]
        tags[1116] = (NUMBERS, places)
        tags[1035] = (TEXTS, [digest.encode() for _, digest, _ in files])
        tags[1037] = (NUMBERS, [flags for _, _, flags in files])
        tags[5011] = (NUMBERS, [8])
    if script:
        tags[1024] = (STRING, [script.encode()])
        tags[1086] = (STRING, [b"/bin/sh"])
    return tags


def header(tags: Tags) -> bytes:
    """As a database keeps it: without the magic of a file."""
    entries, data = [], b""
    for tag, (kind, values) in sorted(tags.items()):
        if kind == NUMBERS:
            data += bytes(-len(data) % 4)
        entries.append(pack(">4I", tag, kind, len(data), len(values)))
        for value in values:
            data += pack(">I", value) if isinstance(value, int) else value + b"\0"
    return pack(">2I", len(entries), len(data)) + b"".join(entries) + data


def sqlite(path: Path, headers: list[bytes], *, wal: bool = False) -> bytes:
    """rpmdb.sqlite, made by SQLite itself. With `wal`, its log is left beside it."""
    connection = sqlite3.connect(path)
    if wal:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute("CREATE TABLE 'Name' (key TEXT, hnum INTEGER)")
    connection.execute(
        "CREATE TABLE 'Packages' (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)"
    )
    connection.executemany("INSERT INTO Packages (blob) VALUES (?)", [(h,) for h in headers])
    connection.commit()
    data = path.read_bytes()
    if wal:
        path.with_name(path.name + ".log").write_bytes(
            path.with_name(path.name + "-wal").read_bytes()
        )
    connection.close()
    return data


def ndb(headers: list[bytes]) -> bytes:
    """Packages.db: one page of slots, then blobs in blocks of 16 bytes."""
    slots, blobs = b"", b""
    for number, data in enumerate(headers, 1):
        at = (4096 + len(blobs)) // 16
        blob = b"BlbS" + pack("<3I", number, 1, len(data)) + data
        blob += bytes(-len(blob) % 16) + b"x" * 16
        slots += b"Slot" + pack("<3I", number, at, len(blob) // 16)
        blobs += blob
    head = b"RpmP" + pack("<7I", 0, 1, 1, len(headers) + 1, 0, 0, 0)
    return (head + slots).ljust(4096, b"\0") + blobs
