"""Files that give whoever runs them more rights: setuid, setgid, file capabilities; and programs
that anybody may overwrite.

Source: inode(7) "The file type and mode"; capabilities(7) "File capability extended attribute
versioning"; linux/capability.h `struct vfs_cap_data`, `struct vfs_ns_cap_data`. A hard link counts
too: runtimes apply the mode of its header to the file that it links to.
"""

from collections.abc import Iterator
from itertools import compress
from struct import Struct

from layerproof.analysis.collecting import SkipLog, UnusableFieldError, display
from layerproof.analysis.interface import Collector, Facts, Interest
from layerproof.model.entry import FILE, HARDLINK, EntryTable

_XATTR = "security.capability"
_MAX_LISTED = 10_000  # files in each list of `data`

SETUID, SETGID, ANY_EXECUTES, OTHERS_WRITE = 0o4000, 0o2000, 0o111, 0o002

# linux/capability.h, by number
CAPABILITIES = (
    "cap_chown",
    "cap_dac_override",
    "cap_dac_read_search",
    "cap_fowner",
    "cap_fsetid",
    "cap_kill",
    "cap_setgid",
    "cap_setuid",
    "cap_setpcap",
    "cap_linux_immutable",
    "cap_net_bind_service",
    "cap_net_broadcast",
    "cap_net_admin",
    "cap_net_raw",
    "cap_ipc_lock",
    "cap_ipc_owner",
    "cap_sys_module",
    "cap_sys_rawio",
    "cap_sys_chroot",
    "cap_sys_ptrace",
    "cap_sys_pacct",
    "cap_sys_admin",
    "cap_sys_boot",
    "cap_sys_nice",
    "cap_sys_resource",
    "cap_sys_time",
    "cap_sys_tty_config",
    "cap_mknod",
    "cap_lease",
    "cap_audit_write",
    "cap_audit_control",
    "cap_setfcap",
    "cap_mac_override",
    "cap_mac_admin",
    "cap_syslog",
    "cap_wake_alarm",
    "cap_block_suspend",
    "cap_audit_read",
    "cap_perfmon",
    "cap_bpf",
    "cap_checkpoint_restore",
)

_EFFECTIVE = 0x000001
# revision byte of magic_etc → (version, layout after it)
_LAYOUTS = {0x01: (1, Struct("<2I")), 0x02: (2, Struct("<4I")), 0x03: (3, Struct("<5I"))}


def _names(mask: int) -> list[str]:
    numbers = (number for number in range(64) if mask >> number & 1)
    return [CAPABILITIES[n] if n < len(CAPABILITIES) else f"cap_{n}" for n in numbers]


def parse_capabilities(value: bytes) -> dict[str, object]:
    """A `security.capability` attribute: {"version", "effective", "permitted", "inheritable"} and
    for version 3 "rootid". Raises UnusableFieldError for what the kernel would refuse."""
    magic = int.from_bytes(value[:4], "little")
    version, layout = _LAYOUTS.get(magic >> 24, (0, None))
    if layout is None or len(value) != 4 + layout.size:
        raise UnusableFieldError(f"{_XATTR} of {len(value)} bytes is in no known version")
    words = layout.unpack_from(value, 4)
    high = words[2:4] if version > 1 else (0, 0)
    facts: dict[str, object] = {
        "version": version,
        "effective": bool(magic & _EFFECTIVE),
        "permitted": _names(words[0] | high[0] << 32),
        "inheritable": _names(words[1] | high[1] << 32),
    }
    if version == 3:  # the root user of the user namespace in which they count
        facts["rootid"] = words[4]
    return facts


def _files_with(entries: EntryTable, owners: set[tuple[int, int, int]]) -> Iterator[int]:
    """Indexes of files and hard links that have one of these modes and owners."""
    if not owners:
        return iter(())
    found = compress(range(len(entries)), map(owners.__contains__, entries.owners))
    return (index for index in found if entries.kinds[index] in (FILE, HARDLINK))


def _listed(entries: EntryTable, index: int) -> dict[str, object]:
    mode, uid, gid = entries.owners[index]
    path = display(entries.paths[index])
    return {"entry": index, "path": path, "mode": f"{mode:04o}", "uid": uid, "gid": gid}


class _Collector:
    def __init__(self) -> None:
        self._skipped = SkipLog(PrivilegesAnalyser.id)

    def file(self, path: bytes, index: int, data: bytes) -> None:
        """Never called: modes and attributes stand in the entries."""

    def finish(self, entries: EntryTable) -> Facts:
        lists = self._by_mode(entries) | {"capabilities": self._capabilities(entries)}
        return Facts(
            data={name: listed for name, listed in lists.items() if listed},
            skipped=self._skipped.result(),
        )

    def _by_mode(self, entries: EntryTable) -> dict[str, list[dict[str, object]]]:
        notable = {owner for owner in set(entries.owners) if _is_notable(owner[0])}
        lists: dict[str, list[dict[str, object]]] = {
            "setuid": [],
            "setgid": [],
            "worldWritableExecutables": [],
        }
        for index in _files_with(entries, notable):
            mode = entries.owners[index][0]
            if mode & SETUID:
                self._add(lists["setuid"], entries, index)
            if mode & SETGID:
                self._add(lists["setgid"], entries, index)
            if mode & OTHERS_WRITE and mode & ANY_EXECUTES:
                self._add(lists["worldWritableExecutables"], entries, index)
        return lists

    def _capabilities(self, entries: EntryTable) -> list[dict[str, object]]:
        listed: list[dict[str, object]] = []
        for index, xattrs in entries.xattrs.items():
            value = xattrs.get(_XATTR)
            if value is None:
                continue
            try:
                facts = parse_capabilities(value)
            except UnusableFieldError as error:
                self._skipped.add(entries.paths[index], str(error))
                continue
            self._add(listed, entries, index, facts)
        return listed

    def _add(
        self,
        listed: list[dict[str, object]],
        entries: EntryTable,
        index: int,
        more: dict[str, object] | None = None,
    ) -> None:
        if len(listed) < _MAX_LISTED:
            listed.append(_listed(entries, index) | (more or {}))
        else:
            self._skipped.add(entries.paths[index], f"more than {_MAX_LISTED} such files")


def _is_notable(mode: int) -> bool:
    return bool(mode & (SETUID | SETGID) or (mode & OTHERS_WRITE and mode & ANY_EXECUTES))


class PrivilegesAnalyser:
    """`data`: {"setuid", "setgid", "worldWritableExecutables", "capabilities"}: lists of {"entry":
    index, "path", "mode", "uid", "gid"}, and what `parse_capabilities` gives."""

    id = "privileges"
    version = 1
    interest = Interest()

    def start(self) -> Collector:
        """A fresh collector."""
        return _Collector()
