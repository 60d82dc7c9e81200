"""Whole repositories held out: nothing that was pushed to them before the start is known.

It is a harder test than a product meets: a tenth of all repositories is new on one day.
"""

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any, cast

from layerproof.engine.ports import Index
from layerproof.model.event import Event
from learning.cases import Track

SHARE = 0.1  # of the repositories


class WithoutPast:
    """An index without the events of some repositories before a time. All else is as it was."""

    def __init__(self, index: Index, repositories: frozenset[str], until: datetime) -> None:
        self._index = index
        self._repositories = repositories
        self._until = until

    def events(self) -> Iterator[Event]:
        """See `Index.events`."""
        return (event for event in self._index.events() if self.keeps(event))

    def keeps(self, event: Event) -> bool:
        """Whether the event is known."""
        return event.at >= self._until or event.repository not in self._repositories

    def __getattr__(self, name: str) -> Any:
        return getattr(self._index, name)


def held_out(track: Track) -> tuple[Track, frozenset[str]]:
    """The track without the past of a tenth of its repositories, and which these are. Its cases are
    those of these repositories."""
    before = {event.repository for event in track.events if event.at < track.starts}
    after = {case.event.repository for case in track.cases if not case.attack}
    both = sorted(before & after)
    held = frozenset(random.Random("held out").sample(both, max(1, round(SHARE * len(both)))))
    index = WithoutPast(track.index, held, track.starts)
    events = [event for event in track.events if index.keeps(event)]
    cases = [case for case in track.cases if case.event.repository in held]
    return replace(track, index=cast(Index, index), events=events, cases=cases), held
