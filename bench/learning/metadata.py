"""Track A's stream: who pushed which official image when, from 2013 on (docker-library).

Source: the history of docker-library/official-images, one row for every library file that a commit
touched; authors are hashed. Its accounts are those who wrote the change, which a maintainer merged:
newcomers are as common as in any open project.
"""

import csv
import gzip
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from layerproof.model.digest import Digest
from layerproof.model.event import Event, EventKind

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
LOG = DATA / "ml-metadata" / "official-images-library-log.csv.gz"
REGISTRY = "registry.example"


def read_log(path: Path = LOG) -> list[Event]:
    """Every push, earliest first. A row without a library (upper-case names are files of the
    project itself) is none."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as text:
        found = list(_events(csv.DictReader(text)))
    return sorted(found, key=lambda event: (event.at, event.identity))


def _events(rows: Iterable[dict[str, str]]) -> Iterator[Event]:
    for row in rows:
        library = row["library"]
        if not library or library != library.lower():
            continue
        identity = f"{row['commit']}/{library}"
        yield Event(
            identity=identity,
            kind=EventKind.PUSH,
            at=datetime.fromisoformat(row["date"]).astimezone(UTC),
            registry=REGISTRY,
            repository=f"library/{library}",
            tag="latest",
            manifest_digest=Digest.of(identity.encode()),
            account=row["author_id"],
        )


def busiest(events: Sequence[Event], since: datetime, count: int) -> list[str]:
    """The repositories with most pushes from `since` on, then by name."""
    pushes: dict[str, int] = {}
    for event in events:
        if event.at >= since:
            pushes[event.repository] = pushes.get(event.repository, 0) + 1
    return sorted(pushes, key=lambda name: (-pushes[name], name))[:count]
