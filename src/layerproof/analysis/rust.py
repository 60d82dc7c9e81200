"""Rust crates: what `cargo auditable` puts into programs, and `Cargo.lock`.

Source: rust-secure-code/cargo-auditable, PARSING.md: the section `.dep-v0` is zlib-compressed JSON,
`{"packages": [{"name", "version", "source", "kind", "root"}]}`; crates of the kind `build` are not
part of the program. The Cargo Book, "Cargo.toml vs Cargo.lock". Crates from elsewhere than a
registry are listed, too: their names may be those of a registry's.
"""

import zlib
from collections.abc import Iterator
from typing import Any

from layerproof.analysis.collecting import (
    ManyInOneFile,
    UnusableFieldError,
    field,
    json_object,
)
from layerproof.analysis.interface import Collector, Interest
from layerproof.model.package import Package, PackageType

_LOCK = b"Cargo.lock"
_MAX_LIST = 8 << 20  # bytes of a list, decompressed


def parse(path: bytes, data: bytes) -> Iterator[Package]:
    """The crates of a file. Raises UnusableFieldError."""
    if path.rpartition(b"/")[2] == _LOCK and data[:1] != b"x":
        listed = _lock(data)
    else:
        listed = json_object(_unpacked(data)).get("packages")
    if not isinstance(listed, list):
        raise UnusableFieldError("no list of packages")
    for item in listed:
        if not isinstance(item, dict):
            raise UnusableFieldError("a package is no object")
        if item.get("kind") != "build":
            name, version = field(item, "name"), field(item, "version")
            yield Package(PackageType.CARGO, name, version, path)


def _unpacked(data: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        found = unpacker.decompress(data, _MAX_LIST)
    except zlib.error as error:
        raise UnusableFieldError("the list of crates cannot be decompressed") from error
    if unpacker.unconsumed_tail or not unpacker.eof:
        raise UnusableFieldError("the list of crates is too long, or cut")
    return found


def _lock(data: bytes) -> Any:
    import tomllib  # only Rust's lock files need it

    try:
        return tomllib.loads(data.decode()).get("package")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnusableFieldError("not TOML") from error


class RustAnalyser:
    """Packages only."""

    id = "rust"
    version = 1
    interest = Interest(names=frozenset((_LOCK,)), section=b".dep-v0")

    def start(self) -> Collector:
        """A fresh collector."""
        return ManyInOneFile(self.id, lambda _: True, parse)
