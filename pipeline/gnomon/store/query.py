"""SQL from a user: it reads one database and can touch nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import msgspec

from gnomon.errors import UsageError
from gnomon.store.database import connect_read_only, translated

__all__ = ["QueryResult", "run_query"]

FETCH_ROWS = 2_048
_READING = {"SELECT", "EXPLAIN", "MULTI"}


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
    connection = connect_read_only(path)
    try:
        with translated(path):
            cursor = connection.execute(_reading(connection, sql))
            described = cursor.description or []
    except BaseException:
        connection.close()
        raise
    return QueryResult(
        columns=[str(column[0]) for column in described],
        types=[str(column[1]) for column in described],
        rows=_rows(cursor, path),
    )


def _reading(connection: duckdb.DuckDBPyConnection, sql: str) -> duckdb.Statement:
    """The one statement of `sql`. Raises UsageError unless it reads."""
    statements = connection.extract_statements(sql)
    if len(statements) != 1 or statements[0].type.name not in _READING:
        raise UsageError("a query is one statement that reads, such as SELECT", "run one of them at a time")
    return statements[0]


def _rows(cursor: duckdb.DuckDBPyConnection, path: Path) -> Iterator[tuple[object, ...]]:
    with translated(path), cursor:
        while batch := cursor.fetchmany(FETCH_ROWS):
            yield from batch
