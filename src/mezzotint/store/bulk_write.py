"""Changes of many rows: on PostgreSQL all kinds of them are one statement, on SQLite each kind is one for its rows.

A kind is SQL that both databases read, over a table `given` with a row of values for each change. PostgreSQL gets these
rows as arrays, an array a column; rows that exist are locked in the order of their keys, and those of a change after
those of the one before it, so that none waits in a circle. No row may change twice in one go. SQLite runs the
SQL once for each row.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from sqlalchemy import Column, RowMapping, Table, TextClause, bindparam, column, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.selectable import TextualSelect
from sqlalchemy.types import TypeEngine

Values = Mapping[str, Any]
Types = Mapping[str, TypeEngine[Any]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Statement:
    """A kind of change. values: the columns of `given`. keys: columns, named like values, by which PostgreSQL locks the
    rows that change. returns: the columns that `sql` returns."""

    name: str
    values: Types
    sql: str
    keys: Sequence[Column[Any]] = ()
    returns: Types = field(default_factory=dict)


ASYNCHRONOUS_COMMIT = "set_config('synchronous_commit', 'off', true)"
"""PostgreSQL: the commit of this transaction does not wait for the disk. SQLite knows no such thing for one."""


async def execute(
    connection: AsyncConnection, wanted: Mapping[Statement, Sequence[Values]], *, asynchronous: bool = False
) -> Sequence[RowMapping]:
    """Make the changes, in order; what has no rows is left out. Returns what the first returns.

    asynchronous: the commit need not wait for the disk.
    """
    wanted = {write: rows for write, rows in wanted.items() if rows}
    if not wanted:
        return []
    if connection.dialect.name == "postgresql":
        arrays = {
            f"{write.name}_{name}": [row[name] for row in rows]
            for write, rows in wanted.items()
            for name in write.values
        }
        result = await connection.execute(postgres_query(tuple(wanted), asynchronous=asynchronous), arrays)
        return result.mappings().all() if next(iter(wanted)).returns else []
    found: list[RowMapping] = []
    for number, (write, rows) in enumerate(wanted.items()):
        if number == 0 and write.returns:
            for row in rows:
                found += (await connection.execute(sqlite_query(write), row)).mappings()
        else:
            await connection.execute(sqlite_query(write), rows)
    return found


@cache
def sqlite_query(write: Statement) -> TextClause | TextualSelect:
    """Parameters: the values of a row."""
    given = ", ".join(f":{name} AS {name}" for name in write.values)
    query = text(f"WITH given AS (SELECT {given}) {write.sql}")
    query = query.bindparams(*(bindparam(name, type_=type_) for name, type_ in write.values.items()))
    return with_columns(query, write.returns) if write.returns else query


@cache
def postgres_query(writes: tuple[Statement, ...], *, asynchronous: bool = False) -> TextClause | TextualSelect:
    """Parameters: an array for each value of each change, `name of the change`_`name of the value`."""
    parts: list[str] = []
    locked_before = ""
    for write in writes:
        given = f"SELECT given.* FROM {array_rows(write.name, write.values)} AS given"
        returning = "" if write.returns else " RETURNING 1"
        if write.keys:
            table = write.keys[0].table.name
            found = " AND ".join(f"{key} = given.{key.name}" for key in write.keys)
            keys = ", ".join(str(key) for key in write.keys)
            given += f" JOIN {table} ON {found}{locked_before} ORDER BY {keys} FOR UPDATE OF {table}"
            locked_before = f" WHERE (SELECT count(*) FROM {write.name}) >= 0"
        parts.append(f"{write.name} AS (WITH given AS ({given}) {write.sql}{returning})")
    first = writes[0]
    wanted = f"{first.name}.*" if first.returns else "1"
    wanted += f", {ASYNCHRONOUS_COMMIT}" if asynchronous else ""
    query = text(f"WITH {', '.join(parts)} SELECT {wanted}" + (f" FROM {first.name}" if first.returns else ""))
    for write in writes:
        query = query.bindparams(*array_parameters(write.name, write.values))
    return with_columns(query, first.returns) if first.returns else query


def array_rows(prefix: str, values: Types) -> str:
    """PostgreSQL: a table of the rows that `array_parameters` with the same prefix are given."""
    arrays = ", ".join(f":{prefix}_{name}" for name in values)
    return f"(SELECT * FROM unnest({arrays}) AS rows ({', '.join(values)}))"


def types_of(table: Table) -> Types:
    """The types of a table's columns, by name."""
    return {column.name: column.type for column in table.c}


def columns_of(table: Table, alias: str | None = None) -> str:
    """All columns in the order of `types_of`. SQLite takes no `jobs.*` in RETURNING."""
    return ", ".join(f"{alias or table.name}.{column.name}" for column in table.c)


def with_columns(query: TextClause, types: Types) -> TextualSelect:
    """The query with its columns in order. SQLAlchemy keeps what it finds out about columns that are told by place."""
    return query.columns(*(column(name, type_) for name, type_ in types.items()))


def array_parameters(prefix: str, values: Types) -> list[Any]:
    return [bindparam(f"{prefix}_{name}", type_=ARRAY(type_)) for name, type_ in values.items()]
