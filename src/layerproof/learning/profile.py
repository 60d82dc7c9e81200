"""What one layer does and brings, as far as the contents model looks: small, hashable, kept.

1. Every number is a count of facts that analysers found; what text says (history, labels, created,
   names of files that nobody runs) is not looked at.
2. A *deed* is a kind of change and a place: `replaced whiteout etc`, `foreign elf usr/lib`. Deeds
   are compared with deeds seen before; which ones there are is nobody's choice here.
3. What a package upgrade changed and stated itself (`Integrity.verified`) is no override.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from layerproof.learning.tables import number
from layerproof.model.change import Cause, Change, ChangeKind
from layerproof.model.facts import LayerFacts
from layerproof.model.image import Image
from layerproof.model.package import PackageChangeKind
from layerproof.rules.foreign_executable import APPLICATION_PATHS
from layerproof.rules.globs import GlobSet

MAX_DEEDS = 200  # of one layer; further ones count as one more
MAX_BROUGHT = 400  # programs, scripts and packages of one layer, each
_PLACES = GlobSet(APPLICATION_PATHS)
_OVERRIDES = (
    ChangeKind.REPLACED,
    ChangeKind.REDIRECTED,
    ChangeKind.SHADOWED,
    ChangeKind.ATTRIBUTES,
)
_PRIVILEGED = (Cause.SETUID, Cause.CAPABILITY, Cause.DEVICE)
_DATABASES = (b"var/lib/dpkg/", b"lib/apk/", b"usr/lib/apk/", b"var/lib/rpm/", b"var/cache/")
_DIGITS = bytes(48 if 48 <= byte <= 57 else byte for byte in range(256))


class Profile(NamedTuple):
    """See the module. Numbers stand for texts and digests (`tables.number`)."""

    chain: str
    diff: str
    altered: int = 0  # files that differ from what their package says
    overrides: int = 0  # changes of system paths that no package upgrade explains
    deletions: int = 0  # of system paths, likewise
    privileged: int = 0  # setuid, setgid, capabilities, devices
    sensitive: int = 0  # additions where their being there changes how a system behaves
    secrets: int = 0
    unread: int = 0  # what analysers could not use
    programs: tuple[int, ...] = ()  # of no package, outside the places of applications
    applications: tuple[int, ...] = ()  # of no package, in the places of applications
    scripts: tuple[int, ...] = ()  # package scripts that no layer below has
    packages: tuple[str, ...] = ()  # added: "type:name"
    deeds: tuple[int, ...] = ()


def profile_of(layer: LayerFacts) -> Profile | None:
    """None for a layer that is not indexed."""
    changes = layer.changes
    if changes is None:
        return None
    verified = {path for path, _, _ in layer.integrity.verified}
    system = [c for c in changes.changes if c.path not in verified and _is_system(c.path)]
    foreign = layer.integrity.foreign[:10_000]
    outside = [file for file in foreign if _PLACES.match(file.path) is None]
    inside = [file for file in foreign if _PLACES.match(file.path) is not None]
    deeds = dict.fromkeys(_deeds(layer, system))
    kept = tuple(map(number, sorted(deeds)[:MAX_DEEDS]))
    return Profile(
        chain=layer.layer.chain_id,
        diff=layer.layer.diff_id,
        altered=sum(not a.config for a in layer.integrity.altered) + layer.integrity.altered_more,
        overrides=sum(c.kind in _OVERRIDES for c in system),
        deletions=sum(c.kind is ChangeKind.DELETED for c in system),
        privileged=sum(c.cause in _PRIVILEGED and c.path not in verified for c in changes.changes),
        sensitive=sum(c.cause == Cause.SENSITIVE_PATH for c in system),
        secrets=_listed(layer.facts.get("secrets")),
        unread=len(layer.skipped),
        programs=_digests([file.sha256 for file in outside]),
        applications=_digests([file.sha256 for file in inside]),
        scripts=_digests([script.sha256 for script in layer.scripts]),
        packages=_packages(layer),
        deeds=kept,
    )


def config_of(image: Image) -> tuple[int, ...]:
    """What the config says of how the image runs, one number per aspect: entry point, user, names
    of the environment, health check and shell. `Cmd` is what people change all the time."""
    table = image.config.get("config")
    found = table if isinstance(table, Mapping) else {}
    names = sorted({entry.partition("=")[0] for entry in image.environment})
    aspects = {
        "entrypoint": found.get("Entrypoint"),
        "user": found.get("User") or "",
        "environment": names,
        "healthcheck": found.get("Healthcheck"),
        "shell": found.get("Shell"),
    }
    return tuple(number(f"{name}\0{value!r}") for name, value in aspects.items())


def _is_system(path: bytes) -> bool:
    return not path.startswith(_DATABASES) and _PLACES.match(path) is None


def _place(path: bytes) -> str:
    """The first two folders, digits alike; the whole path where it is short."""
    parts = path.translate(_DIGITS).split(b"/")
    return b"/".join(parts[:3] if parts[0] == b"etc" else parts[:2]).decode("utf-8", "replace")


def _deeds(layer: LayerFacts, system: list[Change]) -> Iterator[str]:
    for change in system:
        yield f"{change.kind}\0{change.cause}\0{_place(change.path)}"
    for file in layer.integrity.foreign[:10_000]:
        yield f"foreign\0{file.kind}\0{_place(file.path.rpartition(b'/')[0])}"
    for script in layer.scripts:
        yield f"script\0{script.kind}"
    for moved in layer.package_changes:
        yield f"package\0{moved.package.type}\0{moved.kind}"
    for alteration in layer.integrity.altered[:10_000]:
        yield f"altered\0{alteration.how}\0{_place(alteration.path)}"
    programs = layer.facts.get("programs")
    groups = programs.get("groups") if isinstance(programs, Mapping) else None
    for group in groups if isinstance(groups, list) else ():
        if isinstance(group, Mapping):
            yield f"program\0{group.get('kind')}\0{group.get('interpreter')}"


def _listed(fact: object) -> int:
    """How many things an analyser's fact lists."""
    if not isinstance(fact, Mapping):
        return 0
    return sum(len(value) for value in fact.values() if isinstance(value, list))


def _digests(found: list[bytes]) -> tuple[int, ...]:
    numbers = {int.from_bytes(digest[:8], "big") >> 1 for digest in found}
    return tuple(sorted(numbers)[:MAX_BROUGHT])


def _packages(layer: LayerFacts) -> tuple[str, ...]:
    added = {
        f"{change.package.type}:{change.package.name}"
        for change in layer.package_changes
        if change.kind is PackageChangeKind.ADDED and not change.package.locked
    }
    return tuple(sorted(added)[:MAX_BROUGHT])
