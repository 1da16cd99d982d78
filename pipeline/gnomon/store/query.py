"""SQL from a user: it reads one database or store and can touch nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import msgspec

from gnomon.store.database import persistently, translated
from gnomon.store.opening import connect, reading

__all__ = ["QueryResult", "run_query"]

FETCH_ROWS = 2_048


class QueryResult(msgspec.Struct, frozen=True):
    """The answer to a query, fetched as `rows` is iterated.

    `types` are DuckDB's names (`BIGINT`, `DECIMAL(10,2)`, `TIMESTAMP WITH TIME ZONE`, `MAP(VARCHAR, VARCHAR)`).
    Rows hold Python values (int, float, Decimal, str, datetime in UTC, list, dict ...): see `json_value`.
    """

    columns: list[str]
    types: list[str]
    rows: Iterator[tuple[object, ...]]


def run_query(path: Path, sql: str) -> QueryResult:
    """Run one read-only statement. The file is held until the last row is read, or the result is dropped.

    Raises (also while rows are read):
        UsageError: The SQL is wrong, is not one statement that reads, or asks for more than this database.
        InputError: There is no database of this version of Gnomon at `path`.
        DependencyError: Another process writes to it, or the query needs more memory than it may have.
    """
    connection = connect(path)
    try:
        with translated(path):
            statement = reading(connection, sql)
            cursor, first = persistently(lambda: _started(connection, statement))
            described = cursor.description or []
    except BaseException:
        connection.close()
        raise
    return QueryResult(
        columns=[str(column[0]) for column in described],
        types=[str(column[1]) for column in described],
        rows=_rows(cursor, first, path),
    )


def _started(
    connection: duckdb.DuckDBPyConnection, statement: duckdb.Statement
) -> tuple[duckdb.DuckDBPyConnection, list[tuple[object, ...]]]:
    """A cursor and its first rows: files that are gone are missed before there are any."""
    cursor = connection.execute(statement)
    return cursor, cursor.fetchmany(FETCH_ROWS)


def _rows(
    cursor: duckdb.DuckDBPyConnection, first: list[tuple[object, ...]], path: Path
) -> Iterator[tuple[object, ...]]:
    with translated(path), cursor:
        batch = first
        while batch:
            yield from batch
            batch = cursor.fetchmany(FETCH_ROWS)
