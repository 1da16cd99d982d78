"""Connections that read a store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb

from gnomon.store.database import reading_config, translated
from gnomon.store.log.layout import Layout
from gnomon.store.log.manifest import whole_manifest
from gnomon.store.log.views import create_log_views, glob_root, root_is

__all__ = ["connect_files", "connect_log", "connect_log_for_users"]


def connect_log(layout: Layout, config: dict[str, Any]) -> duckdb.DuckDBPyConnection:
    """Open an in-memory database with a store's views, in UTC.

    Raises:
        InputError: There is no store, or one of another version, or a file that counts is missing.
        DependencyError: It cannot be read.
    """
    info = layout.info()
    whole_manifest(layout)
    connection = connect_files(layout, config)
    with translated(layout.root):
        try:
            create_log_views(connection, layout, info)
        except BaseException:
            connection.close()
            raise
    return connection


def connect_files(layout: Layout, config: dict[str, Any]) -> duckdb.DuckDBPyConnection:
    """Open an in-memory database on which the SQL of `views` that names a store's files works, in UTC."""
    with translated(layout.root):
        connection = duckdb.connect(config=config)
        connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
        root_is(connection, layout.root)
    return connection


def connect_log_for_users(layout: Layout, more: Sequence[Path] = ()) -> duckdb.DuckDBPyConnection:
    """The same for SQL of a user's: it can read files of this store, and of `more` directories, and nothing else.

    A statement that writes could write within the store: let only such run as read.
    """
    connection = connect_log(layout, reading_config())
    try:
        with translated(layout.root):
            # What is listed is named as a glob, what is opened as it is.
            places = [name for place in (layout.root, *more) for name in (str(place), glob_root(place))]
            quoted = ", ".join("'" + place.replace("'", "''") + "'" for place in places)
            connection.execute(f"SET allowed_directories = [{quoted}]")
            connection.execute("SET enable_external_access = false")
            connection.execute("SET lock_configuration = true")
    except BaseException:
        connection.close()
        raise
    return connection
