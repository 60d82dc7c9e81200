"""The three tracks, made once and used by every stage."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from layerproof.store.sqlite_index import open_sqlite
from learning import contents, organisation, track_a
from learning.cases import Case, Track
from learning.layers import LayerShop

Attacked = tuple[Track, Sequence[Case]]  # the track, and the attacks known before its start


@dataclass(frozen=True, slots=True)
class Size:
    """How much is done."""

    seeds: tuple[int, ...]
    per_family: dict[str, int]  # attacks of each family and seed, by track
    repositories: int  # of track C
    poisoned: int  # attackers of the poisoning curve
    held_out: dict[str, int]  # seeds that are run with repositories held out, by track


FULL = Size((1, 2, 3, 4, 5), {"A": 200, "C": 12, "D": 150}, 30, 40, {"A": 2, "C": 5, "D": 3})
QUICK = Size((1,), {"A": 60, "C": 8, "D": 40}, 8, 15, {"A": 1, "C": 1, "D": 1})


@dataclass
class Worlds:
    """Tracks by name and seed. `folder`: where layers and the index of track C are kept."""

    folder: Path
    size: Size
    _made: dict[tuple[str, int], Attacked] = field(default_factory=dict)

    @cached_property
    def real(self) -> track_a.Stream:
        """Track A's events."""
        return track_a.real_stream()

    @cached_property
    def simulated(self) -> track_a.Stream:
        """Track D's events."""
        return organisation.simulated_stream()

    @cached_property
    def scenario(self) -> contents.Scenario:
        """Track C's pushes, indexed."""
        place = self.folder / "learning"
        place.mkdir(parents=True, exist_ok=True)
        index = open_sqlite(place / f"track-c-{self.size.repositories}.db")
        found = contents.Scenario(index, LayerShop(self.folder), self.size.repositories)
        found.fill()
        found.shop.close()
        return found

    def track(self, name: str, seed: int) -> Attacked:
        """A track of one seed."""
        makers: dict[str, Callable[[], Attacked]] = {
            "A": lambda: track_a.track_a(self.real, seed, self.size.per_family["A"]),
            "C": lambda: contents.track_c(self.scenario, seed, self.size.per_family["C"]),
            "D": lambda: organisation.track_d(self.simulated, seed, self.size.per_family["D"]),
        }
        if (name, seed) not in self._made:
            self._made[name, seed] = makers[name]()
        return self._made[name, seed]
