"""A registry in memory: a real HTTP server for tests, demos and benchmarks.

    with InMemoryRegistry() as registry:
        registry.add_image("team/app", "1.0", built)
        source = RegistrySource(parse_reference(f"docker://{registry.host}/team/app:1.0"), …)

It speaks the OCI distribution API over HTTP/1.1 on a free port of 127.0.0.1: pull, push (whole,
in pieces, mounted from another repository), tags, catalog, referrers and ranges; skopeo, podman
and docker can push to it and pull from it. With `accounts` it wants a login, by Basic, or by
bearer tokens of its own token service (`/token`). Every request is kept in `requests`, freed of
secrets. `faults` makes it misbehave as real and hostile registries do.

Everything may be changed while it runs. Nothing is written to disk.
"""

import base64
import contextlib
import json
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, Self

from layerproof.model.digest import Digest
from layerproof.model.image import Platform
from layerproof.testing.registry_http import serve_connection

_EMPTY_LOGIN = "Basic Og=="  # `:`, which skopeo sends when it knows no login

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class StoredImage(Protocol):
    """What `add_image` takes: an image as bytes, by digest."""

    @property
    def manifest(self) -> bytes:
        """The manifest document."""

    @property
    def manifest_media_type(self) -> str:
        """Its media type."""

    @property
    def config(self) -> bytes:
        """The config document."""

    @property
    def blobs(self) -> Mapping[Digest, bytes]:
        """The layers as stored."""


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """One request and how it was answered."""

    method: str
    path: str  # without the query
    query: str  # as sent
    headers: Mapping[str, str]  # names in lower case; Authorization shows its scheme only
    user: str  # the account, or nothing
    status: int
    client_port: int  # tells connections apart


@dataclass(frozen=True, slots=True)
class Manifest:
    """A stored manifest or index."""

    data: bytes
    media_type: str


@dataclass(slots=True)
class Faults:
    """How the registry misbehaves. All off by default; change them at any time."""

    # Connections: cut the body of a blob after so many bytes, so many times.
    cut_after: int = 0
    cut_times: int = 0
    # Answer so many requests with a status instead (429, 503 …), and what to say then.
    refuse_times: int = 0
    refuse_status: int = 429
    retry_after: str = "0"
    # Bytes other than those that the digest names, for blobs and manifests.
    wrong_bytes: dict[Digest, bytes] = field(default_factory=dict)
    # Another Content-Length than that of the body, by which the connection ends early or late.
    wrong_length: dict[Digest, int] = field(default_factory=dict)
    # Redirect blobs to this base address (`http://localhost:1234`), same path.
    redirect_blobs: str = ""
    # Name this address as the token service instead of the own one.
    realm: str = ""
    # What a tag answers from the second request on.
    second_manifest: dict[tuple[str, str], bytes] = field(default_factory=dict)
    # Claim this digest in Docker-Content-Digest.
    claimed_digest: str = ""
    # Pad manifests with blanks up to this size.
    manifest_bytes: int = 0
    # Ranges: ignored, or answered with others than asked for.
    ignore_range: bool = False
    shift_range: int = 0
    # Chunked transfer coding, so that no length is known beforehand.
    hide_length: bool = False
    # A body that never ends; one that pauses after each `slow_bytes`.
    endless: bool = False
    slow_seconds: float = 0.0
    slow_bytes: int = 1
    # The message in error answers, for `refuse_status` and missing things; `{authorization}` is
    # replaced by what the client sent there.
    error_message: str = ""


@dataclass(frozen=True, slots=True)
class _Token:
    user: str
    rights: frozenset[tuple[str, str]]  # (repository, action)
    ends: float  # monotonic


class InMemoryRegistry:
    """See the module. Use as a context manager, or call `start` and `close`.

    `accounts`: passwords by user; none means that no login is wanted. `token_auth`: by bearer
    token instead of Basic. `anonymous_pull`: only pushing needs a login. `identity_tokens`: users
    by OAuth2 refresh token. `tls`: a server context to speak HTTPS with.
    """

    def __init__(
        self,
        *,
        accounts: Mapping[str, str] | None = None,
        token_auth: bool = False,
        anonymous_pull: bool = False,
        identity_tokens: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.accounts = dict(accounts or {})
        self.token_auth = token_auth
        self.anonymous_pull = anonymous_pull
        self.identity_tokens = dict(identity_tokens or {})
        self.token_seconds = 300  # life of the tokens that are given out
        self.tls = tls
        self.faults = Faults()
        self.requests: list[RecordedRequest] = []
        self.errors: list[BaseException] = []  # of the server itself; empty unless it has a bug
        self.lock = threading.RLock()
        self.stopping = threading.Event()
        self._blobs: dict[Digest, bytes] = {}
        self._links: dict[str, set[Digest]] = {}  # blobs, by repository
        self._manifests: dict[tuple[str, Digest], Manifest] = {}
        self._tags: dict[tuple[str, str], Digest] = {}
        self._asked: dict[tuple[str, str], int] = {}  # how often a tag was asked for
        self._uploads: dict[str, bytearray] = {}
        self._tokens: dict[str, _Token] = {}
        self._listener: socket.socket | None = None
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._acceptor: threading.Thread | None = None

    # --- life ------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Listen on a free port of 127.0.0.1."""
        self.stopping.clear()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._acceptor = threading.Thread(
            target=self._accept, args=(self._listener,), name="registry", daemon=True
        )
        self._acceptor.start()

    def close(self) -> None:
        """End all connections and stop listening."""
        if self._listener is None or self._acceptor is None:
            return
        self.stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept
        self._listener.close()
        self._acceptor.join(5)
        with self.lock:
            open_ones = list(self._connections.items())
        for connection, thread in open_ones:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            thread.join(5)
        self._listener = self._acceptor = None

    @property
    def port(self) -> int:
        """The port it listens on."""
        assert self._listener is not None, "not started"
        port: int = self._listener.getsockname()[1]
        return port

    @property
    def host(self) -> str:
        """`127.0.0.1:PORT`, as references name it."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Scheme and authority."""
        return f"{'https' if self.tls else 'http'}://{self.host}"

    # --- contents --------------------------------------------------------------------------------

    def add_image(self, repository: str, tag: str, image: StoredImage) -> Digest:
        """Store an image with all its blobs under a tag; gives its manifest's digest."""
        for data in (image.config, *image.blobs.values()):
            self.add_blob(repository, data)
        return self.add_manifest(repository, tag, image.manifest, image.manifest_media_type)

    def add_blob(self, repository: str, data: bytes) -> Digest:
        """Store a blob; gives its digest."""
        digest = Digest.of(data)
        with self.lock:
            self._blobs[digest] = data
            self._links.setdefault(repository, set()).add(digest)
        return digest

    def add_manifest(
        self, repository: str, tag: str | None, data: bytes, media_type: str = OCI_MANIFEST
    ) -> Digest:
        """Store a manifest or index as it is, unchecked, and name it; gives its digest."""
        digest = Digest.of(data)
        with self.lock:
            self._links.setdefault(repository, set())
            self._manifests[repository, digest] = Manifest(data, media_type)
            if tag is not None:
                self._tags[repository, tag] = digest
        return digest

    def add_index(
        self, repository: str, tag: str | None, images: Sequence[tuple[StoredImage, Platform]]
    ) -> Digest:
        """Store images and an index of them; gives the index's digest."""
        entries = []
        for image, platform in images:
            digest = self.add_image(repository, str(platform).replace("/", "-"), image)
            described = {"os": platform.os, "architecture": platform.architecture}
            if platform.variant:
                described["variant"] = platform.variant
            entries.append(
                {
                    "mediaType": image.manifest_media_type,
                    "digest": digest,
                    "size": len(image.manifest),
                    "platform": described,
                }
            )
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
        return self.add_manifest(repository, tag, json.dumps(index).encode(), OCI_INDEX)

    def repositories(self) -> list[str]:
        """Names, sorted."""
        with self.lock:
            return sorted(self._links)

    def tags(self, repository: str) -> dict[str, Digest]:
        """Tags of a repository and the manifests that they name, sorted."""
        with self.lock:
            return {t: d for (r, t), d in sorted(self._tags.items()) if r == repository}

    def manifest(self, repository: str, reference: str) -> Manifest | None:
        """A stored manifest by tag or digest."""
        with self.lock:
            digest = self._tags.get((repository, reference)) or Digest(reference)
            return self._manifests.get((repository, digest))

    def blob(self, repository: str, digest: str) -> bytes | None:
        """A blob that the repository holds."""
        with self.lock:
            key = Digest(digest)
            return self._blobs.get(key) if key in self._links.get(repository, ()) else None

    def referrers(self, repository: str, digest: str) -> Iterator[tuple[Digest, Manifest]]:
        """Stored manifests whose `subject` is the digest."""
        with self.lock:
            stored = [(d, m) for (r, d), m in self._manifests.items() if r == repository]
        for own_digest, manifest in stored:
            subject = json.loads(manifest.data).get("subject")
            if isinstance(subject, dict) and subject.get("digest") == digest:
                yield own_digest, manifest

    def asked(self, repository: str, tag: str) -> int:
        """Count a request for a tag; gives how many there were before."""
        with self.lock:
            before = self._asked.get((repository, tag), 0)
            self._asked[repository, tag] = before + 1
            return before

    def record(
        self,
        method: str,
        path: str,
        query: str,
        headers: Mapping[str, str],
        user: str,
        status: int,
        client_port: int,
    ) -> None:
        """Note a request that is about to be answered."""
        found = RecordedRequest(method, path, query, headers, user, status, client_port)
        with self.lock:
            self.requests.append(found)

    # --- uploads ---------------------------------------------------------------------------------

    def start_upload(self) -> str:
        """A new upload's name."""
        name = secrets.token_hex(16)
        with self.lock:
            self._uploads[name] = bytearray()
        return name

    def upload(self, name: str) -> bytearray | None:
        """What was uploaded so far."""
        with self.lock:
            return self._uploads.get(name)

    def finish_upload(self, name: str) -> bytes:
        """Take an upload's bytes."""
        with self.lock:
            return bytes(self._uploads.pop(name))

    def mount(self, repository: str, digest: str, source: str) -> bool:
        """Link a blob of another repository, if that has it."""
        if (data := self.blob(source, digest)) is None:
            return False
        self.add_blob(repository, data)
        return True

    # --- accounts --------------------------------------------------------------------------------

    def login(self, authorization: str) -> str | None:
        """The user of a Basic header: nothing without a login, None if it is wrong."""
        if not authorization or authorization == _EMPTY_LOGIN:
            return ""
        scheme, _, value = authorization.partition(" ")
        try:
            user, _, password = base64.b64decode(value).decode().partition(":")
        except ValueError:
            return None
        known = self.accounts.get(user)
        return user if scheme.lower() == "basic" and known == password else None

    def give_token(self, user: str, scopes: Sequence[str]) -> str:
        """A token with the rights that the user has among those asked for."""
        rights = set()
        for scope in " ".join(scopes).split():
            kind, _, rest = scope.partition(":")
            repository, _, actions = rest.rpartition(":")
            if kind == "repository":
                rights |= {(repository, a) for a in actions.split(",") if self.may(user, a)}
        token = secrets.token_urlsafe(24)
        with self.lock:
            self._tokens[token] = _Token(
                user, frozenset(rights), time.monotonic() + self.token_seconds
            )
        return token

    def forget_tokens(self) -> None:
        """Make all tokens that were given out invalid."""
        with self.lock:
            self._tokens.clear()

    def token_user(self, authorization: str, repository: str, action: str) -> str | None:
        """The user of a bearer token with this right (with any, without a repository); or None."""
        scheme, _, value = authorization.partition(" ")
        with self.lock:
            token = self._tokens.get(value) if scheme.lower() == "bearer" else None
        if token is None or token.ends < time.monotonic():
            return None
        return token.user if not repository or (repository, action) in token.rights else None

    def may(self, user: str, action: str) -> bool:
        """Whether a user, or everybody (empty), may `pull` or `push`."""
        return bool(user) or not self.accounts or (self.anonymous_pull and action == "pull")

    # --- connections -----------------------------------------------------------------------------

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return  # closed
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            with self.lock:
                self._connections[connection] = thread
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            serve_connection(connection, self)
        except OSError:
            pass  # the client went away
        except Exception as exc:  # noqa: BLE001  because a bug must reach the test, not a log
            self.errors.append(exc)
        finally:
            connection.close()
            with self.lock:
                self._connections.pop(connection, None)
