"""Private keys and well-known tokens in files, by kind and place; never the secret itself.

1. A file that begins like a PEM block is looked at wherever it is: its first bytes say what it is.
2. Files that hold logins by their name (`.netrc`, `.git-credentials`, `.docker/config.json` …) are
   read whole, wherever they are.
3. Source and configuration of applications is read whole and searched for token formats: files with
   such names outside the folders that packages fill, up to a size.
"""

import re

from layerproof.analysis.collecting import SkipLog, display
from layerproof.analysis.interface import Collector, Facts, Interest
from layerproof.analysis.secret_formats import find_secrets
from layerproof.model.entry import EntryTable

MAX_LISTED = 1_000  # of one layer
_MAX_FILE = 1 << 20
_MAX_LAYER = 256 << 20  # bytes that are searched of one layer
_LOGINS = {
    b".git-credentials": ("git-credentials", re.compile(rb"^https?://[^:/\s]+:[^@\s]+@", re.M)),
    b".netrc": ("netrc", re.compile(rb"\bpassword\s+\S+")),
    b"_netrc": ("netrc", re.compile(rb"\bpassword\s+\S+")),
    b".npmrc": (
        "npm-login",
        re.compile(rb"^[^#;\n]*_(?:authToken|password|auth)\s*=\s*[^$\s]", re.M),
    ),
    b".pgpass": ("pgpass", re.compile(rb"^[^#:\n]+:[^:\n]+:[^:\n]+:[^:\n]+:[^\n]+", re.M)),
    b"credentials": (
        "aws-credentials",
        re.compile(rb"^\s*aws_secret_access_key\s*=\s*\S{30,}", re.M),
    ),
}
_LOGIN_KEYS = ("auth", "password", "identitytoken")
_DOCKER = (b".docker/config.json", b".dockercfg", b"containers/auth.json")
_SUFFIXES = (
    b".cfg", b".conf", b".env", b".ini", b".js", b".json", b".php", b".properties", b".py", b".rb",
    b".sh", b".tf", b".tfstate", b".tfvars", b".toml", b".ts", b".txt", b".xml", b".yaml", b".yml",
)  # fmt: skip
_PACKAGES = (b"usr/", b"lib", b"var/lib/", b"bin/", b"sbin/", b"etc/ssl/")
_INSTALLED = (b"/node_modules/", b"/site-packages/", b"/dist-packages/", b"/vendor/", b"/gems/")


def _login(path: bytes) -> bool:
    name = path.rpartition(b"/")[2]
    if name == b"credentials":
        return path.endswith(b".aws/credentials")
    return name in _LOGINS or path.endswith(_DOCKER)


def _searched(folder: bytes) -> bool:
    """Whether people put source and configuration of their own into the folder."""
    below = b"/" + folder + b"/"
    return not below[1:].startswith(_PACKAGES) and not any(part in below for part in _INSTALLED)


def _source(path: bytes) -> bool:
    folder, _, name = path.rpartition(b"/")
    return (name.startswith(b".env") or path.endswith(_SUFFIXES)) and _searched(folder)


def accepts(path: bytes) -> bool:
    """Whether the file is read whole."""
    return _login(path) or _source(path)


class _Collector:
    def __init__(self) -> None:
        self._found: dict[tuple[int, str, int], bytes] = {}  # entry, kind, line → path
        self._left = _MAX_LAYER
        self._more = 0
        self._skipped = SkipLog(SecretsAnalyser.id)

    def file(self, path: bytes, index: int, data: bytes) -> None:
        self._found = {k: p for k, p in self._found.items() if p != path or k[0] == index}
        if len(data) > _MAX_FILE or len(data) > self._left:
            if _login(path):
                self._skipped.add(path, f"not searched for secrets: {len(data)} bytes")
            return
        self._left -= len(data)
        for kind, line in find_secrets(data):
            self._add(kind, path, index, line)
        if not _login(path):
            return
        if path.endswith(_DOCKER):
            if _docker_login(data):
                self._add("docker-login", path, index, 1)
            return
        kind, pattern = _LOGINS[path.rpartition(b"/")[2]]
        match = pattern.search(data)
        if match is not None:
            self._add(kind, path, index, data.count(b"\n", 0, match.start()) + 1)

    def _add(self, kind: str, path: bytes, index: int, line: int) -> None:
        if len(self._found) < MAX_LISTED:
            self._found[index, kind, line] = path
        else:
            self._more += 1

    def finish(self, entries: EntryTable) -> Facts:
        if not self._found and not self._skipped.result():
            return Facts()
        found = [
            {"kind": kind, "path": display(path), "line": line, "entry": index}
            for (index, kind, line), path in sorted(self._found.items())
        ]
        return Facts(data={"found": found, "more": self._more}, skipped=self._skipped.result())


def _docker_login(data: bytes) -> bool:
    """Whether a config.json holds a login, not merely the name of a helper that has it."""
    import json  # here: most layers hold no such file

    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return False
    if not isinstance(document, dict):
        return False
    auths = document.get("auths", document)
    return isinstance(auths, dict) and any(
        isinstance(said, dict) and any(said.get(key) for key in _LOGIN_KEYS)
        for said in auths.values()
    )


class SecretsAnalyser:
    """`data`: {"found": [{"kind", "path", "line", "entry"}], "more"}."""

    id = "secrets"
    version = 1
    interest = Interest(
        names=frozenset(_LOGINS) | {b"config.json", b".dockercfg", b"auth.json", b".env"},
        sources=(*_SUFFIXES, b".env.local", b".env.production"),
        searches=_searched,
        magics=frozenset((b"--",)),
        accepts=accepts,
    )

    def start(self) -> Collector:
        """A fresh collector."""
        return _Collector()
