"""What a user may ask for: a portable database or a store's directory, opened alike, and statements that only read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import duckdb

from gnomon.errors import UsageError
from gnomon.store.database import connect_read_only
from gnomon.store.log.layout import is_store, store_at
from gnomon.store.log.reading import connect_log_for_users

__all__ = ["connect", "reading"]

_READING: Final = {"SELECT", "EXPLAIN", "MULTI"}
_EXPLAIN: Final = re.compile(r"\s*explain(\s+analyze)?(\s*\([^()]*\))?", re.IGNORECASE)


def connect(path: Path) -> duckdb.DuckDBPyConnection:
    """Open a database or a store so that SQL on the connection can read it and nothing else, in UTC.

    Raises:
        DependencyError: Another process writes to the database, or the store cannot be read now.
        InputError: It is missing, not Gnomon's, or of a newer version.
    """
    return connect_log_for_users(store_at(path)) if is_store(path) else connect_read_only(path)


def reading(connection: duckdb.DuckDBPyConnection, sql: str) -> duckdb.Statement:
    """The one statement of `sql`. Raises UsageError unless it reads."""
    statements = connection.extract_statements(sql)
    if len(statements) == 1 and statements[0].type.name in _READING:
        if statements[0].type.name != "EXPLAIN":
            return statements[0]
        # What is explained can be run, so it has to read too.
        explained = connection.extract_statements(_EXPLAIN.sub("", statements[0].query, count=1))
        if len(explained) == 1 and explained[0].type.name in _READING - {"EXPLAIN"}:
            return statements[0]
    raise UsageError("a query is one statement that reads, such as SELECT", "run one of them at a time")
