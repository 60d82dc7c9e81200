"""Writes `layerproof.store.sqlite_sql`: the schema and the statements as SQLite's SQL text.

Run `python -m layerproof.store.generate` after a change of `schema`, `statements` or the
migrations. A test fails when the file is not what this module would write.
"""

import textwrap
from collections.abc import Iterable
from pathlib import Path

from alembic.script import ScriptDirectory
from sqlalchemy import Executable
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from layerproof.store.migrate import configuration
from layerproof.store.schema import APPLICATION_ID, metadata
from layerproof.store.statements import statements

TARGET = Path(__file__).with_name("sqlite_sql.py")

# As alembic creates it (alembic.runtime.migration.MigrationContext).
_VERSION_TABLE = (
    "CREATE TABLE alembic_version ( version_num VARCHAR(32) NOT NULL, "
    "CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num) )"
)

_HEADER = '''\
"""SQLite's SQL for `schema` and `statements`, so that they need not be imported at run time.

Written by `python -m layerproof.store.generate`; do not edit. In a statement, `:keys*` stands for
a list of parameters.
"""
# Not formatted, because a program writes this file:
# fmt: off

from collections.abc import Mapping
'''


def main() -> None:
    """Write the file."""
    TARGET.write_text(text(), encoding="utf-8")


def text() -> str:
    """The module's source."""
    revisions = list(_revisions())
    lines = [_HEADER]
    lines.append("# Every revision of the schema that this version can read, oldest first.")
    lines.append(f"REVISIONS: tuple[str, ...] = ({', '.join(map(_quoted, revisions))},)")
    lines.append("HEAD = REVISIONS[-1]\n")
    lines.append(f"APPLICATION_ID = 0x{APPLICATION_ID:X}\n")
    lines.append("SCHEMA: tuple[str, ...] = (")
    lines.extend(f"{_literal(sql)}," for sql in _schema())
    lines.append(")\n")
    lines.append("STATEMENTS: Mapping[str, str] = {")
    for name, statement in statements("sqlite").items():
        lines.append(f'    "{name}": (\n{textwrap.indent(_literal(_compiled(statement)), "    ")}')
        lines.append("    ),")
    lines.append("}\n")
    return "\n".join(lines)


def _revisions() -> Iterable[str]:
    scripts = ScriptDirectory.from_config(configuration())
    return reversed([script.revision for script in scripts.walk_revisions()])


def _schema() -> Iterable[str]:
    dialect = sqlite.dialect()
    yield _VERSION_TABLE
    for table in metadata.sorted_tables:
        yield _flat(str(CreateTable(table).compile(dialect=dialect)))
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            yield _flat(str(CreateIndex(index).compile(dialect=dialect)))
    yield f"INSERT INTO alembic_version (version_num) VALUES ('{list(_revisions())[-1]}')"
    yield f"PRAGMA application_id={APPLICATION_ID}"


def _compiled(statement: Executable) -> str:
    compiled = statement.compile(dialect=sqlite.dialect(paramstyle="named"))  # type: ignore[attr-defined]  # because Executable hides ClauseElement.compile
    return _flat(str(compiled)).replace("__[POSTCOMPILE_keys]", ":keys*")


def _quoted(word: str) -> str:
    return f'"{word}"'


def _flat(sql: str) -> str:
    return " ".join(sql.split())


def _literal(sql: str) -> str:
    """The text as adjacent string literals, one indented line each."""
    sql = sql.replace('"', '\\"')
    lines = textwrap.wrap(sql, 88, break_long_words=False, break_on_hyphens=False)
    last = len(lines) - 1
    return "\n".join(f'    "{line}{"" if n == last else " "}"' for n, line in enumerate(lines))


if __name__ == "__main__":
    main()
