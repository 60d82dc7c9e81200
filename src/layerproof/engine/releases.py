"""The distribution's release that each layer of an image is of.

It is the one that the layers up to it say they are. A layer that says to be another distribution
than the layers below, or an older release of it, is not believed: comparing versions in a release
that they were not made for would hide what is vulnerable.
"""

from collections.abc import Iterable, Mapping

from layerproof.advisories.order import key
from layerproof.model.release import NO_RELEASE, Release


def releases(facts: Iterable[Mapping[str, object] | None]) -> list[Release]:
    """Per layer, lowest first, the release as of it."""
    found: list[Release] = []
    current = NO_RELEASE
    for layer in facts:
        current = _next(current, _stated((layer or {}).get("os-release")))
        found.append(current)
    return found


def _stated(fact: object) -> Release:
    if not isinstance(fact, dict):
        return NO_RELEASE
    fields = fact.get("fields")
    fields = fields if isinstance(fields, dict) else {}
    system, version = fields.get("ID"), fields.get("VERSION_ID")
    if not isinstance(system, str):
        return NO_RELEASE
    if not isinstance(version, str):
        version = fact.get("alpineRelease") if system == "alpine" else ""
    return Release(
        system, version if isinstance(version, str) else "", f"{system} {version}".strip()
    )


def _next(below: Release, stated: Release) -> Release:
    if not stated.id:
        return below
    if not below.name:
        return stated
    newer = key("semver", stated.version) >= key("semver", below.version)
    if below.id == stated.id and newer:
        return stated
    return Release("", "", f"{stated.name} on top of {below.name}")
