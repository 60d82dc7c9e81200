"""The release of a distribution."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Release:
    """The distribution that a stack of layers says it is (os-release(5))."""

    id: str = ""  # "debian"
    version: str = ""  # "12"
    name: str = ""  # for people


NO_RELEASE = Release()
