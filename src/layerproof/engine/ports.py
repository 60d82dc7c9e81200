"""What the engine needs from the world, as protocols. Adapters implement them; fakes too.

One behavioural suite per port (tests/contract) is run against every implementation.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Protocol

from layerproof.model.activity import Activity, Deed
from layerproof.model.contents import BlobRecord, ChainRecord, Contents
from layerproof.model.digest import ChainId, DiffId, Digest
from layerproof.model.event import Event
from layerproof.model.facts import NamedBuild
from layerproof.model.identity import Account, Pusher
from layerproof.model.image import Descriptor, Image, Layer, Platform
from layerproof.model.ownership import PackageScript
from layerproof.model.package import Package, PackageChange
from layerproof.model.page import Cursor, Page
from layerproof.model.record import VerdictRecord
from layerproof.model.retention import Pruned, Retention
from layerproof.model.trust import TrustRecord
from layerproof.model.withdrawal import Withdrawal

if TYPE_CHECKING:  # only advisories need them
    from layerproof.advisories.match import Name, Row
    from layerproof.model.advisory import CveFacts
    from layerproof.model.vulnerability import Coverage, Newest, VexStatement


class ImageSource(Protocol):
    """One image at one place. Opened by `wiring`; used by one process at a time.

    A new source writes these methods and inherits nothing.
    """

    @property
    def random_access(self) -> bool:
        """Whether `layers` may be called several times, also from forked processes, each call for
        some of the layers. False: one call, one pass (an archive that must be streamed)."""

    def resolve(self, platform: Platform | None) -> Image:
        """Fetch and verify index, manifest and config; choose the platform (default: the host's).

        The same bytes are used for all that follows: a tag is resolved once.
        Raises SourceError, ManifestError, DigestMismatchError.
        """

    def layers(self, wanted: Collection[int]) -> Iterator[tuple[Layer | None, Iterator[bytes]]]:
        """Stream the wanted layers (positions), in whatever order the source holds them.

        Yields the layer and its blob's bytes as stored (maybe compressed) in bounded chunks; each
        inner iterator must be exhausted or closed before the next is asked for. The layer is None
        where the source cannot know before the bytes were read (old docker-archive streams): the
        reader then finds the position by the DiffID. Neither digest nor DiffID is checked here:
        the reader does that. Unwanted layers may be yielded by such streams and are then skipped.
        """

    def close(self) -> None:
        """Free handles and connections. The source can be used again afterwards."""


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """An image as the index knows it; `image.layers` carry blob descriptors where known."""

    image: Image
    names: tuple[str, ...]  # every reference under which it was seen, newest first
    indexed_at: datetime


@dataclass(frozen=True, slots=True)
class Sighting:
    """An image as it was presented under one name, and when that name last stood for it."""

    image: Image
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class Hit:
    """One search result: a layer's contents, and where they are used."""

    diff_id: DiffId
    chain_ids: tuple[ChainId, ...]  # the last one put first
    images: tuple[str, ...]  # newest name of every image that holds one of the chains
    more: bool = False  # whether there are more chains or images


@dataclass(frozen=True, slots=True)
class PackageList:
    """The packages that a layer's contents state, and every file that could state one."""

    packages: tuple[Package, ...]
    files: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class ContentsSummary:
    """The small part of `Contents`: what a listing of layers shows."""

    diff_id: DiffId
    analysers: str
    size: int
    entry_count: int
    file_bytes: int
    skipped: tuple[tuple[str, bytes, str], ...]


class Advisories(Protocol):
    """What is known about vulnerable, outdated and unsupported packages, as of a snapshot: the
    answers of one object never change. Raises AdvisoryError."""

    def affected(self, names: Collection[Name]) -> Mapping[Name, Sequence[Row]]:
        """See `advisories.match.Lookup`."""

    def cves(self, names: Collection[str]) -> Mapping[str, CveFacts]:
        """See `advisories.match.Lookup`."""

    def newest(self, names: Collection[Name]) -> Mapping[Name, Newest]:
        """See `advisories.match.Lookup`."""

    @property
    def snapshot(self) -> str:
        """Digest of all that the answers were made from."""

    def statements(self, names: Collection[str]) -> Sequence[VexStatement]:
        """Every VEX statement about one of these vulnerabilities."""

    def coverage(self, *, versions: bool = False) -> Mapping[str, Coverage]:
        """By ecosystem: the freshest feed that speaks for all of it, on advisories or on newest
        versions."""

    def ends(self, product: str) -> Mapping[str, date]:
        """The last days of a distribution's releases (os-release ID → release → day)."""

    def close(self) -> None:
        """Free handles."""


class Index(Protocol):
    """The layer index. Every `put_*` is one transaction: wholly there or not at all. Safe for
    several processes on one index. Raises IndexUnavailableError."""

    def claim(self, diff_id: DiffId) -> AbstractContextManager[None]:
        """The right to read a layer, held until the block ends. Waits while another process has it,
        so that a layer is read once; look again whether it is known after getting it. A process
        holds one at a time. It is free again when its holder dies."""

    # --- contents, by DiffID ---
    def known_contents(self, diff_ids: Collection[DiffId], analysers: str) -> set[DiffId]:
        """Those of `diff_ids` that were read with exactly these analyser versions."""

    def contents(self, diff_id: DiffId) -> Contents | None:
        """The row, whichever analysers made it."""

    def entries(self, diff_id: DiffId) -> bytes | None:
        """The encoded entry table alone."""

    def entries_of(self, diff_ids: Collection[DiffId]) -> Mapping[DiffId, bytes]:
        """The encoded entry tables of those that are known."""

    def contents_summaries(self, diff_ids: Collection[DiffId]) -> Mapping[DiffId, ContentsSummary]:
        """The small part of those rows that are known."""

    def layer_facts(self, diff_ids: Collection[DiffId]) -> Mapping[DiffId, Mapping[str, object]]:
        """`Contents.facts` of those that are known."""

    def package_lists(self, diff_ids: Collection[DiffId]) -> Mapping[DiffId, PackageList]:
        """Packages and package files of those that are known."""

    def manifests(self, diff_id: DiffId) -> bytes | None:
        """`Contents.manifests`; None if there are none, or the contents are not known."""

    def scripts(self, diff_ids: Collection[DiffId]) -> Mapping[DiffId, tuple[PackageScript, ...]]:
        """`Contents.scripts` of those that have some."""

    def trusted_scripts(self, digests: Collection[bytes]) -> Mapping[bytes, Collection[ChainId]]:
        """By script (sha256), the layers that hold it and that some trust record names, revoked
        and expired ones too."""

    def put_contents(self, contents: Contents, blob: BlobRecord | None) -> None:
        """Insert, or replace a row made with other analysers. Same row again: no change."""

    def put_blob(self, blob: BlobRecord) -> None:
        """Remember that a verified blob holds this DiffID. Idempotent."""

    def blobs(self, digests: Collection[Digest]) -> Mapping[Digest, DiffId]:
        """The verified DiffIDs of those blobs that are known."""

    # --- chains and images ---
    def known_chains(self, chain_ids: Collection[ChainId], analysers: str) -> set[ChainId]:
        """Those that have a chain row made with exactly these analyser versions."""

    def chains(self, chain_ids: Sequence[ChainId]) -> list[ChainRecord | None]:
        """The rows, in the order asked, in one round trip."""

    def put_image(
        self,
        image: Image,
        chains: Sequence[ChainRecord],
        indexed_at: datetime,
        seen_at: datetime | None = None,
    ) -> None:
        """The image, its name (image.reference), and its new chain rows, in one transaction.
        `seen_at`: when the name stood for the image, by default now; an earlier time than the index
        has changes nothing of the name."""

    def image_by_manifest(self, digest: Digest) -> ImageRecord | None:
        """By manifest digest, or by the digest of an image index it was chosen from (then only if
        that names exactly one indexed image)."""

    def images_of_index(self, digest: Digest) -> list[ImageRecord]:
        """Those that were chosen from this image index, the last one seen first."""

    def image_by_config(self, digest: Digest) -> ImageRecord | None:
        """By config digest."""

    def sightings_of(self, config_digest: Digest) -> list[Sighting]:
        """All of one image, under every name, the oldest first."""

    def images_by_name(self, reference: str) -> list[ImageRecord]:
        """Every image seen under this reference, newest first."""

    def builds_named(self, references: Collection[str], most: int) -> list[NamedBuild]:
        """What each of these names stood for, the newest first, at most so many of each; without
        what has no manifest or no layer. Pushers are left out."""

    def images(self) -> Iterator[ImageRecord]:
        """All of them, newest first, streamed."""

    def images_page(
        self,
        limit: int,
        after: Cursor | None = None,
        part: str = "",
        chain_id: ChainId | None = None,
    ) -> Page[ImageRecord]:
        """Some of them, the last one indexed first; with `part`, those that have it in one of their
        names; with `chain_id`, those that hold this layer at its place. Not both."""

    def images_with_chain(self, chain_id: ChainId) -> list[ImageRecord]:
        """Those that hold this layer at this place."""

    def images_with_tops(self, chain_ids: Collection[ChainId]) -> list[ImageRecord]:
        """Those whose top layer is one of these, in no order."""

    # --- search ---
    # Every answer is limited, the last one put first: what is common is in most layers.
    def contents_with_path_hash(
        self, crc32: int, limit: int, after: Cursor | None = None
    ) -> Page[DiffId]:
        """Contents whose path filter holds the value (the caller verifies against the entries)."""

    def contents_with_file_hash(
        self, prefix: int, limit: int, after: Cursor | None = None
    ) -> Page[DiffId]:
        """Contents whose file filter holds the value (the caller verifies)."""

    def chains_with_path_hash(
        self, crc32: int, limit: int, after: Cursor | None = None
    ) -> Page[ChainId]:
        """Layers whose change filter holds the value (the caller verifies)."""

    def changes_with_path_hash(
        self, chain_ids: Collection[ChainId], crc32: int
    ) -> Mapping[ChainId, tuple[DiffId, bytes]]:
        """Contents and encoded changes of those of these layers whose change filter holds the
        value, in the order asked."""

    def packages_named(
        self, name: str, limit: int, version: str = ""
    ) -> list[tuple[DiffId, Package]]:
        """Packages by exact name (purl type not considered), of one version where given."""

    def package_changes_named(self, name: str, limit: int) -> list[tuple[ChainId, PackageChange]]:
        """What the last `limit` layers that changed a package of exactly this name did to it,
        removals included."""

    def usage(self, diff_ids: Collection[DiffId], limit: int) -> list[Hit]:
        """At most `limit` chains, and images, that use these contents: one hit per DiffID, in the
        order asked. Contents that the index does not hold are used by nothing."""

    # --- trust ---
    def put_trust(self, record: TrustRecord) -> None:
        """Insert, or replace the record of the same id (revocation)."""

    def trust_records(self) -> list[TrustRecord]:
        """All, newest first, revoked and expired ones too."""

    def trust_of(self, chain_ids: Collection[ChainId]) -> list[TrustRecord]:
        """Every record that has at least one of these ChainIDs, revoked and expired ones too."""

    # --- events ---
    def put_events(self, events: Sequence[Event]) -> int:
        """Add those whose identity is not there yet; how many these were."""

    def events(self) -> Iterator[Event]:
        """All of them, newest first, streamed."""

    def pushers_of_layers(
        self, chain_ids: Collection[ChainId]
    ) -> Mapping[ChainId, tuple[Pusher, ...]]:
        """By layer, who pushed images of the index that hold it at its place, the earliest first;
        an account once per registry. Layers that nobody is known to have pushed are absent."""

    def pushers_of_images(
        self, manifests: Collection[Digest]
    ) -> Mapping[Digest, tuple[Pusher, ...]]:
        """By manifest digest, who pushed it, likewise; the index need not know the image."""

    def events_page(self, limit: int, after: Cursor | None = None, **wanted: str) -> Page[Event]:
        """Some of them, newest first. `wanted`: kind, registry, repository, account; "" is any."""

    def activity_of_layers(
        self, chain_ids: Collection[ChainId]
    ) -> Mapping[ChainId, tuple[Activity, ...]]:
        """By layer, the earliest first, what was done with it and with the images of the index that
        hold it at its place. Layers with which nothing was done are absent. It outlives events."""

    def activity_of_images(
        self, manifests: Collection[Digest]
    ) -> Mapping[Digest, tuple[Activity, ...]]:
        """By manifest digest, likewise; the index need not know the image."""

    def deeds(self) -> Iterator[Deed]:
        """All activity, streamed, in no order."""

    def put_deeds(self, deeds: Sequence[Deed]) -> int:
        """At least this was done: the earlier beginning, the later end and the larger count of
        what is there and what is put. How many of these say more than was there."""

    def mounts_of_blobs(self, digests: Collection[Digest]) -> Mapping[Digest, tuple[Activity, ...]]:
        """By the digest of a layer as it is stored, who mounted it from one repository into which
        other. A blob tells no place in an image: its mounts belong to no activity of layers or
        images. It outlives events."""

    def accounts(self) -> list[Account]:
        """Every account that did something, by registry and name."""

    # --- withdrawals ---
    def put_withdrawals(self, records: Sequence[Withdrawal]) -> None:
        """Insert, or replace the records of the same ids (release). All or none."""

    def withdrawals(self) -> list[Withdrawal]:
        """All, newest first, released ones too."""

    def withdrawals_of(
        self, chain_ids: Collection[ChainId], diff_ids: Collection[DiffId]
    ) -> list[Withdrawal]:
        """Those of one of these layers or contents, newest first, released ones too."""

    # --- verdicts ---
    def state(self) -> str:
        """Another text after every change of images, trust, pushes, withdrawals and of what was
        learned: a verdict that was made in this state holds in it. Contents and chains are not
        counted, because verdicts name the analysers that made these."""

    def put_verdict(self, record: VerdictRecord) -> None:
        """Insert, or replace the record of the same id."""

    def verdict(self, made_from: bytes, now: datetime) -> VerdictRecord | None:
        """The newest one made from this and not after `now`."""

    def verdicts_by_id(self, beginning: str) -> list[VerdictRecord]:
        """Those whose id begins so; it is hexadecimal."""

    def verdicts(self, reference: str = "") -> Iterator[VerdictRecord]:
        """All, or those of one reference, newest first, streamed."""

    def verdicts_page(
        self, limit: int, after: Cursor | None = None, *, reference: str = "", decision: str = ""
    ) -> Page[VerdictRecord]:
        """Some of them, newest first; of one reference, of one decision, where given."""

    # --- retention ---
    def prune(self, kept: Retention) -> Pruned:
        """Delete what is older than the retention says, in bounded transactions; images with all
        that only they hold."""

    # --- small cached documents (a parsed policy by the digest of its file) ---
    def cached(self, key: str) -> bytes | None:
        """A value put by `put_cached`."""

    def put_cached(self, key: str, value: bytes) -> None:
        """Insert or replace."""

    def put_learned(self, name: str, value: bytes) -> None:
        """As `put_cached` under the key `learned NAME`; and the state is another one, since what
        was learned may be part of a verdict."""

    def close(self) -> None:
        """Close connections; used also before forking. The index reopens by itself."""


class Incoming(Protocol):
    """A blob on its way into the quarantine."""

    def write(self, chunk: bytes) -> None:
        """The next bytes. Raises LimitExceededError, QuarantineError."""

    def keep(self, digest: Digest) -> None:
        """All of it came, and it is what `digest` names."""


class Quarantine(Protocol):
    """Where pulled layers are kept, whole and unextracted. Raises QuarantineError."""

    @property
    def place(self) -> str:
        """What people call it: a folder."""

    def holds(self, digest: Digest) -> int | None:
        """The size of a blob that is kept, None if it is not."""

    def receiving(self) -> AbstractContextManager[Incoming]:
        """A new blob; it is thrown away unless it was kept when the block ends."""

    def describe(
        self,
        name: str,
        blobs: Sequence[tuple[Descriptor, Mapping[str, str]]],
        document: bytes,
        annotations: Mapping[str, str],
    ) -> Digest:
        """List a pull under `name`: kept blobs with annotations, and a document about them. One
        that was listed under this name before is replaced. The digest of the listing."""


class Clock(Protocol):
    """Time is passed in."""

    def now(self) -> datetime:
        """Aware, UTC."""

    def monotonic(self) -> float:
        """Seconds."""


class Observer(Protocol):
    """Progress, for whoever shows it. Calls come from one thread of one process."""

    def resolved(self, image: Image, known: Collection[int]) -> None:
        """The image is known now; layers at the positions in `known` need no reading."""

    def layer_progress(self, position: int, bytes_read: int) -> None:
        """So many bytes of the layer's blob were read so far."""

    def layer_done(self, position: int) -> None:
        """The layer is in the index."""


DONE = -1  # instead of a byte count: the job's layer is in the index


class Workers(Protocol):
    """Runs jobs side by side. `work(job, report)` may run in a forked process: only what it stores
    or reports outlives it. The first error stops all and is raised."""

    @property
    def count(self) -> int:
        """How many jobs run at once."""

    def run(
        self,
        jobs: Sequence[int],
        work: Callable[[int, Callable[[int, int], None]], None],
        report: Callable[[int, int], None],
    ) -> None:
        """Run `work` for every job, in the order given. `report(job, bytes)` reaches the caller's
        process, thinned out; `report(job, DONE)` always does."""
