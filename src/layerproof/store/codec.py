"""Between the model and what a column holds. Everything comes back equal to what was put.

1. A digest is its raw bytes; the length tells sha256 (32) from sha512 (64).
2. Text goes as it is if it is printable. Any other (a lone surrogate, a NUL, a line end: names and
   reasons come from hostile bytes, and databases differ in what they refuse) goes as MARK and a
   JSON string. MARK itself is not printable, so no text is mistaken.
3. A document is ASCII JSON, zlib-compressed when that pays. JSON never begins with zlib's `x`.
4. A time is whole microseconds since 1970-01-01 UTC.
"""

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from layerproof.model.change import ChangeKind
from layerproof.model.digest import Digest
from layerproof.model.ownership import Alteration, AlteredFile, ForeignFile, Integrity
from layerproof.model.package import Package, PackageChange, PackageChangeKind, PackageType
from layerproof.model.page import NEWEST, Cursor

MARK = "\x1f"
COMPRESS_FROM = 512  # bytes; shorter documents fit on a page anyway

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_NOT_DECODED = (ValueError, TypeError, LookupError, AttributeError, OverflowError, zlib.error)

D = TypeVar("D", bound=Digest)


class DamagedRowError(Exception):
    """A stored value that nothing could have stored; the executor names the index and remedy."""


@contextmanager
def decoding(what: str) -> Iterator[None]:
    """Whatever goes wrong while decoding `what` means that the row is damaged."""
    try:
        yield
    except _NOT_DECODED as error:
        raise DamagedRowError(f"the {what} cannot be decoded") from error


def raw(digest: str) -> bytes:
    """The bytes of a digest."""
    return bytes.fromhex(digest.partition(":")[2])


def raw_or_none(digest: str | None) -> bytes | None:
    """The bytes of a digest that may be missing."""
    return None if digest is None else raw(digest)


def digest(kind: type[D], data: bytes) -> D:
    """The digest of these bytes."""
    if len(data) == 32:
        return kind("sha256:" + data.hex())
    if len(data) == 64:
        return kind("sha512:" + data.hex())
    raise DamagedRowError(f"a digest has {len(data)} bytes")


def digest_or_none(kind: type[D], data: bytes | None) -> D | None:
    """The digest of these bytes, if there are any."""
    return None if data is None else digest(kind, data)


def text(value: str) -> str:
    """What a text column holds."""
    return value if value.isprintable() else MARK + json.dumps(value)


def untext(value: str) -> str:
    """What `text` was given."""
    if value[:1] != MARK:
        return value
    with decoding("text"):
        return str(json.loads(value[1:]))


def document(value: object) -> bytes:
    """A plain JSON value as bytes."""
    data = json.dumps(value, separators=(",", ":")).encode("ascii")
    return data if len(data) < COMPRESS_FROM else zlib.compress(data, 1)


def undocument(data: bytes) -> Any:
    """What `document` was given."""
    return json.loads(zlib.decompress(data) if data[:1] == b"x" else data)


def micros(time: datetime) -> int:
    """An aware time as microseconds."""
    return (time - _EPOCH) // _MICROSECOND


def unmicros(value: int) -> datetime:
    """The time, in UTC."""
    return _EPOCH + timedelta(microseconds=value)


def micros_or_none(time: datetime | None) -> int | None:
    """A time that may be missing, as microseconds."""
    return None if time is None else micros(time)


def unmicros_or_none(value: int | None) -> datetime | None:
    """The time, in UTC, if there is one."""
    return None if value is None else unmicros(value)


def before(after: Cursor | None) -> dict[str, int]:
    """Parameters of a page's query: what is older than the last row of the page before."""
    cursor = after or NEWEST
    return {"before_at": cursor.at, "before_id": cursor.key}


def path(value: bytes) -> str:
    """A path inside a document: one character per byte."""
    return value.decode("latin-1")


def unpath(value: str) -> bytes:
    """What `path` was given."""
    return value.encode("latin-1")


# --- packages ----------------------------------------------------------------------------------

_PACKAGE_TYPES = {kind.value: kind for kind in PackageType}


def package_columns(package: Package) -> tuple[object, ...]:
    """A row of the table `package`, without its place."""
    return (
        package.type.value,
        text(package.name),
        text(package.version),
        package.path,
        text(package.architecture),
        text(package.source),
        text(package.source_version),
        text(package.licence),
        text(package.distribution),
        text(package.module),
    )


def package_of_columns(row: Sequence[Any]) -> Package:
    """What `package_columns` was given."""
    return Package(
        _PACKAGE_TYPES[row[0]],
        untext(row[1]),
        untext(row[2]),
        row[3],
        untext(row[4]),
        untext(row[5]),
        untext(row[6]),
        untext(row[7]),
        untext(row[8]),
        untext(row[9]),
    )


def package_changes(changes: Sequence[PackageChange]) -> bytes:
    """A layer's package changes as a document."""
    return document([[c.kind.value, _listed(c.before), _listed(c.after)] for c in changes])


def unpackage_changes(data: bytes) -> tuple[PackageChange, ...]:
    """What `package_changes` was given."""
    return tuple(
        PackageChange(PackageChangeKind(kind), _unlisted(before), _unlisted(after))
        for kind, before, after in undocument(data)
    )


def _listed(package: Package | None) -> list[str] | None:
    if package is None:
        return None
    return [
        package.type.value,
        package.name,
        package.version,
        path(package.path),
        package.architecture,
        package.source,
        package.source_version,
        package.licence,
        package.distribution,
        package.module,
        package.owner,
    ]


def _unlisted(values: list[str] | None) -> Package | None:
    if values is None:
        return None
    kind, name, version, where, *rest = values
    return Package(_PACKAGE_TYPES[kind], name, version, unpath(where), *rest)


# --- other small values ------------------------------------------------------------------------


def counts(value: Mapping[ChangeKind, int]) -> bytes:
    """Counts per kind of change as a document."""
    return document({kind.value: count for kind, count in value.items()})


def uncounts(data: bytes) -> Mapping[ChangeKind, int]:
    """What `counts` was given."""
    return {ChangeKind(kind): count for kind, count in undocument(data).items()}


def skipped(value: Sequence[tuple[str, bytes, str]]) -> bytes:
    """What analysers skipped, as a document."""
    return document([[analyser, path(where), reason] for analyser, where, reason in value])


def unskipped(data: bytes) -> tuple[tuple[str, bytes, str], ...]:
    """What `skipped` was given."""
    return tuple((analyser, unpath(where), reason) for analyser, where, reason in undocument(data))


def integrity(value: Integrity) -> bytes:
    """What a layer does to owned files, as a document."""
    return document(
        {
            "altered": [
                [path(a.path), a.package, path(a.manifest), a.how, a.expected, a.found, a.config]
                for a in value.altered
            ],
            "foreign": [[path(f.path), f.kind, f.mode, f.sha256.hex()] for f in value.foreign],
            "verified": [[path(where), kind, package] for where, kind, package in value.verified],
            "counts": [value.altered_more, value.foreign_more, value.unverifiable],
        }
    )


def unintegrity(data: bytes) -> Integrity:
    """What `integrity` was given."""
    found = undocument(data)
    altered_more, foreign_more, unverifiable = found["counts"]
    return Integrity(
        altered=tuple(
            AlteredFile(
                unpath(where), package, unpath(manifest), Alteration(how), expected, seen, config
            )
            for where, package, manifest, how, expected, seen, config in found["altered"]
        ),
        altered_more=altered_more,
        foreign=tuple(
            ForeignFile(unpath(where), kind, mode, bytes.fromhex(sha256))
            for where, kind, mode, sha256 in found["foreign"]
        ),
        foreign_more=foreign_more,
        verified=tuple(
            (unpath(where), ChangeKind(kind), package) for where, kind, package in found["verified"]
        ),
        unverifiable=unverifiable,
    )
