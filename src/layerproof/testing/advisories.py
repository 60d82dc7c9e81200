"""Advisories in memory: the same answers as the advisory file, from records given by hand."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from hashlib import sha256

from layerproof.advisories.formats import CveRecord, EndOfLifeRecord, NewestRecord
from layerproof.model.advisory import Advisory, Affected, CveFacts
from layerproof.model.vulnerability import Coverage, Level, Newest, VexStatement

Name = tuple[str, str]
Record = Advisory | CveRecord | NewestRecord | EndOfLifeRecord | VexStatement
_NOW = datetime(2026, 5, 4, tzinfo=UTC)


class MemoryAdvisories:
    """`covers` and `versions` name the ecosystems that the records speak for, as of `as_of`."""

    def __init__(
        self,
        records: Iterable[Record] = (),
        *,
        covers: Iterable[str] = (),
        versions: Iterable[str] = (),
        as_of: datetime = _NOW,
    ) -> None:
        self._records = tuple(records)
        self._covers, self._versions = tuple(covers), tuple(versions)
        self._as_of = as_of
        made_from = repr((self._records, self._covers, self._versions, as_of))
        self.snapshot = "sha256:" + sha256(made_from.encode()).hexdigest()

    def affected(self, names: Collection[Name]) -> Mapping[Name, list[tuple[Advisory, Affected]]]:
        """See `advisories.match.Lookup`."""
        found: dict[Name, list[tuple[Advisory, Affected]]] = {}
        for record in self._records:
            if isinstance(record, Advisory) and not record.withdrawn:
                for item in record.affected:
                    if (item.ecosystem, item.name) in names:
                        rows = found.setdefault((item.ecosystem, item.name), [])
                        rows.append((record._replace(affected=()), item))
        return found

    def cves(self, names: Collection[str]) -> Mapping[str, CveFacts]:
        """See `advisories.match.Lookup`."""
        found: dict[str, CveFacts] = {}
        for record in self._records:
            if isinstance(record, CveRecord) and record.cve in names:
                known, new = found.get(record.cve, CveFacts()), record.facts
                found[record.cve] = CveFacts(
                    known.exploited or new.exploited,
                    new.epss if new.epss is not None else known.epss,
                    new.level if known.level is Level.UNKNOWN else known.level,
                    new.score if new.score is not None else known.score,
                )
        return found

    def newest(self, names: Collection[Name]) -> Mapping[Name, Newest]:
        """See `advisories.match.Lookup`."""
        return {
            (record.ecosystem, record.name): Newest(record.version, record.published, self._as_of)
            for record in self._records
            if isinstance(record, NewestRecord) and (record.ecosystem, record.name) in names
        }

    def statements(self, names: Collection[str]) -> Sequence[VexStatement]:
        """See `engine.ports.Advisories`."""
        return [
            record
            for record in self._records
            if isinstance(record, VexStatement)
            and not set(record.vulnerabilities).isdisjoint(names)
        ]

    def coverage(self, *, versions: bool = False) -> Mapping[str, Coverage]:
        """See `engine.ports.Advisories`."""
        names = self._versions if versions else self._covers
        return {name: Coverage(name, "memory", self._as_of) for name in names}

    def ends(self, product: str) -> Mapping[str, date]:
        """See `engine.ports.Advisories`."""
        return {
            record.cycle: record.ends
            for record in self._records
            if isinstance(record, EndOfLifeRecord) and record.product == product
        }

    def close(self) -> None:
        """Nothing to free."""


# Every ecosystem that the images of tests and demonstrations have packages of
ECOSYSTEMS = (
    *(f"Debian:{number}" for number in range(7, 16)),
    *(f"Alpine:v3.{number}" for number in range(2, 30)),
    "Alpine:edge",
    *(f"AlmaLinux:{number}" for number in (8, 9, 10)),
    "PyPI",
    "npm",
    "Go",
    "Maven",
    "RubyGems",
    "crates.io",
    "Packagist",
    "NuGet",
)


def nothing_known(as_of: datetime = _NOW) -> MemoryAdvisories:
    """Advisories that speak for every ecosystem and know no vulnerability."""
    return MemoryAdvisories(covers=ECOSYSTEMS, as_of=as_of)
