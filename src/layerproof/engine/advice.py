"""What advisories say about an image's packages, gathered for the rules. Decides nothing."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

from layerproof.advisories.match import advise
from layerproof.advisories.vex import about
from layerproof.engine.ports import Advisories
from layerproof.model.image import Image
from layerproof.model.installed import instances
from layerproof.model.package import PackageChange
from layerproof.model.release import Release
from layerproof.model.vulnerability import Advice


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
