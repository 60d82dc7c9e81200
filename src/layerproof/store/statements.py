"""Every statement that the index runs, written once, by name.

`statements("sqlite")` and `statements("postgresql")` differ only in what SQLAlchemy compiles them
to. A parameter named `keys` takes a list (`… IN (:keys)`); callers keep lists short
(`layerproof.store.executor.KEYS_AT_ONCE`). Selected columns are read by position: their order is
part of the contract with `layerproof.store.*_rows`.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import (
    Column,
    Executable,
    Select,
    Table,
    bindparam,
    delete,
    func,
    literal_column,
    not_,
    or_,
    select,
    update,
)
from sqlalchemy.sql.elements import ColumnElement

from layerproof.store.schema import (
    access_token,
    activity,
    analyser_set,
    audit,
    blob,
    cached,
    change_filter,
    contents,
    contents_entries,
    counter,
    event,
    file_filter,
    gate_tally,
    image,
    image_layer,
    image_name,
    image_top,
    image_view,
    job,
    job_report,
    layer,
    layer_change,
    layer_integrity,
    made_exception,
    package,
    package_change,
    package_manifests,
    package_script,
    path_filter,
    policy_revision,
    trust,
    trust_chain,
    verdict,
    withdrawal,
)
from layerproof.store.search_statements import package_columns, search_statements
from layerproof.store.sql_parts import Insert, in_, is_


def statements(dialect: str) -> Mapping[str, Executable]:
    """All statements for `dialect`: "sqlite" or "postgresql"."""
    insert = Insert(dialect)
    return {
        **_contents(insert),
        **search_statements(insert),
        **_layers(insert),
        **_images(insert),
        **_records(),
        **_trust(insert),
        **_events(insert),
        **_activity(insert),
        **_counters(insert),
        **_jobs(insert),
        **_access(insert),
        **_retention(),
        **_verdicts(insert),
        **_withdrawals(insert),
        "cached": select(cached.c.value).where(is_(cached.c.key)),
        "put_cached": insert.replace(cached, "key"),
    }


def _contents(insert: Insert) -> Mapping[str, Executable]:
    summary = (
        contents.c.diff_id,
        analyser_set.c.names,
        contents.c.size,
        contents.c.entry_count,
        contents.c.file_bytes,
        contents.c.skipped,
    )
    whole = (
        contents.join(analyser_set)
        .join(contents_entries)
        .join(path_filter, path_filter.c.contents_id == contents.c.id)
        .join(file_filter, file_filter.c.contents_id == contents.c.id)
    )
    return {
        "analyser_set": select(analyser_set.c.id).where(is_(analyser_set.c.names)),
        "put_analyser_set": insert.ignore(analyser_set),
        "contents_known": select(contents.c.diff_id).where(
            in_(contents.c.diff_id),
            contents.c.analyser_set_id
            == select(analyser_set.c.id).where(is_(analyser_set.c.names)).scalar_subquery(),
        ),
        "contents_head": select(contents.c.id, contents.c.analyser_set_id).where(
            is_(contents.c.diff_id)
        ),
        "contents": select(
            *summary,
            contents.c.id,
            contents.c.package_files,
            contents.c.facts,
            contents_entries.c.entries,
            path_filter.c.hashes.label("path_hashes"),
            file_filter.c.hashes.label("file_hashes"),
        )
        .select_from(whole)
        .where(is_(contents.c.diff_id)),
        "contents_entries": select(contents_entries.c.entries)
        .select_from(contents.join(contents_entries))
        .where(is_(contents.c.diff_id)),
        "contents_entries_of": select(contents.c.diff_id, contents_entries.c.entries)
        .select_from(contents.join(contents_entries))
        .where(in_(contents.c.diff_id)),
        "contents_summaries": select(*summary)
        .select_from(contents.join(analyser_set))
        .where(in_(contents.c.diff_id)),
        "contents_facts": select(contents.c.diff_id, contents.c.facts).where(
            in_(contents.c.diff_id)
        ),
        "contents_package_files": select(
            contents.c.id, contents.c.diff_id, contents.c.package_files
        ).where(in_(contents.c.diff_id)),
        "packages_of": select(package.c.contents_id, *package_columns())
        .where(in_(package.c.contents_id))
        .order_by(package.c.contents_id, package.c.position),
        "put_contents": insert.plain(contents),
        "put_entries": insert.plain(contents_entries),
        "put_path_filter": insert.plain(path_filter),
        "put_file_filter": insert.plain(file_filter),
        "put_package": insert.plain(package),
        "contents_manifests": select(package_manifests.c.manifests)
        .select_from(contents.join(package_manifests))
        .where(is_(contents.c.diff_id)),
        "put_manifests": insert.plain(package_manifests),
        "scripts_of": select(contents.c.diff_id, *_script_columns())
        .select_from(contents.join(package_script))
        .where(in_(contents.c.diff_id))
        .order_by(package_script.c.contents_id, package_script.c.position),
        # Layers of trusted images, dead trust included, with such a script.
        "trusted_scripts": select(package_script.c.sha256, layer.c.chain_id)
        .distinct()
        .select_from(
            package_script.join(contents)
            .join(layer, layer.c.diff_id == contents.c.diff_id)
            .join(trust_chain, trust_chain.c.chain_id == layer.c.chain_id)
        )
        .where(in_(package_script.c.sha256)),
        "put_script": insert.plain(package_script),
        "drop_contents": delete(contents).where(is_(contents.c.id)),
        "blobs": select(blob.c.digest, blob.c.diff_id).where(in_(blob.c.digest)),
        "put_blob": insert.ignore(blob),
    }


def _script_columns() -> tuple[Column[Any], ...]:
    c = package_script.c
    return c.package, c.kind, c.path, c.sha256


def _layers(insert: Insert) -> Mapping[str, Executable]:
    return {
        "layers_known": select(layer.c.chain_id)
        .select_from(layer.join(layer_change))
        .where(
            in_(layer.c.chain_id),
            layer_change.c.analyser_set_id
            == select(analyser_set.c.id).where(is_(analyser_set.c.names)).scalar_subquery(),
        ),
        "layer_records": select(
            layer.c.chain_id,
            layer.c.parent,
            layer.c.position,
            layer.c.diff_id,
            analyser_set.c.names,
            layer_change.c.counts,
            layer_change.c.package_changes,
            layer_change.c.changes,
            layer_integrity.c.integrity,
            change_filter.c.hashes,
        )
        .select_from(
            layer.join(layer_change)
            .join(analyser_set)
            .outerjoin(layer_integrity)
            .outerjoin(change_filter, change_filter.c.layer_id == layer_change.c.layer_id)
        )
        .where(in_(layer.c.chain_id)),
        "layer_ids": select(layer.c.chain_id, layer.c.id).where(in_(layer.c.chain_id)),
        "layer_change_sets": select(layer_change.c.layer_id, layer_change.c.analyser_set_id).where(
            in_(layer_change.c.layer_id)
        ),
        "put_layer": insert.ignore(layer),
        "put_layer_change": insert.plain(layer_change),
        "put_layer_integrity": insert.plain(layer_integrity),
        "drop_layer_change": delete(layer_change).where(is_(layer_change.c.layer_id)),
        "put_package_change": insert.plain(package_change),
        "put_change_filter": insert.plain(change_filter),
    }


def _images(insert: Insert) -> Mapping[str, Executable]:
    newest = (image.c.indexed_at.desc(), image.c.id.desc())
    return {
        "put_image": insert.replace(image, "config_digest", "indexed_at"),
        "image_by_config": select(image.c.id).where(is_(image.c.config_digest)),
        "images": select(image.c.id).order_by(*newest),
        "images_page": select(image.c.id, image.c.indexed_at)
        .where(_before(image.c.indexed_at, image.c.id))
        .order_by(*newest)
        .limit(bindparam("limit"))
        .offset(literal_column("0")),
        "images_page_with_chain": select(image.c.id, image.c.indexed_at)
        .select_from(image.join(image_layer).join(layer))
        .where(is_(layer.c.chain_id), _before(image.c.indexed_at, image.c.id))
        .order_by(*newest)
        .limit(bindparam("limit"))
        .offset(literal_column("0")),
        # A name is found by any part of it.
        "images_page_named": select(image.c.id, image.c.indexed_at)
        .where(
            _before(image.c.indexed_at, image.c.id),
            image.c.id.in_(
                select(image_view.c.image_id)
                .select_from(image_view.join(image_name))
                .where(
                    insert.place_of(bindparam("part"), image_name.c.reference) > literal_column("0")
                )
            ),
        )
        .order_by(*newest)
        .limit(bindparam("limit"))
        .offset(literal_column("0")),
        "images_with_chain": select(image.c.id)
        .select_from(image.join(image_layer).join(layer))
        .where(is_(layer.c.chain_id))
        .order_by(*newest),
        "put_image_layer": insert.ignore(image_layer),
        "put_image_top": insert.ignore(image_top),
        "images_by_top": select(image_top.c.image_id)
        .select_from(layer.join(image_top))
        .where(in_(layer.c.chain_id)),
        "put_view": insert.ignore(image_view),
        "view_by_identity": select(image_view.c.id).where(is_(image_view.c.identity)),
        "views_by_manifest": _views().where(is_(image_view.c.manifest_digest)),
        "views_by_index": _views().where(is_(image_view.c.index_digest)),
        "views_by_name": _views().where(is_(image_name.c.reference)),
        "builds_named": select(image_view.c.manifest_digest, layer.c.chain_id, image_name.c.seen_at)
        .select_from(
            image_name.join(image_view)
            .outerjoin(image_top, image_top.c.image_id == image_view.c.image_id)
            .outerjoin(layer, layer.c.id == image_top.c.layer_id)
        )
        .where(is_(image_name.c.reference))
        .order_by(image_name.c.seen_at.desc(), image_name.c.id.desc())
        .limit(bindparam("limit"))
        .offset(literal_column("0")),
        "sightings": select(
            image.c.id, image_view.c.id, image_name.c.reference, image_name.c.seen_at
        )
        .select_from(image.join(image_view).join(image_name))
        .where(is_(image.c.config_digest))
        .order_by(image_name.c.seen_at, image_name.c.id),
        "put_name": insert.plain(image_name),
        "name_seen_after": select(image_name.c.id).where(
            is_(image_name.c.reference),
            is_(image_name.c.view_id),
            image_name.c.seen_at > bindparam("moment"),
        ),
        "drop_name": delete(image_name).where(
            is_(image_name.c.reference), is_(image_name.c.view_id)
        ),
    }


def _views() -> Select[Any]:
    """Views, the one that was seen last first (once per name)."""
    return (
        select(image_view.c.image_id, image_view.c.id)
        .select_from(image_view.join(image_name))
        .order_by(image_name.c.seen_at.desc(), image_name.c.id.desc())
    )


def _records() -> Mapping[str, Executable]:
    """What an ImageRecord is put together from."""
    return {
        "record_names": select(
            image_view.c.image_id,
            image_view.c.id,
            image_view.c.manifest_digest,
            image_name.c.reference,
        )
        .select_from(image_view.join(image_name))
        .where(in_(image_view.c.image_id))
        .order_by(image_name.c.seen_at.desc(), image_name.c.id.desc()),
        "record_views": select(image_view.c.id, image_view.c.document).where(in_(image_view.c.id)),
        "record_images": select(
            image.c.id, image.c.config_digest, image.c.config, image.c.indexed_at
        ).where(in_(image.c.id)),
        "record_layers": select(image_layer.c.image_id, layer.c.chain_id, layer.c.diff_id)
        .select_from(image_layer.join(layer))
        .where(in_(image_layer.c.image_id))
        .order_by(image_layer.c.image_id, image_layer.c.position),
    }


def _trust(insert: Insert) -> Mapping[str, Executable]:
    records = select(*trust.c)
    return {
        "trust_id": select(trust.c.id).where(is_(trust.c.name)),
        "trust_records": records.order_by(trust.c.added_at.desc(), trust.c.id.desc()),
        "trust_of": records.where(
            trust.c.id.in_(select(trust_chain.c.trust_id).where(in_(trust_chain.c.chain_id)))
        ),
        "put_trust": insert.replace(trust, "name"),
        "drop_trust_chains": delete(trust_chain).where(is_(trust_chain.c.trust_id)),
        "put_trust_chain": insert.plain(trust_chain),
    }


def _events(insert: Insert) -> Mapping[str, Executable]:
    newest = (event.c.at.desc(), event.c.id.desc())
    rows = select(*event.c)
    return {
        "put_event": insert.ignore(event),
        "event_identities": select(event.c.identity).where(in_(event.c.identity)),
        "events": rows.order_by(*newest),
        "events_page": rows.where(_before(event.c.at, event.c.id), *_event_filters())
        .order_by(*newest)
        .limit(bindparam("limit"))
        .offset(literal_column("0")),
        "drop_events": _drop_some(event, event.c.at),
    }


def _event_filters() -> Iterable[ColumnElement[bool]]:
    """What a page of events is asked for."""
    return map(_wanted, (event.c.kind, event.c.registry, event.c.repository, event.c.account))


def _wanted(column: Column[Any]) -> ColumnElement[bool]:
    """The value that is asked for; empty text asks for nothing."""
    value = bindparam(f"wanted_{column.name}", type_=column.type)
    return or_(value == literal_column("''"), column == value)


def _before(time: Column[Any], key: Column[Any]) -> ColumnElement[bool]:
    """Older than the last row of the page before; so that an index on `time` is of use."""
    return (time <= bindparam("before_at")) & or_(
        time < bindparam("before_at"), key < bindparam("before_id")
    )


def _drop_some(table: Table, time: Column[Any]) -> Executable:
    """Delete at most `limit` rows that are older than `before`."""
    old = (
        select(table.c.id)
        .where(time < bindparam("before"))
        .order_by(time)
        .limit(bindparam("limit"))
        .offset(literal_column("0"))
    )
    return delete(table).where(table.c.id.in_(old))


def _activity(insert: Insert) -> Mapping[str, Executable]:
    pushed = activity.c.kind == literal_column("'push'")
    mounted = activity.c.kind == literal_column("'mount'")  # about a blob, never about an image
    said = (
        activity.c.kind,
        activity.c.registry,
        activity.c.repository,
        activity.c.account,
        activity.c.country,
        activity.c.host,
    )
    deeds = (*said, activity.c.first_at, activity.c.last_at, activity.c["count"])
    summed = (
        *said,
        func.min(activity.c.first_at),
        func.max(activity.c.last_at),
        func.sum(activity.c.count),
    )
    viewed = layer.join(image_layer).join(
        image_view, image_view.c.image_id == image_layer.c.image_id
    )
    # The manifests of images that hold a layer at its place: once, in however many views.
    holding = (
        select(layer.c.chain_id, image_view.c.manifest_digest)
        .distinct()
        .select_from(viewed)
        .where(in_(layer.c.chain_id), image_view.c.manifest_digest.is_not(None))
        .subquery("holding")
    )
    around = holding.join(activity, activity.c.manifest_digest == holding.c.manifest_digest)
    return {
        "put_activity": insert.add_up(activity),
        # Who pushed images that hold the layer at its place.
        "pushers_of_chains": select(
            layer.c.chain_id, activity.c.registry, activity.c.account, func.min(activity.c.first_at)
        )
        .select_from(
            viewed.join(activity, activity.c.manifest_digest == image_view.c.manifest_digest)
        )
        .where(in_(layer.c.chain_id), pushed)
        .group_by(layer.c.chain_id, activity.c.registry, activity.c.account),
        "pushers_of_manifests": select(
            activity.c.manifest_digest,
            activity.c.registry,
            activity.c.account,
            func.min(activity.c.first_at),
        )
        .where(in_(activity.c.manifest_digest), pushed)
        .group_by(activity.c.manifest_digest, activity.c.registry, activity.c.account),
        # What was done with a layer itself, and with every image that holds it at its place; each
        # row of activity once, though it may name both.
        "activity_around_chains": select(holding.c.chain_id, activity.c.id, *deeds)
        .select_from(around)
        .where(not_(mounted)),
        "own_activity_of_chains": select(activity.c.chain_id, activity.c.id, *deeds).where(
            in_(activity.c.chain_id)
        ),
        "activity_of_manifests": select(activity.c.manifest_digest, *summed)
        .where(in_(activity.c.manifest_digest), not_(mounted))
        .group_by(activity.c.manifest_digest, *said),
        "mounts_of_blobs": select(activity.c.manifest_digest, *summed)
        .where(in_(activity.c.manifest_digest), mounted)
        .group_by(activity.c.manifest_digest, *said),
        "deeds": select(activity.c.manifest_digest, activity.c.chain_id, *deeds),
        "activity_times": select(
            activity.c.identity, activity.c.first_at, activity.c.last_at, activity.c["count"]
        ).where(in_(activity.c.identity)),
        "widen_activity": update(activity)
        .where(is_(activity.c.identity))
        .values({name: bindparam(f"new_{name}") for name in ("first_at", "last_at", "count")}),
        "accounts": select(
            activity.c.registry,
            activity.c.account,
            activity.c.kind,
            func.min(activity.c.first_at),
            func.max(activity.c.last_at),
            func.sum(activity.c.count),
        )
        .where(activity.c.account != literal_column("''"))
        .group_by(activity.c.registry, activity.c.account, activity.c.kind)
        .order_by(activity.c.registry, activity.c.account, activity.c.kind),
    }


def _verdicts(insert: Insert) -> Mapping[str, Executable]:
    rows = select(*verdict.c)
    newest = (verdict.c.decided_at.desc(), verdict.c.id.desc())
    return {
        "put_verdict": insert.replace(verdict, "identity"),
        "verdicts": rows.order_by(*newest),
        "verdicts_of": rows.where(is_(verdict.c.reference)).order_by(*newest),
        "verdicts_by_identity": rows.where(
            verdict.c.identity >= bindparam("first"), verdict.c.identity < bindparam("last")
        ),
        "verdict_made_from": rows.where(
            is_(verdict.c.made_from), verdict.c.decided_at <= bindparam("now")
        )
        .order_by(*newest)
        .limit(literal_column("1"))
        .offset(literal_column("0")),
        "verdicts_page": rows.where(
            _before(verdict.c.decided_at, verdict.c.id),
            _wanted(verdict.c.reference),
            _wanted(verdict.c.decision),
        )
        .order_by(*newest)
        .limit(bindparam("limit"))
        .offset(literal_column("0")),
        "drop_verdicts": _drop_some(verdict, verdict.c.decided_at),
    }


def _counters(insert: Insert) -> Mapping[str, Executable]:
    return {
        "count_up": insert.count_up(counter),
        "counted": select(counter.c.value).where(is_(counter.c.name)),
    }


def _withdrawals(insert: Insert) -> Mapping[str, Executable]:
    rows = select(*withdrawal.c)
    newest = (withdrawal.c.withdrawn_at.desc(), withdrawal.c.id.desc())
    return {
        "put_withdrawal": insert.replace(withdrawal, "name"),
        "withdrawals": rows.order_by(*newest),
        "withdrawals_of_chains": rows.where(in_(withdrawal.c.chain_id)),
        "withdrawals_of_contents": rows.where(in_(withdrawal.c.diff_id)),
    }


def _jobs(insert: Insert) -> Mapping[str, Executable]:
    rows = (*job.c, job_report.c.progress, job_report.c.error)
    reported = job.outerjoin(job_report, job_report.c.job_id == job.c.id)
    alive = job.c.state.in_([literal_column("'queued'"), literal_column("'running'")])
    return {
        "put_job": insert.plain(job),
        "jobs_waiting": select(job.c.id, job.c.name, job.c.priority).where(in_(job.c.name), alive),
        "hurry_job": update(job)
        .where(is_(job.c.id), job.c.priority < bindparam("sooner"))
        .values(priority=bindparam("sooner")),
        # The next one whose turn nobody has.
        "next_job": select(*job.c)
        .where(
            job.c.state == literal_column("'queued'"),
            or_(job.c.due_at.is_(None), job.c.due_at <= bindparam("now")),
            job.c.turn.notin_(
                select(_other_job.c.turn).where(_other_job.c.state == literal_column("'running'"))
            ),
        )
        .order_by(job.c.priority.desc(), job.c.id)
        .limit(literal_column("1"))
        .offset(literal_column("0")),
        "change_job": update(job)
        .where(
            is_(job.c.id),
            job.c.state == bindparam("was"),
            job.c.attempts == bindparam("was_attempts"),
        )
        .values(
            {
                name: bindparam(f"new_{name}")
                for name in (
                    "state",
                    "attempts",
                    "due_at",
                    "started_at",
                    "ended_at",
                    "alive_at",
                    "worker",
                )
            }
        ),
        "job_alive": update(job)
        .where(is_(job.c.id), job.c.state == literal_column("'running'"), is_(job.c.attempts))
        .values(alive_at=bindparam("now")),
        "stalled_jobs": select(*job.c).where(
            job.c.state == literal_column("'running'"), job.c.alive_at < bindparam("before")
        ),
        "job": select(*rows).select_from(reported).where(is_(job.c.id)),
        "jobs_page": select(*rows)
        .select_from(reported)
        .where(
            job.c.id < bindparam("before_id"),
            _wanted(job.c.state),
        )
        .order_by(job.c.id.desc())
        .limit(bindparam("limit"))
        .offset(literal_column("0")),
        "jobs_by_state": select(job.c.state, func.count()).where(alive).group_by(job.c.state),
        "put_job_report": insert.replace(job_report, "job_id"),
        "job_reports": select(*job_report.c).where(in_(job_report.c.job_id)),
        # The last one stays, so that no later job gets the number of an earlier one.
        "jobs_ended": select(job.c.id).where(
            job.c.ended_at < bindparam("before"),
            job.c.id < select(func.max(_other_job.c.id)).scalar_subquery(),
        ),
        "drop_jobs": delete(job).where(in_(job.c.id)),
        "drop_job_reports": delete(job_report).where(in_(job_report.c.job_id)),
    }


_other_job = job.alias("other")


def _access(insert: Insert) -> Mapping[str, Executable]:
    tokens = select(*access_token.c)
    return {
        "put_token": insert.replace(access_token, "name"),
        "tokens": tokens.order_by(access_token.c.id),
        "put_audit": insert.plain(audit),
        "audit_page": select(*audit.c)
        .where(audit.c.id < bindparam("before_id"))
        .order_by(audit.c.id.desc())
        .limit(bindparam("limit"))
        .offset(literal_column("0")),
        "put_policy_revision": insert.plain(policy_revision),
        "policy_revisions": select(*policy_revision.c)
        .order_by(policy_revision.c.id.desc())
        .limit(bindparam("limit"))
        .offset(literal_column("0")),
        "put_made_exception": insert.replace(made_exception, "name"),
        "made_exceptions": select(*made_exception.c).order_by(made_exception.c.id),
        "put_gate_tally": insert.add_up(gate_tally),
        "gate_tallies": select(*gate_tally.c)
        .where(gate_tally.c.last_at >= bindparam("since"))
        .order_by(gate_tally.c.last_at.desc(), gate_tally.c.id.desc()),
        "drop_gate_tallies": delete(gate_tally).where(gate_tally.c.last_at < bindparam("before")),
    }


def _retention() -> Mapping[str, Executable]:
    """Images that nobody has seen, moved, started or trusted for long, and what only they hold."""
    seen = (
        select(image_name.c.id)
        .select_from(image_view.join(image_name))
        .where(image_view.c.image_id == image.c.id, image_name.c.seen_at >= bindparam("before"))
        .exists()
    )
    used = (
        select(activity.c.id)
        .select_from(
            image_view.join(activity, activity.c.manifest_digest == image_view.c.manifest_digest)
        )
        .where(image_view.c.image_id == image.c.id, activity.c.last_at >= bindparam("before"))
        .exists()
    )
    old = select(image.c.id).where(
        image.c.indexed_at < bindparam("before"),
        ~seen,
        ~used,
        image.c.config_digest.not_in(select(trust.c.config_digest)),
    )
    return {
        "old_images": old,
        "old_images_of": old.where(in_(image.c.id)),
        "layers_of_images": select(image_layer.c.layer_id)
        .distinct()
        .where(in_(image_layer.c.image_id)),
        "drop_images": delete(image).where(in_(image.c.id)),
        "lone_layers": select(layer.c.id, layer.c.diff_id).where(
            in_(layer.c.id),
            layer.c.id.notin_(select(image_layer.c.layer_id)),
            layer.c.chain_id.notin_(select(trust_chain.c.chain_id)),
        ),
        "drop_layers": delete(layer).where(in_(layer.c.id)),
        "lone_contents": select(contents.c.diff_id).where(
            in_(contents.c.diff_id), contents.c.diff_id.notin_(select(layer.c.diff_id))
        ),
        "drop_contents_of": delete(contents).where(in_(contents.c.diff_id)),
        "drop_blobs_of": delete(blob).where(in_(blob.c.diff_id)),
    }
