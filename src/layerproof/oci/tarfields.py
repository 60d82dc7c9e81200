"""Header fields, decoded once per distinct value: layers repeat the same few owners and sizes.

Every table stops growing at a cap, so that a hostile layer cannot blow it up.
"""

from layerproof.errors import TarError
from layerproof.oci import tarheader as th

_MOST = 65_536

Owner = tuple[int, int, int]


class FieldTables:
    """The tables of one layer. The walker's hot loop looks into them itself and calls the method
    of the same purpose for what it does not find. All methods raise TarError."""

    def __init__(self) -> None:
        self.checksums = th.ChecksumTable()
        self.owners: dict[bytes, Owner] = {}  # header[100:124] → mode, uid, gid
        self.sizes: dict[bytes, int] = {}  # header[124:136] → size
        self.times: set[bytes] = set()  # header[136:148] that are numbers
        self.middles: set[bytes] = set()  # header[257:345] that hold what they must
        self._shared: dict[Owner, Owner] = {}

    def checksum_holds(self, header: bytes) -> bool:
        """The quick check where it may be used, else the exact one."""
        quick = header.isascii() and th.ascii_sum(header) == self.checksums[header[148:156]]
        return quick or th.checksum_holds(header)

    def owner(self, header: bytes, offset: int) -> Owner:
        """Mode (permission bits only), uid, gid: one tuple for all who have the same."""
        field = header[100:124]
        owner = self.owners.get(field)
        if owner is None:
            owner = self.share(
                th.number(header[100:108], "mode", offset) & 0o7777,
                th.user(th.number(header[108:116], "uid", offset)),
                th.user(th.number(header[116:124], "gid", offset)),
            )
            if len(self.owners) < _MOST:
                self.owners[field] = owner
        return owner

    def share(self, mode: int, uid: int, gid: int) -> Owner:
        """The one tuple for this owner."""
        owner = (mode, uid, gid)
        if len(self._shared) < _MOST:
            return self._shared.setdefault(owner, owner)
        return self._shared.get(owner, owner)

    def size(self, header: bytes, offset: int) -> int:
        """The size field."""
        field = header[124:136]
        size = self.sizes.get(field)
        if size is None:
            size = th.number(field, "size", offset)
            if size < 0:
                raise TarError("negative size", offset=offset)
            if len(self.sizes) < _MOST:
                self.sizes[field] = size
        return size

    def check_unkept(self, header: bytes, offset: int) -> None:
        """The fields whose value nobody needs."""
        known = header[136:148] in self.times and header[257:345] in self.middles
        if known and not th.is_star(header):
            return
        th.check_unkept(header, offset)
        if len(self.times) < _MOST and len(self.middles) < _MOST:
            self.times.add(header[136:148])
            self.middles.add(header[257:345])
