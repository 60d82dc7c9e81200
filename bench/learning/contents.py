"""Track C (and B): real and inert layers on the real stream, in an index made by the real indexer.

1. Who pushes where and when is Track A's: the busiest repositories of moderate size from 2022 on.
   What they push is a recipe (Track B) with an application on it that changes from push to push.
2. The platform team pushes the bases, and an operator trusts these. In 2024 it pushes the next
   release of the Debian base; repositories change to it over the following 18 months. One push in
   twenty is confirmed by an operator two days later.
3. An attack on contents is an honest push, its twin, made again with one technique in it; account,
   repository and hour are the twin's. An attack on the context pushes an ordinary next version.
"""

import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import IO

from layerproof.analysis.registry import dispatch
from layerproof.cli.progress import Silent
from layerproof.engine.indexer import Indexer
from layerproof.engine.ports import Index
from layerproof.engine.trust import add_trust
from layerproof.model.event import Event, EventKind
from layerproof.model.image import Image
from layerproof.native import digests
from layerproof.oci.limits import Limits
from layerproof.testing.images import File
from layerproof.workers import Inline
from learning import content_attacks, context_attacks
from learning.applications import Application, Build
from learning.cases import BENIGN, FAMILIES, NO_ATTACK, Axis, Case, Track
from learning.content_attacks import Kit
from learning.layers import RECIPES, LayerShop, Recipe, upgraded
from learning.metadata import REGISTRY, read_log
from learning.prepared import Picture, PictureSource, Prepared

BEGINS = datetime(2022, 1, 1, tzinfo=UTC)
STARTS = datetime(2024, 9, 1, tzinfo=UTC)
NEXT_BASE = datetime(2024, 2, 1, tzinfo=UTC)
CHANGE_DAYS = 540  # within which repositories change to the next base
CONFIRMED = 20  # one push in so many
FEWEST, MOST = 50, 200  # pushes of a chosen repository
CONTEXT_FAMILIES = (
    "stolen-account",
    "new-account",
    "typosquat-repository",
    "odd-hour",
    "dormant-account",
)
CONTENT_FAMILIES = tuple(f.name for f in FAMILIES if f.axis is Axis.CONTENTS)


@dataclass(frozen=True, slots=True)
class _At:
    """A clock that stands."""

    moment: datetime

    def now(self) -> datetime:
        """See `Clock`."""
        return self.moment

    def monotonic(self) -> float:
        """See `Clock`."""
        return 0.0


@dataclass(slots=True)
class Scenario:
    """All honest pushes with their builds; the index is filled as it goes."""

    index: Index
    shop: LayerShop
    repositories: int = 40
    recipes: Sequence[Recipe] = RECIPES
    say: IO[str] = sys.stderr
    events: list[Event] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)  # by identity of an event
    builds: dict[str, Build] = field(default_factory=dict)
    confirmed: dict[str, datetime] = field(default_factory=dict)  # by identity

    def fill(self) -> None:
        """Make and index the honest pushes. Layers and images that are there are not read again."""
        pushes = self._stream()
        for event, build in self._bases():
            self._take(event, build)
        apps: dict[str, Application] = {}
        for number, event in enumerate(pushes):
            app = apps.setdefault(event.repository, self._application(event.repository))
            app.lower = self.shop.layers(self._recipe(event.repository, event.at))
            self._take(event, app.push())
            if number % 500 == 0:
                self.say.write(f"  track C: {number} of {len(pushes)} pushes\n")
        self.events.sort(key=lambda event: (event.at, event.identity))
        self.index.put_events(self.events)

    def _stream(self) -> list[Event]:
        """Track A's pushes into the chosen repositories."""
        later = [event for event in read_log() if event.at >= BEGINS]
        pushes: dict[str, int] = {}
        for event in later:
            pushes[event.repository] = pushes.get(event.repository, 0) + 1
        fitting = sorted(n for n, count in pushes.items() if FEWEST <= count <= MOST)
        chosen = sorted(random.Random("repositories").sample(fitting, self.repositories))
        for number, name in enumerate(chosen):
            self._recipes[name] = self.recipes[number % len(self.recipes)]
        return [event for event in later if event.repository in self._recipes]

    _recipes: dict[str, Recipe] = field(default_factory=dict)

    def _recipe(self, repository: str, at: datetime) -> Recipe:
        recipe = self._recipes[repository]
        days = random.Random(f"base {repository}").randrange(CHANGE_DAYS)
        return upgraded(recipe) if at >= NEXT_BASE + timedelta(days=days) else recipe

    def _application(self, repository: str) -> Application:
        recipe = self._recipes[repository]
        return Application(
            repository, recipe, self.shop.layers(recipe), random.Random(f"app {repository}")
        )

    def _bases(self) -> Iterator[tuple[Event, Build]]:
        """The platform team's pushes."""
        seen: set[str] = set()
        for recipe in self.recipes:
            for version, at in ((recipe, BEGINS), (upgraded(recipe), NEXT_BASE)):
                height = 1 if version.alpine else len(version.steps) - len(recipe.steps) + 1
                lower = self.shop.layers(version)[:height]
                if lower[-1].diff_id in seen:
                    continue
                seen.add(lower[-1].diff_id)
                name = f"base/{'alpine' if version.alpine else 'debian'}"
                event = Event(
                    identity=f"{name}/{lower[-1].diff_id}",
                    kind=EventKind.PUSH,
                    at=at - timedelta(days=30 if at == BEGINS else 1, minutes=len(seen)),
                    registry=REGISTRY,
                    repository=name,
                    tag=version.alpine or f"{len(seen)}",
                    account="platform",
                )
                yield event, Build("", lower, {}, {})

    def _take(self, event: Event, build: Build) -> None:
        image = self.put(event, build)
        event = replace(event, manifest_digest=image.manifest_digest)
        self.events.append(event)
        self.builds[event.identity] = build
        self.notes[event.identity] = build.note
        is_base = event.repository.startswith("base/")
        if is_base or random.Random(f"confirm {event.identity}").random() < 1 / CONFIRMED:
            at = event.at + timedelta(days=0 if is_base else 2)
            self.confirmed[event.identity] = at
            add_trust(self.index, image, by="operator", reason="reviewed", now=at)

    def put(self, event: Event, build: Build) -> Image:
        """Index the build as pushed by the event."""
        layers = build.lower
        if build.tree:
            layers = (*layers, Prepared.of_tree(build.tree, "COPY . / # buildkit"))
        picture = Picture(
            layers,
            f"docker://{event.registry}/{event.repository}:{event.tag}",
            event.at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            build.run,
        )
        known = self.index.image_by_manifest(picture.digest)
        if known is not None:
            return known.image
        indexer = Indexer(
            self.index, Inline(), _At(event.at), dispatch(), Limits(), digests(native=True)
        )
        return indexer.run(PictureSource(picture, Limits()), Silent()).image


def foreign_bases(scenario: Scenario) -> Kit:
    """Bases that the organisation never used: an old Alpine, and honest ones with one file more."""
    shop = scenario.shop
    honest = list({layer.diff_id: layer for layer in map(shop.base, scenario.recipes)}.values())
    marked = [Prepared.of(_one_more(base.tar, n), base.created_by) for n, base in enumerate(honest)]
    (old,) = shop.layers(Recipe("old", "shell", alpine="3.10.3"))
    return Kit((old, *marked))


def _one_more(tar: bytes, number: int) -> bytes:
    """The tar with a file that nobody looks at."""
    extra = Prepared.of_tree({f"usr/share/misc/build-{number}": File(b"1\n")}, "").tar
    return extra[:-1024] + tar


def attack_builds(
    scenario: Scenario, twins: Sequence[Event], family: str, count: int, seed: int
) -> list[Case]:
    """Up to `count` attacks of one content family, indexed."""
    chance = random.Random(f"contents {family} {seed}")
    kit = foreign_bases(scenario)
    found: list[Case] = []
    for twin in chance.sample(list(twins), len(twins)):
        build = content_attacks.ATTACKS[family](scenario.builds[twin.identity], kit, chance)
        if build is not None:
            found.append(_case(scenario, twin, build, family, seed))
        if len(found) == count:
            break
    return found


def _case(scenario: Scenario, twin: Event, build: Build, family: str, seed: int) -> Case:
    identity = f"{family}/{seed}/{twin.identity}"
    image = scenario.put(twin, build)
    event = replace(twin, identity=identity, manifest_digest=image.manifest_digest)
    return Case(event, family, twin.identity)


def context_cases(scenario: Scenario, twins: Sequence[Event], count: int, seed: int) -> list[Case]:
    """Attacks on the context, each with an ordinary next version of the twin's application."""
    made = context_attacks.inject(scenario.events, twins, CONTEXT_FAMILIES, count, seed)
    chance = random.Random(f"versions {seed}")
    found = []
    for case in made:
        build = scenario.builds[case.twin]
        again = content_attacks.no_attack(build, Kit(()), chance)
        image = scenario.put(case.event, again)
        found.append(
            replace(case, event=replace(case.event, manifest_digest=image.manifest_digest))
        )
    return found


def track_c(scenario: Scenario, seed: int, per_family: int = 20) -> tuple[Track, list[Case]]:
    """The track of one seed, and attacks from before its start."""
    pushes = [e for e in scenario.events if not e.repository.startswith("base/")]
    later = [event for event in pushes if event.at >= STARTS]
    earlier = [event for event in pushes[300:] if event.at < STARTS]
    attacks: list[Case] = []
    known: list[Case] = []
    for family in (*CONTENT_FAMILIES, NO_ATTACK):
        attacks += attack_builds(scenario, later, family, per_family, seed)
        if family != NO_ATTACK:
            # one set for all seeds: these only serve those that learn from attacks
            known += attack_builds(scenario, earlier, family, per_family, 0)
    attacks += context_cases(scenario, later, per_family, seed)
    known += context_cases(scenario, earlier, per_family, 0)
    honest = [Case(event, BENIGN, note=scenario.notes[event.identity]) for event in later]
    cases = sorted([*honest, *attacks], key=lambda case: (case.event.at, case.event.identity))
    track = Track("C", scenario.index, scenario.events, cases, STARTS, has_contents=True)
    return track, sorted(known, key=lambda case: (case.event.at, case.event.identity))
