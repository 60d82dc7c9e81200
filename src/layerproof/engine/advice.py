"""What advisories say about an image's packages, gathered for the rules. Decides nothing.

The release that a package is judged in is the one that the layers up to its own say they are. A
layer that says to be another distribution than the layers below, or an older release of it, is not
believed: comparing versions in a release that they were not made for would hide what is vulnerable.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

from layerproof.advisories.match import advise
from layerproof.advisories.order import key
from layerproof.advisories.vex import about
from layerproof.engine.ports import Advisories
from layerproof.model.advisory import (
    NO_RELEASE,
    Advice,
    Release,
)
from layerproof.model.image import Image
from layerproof.model.installed import instances
from layerproof.model.package import PackageChange


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


def gather_advice(
    advisories: Advisories,
    image: Image,
    releases_of: Sequence[Release],
    changes: Sequence[Sequence[PackageChange]],
    first: int = 0,
) -> Advice:
    """About the packages that layers from `first` on introduced. Raises AdvisoryError."""
    every = instances(enumerate(changes))
    owners = {instance.package.name: instance.package for instance in every}
    asked = [(i.package, releases_of[i.introduced]) for i in every if i.introduced >= first]
    packages = advise(asked, owners, advisories)
    named = {name for a in packages.values() for v in a.vulnerabilities for name in v.every_name}
    statements = advisories.statements(named)
    if statements:
        packages = {
            package: replace(
                found,
                vulnerabilities=tuple(
                    replace(v, vex=about(v, image, statements)) for v in found.vulnerabilities
                ),
            )
            for package, found in packages.items()
        }
    return Advice(
        snapshot=advisories.snapshot,
        packages=packages,
        coverage=advisories.coverage(),
        versions=advisories.coverage(versions=True),
        end_of_life=_ends(advisories, set(releases_of)),
    )


def _ends(advisories: Advisories, every: Collection[Release]) -> dict[Release, datetime]:
    """The first moment after the end of life of those releases whose end is known."""
    found = {}
    for release in every:
        cycles = advisories.ends(release.id) if release.id else {}
        parts = release.version.split(".")
        names = [".".join(parts[:count]) for count in range(len(parts), 0, -1)]
        day = next((cycles[name] for name in names if name in cycles), None)
        if day is not None:
            found[release] = datetime.combine(day + timedelta(days=1), time.min, UTC)
    return found
