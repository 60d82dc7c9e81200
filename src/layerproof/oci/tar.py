"""The layer tar, pushed through in chunks: every entry, every regular file hashed.

1. A header is verified by its checksum; what Go's archive/tar refuses is refused here, with the
   offset, because runtimes unpack with it (see `tarheader`).
2. `x` (pax), `L` and `K` (GNU long name, long link) headers apply to the next entry. Global pax
   headers (`g`) are ignored, as every container runtime does; the walker notes them.
3. Names are made clean and relative; `.wh.` names become whiteouts (OCI image-spec, layer.md).
4. Regular files are hashed while they stream by. Bytes are kept only for files that somebody
   asked for by path or by their first two bytes.
5. Two zero blocks, or the end of the data at a header boundary, end the archive.

`feed` is the hot loop of the product: quarter-megabyte chunks, no object per entry, fields
decoded through dictionaries because layers repeat the same few owners, modes and sizes. The
straight path handles an entry whose header is plain and whose data ends inside the chunk; all
else goes through `_entry`, which knows every dialect.
"""

from collections.abc import Callable, Container, Mapping
from hashlib import sha256
from typing import Protocol
from zlib import adler32

from layerproof.errors import LimitExceededError, TarError
from layerproof.model.entry import (
    BLOCK as BLOCK_DEVICE,
)
from layerproof.model.entry import (
    CHARACTER,
    DIRECTORY,
    FIFO,
    FILE,
    HARDLINK,
    NO_DIGEST,
    OPAQUE,
    SYMLINK,
    WHITEOUT,
    EntryTable,
)
from layerproof.oci import tarheader as th
from layerproof.oci.limits import Limits
from layerproof.oci.sparse import Fragments, SparseFile, decimal_map, old_gnu_map

HEAD_BYTES = 512

_KINDS: Mapping[int, int] = {
    0: FILE,
    ord("0"): FILE,
    ord("1"): HARDLINK,
    ord("2"): SYMLINK,
    ord("3"): CHARACTER,
    ord("4"): BLOCK_DEVICE,
    ord("5"): DIRECTORY,
    ord("6"): FIFO,
    ord("7"): FILE,  # contiguous file: a regular one on every system of today
    ord("S"): FILE,  # old GNU sparse
}
_SPECIAL = frozenset(b"xgLK")
_REGULAR = ord("0")
_FOLDER = ord("5")
_CACHED = 65_536  # entries of a decoding cache; hostile layers must not grow it
_EMPTY_DIGEST = sha256().digest()


class Wanted(Protocol):
    """Which files somebody wants to see, as plain look-ups (see `layerproof.analysis.dispatch`)."""

    @property
    def names(self) -> Container[bytes]:
        """Last path components."""

    @property
    def folders(self) -> Container[bytes]:
        """Parent folders."""

    @property
    def paths(self) -> Container[bytes]:
        """Full paths."""

    @property
    def suffixes(self) -> tuple[bytes, ...]:
        """Ends of paths."""

    @property
    def magics(self) -> Mapping[bytes, tuple[int, ...]]:
        """First two bytes → who wants the head of such a file."""

    def match(self, path: bytes) -> tuple[int, ...]:
        """Who wants the whole file at this path, once one of the above says that it may."""


# who wants it, path, entry index, bytes
Deliver = Callable[[tuple[int, ...], bytes, int, bytes], None]


class TarWalker:
    """Feed it the uncompressed layer, then `close` it; `entries` is then complete."""

    def __init__(self, wanted: Wanted, deliver: Deliver, limits: Limits) -> None:
        self.entries = EntryTable()
        self.notes: dict[str, int] = {}  # what was odd but not wrong → how often
        self.too_large: list[bytes] = []  # wanted files over `capture_bytes`
        self.file_bytes = 0
        self._wanted = wanted
        self._deliver = deliver
        self._limits = limits
        self._base = 0  # offset in the tar of the current buffer's first byte
        self._pieces: list[bytes] = []  # the start of what must be seen as a whole
        self._have = 0
        self._need = th.BLOCK
        self._data: _FileData | None = None  # the file whose data is passing
        self._skip = 0  # padding, or data of no interest
        self._zero_blocks = 0
        self._ended = False
        self._trailing = False
        self._checksums = th.ChecksumTable()
        self._owners: dict[bytes, tuple[int, int, int]] = {}
        self._shared: dict[tuple[int, int, int], tuple[int, int, int]] = {}
        self._sizes: dict[bytes, int] = {}
        self._pending = False  # an extended header or a zero block came before
        self._pax: dict[str, bytes] | None = None
        self._long_name: bytes | None = None
        self._long_link: bytes | None = None

    # --- the stream ------------------------------------------------------------------------------

    def feed(self, chunk: bytes) -> None:
        """The next bytes of the tar. Raises TarError, LimitExceededError."""
        if self._pieces:
            self._pieces.append(chunk)
            self._have += len(chunk)
            if self._have < self._need:
                return
            chunk = b"".join(self._pieces)
            self._pieces.clear()
            self._have = 0
        position = self._walk(chunk)
        self._base += position
        if position < len(chunk):
            rest = chunk[position:]
            self._pieces.append(rest)
            self._have = len(rest)

    def close(self) -> None:
        """The tar has ended. Raises TarError when it was cut."""
        if self._pieces:
            if any(any(piece) for piece in self._pieces):
                raise TarError("the tar ends inside a header", offset=self._base)
        if self._data is not None:
            raise TarError("the tar ends inside a file", offset=self._data.offset)
        if self._pax is not None or self._long_name is not None or self._long_link is not None:
            raise TarError("the tar ends after an extended header", offset=self._base)
        if self._trailing:
            self._note("data after the end of the archive")

    def _walk(self, chunk: bytes) -> int:  # noqa: PLR0912, PLR0915  because calls cost here
        """Consume what can be consumed; the position of what must wait for more."""
        end = len(chunk)
        position = 0
        view = memoryview(chunk)
        if self._data is not None:
            position = self._continue_file(view)
        if self._skip:
            step = min(self._skip, end - position)
            self._skip -= step
            position += step
        if self._ended:
            if not self._trailing and chunk.count(0, position) != end - position:
                self._trailing = True
            return end
        table = self.entries
        add_path = table.paths.append
        add_kind = table.kinds.append
        add_owner = table.owners.append
        add_size = table.sizes.append
        digests = table.digests
        wanted = self._wanted
        names, folders, paths, suffixes = (
            wanted.names,
            wanted.folders,
            wanted.paths,
            wanted.suffixes,
        )
        magics = wanted.magics
        deliver = self._deliver
        checksums, owners, sizes = self._checksums, self._owners, self._sizes
        adler = adler32
        most = self._limits.capture_bytes
        while end - position >= 512:
            header = chunk[position : position + 512]
            flag = header[156]
            # Straight path: a plain file or folder, an ASCII header without prefix, nothing
            # pending from an extended header, a clean name.
            if (
                (flag == _REGULAR or flag == _FOLDER)  # noqa: PLR1714, SIM109  because it is faster
                and not header[345]
                and header.isascii()
                and adler(header) & 0xFFFF == checksums[header[148:156]]
                and not self._pending
            ):
                name = header[:100].partition(b"\x00")[0]
                if name[:2] == b"./":
                    name = name[2:]
                if b"/." not in name and b"//" not in name and name[:1] not in (b"", b".", b"/"):
                    owner = owners.get(header[100:124])
                    if owner is None:
                        owner = self._owner(header, position)
                    if flag == _FOLDER:
                        add_path(name[:-1] if name[-1] == 0x2F else name)
                        add_kind(DIRECTORY)
                        add_owner(owner)
                        add_size(0)
                        digests += NO_DIGEST
                        position += 512
                        continue
                    size = sizes.get(header[124:136])
                    if size is None:
                        size = self._size(header, position)
                    start = position + 512
                    stop = start + size
                    if stop <= end and name[-1] != 0x2F:
                        index = len(table.paths)
                        if size:
                            digests += sha256(view[start:stop]).digest()
                            self.file_bytes += size
                            who = magics.get(chunk[start : start + 2])
                            if who is not None:
                                deliver(who, name, index, chunk[start : min(stop, start + 512)])
                        else:
                            digests += _EMPTY_DIGEST
                        add_path(name)
                        add_kind(FILE)
                        add_owner(owner)
                        add_size(size)
                        folder, _, last = name.rpartition(b"/")
                        if (
                            last in names
                            or folder in folders
                            or name in paths
                            or (suffixes and name.endswith(suffixes))
                        ):
                            who = wanted.match(name)
                            if who:
                                if size <= most:
                                    deliver(who, name, index, chunk[start:stop])
                                else:
                                    self.too_large.append(name)
                        position = start + ((size + 511) & -512)
                        if position > end:
                            self._skip = position - end
                            position = end
                        continue
            step = self._entry(chunk, view, position, header)
            if step < 0:
                break
            position = step
            if self._ended:
                self._trailing = chunk.count(0, position) != end - position
                position = end
                break
        else:
            self._need = 512
        if len(table.paths) > self._limits.entries:
            raise LimitExceededError(
                f"more than {self._limits.entries} entries in one layer", limit="entries"
            )
        return position

    # --- everything that is not straight ---------------------------------------------------------

    def _entry(self, chunk: bytes, view: memoryview, position: int, header: bytes) -> int:
        """One header of any kind at `position`. Returns where to go on, or -1 when more of the
        stream must be seen first (`_need` bytes from `position`)."""
        offset = self._base + position
        if header == th.ZERO_BLOCK:
            self._pending = True
            self._zero_blocks += 1
            self._ended = self._zero_blocks == 2
            return position + 512
        if self._zero_blocks:
            raise TarError("a single zero block in the middle of the tar", offset=offset)
        if not self._checksum_holds(header):
            raise TarError("bad header checksum: not a tar header, or damaged", offset=offset)
        flag = header[156]
        if flag in _SPECIAL:
            return self._extended(chunk, position, header, flag)
        return self._plain(chunk, view, position, header, flag)

    def _checksum_holds(self, header: bytes) -> bool:
        if header.isascii() and th.fast_sum(header) == self._checksums[header[148:156]]:
            return True
        return th.checksum_holds(header)

    def _extended(self, chunk: bytes, position: int, header: bytes, flag: int) -> int:
        offset = self._base + position
        size = self._size(header, position)
        if size > self._limits.header_bytes:
            raise LimitExceededError(
                f"extended header of {size} bytes, more than {self._limits.header_bytes}"
                f" (at offset {offset})",
                limit="header_bytes",
            )
        total = 512 + ((size + 511) & -512)
        if len(chunk) - position < total:
            self._need = total
            return -1
        data = chunk[position + 512 : position + 512 + size]
        self._pending = True
        if flag == ord("x"):
            self._pax = th.pax_records(data, offset)
            th.check_pax_times(self._pax, offset)
        elif flag == ord("g"):
            th.pax_records(data, offset)
            self._note("global pax header, ignored as runtimes do")
        elif flag == ord("L"):
            self._long_name = th.text(data)
        else:
            self._long_link = th.text(data)
        return position + total

    def _plain(
        self, chunk: bytes, view: memoryview, position: int, header: bytes, flag: int
    ) -> int:
        """An entry proper, with whatever extended headers came before it."""
        offset = self._base + position
        kind = _KINDS.get(flag)
        if kind is None:
            raise TarError(
                f"entry type {chr(flag)!r}, which container runtimes refuse", offset=offset
            )
        pax = self._pax or {}
        extensions = self._sparse_extensions(chunk, position, header, flag)
        if extensions is None:
            return -1
        name, link = self._names(header, pax, offset)
        if flag == 0 and name[-1:] == b"/":
            kind = DIRECTORY
        stored = self._stored_size(header, pax, position)
        if stored < 0:
            raise TarError("negative size", offset=offset)
        if kind != FILE:
            stored = 0  # Go's archive/tar: these types have no data, whatever the field says
        fragments, size, is_sparse = self._sparse(header, extensions, pax, flag, stored, offset)
        sparse_name = pax.get("GNU.sparse.name")
        if is_sparse and flag != ord("S") and sparse_name:
            name = sparse_name
        owner = self._pax_owner(header, pax, position)
        xattrs = th.pax_xattrs(pax, offset, self._limits)
        self._pax = self._long_name = self._long_link = None
        self._pending = False
        path, kind = self._classify(name, kind, offset)
        start = position + 512 + len(extensions)
        if path is None:
            return self._pass_over(len(chunk), start, stored)
        index = self._add(path, kind, owner, xattrs)
        table = self.entries
        if kind in (SYMLINK, HARDLINK):
            self._check_length(link, offset)
            table.links[index] = th.clean_path(link) if kind == HARDLINK else link
        elif kind in (CHARACTER, BLOCK_DEVICE):
            table.devices[index] = (
                th.number(header[329:337], "device major", offset),
                th.number(header[337:345], "device minor", offset),
            )
        if kind != FILE:
            return self._pass_over(len(chunk), start, stored)
        self._data = _FileData(
            self, index, path, offset, stored, size, fragments, is_sparse, self._limits
        )
        step = start + self._continue_file(view[start:])
        if self._skip:
            padding = min(self._skip, len(chunk) - step)
            self._skip -= padding
            step += padding
        return step

    def _sparse_extensions(
        self, chunk: bytes, position: int, header: bytes, flag: int
    ) -> bytes | None:
        """The extension blocks behind an old GNU sparse header; None when more must be seen."""
        if flag != ord("S"):
            return b""
        stop = position + 512
        more = header[482]
        while more:
            stop += 512
            if stop - position > self._limits.header_bytes:
                raise TarError("sparse map without an end", offset=self._base + position)
            if stop > len(chunk):
                self._need = stop - position
                return None
            more = chunk[stop - 8]
        return chunk[position + 512 : stop]

    def _names(self, header: bytes, pax: dict[str, bytes], offset: int) -> tuple[bytes, bytes]:
        name = th.text(header[:100])
        prefix = th.name_prefix(header, offset) if header[345] else b""
        if prefix:
            name = prefix + b"/" + name
        name = pax.get("path") or name
        link = pax.get("linkpath") or th.text(header[157:257])
        if self._long_name is not None:
            name = self._long_name
        if self._long_link is not None:
            link = self._long_link
        return name, link

    def _sparse(
        self,
        header: bytes,
        extensions: bytes,
        pax: dict[str, bytes],
        flag: int,
        stored: int,
        offset: int,
    ) -> tuple[Fragments | None, int, bool]:
        """Fragments (None: in front of the data), expanded size, whether it is sparse at all."""
        if flag == ord("S"):
            fragments, size = old_gnu_map(header, extensions, offset)
            return fragments, size, True
        major, minor = pax.get("GNU.sparse.major"), pax.get("GNU.sparse.minor")
        if major == b"1" and minor == b"0":
            size = th.pax_number(pax, "GNU.sparse.realsize", offset)
            return None, stored if size is None else size, True
        raw = pax.get("GNU.sparse.map")
        if raw is None or (major, minor) not in ((None, None), (b"0", b"0"), (b"0", b"1")):
            return None, stored, False
        size = th.pax_number(pax, "GNU.sparse.size", offset)
        if size is None:
            size = th.pax_number(pax, "GNU.sparse.realsize", offset)
        fragments = decimal_map(raw.split(b",") if raw else [], offset)
        return fragments, stored if size is None else size, True

    def _classify(self, name: bytes, kind: int, offset: int) -> tuple[bytes | None, int]:
        """The clean path and the kind, whiteouts recognised; None for what no runtime unpacks."""
        self._check_length(name, offset)
        if b"\x00" in name:
            raise TarError("NUL in a name", offset=offset)
        path = th.clean_path(name)
        if th.escapes(name):
            self._note("name that climbs above the root, taken as a chroot takes it")
        folder, _, last = path.rpartition(b"/")
        if not last.startswith(th.WHITEOUT_PREFIX):
            return path, kind
        if last == th.WHITEOUT_OPAQUE:
            return folder, OPAQUE
        if path.startswith(th.WHITEOUT_META):
            self._note("AUFS metadata, skipped as runtimes do")
            return None, kind
        hidden = last[len(th.WHITEOUT_PREFIX) :]
        if hidden in (b"", b".", b".."):
            raise TarError("invalid whiteout name", offset=offset)
        return (folder + b"/" + hidden if folder else hidden), WHITEOUT

    def _check_length(self, name: bytes, offset: int) -> None:
        if len(name) > self._limits.path_bytes:
            raise LimitExceededError(
                f"a path of {len(name)} bytes, more than {self._limits.path_bytes}"
                f" (at offset {offset})",
                limit="path_bytes",
            )

    def _add(
        self, path: bytes, kind: int, owner: tuple[int, int, int], xattrs: dict[str, bytes]
    ) -> int:
        table = self.entries
        index = len(table.paths)
        table.paths.append(path)
        table.kinds.append(kind)
        table.owners.append(owner)
        table.sizes.append(0)
        table.digests += NO_DIGEST
        if xattrs:
            table.xattrs[index] = xattrs
        return index

    def _pass_over(self, end: int, start: int, stored: int) -> int:
        stop = start + ((stored + 511) & -512)
        if stop > end:
            self._skip = stop - end
            return end
        return stop

    # --- file data that does not end in its first chunk --------------------------------------------

    def _continue_file(self, view: memoryview) -> int:
        """Give the current file its bytes from the start of `view`; how many were used."""
        data = self._data
        assert data is not None
        used = data.write(view)
        if data.left:
            return used
        self._data = None
        self._skip = -data.stored % 512
        self._finish_file(data)
        return used

    def _finish_file(self, data: "_FileData") -> None:
        table = self.entries
        table.digests[32 * data.index : 32 * data.index + 32] = data.close()
        table.sizes[data.index] = data.size
        self.file_bytes += data.size
        magics = self._wanted.magics.get(bytes(data.head[:2]))
        if magics is not None:
            self._deliver(magics, data.path, data.index, bytes(data.head))
        if data.whole is not None:
            self._deliver(data.who, data.path, data.index, b"".join(data.whole))

    def interested(self, path: bytes) -> tuple[int, ...]:
        """Who wants the whole file at `path`."""
        wanted = self._wanted
        folder, _, last = path.rpartition(b"/")
        if (
            last in wanted.names
            or folder in wanted.folders
            or path in wanted.paths
            or (wanted.suffixes and path.endswith(wanted.suffixes))
        ):
            return wanted.match(path)
        return ()

    # --- fields ------------------------------------------------------------------------------------

    def _owner(self, header: bytes, position: int) -> tuple[int, int, int]:
        offset = self._base + position
        owner = self._share(
            th.number(header[100:108], "mode", offset) & 0o7777,
            th.number(header[108:116], "uid", offset),
            th.number(header[116:124], "gid", offset),
        )
        if len(self._owners) < _CACHED:
            self._owners[header[100:124]] = owner
        return owner

    def _pax_owner(
        self, header: bytes, pax: dict[str, bytes], position: int
    ) -> tuple[int, int, int]:
        offset = self._base + position
        mode, uid, gid = self._owner(header, position)
        pax_uid = th.pax_number(pax, "uid", offset)
        pax_gid = th.pax_number(pax, "gid", offset)
        return self._share(
            mode, uid if pax_uid is None else pax_uid, gid if pax_gid is None else pax_gid
        )

    def _share(self, mode: int, uid: int, gid: int) -> tuple[int, int, int]:
        owner = (mode, uid, gid)
        if len(self._shared) < _CACHED:
            return self._shared.setdefault(owner, owner)
        return owner

    def _stored_size(self, header: bytes, pax: dict[str, bytes], position: int) -> int:
        stated = th.pax_number(pax, "size", self._base + position)
        return self._size(header, position) if stated is None else stated

    def _size(self, header: bytes, position: int) -> int:
        field = header[124:136]
        size = self._sizes.get(field)
        if size is None:
            size = th.number(field, "size", self._base + position)
            if size < 0:
                raise TarError("negative size", offset=self._base + position)
            if len(self._sizes) < _CACHED:
                self._sizes[field] = size
        return size

    def _note(self, what: str) -> None:
        self.notes[what] = self.notes.get(what, 0) + 1


class _FileData:
    """One regular file whose data arrives in pieces, or that is sparse."""

    __slots__ = ("_hash", "_sparse", "head", "index", "left", "offset", "path", "size", "stored",
                 "who", "whole")  # fmt: skip

    def __init__(
        self,
        walker: TarWalker,
        index: int,
        path: bytes,
        offset: int,
        stored: int,
        size: int,
        fragments: Fragments | None,
        is_sparse: bool,
        limits: Limits,
    ) -> None:
        self.index = index
        self.path = path
        self.offset = offset
        self.stored = self.left = stored
        self.size = size
        self.head = bytearray()
        self.who = walker.interested(path)
        self.whole: list[bytes] | None = [] if self.who else None
        if self.who and size > limits.capture_bytes:
            walker.too_large.append(path)
            self.whole = None
        self._hash = sha256()
        self._sparse = (
            SparseFile(fragments, size, stored, offset, limits, self._keep) if is_sparse else None
        )

    def write(self, view: memoryview) -> int:
        piece = view[: self.left]
        self.left -= len(piece)
        if self._sparse is not None:
            self._sparse.write(piece)
        else:
            self._hash.update(piece)
            self._keep(piece)
        return len(piece)

    def close(self) -> bytes:
        return self._hash.digest() if self._sparse is None else self._sparse.close()

    def _keep(self, piece: bytes | memoryview) -> None:
        if len(self.head) < HEAD_BYTES:
            self.head += piece[: HEAD_BYTES - len(self.head)]
        if self.whole is not None:
            self.whole.append(bytes(piece))
