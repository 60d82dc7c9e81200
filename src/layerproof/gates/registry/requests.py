"""What clients ask of a registry: a request's line, read strictly. Pure.

1. A path is taken as it arrives. Names, tags and digests need no escapes: a path with one, with an
   empty segment or with `..` in it names nothing. So there is one way to write what is asked, and
   nothing that a proxy could read differently.
2. Reading is all that is done here: whatever would change the registry is refused by its method.

Source: OCI distribution-spec v1.1, "Endpoints"; containerd, "Registry Host Namespace" (`ns`).
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import parse_qs

from layerproof.model.digest import Digest

_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_NAME = rf"(?P<name>{_COMPONENT}(?:/{_COMPONENT})*)"
_TAG = r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}"
_DIGEST = r"sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128}"
_ROUTES = {
    "base": re.compile(r"/v2/?"),
    "catalog": re.compile(r"/v2/_catalog"),
    "tags": re.compile(rf"/v2/{_NAME}/tags/list"),
    "referrers": re.compile(rf"/v2/{_NAME}/referrers/(?P<digest>{_DIGEST})"),
    "blob": re.compile(rf"/v2/{_NAME}/blobs/(?P<digest>{_DIGEST})"),
    "manifest": re.compile(
        rf"/v2/{_NAME}/manifests/(?:(?P<digest>{_DIGEST})|(?P<tag>{_TAG}))"
    ),
}  # fmt: skip
_RANGE = re.compile(r"bytes=(\d{1,15})-(\d{0,15})")
_MOST_NAME = 255
_MOST_PATH = 1000


class Kind(StrEnum):
    """What is asked for."""

    BASE = "base"
    CATALOG = "catalog"
    TAGS = "tags"
    REFERRERS = "referrers"
    BLOB = "blob"
    MANIFEST = "manifest"


@dataclass(frozen=True, slots=True)
class Wanted:
    """One thing that a client wants to read."""

    kind: Kind
    name: str = ""  # repository
    digest: Digest | None = None
    tag: str = ""
    namespace: str = ""  # the registry that the client means, where it says so (`ns`)


def parse_path(raw_path: str, query: str) -> Wanted | None:
    """None for what is nothing of a registry."""
    if len(raw_path) > _MOST_PATH:
        return None
    for kind, pattern in _ROUTES.items():
        found = pattern.fullmatch(raw_path)
        if found is not None:
            groups = found.groupdict()
            name = groups.get("name") or ""
            if len(name) > _MOST_NAME:
                return None
            digest = groups.get("digest")
            namespaces = parse_qs(query, max_num_fields=20).get("ns", []) if query else []
            return Wanted(
                Kind(kind),
                name,
                Digest(digest) if digest else None,
                groups.get("tag") or "",
                # Said twice, it cannot be meant twice
                namespaces[0] if len(namespaces) == 1 else ",".join(namespaces),
            )
    return None


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes of a blob, from the first to the last one."""

    first: int
    last: int

    @property
    def length(self) -> int:
        """How many."""
        return self.last - self.first + 1


def parse_range(header: str, size: int) -> Span | None:
    """One range of bytes; None for all of it: a header that is none is ignored, as RFC 9110 section
    14.2 has it. Raises ValueError for a range beyond the end."""
    found = _RANGE.fullmatch(header.strip())
    if found is None:
        return None
    first, last = int(found[1]), int(found[2]) if found[2] else size - 1
    if found[2] and last < first:
        return None
    if first >= size:
        raise ValueError("the range begins after the end")
    return Span(first, min(last, size - 1))
