"""A small organisation: teams, repositories, bases, months of pushes and pulls, in a memory index.

Images are made of facts and not of bytes; what a layer does is what the analysers would have said.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from random import Random

from layerproof.model.change import Cause, Change, ChangeKind, ChangeSet
from layerproof.model.contents import ChainRecord, Contents
from layerproof.model.digest import DiffId, Digest, chain_ids
from layerproof.model.entry import FILE, Entry
from layerproof.model.event import Event, EventKind
from layerproof.model.image import Image, Layer, Platform
from layerproof.model.ownership import ForeignFile, Integrity, PackageScript
from layerproof.model.package import Package, PackageChange, PackageChangeKind, PackageType
from layerproof.model.trust import TrustRecord
from layerproof.oci import changecodec
from layerproof.testing.index import MemoryIndex

START = datetime(2026, 1, 5, 9, tzinfo=UTC)
REGISTRY = "registry.example"
ANALYSERS = "all@1"


@dataclass(frozen=True, slots=True)
class Work:
    """What a layer does, in few words. `seed` tells contents apart."""

    seed: str
    packages: tuple[str, ...] = ()  # deb packages that it adds
    programs: tuple[str, ...] = ()  # paths of executables of no package
    scripts: tuple[str, ...] = ()  # packages with a script
    replaces: tuple[str, ...] = ()
    deletes: tuple[str, ...] = ()
    adds: tuple[str, ...] = ()  # in sensitive places
    setuid: tuple[str, ...] = ()
    text: str = ""  # what its author claims to have run


@dataclass(slots=True)
class Organisation:
    """See the module. `now` moves forward as things happen."""

    seed: int = 1
    index: MemoryIndex = field(default_factory=MemoryIndex)
    now: datetime = START
    events: list[Event] = field(default_factory=list)
    letters: dict[int, int] = field(default_factory=dict)

    def named(self, name: str) -> str:
        """What a repository or account is called here: letters exchanged by `letters`."""
        return name.translate(self.letters)

    def live(self, days: int, teams: int = 5) -> None:
        """So many days of ordinary work."""
        random = Random(self.seed)
        bases = [self._base(name, 0) for name in ("debian", "alpine")]
        for day in range(days):
            self.now = START + timedelta(days=day)
            if day % 45 == 0:
                bases = [self._base(name, day) for name in ("debian", "alpine")]
                for base, name in zip(bases, ("debian", "alpine"), strict=True):
                    self.push(base, f"base/{name}", "platform-bot", "DE", tag=f"{day}")
                    self.trust(base)
            if self.now.weekday() >= 5:
                continue
            for team in range(teams):
                for app in range(3):
                    if random.random() < 0.35:
                        self._work(random, team, app, day, bases[team % 2])

    def _base(self, name: str, day: int) -> Image:
        seed = f"{name}-{day // 45}"
        works = [
            Work(seed, packages=tuple(f"{name}-{n}" for n in range(8)), scripts=(f"{name}-1",)),
            Work(f"{seed}-ca", adds=("etc/ssl/local.pem",)),
        ]
        return self.image(works, f"base/{name}:{day}")

    def _work(self, random: Random, team: int, app: int, day: int, base: Image) -> None:
        name = f"team{team}/app{app}"
        accounts = (f"dev{team}a", f"dev{team}b", f"ci{team}")
        country = ("DE", "FR", "US", "JP")[team % 4]
        epoch = day // (20 + 5 * app)
        deps = Work(
            f"{name}-deps-{epoch}",
            packages=tuple(f"lib{team}{app}{n}" for n in range(2 + epoch % 3)),
            scripts=(f"lib{team}{app}0",) if app == 0 else (),
        )
        built = Work(
            f"{name}-{day}-{random.random()}",
            programs=(f"usr/local/bin/app{app}",) if app else (),
            text=f"RUN build {day}",
        )
        hours, minutes = random.randrange(8), random.randrange(60)
        self.now = START + timedelta(days=day, hours=hours, minutes=minutes)
        image = self.image([deps, built], f"{name}:{day}.{app}", base=base)
        pusher = random.choice((accounts[2], accounts[2], accounts[0], accounts[1]))
        self.push(image, name, pusher, country, tag=f"1.{day}")
        for puller in random.sample(("prod", "stage", f"dev{team}a", f"dev{team}b"), 2):
            self.now += timedelta(minutes=20)
            self._event(EventKind.PULL, image, name, puller, country, f"1.{day}")

    # --- pieces, also for what is not ordinary ---

    def image(
        self,
        works: Sequence[Work],
        name: str,
        base: Image | None = None,
        config: Mapping[str, object] | None = None,
        *,
        indexed: bool = True,
    ) -> Image:
        """An image with layers that do these things; `indexed=False`: the index knows it, and does
        not know what its layers hold."""
        below = [] if base is None else list(base.layers)
        diffs = [la.diff_id for la in below] + [DiffId.of(repr(w).encode()) for w in works]
        layers = tuple(
            Layer(at, diff, chain, None, None)
            for at, (diff, chain) in enumerate(zip(diffs, chain_ids(diffs), strict=True))
        )
        document = {"config": dict(config or {"Entrypoint": ["/entry"], "User": "app"})}
        identity = repr((diffs, document, name)).encode()
        image = Image(
            reference=f"docker://{REGISTRY}/{name}",
            config_digest=Digest.of(b"config" + identity),
            platform=Platform("linux", "amd64"),
            layers=layers,
            config=document,
            manifest_digest=Digest.of(b"manifest" + identity),
            manifest={},
        )
        own = layers[len(below) :]
        chains = []
        for layer, work in zip(own, works, strict=True):
            if indexed:
                self.index.put_contents(_contents(layer, work), None)
                parent = layers[layer.position - 1].chain_id if layer.position else None
                chains.append(_chain(layer, parent, work))
        self.index.put_image(image, chains, self.now)
        return image

    def trust(self, image: Image) -> None:
        """The platform team vouches for it."""
        self.index.put_trust(
            TrustRecord(
                id=image.config_digest.short,
                reference=image.reference,
                config_digest=image.config_digest,
                manifest_digest=image.manifest_digest,
                chain_ids=tuple(layer.chain_id for layer in image.layers),
                added_by="platform",
                added_at=self.now + timedelta(minutes=1),
                reason="golden base",
            )
        )

    def push(
        self, image: Image, repository: str, account: str, country: str, tag: str = "1.0"
    ) -> Event:
        """It happened, now."""
        return self._event(EventKind.PUSH, image, repository, account, country, tag)

    def imagined(
        self, image: Image, repository: str, account: str, country: str, tag: str = "1.0"
    ) -> Event:
        """A push that is only asked about."""
        return self._made(EventKind.PUSH, image, repository, account, country, tag)

    def _event(
        self, kind: EventKind, image: Image, repository: str, account: str, country: str, tag: str
    ) -> Event:
        event = self._made(kind, image, repository, account, country, tag)
        self.events.append(event)
        self.index.put_events([event])
        return event

    def _made(
        self, kind: EventKind, image: Image, repository: str, account: str, country: str, tag: str
    ) -> Event:
        return Event(
            f"{kind}-{len(self.events)}-{image.config_digest}-{account}",
            kind,
            self.now,
            REGISTRY,
            self.named(repository),
            tag,
            image.manifest_digest,
            self.named(account),
            country=country,
        )


def _contents(layer: Layer, work: Work) -> Contents:
    scripts = tuple(
        PackageScript(name, "postinst", f"var/lib/dpkg/info/{name}.postinst".encode(), _raw(name))
        for name in work.scripts
    )
    return Contents(
        diff_id=layer.diff_id,
        analysers=ANALYSERS,
        size=1000,
        entry_count=3,
        file_bytes=900,
        entries=b"",
        path_filter=b"",
        file_filter=b"",
        facts={"programs": {"groups": [{"kind": "elf"}]}} if work.programs else {},
        scripts=scripts,
    )


def _chain(layer: Layer, parent: Digest | None, work: Work) -> ChainRecord:
    changes = (
        *(_change(ChangeKind.REPLACED, path, "") for path in work.replaces),
        *(_change(ChangeKind.DELETED, path, Cause.WHITEOUT) for path in work.deletes),
        *(_change(ChangeKind.ADDED, path, Cause.SENSITIVE_PATH) for path in work.adds),
        *(_change(ChangeKind.ADDED, path, Cause.SETUID) for path in work.setuid),
    )
    made = ChangeSet({}, tuple(sorted(changes, key=lambda change: change.path)))
    foreign = tuple(
        ForeignFile(path.encode(), "elf", 0o755, _raw(work.seed + path)) for path in work.programs
    )
    packages = tuple(
        PackageChange(
            PackageChangeKind.ADDED,
            None,
            Package(PackageType.DEB, name, "1.0", b"var/lib/dpkg/status"),
        )
        for name in work.packages
    )
    return ChainRecord(
        chain_id=layer.chain_id,
        parent=parent,  # type: ignore[arg-type]  # a ChainID, which is a digest
        position=layer.position,
        diff_id=layer.diff_id,
        analysers=ANALYSERS,
        counts={},
        changes=changecodec.encode(made),
        package_changes=packages,
        integrity=Integrity(foreign=foreign),
    )


def _change(kind: ChangeKind, path: str, cause: str) -> Change:
    entry = Entry(path.encode(), FILE, 0o644, 0, 0, 10, _raw(path), None)
    gone = kind is ChangeKind.DELETED
    new = kind is ChangeKind.ADDED
    after = None if gone else replace(entry, sha256=_raw(path + "2"))
    return Change(kind, path.encode(), None if new else entry, after, cause)


def _raw(text: str) -> bytes:
    return sha256(text.encode()).digest()
