"""The layer index on a database: `layerproof.engine.ports.Index` over an executor."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime

from layerproof.engine.ports import ContentsSummary, Hit, ImageRecord, PackageList, Sighting
from layerproof.model.activity import Activity, Deed
from layerproof.model.contents import BlobRecord, ChainRecord, Contents
from layerproof.model.digest import ChainId, DiffId, Digest
from layerproof.model.event import Event
from layerproof.model.facts import NamedBuild
from layerproof.model.identity import Account, Pusher
from layerproof.model.image import Image
from layerproof.model.ownership import PackageScript
from layerproof.model.package import Package, PackageChange
from layerproof.model.page import Cursor, Page
from layerproof.model.record import VerdictRecord
from layerproof.model.retention import Pruned, Retention
from layerproof.model.trust import TrustRecord
from layerproof.model.withdrawal import Withdrawal
from layerproof.store import (
    activity_rows,
    codec,
    contents_rows,
    counter_rows,
    event_rows,
    image_rows,
    layer_rows,
    retention_rows,
    search_rows,
    trust_rows,
    verdict_rows,
    withdrawal_rows,
)
from layerproof.store.executor import Executor, chunks, first
from layerproof.store.segment_rows import Kind

_IMAGES_AT_ONCE = 64


class SqlIndex:
    """Every method is one transaction and raises IndexUnavailableError; `Index` says the rest."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def claim(self, diff_id: DiffId) -> AbstractContextManager[None]:
        """The right to read a layer."""
        return self._executor.claim(diff_id)

    # --- contents, by DiffID ---

    def known_contents(self, diff_ids: Collection[DiffId], analysers: str) -> set[DiffId]:
        """Those that were read with exactly these analyser versions."""
        with self._executor.read() as session:
            return contents_rows.known(session, diff_ids, analysers)

    def contents(self, diff_id: DiffId) -> Contents | None:
        """The row, whichever analysers made it."""
        with self._executor.read() as session:
            return contents_rows.read(session, diff_id)

    def entries(self, diff_id: DiffId) -> bytes | None:
        """The encoded entry table alone."""
        with self._executor.read() as session:
            return contents_rows.entries(session, diff_id)

    def entries_of(self, diff_ids: Collection[DiffId]) -> Mapping[DiffId, bytes]:
        """The encoded entry tables of those that are known."""
        with self._executor.read() as session:
            return contents_rows.entries_of(session, diff_ids)

    def contents_summaries(self, diff_ids: Collection[DiffId]) -> Mapping[DiffId, ContentsSummary]:
        """The small part of those rows that are known."""
        with self._executor.read() as session:
            return contents_rows.summaries(session, diff_ids)

    def layer_facts(self, diff_ids: Collection[DiffId]) -> Mapping[DiffId, Mapping[str, object]]:
        """`Contents.facts` of those that are known."""
        with self._executor.read() as session:
            return contents_rows.facts(session, diff_ids)

    def package_lists(self, diff_ids: Collection[DiffId]) -> Mapping[DiffId, PackageList]:
        """Packages and package files of those that are known."""
        with self._executor.read() as session:
            return contents_rows.package_lists(session, diff_ids)

    def manifests(self, diff_id: DiffId) -> bytes | None:
        """The encoded package manifests; None if there are none, or the contents are not known."""
        with self._executor.read() as session:
            return contents_rows.manifests(session, diff_id)

    def scripts(self, diff_ids: Collection[DiffId]) -> Mapping[DiffId, tuple[PackageScript, ...]]:
        """The package scripts of those that have some."""
        with self._executor.read() as session:
            return contents_rows.scripts(session, diff_ids)

    def trusted_scripts(self, digests: Collection[bytes]) -> Mapping[bytes, Collection[ChainId]]:
        """By script (sha256), the layers of trusted images that hold it."""
        with self._executor.read() as session:
            return contents_rows.trusted_scripts(session, digests)

    def put_contents(self, contents: Contents, blob: BlobRecord | None) -> None:
        """Insert, or replace a row made with other analysers."""
        contents_rows.write(self._executor, contents, blob)

    def put_blob(self, blob: BlobRecord) -> None:
        """Remember that a verified blob holds this DiffID."""
        with self._executor.write() as session:
            contents_rows.write_blob(session, blob)

    def blobs(self, digests: Collection[Digest]) -> Mapping[Digest, DiffId]:
        """The verified DiffIDs of those blobs that are known."""
        with self._executor.read() as session:
            return contents_rows.blobs(session, digests)

    # --- chains and images ---

    def known_chains(self, chain_ids: Collection[ChainId], analysers: str) -> set[ChainId]:
        """Those that have a chain row made with exactly these analyser versions."""
        with self._executor.read() as session:
            return layer_rows.known(session, chain_ids, analysers)

    def chains(self, chain_ids: Sequence[ChainId]) -> list[ChainRecord | None]:
        """The rows, in the order asked."""
        with self._executor.read() as session:
            return layer_rows.read(session, chain_ids)

    def put_image(
        self,
        image: Image,
        chains: Sequence[ChainRecord],
        indexed_at: datetime,
        seen_at: datetime | None = None,
    ) -> None:
        """The image, its name, and its new chain rows."""
        image_rows.write(self._executor, image, chains, indexed_at, seen_at or indexed_at)

    def image_by_manifest(self, digest: Digest) -> ImageRecord | None:
        """By manifest digest, or by index digest if that names one indexed image only."""
        with self._executor.read() as session:
            return image_rows.by_manifest(session, digest)

    def images_of_index(self, digest: Digest) -> list[ImageRecord]:
        """Those that were chosen from this image index, the last one seen first."""
        with self._executor.read() as session:
            return image_rows.of_index(session, digest)

    def image_by_config(self, digest: Digest) -> ImageRecord | None:
        """By config digest."""
        with self._executor.read() as session:
            return image_rows.by_config(session, digest)

    def sightings_of(self, config_digest: Digest) -> list[Sighting]:
        """All of one image, under every name, the oldest first."""
        with self._executor.read() as session:
            return image_rows.sightings(session, config_digest)

    def images_by_name(self, reference: str) -> list[ImageRecord]:
        """Every image seen under this reference, newest first."""
        with self._executor.read() as session:
            return image_rows.by_name(session, reference)

    def builds_named(self, references: Collection[str], most: int) -> list[NamedBuild]:
        """What each of these names stood for, the newest first."""
        with self._executor.read() as session:
            return image_rows.builds_named(session, references, most)

    def images(self) -> Iterator[ImageRecord]:
        """All of them, newest first. Between records the index may be written to."""
        with self._executor.read() as session:
            keys = [key for (key,) in session.rows("images")]
        for some in chunks(keys, _IMAGES_AT_ONCE):
            with self._executor.read() as session:
                found = image_rows.records(session, [(key, None, None) for key in some])
            yield from found

    def images_with_chain(self, chain_id: ChainId) -> list[ImageRecord]:
        """Those that hold this layer at this place."""
        with self._executor.read() as session:
            return image_rows.with_chain(session, chain_id)

    def images_with_tops(self, chain_ids: Collection[ChainId]) -> list[ImageRecord]:
        """Those whose top layer is one of these."""
        with self._executor.read() as session:
            return image_rows.with_tops(session, chain_ids)

    def images_page(
        self,
        limit: int,
        after: Cursor | None = None,
        part: str = "",
        chain_id: ChainId | None = None,
    ) -> Page[ImageRecord]:
        """Some of them, the last one indexed first."""
        with self._executor.read() as session:
            return image_rows.page(session, limit, after, part, chain_id)

    # --- search ---

    def contents_with_path_hash(
        self, crc32: int, limit: int, after: Cursor | None = None
    ) -> Page[DiffId]:
        """Contents whose path filter holds the value, the last one put first."""
        with self._executor.read() as session:
            return search_rows.contents_with(session, Kind.PATH, crc32, limit, after)

    def contents_with_file_hash(
        self, prefix: int, limit: int, after: Cursor | None = None
    ) -> Page[DiffId]:
        """Contents whose file filter holds the value, the last one put first."""
        with self._executor.read() as session:
            return search_rows.contents_with(session, Kind.FILE, prefix, limit, after)

    def chains_with_path_hash(
        self, crc32: int, limit: int, after: Cursor | None = None
    ) -> Page[ChainId]:
        """Layers whose change filter holds the value, the last one put first."""
        with self._executor.read() as session:
            return search_rows.chains_with(session, crc32, limit, after)

    def changes_with_path_hash(
        self, chain_ids: Collection[ChainId], crc32: int
    ) -> Mapping[ChainId, tuple[DiffId, bytes]]:
        """Contents and encoded changes of those whose change filter holds the value."""
        with self._executor.read() as session:
            return search_rows.changes_with(session, chain_ids, crc32)

    def packages_named(
        self, name: str, limit: int, version: str = ""
    ) -> list[tuple[DiffId, Package]]:
        """Packages by exact name and version."""
        with self._executor.read() as session:
            return contents_rows.packages_named(session, name, version, limit)

    def package_changes_named(self, name: str, limit: int) -> list[tuple[ChainId, PackageChange]]:
        """What layers did to packages of exactly this name."""
        with self._executor.read() as session:
            return layer_rows.package_changes_named(session, name, limit)

    def usage(self, diff_ids: Collection[DiffId], limit: int) -> list[Hit]:
        """Chains and images that use these contents, the newest."""
        with self._executor.read() as session:
            return image_rows.usage(session, diff_ids, limit)

    # --- trust ---

    def put_trust(self, record: TrustRecord) -> None:
        """Insert, or replace the record of the same id."""
        trust_rows.write(self._executor, record)

    def trust_records(self) -> list[TrustRecord]:
        """All, newest first."""
        with self._executor.read() as session:
            return trust_rows.read_all(session)

    def trust_of(self, chain_ids: Collection[ChainId]) -> list[TrustRecord]:
        """Every record that has at least one of these ChainIDs, newest first."""
        with self._executor.read() as session:
            return trust_rows.read_of(session, chain_ids)

    # --- events ---

    def put_events(self, events: Sequence[Event]) -> int:
        """Add those that are not there yet; how many these were."""
        return event_rows.write(self._executor, events)

    def events(self) -> Iterator[Event]:
        """All of them, newest first, streamed."""
        with self._executor.read() as session:
            yield from event_rows.read_all(session)

    def pushers_of_layers(
        self, chain_ids: Collection[ChainId]
    ) -> Mapping[ChainId, tuple[Pusher, ...]]:
        """By layer, who pushed images that hold it at its place."""
        with self._executor.read() as session:
            return activity_rows.pushers_of_chains(session, chain_ids)

    def pushers_of_images(
        self, manifests: Collection[Digest]
    ) -> Mapping[Digest, tuple[Pusher, ...]]:
        """By manifest digest, who pushed it."""
        with self._executor.read() as session:
            return activity_rows.pushers_of_manifests(session, manifests)

    def events_page(self, limit: int, after: Cursor | None = None, **wanted: str) -> Page[Event]:
        """Some of them, newest first."""
        with self._executor.read() as session:
            return event_rows.page(session, limit, after, wanted)

    def activity_of_layers(
        self, chain_ids: Collection[ChainId]
    ) -> Mapping[ChainId, tuple[Activity, ...]]:
        """By layer, what was done with images that hold it at its place."""
        with self._executor.read() as session:
            return activity_rows.of_chains(session, chain_ids)

    def activity_of_images(
        self, manifests: Collection[Digest]
    ) -> Mapping[Digest, tuple[Activity, ...]]:
        """By manifest digest, what was done with it."""
        with self._executor.read() as session:
            return activity_rows.of_manifests(session, manifests)

    def deeds(self) -> Iterator[Deed]:
        """All activity, streamed."""
        with self._executor.read() as session:
            yield from activity_rows.read_all(session)

    def put_deeds(self, deeds: Sequence[Deed]) -> int:
        """At least this was done; how many say more than was there."""
        return activity_rows.write(self._executor, deeds)

    def mounts_of_blobs(self, digests: Collection[Digest]) -> Mapping[Digest, tuple[Activity, ...]]:
        """By blob, who mounted it where."""
        with self._executor.read() as session:
            return activity_rows.mounts_of_blobs(session, digests)

    def accounts(self) -> list[Account]:
        """Every account that did something."""
        with self._executor.read() as session:
            return activity_rows.accounts(session)

    # --- withdrawals ---

    def put_withdrawals(self, records: Sequence[Withdrawal]) -> None:
        """Insert, or replace the records of the same ids (release)."""
        withdrawal_rows.write(self._executor, records)

    def withdrawals(self) -> list[Withdrawal]:
        """All, newest first, released ones too."""
        with self._executor.read() as session:
            return withdrawal_rows.read_all(session)

    def withdrawals_of(
        self, chain_ids: Collection[ChainId], diff_ids: Collection[DiffId]
    ) -> list[Withdrawal]:
        """Those of one of these layers or contents, newest first, released ones too."""
        with self._executor.read() as session:
            return withdrawal_rows.read_of(session, chain_ids, diff_ids)

    # --- verdicts ---

    def state(self) -> str:
        """Another text after every change that may matter to a verdict."""
        with self._executor.read() as session:
            return counter_rows.state(session)

    def put_verdict(self, record: VerdictRecord) -> None:
        """Insert, or replace the record of the same id."""
        verdict_rows.write(self._executor, record)

    def verdict(self, made_from: bytes, now: datetime) -> VerdictRecord | None:
        """The newest one made from this and not after `now`."""
        with self._executor.read() as session:
            return verdict_rows.read_made_from(session, made_from, now)

    def verdicts_by_id(self, beginning: str) -> list[VerdictRecord]:
        """Those whose id begins so; it is hexadecimal."""
        with self._executor.read() as session:
            return verdict_rows.read(session, beginning)

    def verdicts(self, reference: str = "") -> Iterator[VerdictRecord]:
        """All, or those of one reference, newest first, streamed."""
        with self._executor.read() as session:
            yield from verdict_rows.read_all(session, reference)

    def verdicts_page(
        self, limit: int, after: Cursor | None = None, *, reference: str = "", decision: str = ""
    ) -> Page[VerdictRecord]:
        """Some of them, newest first."""
        with self._executor.read() as session:
            return verdict_rows.page(session, limit, after, reference, decision)

    # --- retention ---

    def prune(self, kept: Retention) -> Pruned:
        """Delete what is older than the retention says."""
        return retention_rows.prune(self._executor, kept)

    # --- small cached documents ---

    def cached(self, key: str) -> bytes | None:
        """A value put by `put_cached`."""
        with self._executor.read() as session:
            row = first(session.rows("cached", key=codec.text(key)))
        return None if row is None else row[0]

    def put_cached(self, key: str, value: bytes) -> None:
        """Insert or replace."""
        with self._executor.write() as session:
            session.run("put_cached", key=codec.text(key), value=value)

    def put_learned(self, name: str, value: bytes) -> None:
        """Insert or replace; verdicts may be others now."""
        with self._executor.write() as session:
            session.run("put_cached", key=codec.text(f"learned {name}"), value=value)
            counter_rows.change_state(session)

    def close(self) -> None:
        """Close connections; they open again when needed."""
        self._executor.close()
