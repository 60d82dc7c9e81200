"""One tar header block: fields, numbers, pax records, names. Pure functions over bytes.

Where tar dialects disagree, this module follows Go's archive/tar, because Docker, containerd,
podman and BuildKit unpack layers with it: what we see is what will stand in the container. What
that package refuses, we refuse with a TarError that names the offset.

Sources: POSIX.1-2017 pax "ustar Interchange Format" and "pax Interchange Format"; GNU tar manual
"Basic Tar Format"; star(5).
"""

import re
from zlib import adler32

from layerproof.errors import LimitExceededError, TarError
from layerproof.oci.limits import Limits

BLOCK = 512
ZERO_BLOCK = bytes(BLOCK)

USTAR = b"ustar\x00"
GNU = b"ustar  \x00"
STAR_TRAILER = b"tar\x00"

WHITEOUT_PREFIX = b".wh."
WHITEOUT_META = b".wh..wh."
WHITEOUT_OPAQUE = b".wh..wh..opq"

_XATTR = "SCHILY.xattr."
_PAX_TIME = re.compile(rb"-?\d*(\.\d*)?")
_MAX_INT = (1 << 63) - 1


class ChecksumTable(dict[bytes, int]):
    """Checksum field → the value that `adler32(header) & 0xffff` has for an undamaged header.

    The low half of Adler-32 is (1 + sum of bytes) mod 65521, which the C library computes far
    faster than `sum`. It equals the byte sum only below 65521: the caller makes sure that the
    header is ASCII (at most 512 * 127 = 65024) and takes `checksum_holds` otherwise.
    """

    _MOST = 65_536

    def __missing__(self, field: bytes) -> int:
        declared = _octal_or_none(field)
        # POSIX: the field itself counts as eight spaces.
        value = -1 if declared is None else (1 + declared - 8 * 32 + sum(field)) & 0xFFFF_FFFF
        if value >= 65_521:
            value = -1
        if len(self) < self._MOST:
            self[field] = value
        return value


def checksum_holds(header: bytes) -> bool:
    """The exact check: POSIX's unsigned sum, or the signed one that some old writers used."""
    declared = _octal_or_none(header[148:156])
    if declared is None:
        return False
    rest = header[:148] + header[156:]
    unsigned = sum(rest) + 8 * 32
    return declared in (unsigned, unsigned - 256 * sum(byte > 127 for byte in rest))


def fast_sum(header: bytes) -> int:
    """See ChecksumTable."""
    return adler32(header) & 0xFFFF


def _octal_or_none(field: bytes) -> int | None:
    text = field.strip(b" \x00").partition(b"\x00")[0]
    if not text:
        return 0
    if text.strip(b"01234567"):
        return None
    return int(text, 8)


def number(field: bytes, what: str, offset: int) -> int:
    """Octal, or base-256 (GNU: first bit set, big endian, two's complement). Raises TarError."""
    first = field[0]
    if first & 0x80:
        value = int.from_bytes(field, "big")
        bits = 8 * len(field)
        # The top bit is only the marker; the next one is the sign.
        value &= (1 << (bits - 1)) - 1
        if first & 0x40:
            value -= 1 << (bits - 1)
        if not -_MAX_INT <= value <= _MAX_INT:
            raise TarError(f"{what} does not fit 63 bits", offset=offset)
        return value
    octal = _octal_or_none(field)
    if octal is None:
        raise TarError(f"{what} is not a number: {field!r}", offset=offset)
    return octal


def text(field: bytes) -> bytes:
    """A NUL-terminated field."""
    return field.partition(b"\x00")[0]


def name_prefix(header: bytes, offset: int) -> bytes:
    """The prefix field, in the dialects that have one; b"" elsewhere."""
    magic = header[257:265]
    if magic[:6] == USTAR:
        width = 131 if header[508:512] == STAR_TRAILER else 155
        return text(header[345 : 345 + width])
    if magic == GNU:
        # GNU keeps access and change times here. Go once wrote names there by mistake and still
        # reads them back when the times are no numbers: so must we, or we would see other paths.
        try:
            for start in (345, 357):
                if header[start]:
                    number(header[start : start + 12], "time", offset)
        except TarError:
            prefix = text(header[345:500])
            return prefix if prefix.isascii() else b""
    return b""


def pax_records(data: bytes, offset: int) -> dict[str, bytes]:
    """The records of a pax header: `length key=value newline`, later keys win.

    Repeated GNU.sparse.offset and .numbytes (format 0.0) are gathered under `GNU.sparse.map` as
    format 0.1 has it. Raises TarError for what Go's archive/tar refuses.
    """
    records: dict[str, bytes] = {}
    sparse: list[bytes] = []
    position = 0
    end = len(data)
    while position < end:
        space = data.find(b" ", position, position + 20)
        digits = data[position:space]
        if space < 0 or not digits.isdigit():
            raise TarError("malformed pax record length", offset=offset)
        stop = position + int(digits)
        if stop > end or stop - space < 3 or data[stop - 1] != 0x0A:
            raise TarError("pax record that ends outside its header", offset=offset)
        raw_key, equals, value = data[space + 1 : stop - 1].partition(b"=")
        position = stop
        if not equals or not raw_key:
            raise TarError("pax record without a key", offset=offset)
        key = raw_key.decode("utf-8", "surrogateescape")
        if b"\x00" in (value if key in ("path", "linkpath", "uname", "gname") else raw_key):
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


def pax_number(records: dict[str, bytes], key: str, offset: int) -> int | None:
    """A decimal record, None when absent or empty. Raises TarError."""
    value = records.get(key)
    if not value:
        return None
    if not value.lstrip(b"-").isdigit() or len(value) > 19:
        raise TarError(f"pax record {key} is not a number", offset=offset)
    return int(value)


def check_pax_times(records: dict[str, bytes], offset: int) -> None:
    """Times are not kept, but runtimes refuse a header with a malformed one, so we do too."""
    for key in ("mtime", "atime", "ctime"):
        value = records.get(key)
        if value and (not _PAX_TIME.fullmatch(value) or value in (b"-", b".", b"-.")):
            raise TarError(f"pax record {key} is not a time", offset=offset)


def pax_xattrs(records: dict[str, bytes], offset: int, limits: Limits) -> dict[str, bytes]:
    """Extended attributes; `SCHILY.xattr.` is the form that container tools write and read."""
    found = {key[len(_XATTR) :]: v for key, v in records.items() if key.startswith(_XATTR)}
    if found and sum(map(len, found.values())) > limits.xattr_bytes:
        raise LimitExceededError(
            f"extended attributes larger than {limits.xattr_bytes} bytes (at offset {offset})",
            limit="xattr_bytes",
        )
    return found


def clean_path(name: bytes) -> bytes:
    """Relative, without empty, `.` and `..` parts; `..` never leaves the root, as in a chroot."""
    parts: list[bytes] = []
    for part in name.split(b"/"):
        if part == b"..":
            if parts:
                parts.pop()
        elif part and part != b".":
            parts.append(part)
    return b"/".join(parts)


def escapes(name: bytes) -> bool:
    """Whether `..` parts of the name climb above where it starts."""
    depth = 0
    for part in name.split(b"/"):
        if part == b"..":
            depth -= 1
            if depth < 0:
                return True
        elif part and part != b".":
            depth += 1
    return False
