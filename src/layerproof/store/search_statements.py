"""The statements of searches and of what makes them fast (docs/adr/0016)."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Column, Executable, Select, bindparam, delete, func, or_, select, update
from sqlalchemy import literal_column as literal

from layerproof.store.schema import (
    change_filter,
    contents,
    file_filter,
    image_layer,
    image_name,
    image_view,
    layer,
    layer_change,
    package,
    package_change,
    path_filter,
    search_entry,
    search_posting,
    search_segment,
)
from layerproof.store.sql_parts import Insert, in_, is_


def search_statements(insert: Insert) -> Mapping[str, Executable]:
    """All of them, by name."""
    return {**_packages(), **_usage(), **_entries(insert), **_segments(insert)}


def package_columns() -> tuple[Column[Any], ...]:
    """A package, as `layerproof.store.codec.package_of_columns` reads it."""
    c = package.c
    return (
        c.type,
        c.name,
        c.version,
        c.path,
        c.architecture,
        c.source,
        c.source_version,
        c.licence,
        c.distribution,
        c.module,
    )


def _packages() -> Mapping[str, Executable]:
    """The newest first."""
    return {
        "packages_named": _some(
            select(contents.c.diff_id, *package_columns())
            .select_from(package.join(contents))
            .where(
                is_(package.c.name),
                or_(
                    bindparam("version") == literal("''"), package.c.version == bindparam("version")
                ),
            )
            .order_by(package.c.contents_id.desc(), package.c.position.desc())
        ),
        "package_changes_named": _some(
            select(layer.c.chain_id, layer_change.c.package_changes)
            .select_from(package_change.join(layer_change).join(layer))
            .where(is_(package_change.c.name))
            .order_by(package_change.c.layer_id.desc())
        ),
    }


def _some(statement: Select[Any]) -> Select[Any]:
    return statement.limit(bindparam("limit")).offset(literal("0"))


def _usage() -> Mapping[str, Executable]:
    """The newest of what may be very many: those from the one that is `most` places down."""
    below = layer.alias("below")
    other = image_layer.alias("other")
    lowest_layer = (
        select(below.c.id)
        .where(below.c.diff_id == contents.c.diff_id)
        .order_by(below.c.id.desc())
        .limit(literal("1"))
        .offset(bindparam("most"))
        .scalar_subquery()
    )
    lowest_image = (
        select(other.c.image_id)
        .where(other.c.layer_id == layer.c.id)
        .order_by(other.c.image_id.desc())
        .limit(literal("1"))
        .offset(bindparam("most"))
        .scalar_subquery()
    )
    return {
        "usage_layers": select(contents.c.diff_id, layer.c.id, layer.c.chain_id)
        .select_from(
            contents.join(
                layer,
                (layer.c.diff_id == contents.c.diff_id)
                & (layer.c.id >= func.coalesce(lowest_layer, literal("0"))),
            )
        )
        .where(in_(contents.c.diff_id))
        .order_by(layer.c.id.desc()),
        "usage_images": select(layer.c.id, image_layer.c.image_id)
        .select_from(
            layer.join(
                image_layer,
                (image_layer.c.layer_id == layer.c.id)
                & (image_layer.c.image_id >= func.coalesce(lowest_image, literal("0"))),
            )
        )
        .where(in_(layer.c.id)),
        "newest_names": select(
            image_view.c.image_id, image_name.c.seen_at, image_name.c.id, image_name.c.reference
        )
        .select_from(image_view.join(image_name))
        .where(in_(image_view.c.image_id)),
    }


def _entries(insert: Insert) -> Mapping[str, Executable]:
    entry = search_entry
    newer = entry.c.id > bindparam("after")
    some = entry.c.id.between(bindparam("first"), bindparam("last"))
    of_contents = entry.c.contents_id == contents.c.id
    return {
        "put_search_entry": insert.plain(entry),
        "newest_entry": select(func.max(entry.c.id)),
        "entries_waiting": select(
            func.count(), func.coalesce(func.sum(entry.c.weight), literal("0"))
        ).where(newer),
        "entries_next": _some(select(entry.c.id, entry.c.weight).where(newer).order_by(entry.c.id)),
        "entries_between": select(func.count()).select_from(entry).where(some),
        "entries_there": select(entry.c.id).where(in_(entry.c.id)),
        "paths_waiting": select(entry.c.id, path_filter.c.hashes)
        .join(path_filter, path_filter.c.contents_id == entry.c.contents_id)
        .where(some),
        "files_waiting": select(entry.c.id, file_filter.c.hashes)
        .join(file_filter, file_filter.c.contents_id == entry.c.contents_id)
        .where(some),
        "changes_waiting": select(entry.c.id, change_filter.c.hashes)
        .join(change_filter, change_filter.c.layer_id == entry.c.layer_id)
        .where(some),
        "change_filters": select(change_filter.c.layer_id, change_filter.c.hashes)
        .select_from(layer.join(change_filter, change_filter.c.layer_id == layer.c.id))
        .where(in_(layer.c.chain_id)),
        "changes_of": select(layer.c.chain_id, layer.c.diff_id, layer_change.c.changes)
        .select_from(layer.join(layer_change))
        .where(in_(layer.c.id)),
        "contents_of_entries": select(entry.c.id, contents.c.diff_id)
        .select_from(entry.join(contents, of_contents))
        .where(in_(entry.c.id)),
        "layers_of_entries": select(entry.c.id, layer.c.chain_id)
        .select_from(entry.join(layer, entry.c.layer_id == layer.c.id))
        .where(in_(entry.c.id)),
    }


def _segments(insert: Insert) -> Mapping[str, Executable]:
    place = search_posting.c.place
    between = (place >= bindparam("first"), place < bindparam("end"))
    posting = select(place, search_posting.c.data)
    segment = search_segment
    return {
        "search_segments": select(*segment.c).order_by(segment.c.first),
        "put_segment": insert.plain(segment),
        "newest_segment": select(func.max(segment.c.id)),
        "set_segment": update(segment)
        .where(segment.c.id == bindparam("key"))
        .values({name: bindparam(f"new_{name}") for name in ("state", "into_id", "done_to")}),
        "drop_segment": delete(segment).where(is_(segment.c.id)),
        "postings": posting.where(in_(place)),
        "postings_between": posting.where(*between).order_by(place),
        "put_posting": insert.plain(search_posting),
        "drop_postings": delete(search_posting).where(*between),
    }
