"""The layer index in memory, for tests: held to the same contract suite as the real one.

It lives in one process: what a forked child puts is not seen by its parent.
"""

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, TypeVar

from layerproof.engine.ports import ContentsSummary, Hit, ImageRecord, PackageList, Sighting
from layerproof.model.activity import Activity, Deed
from layerproof.model.contents import BlobRecord, ChainRecord, Contents
from layerproof.model.digest import ChainId, DiffId, Digest
from layerproof.model.event import Event, EventKind
from layerproof.model.facts import NamedBuild
from layerproof.model.identity import Account, Pusher
from layerproof.model.image import Image
from layerproof.model.ownership import PackageScript
from layerproof.model.package import Package, PackageChange
from layerproof.model.page import NEWEST, Cursor, Page
from layerproof.model.record import VerdictRecord
from layerproof.model.retention import Pruned, Retention
from layerproof.model.trust import TrustRecord
from layerproof.model.withdrawal import Withdrawal

T = TypeVar("T")
_Done = tuple[Digest | None, ChainId | None, Any, Any, Any, Any, Any, Any]  # image, layer, what
D = TypeVar("D", DiffId, ChainId)


@dataclass(slots=True)
class MemoryIndex:
    """`layerproof.engine.ports.Index` on dictionaries."""

    _contents: dict[DiffId, Contents] = field(default_factory=dict)
    _blobs: dict[Digest, BlobRecord] = field(default_factory=dict)
    _chains: dict[ChainId, ChainRecord] = field(default_factory=dict)
    _layers: dict[ChainId, DiffId] = field(default_factory=dict)
    _seen: list[Sighting] = field(default_factory=list)
    _images: dict[Digest, datetime] = field(default_factory=dict)
    _trust: dict[str, TrustRecord] = field(default_factory=dict)
    _events: dict[str, Event] = field(default_factory=dict)
    _withdrawals: dict[str, Withdrawal] = field(default_factory=dict)
    _verdicts: dict[str, VerdictRecord] = field(default_factory=dict)
    _activity: dict[_Done, Activity] = field(default_factory=dict)
    _changes: int = 0
    # numbers in the order in which they were put
    _entries: dict[DiffId, int] = field(default_factory=dict)
    _chain_entries: dict[ChainId, int] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=count)
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

    def entries_of(self, diff_ids: Collection[DiffId]) -> Mapping[DiffId, bytes]:
        """The encoded entry tables of those that are known."""
        return {diff_id: row.entries for diff_id, row in self._rows(diff_ids)}

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
            self._entries[contents.diff_id] = next(self._numbers)
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

    def put_image(
        self,
        image: Image,
        chains: Sequence[ChainRecord],
        indexed_at: datetime,
        seen_at: datetime | None = None,
    ) -> None:
        """The image, its name, and its new chain rows."""
        self._changes += 1
        self._layers.update((layer.chain_id, layer.diff_id) for layer in image.layers)
        self._layers.update((chain.chain_id, chain.diff_id) for chain in chains)
        for chain in chains:
            there = self._chains.get(chain.chain_id)
            if there is None or there.analysers != chain.analysers:
                self._chains[chain.chain_id] = chain
                self._chain_entries[chain.chain_id] = next(self._numbers)
        self._images[image.config_digest] = indexed_at.astimezone(UTC)
        moment = (seen_at or indexed_at).astimezone(UTC)
        if any(s.image == image and s.seen_at > moment for s in self._seen):
            return
        self._seen = [s for s in self._seen if s.image != image]
        self._seen.append(Sighting(image, moment))

    def image_by_manifest(self, digest: Digest) -> ImageRecord | None:
        """By manifest digest, or by index digest if that names one indexed image only."""
        found = [s for s in self._newest() if s.image.manifest_digest == digest]
        if not found:
            found = [s for s in self._newest() if s.image.index_digest == digest]
            if len({s.image.config_digest for s in found}) != 1:
                return None
        return self._record(found[0])

    def images_of_index(self, digest: Digest) -> list[ImageRecord]:
        """Those that were chosen from this image index, the last one seen first."""
        found = [s for s in self._newest() if s.image.index_digest == digest]
        first = {s.image.config_digest: s for s in reversed(found)}
        order = dict.fromkeys(s.image.config_digest for s in found)
        return [self._record(first[config]) for config in order]

    def image_by_config(self, digest: Digest) -> ImageRecord | None:
        """By config digest."""
        found = [s for s in self._newest() if s.image.config_digest == digest]
        with_manifest = [s for s in found if s.image.manifest_digest is not None]
        return self._record((with_manifest or found)[0]) if found else None

    def sightings_of(self, config_digest: Digest) -> list[Sighting]:
        """All of one image, under every name, the oldest first."""
        return [s for s in reversed(self._newest()) if s.image.config_digest == config_digest]

    def images_by_name(self, reference: str) -> list[ImageRecord]:
        """Every image seen under this reference, newest first."""
        return [self._record(s) for s in self._newest() if s.image.reference == reference]

    def builds_named(self, references: Collection[str], most: int) -> list[NamedBuild]:
        """What each of these names stood for, the newest first."""
        found: list[NamedBuild] = []
        for reference in dict.fromkeys(references):
            seen = [s for s in self._newest() if s.image.reference == reference]
            found += [
                NamedBuild(reference, s.image.manifest_digest, s.image.top, s.seen_at)
                for s in seen[:most]
                if s.image.manifest_digest is not None and s.image.top is not None
            ]
        return found

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

    def _newest(self) -> list[Sighting]:
        numbered = sorted(enumerate(self._seen), key=lambda n: (n[1].seen_at, n[0]), reverse=True)
        return [sighting for _, sighting in numbered]

    def _record(self, sighting: Sighting) -> ImageRecord:
        config_digest = sighting.image.config_digest
        same = (s.image for s in self._newest() if s.image.config_digest == config_digest)
        names = tuple(dict.fromkeys(image.reference for image in same))
        return ImageRecord(sighting.image, names, self._images[config_digest])

    def images_with_tops(self, chain_ids: Collection[ChainId]) -> list[ImageRecord]:
        """Those whose top layer is one of these."""
        return [r for r in self.images() if r.image.layers and r.image.top in chain_ids]

    def images_page(
        self,
        limit: int,
        after: Cursor | None = None,
        part: str = "",
        chain_id: ChainId | None = None,
    ) -> Page[ImageRecord]:
        """Some of them, the last one indexed first."""
        order = {config: number for number, config in enumerate(self._images)}
        numbered = [
            (record, Cursor(_micros(record.indexed_at), order[record.image.config_digest]))
            for record in self.images()
            if (not part or any(part in name for name in record.names))
            and (chain_id is None or any(la.chain_id == chain_id for la in record.image.layers))
        ]
        return _page(numbered, limit, after)

    # --- search ---

    def contents_with_path_hash(
        self, crc32: int, limit: int, after: Cursor | None = None
    ) -> Page[DiffId]:
        """Contents whose path filter holds the value."""
        found = [d for d, row in self._contents.items() if _holds(row.path_filter, crc32)]
        return _numbered_page(found, self._entries, limit, after)

    def contents_with_file_hash(
        self, prefix: int, limit: int, after: Cursor | None = None
    ) -> Page[DiffId]:
        """Contents whose file filter holds the value."""
        found = [d for d, row in self._contents.items() if _holds(row.file_filter, prefix)]
        return _numbered_page(found, self._entries, limit, after)

    def chains_with_path_hash(
        self, crc32: int, limit: int, after: Cursor | None = None
    ) -> Page[ChainId]:
        """Layers whose change filter holds the value."""
        found = [c for c, row in self._chains.items() if _holds(row.change_filter, crc32)]
        return _numbered_page(found, self._chain_entries, limit, after)

    def changes_with_path_hash(
        self, chain_ids: Collection[ChainId], crc32: int
    ) -> Mapping[ChainId, tuple[DiffId, bytes]]:
        """Contents and encoded changes of those whose change filter holds the value."""
        rows = {c: self._chains[c] for c in chain_ids if c in self._chains}
        return {
            c: (row.diff_id, row.changes)
            for c, row in rows.items()
            if _holds(row.change_filter, crc32)
        }

    def packages_named(
        self, name: str, limit: int, version: str = ""
    ) -> list[tuple[DiffId, Package]]:
        """Packages by exact name and version."""
        found = [
            (d, package)
            for d, row in self._newest_contents()
            for package in reversed(row.packages)
            if package.name == name and version in ("", package.version)
        ]
        return found[:limit]

    def _newest_contents(self) -> list[tuple[DiffId, Contents]]:
        return sorted(self._contents.items(), key=lambda row: self._entries[row[0]], reverse=True)

    def package_changes_named(self, name: str, limit: int) -> list[tuple[ChainId, PackageChange]]:
        """What layers did to packages of exactly this name."""
        place = {chain_id: n for n, chain_id in enumerate(self._layers)}
        found = [
            (
                chain_id,
                [
                    change
                    for change in row.package_changes
                    if name in {p.name for p in (change.before, change.after) if p is not None}
                ],
            )
            for chain_id, row in self._chains.items()
        ]
        newest = sorted((f for f in found if f[1]), key=lambda f: place[f[0]], reverse=True)
        return [(chain_id, change) for chain_id, some in newest[:limit] for change in some]

    def usage(self, diff_ids: Collection[DiffId], limit: int) -> list[Hit]:
        """Chains and images that use these contents."""
        return [self._usage(diff_id, limit) for diff_id in dict.fromkeys(diff_ids)]

    def _usage(self, diff_id: DiffId, limit: int) -> Hit:
        if diff_id not in self._contents:
            return Hit(diff_id, (), ())
        every = [chain for chain, of in reversed(self._layers.items()) if of == diff_id]
        chains = tuple(every[:limit])
        holding = {
            s.image.config_digest
            for s in self._seen
            if any(layer.chain_id in every for layer in s.image.layers)
        }
        listed = [config for config in reversed(self._images) if config in holding][:limit]
        images: dict[Digest, str] = {}  # the newest name of each
        for sighting in self._newest():
            if sighting.image.config_digest in listed:
                images.setdefault(sighting.image.config_digest, sighting.image.reference)
        more = len(every) > limit or len(holding) > limit
        return Hit(diff_id, chains, tuple(images.values()), more)

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
            if event.identity not in self._events:
                self._events[event.identity] = event
                self._count(event)
                self._changes += event.kind is EventKind.PUSH
        return len(self._events) - before

    def _count(self, event: Event) -> None:
        known = self._activity.get(_deed(event))
        first = min(event.at, known.first_at) if known else event.at
        last = max(event.at, known.last_at) if known else event.at
        self._activity[_deed(event)] = Activity(
            event.kind,
            event.registry,
            event.repository,
            event.account,
            event.country,
            event.host,
            first,
            last,
            known.count + 1 if known else 1,
        )

    def events(self) -> Iterator[Event]:
        """All of them, newest first."""
        numbered = enumerate(self._events.values())
        newest = sorted(numbered, key=lambda n: (n[1].at, n[0]), reverse=True)
        return iter([event for _, event in newest])

    def events_page(self, limit: int, after: Cursor | None = None, **wanted: str) -> Page[Event]:
        """Some of them, newest first."""
        numbered = [
            (event, Cursor(_micros(event.at), number))
            for number, event in enumerate(self._events.values())
            if all(not value or getattr(event, name) == value for name, value in wanted.items())
        ]
        return _page(numbered, limit, after)

    def pushers_of_layers(
        self, chain_ids: Collection[ChainId]
    ) -> Mapping[ChainId, tuple[Pusher, ...]]:
        """By layer, who pushed images that hold it at its place."""
        found = {chain_id: self._pushers(self._manifests_with(chain_id)) for chain_id in chain_ids}
        return {chain_id: pushers for chain_id, pushers in found.items() if pushers}

    def pushers_of_images(
        self, manifests: Collection[Digest]
    ) -> Mapping[Digest, tuple[Pusher, ...]]:
        """By manifest digest, who pushed it."""
        found = {digest: self._pushers({digest}) for digest in manifests}
        return {digest: pushers for digest, pushers in found.items() if pushers}

    def activity_of_layers(
        self, chain_ids: Collection[ChainId]
    ) -> Mapping[ChainId, tuple[Activity, ...]]:
        """By layer, what was done with images that hold it at its place."""
        found = {
            chain_id: self._around(self._manifests_with(chain_id), chain_id)
            for chain_id in chain_ids
        }
        return {chain_id: listed for chain_id, listed in found.items() if listed}

    def activity_of_images(
        self, manifests: Collection[Digest]
    ) -> Mapping[Digest, tuple[Activity, ...]]:
        """By manifest digest, what was done with it."""
        found = {digest: self._around({digest}, None) for digest in manifests}
        return {digest: listed for digest, listed in found.items() if listed}

    def deeds(self) -> Iterator[Deed]:
        """All activity."""
        found = list(self._activity.items())
        return iter([Deed(manifest, chain, item) for (manifest, chain, *_), item in found])

    def put_deeds(self, deeds: Sequence[Deed]) -> int:
        """At least this was done; how many say more than was there."""
        changed = 0
        for deed in deeds:
            item = deed.activity
            key = _done(deed.manifest_digest, deed.chain_id, item)
            known = self._activity.get(key)
            wider = _widest(item, known) if known else item
            if wider != known:
                self._activity[key] = wider
                self._changes += item.kind is EventKind.PUSH
                changed += 1
        return changed

    def mounts_of_blobs(self, digests: Collection[Digest]) -> Mapping[Digest, tuple[Activity, ...]]:
        """By blob, who mounted it where."""
        found = {digest: self._around({digest}, None, mounts=True) for digest in digests}
        return {digest: listed for digest, listed in found.items() if listed}

    def accounts(self) -> list[Account]:
        """Every account that did something."""
        named: dict[tuple[str, str], list[Activity]] = {}
        for item in self._activity.values():
            if item.account:
                named.setdefault((item.registry, item.account), []).append(item)
        return [
            Account(
                *key,
                min(item.first_at for item in found),
                max(item.last_at for item in found),
                {
                    kind: sum(item.count for item in found if item.kind is kind)
                    for kind in sorted({item.kind for item in found})
                },
            )
            for key, found in sorted(named.items())
        ]

    def _manifests_with(self, chain_id: ChainId) -> set[Digest]:
        return {
            s.image.manifest_digest
            for s in self._seen
            if s.image.manifest_digest is not None
            and any(layer.chain_id == chain_id for layer in s.image.layers)
        }

    def _around(
        self, manifests: Collection[Digest], chain_id: ChainId | None, *, mounts: bool = False
    ) -> tuple[Activity, ...]:
        summed: dict[tuple[object, ...], Activity] = {}
        for (manifest, chain, *_), item in self._activity.items():
            if (item.kind is EventKind.MOUNT) is not mounts:
                continue
            if manifest in manifests or (chain is not None and chain == chain_id):
                key = tuple(getattr(item, name) for name in _SAID)
                known = summed.get(key)
                summed[key] = item if known is None else _sum(known, item)
        return tuple(sorted(summed.values(), key=_activity_order))

    def _pushers(self, manifests: Collection[Digest]) -> tuple[Pusher, ...]:
        first: dict[tuple[str, str], datetime] = {}
        for item in self._around(manifests, None):
            if item.kind is EventKind.PUSH:
                key = item.registry, item.account
                first[key] = min(first.get(key, item.first_at), item.first_at)
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

    def verdicts_page(
        self, limit: int, after: Cursor | None = None, *, reference: str = "", decision: str = ""
    ) -> Page[VerdictRecord]:
        """Some of them, newest first."""
        numbered = [
            (record, Cursor(_micros(record.decided_at), number))
            for number, record in enumerate(self._verdicts.values())
            if reference in ("", record.verdict.reference)
            and decision in ("", record.verdict.decision)
        ]
        return _page(numbered, limit, after)

    # --- retention ---

    def prune(self, kept: Retention) -> Pruned:
        """Delete what is older than the retention says."""
        events = self._drop(self._events, lambda event: event.at, kept.events)
        verdicts = self._drop(self._verdicts, lambda record: record.decided_at, kept.verdicts)
        before = set(self._layers)
        images = 0 if kept.images is None else self._drop_images(kept.images)
        return Pruned(events, verdicts, images, len(before - set(self._layers)))

    def _drop(
        self, rows: dict[str, T], time_of: Callable[[T], datetime], before: datetime | None
    ) -> int:
        going = [] if before is None else [k for k, row in rows.items() if time_of(row) < before]
        for key in going:
            del rows[key]
        return len(going)

    def _drop_images(self, before: datetime) -> int:
        trusted = {record.config_digest for record in self._trust.values()}
        going = {
            config
            for config, at in self._images.items()
            if at < before and config not in trusted and not self._used(config, before)
        }
        layers = {
            (layer.chain_id, layer.diff_id)
            for s in self._seen
            if s.image.config_digest in going
            for layer in s.image.layers
        }
        self._seen = [s for s in self._seen if s.image.config_digest not in going]
        self._images = {c: at for c, at in self._images.items() if c not in going}
        held = {layer.chain_id for s in self._seen for layer in s.image.layers}
        held |= {chain for record in self._trust.values() for chain in record.chain_ids}
        lone = {(chain_id, diff_id) for chain_id, diff_id in layers if chain_id not in held}
        for chain_id, _ in lone:
            self._layers.pop(chain_id, None)
            self._chains.pop(chain_id, None)
        for _, diff_id in lone:
            if diff_id not in self._layers.values():
                self._contents.pop(diff_id, None)
                self._blobs = {d: b for d, b in self._blobs.items() if b.diff_id != diff_id}
        self._changes += len(going)
        return len(going)

    def _used(self, config: Digest, before: datetime) -> bool:
        sightings = [s for s in self._seen if s.image.config_digest == config]
        manifests = {s.image.manifest_digest for s in sightings} - {None}
        return any(s.seen_at >= before for s in sightings) or any(
            manifest in manifests and item.last_at >= before
            for (manifest, *_), item in self._activity.items()
        )

    # --- small cached documents ---

    def cached(self, key: str) -> bytes | None:
        """A value put by `put_cached`."""
        return self._cached.get(key)

    def put_cached(self, key: str, value: bytes) -> None:
        """Insert or replace."""
        self._cached[key] = value

    def put_learned(self, name: str, value: bytes) -> None:
        """Insert or replace; verdicts may be others now."""
        self._changes += 1
        self.put_cached(f"learned {name}", value)

    def close(self) -> None:
        """Nothing is open."""


def _holds(data: bytes, value: int) -> bool:
    """Whether sorted little-endian uint32 numbers have this one."""
    numbers = range(len(data) // 4)
    place = bisect_left(
        numbers, value, key=lambda n: int.from_bytes(data[4 * n : 4 * n + 4], "little")
    )
    return place < len(numbers) and data[4 * place : 4 * place + 4] == value.to_bytes(4, "little")


_SAID = ("kind", "registry", "repository", "account", "country", "host")


def _deed(event: Event) -> _Done:
    """What an event says but for its time; the image (of a mount: the blob) and the layer first."""
    return _done(event.manifest_digest or event.blob_digest, event.chain_id, event)


def _done(manifest: Digest | None, chain: ChainId | None, said: Event | Activity) -> _Done:
    s = said
    return manifest, chain, s.kind, s.registry, s.repository, s.account, s.country, s.host


def _sum(one: Activity, other: Activity) -> Activity:
    return replace(
        one,
        first_at=min(one.first_at, other.first_at),
        last_at=max(one.last_at, other.last_at),
        count=one.count + other.count,
    )


def _widest(one: Activity, other: Activity) -> Activity:
    return replace(
        one,
        first_at=min(one.first_at, other.first_at),
        last_at=max(one.last_at, other.last_at),
        count=max(one.count, other.count),
    )


def _activity_order(item: Activity) -> tuple[object, ...]:
    return (item.first_at, *(getattr(item, name) for name in _SAID))


def _micros(time: datetime) -> int:
    return (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _numbered_page(
    found: Collection[D], numbers: Mapping[D, int], limit: int, after: Cursor | None
) -> Page[D]:
    return _page([(item, Cursor(0, numbers[item])) for item in found], limit, after)


def _page(numbered: list[tuple[T, Cursor]], limit: int, after: Cursor | None) -> Page[T]:
    """One page of what stands in any order."""
    last = after or NEWEST
    older = [item for item in numbered if (item[1].at, item[1].key) < (last.at, last.key)]
    older.sort(key=lambda item: (item[1].at, item[1].key), reverse=True)
    return Page.of(older[: limit + 1], limit)
