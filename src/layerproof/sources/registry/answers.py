"""What went wrong, in words: a registry's error answers, and failures on the way to it.

The text of an answer is the registry's: it is shortened, freed of control characters, and of any
secret that was sent along, since a registry could send that back.
"""

import json
import socket
import ssl
from collections.abc import Iterable, Iterator

import httpx

from layerproof.errors import (
    AuthenticationError,
    ImageNotFoundError,
    ProtocolError,
    SourceError,
    UnreachableError,
)

ERROR_BYTES = 64 * 1024  # of an error's body; the rest is not read
_SHOWN = 300


def refusal(
    status: int, body: bytes, *, where: str, host: str, secrets: Iterable[str] = ()
) -> SourceError:
    """The error for an HTTP status (OCI distribution-spec, "Error Codes")."""
    codes, said = _errors(body, secrets)
    suffix = f": {said}" if said else ""
    if status in (401, 403):
        return AuthenticationError(
            f"the registry denies access (HTTP {status}){suffix}",
            where=where,
            remedy=f"docker login {host} with an account that may pull this; a repository that"
            " does not exist is also answered like this",
        )
    if status == 404:
        what = "repository" if "NAME_UNKNOWN" in codes else "image or blob"
        return ImageNotFoundError(
            f"the registry has no such {what}{suffix}",
            where=where,
            remedy="check the name, the tag and the digest",
        )
    if status == 429:
        return UnreachableError(
            f"the registry asks to slow down, again and again (HTTP 429){suffix}",
            where=where,
            remedy="try later, log in for a higher limit, or configure a mirror",
        )
    if status >= 500:
        return UnreachableError(
            f"the registry failed (HTTP {status}){suffix}", where=where, remedy="try again later"
        )
    return ProtocolError(
        f"the registry answered HTTP {status}{suffix}",
        where=where,
        remedy=f"check that {host} is a registry",
    )


def transport_failure(exc: httpx.TransportError, *, where: str, host: str) -> SourceError:
    """The error for a connection that could not be made or broke."""
    message, remedy = _explain(exc, host)
    return UnreachableError(message, where=where, remedy=remedy)


def clean(text: str, secrets: Iterable[str] = ()) -> str:
    """Foreign text, fit for one line of a message."""
    for secret in secrets:
        text = text.replace(secret, "***")
    text = "".join(c if c.isprintable() else " " for c in text[: 4 * _SHOWN])
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def _errors(body: bytes, secrets: Iterable[str]) -> tuple[set[str], str]:
    """Codes and messages of `{"errors": [{"code", "message"}]}`; nothing when it is not that."""
    try:
        document = json.loads(body[:ERROR_BYTES])
    except (ValueError, RecursionError):
        return set(), ""
    if not isinstance(document, dict):
        return set(), ""
    errors = document.get("errors")
    if not isinstance(errors, list):
        # Token services: {"details": "…"}, or {"error": "…"} as RFC 6749 section 5.2 has it
        said = document.get("details") or document.get("error_description")
        return set(), clean(said, secrets) if isinstance(said, str) else ""
    entries = [entry for entry in errors if isinstance(entry, dict)]
    codes = {str(entry.get("code")) for entry in entries}
    messages = (entry.get("message") for entry in entries)
    return codes, clean("; ".join(m for m in messages if isinstance(m, str)), secrets)


def _explain(exc: httpx.TransportError, host: str) -> tuple[str, str]:
    for cause in _chain(exc):
        if known := _known_cause(cause, host):
            return known
    if isinstance(exc, httpx.TimeoutException):
        return f"{host} does not answer in time", "try again later, or check the network"
    if isinstance(exc, httpx.ProxyError):
        return f"the proxy refuses: {clean(str(exc))}", "check HTTPS_PROXY and NO_PROXY"
    detail = clean(str(exc)) or type(exc).__name__
    return f"the connection to {host} failed: {detail}", "try again, or check the network"


def _known_cause(cause: BaseException, host: str) -> tuple[str, str] | None:
    if isinstance(cause, ssl.SSLCertVerificationError):
        return (
            f"the certificate of {host} cannot be verified: {clean(cause.verify_message)}",
            "if its authority is your own, name its file in SSL_CERT_FILE",
        )
    if isinstance(cause, ssl.SSLError):
        return (
            f"no TLS with {host}: {clean(cause.reason or str(cause))}",
            f"if it speaks plain HTTP, add {host} to LAYERPROOF_INSECURE_REGISTRIES",
        )
    if isinstance(cause, socket.gaierror):
        return f"the host name {host} is not known", "check the name and your DNS"
    if isinstance(cause, ConnectionRefusedError):
        return (
            f"{host} refuses connections",
            "is the registry running? Without a port in its name it is asked at port 443",
        )
    return None


def _chain(exc: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = exc
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__
