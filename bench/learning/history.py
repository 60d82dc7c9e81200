"""What a stream has said so far, for baselines and for attackers who study their target.

It is walked forward: `before(event)` is asked first, `add(event)` afterwards.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from layerproof.model.digest import ChainId, Digest
from layerproof.model.event import Event, EventKind

T = TypeVar("T")


@dataclass(slots=True)
class History:
    """Counts over pushes and pulls; all of them, confirmed or not. `images`: the layers of images
    by manifest, lowest first; empty for a stream without contents."""

    images: Mapping[Digest, tuple[ChainId, ...]] = field(default_factory=dict)
    pushes: int = 0
    by_repository: Counter[str] = field(default_factory=Counter)
    by_account: Counter[str] = field(default_factory=Counter)
    by_pair: Counter[tuple[str, str]] = field(default_factory=Counter)
    by_country: Counter[tuple[str, str]] = field(default_factory=Counter)  # account, country
    countries: Counter[str] = field(default_factory=Counter)
    hours: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    last_of_pair: dict[tuple[str, str], datetime] = field(default_factory=dict)
    last_of_account: dict[str, datetime] = field(default_factory=dict)
    last_account: dict[str, str] = field(default_factory=dict)  # by repository
    pullers: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    repositories_of: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    accounts_of: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    chains: set[ChainId] = field(default_factory=set)
    base_of: dict[str, ChainId] = field(default_factory=dict)  # of the last push, by repository

    def layers(self, event: Event) -> tuple[ChainId, ...]:
        """Of the event's image, lowest first; empty if it is not known."""
        digest = event.manifest_digest
        return self.images.get(digest, ()) if digest is not None else ()

    def add(self, event: Event) -> None:
        """One more event."""
        if event.kind is EventKind.PULL:
            self.pullers[event.repository].add(event.account)
        if event.kind is not EventKind.PUSH:
            return
        repository, account = event.repository, event.account
        self.pushes += 1
        self.by_repository[repository] += 1
        self.by_account[account] += 1
        self.by_pair[repository, account] += 1
        self.by_country[account, event.country] += 1
        self.countries[event.country] += 1
        self.hours[account][event.at.hour] += 1
        self.last_of_pair[repository, account] = event.at
        self.last_of_account[account] = event.at
        self.last_account[repository] = account
        self.repositories_of[account].add(repository)
        self.accounts_of[repository].add(account)
        if layers := self.layers(event):
            self.chains.update(layers)
            self.base_of[repository] = layers[0]

    def near_hour(self, account: str, hour: int) -> int:
        """Pushes of the account within an hour of `hour`, around the clock."""
        seen = self.hours.get(account, Counter())
        return sum(seen[(hour + step) % 24] for step in (-1, 0, 1))


def walk(
    events: Sequence[Event], asked: Sequence[tuple[Event, T]], history: History | None = None
) -> Iterator[tuple[History, Event, T]]:
    """For each asked event, in order of time, the history strictly before it. The same object is
    yielded every time; an event of the stream with the time of an asked one is not yet in it."""
    history = history if history is not None else History()
    position = 0
    for event, value in asked:
        while position < len(events) and events[position].at < event.at:
            history.add(events[position])
            position += 1
        yield history, event, value
