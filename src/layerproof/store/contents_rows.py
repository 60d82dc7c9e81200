"""A layer's contents and its blobs, as rows."""

from collections.abc import Collection, Mapping
from itertools import groupby

from layerproof.engine.ports import ContentsSummary, PackageList
from layerproof.model.contents import BlobRecord, Contents
from layerproof.model.digest import ChainId, DiffId, Digest
from layerproof.model.ownership import PackageScript
from layerproof.model.package import Package
from layerproof.store import codec, search_rows, segment_rows
from layerproof.store.executor import Executor, Row, Session, first, rows_for


def known(session: Session, diff_ids: Collection[DiffId], analysers: str) -> set[DiffId]:
    """Those that were read with exactly these analysers."""
    rows = rows_for(
        session, "contents_known", [codec.raw(d) for d in diff_ids], names=codec.text(analysers)
    )
    return {codec.digest(DiffId, diff_id) for (diff_id,) in rows}


def read(session: Session, diff_id: DiffId) -> Contents | None:
    """The whole row."""
    row = first(session.rows("contents", diff_id=codec.raw(diff_id)))
    if row is None:
        return None
    summary = _summary(row[:6])
    key, package_files, facts, entries, path_filter, file_filter = row[6:]
    with codec.decoding("row of a layer's contents"):
        return Contents(
            diff_id=summary.diff_id,
            analysers=summary.analysers,
            size=summary.size,
            entry_count=summary.entry_count,
            file_bytes=summary.file_bytes,
            entries=entries,
            path_filter=path_filter,
            file_filter=file_filter,
            packages=_packages(session, [key]).get(key, ()),
            package_files=_files(package_files),
            facts=codec.undocument(facts),
            skipped=summary.skipped,
            manifests=manifests(session, diff_id) or b"",
            scripts=scripts(session, [diff_id]).get(diff_id, ()),
        )


def entries(session: Session, diff_id: DiffId) -> bytes | None:
    """The encoded entry table."""
    row = first(session.rows("contents_entries", diff_id=codec.raw(diff_id)))
    return None if row is None else row[0]


def entries_of(session: Session, diff_ids: Collection[DiffId]) -> Mapping[DiffId, bytes]:
    """The encoded entry tables of those that are known."""
    rows = rows_for(session, "contents_entries_of", [codec.raw(d) for d in diff_ids])
    return {codec.digest(DiffId, diff_id): entries for diff_id, entries in rows}


def manifests(session: Session, diff_id: DiffId) -> bytes | None:
    """The encoded package manifests, None if there are none."""
    row = first(session.rows("contents_manifests", diff_id=codec.raw(diff_id)))
    return None if row is None else row[0]


def scripts(
    session: Session, diff_ids: Collection[DiffId]
) -> dict[DiffId, tuple[PackageScript, ...]]:
    """The package scripts of those that have some."""
    found: dict[DiffId, list[PackageScript]] = {}
    rows = rows_for(session, "scripts_of", [codec.raw(d) for d in diff_ids])
    with codec.decoding("row of a package script"):
        for diff_id, package, kind, path, sha256 in rows:
            script = PackageScript(codec.untext(package), codec.untext(kind), path, sha256)
            found.setdefault(codec.digest(DiffId, diff_id), []).append(script)
    return {diff_id: tuple(listed) for diff_id, listed in found.items()}


def trusted_scripts(session: Session, digests: Collection[bytes]) -> dict[bytes, set[ChainId]]:
    """By script, the layers of trusted images that hold it."""
    found: dict[bytes, set[ChainId]] = {}
    for sha256, chain_id in rows_for(session, "trusted_scripts", digests):
        found.setdefault(sha256, set()).add(codec.digest(ChainId, chain_id))
    return found


def summaries(session: Session, diff_ids: Collection[DiffId]) -> Mapping[DiffId, ContentsSummary]:
    """The small part of those that are known."""
    rows = rows_for(session, "contents_summaries", [codec.raw(d) for d in diff_ids])
    return {summary.diff_id: summary for summary in map(_summary, rows)}


def facts(session: Session, diff_ids: Collection[DiffId]) -> Mapping[DiffId, Mapping[str, object]]:
    """The facts of those that are known."""
    rows = rows_for(session, "contents_facts", [codec.raw(d) for d in diff_ids])
    with codec.decoding("facts of a layer"):
        return {codec.digest(DiffId, diff_id): codec.undocument(data) for diff_id, data in rows}


def package_lists(session: Session, diff_ids: Collection[DiffId]) -> Mapping[DiffId, PackageList]:
    """Packages and package files of those that are known."""
    rows = list(rows_for(session, "contents_package_files", [codec.raw(d) for d in diff_ids]))
    packages = _packages(session, [key for key, _, _ in rows])
    with codec.decoding("package files of a layer"):
        return {
            codec.digest(DiffId, diff_id): PackageList(packages.get(key, ()), _files(files))
            for key, diff_id, files in rows
        }


def packages_named(
    session: Session, name: str, version: str, limit: int
) -> list[tuple[DiffId, Package]]:
    """Packages of this name and version ("": any), by layer, the last one put first."""
    asked = {"name": codec.text(name), "version": codec.text(version), "limit": limit}
    rows = session.rows("packages_named", **asked)
    with codec.decoding("row of a package"):
        return [
            (codec.digest(DiffId, diff_id), codec.package_of_columns(columns))
            for diff_id, *columns in rows
        ]


def blobs(session: Session, digests: Collection[Digest]) -> Mapping[Digest, DiffId]:
    """The DiffIDs of those blobs that are known."""
    rows = rows_for(session, "blobs", [codec.raw(d) for d in digests])
    return {codec.digest(Digest, d): codec.digest(DiffId, diff_id) for d, diff_id in rows}


def write(executor: Executor, contents: Contents, blob: BlobRecord | None) -> None:
    """Insert, or replace a row made with other analysers, in one transaction.

    All is encoded before the transaction begins: other writers wait only while rows are written.
    """
    columns = {
        "diff_id": codec.raw(contents.diff_id),
        "size": contents.size,
        "entry_count": contents.entry_count,
        "file_bytes": contents.file_bytes,
        "skipped": codec.skipped(contents.skipped),
        "package_files": codec.document([codec.path(p) for p in contents.package_files]),
        "facts": codec.document(contents.facts),
    }
    packages = [codec.package_columns(package) for package in contents.packages]
    found = [
        (n, s.sha256, codec.text(s.package), codec.text(s.kind), s.path)
        for n, s in enumerate(contents.scripts)
    ]
    filters = (contents.path_filter, contents.file_filter)
    with executor.write() as session:
        if blob is not None:
            write_blob(session, blob)
        made_with = analyser_set(session, contents.analysers)
        head = first(session.rows("contents_head", diff_id=columns["diff_id"]))
        if head is not None:
            if head[1] == made_with:
                return
            session.run("drop_contents", id=head[0])
        session.run("put_contents", analyser_set_id=made_with, **columns)
        key = session.rows("contents_head", diff_id=columns["diff_id"])[0][0]
        session.run("put_entries", contents_id=key, entries=contents.entries)
        session.run("put_path_filter", contents_id=key, hashes=contents.path_filter)
        session.run("put_file_filter", contents_id=key, hashes=contents.file_filter)
        last = search_rows.newest(session)
        search_rows.put_contents(session, key, filters)
        due = segment_rows.is_due(session, last, search_rows.newest(session))
        session.run_many("put_package", ((key, n, *row) for n, row in enumerate(packages)))
        session.run_many("put_script", ((key, *row) for row in found))
        if contents.manifests:
            session.run("put_manifests", contents_id=key, manifests=contents.manifests)
    if due:
        segment_rows.work(executor)


def write_blob(session: Session, blob: BlobRecord) -> None:
    """Remember what a blob holds."""
    session.run(
        "put_blob",
        digest=codec.raw(blob.digest),
        diff_id=codec.raw(blob.diff_id),
        size=blob.size,
        media_type=codec.text(blob.media_type),
    )


def analyser_set(session: Session, names: str) -> int:
    """The key of this set of analysers, which is made if it is new."""
    found = session.rows("analyser_set", names=codec.text(names))
    if not found:
        session.run("put_analyser_set", names=codec.text(names))
        found = session.rows("analyser_set", names=codec.text(names))
    key: int = found[0][0]
    return key


def _summary(row: Row) -> ContentsSummary:
    diff_id, names, size, entry_count, file_bytes, skipped = row
    with codec.decoding("summary of a layer"):
        return ContentsSummary(
            codec.digest(DiffId, diff_id),
            codec.untext(names),
            size,
            entry_count,
            file_bytes,
            codec.unskipped(skipped),
        )


def _packages(session: Session, keys: Collection[int]) -> Mapping[int, tuple[Package, ...]]:
    rows = rows_for(session, "packages_of", keys)
    with codec.decoding("row of a package"):
        return {
            key: tuple(codec.package_of_columns(row[1:]) for row in group)
            for key, group in groupby(rows, key=lambda row: row[0])
        }


def _files(data: bytes) -> tuple[bytes, ...]:
    return tuple(codec.unpath(path) for path in codec.undocument(data))
