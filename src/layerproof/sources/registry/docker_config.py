"""Logins as docker and podman keep them on disk.

Files, first match wins (containers-auth.json(5); docker CLI reference, "config.json"):

1. `$REGISTRY_AUTH_FILE`, and then nothing else
2. `${XDG_RUNTIME_DIR}/containers/auth.json`
3. `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`

In a file: the host's entry in `credHelpers`, else `credsStore`, is asked first, then `auths`. Keys
of `auths` are hosts, addresses (`https://index.docker.io/v1/` for Docker Hub), or repositories
and their parents, of which the longest match wins.
"""

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from layerproof.errors import AuthenticationError
from layerproof.sources.registry.credentials import Credential
from layerproof.sources.registry.helper import ask_helper
from layerproof.sources.registry.names import DOCKER_HUB, canonical_host

_FILE_BYTES = 4 << 20
_HUB_SERVER = "https://index.docker.io/v1/"
_API_PATHS = frozenset({"", "v1", "v2"})  # what follows the host in addresses, not a repository


@dataclass(frozen=True, slots=True)
class DockerConfig:
    """Logins from the files that docker and podman write. Files are read when asked, each time:
    logins change while a server runs."""

    files: tuple[Path, ...]
    ask: Callable[[str, str], Credential | None] = ask_helper

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], home: Path) -> "DockerConfig":
        """The files that docker and podman would read."""
        if explicit := environment.get("REGISTRY_AUTH_FILE"):
            return cls((Path(explicit),))
        files = []
        if runtime := environment.get("XDG_RUNTIME_DIR"):
            files.append(Path(runtime, "containers", "auth.json"))
        folder = environment.get("DOCKER_CONFIG")
        files.append((Path(folder) if folder else home / ".docker") / "config.json")
        return cls(tuple(files))

    def find(self, host: str, repository: str) -> Credential | None:
        """The login for a repository of a registry.

        Raises AuthenticationError when a file or a credential helper cannot be used.
        """
        host = canonical_host(host)
        for file in self.files:
            document = _load(file)
            found = self._from_helper(document, host, file) or _from_auths(
                document, host, repository, file
            )
            if found is not None:
                return found
        return None

    def _from_helper(
        self, document: Mapping[str, object], host: str, file: Path
    ) -> Credential | None:
        helper = document.get("credsStore")
        for key, name in _table(document, "credHelpers", file).items():
            if _split(key)[0] == host:
                helper = name
        if not isinstance(helper, str) or not helper:
            return None
        for server in (_HUB_SERVER, DOCKER_HUB) if host == DOCKER_HUB else (host,):
            if (found := self.ask(helper, server)) is not None:
                return found
        return None


def _load(file: Path) -> Mapping[str, object]:
    try:
        with file.open("rb") as stream:
            data = stream.read(_FILE_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as exc:
        raise _unusable(file, f"cannot be read: {exc.strerror}") from exc
    if len(data) > _FILE_BYTES:
        raise _unusable(file, f"is larger than {_FILE_BYTES} bytes")
    try:
        document = json.loads(data or b"{}")
    except (ValueError, RecursionError):
        # The cause would carry the text, and with it the logins.
        raise _unusable(file, "is not JSON") from None
    if not isinstance(document, dict):
        raise _unusable(file, "is not a JSON object")
    return document


def _from_auths(
    document: Mapping[str, object], host: str, repository: str, file: Path
) -> Credential | None:
    wanted = f"{host}/{repository}"
    best: tuple[int, object] | None = None
    for key, entry in _table(document, "auths", file).items():
        key_host, path = _split(key)
        scope = f"{key_host}/{path}" if path else key_host
        if (wanted + "/").startswith(scope + "/") and (best is None or len(scope) > best[0]):
            best = (len(scope), entry)
    return _login(best[1], file) if best is not None else None


def _split(key: str) -> tuple[str, str]:
    """Host and repository prefix of a key. An address with a scheme never names a repository."""
    scheme, separator, rest = key.partition("://")
    host, _, path = (rest if separator else scheme).partition("/")
    path = path.strip("/")
    return canonical_host(host), "" if separator or path in _API_PATHS else path


def _login(entry: object, file: Path) -> Credential | None:
    if not isinstance(entry, dict):
        raise _unusable(file, "has an entry in auths that is not an object")
    if token := _text(entry, "registrytoken"):
        return Credential(registry_token=token)
    username, password = _text(entry, "username"), _text(entry, "password")
    if encoded := _text(entry, "auth"):
        username, password = _decode(encoded, file)
    if token := _text(entry, "identitytoken"):
        return Credential(username=username, identity_token=token)
    # Docker leaves `{}` behind for hosts whose login a helper keeps.
    return Credential(username=username, password=password) if username else None


def _decode(encoded: str, file: Path) -> tuple[str, str]:
    try:
        username, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        # The cause would carry the login.
        raise _unusable(file, "has an auth entry that is not base64") from None
    if not colon:
        raise _unusable(file, "has an auth entry that is not of the form user:password")
    return username, password.strip("\x00")  # some writers pad with zeros


def _table(document: Mapping[str, object], key: str, file: Path) -> dict[str, object]:
    table = document.get(key)
    if table is None:
        return {}
    if not isinstance(table, dict):
        raise _unusable(file, f"has a {key!r} that is not an object")
    return table


def _text(entry: Mapping[str, object], key: str) -> str:
    value = entry.get(key)
    return value if isinstance(value, str) else ""


def _unusable(file: Path, problem: str) -> AuthenticationError:
    return AuthenticationError(
        f"the login file {problem}", where=str(file), remedy="repair it, or log in again"
    )
