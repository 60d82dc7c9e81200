"""The summary of a layer."""

from tests.unit.analysis.layers import add, run

from layerproof.model.entry import DIRECTORY, SYMLINK, WHITEOUT, EntryTable


def test_counts_by_kind_bytes_and_executables() -> None:
    table = EntryTable()
    add(table, b"bin", DIRECTORY, mode=0o755)
    add(table, b"bin/sh", SYMLINK, mode=0o777, link=b"dash")
    add(table, b"bin/dash", mode=0o755, size=100)
    add(table, b"etc/passwd", size=20)
    add(table, b"bin/old", WHITEOUT)
    assert run("entries", {}, table).data == {
        "kinds": {"file": 2, "directory": 1, "symlink": 1, "whiteout": 1},
        "bytes": 120,
        "executables": 1,
    }


def test_empty_layer() -> None:
    assert run("entries", {}).data == {"kinds": {}, "bytes": 0, "executables": 0}
