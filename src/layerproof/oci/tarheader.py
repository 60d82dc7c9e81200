"""One tar header block: checksum, numbers, names. Pure functions over 512 bytes.

Where tar dialects disagree, this module follows Go's archive/tar, because Docker, containerd,
podman and BuildKit unpack layers with it: what we see is what will stand in the container. What
that package refuses, we refuse with a TarError that names the offset, also in fields that nobody
here keeps (times, device numbers of a file): no runtime can unpack such a layer.

Sources: POSIX.1-2017 pax "ustar Interchange Format"; GNU tar manual "Basic Tar Format"; star(5).
"""

from zlib import adler32

from layerproof.errors import TarError

BLOCK = 512
ZERO_BLOCK = bytes(BLOCK)

_USTAR = b"ustar\x00"
_GNU = b"ustar  \x00"
_STAR_TRAILER = b"tar\x00"
_MOST = 1 << 63
_LEAVE = 0xFFFF_FFFF  # (uid_t)-1


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
        value = -1 if declared is None else 1 + declared - 8 * 32 + sum(field)
        if len(self) < self._MOST:
            self[field] = value
        return value


def ascii_sum(header: bytes) -> int:
    """See ChecksumTable."""
    return adler32(header) & 0xFFFF


def checksum_holds(header: bytes) -> bool:
    """The exact check: POSIX's unsigned sum, or the signed one that some old writers used."""
    declared = _octal_or_none(header[148:156])
    if declared is None:
        return False
    rest = header[:148] + header[156:]
    unsigned = sum(rest) + 8 * 32
    return declared in (unsigned, unsigned - 256 * sum(byte > 127 for byte in rest))


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
        bits = 8 * len(field) - 1  # the top bit is only the marker; the next one is the sign
        value = int.from_bytes(field, "big") & ((1 << bits) - 1)
        if first & 0x40:
            value -= 1 << bits
        if not -_MOST <= value < _MOST:
            raise TarError(f"{what} does not fit 64 bits", offset=offset)
        return value
    octal = _octal_or_none(field)
    if octal is None:
        raise TarError(f"{what} is not a number: {field!r}", offset=offset)
    return octal


def user(value: int) -> int:
    """The user or group that a number stands for once a runtime, as root, has unpacked the layer.

    Linux's chown takes the low 32 bits of it, and all ones for "leave it as it is", which is root.
    """
    value &= _LEAVE
    return 0 if value == _LEAVE else value


def text(field: bytes) -> bytes:
    """A NUL-terminated field."""
    return field.partition(b"\x00")[0]


def is_gnu(header: bytes) -> bool:
    """Whether it is in GNU's own dialect."""
    return header[257:265] == _GNU


def is_star(header: bytes) -> bool:
    """Whether it is in star's old dialect, with a shorter prefix and two more times."""
    return header[508:512] == _STAR_TRAILER and header[257:263] == _USTAR


def has_devices(header: bytes) -> bool:
    """Whether the dialect has device numbers: all but the seventh edition's."""
    return header[257:263] == _USTAR or is_gnu(header)


def device(header: bytes, offset: int) -> tuple[int, int]:
    """Major and minor number of a device node; (0, 0) in a dialect without them."""
    if not has_devices(header):
        return 0, 0
    pair = _device_fields(header, offset)
    if not all(0 <= value <= 0xFFFF_FFFF for value in pair):
        raise TarError("device number outside 32 bits", offset=offset)
    return pair


def check_unkept(header: bytes, offset: int) -> None:
    """The numbers that runtimes parse and nobody here keeps. Raises TarError."""
    number(header[136:148], "mtime", offset)
    if has_devices(header):
        _device_fields(header, offset)
    if is_star(header):
        number(header[476:488], "atime", offset)
        number(header[488:500], "ctime", offset)


def _device_fields(header: bytes, offset: int) -> tuple[int, int]:
    return (
        number(header[329:337], "device major", offset),
        number(header[337:345], "device minor", offset),
    )


def name_prefix(header: bytes, offset: int) -> bytes:
    """The prefix field, in the dialects that have one; b"" elsewhere."""
    if header[257:263] == _USTAR:
        width = 131 if is_star(header) else 155
        return text(header[345 : 345 + width])
    if is_gnu(header):
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
