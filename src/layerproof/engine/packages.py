"""An image's packages, each with the layer that introduced it, and what advisories say of them."""

from collections.abc import Mapping
from dataclasses import dataclass

from layerproof.engine.advice import gather_advice
from layerproof.engine.ports import Advisories, Index
from layerproof.engine.releases import releases
from layerproof.errors import ImageNotFoundError
from layerproof.model.image import Image
from layerproof.model.installed import Instance, instances
from layerproof.model.package import PackageChange
from layerproof.model.release import Release
from layerproof.model.vulnerability import LEVELS, Advice, Coverage, Level, Vulnerability


@dataclass(frozen=True, slots=True)
class Inventory:
    """What is installed at the top. `packages` are sorted by type, name and version. One that a
    lock file names is there only if it is not installed in that version."""

    image: Image
    packages: tuple[Instance, ...]
    release: Release


@dataclass(frozen=True, slots=True)
class Listed:
    """One vulnerability of one installed package, and the layer that brought it."""

    vulnerability: Vulnerability
    instance: Instance


@dataclass(frozen=True, slots=True)
class Listing:
    """Vulnerabilities, worst first; and what could not be told."""

    inventory: Inventory
    snapshot: str
    found: tuple[Listed, ...]
    uncovered: Mapping[str, int]  # ecosystem ("" if unknown) → packages that were not looked up
    oldest: Coverage | None  # of the feeds that were asked


def inventory(index: Index, image: Image) -> Inventory:
    """Raises ImageNotFoundError for an image that is not wholly indexed."""
    changes, every = _changes(index, image)
    there = [instance for instance in instances(enumerate(changes)) if instance.gone is None]
    installed = {_named(instance) for instance in there if not instance.package.locked}
    found = [i for i in there if not i.package.locked or _named(i) not in installed]
    found.sort(key=lambda i: (i.package.type, i.package.name, i.package.version, i.package.path))
    return Inventory(image, tuple(found), every[-1] if every else Release())


def _named(instance: Instance) -> tuple[str, str, str]:
    return instance.package.type, instance.package.name, instance.package.version


def look_up(
    index: Index, image: Image, advisories: Advisories, level: str, *, only_fixed: bool
) -> Listing:
    """What advisories say about the installed packages, from a level on. Raises AdvisoryError,
    ImageNotFoundError."""
    changes, every = _changes(index, image)
    installed = inventory(index, image)
    advice = gather_advice(advisories, image, every, changes)
    least = LEVELS.index(Level(level))
    found = [
        Listed(vulnerability, instance)
        for instance in installed.packages
        for vulnerability in advice.packages[instance.package].vulnerabilities
        if vulnerability.level is Level.UNKNOWN or LEVELS.index(vulnerability.level) >= least
        if vulnerability.fixed or not only_fixed
    ]
    found.sort(key=_worst_first)
    return Listing(
        inventory=installed,
        snapshot=advisories.snapshot,
        found=tuple(found),
        uncovered=_uncovered(installed, advice),
        oldest=_oldest(installed, advice),
    )


def _worst_first(item: Listed) -> tuple[object, ...]:
    v = item.vulnerability
    return (
        v.excused,
        not v.exploited,
        -LEVELS.index(v.level),
        v.id,
        item.instance.package.name,
        item.instance.package.path,
    )


def _changes(index: Index, image: Image) -> tuple[list[tuple[PackageChange, ...]], list[Release]]:
    chains = index.chains([layer.chain_id for layer in image.layers])
    facts = index.layer_facts({layer.diff_id for layer in image.layers})
    changes = []
    for layer, chain in zip(image.layers, chains, strict=True):
        if chain is None:
            raise ImageNotFoundError(
                f"layer {layer.position} is not indexed",
                where=image.reference,
                remedy=f"layerproof index {image.reference}",
            )
        changes.append(chain.package_changes)
    return changes, releases(facts.get(layer.diff_id) for layer in image.layers)


def _uncovered(installed: Inventory, advice: Advice) -> dict[str, int]:
    found: dict[str, int] = {}
    for instance in installed.packages:
        ecosystem = advice.packages[instance.package].ecosystem
        if ecosystem is None or ecosystem not in advice.coverage:
            found[ecosystem or ""] = found.get(ecosystem or "", 0) + 1
    return dict(sorted(found.items()))


def _oldest(installed: Inventory, advice: Advice) -> Coverage | None:
    asked = {advice.packages[instance.package].ecosystem for instance in installed.packages}
    covered = [
        advice.coverage[name] for name in asked if name is not None and name in advice.coverage
    ]
    return min(covered, key=lambda c: (c.as_of, c.ecosystem), default=None)
