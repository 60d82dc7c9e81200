"""The layer tar, pushed through in chunks: every entry, every regular file hashed.

1. A header is verified by its checksum; what Go's archive/tar refuses is refused here, with the
   offset, because runtimes unpack with it (see `tarheader`).
2. `x` (pax), `L` and `K` (GNU long name, long link) headers apply to the next entry. A global pax
   header (`g`) is ignored and noted, as every container runtime does; like any entry, it uses up
   the extended headers before it.
3. Names are made clean and relative; `.wh.` names become whiteouts (see `tarnames`).
4. Where file data lies is told to a `TarDigests`, once per chunk, which hashes every file and the
   tar. Bytes are kept only for files that somebody asked for by path or by their first two bytes.
5. Two zero blocks, or the end of the data at a header boundary, end the archive. The padding of
   the last file may be missing.

How the tar is cut into chunks never changes what comes out of it.

`feed` is the hot loop of the product: quarter-megabyte chunks, no object per entry, fields
decoded through tables because layers repeat the same few owners, modes and sizes. The straight
path handles an entry whose header is plain and whose data ends inside the chunk; all else goes
through `_entry` and `tarmember`, which know every dialect.
"""

import re
from collections.abc import Callable, Container, Mapping
from typing import Protocol
from zlib import adler32

from layerproof.errors import LimitExceededError, TarError
from layerproof.model.entry import (
    BLOCK,
    CHARACTER,
    DIRECTORY,
    FILE,
    HARDLINK,
    SYMLINK,
    EntryTable,
)
from layerproof.oci import tarheader as th
from layerproof.oci import tarpax, tarsparse
from layerproof.oci.digests import BEGIN, CHECK, END, PlainDigests, Spans, TarDigests
from layerproof.oci.limits import Limits
from layerproof.oci.tardata import HEAD_BYTES, FileData
from layerproof.oci.tarfields import FieldTables
from layerproof.oci.tarmember import GNU_SPARSE, Extended, Member, read_member

_REGULAR = ord("0")
_FOLDER = ord("5")
_PAX = ord("x")
_GLOBAL = ord("g")
_LONG_NAME = ord("L")
_LONG_LINK = ord("K")
_NO_TAIL = bytes(512 - 345)  # neither prefix nor what GNU and star keep in its place
_WHOLE = BEGIN | END
_PROGRAM_BYTES = 256 << 10  # `analysis.interface.PROGRAM_BYTES`; smaller ones arrive at once
_SPAN = _WHOLE | CHECK
_SOURCES = 8  # of a folder: files with the ends in `Wanted.sources` are wanted


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
    def sources(self) -> tuple[bytes, ...]:
        """Ends of paths, in folders that are `searched`."""

    def searched(self, folder: bytes) -> bool:
        """Whether `sources` are wanted of this folder."""

    @property
    def magics(self) -> Mapping[bytes, tuple[int, ...]]:
        """First two bytes → who wants the head of such a file."""

    @property
    def sections(self) -> Mapping[bytes, tuple[int, ...]]:
        """Sections of ELF programs → who wants them, as if they were the file."""

    def match(self, path: bytes) -> tuple[int, ...]:
        """Who wants the whole file at this path, once one of the above says that it may."""

    def checked(self, folder: bytes) -> bool:
        """Whether files right in this folder need an MD5 and a SHA-1 besides their sha256."""


_FILES = re.compile(b"%c+" % FILE)

# who wants it, path, entry index, bytes
Deliver = Callable[[tuple[int, ...], bytes, int, bytes], None]


class TarWalker:
    """Feed it the uncompressed layer, then `close` it; `entries` is then complete."""

    def __init__(
        self,
        wanted: Wanted,
        deliver: Deliver,
        limits: Limits,
        digests: TarDigests | None = None,
    ) -> None:
        self.entries = EntryTable()
        self.notes: dict[str, int] = {}  # what was odd but not wrong → how often
        self.too_large: list[bytes] = []  # wanted files over `capture_bytes`
        self.file_bytes = 0
        self._wanted = wanted
        self._deliver = deliver
        self._limits = limits
        self._fields = FieldTables()
        self._base = 0  # offset in the tar of the current buffer's first byte
        self._pieces: list[bytes] = []  # the start of what must be seen as a whole
        self._have = 0
        self._need = th.BLOCK
        self._data: FileData | None = None  # the file whose data is passing
        self._skip = 0  # padding, or data of no interest
        self._padding = 0  # the part of it that may be missing at the end of the tar
        self._pending = False  # the next header is not a plain one, because of what came before it
        self._extended: Extended | None = None
        self._zero_blocks = 0
        self._ended = False
        self._trailing = False
        self._names_bytes = 0
        self._sparse_bytes = 0
        self._digests = digests or PlainDigests()
        self._spans: Spans = []  # file data in the chunk that is being walked
        self._sparse: dict[int, bytes] = {}  # digests of sparse files, by entry index
        self._flags: dict[bytes, int] = {}  # by folder: of whole files in it, and _SOURCES

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
        position = self._walk(chunk)
        self._digests.update(chunk, position, self._spans)
        self._spans.clear()
        self._base += position
        if position < len(chunk):
            rest = chunk[position:]
            self._pieces.append(rest)
            self._have = len(rest)

    def close(self) -> None:
        """The tar has ended. Raises TarError when it was cut."""
        if self._data is not None:
            raise TarError("the tar ends inside a file", offset=self._data.offset)
        if self._skip > self._padding:
            raise TarError("the tar ends inside the data of an entry", offset=self._base)
        if self._pieces:
            raise TarError("the tar ends inside a header", offset=self._base)
        if self._extended is not None:
            raise TarError("the tar ends after an extended header", offset=self._base)
        if self._trailing:
            self._note("data after the end of the archive")
        self._spread_digests()

    def diff_id(self) -> str:
        """`sha256:…` over the whole tar, once it is closed."""
        return self._digests.diff_id()

    def _spread_digests(self) -> None:
        """The digests of files, which came one after the other, to where their entries stand."""
        table, files = self.entries, memoryview(self._digests.files)
        kinds = bytes(table.kinds)
        column = bytearray(32 * len(kinds))
        if self._sparse:
            patched = bytearray(kinds)
            for index, digest in self._sparse.items():
                patched[index] = 0  # not among those of the stream
                column[32 * index : 32 * index + 32] = digest
            kinds = bytes(patched)
        done = 0
        for run in _FILES.finditer(kinds):
            start, stop = run.span()
            column[32 * start : 32 * stop] = files[32 * done : 32 * (done + stop - start)]
            done += stop - start
        table.digests = column
        table.checks = self._digests.checks

    def _walk(self, chunk: bytes) -> int:  # noqa: PLR0912, PLR0915  because calls cost here
        """Consume what can be consumed; the position of what must wait for more."""
        end = len(chunk)
        view = memoryview(chunk)
        position = 0 if self._data is None else self._continue_file(view, 0)
        if self._skip:
            position = self._pass(position, end)
        if self._ended:
            return self._pass_trailing(chunk, position)
        table = self.entries
        table_paths = table.paths
        add_path = table_paths.append
        add_kind = table.kinds.append
        add_owner = table.owners.append
        add_size = table.sizes.append
        spans = self._spans
        flags_of, add_checked = self._flags.get, table.checked.append
        wanted = self._wanted
        names, folders, paths = wanted.names, wanted.folders, wanted.paths
        suffixes, magics, match = wanted.suffixes, wanted.magics, wanted.match
        sources = wanted.sources
        deliver = self._deliver
        fields = self._fields
        checksums, owners, sizes = fields.checksums, fields.owners, fields.sizes
        times, middles = fields.times, fields.middles
        adler = adler32
        most = self._limits.capture_bytes
        most_entries = self._limits.entries
        while end - position >= 512:
            header = chunk[position : position + 512]
            flag = header[156]
            # Straight path: a plain file or folder, an ASCII header without prefix, nothing
            # pending from an extended header, a clean name.
            if (
                (flag == _REGULAR or flag == _FOLDER)  # noqa: PLR1714, SIM109  because it is faster
                and header.endswith(_NO_TAIL)
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
                        owner = fields.owner(header, self._base + position)
                    size = sizes.get(header[124:136])
                    if size is None:
                        size = fields.size(header, self._base + position)
                    if header[136:148] not in times or header[257:345] not in middles:
                        fields.check_unkept(header, self._base + position)
                    index = len(table_paths)
                    if index >= most_entries:
                        raise self._too_many(self._base + position)
                    if flag == _FOLDER:
                        add_path(name[:-1] if name[-1] == 0x2F else name)
                        add_kind(DIRECTORY)
                        add_owner(owner)
                        add_size(0)
                        position += 512
                        continue
                    start = position + 512
                    stop = start + size
                    if stop <= end and name[-1] != 0x2F and size < _PROGRAM_BYTES:
                        folder, _, last = name.rpartition(b"/")
                        flags = flags_of(folder)
                        if flags is None:
                            flags = self._whole(folder)
                        spans += (start, stop, flags & _SPAN)
                        if flags & CHECK:
                            add_checked(index)
                        if size:
                            self.file_bytes += size
                            who = magics.get(chunk[start : start + 2])
                            if who is not None and size > 1:
                                deliver(
                                    who, name, index, chunk[start : min(stop, start + HEAD_BYTES)]
                                )
                        add_path(name)
                        add_kind(FILE)
                        add_owner(owner)
                        add_size(size)
                        if (
                            last in names
                            or folder in folders
                            or name in paths
                            or name.endswith(suffixes)
                            or (flags & _SOURCES and name.endswith(sources))
                        ):
                            who = match(name)
                            if who:
                                if size <= most:
                                    deliver(who, name, index, chunk[start:stop])
                                else:
                                    self.too_large.append(name)
                        position = start + ((size + 511) & -512)
                        if position > end:
                            self._skip = self._padding = position - end
                            position = end
                        continue
            step = self._entry(chunk, position, header)
            if step < 0:
                return position
            position = step
            if self._ended:
                return self._pass_trailing(chunk, position)
        self._need = 512
        return position

    def _pass(self, position: int, end: int) -> int:
        """Leave out what `_skip` says, as far as it has arrived."""
        step = min(self._skip, end - position)
        self._skip -= step
        return position + step

    def _pass_trailing(self, chunk: bytes, position: int) -> int:
        """What comes after the end is no runtime's business, but worth a note."""
        if not self._trailing and chunk.count(0, position) != len(chunk) - position:
            self._trailing = True
        return len(chunk)

    # --- everything that is not straight ---------------------------------------------------------

    def _entry(self, chunk: bytes, position: int, header: bytes) -> int:
        """One block of any kind at `position`. Returns where to go on, or -1 when more of the
        stream must be seen first (`_need` bytes from `position`)."""
        offset = self._base + position
        extended = self._extended
        if extended is not None and extended.sparse_header:
            return self._sparse_block(chunk, position, header, extended)
        if header == th.ZERO_BLOCK:
            self._pending = True
            self._zero_blocks += 1
            self._ended = self._zero_blocks == 2
            return position + 512
        if self._zero_blocks:
            raise TarError("a single zero block in the middle of the tar", offset=offset)
        if not self._fields.checksum_holds(header):
            raise TarError("bad header checksum: not a tar header, or damaged", offset=offset)
        flag = header[156]
        if flag in (_PAX, _GLOBAL, _LONG_NAME, _LONG_LINK):
            return self._extended_header(chunk, position, header, flag)
        if flag == GNU_SPARSE and tarsparse.is_extended(header):
            if extended is None:
                extended = self._extended = Extended()
            extended.sparse_header = header
            extended.offset = offset
            self._pending = True
            return position + 512
        return self._member(chunk, position + 512, header, offset)

    def _extended_header(self, chunk: bytes, position: int, header: bytes, flag: int) -> int:
        offset = self._base + position
        self._fields.owner(header, offset)
        self._fields.check_unkept(header, offset)
        size = self._fields.size(header, offset)
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
        extended = self._extended or Extended()
        if flag == _PAX:
            extended.pax = tarpax.pax_records(data, offset)
        elif flag == _LONG_NAME:
            extended.long_name = th.text(data)
        elif flag == _LONG_LINK:
            extended.long_link = th.text(data)
        else:
            tarpax.pax_records(data, offset)
            self._note("global pax header, ignored as runtimes do")
            self._extended = None
            self._pending = False
            return position + total
        self._extended = extended
        self._pending = True
        return position + total

    def _sparse_block(self, chunk: bytes, position: int, block: bytes, extended: Extended) -> int:
        """A block with more of the map of a type S entry."""
        extended.sparse_blocks.append(block)
        if tarsparse.goes_on(block):
            if 512 * len(extended.sparse_blocks) >= self._limits.header_bytes:
                raise TarError("sparse map without an end", offset=extended.offset)
            return position + 512
        return self._member(chunk, position + 512, extended.sparse_header, extended.offset)

    def _member(self, chunk: bytes, start: int, header: bytes, offset: int) -> int:
        """An entry proper, whose data starts at `start`."""
        member = read_member(
            header, self._extended or Extended(), self._fields, offset, self._limits
        )
        self._extended = None
        self._pending = False
        for note in member.notes:
            self._note(note)
        if member.sparse is not None:
            self._count_sparse(member.size, offset)
        index = self._add(member, offset)
        if member.kind != FILE:
            return self._pass_data(start, len(chunk), member.stored)
        who = self._interested(member.path)
        if who and member.size > self._limits.capture_bytes:
            self.too_large.append(member.path)
            who = ()
        self._data = FileData(
            index=index,
            path=member.path,
            offset=offset,
            stored=member.stored,
            size=member.size,
            sparse=member.sparse,
            who=who,
            flags=self._whole(member.path.rpartition(b"/")[0]) & CHECK,
            sections=member.size >= _PROGRAM_BYTES and bool(self._wanted.sections),
        )
        if self._data.flags and member.sparse is None:
            self.entries.checked.append(index)
        used = self._continue_file(memoryview(chunk)[start:], start)
        return self._pass(start + used, len(chunk))

    def _add(self, member: Member, offset: int) -> int:
        table = self.entries
        index = len(table.paths)
        if index >= self._limits.entries:
            raise self._too_many(offset)
        self._count_names(member, offset)
        table.paths.append(member.path)
        table.kinds.append(member.kind)
        table.owners.append(member.owner)
        table.sizes.append(0)
        if member.xattrs:
            table.xattrs[index] = member.xattrs
        if member.kind in (SYMLINK, HARDLINK):
            table.links[index] = member.link
        elif member.kind in (CHARACTER, BLOCK):
            table.devices[index] = member.device
        return index

    def _pass_data(self, start: int, end: int, stored: int) -> int:
        """Data that nobody reads, and its padding."""
        self._padding = -stored % 512
        self._skip = stored + self._padding
        return self._pass(start, end)

    # --- file data that does not end in its first chunk ------------------------------------------

    def _continue_file(self, view: memoryview, position: int) -> int:
        """Give the current file its bytes from the start of `view`, which is at `position` of the
        chunk; how many were used."""
        data = self._data
        assert data is not None
        begins = BEGIN if data.left == data.stored else 0
        used = data.write(view)
        # a file of which nothing has come yet begins with its first bytes
        if data.sparse_digest is None and (used or not data.left):
            ends = 0 if data.left else END
            self._spans += (position, position + used, begins | ends | data.flags)
        if not data.left:
            self._data = None
            self._skip = self._padding = -data.stored % 512
            self._finish_file(data)
        return used

    def _finish_file(self, data: FileData) -> None:
        data.close()
        if data.sparse_digest is not None:
            self._sparse[data.index] = data.sparse_digest.digest()
        self.entries.sizes[data.index] = data.size
        self.file_bytes += data.size
        who = self._wanted.magics.get(data.head[:2])
        if who is not None:
            self._deliver(who, data.path, data.index, data.head)
        if data.who:
            self._deliver(data.who, data.path, data.index, data.whole)
        for name, who in self._wanted.sections.items():
            section = data.section(name)
            if section is not None:
                self._deliver(who, data.path, data.index, section)

    def _whole(self, folder: bytes) -> int:
        """The flags of a file that lies in this folder and arrives at once."""
        flags = self._flags.get(folder)
        if flags is None:
            flags = _WHOLE
            flags |= CHECK if self._wanted.checked(folder) else 0
            flags |= _SOURCES if self._wanted.searched(folder) else 0
            self._flags[folder] = flags
        return flags

    def _interested(self, path: bytes) -> tuple[int, ...]:
        """Who wants the whole file at `path`."""
        wanted = self._wanted
        folder, _, last = path.rpartition(b"/")
        if (
            last in wanted.names
            or folder in wanted.folders
            or path in wanted.paths
            or path.endswith(wanted.suffixes)
            or (path.endswith(wanted.sources) and wanted.searched(folder))
        ):
            return wanted.match(path)
        return ()

    # --- bounds and notes ------------------------------------------------------------------------

    def _too_many(self, offset: int) -> LimitExceededError:
        return LimitExceededError(
            f"more than {self._limits.entries} entries in one layer (at offset {offset})",
            limit="entries",
        )

    def _count_names(self, member: Member, offset: int) -> None:
        """Names of a few bytes are bounded by `entries`; long ones need a bound of their own."""
        self._names_bytes += len(member.path) + len(member.link)
        for name, value in member.xattrs.items():
            self._names_bytes += len(name) + len(value)
        if self._names_bytes > self._limits.names_bytes:
            raise LimitExceededError(
                f"more than {self._limits.names_bytes} bytes of paths, link targets and extended"
                f" attributes in one layer (at offset {offset})",
                limit="names_bytes",
            )

    def _count_sparse(self, size: int, offset: int) -> None:
        """Holes cost an attacker nothing and us the hashing: all of a layer share one bound."""
        self._sparse_bytes += size
        if self._sparse_bytes > self._limits.sparse_bytes:
            raise LimitExceededError(
                f"sparse files of more than {self._limits.sparse_bytes} bytes in one layer"
                f" (at offset {offset})",
                limit="sparse_bytes",
            )

    def _note(self, what: str) -> None:
        self.notes[what] = self.notes.get(what, 0) + 1
