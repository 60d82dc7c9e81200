"""Negatives without attacks: real events and layers with some axes exchanged.

Nothing here knows any attack. An axis of a real event is given the value of another event, or one
that was never seen; an axis of a real layer is given the value of another layer, or raised by what
was never seen. What results may be harmless: how often such a thing is harmless is what the model
learns from the real rows beside it.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any, TypeVar

from layerproof.learning.history import History, account_of, repository_of
from layerproof.learning.profile import Profile
from layerproof.model.digest import ChainId
from layerproof.model.learned import Occasion

_COUNTS = (
    "altered", "overrides", "deletions", "privileged", "sensitive", "secrets", "unread",
)  # fmt: skip
_HOW_MANY = (0.5, 0.3, 0.2)  # chance of one, two, three axes
_AMOUNTS = (1, 1, 2, 3, 5, 9, 20)
_Axis = TypeVar("_Axis")


class Swaps:
    """Draws negatives; the same seed and the same history draw the same."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._serial = 0

    def occasion(self, history: History, real: Occasion, others: Sequence[Occasion]) -> Occasion:
        """`real` with one to three axes exchanged."""
        axes: list[Callable[[History, Occasion, Sequence[Occasion]], Occasion]] = [
            self._account,
            self._repository,
            self._country,
            self._hour,
            self._layers,
        ]
        for axis in self._some(axes):
            real = axis(history, real, others)
        return real

    def profile(self, real: Profile, others: Sequence[Profile]) -> Profile:
        """`real` with one to three axes raised or exchanged; its digests are unknown ones."""
        axes: list[Callable[[Profile, Sequence[Profile]], Profile]] = [
            self._counts,
            self._counts,
            self._brought,
            self._brought,
            self._deeds,
            self._foreign,
        ]
        made = real
        for axis in self._some(axes):
            made = axis(made, others)
        return made._replace(chain=self._unseen("chain"), diff=self._unseen("diff"))

    def config(self, real: tuple[int, ...]) -> tuple[int, ...]:
        """Some aspects of how an image runs, never seen."""
        if not real:
            return real
        chosen = set(self._random.sample(range(len(real)), min(1 + self._below(2), len(real))))
        return tuple(self._number() if at in chosen else old for at, old in enumerate(real))

    def chance(self) -> float:
        """0 to 1."""
        return self._random.random()

    # --- axes of an occasion ---

    def _account(self, history: History, real: Occasion, others: Sequence[Occasion]) -> Occasion:
        other = self._other(others)
        swapped = replace(real, account=other.account if other and self._even() else "")
        pushes_here = history.pushers.has(repository_of(real), account_of(swapped))
        if not swapped.account or swapped.account == real.account or pushes_here:
            return replace(real, account=self._unseen("account"))
        return swapped

    def _repository(self, history: History, real: Occasion, others: Sequence[Occasion]) -> Occasion:
        choice, other = self._below(4), self._other(others)
        if choice == 0:
            return replace(real, repository=self._slip(real.repository))
        if choice == 1:
            folder = real.repository.rpartition("/")[0]
            name = self._unseen("repository")
            return replace(real, repository=f"{folder}/{name}" if folder else name)
        if choice == 2 or other is None:
            return replace(real, repository=f"{self._unseen('folder')}/{self._unseen('name')}")
        swapped = replace(real, repository=other.repository)
        if history.pushers.has(repository_of(swapped), account_of(real)):
            return replace(real, repository=self._unseen("repository"))
        return swapped

    def _country(self, history: History, real: Occasion, others: Sequence[Occasion]) -> Occasion:
        if not real.country:
            return real
        other = self._other(others)
        swapped = replace(real, country=other.country if other and self._even() else "")
        known = history.days.count(f"ac\0{account_of(real)}\0{swapped.country}")
        if not swapped.country or swapped.country == real.country or known:
            return replace(real, country=self._unseen("country"))
        return swapped

    def _hour(self, history: History, real: Occasion, others: Sequence[Occasion]) -> Occasion:
        """Later by six to eighteen hours, but not on another day: that would be another age."""
        hour = (real.at.hour + 6 + self._below(13)) % 24
        return replace(real, at=real.at + timedelta(hours=hour - real.at.hour))

    def _layers(self, history: History, real: Occasion, others: Sequence[Occasion]) -> Occasion:
        if not real.chain_ids:
            return real
        other = self._other(others)
        if other is not None and other.chain_ids and self._even():
            return replace(real, chain_ids=other.chain_ids)
        return replace(real, chain_ids=tuple(ChainId(self._unseen("c")) for _ in real.chain_ids))

    # --- axes of a layer ---

    def _counts(self, real: Profile, others: Sequence[Profile]) -> Profile:
        amount = self._random.choice(_AMOUNTS)
        name = self._random.choice(_COUNTS)
        more: dict[str, Any] = {name: getattr(real, name) + amount}
        return real._replace(**more)

    def _brought(self, real: Profile, others: Sequence[Profile]) -> Profile:
        new = tuple(self._number() for _ in range(self._random.choice(_AMOUNTS)))
        match self._below(4):
            case 0:
                return real._replace(programs=(*real.programs, *new))
            case 1:
                return real._replace(applications=(*real.applications, *new))
            case 2:
                return real._replace(scripts=(*real.scripts, *new))
        kinds = [p.partition(":")[0] for p in real.packages] or ["deb"]
        if real.packages and self._even():
            kind, _, name = real.packages[self._below(len(real.packages))].partition(":")
            return real._replace(packages=(*real.packages, f"{kind}:{self._slip(name)}"))
        names = (f"{kinds[0]}:{self._unseen('package')}" for _ in new)
        return real._replace(packages=(*real.packages, *names))

    def _deeds(self, real: Profile, others: Sequence[Profile]) -> Profile:
        """Sorts of changes that were never seen, or those of another layer."""
        if others and self._even():
            other = others[self._below(len(others))]
            return real._replace(deeds=tuple(dict.fromkeys((*real.deeds, *other.deeds))))
        new = tuple(self._number() for _ in range(1 + self._below(3)))
        return real._replace(deeds=(*real.deeds, *new))

    def _foreign(self, real: Profile, others: Sequence[Profile]) -> Profile:
        """Another layer, as if it had been made for this place."""
        return others[self._below(len(others))] if others else self._deeds(real, others)

    # --- drawing ---

    def _some(self, axes: list[_Axis]) -> list[_Axis]:
        count = self._random.choices((1, 2, 3), _HOW_MANY)[0]
        return [axes[at] for at in sorted(self._random.sample(range(len(axes)), count))]

    def _other(self, others: Sequence[Occasion]) -> Occasion | None:
        return others[self._below(len(others))] if others else None

    def _even(self) -> bool:
        return self.chance() < 0.5

    def _below(self, limit: int) -> int:
        return int(self._random.random() * limit)

    def _number(self) -> int:
        return self._random.getrandbits(62)

    def _unseen(self, what: str) -> str:
        self._serial += 1
        return f"\1{what}{self._serial}"  # no name has such a character

    def _slip(self, name: str) -> str:
        """The name with one character replaced, by one that no name has."""
        if not name:
            return self._unseen("name")
        at = self._below(len(name))
        return f"{name[:at]}\1{name[at + 1 :]}"
