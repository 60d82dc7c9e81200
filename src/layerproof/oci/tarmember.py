"""One entry of a layer tar in any dialect: its header, with the extended headers before it.

Names and sizes come from several places; the order here is that of Go's archive/tar:

- name: header with prefix, then pax `path`, then GNU long name, then pax `GNU.sparse.name`;
- link: header, then pax `linkpath`, then GNU long link;
- a type NUL entry whose name (before the sparse one) ends in a slash is a folder;
- links, folders, devices and FIFOs have no data, whatever their size says.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from layerproof.errors import LimitExceededError, TarError
from layerproof.model.entry import (
    BLOCK,
    CHARACTER,
    DIRECTORY,
    FIFO,
    FILE,
    HARDLINK,
    SYMLINK,
)
from layerproof.oci import tarheader as th
from layerproof.oci import tarnames, tarpax
from layerproof.oci.limits import Limits
from layerproof.oci.tarfields import FieldTables, Owner
from layerproof.oci.tarsparse import SparseMap, old_gnu_map, pax_map

GNU_SPARSE = ord("S")

_KINDS: Mapping[int, int] = {
    0: FILE,
    ord("0"): FILE,
    ord("1"): HARDLINK,
    ord("2"): SYMLINK,
    ord("3"): CHARACTER,
    ord("4"): BLOCK,
    ord("5"): DIRECTORY,
    ord("6"): FIFO,
    ord("7"): FILE,  # contiguous file: a regular one on every system of today
    GNU_SPARSE: FILE,
}


@dataclass(slots=True)
class Extended:
    """What extended headers and map blocks said about the entry to come."""

    pax: dict[str, bytes] = field(default_factory=dict)
    long_name: bytes = b""
    long_link: bytes = b""
    sparse_header: bytes = b""  # of type S, while blocks with more of its map follow
    sparse_blocks: list[bytes] = field(default_factory=list)
    offset: int = 0  # of that header


@dataclass(slots=True)
class Member:
    """One entry, decoded. Not frozen, because that costs and one is built per odd entry."""

    path: bytes  # clean; of what a whiteout hides
    kind: int
    owner: Owner
    stored: int  # bytes of data in the tar
    size: int  # bytes of a regular file
    link: bytes
    device: tuple[int, int]
    xattrs: dict[str, bytes]
    sparse: SparseMap | None
    notes: list[str]


def read_member(
    header: bytes, extended: Extended, fields: FieldTables, offset: int, limits: Limits
) -> Member:
    """Decode the entry. Raises TarError, LimitExceededError."""
    flag = header[156]
    kind = _KINDS.get(flag)
    if kind is None:
        raise TarError(f"entry of type {chr(flag)!r}, which runtimes refuse", offset=offset)
    pax = extended.pax
    owner = _owner(header, pax, fields, offset)
    size = _size(header, pax, fields, offset)
    fields.check_unkept(header, offset)
    tarpax.check_pax_times(pax, offset)
    name, link = _names(header, extended, offset)
    if flag == 0 and name[-1:] == b"/":
        kind = DIRECTORY
    stored = size if kind == FILE else 0
    sparse = _sparse(header, extended, kind, stored, offset)
    if sparse is not None:
        size = sparse.size
        name = sparse.name or name
    _check_name(name, offset, limits)
    notes: list[str] = []
    if tarnames.escapes(name):
        notes.append("name that climbs above the root, taken as a chroot takes it")
    path = tarnames.clean_path(name)
    if tarnames.is_metadata(path):
        notes.append("AUFS metadata, taken as files because some runtimes unpack it")
    path, kind = tarnames.classify(path, kind, offset)
    if kind in (SYMLINK, HARDLINK):
        link = _link(link, kind, notes, offset, limits)
    return Member(
        path=path,
        kind=kind,
        owner=owner,
        stored=stored,
        size=size,
        link=link,
        device=th.device(header, offset) if kind in (CHARACTER, BLOCK) else (0, 0),
        xattrs=tarpax.pax_xattrs(pax, offset, limits) if pax else {},
        sparse=sparse,
        notes=notes,
    )


def _owner(header: bytes, pax: dict[str, bytes], fields: FieldTables, offset: int) -> Owner:
    owner = fields.owner(header, offset)
    if not pax:
        return owner
    mode, uid, gid = owner
    pax_uid = tarpax.pax_number(pax, "uid", offset)
    pax_gid = tarpax.pax_number(pax, "gid", offset)
    return fields.share(
        mode,
        uid if pax_uid is None else th.user(pax_uid),
        gid if pax_gid is None else th.user(pax_gid),
    )


def _size(header: bytes, pax: dict[str, bytes], fields: FieldTables, offset: int) -> int:
    size = fields.size(header, offset)
    stated = tarpax.pax_number(pax, "size", offset)
    if stated is None:
        return size
    if stated < 0:
        raise TarError("negative size", offset=offset)
    return stated


def _names(header: bytes, extended: Extended, offset: int) -> tuple[bytes, bytes]:
    name = th.text(header[:100])
    prefix = th.name_prefix(header, offset) if header[345] else b""
    if prefix:
        name = prefix + b"/" + name
    pax = extended.pax
    name = extended.long_name or pax.get("path") or name
    link = extended.long_link or pax.get("linkpath") or th.text(header[157:257])
    return name, link


def _sparse(
    header: bytes, extended: Extended, kind: int, stored: int, offset: int
) -> SparseMap | None:
    if header[156] == GNU_SPARSE:
        sparse: SparseMap | None = old_gnu_map(header, extended.sparse_blocks, offset)
    elif extended.pax:
        sparse = pax_map(extended.pax, stored, offset)
    else:
        return None
    if sparse is not None and kind != FILE:
        raise TarError("sparse entry that is no file", offset=offset)
    return sparse


def _check_name(name: bytes, offset: int, limits: Limits) -> None:
    if len(name) > limits.path_bytes:
        raise LimitExceededError(
            f"a path of {len(name)} bytes, more than {limits.path_bytes} (at offset {offset})",
            limit="path_bytes",
        )
    if b"\x00" in name:
        raise TarError("NUL in a name", offset=offset)


def _link(link: bytes, kind: int, notes: list[str], offset: int, limits: Limits) -> bytes:
    """The target: of a hard link as a clean path, of a symlink as it was written."""
    _check_name(link, offset, limits)
    if kind == SYMLINK:
        return link
    if tarnames.escapes(link):
        notes.append("hard link that climbs above the root, taken as a chroot takes it")
    return tarnames.clean_path(link)
