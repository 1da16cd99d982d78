"""Connections that read a store, and patience with files that go while a query looks for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

import duckdb

from gnomon.store.database import translated
from gnomon.store.log.layout import Layout
from gnomon.store.log.views import create_log_views

__all__ = ["connect_log", "persistently"]

T = TypeVar("T")
TRIES: Final = 5


def connect_log(layout: Layout, config: dict[str, str | bool | int | float | list[str]]) -> duckdb.DuckDBPyConnection:
    """Open an in-memory database with a store's views, in UTC.

    Raises:
        InputError: There is no store, or one of another version.
        DependencyError: It cannot be read.
    """
    info = layout.info()
    with translated(layout.root):
        connection = duckdb.connect(config=config)
        try:
            connection.execute("SET TimeZone = 'UTC'")
            create_log_views(connection, layout.root, info)
        except BaseException:
            connection.close()
            raise
    return connection


def persistently(work: Callable[[], T]) -> T:
    """Do `work`; again when a file that it had listed was compacted away before it was read."""
    for _ in range(TRIES - 1):
        try:
            return work()
        except duckdb.IOException as error:
            if "No such file" not in str(error) and "No files found" not in str(error):
                raise
    return work()
