"""The records of a pax extended header, and the values in them.

As in `tarheader`, what Go's archive/tar refuses is refused here. Source: POSIX.1-2017 pax, "pax
Extended Header"; GNU tar manual "Storing Sparse Files".
"""

import re
from collections.abc import Mapping

from layerproof.errors import LimitExceededError, TarError
from layerproof.oci.limits import Limits

_XATTR = "SCHILY.xattr."
_NUMBER = re.compile(rb"([+-]?)0*(\d{1,19})")
_TIME = re.compile(rb"([+-]?\d+)(\.\d*)?")
_NAMES = ("path", "linkpath", "uname", "gname")
_MOST = 1 << 63


def pax_records(data: bytes, offset: int) -> dict[str, bytes]:
    """The records of a pax header: `length key=value newline`, later keys win.

    Repeated GNU.sparse.offset and .numbytes (format 0.0) are gathered under `GNU.sparse.map` as
    format 0.1 has it. Raises TarError for what Go's archive/tar refuses.
    """
    records: dict[str, bytes] = {}
    sparse: list[bytes] = []
    position = 0
    while position < len(data):
        raw_key, value, position = _record(data, position, offset)
        key = raw_key.decode("utf-8", "surrogateescape")
        if b"\x00" in (value if key in _NAMES else raw_key):
            raise TarError(f"NUL in pax record {key[:40]!r}", offset=offset)
        if key in ("GNU.sparse.offset", "GNU.sparse.numbytes"):
            if (key == "GNU.sparse.offset") != (len(sparse) % 2 == 0) or b"," in value:
                raise TarError("sparse map out of order", offset=offset)
            sparse.append(value)
        else:
            records[key] = value
    if sparse:
        records["GNU.sparse.map"] = b",".join(sparse)
    return records


def _record(data: bytes, position: int, offset: int) -> tuple[bytes, bytes, int]:
    """Key, value, and where the next record starts."""
    space = data.find(b" ", position, position + 20)
    digits = data[position:space]
    if space < 0 or not digits.isdigit():
        raise TarError("malformed pax record length", offset=offset)
    stop = position + int(digits)
    if stop > len(data) or stop - space < 3 or data[stop - 1] != 0x0A:
        raise TarError("pax record that ends outside its header", offset=offset)
    key, equals, value = data[space + 1 : stop - 1].partition(b"=")
    if not equals or not key:
        raise TarError("pax record without a key", offset=offset)
    return key, value, stop


def pax_number(records: Mapping[str, bytes], key: str, offset: int) -> int | None:
    """A decimal record, None when absent or empty. Raises TarError."""
    value = records.get(key)
    if not value:
        return None
    number = _int64(value)
    if number is None:
        raise TarError(f"pax record {key} is not a number: {value[:40]!r}", offset=offset)
    return number


def _int64(value: bytes) -> int | None:
    found = _NUMBER.fullmatch(value)
    if not found:
        return None
    number = int(found[1] + found[2])
    return number if -_MOST <= number < _MOST else None


def check_pax_times(records: Mapping[str, bytes], offset: int) -> None:
    """Times are not kept, but runtimes refuse a header with a malformed one, so we do too."""
    for key in ("mtime", "atime", "ctime"):
        value = records.get(key)
        if value:
            found = _TIME.fullmatch(value)
            if not found or _int64(found[1]) is None:
                raise TarError(f"pax record {key} is not a time: {value[:40]!r}", offset=offset)


def pax_xattrs(records: Mapping[str, bytes], offset: int, limits: Limits) -> dict[str, bytes]:
    """Extended attributes; `SCHILY.xattr.` is the form that container tools write and read."""
    found = {key[len(_XATTR) :]: v for key, v in records.items() if key.startswith(_XATTR)}
    for name in found:
        # A tar that steers the overlay itself: some runtimes set these, and folders vanish or move.
        if name.startswith(("trusted.overlay.", "user.overlay.")):
            raise TarError(f"attribute {name[:60]} of the overlay file system", offset=offset)
    if found and sum(len(name) + len(v) for name, v in found.items()) > limits.xattr_bytes:
        raise LimitExceededError(
            f"extended attributes larger than {limits.xattr_bytes} bytes (at offset {offset})",
            limit="xattr_bytes",
        )
    return found
