"""What notifications missed: repositories are asked what they hold, again and again.

A notification can be lost: a registry forgets its queue when it restarts, and people restore
backups. So the operator names repositories by globs, and each time their newest tags are looked at.
A tag whose digest was not seen there before is a sighting: nobody knows who pushed it.

Registries tell nothing about the age of a tag. Newest are tags without a number (`latest`, `main`),
then those whose numbers are highest, as people read them: 1.10 is newer than 1.9.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from layerproof.engine.intake import Accepted, Intake
from layerproof.engine.queue import CancelledError
from layerproof.errors import SourceError
from layerproof.model.digest import Digest
from layerproof.model.event import Event, EventKind
from layerproof.rules.globs import GlobSet

_ROOT = "x"  # globs are of paths: below a folder, no name is taken for one of the merged /usr
_NUMBERS = re.compile(r"\d{1,18}")


class Catalog(Protocol):
    """What a registry says that it holds. Raises SourceError. Nothing of it is believed: digests
    are checked when an image is fetched."""

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
    """What one look brought. `failed`: repository or tag → why."""

    repositories: int
    tags: int
    accepted: Accepted
    failed: tuple[tuple[str, str], ...]


def look(
    catalog: Catalog,
    polled: Polled,
    intake: Intake,
    now: datetime,
    cancelled: Callable[[], bool] = lambda: False,
) -> Looked:
    """Look at every repository once. What cannot be read is told, and hinders nothing else; raises
    SourceError if not even the list of repositories can be read."""
    repositories = list(_repositories(catalog, polled))
    tags = new = jobs = 0
    failed: list[tuple[str, str]] = []
    for repository in repositories:
        if cancelled():
            raise CancelledError("the look at the registry was cancelled", where=polled.host)
        events, broken = _sightings(catalog, polled, repository, now)
        failed += broken
        tags += len(events)
        accepted = intake.accept(events)
        new, jobs = new + accepted.events, jobs + accepted.jobs
    return Looked(len(repositories), tags, Accepted(new, jobs), tuple(failed))


def newest(tags: Sequence[str], count: int) -> list[str]:
    """The newest so many tags, by what their names say."""
    return sorted(tags, key=_age)[:count]


def _age(tag: str) -> tuple[object, ...]:
    """Smaller is newer."""
    numbers = [-int(number) for number in _NUMBERS.findall(tag)]
    # 1.2 is newer than 1.2-rc1, and has fewer numbers: the end of a list is older than any number
    return (bool(numbers), [*numbers, 1], tag)


def _repositories(catalog: Catalog, polled: Polled) -> Iterator[str]:
    globs = [name for name in polled.repositories if "*" in name or "?" in name]
    yield from (name for name in polled.repositories if name not in globs)
    if globs:
        wanted = GlobSet(f"/{_ROOT}/{name}" for name in globs)
        plain = set(polled.repositories)
        for name in catalog.repositories():
            if name not in plain and wanted.match(f"{_ROOT}/{name}".encode()) is not None:
                yield name


def _sightings(
    catalog: Catalog, polled: Polled, repository: str, now: datetime
) -> tuple[list[Event], list[tuple[str, str]]]:
    try:
        tags = catalog.tags(repository)
    except SourceError as error:
        return [], [(repository, error.message)]
    events, failed = [], []
    for tag in newest(tags, polled.newest_tags):
        try:
            digest = catalog.digest_of(repository, tag)
        except SourceError as error:
            failed.append((f"{repository}:{tag}", error.message))
            continue
        if digest is not None:
            events.append(_sighting(polled.host, repository, tag, digest, now))
    return events, failed


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
