"""Which hosts a registry name stands for.

Docker Hub has three names: `docker.io` in references, `registry-1.docker.io` for HTTP and
`https://index.docker.io/v1/` in credential files.
"""

import ipaddress
from dataclasses import dataclass

from layerproof.sources.registry.settings import RegistrySettings

DOCKER_HUB = "docker.io"
_DOCKER_HUB_NAMES = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
_DOCKER_HUB_HTTP = "registry-1.docker.io"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One place to ask for a repository."""

    host: str  # as credentials and settings name it
    base: str  # scheme and authority of its API, without a trailing slash
    repository: str  # the repository's name there
    actions: str = "pull"  # what is done there, as token services name it: "pull,push,delete"

    @property
    def insecure(self) -> bool:
        """Whether it is spoken to without TLS, as the operator asked."""
        return self.base.startswith("http://")

    @property
    def name(self) -> str:
        """`host/repository`, for messages and credential look-ups."""
        return f"{self.host}/{self.repository}"

    def url(self, path: str) -> str:
        """Address of a resource of the repository: `manifests/latest`, `blobs/sha256:…`; or, with a
        slash before it, of the registry: `/v2/_catalog`."""
        if path.startswith("/"):
            return f"{self.base}{path}"
        return f"{self.base}/v2/{self.repository}/{path}"


def canonical_host(host: str) -> str:
    """The one name by which a registry is known in settings and credentials."""
    host = host.lower()
    return DOCKER_HUB if host in _DOCKER_HUB_NAMES else host


def endpoints(host: str, repository: str, settings: RegistrySettings) -> tuple[Endpoint, ...]:
    """Where to ask for a repository, in order: the registry's mirrors, then the registry."""
    canonical = canonical_host(host)
    places = [_mirror(text, repository, settings) for text in settings.mirrors.get(canonical, ())]
    places.append(_endpoint(canonical, repository, settings))
    return tuple(places)


def is_loopback(name: str) -> bool:
    """Whether a host name (without port) is this machine's."""
    name = name.strip("[]").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def is_off_limits(address: str) -> bool:
    """Whether no registry can be at this IP address, while the machine's own metadata service may
    be: link-local ones (RFC 3927, RFC 4291 section 2.5.6), and those that mean none."""
    found = ipaddress.ip_address(address.partition("%")[0])
    found = getattr(found, "ipv4_mapped", None) or found
    return found.is_link_local or found.is_unspecified


def _mirror(text: str, repository: str, settings: RegistrySettings) -> Endpoint:
    host, _, prefix = text.strip("/").partition("/")
    name = f"{prefix}/{repository}" if prefix else repository
    return _endpoint(canonical_host(host), name, settings)


def _endpoint(host: str, repository: str, settings: RegistrySettings) -> Endpoint:
    scheme = "http" if host in settings.insecure_hosts else "https"
    authority = _DOCKER_HUB_HTTP if host == DOCKER_HUB else host
    return Endpoint(host=host, base=f"{scheme}://{authority}", repository=repository)
