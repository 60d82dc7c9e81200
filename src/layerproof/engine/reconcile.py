"""What notifications missed: repositories are asked what they hold, again and again.

A notification can be lost: a registry forgets its queue when it restarts, and people restore
backups. So the operator names repositories by globs, and each time their newest tags are looked at.
A tag whose digest was not seen there before is a sighting: nobody knows who pushed it.

Registries tell nothing about the age of a tag. Newest are tags without a number (`latest`, `main`),
then those whose numbers are highest, as people read them: 1.10 is newer than 1.9.

What a registry lists is hostile: what is no name is told and passed over, and nothing that one
repository holds keeps the others from being looked at.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from layerproof.engine.intake import Accepted, Intake
from layerproof.engine.queue import CancelledError
from layerproof.errors import LayerproofError
from layerproof.model.digest import Digest
from layerproof.model.event import Event, EventKind
from layerproof.model.reference import is_repository, is_tag
from layerproof.rules.globs import GlobSet

MOST_TOLD = 100  # failures of one look that are told; all are counted
_NUMBERS = re.compile(r"\d{1,18}")
_EARLY = re.compile(r"(?<=\d)[-._]?(?:rc|alpha|beta|a|b|dev|pre|snapshot)(?![a-z])", re.IGNORECASE)


class Catalog(Protocol):
    """What a registry says that it holds. Raises LayerproofError. Nothing of it is believed: names
    may be no names, and digests are checked when an image is fetched."""

    def repositories(self) -> Iterator[str]:
        """All that this account may list."""

    def tags(self, repository: str) -> list[str]:
        """All of them, in no order."""

    def digest_of(self, repository: str, tag: str) -> Digest | None:
        """What the tag names now; None if the registry does not say."""


@dataclass(frozen=True, slots=True)
class Polled:
    """Which repositories of a registry to look at, and how."""

    host: str
    repositories: tuple[str, ...]  # names, or globs as policies have them
    newest_tags: int = 20


@dataclass(frozen=True, slots=True)
class Looked:
    """What one look brought. `failed`: repository or tag → why, the first MOST_TOLD of them."""

    repositories: int
    tags: int
    accepted: Accepted
    failed: tuple[tuple[str, str], ...]
    failures: int


@dataclass(slots=True)
class _Failures:
    told: list[tuple[str, str]] = field(default_factory=list)
    count: int = 0

    def add(self, where: str, why: str) -> None:
        self.count += 1
        if len(self.told) < MOST_TOLD:
            self.told.append((where, why))

    def add_name(self, name: str, what: str) -> None:
        self.add(ascii(name[:100]), f"what the registry lists is no {what}")


def look(
    catalog: Catalog,
    polled: Polled,
    intake: Intake,
    now: datetime,
    cancelled: Callable[[], bool] = lambda: False,
) -> Looked:
    """Look at every repository once. What cannot be read is told, and hinders nothing else. Raises
    LayerproofError if no repository is known because their list cannot be read."""
    failures = _Failures()
    repositories = _repositories(catalog, polled, failures)
    tags = new = jobs = 0
    for repository in repositories:
        if cancelled():
            raise CancelledError("the look at the registry was cancelled", where=polled.host)
        events = _sightings(catalog, polled, repository, now, failures)
        tags += len(events)
        accepted = intake.accept(events)
        new, jobs = new + accepted.events, jobs + accepted.jobs
    return Looked(
        len(repositories), tags, Accepted(new, jobs), tuple(failures.told), failures.count
    )


def newest(tags: Sequence[str], count: int) -> list[str]:
    """The newest so many tags, by what their names say."""
    return sorted(tags, key=_age)[:count]


def _age(tag: str) -> tuple[object, ...]:
    """Smaller is newer."""
    final, *early = _EARLY.split(tag, maxsplit=1)
    numbers = [-int(number) for number in _NUMBERS.findall(final)]
    # Where one list of numbers ends, the other goes on: 1.2.1 is newer than 1.2, that than 1.2-rc1.
    ending = [2, *(-int(number) for number in _NUMBERS.findall(early[0])), 1] if early else [1]
    return (bool(numbers), [*numbers, *ending], tag)


def _repositories(catalog: Catalog, polled: Polled, failures: _Failures) -> list[str]:
    globs = [name for name in polled.repositories if "*" in name or "?" in name]
    found = dict.fromkeys(name for name in polled.repositories if name not in globs)
    if not globs:
        return list(found)
    wanted = GlobSet(f"/{polled.host}/{glob}" for glob in globs)  # as patterns of images are
    try:
        for name in catalog.repositories():
            if not is_repository(name):
                failures.add_name(name, "repository's name")
            elif wanted.match(f"{polled.host}/{name}".encode()) is not None:
                found[name] = None
    except LayerproofError as error:
        if not found:
            raise
        failures.add(polled.host, error.message)
    return list(found)


def _sightings(
    catalog: Catalog, polled: Polled, repository: str, now: datetime, failures: _Failures
) -> list[Event]:
    tags = []
    try:
        for tag in catalog.tags(repository):
            if is_tag(tag):
                tags.append(tag)
            else:
                failures.add_name(tag, "tag")
    except LayerproofError as error:
        failures.add(repository, error.message)
        return []
    events = []
    for tag in newest(tags, polled.newest_tags):
        try:
            digest = catalog.digest_of(repository, tag)
        except LayerproofError as error:
            failures.add(f"{repository}:{tag}", error.message)
            continue
        if digest is not None:
            events.append(_sighting(polled.host, repository, tag, digest, now))
    return events


def _sighting(host: str, repository: str, tag: str, digest: Digest, now: datetime) -> Event:
    return Event(
        # the same until the tag names something else: seen once, told once
        identity=f"{host} sighting {repository}:{tag}@{digest}",
        kind=EventKind.SIGHTING,
        at=now,
        registry=host,
        repository=repository,
        tag=tag,
        manifest_digest=digest,
    )
