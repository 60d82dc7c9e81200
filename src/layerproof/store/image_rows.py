"""Images, as rows: the image, what a source said of it (a view), and its names.

An image is known by its config digest. A registry presents it with a manifest, `docker save`
without one; each presentation is a view, and each name belongs to the view under which it was
seen. So an image comes back under a name exactly as it was put, and by its config digest with
the most that is known: the newest view that has a manifest, or else the newest.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any

from layerproof.engine.ports import Hit, ImageRecord, Sighting
from layerproof.model.contents import ChainRecord
from layerproof.model.digest import ChainId, DiffId, Digest
from layerproof.model.facts import NamedBuild
from layerproof.model.image import Descriptor, History, Image, Layer, Platform
from layerproof.model.page import Cursor, Page
from layerproof.store import codec, counter_rows, layer_rows, search_rows, segment_rows
from layerproof.store.executor import Executor, Row, Session, rows_for

# An image to read: its key, and which view under which name; `records` chooses what is None.
Wanted = tuple[int, int | None, str | None]


def write(
    executor: Executor,
    image: Image,
    chains: Sequence[ChainRecord],
    indexed_at: datetime,
    seen_at: datetime,
) -> None:
    """The image, its name and its chain rows, in one transaction."""
    encoded = layer_rows.encode(chains)
    config_digest = codec.raw(image.config_digest)
    config = codec.document(image.config)
    now = codec.micros(indexed_at)
    view = _view_document(image)
    identity = sha256(config_digest + view).digest()
    with executor.write() as session:
        last = search_rows.newest(session)
        layers = layer_rows.write(session, image, encoded)
        session.run("put_image", config_digest=config_digest, config=config, indexed_at=now)
        key = session.rows("image_by_config", config_digest=config_digest)[0][0]
        session.run_many("put_image_layer", [(key, n, layer) for n, layer in enumerate(layers)])
        if layers:
            session.run("put_image_top", image_id=key, layer_id=layers[-1])
        session.run(
            "put_view",
            image_id=key,
            identity=identity,
            manifest_digest=codec.raw_or_none(image.manifest_digest),
            index_digest=codec.raw_or_none(image.index_digest),
            document=view,
        )
        view_key = session.rows("view_by_identity", identity=identity)[0][0]
        name = {"reference": codec.text(image.reference), "view_id": view_key}
        # Not updated but made anew: among names seen at the same moment the last one is newest.
        moment = codec.micros(seen_at)
        if not session.rows("name_seen_after", moment=moment, **name):
            session.run("drop_name", **name)
            session.run("put_name", seen_at=moment, **name)
        counter_rows.change_state(session)
        due = segment_rows.is_due(session, last, search_rows.newest(session))
    if due:
        segment_rows.work(executor)


def by_config(session: Session, digest: Digest) -> ImageRecord | None:
    """By config digest."""
    rows = session.rows("image_by_config", config_digest=codec.raw(digest))
    return next(iter(records(session, [(key, None, None) for (key,) in rows])), None)


def by_manifest(session: Session, digest: Digest) -> ImageRecord | None:
    """By manifest digest; or by index digest, if that names one image only."""
    rows = session.rows("views_by_manifest", manifest_digest=codec.raw(digest))
    if not rows:
        rows = session.rows("views_by_index", index_digest=codec.raw(digest))
        if len({image for image, _ in rows}) != 1:
            return None
    return records(session, [(*rows[0], None)])[0]


def of_index(session: Session, digest: Digest) -> list[ImageRecord]:
    """Those that were chosen from this image index, the last one seen first."""
    rows = session.rows("views_by_index", index_digest=codec.raw(digest))
    views = dict(reversed([(image, view) for image, view in rows]))  # the last one seen of each
    order = dict.fromkeys(image for image, _ in rows)
    return records(session, [(image, views[image], None) for image in order])


def by_name(session: Session, reference: str) -> list[ImageRecord]:
    """Every view seen under this name, the last one first."""
    rows = session.rows("views_by_name", reference=codec.text(reference))
    return records(session, [(image, view, reference) for image, view in rows])


def builds_named(session: Session, references: Collection[str], most: int) -> list[NamedBuild]:
    """What each of these names stood for, the newest first."""
    found = []
    for reference in dict.fromkeys(references):
        rows = session.rows("builds_named", reference=codec.text(reference), limit=most)
        with codec.decoding("row of a name"):
            found += [
                NamedBuild(
                    reference,
                    codec.digest(Digest, manifest),
                    codec.digest(ChainId, top),
                    codec.unmicros(seen_at),
                )
                for manifest, top, seen_at in rows
                if manifest is not None and top is not None
            ]
    return found


def sightings(session: Session, config_digest: Digest) -> list[Sighting]:
    """All of one image, under every name, the oldest first."""
    rows = session.rows("sightings", config_digest=codec.raw(config_digest))
    wanted = [(image, view, codec.untext(name)) for image, view, name, _ in rows]
    found = records(session, wanted)
    return [
        Sighting(record.image, codec.unmicros(row[3]))
        for record, row in zip(found, rows, strict=True)
    ]


def with_chain(session: Session, chain_id: ChainId) -> list[ImageRecord]:
    """Those that hold this layer, newest first."""
    rows = session.rows("images_with_chain", chain_id=codec.raw(chain_id))
    return records(session, [(image, None, None) for (image,) in rows])


def page(
    session: Session, limit: int, after: Cursor | None, part: str, chain_id: ChainId | None
) -> Page[ImageRecord]:
    """Some of them, the last one indexed first; with `part` in a name, or with a layer, where
    given."""
    asked = {**codec.before(after), "limit": limit + 1}
    if chain_id is not None:
        rows = session.rows("images_page_with_chain", chain_id=codec.raw(chain_id), **asked)
    elif part:
        rows = session.rows("images_page_named", part=codec.text(part), **asked)
    else:
        rows = session.rows("images_page", **asked)
    found = records(session, [(key, None, None) for key, _ in rows])
    cursors = [Cursor(indexed_at, key) for key, indexed_at in rows]
    return Page.of(list(zip(found, cursors, strict=True)), limit)


def with_tops(session: Session, chain_ids: Collection[ChainId]) -> list[ImageRecord]:
    """Those whose top layer is one of these."""
    keys = [codec.raw(chain_id) for chain_id in chain_ids]
    found = [image for (image,) in rows_for(session, "images_by_top", keys)]
    return records(session, [(image, None, None) for image in sorted(found, reverse=True)])


def records(session: Session, wanted: Sequence[Wanted]) -> list[ImageRecord]:
    """Read all of them, in the order wanted, in few round trips; without those that are gone."""
    names = _names(session, [image for image, _, _ in wanted])
    wanted = [item for item in wanted if names[item[0]]]
    images = [image for image, _, _ in wanted]
    chosen = [_chosen(view, name, names[image]) for image, view, name in wanted]
    views: dict[int, bytes] = dict(rows_for(session, "record_views", [view for view, _ in chosen]))
    heads = {row[0]: row for row in rows_for(session, "record_images", images)}
    layers: dict[int, list[Row]] = {image: [] for image in images}
    for image, *layer in rows_for(session, "record_layers", images):
        layers[image].append(tuple(layer))
    same: dict[_Place, Layer] = {}
    with codec.decoding("row of an image"):
        return [
            _record(heads[image], layers[image], views[view], reference, names[image], same)
            for image, (view, reference) in zip(images, chosen, strict=True)
        ]


def usage(session: Session, diff_ids: Collection[DiffId], limit: int) -> list[Hit]:
    """The newest of the chains and images that use these contents."""
    layers: dict[bytes, dict[int, ChainId]] = {codec.raw(d): {} for d in diff_ids}
    for diff_id, key, chain_id in rows_for(session, "usage_layers", list(layers), most=limit):
        layers[diff_id][key] = codec.digest(ChainId, chain_id)
    images: dict[int, set[int]] = {}
    keys = [key for chains in layers.values() for key in chains]
    for layer, image in rows_for(session, "usage_images", keys, most=limit):
        images.setdefault(layer, set()).add(image)
    used = {of: _used(chains, images, limit) for of, chains in layers.items()}
    names = _newest_names(session, {image for found in used.values() for image in found})
    order = {image: place for place, image in enumerate(names)}
    shown = {
        of: sorted((image for image in found[:limit] if image in order), key=order.__getitem__)
        for of, found in used.items()
    }
    return [
        Hit(
            diff_id=codec.digest(DiffId, diff_id),
            chain_ids=tuple(chains.values())[:limit],
            images=tuple(names[image] for image in shown[diff_id]),
            more=len(chains) > limit or len(used[diff_id]) > limit,
        )
        for diff_id, chains in layers.items()
    ]


def _used(layers: Iterable[int], images: Mapping[int, set[int]], limit: int) -> list[int]:
    """The newest images that hold one of the layers, and one more if there are more."""
    used = {image for layer in layers for image in images.get(layer, ())}
    return sorted(used, reverse=True)[: limit + 1]


def _newest_names(session: Session, images: Collection[int]) -> Mapping[int, str]:
    """By image; the image that was seen last stands first."""
    newest: dict[int, tuple[int, int, str]] = {}
    for image, seen_at, key, reference in rows_for(session, "newest_names", images):
        newest[image] = max(newest.get(image, (0, 0, "")), (seen_at, key, reference))
    order = sorted(newest, key=lambda image: newest[image], reverse=True)
    return {image: codec.untext(newest[image][2]) for image in order}


# --- putting records together ------------------------------------------------------------------

_Name = tuple[int, bool, str]  # view, whether it has a manifest, reference


def _names(session: Session, images: Collection[int]) -> Mapping[int, list[_Name]]:
    """Every name, newest first."""
    names: dict[int, list[_Name]] = {image: [] for image in images}
    for image, view, manifest, reference in rows_for(session, "record_names", images):
        names[image].append((view, manifest is not None, codec.untext(reference)))
    return names


def _chosen(view: int | None, reference: str | None, names: list[_Name]) -> tuple[int, str]:
    """The view to show, and the name to show it under."""
    if view is None:
        view = next((view for view, manifest, _ in names if manifest), names[0][0])
    if reference is None:
        reference = next(reference for of, _, reference in names if of == view)
    return view, reference


# What tells a layer in an image from others: position, ChainID, its blob and what made it.
_Place = tuple[int, bytes, str, str, int, str]


def _layer(
    position: int,
    row: Row,
    blob: list[Any] | None,
    created_by: str,
    same: dict[_Place, Layer],
) -> Layer:
    """Images share most of their layers: what many of them hold is made once."""
    chain_id, diff_id = row
    place = None
    if blob is not None and not blob[3]:  # those with annotations are made each
        place = (position, chain_id, blob[0], blob[1], blob[2], created_by)
        if place in same:
            return same[place]
    made = Layer(
        position=position,
        diff_id=codec.digest(DiffId, diff_id),
        chain_id=codec.digest(ChainId, chain_id),
        blob=_undescriptor(blob),
        created_by=created_by,
    )
    if place is not None:
        same[place] = made
    return made


def _record(
    head: Row,
    layers: list[Row],
    view: bytes,
    reference: str,
    names: list[_Name],
    same: dict[_Place, Layer],
) -> ImageRecord:
    _, config_digest, config, indexed_at = head
    said = codec.undocument(view)
    image = Image(
        reference=reference,
        config_digest=codec.digest(Digest, config_digest),
        platform=Platform(*said["platform"]),
        layers=tuple(
            _layer(position, row, blob, created_by, same)
            for position, (row, (blob, created_by)) in enumerate(
                zip(layers, said["layers"], strict=True)
            )
        ),
        config=codec.undocument(config),
        manifest_digest=_digest(said["manifestDigest"]),
        index_digest=_digest(said["indexDigest"]),
        manifest=said["manifest"],
        history=tuple(History(*entry) for entry in said["history"]),
        notes=tuple(said["notes"]),
    )
    every = tuple(dict.fromkeys(name for _, _, name in names))
    return ImageRecord(image, every, codec.unmicros(indexed_at))


def _view_document(image: Image) -> bytes:
    """All of an image but its name, its config and the digests of its layers."""
    platform = image.platform
    return codec.document(
        {
            "platform": [platform.os, platform.architecture, platform.variant],
            "layers": [[_descriptor(layer.blob), layer.created_by] for layer in image.layers],
            "manifestDigest": image.manifest_digest,
            "indexDigest": image.index_digest,
            "manifest": image.manifest,
            "history": [
                [h.created, h.created_by, h.comment, h.author, h.empty_layer] for h in image.history
            ],
            "notes": image.notes,
        }
    )


def _descriptor(blob: Descriptor | None) -> list[object] | None:
    if blob is None:
        return None
    return [blob.media_type, blob.digest, blob.size, dict(blob.annotations)]


def _undescriptor(values: Any) -> Descriptor | None:
    if values is None:
        return None
    media_type, digest, size, annotations = values
    return Descriptor(media_type, Digest(digest), size, annotations)


def _digest(value: str | None) -> Digest | None:
    return None if value is None else Digest(value)
