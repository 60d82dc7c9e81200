"""Image patterns: which images a part of a policy speaks of. Anchored at both ends.

    docker://registry.example/team/**         every repository below team, every tag
    registry.example/team/app:1.*             one repository, some tags
    *.registries.example/base/*               hosts below a domain, repositories one deep
    docker.io/python                          as Docker reads it: docker.io/library/python
    sha256:…                                  the image with this manifest or config digest

1. A pattern names its registry. `*.` may stand before a domain, for one or more labels; nothing
   else in a host is a wildcard: `registry.example*` would match `registry.example.evil.example`.
2. In a repository, `*` is any text inside a segment, and `**` as a whole segment is any number of
   segments.
3. Without a tag, every tag matches, and no tag. In a tag, `*` is any text. A pattern with a tag
   matches no reference that has a digest, too: there the tag is not what is resolved.
4. Only names in registries match: whoever has a file or an engine may call an image as he likes.

Matching costs at worst the length of the name times that of the pattern (`rules.globs`).
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

from layerproof.errors import LayerproofError, PolicyError
from layerproof.model.image import Image
from layerproof.model.reference import DEFAULT_HOST, DOCKER, parse_reference
from layerproof.rules.globs import GlobSet

MAX_PATTERN = 512  # characters
# Docker Hub's old name, which references spell docker.io: what names it would never match
ALIAS = "index.docker.io"

_DIGEST = re.compile(r"sha256:[a-f0-9]{64}")
_LABEL = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_HOST = re.compile(rf"(?:\*\.{_LABEL}(?:\.{_LABEL})+|{_LABEL}(?:\.{_LABEL})*)(?::[0-9]{{1,5}})?")
_SEGMENT = re.compile(r"[a-z0-9*](?:[a-z0-9._*-]*[a-z0-9*])?")
_TAG = re.compile(r"[\w.*-]{1,128}", re.ASCII)
_EXAMPLE = "registry.example/team/**, registry.example/app:1.* or sha256:…"


@dataclass(frozen=True)
class ImagePattern:
    """One pattern; `text` is what the policy says, and it was checked."""

    text: str

    @cached_property
    def _parts(self) -> tuple[str, GlobSet | None, GlobSet | None]:
        """Digest, name and tag that must match; empty or None: any."""
        name, tag, digest = _split(self.text)
        return (
            digest,
            GlobSet([f"/{name}"]) if name else None,
            GlobSet([f"/{tag}"]) if tag else None,
        )

    def matches(self, image: Image) -> bool:
        """Whether the image, by the reference that it is judged under, is meant."""
        return self.names(image.reference, (image.manifest_digest, image.config_digest))

    def names(self, reference: str, digests: Collection[str | None]) -> bool:
        """Whether an image of this reference, with one of these digests, is meant."""
        digest, name, tag = self._parts
        if digest and digest not in digests:
            return False
        if name is None:
            return True
        try:
            parsed = parse_reference(reference)
        except LayerproofError:
            return False  # a bare digest, by which the index was asked
        if parsed.transport != DOCKER or name.match(parsed.name.encode()) is None:
            return False
        if tag is None:
            return True
        # beside a digest the tag is the word of whoever wrote the reference: nobody resolved it
        return parsed.digest is None and tag.match(parsed.tag.encode()) is not None


def check_pattern(text: str) -> None:
    """Raises PolicyError, with what is wrong and what to write, unless `text` is a pattern."""
    problem = _problem(text)
    if problem:
        message, remedy = problem
        raise PolicyError(f"image pattern {text[:100]!r} {message}", remedy=remedy)


def _problem(text: str) -> tuple[str, str] | None:  # noqa: PLR0911  because each has its text
    if not text or len(text) > MAX_PATTERN:
        return "is empty or too long", f"write for example {_EXAMPLE}"
    if _DIGEST.fullmatch(text):
        return None
    plain = text.removeprefix("docker://")
    if plain == text and re.match(r"[a-z-]+:(?![0-9]{1,5}/)", text) and "/" not in text[:20]:
        return "does not name an image in a registry", f"write for example {_EXAMPLE}"
    name, tag, digest = _split(text)
    host, slash, repository = name.partition("/")
    if not slash:
        return "names no registry", f"write the whole name, such as docker.io/library/{plain[:60]}"
    if not _HOST.fullmatch(host):
        return (
            "has a registry that is none, or a wildcard in it",
            "write the host in full; *.example.com stands for hosts below a domain",
        )
    if host == ALIAS:
        return f"names {host}, which references never do", f"write {DEFAULT_HOST}"
    if "." not in host and ":" not in host and host != "localhost":
        return "names no registry", f"write the whole name, such as docker.io/{plain[:60]}"
    if not all(_SEGMENT.fullmatch(part) for part in repository.split("/")):
        return (
            "has a repository that is none",
            "lower-case letters, digits, . _ - and *; ** only as a whole segment",
        )
    if any("**" in part and part != "**" for part in repository.split("/")):
        return "uses ** inside a segment", "write * inside a segment, ** as a whole segment"
    if tag and not _TAG.fullmatch(tag):
        return "has a tag that is none", "letters, digits, . _ - and *"
    if "**" in tag:
        return "uses ** in a tag", "write *"
    if digest and not _DIGEST.fullmatch(digest):
        return "has a digest that is none", "write @sha256: and 64 hex digits"
    return None


def _split(text: str) -> tuple[str, str, str]:
    """Name, tag, digest; each may be empty."""
    if _DIGEST.fullmatch(text):
        return "", "", text
    rest, _, digest = text.removeprefix("docker://").partition("@")
    head, slash, last = rest.rpartition("/")
    last, _, tag = last.partition(":")
    name = head + slash + last
    host, slash, repository = name.partition("/")
    if host == DEFAULT_HOST and "/" not in repository and "**" not in repository:
        name = f"{host}/library/{repository}"
    return name, tag, digest
