"""From an image source to index rows: each layer's contents are read at most once.

1. The source resolves the reference: manifest and config, verified.
2. A layer is *known* when its contents are in the index, read by today's analysers, and its blob is
   known to hold them. Known contents in an unknown blob are only verified: a manifest may name any
   blob for a DiffID, and nobody has looked into this one yet. Where a source names layers by DiffID
   alone (docker-archive, daemon), every loader checks that DiffID, so knowing it is enough.
3. What is left is read, largest first, side by side; a layer that another process is reading is
   waited for, not read twice. Each layer is written in one transaction by the
   process that read it; its DiffID must be the one that the config states.
4. Chain rows (what a layer does to the tree below it) are computed for chains that have none, and
   written together with the image in one transaction.

A crash at any point leaves finished layers in the index and nothing else; the next run goes on.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from layerproof.analysis.dispatch import Dispatch
from layerproof.analysis.registry import analysers_key
from layerproof.engine.chains import chain_records
from layerproof.engine.needs import Indexed, Need, need_now, needs_of, wrong_contents
from layerproof.engine.ports import DONE, Clock, ImageSource, Index, Observer, Workers
from layerproof.errors import DigestMismatchError, LayerproofError
from layerproof.model.contents import BlobRecord, Contents
from layerproof.model.digest import DiffId
from layerproof.model.image import Image, Layer, Platform
from layerproof.oci.digests import MakeDigests, PlainDigests
from layerproof.oci.entrycodec import encode, file_filter, path_filter
from layerproof.oci.limits import Limits
from layerproof.oci.manifestcodec import encode as encode_manifests
from layerproof.oci.reader import BlobReader, Stream, read_layer, verify_blob
from layerproof.oci.tar import TarWalker


@dataclass(frozen=True, slots=True)
class Indexer:
    """All that indexing needs, put together by `wiring`."""

    index: Index
    workers: Workers
    clock: Clock
    dispatch: Dispatch
    limits: Limits
    digests: MakeDigests = PlainDigests

    @property
    def analysers(self) -> str:
        """What the contents are read with, as `Contents.analysers` has it."""
        return analysers_key(self.dispatch.analysers)

    def run(
        self,
        source: ImageSource,
        observer: Observer,
        *,
        platform: Platform | None = None,
        image: Image | None = None,
    ) -> Indexed:
        """Index one image: `image` where the source has resolved it already. Raises SourceError,
        CorruptImageError, LimitExceededError, IndexUnavailableError; finished layers stay indexed
        then."""
        image = image or source.resolve(platform)
        needs = needs_of(self.index, image, self.analysers)
        observer.resolved(image, [p for p, need in needs.items() if need is Need.NOTHING])
        self._read(source, image, needs, observer)
        records = chain_records(self.index, image, self.analysers, self.limits)
        self.index.put_image(image, records, self.clock.now())
        return Indexed(image, needs)

    # --- step 3 ----------------------------------------------------------------------------------

    def _read(
        self,
        source: ImageSource,
        image: Image,
        needs: Mapping[int, Need],
        observer: Observer,
    ) -> None:
        jobs = [p for p, need in needs.items() if need is not Need.NOTHING]
        if not jobs:
            return

        def report(position: int, count: int) -> None:
            if count == DONE:
                observer.layer_done(position)
            else:
                observer.layer_progress(position, count)

        if not source.random_access:
            self._read_in_passing(source, image, set(jobs), report)
            return
        sizes = {p: _stored_size(image.layers[p]) for p in jobs}
        total = sum(sizes.values())
        jobs.sort(key=lambda p: sizes[p], reverse=True)

        def work(position: int, report: Callable[[int, int], None]) -> None:
            # One layer that outweighs all others would leave the other processors idle.
            outweighs = len(jobs) == 1 or 2 * sizes[position] >= total > 0
            threads = self.workers.count > 1 and outweighs
            with self.index.claim(image.layers[position].diff_id):
                need = need_now(self.index, image.layers[position], self.analysers)
                if need is not Need.NOTHING:
                    for _, chunks in source.layers([position]):
                        layer = image.layers[position]
                        self._one(layer, chunks, need, image, report, threads=threads)
            report(position, DONE)

        self.index.close()
        source.close()
        self.workers.run(jobs, work, report)

    def _read_in_passing(
        self,
        source: ImageSource,
        image: Image,
        wanted: set[int],
        report: Callable[[int, int], None],
    ) -> None:
        """A source that is one stream: layers come in its order, perhaps without their names."""
        seen: set[DiffId] = set()
        for layer, chunks in source.layers(sorted(wanted)):
            found = self._one(layer, chunks, Need.READ, image, report, threads=True)
            seen.add(found)
            for other in image.layers:
                if other.diff_id == found and other.position in wanted:
                    report(other.position, DONE)
        missing = [p for p in sorted(wanted) if image.layers[p].diff_id not in seen]
        if missing:
            raise DigestMismatchError(
                f"the source never sent layer {missing[0]} ({image.layers[missing[0]].diff_id})",
                where=image.reference,
                remedy="the archive does not hold what its config states; save the image again",
            )

    def _one(
        self,
        layer: Layer | None,
        chunks: Iterator[bytes],
        need: Need,
        image: Image,
        report: Callable[[int, int], None],
        *,
        threads: bool,
    ) -> DiffId:
        where = image.reference if layer is None else f"{image.reference} layer {layer.position}"
        position = 0 if layer is None else layer.position
        blob = BlobReader(
            chunks,
            self.limits,
            expected=None if layer is None else layer.blob,
            where=where,
            progress=lambda count: report(position, count),
            monotonic=self.clock.monotonic,
        )
        try:
            if need is Need.VERIFY:
                stream = verify_blob(blob)
                contents = None
            else:
                stream, contents = self._contents(blob, threads=threads)
        except LayerproofError as error:
            error.where = error.where or where
            raise
        _check_diff_id(stream.diff_id, layer, image)
        record = _blob_record(stream, layer)
        if contents is not None:
            self.index.put_contents(contents, record)
        elif record is not None:
            self.index.put_blob(record)
        return stream.diff_id

    def _contents(self, blob: BlobReader, *, threads: bool) -> tuple[Stream, Contents]:
        analysis = self.dispatch.start()
        walker = TarWalker(self.dispatch, analysis.file, self.limits, self.digests())
        stream = read_layer(blob, walker, threads=threads)
        for path in walker.too_large:
            reason = f"larger than {self.limits.capture_bytes} bytes"
            analysis.skip(self.dispatch.match(path), path, reason)
        facts = analysis.finish(walker.entries)
        notes = [("reader", b"", f"{note} ({n} times)") for note, n in walker.notes.items()]
        return stream, Contents(
            diff_id=stream.diff_id,
            analysers=self.analysers,
            size=stream.size,
            entry_count=len(walker.entries),
            file_bytes=walker.file_bytes,
            entries=encode(walker.entries),
            path_filter=path_filter(walker.entries),
            file_filter=file_filter(walker.entries),
            packages=facts.packages,
            package_files=facts.package_files,
            facts=facts.facts,
            skipped=(*facts.skipped, *notes),
            manifests=encode_manifests(facts.manifests),
            scripts=facts.scripts,
        )


def _stored_size(layer: Layer) -> int:
    return layer.blob.size if layer.blob is not None else 0


def _blob_record(stream: Stream, layer: Layer | None) -> BlobRecord | None:
    if layer is None or layer.blob is None:
        return None
    return BlobRecord(
        digest=layer.blob.digest,
        diff_id=stream.diff_id,
        size=stream.blob_size,
        media_type=layer.blob.media_type,
    )


def _check_diff_id(found: DiffId, layer: Layer | None, image: Image) -> None:
    if layer is None:
        if all(found != other.diff_id for other in image.layers):
            raise DigestMismatchError(
                f"the source sent a layer ({found}) that the image's config does not name",
                where=image.reference,
                remedy="the archive does not hold what its config states; save the image again",
            )
    elif found != layer.diff_id:
        raise wrong_contents(layer, found)
