"""Version order, one module per scheme.

Every module has `key(version) -> tuple`: a version's place in its scheme's order. Keys of one
scheme compare with each other, and equal versions have equal keys; so every order is total,
whatever the text, and agrees with `hash`. No key raises: a text that is no version of its scheme
has a place as well. Numbers are never parsed, because they may have any number of digits.
"""

from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from typing import Any

Key = tuple[Any, ...]

_SHORT = 100  # characters of a version whose key is kept

# Which scheme orders the versions of a purl type
SCHEMES: Mapping[str, str] = {
    "deb": "dpkg",
    "apk": "apk",
    "rpm": "rpm",
    "pypi": "pep440",
    "npm": "semver",
    "golang": "semver",
    "cargo": "semver",
    "maven": "maven",
    "gem": "gem",
    "composer": "composer",
    "nuget": "nuget",
}


def key(scheme: str, version: str) -> Key:
    """The place of `version` in the order of `scheme`, one of the values of `SCHEMES`."""
    # a hostile image may have a hundred thousand versions of four thousand characters
    return _kept(scheme, version) if len(version) <= _SHORT else _scheme(scheme)(version)


@lru_cache(maxsize=65_536)
def _kept(scheme: str, version: str) -> Key:
    return _scheme(scheme)(version)


@cache
def _scheme(name: str) -> Callable[[str], Key]:
    # late: an image has packages of two or three kinds, and start-up time counts
    match name:
        case "apk":
            from layerproof.advisories.order.apk import key as found
        case "composer":
            from layerproof.advisories.order.composer import key as found
        case "dpkg":
            from layerproof.advisories.order.dpkg import key as found
        case "gem":
            from layerproof.advisories.order.gem import key as found
        case "maven":
            from layerproof.advisories.order.maven import key as found
        case "nuget":
            from layerproof.advisories.order.nuget import key as found
        case "pep440":
            from layerproof.advisories.order.pep440 import key as found
        case "rpm":
            from layerproof.advisories.order.rpm import key as found
        case _:
            from layerproof.advisories.order.semver import key as found
    return found


def number(digits: str) -> tuple[int, str]:
    """The order of a run of ASCII digits as a number."""
    plain = digits.lstrip("0")
    return len(plain), plain


def compare(scheme: str, one: str, other: str) -> int:
    """Below, equal to or above 0, as `one` is older than, equal to or newer than `other`."""
    first, second = key(scheme, one), key(scheme, other)
    return (first > second) - (first < second)
