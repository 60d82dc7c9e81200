"""Crates of auditable programs and lock files."""

import json
import zlib

from tests.unit.analysis.layers import names, reasons, run

LIST = {
    "packages": [
        {"name": "app", "version": "0.1.0", "source": "local", "root": True, "dependencies": [1]},
        {"name": "serde", "version": "1.0.193", "source": "crates.io"},
        {"name": "cc", "version": "1.0.0", "source": "crates.io", "kind": "build"},
    ]
}
LOCK = b"""version = 3

[[package]]
name = "serde"
version = "1.0.193"
source = "registry+https://github.com/rust-lang/crates.io-index"

[[package]]
name = "serde"
version = "0.9.0"
"""


def test_crates_of_a_program_but_not_those_of_its_build() -> None:
    facts = run("rust", {b"usr/bin/app": zlib.compress(json.dumps(LIST).encode())})
    assert names(facts.packages) == [("app", "0.1.0"), ("serde", "1.0.193")]
    assert facts.packages[1].purl == "pkg:cargo/serde@1.0.193"


def test_several_versions_of_a_lock_file() -> None:
    facts = run("rust", {b"src/Cargo.lock": LOCK})
    assert names(facts.packages) == [("serde", "0.9.0"), ("serde", "1.0.193")]


def test_bombs_and_damage_are_reported() -> None:
    bomb = zlib.compress(bytes(64 << 20))
    for data in (bomb, b"x", zlib.compress(b"[]"), zlib.compress(b"{}")[:-3]):
        facts = run("rust", {b"usr/bin/app": data})
        assert (facts.packages, bool(reasons(facts))) == ((), True)
    assert reasons(run("rust", {b"Cargo.lock": b"= ="}))
