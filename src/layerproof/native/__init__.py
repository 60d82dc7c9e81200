"""Native code, where it could be built: one pass over the bytes for all digests of a tar.

`kernel.c` beside this file is compiled when the package is built (`hatch_build.py`); without a
compiler, or on a processor without SHA instructions, nothing is lost but speed. It parses nothing:
where files lie is decided in Python (`layerproof.oci.tar`), and it checks what it is told.

`LAYERPROOF_NATIVE=0` switches it off.
"""

from array import array
from ctypes import CDLL, c_char_p, c_int64, c_size_t, c_void_p, create_string_buffer
from functools import cache
from hashlib import sha256
from pathlib import Path

from layerproof.oci.digests import BEGIN, CHECK, CHECK_BYTES, END, MakeDigests, PlainDigests, Spans

LIBRARY = Path(__file__).with_name("_kernel.so")


def digests(*, native: bool = True) -> MakeDigests:
    """The quickest way to take digests that works here."""
    return NativeDigests if native and _library() is not None else PlainDigests


@cache
def _library() -> CDLL | None:
    if not LIBRARY.exists():
        return None
    try:
        library = CDLL(str(LIBRARY))
    except OSError:
        return None  # built for another machine
    library.lp_state_size.restype = c_size_t
    library.lp_start.argtypes = [c_void_p]
    library.lp_update.argtypes = [
        c_void_p, c_char_p, c_size_t, c_size_t, c_void_p, c_size_t, c_void_p, c_void_p,
    ]  # fmt: skip
    library.lp_update.restype = c_int64
    library.lp_digest.argtypes = [c_void_p, c_void_p]
    return library if library.lp_supported() and _answers_right(library) else None


def _answers_right(library: CDLL) -> bool:
    """A look before it is trusted with every digest: a miscompiled library must not be used."""
    data = bytes(range(256)) * 4
    taken = NativeDigests(library)
    taken.update(data, 1024, [0, 300, BEGIN | END | CHECK, 512, 1024, BEGIN | END])
    plain = PlainDigests()
    plain.update(data, 1024, [0, 300, BEGIN | END | CHECK, 512, 1024, BEGIN | END])
    same = taken.files == plain.files and taken.checks == plain.checks
    return same and taken.diff_id() == "sha256:" + sha256(data).hexdigest()


class NativeDigests:
    """`oci.digests.TarDigests` by the library."""

    __slots__ = ("_checks", "_checks_view", "_library", "_out", "_out_view", "_room", "_state",
                 "checks", "files")  # fmt: skip

    def __init__(self, library: CDLL | None = None) -> None:
        found = library or _library()
        if found is None:
            raise RuntimeError("the native library is not there; ask `digests` first")
        self.files = bytearray()
        self.checks = bytearray()
        self._library = found
        self._state = create_string_buffer(found.lp_state_size())
        found.lp_start(self._state)
        self._room = 0
        self._make_room(512)

    def update(self, chunk: bytes, stop: int, spans: Spans) -> None:
        """See `TarDigests`."""
        numbers = array("I", spans)
        count = len(numbers) // 3
        if count > self._room:
            self._make_room(count)
        address, _ = numbers.buffer_info()
        ended = self._library.lp_update(
            self._state, chunk, 0, stop, address, count, self._out, self._checks
        )
        if ended < 0:
            raise AssertionError("spans that lie outside the chunk, or overlap")
        if ended:
            self.files += self._out_view[: 32 * (ended & 0xFFFFFFFF)]
            self.checks += self._checks_view[: CHECK_BYTES * (ended >> 32)]

    def diff_id(self) -> str:
        """See `TarDigests`."""
        digest = create_string_buffer(32)
        self._library.lp_digest(self._state, digest)
        return "sha256:" + digest.raw.hex()

    def _make_room(self, files: int) -> None:
        self._room = files
        self._out = create_string_buffer(32 * files)
        self._checks = create_string_buffer(CHECK_BYTES * files)
        self._out_view = memoryview(self._out)
        self._checks_view = memoryview(self._checks)
