"""What a registry may be told about who we are. Secrets never show in a repr."""

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Credential:
    """One login. Exactly one of password, identity token and registry token is set."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)  # OAuth2 refresh token
    registry_token: str = field(default="", repr=False)  # sent to the registry as it is

    @property
    def secrets(self) -> tuple[str, ...]:
        """All that must never be shown."""
        return tuple(s for s in (self.password, self.identity_token, self.registry_token) if s)


class CredentialProvider(Protocol):
    """Where logins come from."""

    def find(self, host: str, repository: str) -> Credential | None:
        """The login for a repository of a registry (`docker.io` for Docker Hub); None without one.

        Raises AuthenticationError when a login is configured and cannot be read.
        """


class NoCredentials:
    """Everything anonymously."""

    def find(self, host: str, repository: str) -> Credential | None:
        """None."""
        return None


@dataclass(frozen=True, slots=True)
class FixedCredentials:
    """Logins given by the caller, by registry host."""

    by_host: dict[str, Credential] = field(default_factory=dict)

    def find(self, host: str, repository: str) -> Credential | None:
        """The host's login, for whichever repository."""
        return self.by_host.get(host)
