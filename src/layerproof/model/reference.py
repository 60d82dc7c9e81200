"""Image references as skopeo and podman write them, parsed once into a strong type.

    docker://HOST/NAME[:TAG][@DIGEST]     a registry; NAME alone is read as Docker reads it
    docker-daemon:NAME[:TAG] | ID         a Docker Engine, over its API
    docker-archive:FILE[:NAME[:TAG]]      what `docker save` writes, also gzipped
    docker-archive:FILE@ID                the image of that ID (config digest) in it
    oci:DIR[:TAG] | oci:DIR@DIGEST        an OCI image layout folder
    oci-archive:FILE[:TAG] | …@DIGEST     the same in a tar
    rootfs:FILE                           a plain root-file-system tar, as a one-layer image

A bare name is a registry name; a bare path that exists is recognised by its contents (that needs
the file system: `layerproof.sources`). Sources: containers-transports(5); distribution/reference.

Names are Docker's: `python` is `docker.io/library/python:latest`; a first component with a dot, a
colon, or equal to `localhost` is a host (kept in lower case, as DNS names have no case); a tag
beside a digest is kept for display, and the digest is what is resolved.

Paths end at their first colon, as skopeo has it, because names after it may hold colons too. A
colon inside a path is written `%3A` (and `%3A` itself `%253A`); nothing else is decoded.
"""

import re
from dataclasses import dataclass

from layerproof.errors import ManifestError, ReferenceSyntaxError
from layerproof.model.digest import Digest

DOCKER = "docker"
DOCKER_DAEMON = "docker-daemon"
DOCKER_ARCHIVE = "docker-archive"
OCI = "oci"
OCI_ARCHIVE = "oci-archive"
ROOTFS = "rootfs"

DEFAULT_HOST = "docker.io"
DEFAULT_TAG = "latest"

_MAX_TEXT = 8192  # longer than PATH_MAX and every name together
_MAX_REPOSITORY = 255  # distribution/reference: RepositoryNameTotalLengthMax

# distribution/reference, regexp.go
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]{{1,5}})?")
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_IMAGE_ID = re.compile(r"[a-f0-9]{64}")
# image-spec, annotations.md: org.opencontainers.image.ref.name, and what tools put there
_REF_NAME = re.compile(r"\w[\w.:@+/-]{0,511}", re.ASCII)
_DIGEST_SUFFIX = re.compile(r"@([a-z0-9]+:[a-zA-Z0-9]{32,})\Z")
_USER_INFO = re.compile(r"(?<=//)[^/]*@(?!sha)")
_ESCAPED = re.compile(r"%(3A|25)", re.IGNORECASE)
_TO_ESCAPE = re.compile(r":|%(?=3A|25)", re.IGNORECASE)

_EXAMPLES = "python:3.12, docker://ghcr.io/org/app:1.0, oci:DIR:TAG, docker-archive:FILE"


@dataclass(frozen=True, slots=True)
class Reference:
    """Where an image is and by what name. `str()` gives the full form, which parses back."""

    transport: str  # one of the constants above
    host: str = ""  # docker, and names in a daemon or an archive
    repository: str = ""
    tag: str = ""  # for oci and oci-archive: the ref name
    digest: Digest | None = None  # docker-daemon and docker-archive: the image ID
    path: str = ""  # file or folder

    @property
    def name(self) -> str:
        """`HOST/REPOSITORY`, or empty."""
        return f"{self.host}/{self.repository}" if self.repository else ""

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        at = f"@{self.digest}" if self.digest else ""
        if self.transport == DOCKER:
            return f"docker://{self.name}{tag}{at}"
        if self.transport == DOCKER_DAEMON:
            return (
                f"docker-daemon:{self.name}{tag}{at}"
                if self.name
                else f"docker-daemon:{self.digest}"
            )
        name = f":{self.name}" if self.name else ""
        path = _TO_ESCAPE.sub(lambda m: "%3A" if m[0] == ":" else "%25", self.path)
        return f"{self.transport}:{path}{name}{tag}{at}"


def parse_reference(text: str) -> Reference:
    """Parse any form but a bare path. Raises ReferenceSyntaxError with a remedy."""
    if not text or len(text) > _MAX_TEXT or "\0" in text:
        raise _error(text, "empty, too long or with a NUL", f"write for example {_EXAMPLES}")
    if text.startswith("docker://"):
        return _named(DOCKER, text.removeprefix("docker://"), text)
    transport, colon, rest = text.partition(":")
    if colon and transport in _PARSERS:
        return _PARSERS[transport](rest, text)
    if "://" in text:
        raise _error(
            text, "not an image transport", "registries are written docker://HOST/NAME:TAG"
        )
    if colon and transport == "containerd":
        raise _error(
            text,
            "containerd is not a transport that can be read",
            "export the image (ctr image export FILE NAME) and name it oci-archive:FILE, "
            "or write docker://containerd if you mean an image of that name",
        )
    if text.startswith(("/", "./", "../", "~")):
        raise _error(
            text, "no such file or folder", f"check the path, or write for example {_EXAMPLES}"
        )
    return _named(DOCKER, text, text)


def has_transport(text: str) -> bool:
    """Whether the text says itself what it is: it is then never taken for a path."""
    return text.startswith("docker://") or (text.partition(":")[0] in _PARSERS and ":" in text)


def parse_name(text: str) -> Reference:
    """A name as Docker reads it, without a transport: `python` → docker.io/library/python:latest.

    Raises ReferenceSyntaxError.
    """
    return _named(DOCKER, text, text)


def is_repository(text: str) -> bool:
    """Whether a registry can have a repository of this name."""
    return len(text) <= _MAX_REPOSITORY and _REPOSITORY.fullmatch(text) is not None


def is_tag(text: str) -> bool:
    """Whether an image can have this tag."""
    return _TAG.fullmatch(text) is not None


def is_registry(text: str) -> bool:
    """Whether a reference can name this host[:port]: `docker://TEXT/x` is an image there."""
    try:
        return parse_reference(f"docker://{text}/x").host == text
    except ReferenceSyntaxError:
        return False


def _named(transport: str, name: str, text: str) -> Reference:
    """HOST/NAME[:TAG][@DIGEST] with Docker's defaults (distribution/reference, normalize.go)."""
    name, digest = _split_digest(name, text)
    if _IMAGE_ID.fullmatch(name):
        raise _error(
            text, "64 hex digits are an image ID, not a name", "write docker-daemon:sha256:ID"
        )
    host, rest = _split_host(name)
    repository, colon, tag = rest.partition(":")
    if host == DEFAULT_HOST and "/" not in repository:
        repository = f"library/{repository}"
    _check_name(host, repository, text)
    if colon and not _TAG.fullmatch(tag):
        raise _error(
            text,
            f"{tag[:100]!r} is not a tag",
            "a tag has 1 to 128 letters, digits, underscores, dots and dashes",
        )
    if not tag and digest is None:
        tag = DEFAULT_TAG
    return Reference(transport, host, repository, tag, digest)


def _split_host(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost"):
        return DEFAULT_HOST, name
    host = first.lower()
    return (DEFAULT_HOST if host == "index.docker.io" else host), rest


def _check_name(host: str, repository: str, text: str) -> None:
    if "@" in host:
        raise _error(
            text, "a reference holds no user or password", "use `docker login` and leave them out"
        )
    if not _HOST.fullmatch(host):
        raise _error(
            text, f"{host[:100]!r} is not a host", "a host is a DNS name or address, with :PORT"
        )
    if repository != repository.lower():
        raise _error(
            text,
            "a repository name has no capital letters",
            f"did you mean {repository.lower()[:100]}?",
        )
    if not is_repository(repository):
        raise _error(
            text,
            f"{repository[:100]!r} is not a repository name",
            "names are lower-case letters and digits, joined by . _ __ or dashes, in components "
            f"separated by slashes, {_MAX_REPOSITORY} characters at most; for example {_EXAMPLES}",
        )


def _daemon(rest: str, text: str) -> Reference:
    if rest.startswith(("sha256:", "sha512:")):
        return Reference(DOCKER_DAEMON, digest=_digest(rest, text))
    return _named(DOCKER_DAEMON, rest, text)


def _docker_archive(rest: str, text: str) -> Reference:
    path, name, digest = _split_path(rest, text)
    if not name:
        return Reference(DOCKER_ARCHIVE, path=path, digest=digest)
    named = _named(DOCKER_ARCHIVE, f"{name}@{digest}" if digest else name, text)
    return Reference(DOCKER_ARCHIVE, named.host, named.repository, named.tag, named.digest, path)


def _layout(transport: str, rest: str, text: str) -> Reference:
    path, tag, digest = _split_path(rest, text)
    if tag and not _REF_NAME.fullmatch(tag):
        raise _error(
            text,
            f"{tag[:100]!r} is not a tag",
            "write it as index.json does; a colon inside the path is written %3A",
        )
    return Reference(transport, tag=tag, digest=digest, path=path)


def _rootfs(rest: str, text: str) -> Reference:
    path, name, digest = _split_path(rest, text)
    if name or digest:
        raise _error(
            text, "a root file system holds one image", "a colon inside the path is written %3A"
        )
    return Reference(ROOTFS, path=path)


_PARSERS = {
    DOCKER_DAEMON: _daemon,
    DOCKER_ARCHIVE: _docker_archive,
    OCI: lambda rest, text: _layout(OCI, rest, text),
    OCI_ARCHIVE: lambda rest, text: _layout(OCI_ARCHIVE, rest, text),
    ROOTFS: _rootfs,
}


def _split_path(rest: str, text: str) -> tuple[str, str, Digest | None]:
    """PATH[:NAME][@DIGEST]; the path ends at its first colon."""
    rest, digest = _split_digest(rest, text)
    path, _, name = rest.partition(":")
    if not path:
        raise _error(text, "the path is missing", f"write for example {_EXAMPLES}")
    return _ESCAPED.sub(lambda m: ":" if m[1] != "25" else "%", path), name, digest


def _split_digest(rest: str, text: str) -> tuple[str, Digest | None]:
    found = _DIGEST_SUFFIX.search(rest)
    return (rest[: found.start()], _digest(found[1], text)) if found else (rest, None)


def _digest(value: str, text: str) -> Digest:
    try:
        return Digest.parse(value)
    except ManifestError as error:
        raise _error(text, error.message, error.remedy) from error


def _error(text: str, problem: str, remedy: str) -> ReferenceSyntaxError:
    # Somebody may have written a password as in a URL: it must not end in a log.
    shown = _USER_INFO.sub("…@", text)[:200]
    return ReferenceSyntaxError(f"{shown!r}: {problem}", remedy=remedy)
