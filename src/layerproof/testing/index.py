"""The layer index in memory, for tests: held to the same contract suite as the real one.

It lives in one process: what a forked child puts is not seen by its parent.
"""

from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime

from layerproof.engine.ports import ContentsSummary, Hit, ImageRecord, PackageList
from layerproof.model.contents import BlobRecord, ChainRecord, Contents
from layerproof.model.digest import ChainId, DiffId, Digest
from layerproof.model.event import Event, EventKind
from layerproof.model.identity import Pusher
from layerproof.model.image import Image
from layerproof.model.ownership import PackageScript
from layerproof.model.package import Package, PackageChange
from layerproof.model.record import VerdictRecord
from layerproof.model.trust import TrustRecord
from layerproof.model.withdrawal import Withdrawal


@dataclass(frozen=True, slots=True)
class _Sighting:
    """One image as it was put under one name; later ones stand later in `MemoryIndex._seen`."""

    image: Image
    seen_at: datetime


@dataclass(slots=True)
class MemoryIndex:
    """`layerproof.engine.ports.Index` on dictionaries."""

    _contents: dict[DiffId, Contents] = field(default_factory=dict)
    _blobs: dict[Digest, BlobRecord] = field(default_factory=dict)
    _chains: dict[ChainId, ChainRecord] = field(default_factory=dict)
    _layers: dict[ChainId, DiffId] = field(default_factory=dict)
    _seen: list[_Sighting] = field(default_factory=list)
    _images: dict[Digest, datetime] = field(default_factory=dict)
    _trust: dict[str, TrustRecord] = field(default_factory=dict)
    _events: dict[str, Event] = field(default_factory=dict)
    _withdrawals: dict[str, Withdrawal] = field(default_factory=dict)
    _verdicts: dict[str, VerdictRecord] = field(default_factory=dict)
    _changes: int = 0
    _cached: dict[str, bytes] = field(default_factory=dict)

    def claim(self, diff_id: DiffId) -> AbstractContextManager[None]:
        """There is no other process to wait for."""
        return nullcontext()

    # --- contents, by DiffID ---

    def known_contents(self, diff_ids: Collection[DiffId], analysers: str) -> set[DiffId]:
        """Those that were read with exactly these analyser versions."""
        return {d for d, row in self._rows(diff_ids) if row.analysers == analysers}

    def contents(self, diff_id: DiffId) -> Contents | None:
        """The row, whichever analysers made it."""
        return self._contents.get(diff_id)

    def entries(self, diff_id: DiffId) -> bytes | None:
        """The encoded entry table alone."""
        row = self._contents.get(diff_id)
        return None if row is None else row.entries

    def contents_summaries(self, diff_ids: Collection[DiffId]) -> Mapping[DiffId, ContentsSummary]:
        """The small part of those rows that are known."""
        return {
            d: ContentsSummary(
                d, row.analysers, row.size, row.entry_count, row.file_bytes, row.skipped
            )
            for d, row in self._rows(diff_ids)
        }

    def layer_facts(self, diff_ids: Collection[DiffId]) -> Mapping[DiffId, Mapping[str, object]]:
        """`Contents.facts` of those that are known."""
        return {d: row.facts for d, row in self._rows(diff_ids)}

    def package_lists(self, diff_ids: Collection[DiffId]) -> Mapping[DiffId, PackageList]:
        """Packages and package files of those that are known."""
        return {d: PackageList(row.packages, row.package_files) for d, row in self._rows(diff_ids)}

    def manifests(self, diff_id: DiffId) -> bytes | None:
        """The encoded package manifests; None if there are none, or the contents are not known."""
        row = self._contents.get(diff_id)
        return (row.manifests or None) if row is not None else None

    def scripts(self, diff_ids: Collection[DiffId]) -> Mapping[DiffId, tuple[PackageScript, ...]]:
        """The package scripts of those that have some."""
        return {d: row.scripts for d, row in self._rows(diff_ids) if row.scripts}

    def trusted_scripts(self, digests: Collection[bytes]) -> Mapping[bytes, Collection[ChainId]]:
        """By script (sha256), the layers of trusted images that hold it."""
        trusted = {chain_id for record in self._trust.values() for chain_id in record.chain_ids}
        found: dict[bytes, set[ChainId]] = {}
        for chain_id, diff_id in self._layers.items():
            row = self._contents.get(diff_id)
            if chain_id in trusted and row is not None:
                for script in row.scripts:
                    if script.sha256 in digests:
                        found.setdefault(script.sha256, set()).add(chain_id)
        return found

    def put_contents(self, contents: Contents, blob: BlobRecord | None) -> None:
        """Insert, or replace a row made with other analysers."""
        there = self._contents.get(contents.diff_id)
        if there is None or there.analysers != contents.analysers:
            self._contents[contents.diff_id] = contents
        if blob is not None:
            self.put_blob(blob)

    def put_blob(self, blob: BlobRecord) -> None:
        """Remember that a verified blob holds this DiffID."""
        self._blobs.setdefault(blob.digest, blob)

    def blobs(self, digests: Collection[Digest]) -> Mapping[Digest, DiffId]:
        """The verified DiffIDs of those blobs that are known."""
        return {d: self._blobs[d].diff_id for d in digests if d in self._blobs}

    def _rows(self, diff_ids: Collection[DiffId]) -> Iterator[tuple[DiffId, Contents]]:
        return ((d, self._contents[d]) for d in dict.fromkeys(diff_ids) if d in self._contents)

    # --- chains and images ---

    def known_chains(self, chain_ids: Collection[ChainId], analysers: str) -> set[ChainId]:
        """Those that have a chain row made with exactly these analyser versions."""
        rows = {c: self._chains.get(c) for c in chain_ids}
        return {c for c, row in rows.items() if row is not None and row.analysers == analysers}

    def chains(self, chain_ids: Sequence[ChainId]) -> list[ChainRecord | None]:
        """The rows, in the order asked."""
        return [self._chains.get(c) for c in chain_ids]

    def put_image(self, image: Image, chains: Sequence[ChainRecord], indexed_at: datetime) -> None:
        """The image, its name, and its new chain rows."""
        self._changes += 1
        self._layers.update((layer.chain_id, layer.diff_id) for layer in image.layers)
        self._layers.update((chain.chain_id, chain.diff_id) for chain in chains)
        for chain in chains:
            there = self._chains.get(chain.chain_id)
            if there is None or there.analysers != chain.analysers:
                self._chains[chain.chain_id] = chain
        seen_at = indexed_at.astimezone(UTC)
        self._seen = [s for s in self._seen if s.image != image]
        self._seen.append(_Sighting(image, seen_at))
        self._images[image.config_digest] = seen_at

    def image_by_manifest(self, digest: Digest) -> ImageRecord | None:
        """By manifest digest, or by index digest if that names one indexed image only."""
        found = [s for s in self._newest() if s.image.manifest_digest == digest]
        if not found:
            found = [s for s in self._newest() if s.image.index_digest == digest]
            if len({s.image.config_digest for s in found}) != 1:
                return None
        return self._record(found[0])

    def image_by_config(self, digest: Digest) -> ImageRecord | None:
        """By config digest."""
        found = [s for s in self._newest() if s.image.config_digest == digest]
        with_manifest = [s for s in found if s.image.manifest_digest is not None]
        return self._record((with_manifest or found)[0]) if found else None

    def images_by_name(self, reference: str) -> list[ImageRecord]:
        """Every image seen under this reference, newest first."""
        return [self._record(s) for s in self._newest() if s.image.reference == reference]

    def images(self) -> Iterator[ImageRecord]:
        """All of them, newest first."""
        numbered = enumerate(self._images.items())
        newest = sorted(numbered, key=lambda n: (n[1][1], n[0]), reverse=True)
        for _, (config_digest, _) in newest:
            record = self.image_by_config(config_digest)
            if record is not None:
                yield record

    def images_with_chain(self, chain_id: ChainId) -> list[ImageRecord]:
        """Those that hold this layer at this place."""
        return [r for r in self.images() if any(la.chain_id == chain_id for la in r.image.layers)]

    def _newest(self) -> list[_Sighting]:
        numbered = sorted(enumerate(self._seen), key=lambda n: (n[1].seen_at, n[0]), reverse=True)
        return [sighting for _, sighting in numbered]

    def _record(self, sighting: _Sighting) -> ImageRecord:
        config_digest = sighting.image.config_digest
        same = (s.image for s in self._newest() if s.image.config_digest == config_digest)
        names = tuple(dict.fromkeys(image.reference for image in same))
        return ImageRecord(sighting.image, names, self._images[config_digest])

    def images_with_tops(self, chain_ids: Collection[ChainId]) -> list[ImageRecord]:
        """Those whose top layer is one of these."""
        return [r for r in self.images() if r.image.layers and r.image.top in chain_ids]

    # --- search ---

    def layers_with_path_hash(self, crc32: int) -> list[DiffId]:
        """Contents whose path filter holds the value."""
        return [d for d, row in self._contents.items() if _holds(row.path_filter, crc32)]

    def layers_with_file_hash(self, prefix: int) -> list[DiffId]:
        """Contents whose file filter holds the value."""
        return [d for d, row in self._contents.items() if _holds(row.file_filter, prefix)]

    def packages_named(self, name: str) -> list[tuple[DiffId, Package]]:
        """Packages by exact name."""
        return [
            (d, package)
            for d, row in self._contents.items()
            for package in row.packages
            if package.name == name
        ]

    def package_changes_named(self, name: str) -> list[tuple[ChainId, PackageChange]]:
        """What layers did to packages of exactly this name."""
        return [
            (chain_id, change)
            for chain_id, row in self._chains.items()
            for change in row.package_changes
            if name in {p.name for p in (change.before, change.after) if p is not None}
        ]

    def usage(self, diff_ids: Collection[DiffId]) -> list[Hit]:
        """Chains and images that use these contents."""
        return [self._usage(diff_id) for diff_id in dict.fromkeys(diff_ids)]

    def _usage(self, diff_id: DiffId) -> Hit:
        chains = tuple(chain for chain, of in self._layers.items() if of == diff_id)
        images: dict[Digest, str] = {}  # the newest name of each
        for sighting in self._newest():
            if any(layer.chain_id in chains for layer in sighting.image.layers):
                images.setdefault(sighting.image.config_digest, sighting.image.reference)
        return Hit(diff_id, chains, tuple(images.values()))

    # --- trust ---

    def put_trust(self, record: TrustRecord) -> None:
        """Insert, or replace the record of the same id."""
        self._changes += 1
        self._trust[record.id] = record

    def trust_records(self) -> list[TrustRecord]:
        """All, newest first."""
        numbered = enumerate(self._trust.values())
        newest = sorted(numbered, key=lambda n: (n[1].added_at, n[0]), reverse=True)
        return [record for _, record in newest]

    def trust_of(self, chain_ids: Collection[ChainId]) -> list[TrustRecord]:
        """Every record that has at least one of these ChainIDs, newest first."""
        wanted = set(chain_ids)
        return [r for r in self.trust_records() if not wanted.isdisjoint(r.chain_ids)]

    # --- events ---

    def put_events(self, events: Sequence[Event]) -> int:
        """Add those whose identity is not there yet; how many these were."""
        before = len(self._events)
        for event in events:
            self._events.setdefault(event.identity, event)
        self._changes += len(self._events) - before
        return len(self._events) - before

    def events(self) -> Iterator[Event]:
        """All of them, newest first."""
        numbered = enumerate(self._events.values())
        newest = sorted(numbered, key=lambda n: (n[1].at, n[0]), reverse=True)
        return iter([event for _, event in newest])

    def pushers_of_layers(
        self, chain_ids: Collection[ChainId]
    ) -> Mapping[ChainId, tuple[Pusher, ...]]:
        """By layer, who pushed images that hold it at its place."""
        found = {}
        for chain_id in chain_ids:
            manifests = {
                s.image.manifest_digest
                for s in self._seen
                if any(layer.chain_id == chain_id for layer in s.image.layers)
            }
            pushers = self._pushers(manifests)
            if pushers:
                found[chain_id] = pushers
        return found

    def pushers_of_images(
        self, manifests: Collection[Digest]
    ) -> Mapping[Digest, tuple[Pusher, ...]]:
        """By manifest digest, who pushed it."""
        found = {digest: self._pushers({digest}) for digest in manifests}
        return {digest: pushers for digest, pushers in found.items() if pushers}

    def _pushers(self, manifests: Collection[Digest | None]) -> tuple[Pusher, ...]:
        first: dict[tuple[str, str], datetime] = {}
        for event in self._events.values():
            digest = event.manifest_digest
            if event.kind is EventKind.PUSH and digest is not None and digest in manifests:
                key = event.registry, event.account
                first[key] = min(first.get(key, event.at), event.at)
        found = (Pusher(registry, account, at) for (registry, account), at in first.items())
        return tuple(sorted(found, key=lambda p: (p.first_at, p.registry, p.account)))

    # --- withdrawals ---

    def put_withdrawals(self, records: Sequence[Withdrawal]) -> None:
        """Insert, or replace the records of the same ids."""
        self._changes += len(records)
        self._withdrawals.update((record.id, record) for record in records)

    def withdrawals(self) -> list[Withdrawal]:
        """All, newest first."""
        numbered = enumerate(self._withdrawals.values())
        newest = sorted(numbered, key=lambda n: (n[1].withdrawn_at, n[0]), reverse=True)
        return [record for _, record in newest]

    def withdrawals_of(
        self, chain_ids: Collection[ChainId], diff_ids: Collection[DiffId]
    ) -> list[Withdrawal]:
        """Those of one of these layers or contents, newest first."""
        return [r for r in self.withdrawals() if r.chain_id in chain_ids or r.diff_id in diff_ids]

    # --- verdicts ---

    def state(self) -> str:
        """Another text after every change that may matter to a verdict."""
        return str(self._changes)

    def put_verdict(self, record: VerdictRecord) -> None:
        """Insert, or replace the record of the same id."""
        self._verdicts[record.id] = record

    def verdict(self, made_from: bytes, now: datetime) -> VerdictRecord | None:
        """The newest one made from this and not after `now`."""
        of = (r for r in self.verdicts() if r.made_from == made_from and r.decided_at <= now)
        return next(of, None)

    def verdicts_by_id(self, beginning: str) -> list[VerdictRecord]:
        """Those whose id begins so."""
        return [r for r in self._verdicts.values() if r.id.startswith(beginning)]

    def verdicts(self, reference: str = "") -> Iterator[VerdictRecord]:
        """All, or those of one reference, newest first."""
        numbered = enumerate(self._verdicts.values())
        newest = sorted(numbered, key=lambda n: (n[1].decided_at, n[0]), reverse=True)
        return iter([r for _, r in newest if reference in ("", r.verdict.reference)])

    # --- small cached documents ---

    def cached(self, key: str) -> bytes | None:
        """A value put by `put_cached`."""
        return self._cached.get(key)

    def put_cached(self, key: str, value: bytes) -> None:
        """Insert or replace."""
        self._cached[key] = value

    def close(self) -> None:
        """Nothing is open."""


def _holds(data: bytes, value: int) -> bool:
    """Whether sorted little-endian uint32 numbers have this one."""
    numbers = range(len(data) // 4)
    place = bisect_left(
        numbers, value, key=lambda n: int.from_bytes(data[4 * n : 4 * n + 4], "little")
    )
    return place < len(numbers) and data[4 * place : 4 * place + 4] == value.to_bytes(4, "little")
