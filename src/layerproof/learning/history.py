"""What is remembered of events: the state from which features are made. Streaming and causal.

1. An event counts once it is confirmed, or is older than the days of maturity and undisputed. Until
   then it is pending, and raises nothing.
2. Time only moves forward: `advance` lets ripe events count, in the order in which they ripen.
3. A disputed event never counts. If it did already, what it brought is taken back where that is
   known: the pusher's standing in that repository, the layers of the image, its contents.
4. Of each principal a day counts once, whatever happens on it (`tables.Days`).
5. Names are keys and nothing else.
"""

import heapq
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from layerproof.learning.names import Neighbours, shape
from layerproof.learning.profile import Profile
from layerproof.learning.tables import Days, Members, Seen, number
from layerproof.model.event import EventKind
from layerproof.model.learned import Occasion

DAY = 86_400
TRUSTED_DAYS = 3  # days with counted pushes that make a repository a trusted one
MOST_LAYERS = 128  # lowest layers of an image that are remembered
HOURS = 3  # length of a part of the day


class Case(NamedTuple):
    """An occasion with what is known of the image. `profiles`: one per layer, None where a layer is
    not indexed; () when nothing is known of the contents."""

    occasion: Occasion
    profiles: tuple[Profile | None, ...] = ()
    config: tuple[int, ...] = ()


class Pending(NamedTuple):
    """A case that does not count yet. Orders differ, so cases are never compared."""

    due: float
    order: int
    case: Case


def repository_of(occasion: Occasion) -> str:
    """`registry/repository`; "" if it is not known."""
    return f"{occasion.registry}/{occasion.repository}" if occasion.repository else ""


def account_of(occasion: Occasion) -> str:
    """`account@registry`: the same name at another registry is somebody else."""
    return f"{occasion.account}@{occasion.registry}" if occasion.account else ""


def namespace_of(repository: str) -> str:
    """All but the last part of the name."""
    return repository.rpartition("/")[0]


def part_of_day(at: datetime) -> int:
    """0 to 7."""
    return at.hour // HOURS


class History:
    """See the module."""

    def __init__(self, maturity_days: int = 14) -> None:
        self.maturity = maturity_days * DAY
        self.now = 0.0
        self.counted = 0  # events
        self.days = Days(400_000)
        self.pushers = Members(50_000, 64)  # by repository
        self.repositories = Members(50_000, 256)  # by account
        self.pullers = Members(50_000, 64)  # by repository
        self.layer_repositories = Members(200_000, 8)
        self.layer_pushers = Members(200_000, 8)
        self.layer_pullers = Members(200_000, 8)
        self.contents_pushers = Members(200_000, 4)  # by DiffID
        self.forms = Members(50_000, 64)  # of tags, by repository
        self.layers_here = Seen(400_000)  # repository and chain
        self.vouched = Seen(200_000)  # chains of confirmed images
        self.programs = Seen(200_000)
        self.scripts = Seen(100_000)
        self.packages: dict[str, int] = {}
        self.deeds = Seen(50_000)
        self.deeds_here = Seen(400_000)
        self.configs = Seen(50_000)
        self.configs_here = Seen(200_000)
        self.usual: dict[str, list[int]] = {}  # by repository: the most of each count in one layer
        self.trusted: set[str] = set()  # repositories: confirmed images, or pushes on enough days
        self.pending: list[Pending] = []
        self.strays: dict[str, dict[str, float]] = {}  # account → new places → when
        self.confirmed: set[str] = set()
        self.disputed: set[str] = set()
        self._order = 0
        self._names: Neighbours | None = None
        self._package_names: dict[str, Neighbours] | None = None

    # --- in ---

    def observe(self, case: Case) -> None:
        """An event happened. Its time moves the history forward."""
        at = case.occasion.at.timestamp()
        self.advance(at)
        self._stray(case.occasion, at)
        digest = case.occasion.manifest_digest
        if digest is not None and digest in self.confirmed and digest not in self.disputed:
            self._count(case, confirmed=True)
            return
        self._order += 1
        heapq.heappush(self.pending, Pending(at + self.maturity, self._order, case))

    def advance(self, now: float) -> None:
        """Let everything count that is ripe by now. Going back is no change."""
        self.now = max(self.now, now)
        while self.pending and self.pending[0].due <= self.now:
            case = heapq.heappop(self.pending).case
            if not self._is_disputed(case):
                self._count(case, confirmed=False)

    def confirm(self, digest: str) -> None:
        """Events of this manifest count at once, pending ones now."""
        self.confirmed.add(digest)
        ripe = [p for p in self.pending if p.case.occasion.manifest_digest == digest]
        if ripe:
            self.pending = [p for p in self.pending if p.case.occasion.manifest_digest != digest]
            heapq.heapify(self.pending)
            for item in sorted(ripe):
                if digest not in self.disputed:
                    self._count(item.case, confirmed=True)

    def dispute(self, digest: str, cases: Iterable[Case] = ()) -> None:
        """Events of this manifest never count; what `cases` of it brought is taken back."""
        self.disputed.add(digest)
        for case in cases:
            self._take_back(case)

    # --- questions ---

    def trusts(self, repository: str) -> bool:
        """Whether it is a trusted repository."""
        return repository in self.trusted

    def names(self) -> Neighbours:
        """Names of trusted repositories; made when first asked for."""
        if self._names is None:
            self._names = Neighbours()
            for repository in sorted(self.trusted):
                self._names.add(repository)
        return self._names

    def package_names(self, kind: str) -> Neighbours:
        """Names of known packages of a type, likewise."""
        if self._package_names is None:
            self._package_names = {}
            for known in self.packages:
                self._file_package(self._package_names, known)
        return self._package_names.setdefault(kind, Neighbours())

    # --- counting ---

    def _is_disputed(self, case: Case) -> bool:
        digest = case.occasion.manifest_digest
        return digest is not None and digest in self.disputed

    def _count(self, case: Case, *, confirmed: bool) -> None:
        self.counted += 1
        if case.occasion.kind is EventKind.PUSH:
            self._count_push(case, confirmed=confirmed)
        else:
            self._count_pull(case.occasion)

    def _count_push(self, case: Case, *, confirmed: bool) -> None:
        occasion = case.occasion
        day = int(occasion.at.timestamp()) // DAY
        repository, account = repository_of(occasion), account_of(occasion)
        add = self.days.add
        if repository:
            add(f"r\0{repository}", day)
            add(f"n\0{namespace_of(repository)}", day)
            if occasion.tag:
                self.forms.add(repository, shape(occasion.tag))
            if confirmed or self.days.count(f"r\0{repository}") >= TRUSTED_DAYS:
                self._trust(repository)
        if account:
            add(f"a\0{account}", day)
            add(f"ah\0{account}\0{part_of_day(occasion.at)}", day)
        if account and repository:
            add(f"ar\0{account}\0{repository}", day)
            add(f"an\0{account}\0{namespace_of(repository)}", day)
            self.pushers.add(repository, account)
            self.repositories.add(account, repository)
        if occasion.country:
            add(f"c\0{occasion.country}", day)
            if account:
                add(f"ac\0{account}\0{occasion.country}", day)
            if repository:
                add(f"rc\0{repository}\0{occasion.country}", day)
        self._count_layers(occasion, repository, account, confirmed=confirmed)
        if case.profiles:
            self._count_contents(case, repository, account, day)

    def _count_layers(
        self, occasion: Occasion, repository: str, account: str, *, confirmed: bool
    ) -> None:
        for chain in occasion.chain_ids[:MOST_LAYERS]:
            if repository:
                self.layer_repositories.add(chain, repository)
                self.layers_here.add(number(f"{repository}\0{chain}"))
            if account:
                self.layer_pushers.add(chain, account)
            if confirmed:
                self.vouched.add(number(chain))

    def _trust(self, repository: str) -> None:
        if repository not in self.trusted and len(self.trusted) < 50_000:
            self.trusted.add(repository)
            if self._names is not None:
                self._names.add(repository)

    def _count_pull(self, occasion: Occasion) -> None:
        day = int(occasion.at.timestamp()) // DAY
        repository, account = repository_of(occasion), account_of(occasion)
        if account and repository:
            self.days.add(f"pr\0{account}\0{repository}", day)
            self.pullers.add(repository, account)
        if repository and occasion.country:
            self.days.add(f"pc\0{repository}\0{occasion.country}", day)
        if account:
            for chain in occasion.chain_ids[:MOST_LAYERS]:
                self.layer_pullers.add(chain, account)

    def _count_contents(self, case: Case, repository: str, account: str, day: int) -> None:
        self.days.add(f"k\0{repository}", day)
        usual = self.usual.setdefault(repository, [0] * 8)
        for config in case.config:
            self.configs.add(config)
            self.configs_here.add(number(f"{repository}\0{config}"))
        for profile in case.profiles:
            if profile is None:
                continue
            if account:
                self.contents_pushers.add(profile.diff, account)
            for at, count in enumerate(counts_of(profile)):
                usual[at] = max(usual[at], count)
            for program in (*profile.programs, *profile.applications):
                self.programs.add(program)
            for script in profile.scripts:
                self.scripts.add(script)
            for package in profile.packages:
                self._count_package(package)
            for deed in profile.deeds:
                self.deeds.add(deed)
                self.deeds_here.add(number(f"{repository}\0{deed}"))

    def _count_package(self, package: str) -> None:
        if package not in self.packages:
            if len(self.packages) >= 50_000:
                for old in list(self.packages)[:5_000]:
                    del self.packages[old]
            if self._package_names is not None:
                self._file_package(self._package_names, package)
        self.packages[package] = self.packages.get(package, 0) + 1

    @staticmethod
    def _file_package(names: dict[str, Neighbours], package: str) -> None:
        kind, _, name = package.partition(":")
        names.setdefault(kind, Neighbours()).add(name)

    def _stray(self, occasion: Occasion, at: float) -> None:
        """Remember where an account pushed that it does not push to; told against it at once."""
        repository, account = repository_of(occasion), account_of(occasion)
        if occasion.kind is not EventKind.PUSH or not account or not repository:
            return
        if self.repositories.has(account, repository):
            return
        places = self.strays.setdefault(account, {})
        places[repository] = at
        if len(places) > 64:
            del places[min(places, key=places.__getitem__)]
        if len(self.strays) > 20_000:
            del self.strays[next(iter(self.strays))]

    def _take_back(self, case: Case) -> None:
        occasion = case.occasion
        repository, account = repository_of(occasion), account_of(occasion)
        self.days.remove(f"ar\0{account}\0{repository}")
        self.days.remove(f"an\0{account}\0{namespace_of(repository)}")
        self.pushers.remove(repository, account)
        self.repositories.remove(account, repository)
        top = occasion.chain_ids[-1:]
        for chain in top:
            self.layer_repositories.remove(chain, repository)
            self.layer_pushers.remove(chain, account)
            self.layers_here.table.pop(number(f"{repository}\0{chain}"), None)
        for profile in case.profiles:
            if profile is not None and profile.chain in top:
                self.contents_pushers.remove(profile.diff, account)


def counts_of(profile: Profile) -> tuple[int, ...]:
    """The counts of which a repository's usual most is remembered, in a fixed order."""
    return (
        len(profile.programs),
        len(profile.applications),
        profile.altered,
        profile.overrides,
        profile.deletions,
        profile.privileged,
        profile.sensitive,
        len(profile.packages),
    )
