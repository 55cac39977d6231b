"""Changes of many rows: on PostgreSQL all kinds of them are one statement, on SQLite each kind is one for its rows.

A kind is said once, over a row of named values. PostgreSQL gets the rows as arrays, an array a name; rows that
exist are locked in the order of their keys, and those of a change after those of the one before it, so that nobody
waits in a circle. No row may change twice in one go. SQLite runs it once for each row.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import (
    CTE,
    Column,
    ColumnElement,
    FromClause,
    RowMapping,
    Select,
    Table,
    and_,
    bindparam,
    column,
    func,
    literal,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import TypeEngine

Row = Mapping[str, ColumnElement[Any]]
Values = Mapping[str, Any]
DONE: Any = literal_column("1").label("done")
Insert = Callable[[Table], Any]
"""An insert that can say what to do when the row is there; both databases say it the same way."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Statement:
    """A kind of change. values: the names and types of what a row says; make: from them to the statement.

    keys: columns, named like values, of the rows that are there and change; PostgreSQL locks them. returns: columns of
    the changed rows that are wanted.
    """

    name: str
    values: Mapping[str, TypeEngine[Any]]
    make: Callable[[Row, Insert], Any]
    keys: Sequence[Column[Any]] = ()
    returns: Sequence[ColumnElement[Any]] = ()


ASYNCHRONOUS_COMMIT = func.set_config("synchronous_commit", "off", True)
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
        return await _at_once(connection, wanted, asynchronous=asynchronous)
    found: list[RowMapping] = []
    for number, (write, rows) in enumerate(wanted.items()):
        values = [{f"of_{name}": row[name] for name in write.values} for row in rows]
        if number == 0 and write.returns:
            for one in values:
                found += (await connection.execute(_alone(write), one)).mappings()
        else:
            await connection.execute(_alone(write), values)
    return found


async def _at_once(
    connection: AsyncConnection, wanted: Mapping[Statement, Sequence[Values]], *, asynchronous: bool
) -> Sequence[RowMapping]:
    arrays = {
        f"{write.name}_{name}": [row[name] for row in rows] for write, rows in wanted.items() for name in write.values
    }
    found = await connection.execute(_whole(tuple(wanted), asynchronous=asynchronous), arrays)
    return found.mappings().all() if next(iter(wanted)).returns else []


@cache
def _alone(write: Statement) -> Any:
    """For one row, or for many by the driver."""
    query = write.make(
        {name: bindparam(f"of_{name}", type_=type_) for name, type_ in write.values.items()}, sqlite_insert
    )
    return query.returning(*write.returns) if write.returns else query


@cache
def _whole(writes: tuple[Statement, ...], *, asynchronous: bool) -> Select[Any]:
    parts: list[CTE] = []
    locking: CTE | None = None
    for write in writes:
        rows = _rows(write, locking)
        query = write.make({name: rows.c[name] for name in write.values}, postgres_insert)
        parts.append(query.returning(*(write.returns or [DONE])).cte(write.name))
        locking = parts[-1] if write.keys else locking
    told = select(parts[0]) if writes[0].returns else select(literal(1))
    return (told.add_columns(ASYNCHRONOUS_COMMIT) if asynchronous else told).add_cte(*parts)


def _rows(write: Statement, before: CTE | None) -> FromClause:
    """The rows of a change; of those that are there already, with their locks, which are taken after those before."""
    rows = array_rows(write.name, write.values)
    if not write.keys:
        return rows
    (table,) = {key.table for key in write.keys}
    found = and_(*(key == rows.c[key.name] for key in write.keys))
    query = select(rows).join(table, found).order_by(*write.keys).with_for_update(of=table)
    if before is not None:
        query = query.where(select(func.count()).select_from(before).scalar_subquery() >= 0)
    return query.cte(f"locked_{write.name}")


def array_rows(name: str, values: Mapping[str, TypeEngine[Any]]) -> FromClause:
    """PostgreSQL: rows as a statement is given them, by arrays named `name`, underscore, and the value's name."""
    arrays = [bindparam(f"{name}_{value}", type_=ARRAY(type_)) for value, type_ in values.items()]
    columns = [column(value, type_) for value, type_ in values.items()]
    return func.unnest(*arrays).table_valued(*columns).render_derived(name=f"given_{name}")
