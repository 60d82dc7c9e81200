"""What statements are put together from: comparisons with parameters, and ways to insert."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    Column,
    Executable,
    Table,
    TableClause,
    bindparam,
    case,
    func,
    literal_column,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.elements import ColumnElement

# Both dialects spell `ON CONFLICT` alike; SQLAlchemy has one construct per dialect for it.
_INSERT: Mapping[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def inserted(table: TableClause) -> list[str]:
    """The columns that an insert gives values to, in order: all but a key that counts itself."""
    return [column.name for column in table.c if column.name != "id"]


def is_(column: Column[Any]) -> ColumnElement[bool]:
    """The column is the parameter of its name."""
    return column == bindparam(column.name)


def in_(column: Column[Any]) -> ColumnElement[bool]:
    """The column is one of the parameter `keys`."""
    return column.in_(bindparam("keys", expanding=True))


class Insert:
    """What dialects spell differently: ways to insert, whose parameters have the names of the
    columns; and where a text has a part."""

    def __init__(self, dialect: str) -> None:
        self._dialect = dialect
        self._insert = _INSERT[dialect]

    def plain(self, table: Table) -> Executable:
        """Fail where there is such a row."""
        statement: Executable = self._values(table)
        return statement

    def ignore(self, table: Table) -> Executable:
        """Leave a row that is there."""
        statement: Executable = self._values(table).on_conflict_do_nothing()
        return statement

    def replace(self, table: Table, key: str, *columns: str) -> Executable:
        """Set `columns` (default: all others) of a row with the same `key`."""
        statement = self._values(table)
        names = columns or [name for name in inserted(table) if name != key]
        changed: Executable = statement.on_conflict_do_update(
            index_elements=[key], set_={name: statement.excluded[name] for name in names}
        )
        return changed

    def add_up(self, table: Table) -> Executable:
        """Add the row to the one of the same identity: earliest and latest time, and the count."""
        statement = self._values(table)
        new, old = statement.excluded, table.c
        changed: Executable = statement.on_conflict_do_update(
            index_elements=["identity"],
            set_={
                "first_at": case((new.first_at < old.first_at, new.first_at), else_=old.first_at),
                "last_at": case((new.last_at > old.last_at, new.last_at), else_=old.last_at),
                "count": old["count"] + new["count"],
            },
        )
        return changed

    def count_up(self, table: Table) -> Executable:
        """Make the number larger: at least the value that is given."""
        statement = self._values(table)
        new, old = statement.excluded, table.c
        changed: Executable = statement.on_conflict_do_update(
            index_elements=["name"],
            set_={
                "value": case(
                    (new["value"] > old["value"], new["value"]),
                    else_=old["value"] + literal_column("1"),
                )
            },
        )
        return changed

    def place_of(self, part: ColumnElement[str], text: Column[Any]) -> ColumnElement[int]:
        """Where the text has the part, from 1; 0 if nowhere. Upper and lower case differ."""
        function = func.instr if self._dialect == "sqlite" else func.strpos
        found: ColumnElement[int] = function(text, part)
        return found

    def _values(self, table: Table) -> Any:
        return self._insert(table).values({name: bindparam(name) for name in inserted(table)})
