"""What a stage found, on disk: stages can be run one by one, and the report is made from all."""

import gzip
import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from layerproof.model.event import Event, EventKind
from learning.cases import Case, Score
from learning.tables import Row, Table


class Results:
    """Below one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def has(self, stage: str) -> bool:
        """Whether the stage was finished."""
        return self._file(stage).exists()

    def write(self, stage: str, document: dict[str, Any]) -> None:
        """All that a stage found."""
        partial = self._file(stage).with_suffix(".partial")
        partial.write_bytes(gzip.compress(json.dumps(document).encode(), mtime=0))
        partial.replace(self._file(stage))

    def read(self, stage: str) -> dict[str, Any]:
        """What `write` was given; empty for a stage that was not run."""
        if not self.has(stage):
            return {}
        found: dict[str, Any] = json.loads(gzip.decompress(self._file(stage).read_bytes()))
        return found

    def all_of(self, beginning: str) -> list[dict[str, Any]]:
        """Of every stage whose name begins so, in the order of their names."""
        names = sorted(file.name for file in self._folder.glob(f"{beginning}*.json.gz"))
        return [self.read(name.removesuffix(".json.gz")) for name in names]

    def _file(self, stage: str) -> Path:
        return self._folder / f"{stage}.json.gz"


def rows_to_json(rows: Sequence[Row]) -> list[list[Any]]:
    """What figures need of rows."""
    return [
        [
            row.case.event.identity,
            row.case.event.at.isoformat(),
            row.case.event.repository,
            row.case.family,
            row.case.twin,
            row.case.note,
            row.fold,
            row.score.trust,
            row.score.abstains,
            row.score.refuses,
            row.score.p_value,
            row.score.smallest_rate,
        ]
        for row in rows
    ]


def table_from_json(rows: Sequence[Sequence[Any]]) -> Table:
    """The rows again."""
    found = []
    for identity, at, repository, family, twin, note, fold, *score in rows:
        event = Event(identity, EventKind.PUSH, datetime.fromisoformat(at), repository=repository)
        found.append(Row(Case(event, family, twin, note), Score(*score), fold))
    return Table(found)
