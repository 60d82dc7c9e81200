"""What can run: ELF, scripts, PE, Mach-O and WebAssembly, told by their first bytes.

Source: elf(5) "ELF header"; execve(2) "Interpreter scripts"; env(1); Microsoft "PE Format"; Apple
mach-o/loader.h and fat.h; WebAssembly core specification "Modules". The mode is not looked at: a
library or a file without the execute bit is listed too, and rules see the mode in the entries.
"""

from collections.abc import Mapping
from struct import Struct

from layerproof.analysis.collecting import SkipLog, display
from layerproof.analysis.interface import Collector, Facts, Interest
from layerproof.model.entry import EntryTable

_MAX_GROUPS = 1_000  # a hostile layer could name a new interpreter in every script
_MAX_FIRST_LINE = 256  # BINPRM_BUF_SIZE: what the kernel looks at
_OTHER = "other"  # marks the group that takes the rest

_ELF_TYPES = {0: "none", 1: "relocatable", 2: "executable", 3: "shared", 4: "core"}
_ELF_MACHINES = {
    2: "sparc",
    3: "x86",
    4: "m68k",
    8: "mips",
    20: "ppc",
    21: "ppc64",
    22: "s390",
    40: "arm",
    43: "sparc64",
    62: "x86-64",
    183: "aarch64",
    243: "riscv",
    247: "bpf",
    258: "loongarch",
}
_BIG, _LITTLE = Struct(">2H"), Struct("<2H")  # e_type, e_machine, by EI_DATA
_PE_MACHINES = {0x14C: "x86", 0x1C0: "arm", 0x1C4: "arm", 0x8664: "x86-64", 0xAA64: "aarch64"}
_MACH_O = frozenset(
    (b"\xfe\xed\xfa\xce", b"\xfe\xed\xfa\xcf", b"\xce\xfa\xed\xfe", b"\xcf\xfa\xed\xfe")
)
_FAT = frozenset((b"\xca\xfe\xba\xbe", b"\xca\xfe\xba\xbf"))
# env options that take the next word as their value
_ENV_WITH_VALUE = frozenset((b"-u", b"--unset", b"-C", b"--chdir", b"-P", b"-a", b"--argv0"))

_Group = tuple[tuple[str, str | int], ...]  # the words that describe a group


def _elf(head: bytes) -> _Group:
    kind, machine = (_BIG if head[5] == 2 else _LITTLE).unpack_from(head, 16)
    return (
        ("kind", "elf"),
        ("machine", _ELF_MACHINES.get(machine, str(machine))),
        ("bits", {1: 32, 2: 64}.get(head[4], 0)),
        ("type", _ELF_TYPES.get(kind, str(kind))),
    )


def interpreter(line: bytes) -> str:
    """The interpreter of a script's first line: as written, or the command that `env` runs.

    "" when there is none. `line` begins with `#!`.
    """
    words = line[2:].replace(b"\0", b" ").split()
    if not words:
        return ""
    if words[0].rpartition(b"/")[2] == b"env":
        return display(_env_command(words[1:]) or words[0])
    return display(words[0])


def _env_command(words: list[bytes]) -> bytes:
    """What `env` with these arguments runs; b"" if nothing."""
    rest = iter(words)
    for word in rest:
        if word in _ENV_WITH_VALUE:
            next(rest, b"")
        elif word.startswith((b"-S", b"-vS")) and not word.endswith(b"S"):
            return word.partition(b"S")[2]  # -Spython3: the string follows in the same word
        elif word.startswith(b"--split-string="):
            return word.partition(b"=")[2]
        elif not word.startswith(b"-") and b"=" not in word:
            return word
    return b""


def _pe(head: bytes) -> _Group:
    at = int.from_bytes(head[0x3C:0x40], "little")
    if head[at : at + 4] != b"PE\0\0":
        return (("kind", "dos"),)  # or a PE whose header lies further in
    machine = int.from_bytes(head[at + 4 : at + 6], "little")
    return (("kind", "pe"), ("machine", _PE_MACHINES.get(machine, str(machine))))


def _other(head: bytes) -> _Group | None:
    """Everything but ELF and scripts; None for a file that only begins like a program."""
    magic = head[:4]
    if magic[:2] == b"MZ":
        return _pe(head) if len(head) >= 0x40 else None
    if magic in _MACH_O:
        return (("kind", "mach-o"),)
    # Java classes have the same magic; their version number, from 45 up, stands where a universal
    # binary counts its architectures
    if magic in _FAT and 0 < int.from_bytes(head[4:8], "big") < 45:
        return (("kind", "mach-o"),)
    return (("kind", "wasm"),) if magic == b"\0asm" else None


class _Collector:
    def __init__(self) -> None:
        # bytes that decide (a script's first line, an ELF's type words) → entries: hot look-up
        self._elf: dict[bytes, list[int]] = {}
        self._scripts: dict[bytes, list[int]] = {}
        self._groups: dict[_Group, list[int]] = {}
        self._skipped = SkipLog(ProgramsAnalyser.id)

    def file(self, path: bytes, index: int, data: bytes) -> None:
        if data[:2] == b"#!":
            end = data.find(b"\n", 2, _MAX_FIRST_LINE)
            line = data[: end if end >= 0 else _MAX_FIRST_LINE]
            known = self._scripts.get(line)
            if known is not None:
                known.append(index)
            else:
                script = (("kind", "script"), ("interpreter", interpreter(line)))
                self._new(self._scripts, line, script, index)
        elif data[:4] == b"\x7fELF":
            words = data[4:6] + data[16:20]
            known = self._elf.get(words)
            if known is not None:
                known.append(index)
            elif len(words) == 6:
                self._new(self._elf, words, _elf(data), index)
        else:
            other = _other(data)
            if other is not None:
                self._group(other).append(index)

    def _new(self, known: dict[bytes, list[int]], key: bytes, group: _Group, index: int) -> None:
        found = self._group(group)
        found.append(index)
        if len(known) < _MAX_GROUPS:  # only a short cut: it may be full
            known[key] = found

    def _group(self, group: _Group) -> list[int]:
        if group not in self._groups and len(self._groups) >= _MAX_GROUPS:
            if not self._skipped.result():
                reason = f"more than {_MAX_GROUPS} sorts of programs; the rest is listed as other"
                self._skipped.add(b"", reason)
            group = (group[0], (_OTHER, True))
        return self._groups.setdefault(group, [])

    def finish(self, entries: EntryTable) -> Facts:
        if not self._groups:
            return Facts()
        counts: dict[str, int] = {}
        groups: list[Mapping[str, object]] = []
        for group, indexes in sorted(self._groups.items(), key=lambda item: item[1][0]):
            words: dict[str, object] = dict(group)
            groups.append(words | {"entries": indexes})
            kind = str(words["kind"])
            counts[kind] = counts.get(kind, 0) + len(indexes)
        return Facts(
            data={"counts": counts, "groups": groups},
            skipped=self._skipped.result(),
        )


class ProgramsAnalyser:
    """`data`: {"counts": {"elf": 3, …}, "groups": [{"kind", …, "entries": [index, …]}]}. An ELF
    group has "machine", "bits" and "type"; a script group "interpreter"; a PE group "machine"."""

    id = "programs"
    version = 1
    interest = Interest(
        magics=frozenset(
            (b"#!", b"\x7fE", b"MZ", b"\0a", b"\xca\xfe", b"\xfe\xed", b"\xce\xfa", b"\xcf\xfa")
        )
    )

    def start(self) -> Collector:
        """A fresh collector."""
        return _Collector()
