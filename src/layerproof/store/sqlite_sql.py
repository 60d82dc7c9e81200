"""SQLite's SQL for `schema` and `statements`, so that they need not be imported at run time.

Written by `python -m layerproof.store.generate`; do not edit. In a statement, `:keys*` stands for
a list of parameters.
"""
# Not formatted, because a program writes this file:
# fmt: off

from collections.abc import Mapping

# Every revision of the schema that this version can read, oldest first.
REVISIONS: tuple[str, ...] = ("0001", "0002", "0003", "0005", "0006", "0007",)
HEAD = REVISIONS[-1]

APPLICATION_ID = 0x4C507266

SCHEMA: tuple[str, ...] = (
    "CREATE TABLE alembic_version ( version_num VARCHAR(32) NOT NULL, CONSTRAINT "
    "alembic_version_pkc PRIMARY KEY (version_num) )",
    "CREATE TABLE access_token ( id INTEGER NOT NULL, name TEXT NOT NULL, title TEXT NOT "
    "NULL, role TEXT NOT NULL, digest BLOB NOT NULL, created_by TEXT NOT NULL, created_at "
    "BIGINT NOT NULL, expires_at BIGINT NOT NULL, revoked_by TEXT NOT NULL, revoked_at "
    "BIGINT, registry TEXT NOT NULL, CONSTRAINT pk_access_token PRIMARY KEY (id), CONSTRAINT "
    "uq_access_token_name UNIQUE (name), CONSTRAINT uq_access_token_digest UNIQUE (digest) )",
    "CREATE TABLE activity ( id INTEGER NOT NULL, identity BLOB NOT NULL, manifest_digest "
    "BLOB, chain_id BLOB, kind TEXT NOT NULL, registry TEXT NOT NULL, repository TEXT NOT "
    "NULL, account TEXT NOT NULL, country TEXT NOT NULL, host TEXT NOT NULL, first_at BIGINT "
    "NOT NULL, last_at BIGINT NOT NULL, count BIGINT NOT NULL, CONSTRAINT pk_activity PRIMARY "
    "KEY (id), CONSTRAINT uq_activity_identity UNIQUE (identity) )",
    "CREATE INDEX ix_activity_account ON activity (account)",
    "CREATE INDEX ix_activity_chain_id ON activity (chain_id)",
    "CREATE INDEX ix_activity_manifest_digest ON activity (manifest_digest)",
    "CREATE TABLE analyser_set ( id INTEGER NOT NULL, names TEXT NOT NULL, CONSTRAINT "
    "pk_analyser_set PRIMARY KEY (id), CONSTRAINT uq_analyser_set_names UNIQUE (names) )",
    "CREATE TABLE audit ( id INTEGER NOT NULL, at BIGINT NOT NULL, actor TEXT NOT NULL, role "
    "TEXT NOT NULL, action TEXT NOT NULL, target TEXT NOT NULL, address TEXT NOT NULL, "
    "outcome TEXT NOT NULL, details BLOB NOT NULL, CONSTRAINT pk_audit PRIMARY KEY (id) )",
    "CREATE INDEX ix_audit_at ON audit (at)",
    "CREATE TABLE blob ( digest BLOB NOT NULL, diff_id BLOB NOT NULL, size BIGINT NOT NULL, "
    "media_type TEXT NOT NULL, CONSTRAINT pk_blob PRIMARY KEY (digest) ) WITHOUT ROWID",
    "CREATE TABLE cached ( \"key\" TEXT NOT NULL, value BLOB NOT NULL, CONSTRAINT pk_cached "
    "PRIMARY KEY (\"key\") )",
    "CREATE TABLE counter ( name TEXT NOT NULL, value BIGINT NOT NULL, CONSTRAINT pk_counter "
    "PRIMARY KEY (name) ) WITHOUT ROWID",
    "CREATE TABLE event ( id INTEGER NOT NULL, identity TEXT NOT NULL, kind TEXT NOT NULL, at "
    "BIGINT NOT NULL, registry TEXT NOT NULL, repository TEXT NOT NULL, tag TEXT NOT NULL, "
    "manifest_digest BLOB, account TEXT NOT NULL, address TEXT NOT NULL, document BLOB NOT "
    "NULL, country TEXT DEFAULT '' NOT NULL, host TEXT DEFAULT '' NOT NULL, blob_digest BLOB, "
    "chain_id BLOB, CONSTRAINT pk_event PRIMARY KEY (id), CONSTRAINT uq_event_identity UNIQUE "
    "(identity) )",
    "CREATE INDEX ix_event_at ON event (at)",
    "CREATE INDEX ix_event_manifest_digest ON event (manifest_digest)",
    "CREATE TABLE gate_tally ( id INTEGER NOT NULL, identity BLOB NOT NULL, gate TEXT NOT "
    "NULL, host TEXT NOT NULL, namespace TEXT NOT NULL, reference TEXT NOT NULL, mode TEXT "
    "NOT NULL, cause TEXT NOT NULL, decided TEXT NOT NULL, decision TEXT NOT NULL, reason "
    "TEXT NOT NULL, first_at BIGINT NOT NULL, last_at BIGINT NOT NULL, count BIGINT NOT NULL, "
    "CONSTRAINT pk_gate_tally PRIMARY KEY (id), CONSTRAINT uq_gate_tally_identity UNIQUE "
    "(identity) )",
    "CREATE INDEX ix_gate_tally_last_at ON gate_tally (last_at)",
    "CREATE TABLE image ( id INTEGER NOT NULL, config_digest BLOB NOT NULL, config BLOB NOT "
    "NULL, indexed_at BIGINT NOT NULL, CONSTRAINT pk_image PRIMARY KEY (id), CONSTRAINT "
    "uq_image_config_digest UNIQUE (config_digest) )",
    "CREATE INDEX ix_image_indexed_at ON image (indexed_at)",
    "CREATE TABLE job ( id INTEGER NOT NULL, name TEXT NOT NULL, turn TEXT NOT NULL, kind "
    "TEXT NOT NULL, arguments BLOB NOT NULL, priority INTEGER NOT NULL, state TEXT NOT NULL, "
    "attempts INTEGER NOT NULL, queued_at BIGINT NOT NULL, due_at BIGINT, started_at BIGINT, "
    "ended_at BIGINT, alive_at BIGINT, worker TEXT NOT NULL, CONSTRAINT pk_job PRIMARY KEY "
    "(id) )",
    "CREATE INDEX ix_job_name ON job (name)",
    "CREATE INDEX ix_job_state_priority ON job (state, priority)",
    "CREATE TABLE job_report ( job_id BIGINT NOT NULL, progress BLOB NOT NULL, error BLOB NOT "
    "NULL, reported_at BIGINT NOT NULL, CONSTRAINT pk_job_report PRIMARY KEY (job_id) )",
    "CREATE INDEX ix_job_report_reported_at ON job_report (reported_at)",
    "CREATE TABLE layer ( id INTEGER NOT NULL, chain_id BLOB NOT NULL, parent BLOB, position "
    "INTEGER NOT NULL, diff_id BLOB NOT NULL, CONSTRAINT pk_layer PRIMARY KEY (id), "
    "CONSTRAINT uq_layer_chain_id UNIQUE (chain_id) )",
    "CREATE INDEX ix_layer_diff_id_id ON layer (diff_id, id)",
    "CREATE TABLE made_exception ( id INTEGER NOT NULL, name TEXT NOT NULL, document BLOB NOT "
    "NULL, made_by TEXT NOT NULL, made_at BIGINT NOT NULL, ended_by TEXT NOT NULL, ended_at "
    "BIGINT, CONSTRAINT pk_made_exception PRIMARY KEY (id), CONSTRAINT uq_made_exception_name "
    "UNIQUE (name) )",
    "CREATE TABLE policy_revision ( id INTEGER NOT NULL, text BLOB NOT NULL, put_by TEXT NOT "
    "NULL, put_at BIGINT NOT NULL, reason TEXT NOT NULL, CONSTRAINT pk_policy_revision "
    "PRIMARY KEY (id) )",
    "CREATE TABLE search_posting ( place INTEGER NOT NULL, data BLOB NOT NULL, CONSTRAINT "
    "pk_search_posting PRIMARY KEY (place) )",
    "CREATE TABLE search_segment ( id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, state TEXT "
    "NOT NULL, level INTEGER NOT NULL, shift INTEGER NOT NULL, first BIGINT NOT NULL, last "
    "BIGINT NOT NULL, entries BIGINT NOT NULL, postings BIGINT NOT NULL, into_id BIGINT, "
    "done_to BIGINT NOT NULL )",
    "CREATE TABLE trust ( id INTEGER NOT NULL, name TEXT NOT NULL, reference TEXT NOT NULL, "
    "config_digest BLOB NOT NULL, manifest_digest BLOB, chain_ids BLOB NOT NULL, added_by "
    "TEXT NOT NULL, added_at BIGINT NOT NULL, reason TEXT NOT NULL, expires_at BIGINT, "
    "revoked_by TEXT NOT NULL, revoked_at BIGINT, revoke_reason TEXT NOT NULL, CONSTRAINT "
    "pk_trust PRIMARY KEY (id), CONSTRAINT uq_trust_name UNIQUE (name) )",
    "CREATE TABLE verdict ( id INTEGER NOT NULL, identity TEXT NOT NULL, made_from BLOB NOT "
    "NULL, reference TEXT NOT NULL, config_digest BLOB NOT NULL, decided_at BIGINT NOT NULL, "
    "holds_until BIGINT NOT NULL, decision TEXT NOT NULL, document BLOB NOT NULL, CONSTRAINT "
    "pk_verdict PRIMARY KEY (id), CONSTRAINT uq_verdict_identity UNIQUE (identity) )",
    "CREATE INDEX ix_verdict_config_digest ON verdict (config_digest)",
    "CREATE INDEX ix_verdict_decided_at ON verdict (decided_at)",
    "CREATE INDEX ix_verdict_made_from ON verdict (made_from)",
    "CREATE INDEX ix_verdict_reference ON verdict (reference)",
    "CREATE TABLE withdrawal ( id INTEGER NOT NULL, name TEXT NOT NULL, chain_id BLOB NOT "
    "NULL, diff_id BLOB NOT NULL, reference TEXT NOT NULL, withdrawn_by TEXT NOT NULL, "
    "withdrawn_at BIGINT NOT NULL, reason TEXT NOT NULL, released_by TEXT NOT NULL, "
    "released_at BIGINT, release_reason TEXT NOT NULL, CONSTRAINT pk_withdrawal PRIMARY KEY "
    "(id), CONSTRAINT uq_withdrawal_name UNIQUE (name) )",
    "CREATE INDEX ix_withdrawal_chain_id ON withdrawal (chain_id)",
    "CREATE INDEX ix_withdrawal_diff_id ON withdrawal (diff_id)",
    "CREATE TABLE contents ( id INTEGER NOT NULL, diff_id BLOB NOT NULL, analyser_set_id "
    "INTEGER NOT NULL, size BIGINT NOT NULL, entry_count BIGINT NOT NULL, file_bytes BIGINT "
    "NOT NULL, skipped BLOB NOT NULL, package_files BLOB NOT NULL, facts BLOB NOT NULL, "
    "CONSTRAINT pk_contents PRIMARY KEY (id), CONSTRAINT uq_contents_diff_id UNIQUE "
    "(diff_id), CONSTRAINT fk_contents_analyser_set_id FOREIGN KEY(analyser_set_id) "
    "REFERENCES analyser_set (id) )",
    "CREATE TABLE image_layer ( image_id INTEGER NOT NULL, position INTEGER NOT NULL, "
    "layer_id INTEGER NOT NULL, CONSTRAINT pk_image_layer PRIMARY KEY (image_id, position), "
    "CONSTRAINT fk_image_layer_image_id FOREIGN KEY(image_id) REFERENCES image (id) ON DELETE "
    "CASCADE, CONSTRAINT fk_image_layer_layer_id FOREIGN KEY(layer_id) REFERENCES layer (id) "
    ") WITHOUT ROWID",
    "CREATE INDEX ix_image_layer_layer_id_image_id ON image_layer (layer_id, image_id)",
    "CREATE TABLE image_top ( image_id INTEGER NOT NULL, layer_id INTEGER NOT NULL, "
    "CONSTRAINT pk_image_top PRIMARY KEY (image_id), CONSTRAINT fk_image_top_image_id FOREIGN "
    "KEY(image_id) REFERENCES image (id) ON DELETE CASCADE, CONSTRAINT fk_image_top_layer_id "
    "FOREIGN KEY(layer_id) REFERENCES layer (id) )",
    "CREATE INDEX ix_image_top_layer_id ON image_top (layer_id)",
    "CREATE TABLE image_view ( id INTEGER NOT NULL, image_id INTEGER NOT NULL, identity BLOB "
    "NOT NULL, manifest_digest BLOB, index_digest BLOB, document BLOB NOT NULL, CONSTRAINT "
    "pk_image_view PRIMARY KEY (id), CONSTRAINT fk_image_view_image_id FOREIGN KEY(image_id) "
    "REFERENCES image (id) ON DELETE CASCADE, CONSTRAINT uq_image_view_identity UNIQUE "
    "(identity) )",
    "CREATE INDEX ix_image_view_image_id ON image_view (image_id)",
    "CREATE INDEX ix_image_view_index_digest ON image_view (index_digest)",
    "CREATE INDEX ix_image_view_manifest_digest ON image_view (manifest_digest)",
    "CREATE TABLE layer_change ( layer_id INTEGER NOT NULL, analyser_set_id INTEGER NOT NULL, "
    "counts BLOB NOT NULL, package_changes BLOB NOT NULL, changes BLOB NOT NULL, CONSTRAINT "
    "pk_layer_change PRIMARY KEY (layer_id), CONSTRAINT fk_layer_change_layer_id FOREIGN "
    "KEY(layer_id) REFERENCES layer (id) ON DELETE CASCADE, CONSTRAINT "
    "fk_layer_change_analyser_set_id FOREIGN KEY(analyser_set_id) REFERENCES analyser_set "
    "(id) )",
    "CREATE TABLE trust_chain ( chain_id BLOB NOT NULL, trust_id INTEGER NOT NULL, CONSTRAINT "
    "pk_trust_chain PRIMARY KEY (chain_id, trust_id), CONSTRAINT fk_trust_chain_trust_id "
    "FOREIGN KEY(trust_id) REFERENCES trust (id) ON DELETE CASCADE ) WITHOUT ROWID",
    "CREATE INDEX ix_trust_chain_trust_id ON trust_chain (trust_id)",
    "CREATE TABLE change_filter ( layer_id INTEGER NOT NULL, hashes BLOB NOT NULL, CONSTRAINT "
    "pk_change_filter PRIMARY KEY (layer_id), CONSTRAINT fk_change_filter_layer_id FOREIGN "
    "KEY(layer_id) REFERENCES layer_change (layer_id) ON DELETE CASCADE )",
    "CREATE TABLE contents_entries ( contents_id INTEGER NOT NULL, entries BLOB NOT NULL, "
    "CONSTRAINT pk_contents_entries PRIMARY KEY (contents_id), CONSTRAINT "
    "fk_contents_entries_contents_id FOREIGN KEY(contents_id) REFERENCES contents (id) ON "
    "DELETE CASCADE )",
    "CREATE TABLE file_filter ( contents_id INTEGER NOT NULL, hashes BLOB NOT NULL, "
    "CONSTRAINT pk_file_filter PRIMARY KEY (contents_id), CONSTRAINT "
    "fk_file_filter_contents_id FOREIGN KEY(contents_id) REFERENCES contents (id) ON DELETE "
    "CASCADE )",
    "CREATE TABLE image_name ( id INTEGER NOT NULL, reference TEXT NOT NULL, view_id INTEGER "
    "NOT NULL, seen_at BIGINT NOT NULL, CONSTRAINT pk_image_name PRIMARY KEY (id), CONSTRAINT "
    "uq_image_name_reference_view_id UNIQUE (reference, view_id), CONSTRAINT "
    "fk_image_name_view_id FOREIGN KEY(view_id) REFERENCES image_view (id) ON DELETE CASCADE "
    ")",
    "CREATE INDEX ix_image_name_view_id ON image_name (view_id)",
    "CREATE TABLE layer_integrity ( layer_id INTEGER NOT NULL, integrity BLOB NOT NULL, "
    "CONSTRAINT pk_layer_integrity PRIMARY KEY (layer_id), CONSTRAINT "
    "fk_layer_integrity_layer_id FOREIGN KEY(layer_id) REFERENCES layer_change (layer_id) ON "
    "DELETE CASCADE )",
    "CREATE TABLE package ( contents_id INTEGER NOT NULL, position INTEGER NOT NULL, type "
    "TEXT NOT NULL, name TEXT NOT NULL, version TEXT NOT NULL, path BLOB NOT NULL, "
    "architecture TEXT NOT NULL, source TEXT NOT NULL, source_version TEXT NOT NULL, licence "
    "TEXT NOT NULL, distribution TEXT NOT NULL, module TEXT DEFAULT '' NOT NULL, CONSTRAINT "
    "pk_package PRIMARY KEY (contents_id, position), CONSTRAINT fk_package_contents_id "
    "FOREIGN KEY(contents_id) REFERENCES contents (id) ON DELETE CASCADE ) WITHOUT ROWID",
    "CREATE INDEX ix_package_name_contents_id ON package (name, contents_id)",
    "CREATE TABLE package_change ( layer_id INTEGER NOT NULL, name TEXT NOT NULL, CONSTRAINT "
    "pk_package_change PRIMARY KEY (layer_id, name), CONSTRAINT fk_package_change_layer_id "
    "FOREIGN KEY(layer_id) REFERENCES layer_change (layer_id) ON DELETE CASCADE ) WITHOUT "
    "ROWID",
    "CREATE INDEX ix_package_change_name_layer_id ON package_change (name, layer_id)",
    "CREATE TABLE package_manifests ( contents_id INTEGER NOT NULL, manifests BLOB NOT NULL, "
    "CONSTRAINT pk_package_manifests PRIMARY KEY (contents_id), CONSTRAINT "
    "fk_package_manifests_contents_id FOREIGN KEY(contents_id) REFERENCES contents (id) ON "
    "DELETE CASCADE )",
    "CREATE TABLE package_script ( contents_id INTEGER NOT NULL, position INTEGER NOT NULL, "
    "sha256 BLOB NOT NULL, package TEXT NOT NULL, kind TEXT NOT NULL, path BLOB NOT NULL, "
    "CONSTRAINT pk_package_script PRIMARY KEY (contents_id, position), CONSTRAINT "
    "fk_package_script_contents_id FOREIGN KEY(contents_id) REFERENCES contents (id) ON "
    "DELETE CASCADE ) WITHOUT ROWID",
    "CREATE INDEX ix_package_script_sha256 ON package_script (sha256)",
    "CREATE TABLE path_filter ( contents_id INTEGER NOT NULL, hashes BLOB NOT NULL, "
    "CONSTRAINT pk_path_filter PRIMARY KEY (contents_id), CONSTRAINT "
    "fk_path_filter_contents_id FOREIGN KEY(contents_id) REFERENCES contents (id) ON DELETE "
    "CASCADE )",
    "CREATE TABLE search_entry ( id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, contents_id "
    "INTEGER, layer_id INTEGER, weight BIGINT NOT NULL, CONSTRAINT "
    "uq_search_entry_contents_id UNIQUE (contents_id), CONSTRAINT fk_search_entry_contents_id "
    "FOREIGN KEY(contents_id) REFERENCES contents (id) ON DELETE CASCADE, CONSTRAINT "
    "uq_search_entry_layer_id UNIQUE (layer_id), CONSTRAINT fk_search_entry_layer_id FOREIGN "
    "KEY(layer_id) REFERENCES layer_change (layer_id) ON DELETE CASCADE )",
    "INSERT INTO alembic_version (version_num) VALUES ('0007')",
    "PRAGMA application_id=1280340582",
)

STATEMENTS: Mapping[str, str] = {
    "analyser_set": (
        "SELECT analyser_set.id FROM analyser_set WHERE analyser_set.names = :names"
    ),
    "put_analyser_set": (
        "INSERT INTO analyser_set (names) VALUES (:names) ON CONFLICT DO NOTHING"
    ),
    "contents_known": (
        "SELECT contents.diff_id FROM contents WHERE contents.diff_id IN (:keys*) AND "
        "contents.analyser_set_id = (SELECT analyser_set.id FROM analyser_set WHERE "
        "analyser_set.names = :names)"
    ),
    "contents_head": (
        "SELECT contents.id, contents.analyser_set_id FROM contents WHERE contents.diff_id = "
        ":diff_id"
    ),
    "contents": (
        "SELECT contents.diff_id, analyser_set.names, contents.size, contents.entry_count, "
        "contents.file_bytes, contents.skipped, contents.id, contents.package_files, "
        "contents.facts, contents_entries.entries, path_filter.hashes AS path_hashes, "
        "file_filter.hashes AS file_hashes FROM contents JOIN analyser_set ON analyser_set.id = "
        "contents.analyser_set_id JOIN contents_entries ON contents.id = "
        "contents_entries.contents_id JOIN path_filter ON path_filter.contents_id = contents.id "
        "JOIN file_filter ON file_filter.contents_id = contents.id WHERE contents.diff_id = "
        ":diff_id"
    ),
    "contents_entries": (
        "SELECT contents_entries.entries FROM contents JOIN contents_entries ON contents.id = "
        "contents_entries.contents_id WHERE contents.diff_id = :diff_id"
    ),
    "contents_entries_of": (
        "SELECT contents.diff_id, contents_entries.entries FROM contents JOIN contents_entries ON "
        "contents.id = contents_entries.contents_id WHERE contents.diff_id IN (:keys*)"
    ),
    "contents_summaries": (
        "SELECT contents.diff_id, analyser_set.names, contents.size, contents.entry_count, "
        "contents.file_bytes, contents.skipped FROM contents JOIN analyser_set ON analyser_set.id "
        "= contents.analyser_set_id WHERE contents.diff_id IN (:keys*)"
    ),
    "contents_facts": (
        "SELECT contents.diff_id, contents.facts FROM contents WHERE contents.diff_id IN (:keys*)"
    ),
    "contents_package_files": (
        "SELECT contents.id, contents.diff_id, contents.package_files FROM contents WHERE "
        "contents.diff_id IN (:keys*)"
    ),
    "packages_of": (
        "SELECT package.contents_id, package.type, package.name, package.version, package.path, "
        "package.architecture, package.source, package.source_version, package.licence, "
        "package.distribution, package.module FROM package WHERE package.contents_id IN (:keys*) "
        "ORDER BY package.contents_id, package.position"
    ),
    "put_contents": (
        "INSERT INTO contents (diff_id, analyser_set_id, size, entry_count, file_bytes, skipped, "
        "package_files, facts) VALUES (:diff_id, :analyser_set_id, :size, :entry_count, "
        ":file_bytes, :skipped, :package_files, :facts)"
    ),
    "put_entries": (
        "INSERT INTO contents_entries (contents_id, entries) VALUES (:contents_id, :entries)"
    ),
    "put_path_filter": (
        "INSERT INTO path_filter (contents_id, hashes) VALUES (:contents_id, :hashes)"
    ),
    "put_file_filter": (
        "INSERT INTO file_filter (contents_id, hashes) VALUES (:contents_id, :hashes)"
    ),
    "put_package": (
        "INSERT INTO package (contents_id, position, type, name, version, path, architecture, "
        "source, source_version, licence, distribution, module) VALUES (:contents_id, :position, "
        ":type, :name, :version, :path, :architecture, :source, :source_version, :licence, "
        ":distribution, :module)"
    ),
    "contents_manifests": (
        "SELECT package_manifests.manifests FROM contents JOIN package_manifests ON contents.id = "
        "package_manifests.contents_id WHERE contents.diff_id = :diff_id"
    ),
    "put_manifests": (
        "INSERT INTO package_manifests (contents_id, manifests) VALUES (:contents_id, :manifests)"
    ),
    "scripts_of": (
        "SELECT contents.diff_id, package_script.package, package_script.kind, "
        "package_script.path, package_script.sha256 FROM contents JOIN package_script ON "
        "contents.id = package_script.contents_id WHERE contents.diff_id IN (:keys*) ORDER BY "
        "package_script.contents_id, package_script.position"
    ),
    "trusted_scripts": (
        "SELECT DISTINCT package_script.sha256, layer.chain_id FROM package_script JOIN contents "
        "ON contents.id = package_script.contents_id JOIN layer ON layer.diff_id = "
        "contents.diff_id JOIN trust_chain ON trust_chain.chain_id = layer.chain_id WHERE "
        "package_script.sha256 IN (:keys*)"
    ),
    "put_script": (
        "INSERT INTO package_script (contents_id, position, sha256, package, kind, path) VALUES "
        "(:contents_id, :position, :sha256, :package, :kind, :path)"
    ),
    "drop_contents": (
        "DELETE FROM contents WHERE contents.id = :id"
    ),
    "blobs": (
        "SELECT blob.digest, blob.diff_id FROM blob WHERE blob.digest IN (:keys*)"
    ),
    "put_blob": (
        "INSERT INTO blob (digest, diff_id, size, media_type) VALUES (:digest, :diff_id, :size, "
        ":media_type) ON CONFLICT DO NOTHING"
    ),
    "packages_named": (
        "SELECT contents.diff_id, package.type, package.name, package.version, package.path, "
        "package.architecture, package.source, package.source_version, package.licence, "
        "package.distribution, package.module FROM package JOIN contents ON contents.id = "
        "package.contents_id WHERE package.name = :name AND (:version = '' OR package.version = "
        ":version) ORDER BY package.contents_id DESC, package.position DESC LIMIT :limit OFFSET 0"
    ),
    "package_changes_named": (
        "SELECT layer.chain_id, layer_change.package_changes FROM package_change JOIN "
        "layer_change ON layer_change.layer_id = package_change.layer_id JOIN layer ON layer.id = "
        "layer_change.layer_id WHERE package_change.name = :name ORDER BY package_change.layer_id "
        "DESC LIMIT :limit OFFSET 0"
    ),
    "usage_layers": (
        "SELECT contents.diff_id, layer.id, layer.chain_id FROM contents JOIN layer ON "
        "layer.diff_id = contents.diff_id AND layer.id >= coalesce((SELECT below.id FROM layer AS "
        "below WHERE below.diff_id = contents.diff_id ORDER BY below.id DESC LIMIT 1 OFFSET "
        ":most), 0) WHERE contents.diff_id IN (:keys*) ORDER BY layer.id DESC"
    ),
    "usage_images": (
        "SELECT layer.id, image_layer.image_id FROM layer JOIN image_layer ON "
        "image_layer.layer_id = layer.id AND image_layer.image_id >= coalesce((SELECT "
        "other.image_id FROM image_layer AS other WHERE other.layer_id = layer.id ORDER BY "
        "other.image_id DESC LIMIT 1 OFFSET :most), 0) WHERE layer.id IN (:keys*)"
    ),
    "newest_names": (
        "SELECT image_view.image_id, image_name.seen_at, image_name.id, image_name.reference FROM "
        "image_view JOIN image_name ON image_view.id = image_name.view_id WHERE "
        "image_view.image_id IN (:keys*)"
    ),
    "put_search_entry": (
        "INSERT INTO search_entry (contents_id, layer_id, weight) VALUES (:contents_id, "
        ":layer_id, :weight)"
    ),
    "newest_entry": (
        "SELECT max(search_entry.id) AS max_1 FROM search_entry"
    ),
    "entries_waiting": (
        "SELECT count(*) AS count_1, coalesce(sum(search_entry.weight), 0) AS coalesce_1 FROM "
        "search_entry WHERE search_entry.id > :after"
    ),
    "entries_next": (
        "SELECT search_entry.id, search_entry.weight FROM search_entry WHERE search_entry.id > "
        ":after ORDER BY search_entry.id LIMIT :limit OFFSET 0"
    ),
    "entries_between": (
        "SELECT count(*) AS count_1 FROM search_entry WHERE search_entry.id BETWEEN :first AND "
        ":last"
    ),
    "entries_there": (
        "SELECT search_entry.id FROM search_entry WHERE search_entry.id IN (:keys*)"
    ),
    "paths_waiting": (
        "SELECT search_entry.id, path_filter.hashes FROM search_entry JOIN path_filter ON "
        "path_filter.contents_id = search_entry.contents_id WHERE search_entry.id BETWEEN :first "
        "AND :last"
    ),
    "files_waiting": (
        "SELECT search_entry.id, file_filter.hashes FROM search_entry JOIN file_filter ON "
        "file_filter.contents_id = search_entry.contents_id WHERE search_entry.id BETWEEN :first "
        "AND :last"
    ),
    "changes_waiting": (
        "SELECT search_entry.id, change_filter.hashes FROM search_entry JOIN change_filter ON "
        "change_filter.layer_id = search_entry.layer_id WHERE search_entry.id BETWEEN :first AND "
        ":last"
    ),
    "change_filters": (
        "SELECT change_filter.layer_id, change_filter.hashes FROM layer JOIN change_filter ON "
        "change_filter.layer_id = layer.id WHERE layer.chain_id IN (:keys*)"
    ),
    "changes_of": (
        "SELECT layer.chain_id, layer.diff_id, layer_change.changes FROM layer JOIN layer_change "
        "ON layer.id = layer_change.layer_id WHERE layer.id IN (:keys*)"
    ),
    "contents_of_entries": (
        "SELECT search_entry.id, contents.diff_id FROM search_entry JOIN contents ON "
        "search_entry.contents_id = contents.id WHERE search_entry.id IN (:keys*)"
    ),
    "layers_of_entries": (
        "SELECT search_entry.id, layer.chain_id FROM search_entry JOIN layer ON "
        "search_entry.layer_id = layer.id WHERE search_entry.id IN (:keys*)"
    ),
    "search_segments": (
        "SELECT search_segment.id, search_segment.state, search_segment.level, "
        "search_segment.shift, search_segment.first, search_segment.last, search_segment.entries, "
        "search_segment.postings, search_segment.into_id, search_segment.done_to FROM "
        "search_segment ORDER BY search_segment.first"
    ),
    "put_segment": (
        "INSERT INTO search_segment (state, level, shift, first, last, entries, postings, "
        "into_id, done_to) VALUES (:state, :level, :shift, :first, :last, :entries, :postings, "
        ":into_id, :done_to)"
    ),
    "newest_segment": (
        "SELECT max(search_segment.id) AS max_1 FROM search_segment"
    ),
    "set_segment": (
        "UPDATE search_segment SET state=:new_state, into_id=:new_into_id, done_to=:new_done_to "
        "WHERE search_segment.id = :key"
    ),
    "drop_segment": (
        "DELETE FROM search_segment WHERE search_segment.id = :id"
    ),
    "postings": (
        "SELECT search_posting.place, search_posting.data FROM search_posting WHERE "
        "search_posting.place IN (:keys*)"
    ),
    "postings_between": (
        "SELECT search_posting.place, search_posting.data FROM search_posting WHERE "
        "search_posting.place >= :first AND search_posting.place < :end ORDER BY "
        "search_posting.place"
    ),
    "put_posting": (
        "INSERT INTO search_posting (place, data) VALUES (:place, :data)"
    ),
    "drop_postings": (
        "DELETE FROM search_posting WHERE search_posting.place >= :first AND search_posting.place "
        "< :end"
    ),
    "layers_known": (
        "SELECT layer.chain_id FROM layer JOIN layer_change ON layer.id = layer_change.layer_id "
        "WHERE layer.chain_id IN (:keys*) AND layer_change.analyser_set_id = (SELECT "
        "analyser_set.id FROM analyser_set WHERE analyser_set.names = :names)"
    ),
    "layer_records": (
        "SELECT layer.chain_id, layer.parent, layer.position, layer.diff_id, analyser_set.names, "
        "layer_change.counts, layer_change.package_changes, layer_change.changes, "
        "layer_integrity.integrity, change_filter.hashes FROM layer JOIN layer_change ON layer.id "
        "= layer_change.layer_id JOIN analyser_set ON analyser_set.id = "
        "layer_change.analyser_set_id LEFT OUTER JOIN layer_integrity ON layer_change.layer_id = "
        "layer_integrity.layer_id LEFT OUTER JOIN change_filter ON change_filter.layer_id = "
        "layer_change.layer_id WHERE layer.chain_id IN (:keys*)"
    ),
    "layer_ids": (
        "SELECT layer.chain_id, layer.id FROM layer WHERE layer.chain_id IN (:keys*)"
    ),
    "layer_change_sets": (
        "SELECT layer_change.layer_id, layer_change.analyser_set_id FROM layer_change WHERE "
        "layer_change.layer_id IN (:keys*)"
    ),
    "put_layer": (
        "INSERT INTO layer (chain_id, parent, position, diff_id) VALUES (:chain_id, :parent, "
        ":position, :diff_id) ON CONFLICT DO NOTHING"
    ),
    "put_layer_change": (
        "INSERT INTO layer_change (layer_id, analyser_set_id, counts, package_changes, changes) "
        "VALUES (:layer_id, :analyser_set_id, :counts, :package_changes, :changes)"
    ),
    "put_layer_integrity": (
        "INSERT INTO layer_integrity (layer_id, integrity) VALUES (:layer_id, :integrity)"
    ),
    "drop_layer_change": (
        "DELETE FROM layer_change WHERE layer_change.layer_id = :layer_id"
    ),
    "put_package_change": (
        "INSERT INTO package_change (layer_id, name) VALUES (:layer_id, :name)"
    ),
    "put_change_filter": (
        "INSERT INTO change_filter (layer_id, hashes) VALUES (:layer_id, :hashes)"
    ),
    "put_image": (
        "INSERT INTO image (config_digest, config, indexed_at) VALUES (:config_digest, :config, "
        ":indexed_at) ON CONFLICT (config_digest) DO UPDATE SET indexed_at = excluded.indexed_at"
    ),
    "image_by_config": (
        "SELECT image.id FROM image WHERE image.config_digest = :config_digest"
    ),
    "images": (
        "SELECT image.id FROM image ORDER BY image.indexed_at DESC, image.id DESC"
    ),
    "images_page": (
        "SELECT image.id, image.indexed_at FROM image WHERE image.indexed_at <= :before_at AND "
        "(image.indexed_at < :before_at OR image.id < :before_id) ORDER BY image.indexed_at DESC, "
        "image.id DESC LIMIT :limit OFFSET 0"
    ),
    "images_page_with_chain": (
        "SELECT image.id, image.indexed_at FROM image JOIN image_layer ON image.id = "
        "image_layer.image_id JOIN layer ON layer.id = image_layer.layer_id WHERE layer.chain_id "
        "= :chain_id AND image.indexed_at <= :before_at AND (image.indexed_at < :before_at OR "
        "image.id < :before_id) ORDER BY image.indexed_at DESC, image.id DESC LIMIT :limit OFFSET "
        "0"
    ),
    "images_page_named": (
        "SELECT image.id, image.indexed_at FROM image WHERE image.indexed_at <= :before_at AND "
        "(image.indexed_at < :before_at OR image.id < :before_id) AND image.id IN (SELECT "
        "image_view.image_id FROM image_view JOIN image_name ON image_view.id = "
        "image_name.view_id WHERE instr(image_name.reference, :part) > 0) ORDER BY "
        "image.indexed_at DESC, image.id DESC LIMIT :limit OFFSET 0"
    ),
    "images_with_chain": (
        "SELECT image.id FROM image JOIN image_layer ON image.id = image_layer.image_id JOIN "
        "layer ON layer.id = image_layer.layer_id WHERE layer.chain_id = :chain_id ORDER BY "
        "image.indexed_at DESC, image.id DESC"
    ),
    "put_image_layer": (
        "INSERT INTO image_layer (image_id, position, layer_id) VALUES (:image_id, :position, "
        ":layer_id) ON CONFLICT DO NOTHING"
    ),
    "put_image_top": (
        "INSERT INTO image_top (image_id, layer_id) VALUES (:image_id, :layer_id) ON CONFLICT DO "
        "NOTHING"
    ),
    "images_by_top": (
        "SELECT image_top.image_id FROM layer JOIN image_top ON layer.id = image_top.layer_id "
        "WHERE layer.chain_id IN (:keys*)"
    ),
    "put_view": (
        "INSERT INTO image_view (image_id, identity, manifest_digest, index_digest, document) "
        "VALUES (:image_id, :identity, :manifest_digest, :index_digest, :document) ON CONFLICT DO "
        "NOTHING"
    ),
    "view_by_identity": (
        "SELECT image_view.id FROM image_view WHERE image_view.identity = :identity"
    ),
    "views_by_manifest": (
        "SELECT image_view.image_id, image_view.id FROM image_view JOIN image_name ON "
        "image_view.id = image_name.view_id WHERE image_view.manifest_digest = :manifest_digest "
        "ORDER BY image_name.seen_at DESC, image_name.id DESC"
    ),
    "views_by_index": (
        "SELECT image_view.image_id, image_view.id FROM image_view JOIN image_name ON "
        "image_view.id = image_name.view_id WHERE image_view.index_digest = :index_digest ORDER "
        "BY image_name.seen_at DESC, image_name.id DESC"
    ),
    "views_by_name": (
        "SELECT image_view.image_id, image_view.id FROM image_view JOIN image_name ON "
        "image_view.id = image_name.view_id WHERE image_name.reference = :reference ORDER BY "
        "image_name.seen_at DESC, image_name.id DESC"
    ),
    "builds_named": (
        "SELECT image_view.manifest_digest, layer.chain_id, image_name.seen_at FROM image_name "
        "JOIN image_view ON image_view.id = image_name.view_id LEFT OUTER JOIN image_top ON "
        "image_top.image_id = image_view.image_id LEFT OUTER JOIN layer ON layer.id = "
        "image_top.layer_id WHERE image_name.reference = :reference ORDER BY image_name.seen_at "
        "DESC, image_name.id DESC LIMIT :limit OFFSET 0"
    ),
    "sightings": (
        "SELECT image.id, image_view.id AS id_1, image_name.reference, image_name.seen_at FROM "
        "image JOIN image_view ON image.id = image_view.image_id JOIN image_name ON image_view.id "
        "= image_name.view_id WHERE image.config_digest = :config_digest ORDER BY "
        "image_name.seen_at, image_name.id"
    ),
    "put_name": (
        "INSERT INTO image_name (reference, view_id, seen_at) VALUES (:reference, :view_id, "
        ":seen_at)"
    ),
    "name_seen_after": (
        "SELECT image_name.id FROM image_name WHERE image_name.reference = :reference AND "
        "image_name.view_id = :view_id AND image_name.seen_at > :moment"
    ),
    "drop_name": (
        "DELETE FROM image_name WHERE image_name.reference = :reference AND image_name.view_id = "
        ":view_id"
    ),
    "record_names": (
        "SELECT image_view.image_id, image_view.id, image_view.manifest_digest, "
        "image_name.reference FROM image_view JOIN image_name ON image_view.id = "
        "image_name.view_id WHERE image_view.image_id IN (:keys*) ORDER BY image_name.seen_at "
        "DESC, image_name.id DESC"
    ),
    "record_views": (
        "SELECT image_view.id, image_view.document FROM image_view WHERE image_view.id IN "
        "(:keys*)"
    ),
    "record_images": (
        "SELECT image.id, image.config_digest, image.config, image.indexed_at FROM image WHERE "
        "image.id IN (:keys*)"
    ),
    "record_layers": (
        "SELECT image_layer.image_id, layer.chain_id, layer.diff_id FROM image_layer JOIN layer "
        "ON layer.id = image_layer.layer_id WHERE image_layer.image_id IN (:keys*) ORDER BY "
        "image_layer.image_id, image_layer.position"
    ),
    "trust_id": (
        "SELECT trust.id FROM trust WHERE trust.name = :name"
    ),
    "trust_records": (
        "SELECT trust.id, trust.name, trust.reference, trust.config_digest, "
        "trust.manifest_digest, trust.chain_ids, trust.added_by, trust.added_at, trust.reason, "
        "trust.expires_at, trust.revoked_by, trust.revoked_at, trust.revoke_reason FROM trust "
        "ORDER BY trust.added_at DESC, trust.id DESC"
    ),
    "trust_of": (
        "SELECT trust.id, trust.name, trust.reference, trust.config_digest, "
        "trust.manifest_digest, trust.chain_ids, trust.added_by, trust.added_at, trust.reason, "
        "trust.expires_at, trust.revoked_by, trust.revoked_at, trust.revoke_reason FROM trust "
        "WHERE trust.id IN (SELECT trust_chain.trust_id FROM trust_chain WHERE "
        "trust_chain.chain_id IN (:keys*))"
    ),
    "put_trust": (
        "INSERT INTO trust (name, reference, config_digest, manifest_digest, chain_ids, added_by, "
        "added_at, reason, expires_at, revoked_by, revoked_at, revoke_reason) VALUES (:name, "
        ":reference, :config_digest, :manifest_digest, :chain_ids, :added_by, :added_at, :reason, "
        ":expires_at, :revoked_by, :revoked_at, :revoke_reason) ON CONFLICT (name) DO UPDATE SET "
        "reference = excluded.reference, config_digest = excluded.config_digest, manifest_digest "
        "= excluded.manifest_digest, chain_ids = excluded.chain_ids, added_by = "
        "excluded.added_by, added_at = excluded.added_at, reason = excluded.reason, expires_at = "
        "excluded.expires_at, revoked_by = excluded.revoked_by, revoked_at = excluded.revoked_at, "
        "revoke_reason = excluded.revoke_reason"
    ),
    "drop_trust_chains": (
        "DELETE FROM trust_chain WHERE trust_chain.trust_id = :trust_id"
    ),
    "put_trust_chain": (
        "INSERT INTO trust_chain (chain_id, trust_id) VALUES (:chain_id, :trust_id)"
    ),
    "put_event": (
        "INSERT INTO event (identity, kind, at, registry, repository, tag, manifest_digest, "
        "account, address, document, country, host, blob_digest, chain_id) VALUES (:identity, "
        ":kind, :at, :registry, :repository, :tag, :manifest_digest, :account, :address, "
        ":document, :country, :host, :blob_digest, :chain_id) ON CONFLICT DO NOTHING"
    ),
    "event_identities": (
        "SELECT event.identity FROM event WHERE event.identity IN (:keys*)"
    ),
    "events": (
        "SELECT event.id, event.identity, event.kind, event.at, event.registry, event.repository, "
        "event.tag, event.manifest_digest, event.account, event.address, event.document, "
        "event.country, event.host, event.blob_digest, event.chain_id FROM event ORDER BY "
        "event.at DESC, event.id DESC"
    ),
    "events_page": (
        "SELECT event.id, event.identity, event.kind, event.at, event.registry, event.repository, "
        "event.tag, event.manifest_digest, event.account, event.address, event.document, "
        "event.country, event.host, event.blob_digest, event.chain_id FROM event WHERE event.at "
        "<= :before_at AND (event.at < :before_at OR event.id < :before_id) AND (:wanted_kind = "
        "'' OR event.kind = :wanted_kind) AND (:wanted_registry = '' OR event.registry = "
        ":wanted_registry) AND (:wanted_repository = '' OR event.repository = :wanted_repository) "
        "AND (:wanted_account = '' OR event.account = :wanted_account) ORDER BY event.at DESC, "
        "event.id DESC LIMIT :limit OFFSET 0"
    ),
    "drop_events": (
        "DELETE FROM event WHERE event.id IN (SELECT event.id FROM event WHERE event.at < :before "
        "ORDER BY event.at LIMIT :limit OFFSET 0)"
    ),
    "put_activity": (
        "INSERT INTO activity (identity, manifest_digest, chain_id, kind, registry, repository, "
        "account, country, host, first_at, last_at, count) VALUES (:identity, :manifest_digest, "
        ":chain_id, :kind, :registry, :repository, :account, :country, :host, :first_at, "
        ":last_at, :count) ON CONFLICT (identity) DO UPDATE SET first_at = CASE WHEN "
        "(excluded.first_at < activity.first_at) THEN excluded.first_at ELSE activity.first_at "
        "END, last_at = CASE WHEN (excluded.last_at > activity.last_at) THEN excluded.last_at "
        "ELSE activity.last_at END, count = (activity.count + excluded.count)"
    ),
    "pushers_of_chains": (
        "SELECT layer.chain_id, activity.registry, activity.account, min(activity.first_at) AS "
        "min_1 FROM layer JOIN image_layer ON layer.id = image_layer.layer_id JOIN image_view ON "
        "image_view.image_id = image_layer.image_id JOIN activity ON activity.manifest_digest = "
        "image_view.manifest_digest WHERE layer.chain_id IN (:keys*) AND activity.kind = 'push' "
        "GROUP BY layer.chain_id, activity.registry, activity.account"
    ),
    "pushers_of_manifests": (
        "SELECT activity.manifest_digest, activity.registry, activity.account, "
        "min(activity.first_at) AS min_1 FROM activity WHERE activity.manifest_digest IN (:keys*) "
        "AND activity.kind = 'push' GROUP BY activity.manifest_digest, activity.registry, "
        "activity.account"
    ),
    "activity_around_chains": (
        "SELECT holding.chain_id, activity.id, activity.kind, activity.registry, "
        "activity.repository, activity.account, activity.country, activity.host, "
        "activity.first_at, activity.last_at, activity.count FROM (SELECT DISTINCT layer.chain_id "
        "AS chain_id, image_view.manifest_digest AS manifest_digest FROM layer JOIN image_layer "
        "ON layer.id = image_layer.layer_id JOIN image_view ON image_view.image_id = "
        "image_layer.image_id WHERE layer.chain_id IN (:keys*) AND image_view.manifest_digest IS "
        "NOT NULL) AS holding JOIN activity ON activity.manifest_digest = holding.manifest_digest "
        "WHERE activity.kind != 'mount'"
    ),
    "own_activity_of_chains": (
        "SELECT activity.chain_id, activity.id, activity.kind, activity.registry, "
        "activity.repository, activity.account, activity.country, activity.host, "
        "activity.first_at, activity.last_at, activity.count FROM activity WHERE "
        "activity.chain_id IN (:keys*)"
    ),
    "activity_of_manifests": (
        "SELECT activity.manifest_digest, activity.kind, activity.registry, activity.repository, "
        "activity.account, activity.country, activity.host, min(activity.first_at) AS min_1, "
        "max(activity.last_at) AS max_1, sum(activity.count) AS sum_1 FROM activity WHERE "
        "activity.manifest_digest IN (:keys*) AND activity.kind != 'mount' GROUP BY "
        "activity.manifest_digest, activity.kind, activity.registry, activity.repository, "
        "activity.account, activity.country, activity.host"
    ),
    "mounts_of_blobs": (
        "SELECT activity.manifest_digest, activity.kind, activity.registry, activity.repository, "
        "activity.account, activity.country, activity.host, min(activity.first_at) AS min_1, "
        "max(activity.last_at) AS max_1, sum(activity.count) AS sum_1 FROM activity WHERE "
        "activity.manifest_digest IN (:keys*) AND activity.kind = 'mount' GROUP BY "
        "activity.manifest_digest, activity.kind, activity.registry, activity.repository, "
        "activity.account, activity.country, activity.host"
    ),
    "deeds": (
        "SELECT activity.manifest_digest, activity.chain_id, activity.kind, activity.registry, "
        "activity.repository, activity.account, activity.country, activity.host, "
        "activity.first_at, activity.last_at, activity.count FROM activity"
    ),
    "activity_times": (
        "SELECT activity.identity, activity.first_at, activity.last_at, activity.count FROM "
        "activity WHERE activity.identity IN (:keys*)"
    ),
    "widen_activity": (
        "UPDATE activity SET first_at=:new_first_at, last_at=:new_last_at, count=:new_count WHERE "
        "activity.identity = :identity"
    ),
    "accounts": (
        "SELECT activity.registry, activity.account, activity.kind, min(activity.first_at) AS "
        "min_1, max(activity.last_at) AS max_1, sum(activity.count) AS sum_1 FROM activity WHERE "
        "activity.account != '' GROUP BY activity.registry, activity.account, activity.kind ORDER "
        "BY activity.registry, activity.account, activity.kind"
    ),
    "count_up": (
        "INSERT INTO counter (name, value) VALUES (:name, :value) ON CONFLICT (name) DO UPDATE "
        "SET value = CASE WHEN (excluded.value > counter.value) THEN excluded.value ELSE "
        "counter.value + 1 END"
    ),
    "counted": (
        "SELECT counter.value FROM counter WHERE counter.name = :name"
    ),
    "put_job": (
        "INSERT INTO job (name, turn, kind, arguments, priority, state, attempts, queued_at, "
        "due_at, started_at, ended_at, alive_at, worker) VALUES (:name, :turn, :kind, :arguments, "
        ":priority, :state, :attempts, :queued_at, :due_at, :started_at, :ended_at, :alive_at, "
        ":worker)"
    ),
    "jobs_waiting": (
        "SELECT job.id, job.name, job.priority FROM job WHERE job.name IN (:keys*) AND job.state "
        "IN ('queued', 'running')"
    ),
    "hurry_job": (
        "UPDATE job SET priority=:sooner WHERE job.id = :id AND job.priority < :sooner"
    ),
    "next_job": (
        "SELECT job.id, job.name, job.turn, job.kind, job.arguments, job.priority, job.state, "
        "job.attempts, job.queued_at, job.due_at, job.started_at, job.ended_at, job.alive_at, "
        "job.worker FROM job WHERE job.state = 'queued' AND (job.due_at IS NULL OR job.due_at <= "
        ":now) AND (job.turn NOT IN (SELECT other.turn FROM job AS other WHERE other.state = "
        "'running')) ORDER BY job.priority DESC, job.id LIMIT 1 OFFSET 0"
    ),
    "change_job": (
        "UPDATE job SET state=:new_state, attempts=:new_attempts, due_at=:new_due_at, "
        "started_at=:new_started_at, ended_at=:new_ended_at, alive_at=:new_alive_at, "
        "worker=:new_worker WHERE job.id = :id AND job.state = :was AND job.attempts = "
        ":was_attempts"
    ),
    "job_alive": (
        "UPDATE job SET alive_at=:now WHERE job.id = :id AND job.state = 'running' AND "
        "job.attempts = :attempts"
    ),
    "stalled_jobs": (
        "SELECT job.id, job.name, job.turn, job.kind, job.arguments, job.priority, job.state, "
        "job.attempts, job.queued_at, job.due_at, job.started_at, job.ended_at, job.alive_at, "
        "job.worker FROM job WHERE job.state = 'running' AND job.alive_at < :before"
    ),
    "job": (
        "SELECT job.id, job.name, job.turn, job.kind, job.arguments, job.priority, job.state, "
        "job.attempts, job.queued_at, job.due_at, job.started_at, job.ended_at, job.alive_at, "
        "job.worker, job_report.progress, job_report.error FROM job LEFT OUTER JOIN job_report ON "
        "job_report.job_id = job.id WHERE job.id = :id"
    ),
    "jobs_page": (
        "SELECT job.id, job.name, job.turn, job.kind, job.arguments, job.priority, job.state, "
        "job.attempts, job.queued_at, job.due_at, job.started_at, job.ended_at, job.alive_at, "
        "job.worker, job_report.progress, job_report.error FROM job LEFT OUTER JOIN job_report ON "
        "job_report.job_id = job.id WHERE job.id < :before_id AND (:wanted_state = '' OR "
        "job.state = :wanted_state) ORDER BY job.id DESC LIMIT :limit OFFSET 0"
    ),
    "jobs_by_state": (
        "SELECT job.state, count(*) AS count_1 FROM job WHERE job.state IN ('queued', 'running') "
        "GROUP BY job.state"
    ),
    "put_job_report": (
        "INSERT INTO job_report (job_id, progress, error, reported_at) VALUES (:job_id, "
        ":progress, :error, :reported_at) ON CONFLICT (job_id) DO UPDATE SET progress = "
        "excluded.progress, error = excluded.error, reported_at = excluded.reported_at"
    ),
    "job_reports": (
        "SELECT job_report.job_id, job_report.progress, job_report.error, job_report.reported_at "
        "FROM job_report WHERE job_report.job_id IN (:keys*)"
    ),
    "jobs_ended": (
        "SELECT job.id FROM job WHERE job.ended_at < :before AND job.id < (SELECT max(other.id) "
        "AS max_1 FROM job AS other)"
    ),
    "drop_jobs": (
        "DELETE FROM job WHERE job.id IN (:keys*)"
    ),
    "drop_job_reports": (
        "DELETE FROM job_report WHERE job_report.job_id IN (:keys*)"
    ),
    "put_token": (
        "INSERT INTO access_token (name, title, role, digest, created_by, created_at, expires_at, "
        "revoked_by, revoked_at, registry) VALUES (:name, :title, :role, :digest, :created_by, "
        ":created_at, :expires_at, :revoked_by, :revoked_at, :registry) ON CONFLICT (name) DO "
        "UPDATE SET title = excluded.title, role = excluded.role, digest = excluded.digest, "
        "created_by = excluded.created_by, created_at = excluded.created_at, expires_at = "
        "excluded.expires_at, revoked_by = excluded.revoked_by, revoked_at = excluded.revoked_at, "
        "registry = excluded.registry"
    ),
    "tokens": (
        "SELECT access_token.id, access_token.name, access_token.title, access_token.role, "
        "access_token.digest, access_token.created_by, access_token.created_at, "
        "access_token.expires_at, access_token.revoked_by, access_token.revoked_at, "
        "access_token.registry FROM access_token ORDER BY access_token.id"
    ),
    "put_audit": (
        "INSERT INTO audit (at, actor, role, action, target, address, outcome, details) VALUES "
        "(:at, :actor, :role, :action, :target, :address, :outcome, :details)"
    ),
    "audit_page": (
        "SELECT audit.id, audit.at, audit.actor, audit.role, audit.action, audit.target, "
        "audit.address, audit.outcome, audit.details FROM audit WHERE audit.id < :before_id ORDER "
        "BY audit.id DESC LIMIT :limit OFFSET 0"
    ),
    "put_policy_revision": (
        "INSERT INTO policy_revision (text, put_by, put_at, reason) VALUES (:text, :put_by, "
        ":put_at, :reason)"
    ),
    "policy_revisions": (
        "SELECT policy_revision.id, policy_revision.text, policy_revision.put_by, "
        "policy_revision.put_at, policy_revision.reason FROM policy_revision ORDER BY "
        "policy_revision.id DESC LIMIT :limit OFFSET 0"
    ),
    "put_made_exception": (
        "INSERT INTO made_exception (name, document, made_by, made_at, ended_by, ended_at) VALUES "
        "(:name, :document, :made_by, :made_at, :ended_by, :ended_at) ON CONFLICT (name) DO "
        "UPDATE SET document = excluded.document, made_by = excluded.made_by, made_at = "
        "excluded.made_at, ended_by = excluded.ended_by, ended_at = excluded.ended_at"
    ),
    "made_exceptions": (
        "SELECT made_exception.id, made_exception.name, made_exception.document, "
        "made_exception.made_by, made_exception.made_at, made_exception.ended_by, "
        "made_exception.ended_at FROM made_exception ORDER BY made_exception.id"
    ),
    "put_gate_tally": (
        "INSERT INTO gate_tally (identity, gate, host, namespace, reference, mode, cause, "
        "decided, decision, reason, first_at, last_at, count) VALUES (:identity, :gate, :host, "
        ":namespace, :reference, :mode, :cause, :decided, :decision, :reason, :first_at, "
        ":last_at, :count) ON CONFLICT (identity) DO UPDATE SET first_at = CASE WHEN "
        "(excluded.first_at < gate_tally.first_at) THEN excluded.first_at ELSE "
        "gate_tally.first_at END, last_at = CASE WHEN (excluded.last_at > gate_tally.last_at) "
        "THEN excluded.last_at ELSE gate_tally.last_at END, count = (gate_tally.count + "
        "excluded.count)"
    ),
    "gate_tallies": (
        "SELECT gate_tally.id, gate_tally.identity, gate_tally.gate, gate_tally.host, "
        "gate_tally.namespace, gate_tally.reference, gate_tally.mode, gate_tally.cause, "
        "gate_tally.decided, gate_tally.decision, gate_tally.reason, gate_tally.first_at, "
        "gate_tally.last_at, gate_tally.count FROM gate_tally WHERE gate_tally.last_at >= :since "
        "ORDER BY gate_tally.last_at DESC, gate_tally.id DESC"
    ),
    "drop_gate_tallies": (
        "DELETE FROM gate_tally WHERE gate_tally.last_at < :before"
    ),
    "old_images": (
        "SELECT image.id FROM image WHERE image.indexed_at < :before AND NOT (EXISTS (SELECT "
        "image_name.id FROM image_view JOIN image_name ON image_view.id = image_name.view_id "
        "WHERE image_view.image_id = image.id AND image_name.seen_at >= :before)) AND NOT (EXISTS "
        "(SELECT activity.id FROM image_view JOIN activity ON activity.manifest_digest = "
        "image_view.manifest_digest WHERE image_view.image_id = image.id AND activity.last_at >= "
        ":before)) AND (image.config_digest NOT IN (SELECT trust.config_digest FROM trust))"
    ),
    "old_images_of": (
        "SELECT image.id FROM image WHERE image.indexed_at < :before AND NOT (EXISTS (SELECT "
        "image_name.id FROM image_view JOIN image_name ON image_view.id = image_name.view_id "
        "WHERE image_view.image_id = image.id AND image_name.seen_at >= :before)) AND NOT (EXISTS "
        "(SELECT activity.id FROM image_view JOIN activity ON activity.manifest_digest = "
        "image_view.manifest_digest WHERE image_view.image_id = image.id AND activity.last_at >= "
        ":before)) AND (image.config_digest NOT IN (SELECT trust.config_digest FROM trust)) AND "
        "image.id IN (:keys*)"
    ),
    "layers_of_images": (
        "SELECT DISTINCT image_layer.layer_id FROM image_layer WHERE image_layer.image_id IN "
        "(:keys*)"
    ),
    "drop_images": (
        "DELETE FROM image WHERE image.id IN (:keys*)"
    ),
    "lone_layers": (
        "SELECT layer.id, layer.diff_id FROM layer WHERE layer.id IN (:keys*) AND (layer.id NOT "
        "IN (SELECT image_layer.layer_id FROM image_layer)) AND (layer.chain_id NOT IN (SELECT "
        "trust_chain.chain_id FROM trust_chain))"
    ),
    "drop_layers": (
        "DELETE FROM layer WHERE layer.id IN (:keys*)"
    ),
    "lone_contents": (
        "SELECT contents.diff_id FROM contents WHERE contents.diff_id IN (:keys*) AND "
        "(contents.diff_id NOT IN (SELECT layer.diff_id FROM layer))"
    ),
    "drop_contents_of": (
        "DELETE FROM contents WHERE contents.diff_id IN (:keys*)"
    ),
    "drop_blobs_of": (
        "DELETE FROM blob WHERE blob.diff_id IN (:keys*)"
    ),
    "put_verdict": (
        "INSERT INTO verdict (identity, made_from, reference, config_digest, decided_at, "
        "holds_until, decision, document) VALUES (:identity, :made_from, :reference, "
        ":config_digest, :decided_at, :holds_until, :decision, :document) ON CONFLICT (identity) "
        "DO UPDATE SET made_from = excluded.made_from, reference = excluded.reference, "
        "config_digest = excluded.config_digest, decided_at = excluded.decided_at, holds_until = "
        "excluded.holds_until, decision = excluded.decision, document = excluded.document"
    ),
    "verdicts": (
        "SELECT verdict.id, verdict.identity, verdict.made_from, verdict.reference, "
        "verdict.config_digest, verdict.decided_at, verdict.holds_until, verdict.decision, "
        "verdict.document FROM verdict ORDER BY verdict.decided_at DESC, verdict.id DESC"
    ),
    "verdicts_of": (
        "SELECT verdict.id, verdict.identity, verdict.made_from, verdict.reference, "
        "verdict.config_digest, verdict.decided_at, verdict.holds_until, verdict.decision, "
        "verdict.document FROM verdict WHERE verdict.reference = :reference ORDER BY "
        "verdict.decided_at DESC, verdict.id DESC"
    ),
    "verdicts_by_identity": (
        "SELECT verdict.id, verdict.identity, verdict.made_from, verdict.reference, "
        "verdict.config_digest, verdict.decided_at, verdict.holds_until, verdict.decision, "
        "verdict.document FROM verdict WHERE verdict.identity >= :first AND verdict.identity < "
        ":last"
    ),
    "verdict_made_from": (
        "SELECT verdict.id, verdict.identity, verdict.made_from, verdict.reference, "
        "verdict.config_digest, verdict.decided_at, verdict.holds_until, verdict.decision, "
        "verdict.document FROM verdict WHERE verdict.made_from = :made_from AND "
        "verdict.decided_at <= :now ORDER BY verdict.decided_at DESC, verdict.id DESC LIMIT 1 "
        "OFFSET 0"
    ),
    "verdicts_page": (
        "SELECT verdict.id, verdict.identity, verdict.made_from, verdict.reference, "
        "verdict.config_digest, verdict.decided_at, verdict.holds_until, verdict.decision, "
        "verdict.document FROM verdict WHERE verdict.decided_at <= :before_at AND "
        "(verdict.decided_at < :before_at OR verdict.id < :before_id) AND (:wanted_reference = '' "
        "OR verdict.reference = :wanted_reference) AND (:wanted_decision = '' OR verdict.decision "
        "= :wanted_decision) ORDER BY verdict.decided_at DESC, verdict.id DESC LIMIT :limit "
        "OFFSET 0"
    ),
    "drop_verdicts": (
        "DELETE FROM verdict WHERE verdict.id IN (SELECT verdict.id FROM verdict WHERE "
        "verdict.decided_at < :before ORDER BY verdict.decided_at LIMIT :limit OFFSET 0)"
    ),
    "put_withdrawal": (
        "INSERT INTO withdrawal (name, chain_id, diff_id, reference, withdrawn_by, withdrawn_at, "
        "reason, released_by, released_at, release_reason) VALUES (:name, :chain_id, :diff_id, "
        ":reference, :withdrawn_by, :withdrawn_at, :reason, :released_by, :released_at, "
        ":release_reason) ON CONFLICT (name) DO UPDATE SET chain_id = excluded.chain_id, diff_id "
        "= excluded.diff_id, reference = excluded.reference, withdrawn_by = "
        "excluded.withdrawn_by, withdrawn_at = excluded.withdrawn_at, reason = excluded.reason, "
        "released_by = excluded.released_by, released_at = excluded.released_at, release_reason = "
        "excluded.release_reason"
    ),
    "withdrawals": (
        "SELECT withdrawal.id, withdrawal.name, withdrawal.chain_id, withdrawal.diff_id, "
        "withdrawal.reference, withdrawal.withdrawn_by, withdrawal.withdrawn_at, "
        "withdrawal.reason, withdrawal.released_by, withdrawal.released_at, "
        "withdrawal.release_reason FROM withdrawal ORDER BY withdrawal.withdrawn_at DESC, "
        "withdrawal.id DESC"
    ),
    "withdrawals_of_chains": (
        "SELECT withdrawal.id, withdrawal.name, withdrawal.chain_id, withdrawal.diff_id, "
        "withdrawal.reference, withdrawal.withdrawn_by, withdrawal.withdrawn_at, "
        "withdrawal.reason, withdrawal.released_by, withdrawal.released_at, "
        "withdrawal.release_reason FROM withdrawal WHERE withdrawal.chain_id IN (:keys*)"
    ),
    "withdrawals_of_contents": (
        "SELECT withdrawal.id, withdrawal.name, withdrawal.chain_id, withdrawal.diff_id, "
        "withdrawal.reference, withdrawal.withdrawn_by, withdrawal.withdrawn_at, "
        "withdrawal.reason, withdrawal.released_by, withdrawal.released_at, "
        "withdrawal.release_reason FROM withdrawal WHERE withdrawal.diff_id IN (:keys*)"
    ),
    "cached": (
        "SELECT cached.value FROM cached WHERE cached.\"key\" = :key"
    ),
    "put_cached": (
        "INSERT INTO cached (\"key\", value) VALUES (:key, :value) ON CONFLICT (\"key\") DO "
        "UPDATE SET value = excluded.value"
    ),
}
