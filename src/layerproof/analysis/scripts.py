"""Scripts that packages bring and that run by themselves, each by the sha256 of its text.

- dpkg maintainer scripts: `var/lib/dpkg/info/NAME.{preinst,postinst,prerm,postrm,config}`
  (Debian Policy chapter 6; debconf-devel(7)).
- apk scripts: members of `lib/apk/db/scripts.tar[.gz]`, `NAME-VERSION.Q1….KIND` (apk-tools).
- npm hooks: `preinstall`, `install` and `postinstall` of a `package.json` (npm docs "scripts"). A
  hook is a command; the digest covers the package's name, the command, and the contents of those
  files of the package that the command names.
- Python: lines of a `.pth` file that begin with `import` are run at every start (module `site`), as
  are `sitecustomize.py` and `usercustomize.py`.
"""

import re
from hashlib import sha256

from layerproof.analysis.collecting import SkipLog
from layerproof.analysis.interface import Collector, Facts, Interest
from layerproof.errors import LayerproofError
from layerproof.model.entry import FILE, HARDLINK, SYMLINK, EntryTable
from layerproof.model.ownership import PackageScript

_INFO = b"var/lib/dpkg/info/"
_MAINTAINER = (b".preinst", b".postinst", b".prerm", b".postrm", b".config")
_APK_FOLDERS = (b"lib/apk/db/", b"usr/lib/apk/db/")
_APK_NAMES = (b"scripts.tar", b"scripts.tar.gz")
_APK_MEMBER = re.compile(rb"(?:.*/)?(.+)-[^-]+-r\d+\.Q1[^.]*\.(.+)")
_HOOKS = ("preinstall", "install", "postinstall")
_MAY_HOOK = re.compile(rb'"(?:pre|post)?install"\s*:')
_PTH_CODE = re.compile(rb"^import[ \t]", re.MULTILINE)
_CUSTOM = (b"sitecustomize.py", b"usercustomize.py")
_MAX_SCRIPTS = 50_000  # of one layer
_MAX_TAR = 64 << 20  # bytes of an apk scripts archive, uncompressed


class _Collector:
    def __init__(self) -> None:
        self._scripts: list[PackageScript] = []
        self._hooks: list[tuple[str, str, bytes, str]] = []  # package, hook, path, command
        self._code: list[tuple[str, bytes, int]] = []  # kind, path, entry
        self._skipped = SkipLog(ScriptsAnalyser.id)

    def file(self, path: bytes, index: int, data: bytes) -> None:
        if path.endswith(b".pth"):
            if _PTH_CODE.search(data):
                self._code.append(("pth", path, index))
        elif path.endswith(b"package.json"):
            if _MAY_HOOK.search(data):
                self._hooks_of(path, data)
        elif path.endswith(_CUSTOM):
            self._code.append(("customize", path, index))
        else:
            self._archive(path, data)

    def finish(self, entries: EntryTable) -> Facts:
        for index, path in enumerate(entries.paths):
            if path.startswith(_INFO) and path.endswith(_MAINTAINER):
                name, _, kind = path[len(_INFO) :].rpartition(b".")
                self._add(_text(name), _text(kind), path, _digest(entries, index))
        for index in entries.links:
            path = entries.paths[index]
            if path.endswith((b".pth", *_CUSTOM)):  # its text is elsewhere: taken for code
                self._code.append(("pth" if path.endswith(b".pth") else "customize", path, index))
        for how, path, index in self._code:
            name = path.rpartition(b"/")[2].rpartition(b".")[0]
            self._add(_text(name), how, path, _digest(entries, index))
        self._finish_hooks(entries)
        found = sorted(self._scripts, key=lambda s: (s.path, s.package, s.kind, s.sha256))
        if len(found) > _MAX_SCRIPTS:
            self._skipped.add(b"", f"more than {_MAX_SCRIPTS} scripts; the rest was not read")
        return Facts(scripts=tuple(found[:_MAX_SCRIPTS]), skipped=self._skipped.result())

    def _add(self, package: str, kind: str, path: bytes, digest: bytes) -> None:
        self._scripts.append(PackageScript(package, kind, path, digest))

    def _hooks_of(self, path: bytes, data: bytes) -> None:
        import json  # here: most layers hold no such file

        try:
            manifest = json.loads(data)
        except (ValueError, RecursionError):
            return  # the analyser of Node packages reports it
        scripts = manifest.get("scripts") if isinstance(manifest, dict) else None
        if not isinstance(scripts, dict):
            return
        name = manifest.get("name")
        package = name if isinstance(name, str) else ""
        for hook in _HOOKS:
            command = scripts.get(hook)
            if isinstance(command, str) and command.strip():
                self._hooks.append((package[:500], hook, path, command))

    def _finish_hooks(self, entries: EntryTable) -> None:
        if not self._hooks:
            return
        places = {path: index for index, path in enumerate(entries.paths)}
        for package, hook, path, command in self._hooks:
            folder = path.rpartition(b"/")[0]
            digest = sha256(f"{package}\0{command}\0".encode("utf-8", "surrogatepass"))
            for word in command.split()[:100]:
                name = word.strip("\"'`;&|()").removeprefix("./").encode("utf-8", "surrogatepass")
                for end in (b"", b".js", b"/index.js"):
                    index = places.get(b"/".join(filter(None, (folder, name + end))))
                    if name and index is not None and entries.kinds[index] == FILE:
                        digest.update(entries.sha256(index))
            self._add(package, f"npm:{hook}", path, digest.digest())

    def _archive(self, path: bytes, data: bytes) -> None:
        """apk's: a tar of scripts."""
        from layerproof.oci.decompress import decompress  # here: only Alpine and its kin need it
        from layerproof.oci.limits import Limits
        from layerproof.oci.tar import TarWalker

        limits = Limits(entries=_MAX_SCRIPTS, layer_bytes=_MAX_TAR, capture_bytes=0)
        walker = TarWalker(_Nobody(), lambda *_: None, limits)
        try:
            for piece in decompress(iter((data,)), limits):
                walker.feed(piece)
            walker.close()
        except LayerproofError as error:
            self._skipped.add(path, f"not a readable archive of scripts: {error.message}")
            return
        for entry in walker.entries:
            match = _APK_MEMBER.fullmatch(entry.path)
            if entry.sha256 is not None:
                package, kind = match.groups() if match else (entry.path, b"script")
                self._add(_text(package), _text(kind), path, entry.sha256)


class _Nobody:
    """Nobody wants to see anything."""

    names = folders = paths = frozenset[bytes]()
    suffixes: tuple[bytes, ...] = ()
    sources: tuple[bytes, ...] = ()
    magics: dict[bytes, tuple[int, ...]] = {}  # noqa: RUF012  never changed
    sections: dict[bytes, tuple[int, ...]] = {}  # noqa: RUF012  likewise

    def match(self, path: bytes) -> tuple[int, ...]:
        return ()

    def checked(self, folder: bytes) -> bool:
        return False

    def searched(self, folder: bytes) -> bool:
        return False


def _digest(entries: EntryTable, index: int) -> bytes:
    """Of the text; of a link, over what it names: another target is another script."""
    target = entries.links.get(index)
    if target is None or entries.kinds[index] not in (HARDLINK, SYMLINK):
        return entries.sha256(index)
    return sha256(b"link\0" + target).digest()


def _text(name: bytes) -> str:
    return name[:500].decode("utf-8", "backslashreplace")


def accepts(path: bytes) -> bool:
    """Whether the file's contents are needed."""
    if path.endswith(_APK_NAMES):
        return path.startswith(_APK_FOLDERS)
    return True


class ScriptsAnalyser:
    """`scripts` only."""

    id = "scripts"
    version = 1
    interest = Interest(
        names=frozenset((b"package.json", *_CUSTOM, *_APK_NAMES)),
        suffixes=(b".pth",),
        accepts=accepts,
    )

    def start(self) -> Collector:
        """A fresh collector."""
        return _Collector()
