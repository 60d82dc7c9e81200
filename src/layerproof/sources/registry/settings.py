"""What the operator may choose about registries."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. A body may take longer than any of them as long as bytes keep coming."""

    connect: float = 10.0
    read: float = 30.0  # the longest silence
    document: float = 60.0  # one manifest, config or token, from first to last byte


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and how patiently a request is repeated."""

    attempts: int = 5
    backoff: float = 0.5  # seconds before the second attempt; doubles with each further one
    longest_wait: float = 60.0  # a registry that asks for more is given up at once


@dataclass(frozen=True, slots=True)
class RegistrySettings:
    """Hosts are written as in references: `host[:port]`, `docker.io` for Docker Hub."""

    # Spoken to over plain HTTP, and only these. There is no way to skip TLS verification.
    insecure_hosts: frozenset[str] = frozenset()
    # By registry: `host[:port][/prefix]` of mirrors to try before it.
    mirrors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    # Further hosts (`host` or `host:port`) whose token services may be given credentials.
    token_realms: frozenset[str] = frozenset()
    timeouts: Timeouts = Timeouts()
    retry: Retry = Retry()
