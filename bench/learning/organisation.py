"""Track D: an organisation's registry, simulated. Only here are there countries and pullers.

Fitted to Track A: how often repositories are pushed to, how pushes spread over accounts and over
time (each simulated repository replays the times of a real one, shifted), at which hours an account
pushes, and its time zone. Assumed, because no public record tells it:

1. People are the organisation's: of the accounts that pushed once to a real repository, one in four
   is a newcomer here, the others are colleagues from other teams.
2. An account's country follows from its time zone; 1.5 % of its pushes come from another office,
   0.3 % from anywhere (a journey).
3. Two repositories in five are pushed to by a machine most of the time, at any hour.
4. A push is pulled four times on average, within days, by the clusters and people of its team.
"""

import csv
import gzip
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from layerproof.model.digest import Digest
from layerproof.model.event import Event, EventKind
from layerproof.testing.index import MemoryIndex
from learning.cases import NO_ATTACK, Case, Track
from learning.context_attacks import FOREIGN
from learning.metadata import LOG, REGISTRY, read_log
from learning.track_a import Stream, context_track

BEGINS = datetime(2022, 1, 1, tzinfo=UTC)
STARTS = datetime(2024, 9, 1, tzinfo=UTC)
ENDS = datetime(2026, 8, 1, tzinfo=UTC)
REPOSITORIES = 60
PEOPLE = 90
FAMILIES = (
    "stolen-account",
    "new-account",
    "typosquat-repository",
    "odd-hour",
    "dormant-account",
    "foreign-source",
    NO_ATTACK,
)
# The country of an offset from UTC in hours: the biggest one there, by and large.
COUNTRIES = {
    -8: "US", -7: "US", -6: "US", -5: "US", -4: "CA", -3: "BR", 0: "GB", 1: "DE", 2: "FR", 3: "FI",
    5: "IN", 8: "SG", 9: "JP", 10: "AU", 11: "AU",
}  # fmt: skip
JOURNEYS = (*FOREIGN, "ES", "IT", "GR", "TH", "MX", "PT", "HR", "TR", "MA", "EG")
TEAMS = ("shop", "billing", "search", "data", "platform", "mobile")
NOUNS = (
    "gateway", "worker", "frontend", "scheduler", "catalog", "invoices", "ledger", "indexer",
    "crawler", "reports", "metrics", "mailer", "sessions", "profiles", "tokens", "exports",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fitted:
    """What the real log says."""

    pushes: dict[str, list[Event]]  # by repository, those that have enough
    hours: dict[str, Counter[int]]  # by account
    zones: dict[str, int]  # by account: hours from UTC, the most common


def fit(path: Path = LOG) -> Fitted:
    """From the log."""
    pushes: dict[str, list[Event]] = defaultdict(list)
    hours: dict[str, Counter[int]] = defaultdict(Counter)
    for event in read_log(path):
        hours[event.account][event.at.hour] += 1
        if event.at >= BEGINS:
            pushes[event.repository].append(event)
    zones: dict[str, Counter[int]] = defaultdict(Counter)
    with gzip.open(path, "rt", encoding="utf-8", newline="") as text:
        for row in csv.DictReader(text):
            offset = datetime.fromisoformat(row["date"]).utcoffset() or timedelta()
            zones[row["author_id"]][int(offset.total_seconds() // 3600)] += 1
    most = {account: counts.most_common(1)[0][0] for account, counts in zones.items()}
    busy = {name: found for name, found in pushes.items() if 40 <= len(found) <= 250}
    return Fitted(busy, dict(hours), most)


@dataclass(slots=True)
class _Person:
    name: str
    country: str
    hours: Counter[int]


@dataclass(slots=True)
class Organisation:
    """Draws the organisation; the same seed draws the same one."""

    fitted: Fitted
    seed: int
    chance: random.Random = field(init=False)
    people: list[_Person] = field(default_factory=list)
    newcomers: int = 0

    def __post_init__(self) -> None:
        self.chance = random.Random(f"organisation {self.seed}")
        self.people = [self._person(f"user-{number:03}") for number in range(PEOPLE)]

    def _person(self, name: str) -> _Person:
        """With the hours and the zone of a real account that has some."""
        regular = sorted(a for a, hours in self.fitted.hours.items() if hours.total() >= 15)
        like = self.chance.choice(regular)
        country = COUNTRIES.get(self.fitted.zones[like], "DE")
        return _Person(name, country, self.fitted.hours[like])

    def events(self) -> list[Event]:
        """All pushes and pulls, earliest first."""
        names = [f"{team}/{noun}" for team in TEAMS for noun in NOUNS]
        chosen = self.chance.sample(names, REPOSITORIES)
        real = sorted(self.fitted.pushes)
        found: list[Event] = []
        for name in sorted(chosen):
            found += self._repository(name, self.fitted.pushes[self.chance.choice(real)])
        return sorted(found, key=lambda event: (event.at, event.identity))

    def _repository(self, name: str, real: Sequence[Event]) -> list[Event]:
        team = name.partition("/")[0]
        machine = _Person(f"ci-{team}", "IE", Counter(range(24)))
        by_machine = self.chance.random() < 0.4
        pullers = [f"cluster-{team}-{n}" for n in range(self.chance.randint(1, 3))]
        pullers += [person.name for person in self.chance.sample(self.people, 2)]
        cast = self._cast(real)
        shift = timedelta(days=self.chance.uniform(-45, 45))
        found: list[Event] = []
        for event in real:
            person = cast[event.account]
            if by_machine and self.chance.random() < 0.7:
                person = machine
            at = self._hour_of(person, event.at + shift)
            if BEGINS <= at < ENDS:
                push = self._push(name, person, at, len(found))
                found += [push, *self._pulls(push, pullers)]
        return found

    def _cast(self, real: Sequence[Event]) -> dict[str, _Person]:
        """Who plays which account of the real repository."""
        cast: dict[str, _Person] = {}
        free = self.chance.sample(self.people, len(self.people))
        for account, count in Counter(event.account for event in real).most_common():
            if count == 1 and self.chance.random() < 0.25:
                self.newcomers += 1
                cast[account] = self._person(f"user-{PEOPLE + self.newcomers:03}")
            else:
                cast[account] = free[len(cast) % len(free)]
        return cast

    def _hour_of(self, person: _Person, at: datetime) -> datetime:
        hours = sorted(person.hours)
        (hour,) = self.chance.choices(hours, [person.hours[h] for h in hours])
        return at.replace(hour=hour)

    def _push(self, name: str, person: _Person, at: datetime, number: int) -> Event:
        country, chance = person.country, self.chance.random()
        if not person.name.startswith("ci-"):
            if chance < 0.003:
                country = self.chance.choice(JOURNEYS)
            elif chance < 0.018:
                country = self.chance.choice(self.people).country
        identity = f"{name}/{at.isoformat()}/{number}"
        return Event(
            identity=identity,
            kind=EventKind.PUSH,
            at=at,
            registry=REGISTRY,
            repository=name,
            tag="latest",
            manifest_digest=Digest.of(identity.encode()),
            account=person.name,
            address=f"198.51.100.{self.chance.randrange(1, 255)}",
            country=country,
        )

    def _pulls(self, push: Event, pullers: Sequence[str]) -> list[Event]:
        count = min(int(self.chance.expovariate(1 / 4)), 12)
        return [
            replace(
                push,
                identity=f"{push.identity}/pull/{number}",
                kind=EventKind.PULL,
                at=push.at + timedelta(days=self.chance.expovariate(1.0), minutes=1),
                account=self.chance.choice(pullers),
                country="IE" if self.chance.random() < 0.8 else push.country,
                address="192.0.2.10",
            )
            for number in range(count)
        ]


def simulated_stream(seed: int = 0) -> Stream:
    """The organisation's honest events in an index."""
    index = MemoryIndex()
    events = Organisation(fit(), seed).events()
    index.put_events(events)
    return Stream(index, events)


def track_d(stream: Stream, seed: int, per_family: int = 150) -> tuple[Track, list[Case]]:
    """As `track_a`."""
    return context_track("D", stream, STARTS, FAMILIES, seed, per_family, places=True)
