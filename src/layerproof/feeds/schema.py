"""The advisory file's tables. It is built apart and never changed, so it needs no migrations: a
file with another version is built again.
"""

VERSION = 1
APPLICATION_ID = 0x4C506164  # "LPad" (sqlite.org/fileformat.html section 1.3.13)

TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE feed (
    name TEXT PRIMARY KEY, source TEXT NOT NULL, digest TEXT NOT NULL, as_of INTEGER NOT NULL,
    imported INTEGER NOT NULL, records INTEGER NOT NULL, skipped INTEGER NOT NULL,
    problems TEXT NOT NULL, etag TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE coverage (
    ecosystem TEXT NOT NULL, feed TEXT NOT NULL, versions INTEGER NOT NULL, as_of INTEGER,
    PRIMARY KEY (ecosystem, feed, versions)
) WITHOUT ROWID;
CREATE TABLE advisory (id INTEGER PRIMARY KEY, feed TEXT NOT NULL, document TEXT NOT NULL);
CREATE TABLE affected (
    ecosystem TEXT NOT NULL, name TEXT NOT NULL, advisory INTEGER NOT NULL, document TEXT NOT NULL
);
CREATE TEMP TABLE staged (
    ecosystem TEXT NOT NULL, name TEXT NOT NULL, advisory INTEGER NOT NULL, document TEXT NOT NULL
);
CREATE TABLE cve (
    name TEXT NOT NULL, feed TEXT NOT NULL, exploited TEXT NOT NULL, epss REAL, level TEXT NOT NULL,
    score REAL
);
CREATE TABLE newest (
    ecosystem TEXT NOT NULL, name TEXT NOT NULL, feed TEXT NOT NULL, version TEXT NOT NULL,
    published INTEGER
);
CREATE TABLE end_of_life (
    product TEXT NOT NULL, cycle TEXT NOT NULL, feed TEXT NOT NULL, ends TEXT NOT NULL
);
CREATE TABLE vex (id INTEGER PRIMARY KEY, feed TEXT NOT NULL, document TEXT NOT NULL);
CREATE TABLE vex_name (name TEXT NOT NULL, statement INTEGER NOT NULL);
"""

# Made at the end: sorting once is faster than keeping order, and needs no memory. Rows about one
# package then lie together.
INDEXES = """
INSERT INTO affected SELECT * FROM staged ORDER BY name, ecosystem, advisory;
DROP TABLE staged;
CREATE INDEX affected_name ON affected (name, ecosystem);
CREATE INDEX cve_name ON cve (name);
CREATE INDEX newest_name ON newest (name, ecosystem);
CREATE INDEX vex_names ON vex_name (name);
"""
