"""Layers at their place, by ChainID, as rows."""

from collections.abc import Collection, Iterator, Sequence

from layerproof.model.contents import ChainRecord
from layerproof.model.digest import ChainId, DiffId
from layerproof.model.image import Image
from layerproof.model.ownership import NO_INTEGRITY
from layerproof.model.package import PackageChange
from layerproof.store import codec, search_rows
from layerproof.store.contents_rows import analyser_set
from layerproof.store.executor import Row, Session, rows_for


def known(session: Session, chain_ids: Collection[ChainId], analysers: str) -> set[ChainId]:
    """Those whose changes were made with exactly these analysers."""
    rows = rows_for(
        session, "layers_known", [codec.raw(c) for c in chain_ids], names=codec.text(analysers)
    )
    return {codec.digest(ChainId, chain_id) for (chain_id,) in rows}


def read(session: Session, chain_ids: Sequence[ChainId]) -> list[ChainRecord | None]:
    """The rows, in the order asked."""
    rows = rows_for(session, "layer_records", [codec.raw(c) for c in chain_ids])
    records = {record.chain_id: record for record in map(_record, rows)}
    return [records.get(chain_id) for chain_id in chain_ids]


def package_changes_named(
    session: Session, name: str, limit: int
) -> list[tuple[ChainId, PackageChange]]:
    """What layers did to packages of this name, the last layer put first."""
    rows = session.rows("package_changes_named", name=codec.text(name), limit=limit)
    with codec.decoding("package changes of a layer"):
        return [
            (codec.digest(ChainId, chain_id), change)
            for chain_id, data in rows
            for change in codec.unpackage_changes(data)
            if name in _names(change)
        ]


EncodedChain = tuple[ChainRecord, dict[str, object], bytes | None, set[str]]


def encode(records: Sequence[ChainRecord]) -> list[EncodedChain]:
    """What `write` needs, made before its transaction begins."""
    return [
        (
            record,
            {
                "counts": codec.counts(record.counts),
                "package_changes": codec.package_changes(record.package_changes),
                "changes": record.changes,
            },
            None if record.integrity == NO_INTEGRITY else codec.integrity(record.integrity),
            {name for change in record.package_changes for name in _names(change)},
        )
        for record in records
    ]


def write(session: Session, image: Image, records: Sequence[EncodedChain]) -> list[int]:
    """All layers of the image and the given records; the keys of the image's layers, in order."""
    identities = {row[0]: row for row in _identities(image, records)}
    session.run_many("put_layer", identities.values())
    keys: dict[bytes, int] = dict(rows_for(session, "layer_ids", list(identities)))
    made_with: dict[int, int] = dict(rows_for(session, "layer_change_sets", list(keys.values())))
    filters = []
    for record, columns, integrity, names in records:
        key = keys[codec.raw(record.chain_id)]
        analysers = analyser_set(session, record.analysers)
        if made_with.get(key) != analysers:
            session.run("drop_layer_change", layer_id=key)
            session.run("put_layer_change", layer_id=key, analyser_set_id=analysers, **columns)
            if integrity is not None:
                session.run("put_layer_integrity", layer_id=key, integrity=integrity)
            session.run_many(
                "put_package_change",
                [(key, codec.text(name)) for name in sorted(names)],
            )
            filters.append((key, record.change_filter))
            made_with[key] = analysers
    search_rows.put_changes(session, filters)
    return [keys[codec.raw(layer.chain_id)] for layer in image.layers]


_Identity = tuple[bytes, bytes | None, int, bytes]  # a row of the table `layer`


def _identities(image: Image, records: Sequence[EncodedChain]) -> Iterator[_Identity]:
    parent: ChainId | None = None
    for layer in image.layers:
        yield _identity(layer.chain_id, parent, layer.position, layer.diff_id)
        parent = layer.chain_id
    for record, *_ in records:
        yield _identity(record.chain_id, record.parent, record.position, record.diff_id)


def _identity(
    chain_id: ChainId, parent: ChainId | None, position: int, diff_id: DiffId
) -> _Identity:
    return codec.raw(chain_id), codec.raw_or_none(parent), position, codec.raw(diff_id)


def _names(change: PackageChange) -> set[str]:
    return {package.name for package in (change.before, change.after) if package is not None}


def _record(row: Row) -> ChainRecord:
    chain_id, parent, position, diff_id, names, counts, package_changes, changes, *rest = row
    integrity, change_filter = rest
    with codec.decoding("row of a layer"):
        return ChainRecord(
            chain_id=codec.digest(ChainId, chain_id),
            parent=codec.digest_or_none(ChainId, parent),
            position=position,
            diff_id=codec.digest(DiffId, diff_id),
            analysers=codec.untext(names),
            counts=codec.uncounts(counts),
            changes=changes,
            change_filter=change_filter or b"",
            package_changes=codec.unpackage_changes(package_changes),
            integrity=NO_INTEGRITY if integrity is None else codec.unintegrity(integrity),
        )
