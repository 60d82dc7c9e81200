"""The Kubernetes API, as far as gate and monitor need it: a thin client over httpx.

1. Who we are comes from inside a pod (the service account; its token is read again for every
   request, since it is renewed) or from a kubeconfig: tokens, client certificates, and programs
   that give either (client-go "exec"). TLS is always verified.
2. Every answer is bounded; every wait has an end.
3. An object is applied by server-side apply, under our own name, and only ours is taken back.

Source: Kubernetes API conventions, "Watch", "Server-Side Apply"; kubectl's "Organizing Cluster
Access Using kubeconfig Files".
"""

import base64
import json
import os
import ssl
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from layerproof.errors import (
    AuthenticationError,
    ImageNotFoundError,
    LimitExceededError,
    ProtocolError,
    SourceError,
    UnreachableError,
    UsageError,
)

MANAGER = "layerproof"
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
MOST_BYTES = 64 << 20  # of one answer
MOST_LINE = 8 << 20  # of one event
_EXEC_SECONDS = 30
_MOST_CONFIG = 4 << 20

Object = Mapping[str, Any]


class GoneError(SourceError):
    """The version to go on from is too old (HTTP 410): list again."""

    code = "gone"


class ConflictError(SourceError):
    """Somebody else changed the object first (HTTP 409)."""

    code = "conflict"


@dataclass(frozen=True, slots=True)
class Access:
    """Where a cluster is, and who we are there."""

    server: str
    authority: bytes | None = None  # PEM; None: the system's
    certificate: bytes = b""  # PEM
    key: bytes = field(default=b"", repr=False)
    token: str = field(default="", repr=False)
    token_file: Path | None = None
    namespace: str = ""

    def bearer(self) -> str:
        """The token as of now."""
        if self.token_file is not None:
            return self.token_file.read_text(encoding="utf-8").strip()
        return self.token


def find_access(environ: Mapping[str, str], context: str = "") -> Access:
    """KUBECONFIG, else the pod that we run in, else ~/.kube/config. Raises UsageError."""
    named = environ.get("KUBECONFIG", "")
    if not named and ACCOUNT.is_dir() and environ.get("KUBERNETES_SERVICE_HOST"):
        host, port = (
            environ["KUBERNETES_SERVICE_HOST"],
            environ.get("KUBERNETES_SERVICE_PORT", "443"),
        )
        shown = f"[{host}]" if ":" in host else host
        return Access(
            f"https://{shown}:{port}",
            (ACCOUNT / "ca.crt").read_bytes(),
            token_file=ACCOUNT / "token",
            namespace=(ACCOUNT / "namespace").read_text().strip(),
        )
    file = Path(named.split(os.pathsep)[0]) if named else Path.home() / ".kube/config"
    return read_kubeconfig(file, context)


def read_kubeconfig(file: Path, context: str = "") -> Access:
    """One context of it, by default the current one. Raises UsageError."""
    import yaml

    try:
        with file.open("rb") as stream:
            document = yaml.safe_load(stream.read(_MOST_CONFIG))
        wanted = context or document["current-context"]
        chosen = _named(document, "contexts", wanted)["context"]
        cluster = _named(document, "clusters", chosen["cluster"])["cluster"]
        user = _named(document, "users", chosen["user"])["user"] or {}
        return _access(cluster, user, file.parent, str(chosen.get("namespace") or ""))
    except OSError as error:
        raise UsageError(
            f"cannot be read: {error.strerror or error}", where=str(file),
            remedy="name a kubeconfig in KUBECONFIG",
        ) from error  # fmt: skip
    except (
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        StopIteration,
        yaml.YAMLError,
    ) as error:
        raise UsageError(
            f"no kubeconfig with the context {context or 'current-context'!r}",
            where=str(file),
            remedy="see `kubectl config get-contexts`",
        ) from error


def _named(document: Object, key: str, name: str) -> Object:
    found: Object | None = next((i for i in document[key] if i["name"] == name), None)
    if found is None:
        raise KeyError(name)
    return found


def _access(cluster: Object, user: Object, folder: Path, namespace: str) -> Access:
    if cluster.get("insecure-skip-tls-verify"):
        raise UsageError(
            "the kubeconfig turns the verification of TLS off",
            where="insecure-skip-tls-verify",
            remedy="give certificate-authority-data instead",
        )
    token = str(user.get("token") or "")
    certificate, key = (
        _bytes(user, "client-certificate", folder),
        _bytes(user, "client-key", folder),
    )
    if "exec" in user:
        status = _executed(user["exec"])
        token = str(status.get("token") or token)
        certificate = str(status.get("clientCertificateData") or "").encode() or certificate
        key = str(status.get("clientKeyData") or "").encode() or key
    token_file = user.get("tokenFile")
    return Access(
        server=str(cluster["server"]).rstrip("/"),
        authority=_bytes(cluster, "certificate-authority", folder) or None,
        certificate=certificate,
        key=key,
        token=token,
        token_file=folder / token_file if token_file else None,
        namespace=namespace,
    )


def _bytes(table: Object, key: str, folder: Path) -> bytes:
    if table.get(f"{key}-data"):
        return base64.b64decode(table[f"{key}-data"], validate=True)
    return (folder / table[key]).read_bytes() if table.get(key) else b""


def _executed(plugin: Object) -> Object:
    """client-go credential plugins: the program says who we are."""
    given = {item["name"]: item["value"] for item in plugin.get("env") or []}
    info = {
        "apiVersion": plugin["apiVersion"],
        "kind": "ExecCredential",
        "spec": {"interactive": False},
    }
    environment = {**os.environ, **given, "KUBERNETES_EXEC_INFO": json.dumps(info)}
    try:
        done = subprocess.run(
            [plugin["command"], *(plugin.get("args") or [])],
            env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=_EXEC_SECONDS,
            check=True,
        )  # fmt: skip
        status: Object = json.loads(done.stdout)["status"]
    except (OSError, subprocess.SubprocessError, ValueError, KeyError) as error:
        raise UsageError(
            f"{plugin['command']} does not say who we are: {type(error).__name__}",
            where="kubeconfig",
            remedy="run it by hand",
        ) from error
    return status


class Kubernetes:
    """One cluster. Blocks; used by any number of threads. Raises SourceError."""

    def __init__(self, access: Access, *, timeout: float = 15.0) -> None:
        self._access = access
        self._client = httpx.Client(
            base_url=access.server,
            verify=_context(access),
            timeout=httpx.Timeout(timeout),
            headers={"User-Agent": MANAGER, "Accept": "application/json"},
            follow_redirects=False,
        )

    @property
    def server(self) -> str:
        """Where it is."""
        return self._access.server

    @property
    def namespace(self) -> str:
        """Ours."""
        return self._access.namespace

    def get(self, path: str, **query: str) -> Object:
        """One object, or a list."""
        return self._asked("GET", path, query)

    def find(self, path: str) -> Object | None:
        """One object; None if there is none."""
        try:
            return self.get(path)
        except ImageNotFoundError:
            return None

    def create(self, path: str, body: Object) -> Object:
        """Raises ConflictError if it is there."""
        return self._asked("POST", path, {}, body)

    def replace(self, path: str, body: Object) -> Object:
        """Raises ConflictError if somebody changed it meanwhile."""
        return self._asked("PUT", path, {}, body)

    def apply(self, path: str, body: Object) -> Object:
        """Server-side apply, by our name."""
        query = {"fieldManager": MANAGER, "force": "true"}
        return self._asked("PATCH", path, query, body, "application/apply-patch+yaml")

    def delete(self, path: str, body: Object | None = None) -> None:
        """What is not there is deleted already."""
        with suppress(ImageNotFoundError):
            self._asked("DELETE", path, {}, body)

    @contextmanager
    def watch(self, path: str, **query: str) -> Iterator[Iterator[Object]]:
        """Events from now on, or from `resourceVersion` on. Leaving the block ends it. Raises
        GoneError."""
        timeout = httpx.Timeout(15.0, read=float(query.get("timeoutSeconds", "300")) + 30)
        try:
            with self._client.stream(
                "GET", path, params={"watch": "1", **query}, headers=self._headers(),
                timeout=timeout,
            ) as response:  # fmt: skip
                self._check(response, path)
                yield _events(response, path)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error

    def close(self) -> None:
        """Close connections."""
        self._client.close()

    def _asked(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Object | None = None,
        kind: str = "application/json",
    ) -> Object:
        content = None if body is None else json.dumps(body).encode()
        headers = {**self._headers(), **({"Content-Type": kind} if content else {})}
        try:
            with self._client.stream(
                method, path, params=dict(query), content=content, headers=headers
            ) as response:
                self._check(response, path)
                data = bytearray()
                for part in response.iter_bytes():
                    data += part
                    if len(data) > MOST_BYTES:
                        raise LimitExceededError(
                            f"more than {MOST_BYTES} bytes", limit="json_bytes", where=path
                        )
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        return _object(bytes(data), path)

    def _headers(self) -> dict[str, str]:
        try:
            token = self._access.bearer()
        except OSError as error:
            raise AuthenticationError("the token cannot be read", where=self.server) from error
        return {"Authorization": f"Bearer {token}"} if token else {}

    def _check(self, response: httpx.Response, path: str) -> None:
        status = response.status_code
        if status < 300:
            return
        said = _said(response)
        where = f"{self.server}{path}"
        if status in (401, 403):
            raise AuthenticationError(
                f"the API server denies this: {said}", where=where,
                remedy="see `kubectl auth can-i`, and the roles that install makes",
            )  # fmt: skip
        if status == 404:
            raise ImageNotFoundError(f"there is no such object: {said}", where=where)
        if status == 409:
            raise ConflictError(said, where=where)
        if status == 410:
            raise GoneError(said, where=where)
        if status == 429 or status >= 500:
            raise UnreachableError(f"HTTP {status}: {said}", where=where, remedy="try again later")
        raise ProtocolError(f"HTTP {status}: {said}", where=where)

    def _unreachable(self, error: httpx.TransportError) -> UnreachableError:
        return UnreachableError(
            f"the API server does not answer: {error or type(error).__name__}",
            where=self.server,
            remedy="is it running, and does the kubeconfig name it?",
        )


def _context(access: Access) -> ssl.SSLContext:
    context = ssl.create_default_context(
        cadata=access.authority.decode() if access.authority else None
    )
    if access.certificate and access.key:
        # The standard library reads files only; they are gone before anything else happens.
        with tempfile.NamedTemporaryFile() as chain, tempfile.NamedTemporaryFile() as key:
            chain.write(access.certificate)
            key.write(access.key)
            chain.flush()
            key.flush()
            context.load_cert_chain(chain.name, key.name)
    return context


def _events(response: httpx.Response, path: str) -> Iterator[Object]:
    partial = b""
    for part in response.iter_bytes():
        *lines, partial = (partial + part).split(b"\n")
        if len(partial) > MOST_LINE:
            raise LimitExceededError(
                f"an event of more than {MOST_LINE} bytes", limit="json_bytes", where=path
            )
        for line in filter(None, lines):
            event = _object(line, path)
            told = event.get("object")
            if event.get("type") == "ERROR" and isinstance(told, dict):
                kind = GoneError if told.get("code") == 410 else UnreachableError
                raise kind(str(told.get("message"))[:300], where=path)
            yield event


def _object(data: bytes, path: str) -> Object:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ProtocolError("the answer is not JSON", where=path) from error
    if not isinstance(found, dict):
        raise ProtocolError("the answer is no object", where=path)
    return found


def _said(response: httpx.Response) -> str:
    """The message of a Status, on one line."""
    data = b""
    with suppress(httpx.TransportError):
        for part in response.iter_bytes():
            data += part
            if len(data) > 65536:
                break
    try:
        message = json.loads(data).get("message", "")
    except (ValueError, AttributeError, RecursionError):
        message = data[:200].decode("utf-8", "replace")
    text = "".join(c if c.isprintable() else " " for c in str(message)[:4000])
    return text or f"HTTP {response.status_code}"
