"""The request's target, as the engine's router reads it.

The engine matches its routes against the *decoded* path (Go `net/url.URL.Path`, gorilla/mux), with
an optional version before it. The plugin is told the raw target (RFC 9112, section 3.2), so the
same route can arrive in many spellings: absolute form, percent-encoded, with empty or dot segments.

1. Scheme and authority of an absolute form are dropped; a fragment cannot stand in a target.
2. The query ends the path at the first `?`.
3. The path is percent-decoded once. What is still encoded then, or does not decode to clean UTF-8,
   is no name that the engine knows: refused.
4. Empty segments go. Dot segments are refused: the engine would redirect, clients never write them.
5. A version `v1.41` before the route goes.
6. A key that stands twice in the query is refused: the engine reads the first, others the last.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote_to_bytes

from layerproof.gates.docker.refusal import RefusedError

MOST_TARGET = 32 * 1024
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?]*")
_VERSION = re.compile(r"v[0-9.]+")
_ENCODED = re.compile(r"%(?![0-9A-Fa-f]{2})")
_REMEDY = "write the path plainly, as the Docker clients do"


@dataclass(frozen=True, slots=True)
class Target:
    """Segments of the path without the version, and the query."""

    segments: tuple[str, ...]
    query: Mapping[str, str]


def read_target(text: str) -> Target:
    """Raises RefusedError for what cannot be read with certainty."""
    if len(text) > MOST_TARGET:
        raise RefusedError("the request's address is too long", _REMEDY)
    text = _ABSOLUTE.sub("", text, count=1) if "://" in text.partition("?")[0] else text
    path, _, query = text.partition("?")
    if "#" in text or not (path.startswith("/") or not path):
        raise RefusedError("the request's address has no clean path", _REMEDY)
    segments = _segments(path)
    if segments and _VERSION.fullmatch(segments[0]):
        segments = segments[1:]
    return Target(segments, _query(query))


def _segments(path: str) -> tuple[str, ...]:
    if _ENCODED.search(path):
        raise RefusedError("the request's address is not percent-encoded rightly", _REMEDY)
    try:
        decoded = unquote_to_bytes(path).decode()
    except UnicodeDecodeError as error:
        raise RefusedError("the request's address is not UTF-8", _REMEDY) from error
    if "%" in decoded or "\\" in decoded or not decoded.isprintable():
        raise RefusedError("the request's address holds characters that no route has", _REMEDY)
    segments = tuple(part for part in decoded.split("/") if part)
    if "." in segments or ".." in segments:
        raise RefusedError("the request's address holds dot segments", _REMEDY)
    return segments


def _query(text: str) -> Mapping[str, str]:
    if ";" in text or _ENCODED.search(text):  # which Go versions read in different ways
        raise RefusedError("the request's query is not encoded rightly", _REMEDY)
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=200, errors="strict")
    except (ValueError, UnicodeDecodeError) as error:
        raise RefusedError("the request's query cannot be read", _REMEDY) from error
    found = dict(pairs)
    if len(found) != len(pairs):
        raise RefusedError("a key stands twice in the request's query", _REMEDY)
    return found
