"""The HTTP side of `layerproof.testing.registry`: OCI distribution-spec v1.1 over http.server."""

import contextlib
import json
import re
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

from layerproof.errors import ManifestError
from layerproof.model.digest import Digest

if TYPE_CHECKING:  # registry.py imports this module
    from layerproof.testing.registry import InMemoryRegistry

_NAME = r"(?P<name>[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)"
_ROUTES = {
    "base": re.compile(r"/v2/?"),
    "token": re.compile(r"/token"),
    "catalog": re.compile(r"/v2/_catalog"),
    "tags": re.compile(rf"/v2/{_NAME}/tags/list"),
    "referrers": re.compile(rf"/v2/{_NAME}/referrers/(?P<reference>[^/]+)"),
    "manifests": re.compile(rf"/v2/{_NAME}/manifests/(?P<reference>[^/]+)"),
    "uploads": re.compile(rf"/v2/{_NAME}/blobs/uploads/(?P<upload>[^/]*)"),
    "blobs": re.compile(rf"/v2/{_NAME}/blobs/(?P<reference>[^/]+)"),
}
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_ERROR_CODES = {
    400: "UNSUPPORTED",
    401: "UNAUTHORIZED",
    403: "DENIED",
    404: "MANIFEST_UNKNOWN",
    405: "UNSUPPORTED",
    416: "BLOB_UPLOAD_INVALID",
    429: "TOOMANYREQUESTS",
}
_PIECE = 1 << 20


def serve_connection(connection: socket.socket, registry: "InMemoryRegistry") -> None:
    """Answer the requests of one connection until it ends."""
    if registry.tls is None:
        _Handler(connection, registry)
        return
    with registry.tls.wrap_socket(connection, server_side=True) as secured:
        _Handler(secured, registry)


@dataclass(frozen=True, slots=True)
class _Body:
    """What is sent, and how badly."""

    data: bytes | memoryview = b""
    length: int | None = None  # Content-Length, when it is a lie
    cut_after: int | None = None
    hide_length: bool = False
    endless: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "layerproof-testing"
    sys_version = ""
    disable_nagle_algorithm = True

    def __init__(self, connection: socket.socket, registry: "InMemoryRegistry") -> None:
        self.registry = registry
        self.user = ""
        self.body = b""
        super().__init__(connection, connection.getpeername(), None)  # type: ignore[arg-type]

    def log_message(self, format: str, *args: object) -> None:
        """Requests are recorded, not printed."""

    def do_GET(self) -> None:
        """Every method takes the same way."""
        self._handle()

    do_HEAD = do_POST = do_PUT = do_PATCH = do_GET

    # --- routing ---------------------------------------------------------------------------------

    def _handle(self) -> None:
        self.body = self._read_body()
        self.user = ""
        parts = urlsplit(self.path)
        self.where, self.query = unquote(parts.path), parts.query
        self.arguments = parse_qs(parts.query)
        route, values = self._route()
        if not route:
            return self._error(404, "no such resource")
        if route != "token" and (self._refused() or not self._authorised(values.get("name", ""))):
            return None
        handler = getattr(self, f"_{self.command.lower()}_{route}", None)
        if handler is None and self.command == "HEAD":
            handler = getattr(self, f"_get_{route}", None)  # the body is left out when sending
        if handler is None:
            return self._error(405, "not supported")
        handler(**values)
        return None

    def _route(self) -> tuple[str, dict[str, str]]:
        for route, pattern in _ROUTES.items():
            if found := pattern.fullmatch(self.where):
                return route, found.groupdict()
        return "", {}

    def _refused(self) -> bool:
        faults = self.registry.faults
        if faults.refuse_times <= 0:
            return False
        faults.refuse_times -= 1
        headers = {"Retry-After": faults.retry_after} if faults.retry_after else {}
        self._error(faults.refuse_status, "later", headers)
        return True

    def _read_body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = bytearray()
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # trailers
        return bytes(body)

    # --- accounts --------------------------------------------------------------------------------

    def _authorised(self, name: str) -> bool:
        registry = self.registry
        if not registry.accounts:
            return True
        action = "pull" if self.command in ("GET", "HEAD") else "push"
        authorization = self.headers.get("Authorization", "")
        if registry.token_auth:
            user = registry.token_user(authorization, name, action)
            if user is not None:
                self.user = user
                return True
        else:
            user = registry.login(authorization)
            if user is not None and registry.may(user, action) and (name or user):
                self.user = user
                return True
        self._error(401, "authentication required", {"WWW-Authenticate": self._challenge(name)})
        return False

    def _challenge(self, name: str) -> str:
        if not self.registry.token_auth:
            return 'Basic realm="layerproof testing, \\"quoted\\""'
        realm = self.registry.faults.realm or f"{self._base()}/token"
        action = "pull" if self.command in ("GET", "HEAD") else "pull,push"
        scope = f',scope="repository:{name}:{action}"' if name else ""
        return f'Bearer realm="{realm}",service="testing"{scope}'

    def _get_token(self) -> None:
        user = self.registry.login(self.headers.get("Authorization", ""))
        self._answer_token(user, self.arguments.get("scope", []))

    def _post_token(self) -> None:
        """OAuth2: by refresh token or password (distribution, "OAuth2 Token Authentication")."""
        form = {key: values[0] for key, values in parse_qs(self.body.decode()).items()}
        if form.get("grant_type") == "refresh_token":
            user = self.registry.identity_tokens.get(form.get("refresh_token", ""))
        else:
            user, password = form.get("username", ""), form.get("password", "")
            if self.registry.accounts.get(user) != password:
                user = None
        self._answer_token(user, [form.get("scope", "")])

    def _answer_token(self, user: str | None, scopes: list[str]) -> None:
        if user is None:
            return self._error(401, "wrong user name or password")
        self.user = user
        token = self.registry.give_token(user, scopes)
        seconds = self.registry.token_seconds
        self._json({"token": token, "access_token": token, "expires_in": seconds})
        return None

    # --- pull ------------------------------------------------------------------------------------

    def _get_base(self) -> None:
        self._json({})

    def _get_catalog(self) -> None:
        self._json({"repositories": self._page(self.registry.repositories())})

    def _get_tags(self, name: str) -> None:
        if name not in self.registry.repositories():
            return self._error(404, "repository name not known", code="NAME_UNKNOWN")
        self._json({"name": name, "tags": self._page(list(self.registry.tags(name)))})
        return None

    def _get_referrers(self, name: str, reference: str) -> None:
        wanted = self.arguments.get("artifactType", [""])[0]
        entries = []
        for digest, manifest in self.registry.referrers(name, reference):
            document = json.loads(manifest.data)
            kind = document.get("artifactType") or document.get("config", {}).get("mediaType", "")
            if not wanted or kind == wanted:
                entries.append(
                    {
                        "mediaType": manifest.media_type,
                        "digest": digest,
                        "size": len(manifest.data),
                        "artifactType": kind,
                        "annotations": document.get("annotations", {}),
                    }
                )
        media_type = "application/vnd.oci.image.index.v1+json"
        index = {"schemaVersion": 2, "mediaType": media_type, "manifests": entries}
        headers = {"OCI-Filters-Applied": "artifactType"} if wanted else {}
        self._json(index, media_type=media_type, headers=headers)

    def _get_manifests(self, name: str, reference: str) -> None:
        faults = self.registry.faults
        manifest = self.registry.manifest(name, reference)
        if manifest is None:
            known = name in self.registry.repositories()
            code = "MANIFEST_UNKNOWN" if known else "NAME_UNKNOWN"
            return self._error(404, f"{reference} is not known", code=code)
        digest = Digest.of(manifest.data)
        data = faults.wrong_bytes.get(digest, manifest.data)
        if self.registry.asked(name, reference) > 0:
            data = faults.second_manifest.get((name, reference), data)
        if reference != digest:
            digest = Digest.of(data)
        data = data.ljust(faults.manifest_bytes)
        headers = {
            "Content-Type": manifest.media_type,
            "Docker-Content-Digest": faults.claimed_digest or digest,
        }
        length = faults.wrong_length.get(digest)
        self._send(200, _Body(data, length, hide_length=faults.hide_length, headers=headers))
        return None

    def _get_blobs(self, name: str, reference: str) -> None:
        faults = self.registry.faults
        data = self.registry.blob(name, reference)
        if data is None:
            return self._error(404, "blob unknown", code="BLOB_UNKNOWN")
        if faults.redirect_blobs:
            location = faults.redirect_blobs + self.where
            return self._send(307, _Body(headers={"Location": location}))
        digest = Digest(reference)
        data = faults.wrong_bytes.get(digest, data)
        headers = {
            "Content-Type": "application/octet-stream",
            "Docker-Content-Digest": digest,
            "Accept-Ranges": "bytes",
        }
        status, start, end = self._range(len(data))
        if status == 416:
            return self._error(416, "no such range")
        if status == 206:
            shown = start + faults.shift_range
            headers["Content-Range"] = f"bytes {shown}-{end - 1}/{len(data)}"
        cut_after = None
        if faults.cut_times > 0 and self.command == "GET":
            faults.cut_times -= 1
            cut_after = faults.cut_after
        body = _Body(
            memoryview(data)[start:end],
            faults.wrong_length.get(digest),
            cut_after,
            faults.hide_length,
            faults.endless,
            headers,
        )
        return self._send(status, body)

    def _range(self, size: int) -> tuple[int, int, int]:
        """Status, first byte and the byte after the last."""
        found = _RANGE.fullmatch(self.headers.get("Range", ""))
        if found is None or self.registry.faults.ignore_range:
            return 200, 0, size
        start = int(found[1])
        end = min(size, int(found[2]) + 1) if found[2] else size
        return (206, start, end) if start < end else (416, 0, 0)

    def _page(self, names: list[str]) -> list[str]:
        last, count = self.arguments.get("last", [""])[0], self.arguments.get("n", [""])[0]
        after = [name for name in names if name > last]
        return after[: int(count)] if count.isdigit() else after

    # --- push ------------------------------------------------------------------------------------

    def _post_uploads(self, name: str, upload: str) -> None:
        digest = self.arguments.get("mount", [""])[0]
        source = self.arguments.get("from", [""])[0]
        if digest and source and self.registry.mount(name, digest, source):
            return self._created(f"/v2/{name}/blobs/{digest}", digest)
        if digest := self.arguments.get("digest", [""])[0]:
            return self._store_blob(name, digest, self.body)
        return self._accepted(name, self.registry.start_upload())

    def _patch_uploads(self, name: str, upload: str) -> None:
        received = self.registry.upload(upload)
        if received is None:
            return self._error(404, "upload unknown", code="BLOB_UPLOAD_UNKNOWN")
        first = self.headers.get("Content-Range", "").partition("-")[0]
        if first and int(first) != len(received):
            return self._error(416, "pieces must follow each other")
        received += self.body
        return self._accepted(name, upload)

    def _put_uploads(self, name: str, upload: str) -> None:
        received = self.registry.upload(upload)
        if received is None:
            return self._error(404, "upload unknown", code="BLOB_UPLOAD_UNKNOWN")
        received += self.body
        data = self.registry.finish_upload(upload)
        return self._store_blob(name, self.arguments.get("digest", [""])[0], data)

    def _get_uploads(self, name: str, upload: str) -> None:
        received = self.registry.upload(upload)
        if received is None:
            return self._error(404, "upload unknown", code="BLOB_UPLOAD_UNKNOWN")
        return self._accepted(name, upload, status=204)

    def _put_manifests(self, name: str, reference: str) -> None:
        media_type = self.headers.get("Content-Type", "")
        by_digest = ":" in reference
        if by_digest and Digest.of(self.body) != reference:
            return self._error(400, "digest mismatch", code="DIGEST_INVALID")
        try:
            document = json.loads(self.body)
        except ValueError:
            return self._error(400, "not JSON", code="MANIFEST_INVALID")
        for blob in (document.get("config"), *document.get("layers", ())):
            if blob and self.registry.blob(name, blob["digest"]) is None and "urls" not in blob:
                return self._error(400, "blob unknown", code="MANIFEST_BLOB_UNKNOWN")
        tag = None if by_digest else reference
        digest = self.registry.add_manifest(name, tag, self.body, media_type)
        subject = document.get("subject")
        headers = {"OCI-Subject": subject["digest"]} if subject else {}
        return self._created(f"/v2/{name}/manifests/{digest}", digest, headers)

    def _store_blob(self, name: str, digest: str, data: bytes) -> None:
        try:
            Digest.parse(digest)
        except ManifestError:
            return self._error(400, "no digest", code="DIGEST_INVALID")
        if Digest.of(data) != digest:
            return self._error(400, "digest mismatch", code="DIGEST_INVALID")
        self.registry.add_blob(name, data)
        return self._created(f"/v2/{name}/blobs/{digest}", digest)

    def _accepted(self, name: str, upload: str, status: int = 202) -> None:
        size = len(self.registry.upload(upload) or b"")
        headers = {
            "Location": f"{self._base()}/v2/{name}/blobs/uploads/{upload}",
            "Range": f"0-{max(0, size - 1)}",
            "Docker-Upload-UUID": upload,
        }
        self._send(status, _Body(headers=headers))

    def _created(self, path: str, digest: str, headers: Mapping[str, str] | None = None) -> None:
        own = {"Location": self._base() + path, "Docker-Content-Digest": digest}
        self._send(201, _Body(headers={**own, **(headers or {})}))

    def _base(self) -> str:
        scheme = "https" if self.registry.tls else "http"
        return f"{scheme}://{self.headers.get('Host', self.registry.host)}"

    # --- answers ---------------------------------------------------------------------------------

    def _json(
        self,
        document: Mapping[str, object],
        status: int = 200,
        media_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        headers = {"Content-Type": media_type, **(headers or {})}
        self._send(status, _Body(json.dumps(document).encode(), headers=headers))

    def _error(
        self,
        status: int,
        message: str,
        headers: Mapping[str, str] | None = None,
        code: str = "",
    ) -> None:
        said = self.registry.faults.error_message or message
        said = said.replace("{authorization}", self.headers.get("Authorization", ""))
        error = {"code": code or _ERROR_CODES.get(status, "UNKNOWN"), "message": said}
        self._json({"errors": [error]}, status, headers=headers)

    def _send(self, status: int, body: _Body) -> None:
        self._record(status)
        self.send_response(status)
        for name, value in body.headers.items():
            self.send_header(name, value)
        chunked = (body.hide_length or body.endless) and self.command != "HEAD"
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif status != 204:
            length = len(body.data) if body.length is None else body.length
            self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.command != "HEAD":
            self._send_body(body, chunked)

    def _send_body(self, body: _Body, chunked: bool) -> None:
        data = memoryview(body.data)
        if body.cut_after is not None:
            data = data[: body.cut_after]
        for piece in self._pieces(data, body.endless):
            if chunked:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), bytes(piece)))
            else:
                self.wfile.write(piece)
        if body.cut_after is not None or body.length is not None:
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
        elif chunked:
            self.wfile.write(b"0\r\n\r\n")

    def _pieces(self, data: memoryview, endless: bool) -> Iterator[memoryview]:
        """The data in pieces, as fast and as often as the faults have it."""
        faults = self.registry.faults
        size = faults.slow_bytes if faults.slow_seconds else _PIECE
        while True:
            for start in range(0, len(data), size):
                yield data[start : start + size]
                if faults.slow_seconds and self.registry.stopping.wait(faults.slow_seconds):
                    return
            if not endless or self.registry.stopping.is_set():
                return

    def _record(self, status: int) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        if secret := headers.get("authorization"):
            headers["authorization"] = f"{secret.partition(' ')[0]} ***"
        self.registry.record(
            self.command,
            self.where,
            self.query,
            headers,
            self.user,
            status,
            self.client_address[1],
        )
