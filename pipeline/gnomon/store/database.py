"""DuckDB files: how they are opened, what version they are of, and what its errors mean to the user."""

from __future__ import annotations

import atexit
import hashlib
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import duckdb

from gnomon.errors import DependencyError, GnomonError, InputError, UsageError
from gnomon.store.comments import comment_columns, comment_relations
from gnomon.store.wrong_sql import wrong_sql

__all__ = [
    "STORE_VERSION",
    "Bounds",
    "attach",
    "bound_names",
    "bounds_of",
    "check_version",
    "connect_read_only",
    "create_schema",
    "create_views",
    "damaged",
    "persistently",
    "reading_config",
    "refresh_views",
    "script",
    "translated",
    "views_digest",
    "with_more_memory",
]

T = TypeVar("T")

STORE_VERSION = 2
"""The version of `schema.sql`: 2 has the table `populations`. Views are told by `views_digest`."""

STORAGE_VERSION = "v1.5.0"
"""The file format of new files: the oldest DuckDB client that can open them."""

_VIEWS = ("selection.sql", "views.sql")
"""Views and macros, in the order in which they build on each other."""

READ_MEMORY = "512MB"
TRIES = 5


_NOT_A_DATABASE = ("not a valid DuckDB database", "Is a directory", "Cannot launch in-memory database")
"""How DuckDB says so; the last one of data files, which it would rather read than open."""


_REFUSED = {
    "No space left on device": (", the disk is full", "free space there"),
    "Disk quota exceeded": (", the disk is full", "free space there"),
    "File too large": ("", "raise the limit on the size of files (`ulimit -f`), or use another file system"),
    "Too many open files": ("", "raise the limit on open files (`ulimit -n`)"),
}
"""How the operating system refuses, in errors of several kinds: what that means, and what to do."""


_DAMAGED = (
    "too small to be a Parquet file",
    "No magic bytes",
    "Footer length error",
    "Failed to read",
    "Could not read enough bytes",
)
"""How DuckDB says that a Parquet file is."""
_NAMED = re.compile(r"""(["'])(/.+?\.parquet)\1""")


class Bounds(NamedTuple):
    """How many names views tell apart: `limits.patterns` of each endpoint, `limits.endpoints` of each service."""

    patterns: int = 1_000
    endpoints: int = 1_000


@cache
def script(name: str) -> str:
    """The text of one of the package's `.sql` files."""
    return files("gnomon.store").joinpath(name).read_text(encoding="utf-8")


@cache
def views_digest() -> str:
    """What tells this program's views and macros from those that another version of it made."""
    text = "".join(script(name) for name in (*_VIEWS, "log/views.sql"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn DuckDB's errors about the file `path` into Gnomon's.

    Raises:
        DependencyError: The file is held by another process or connection, or there is no memory or disk left.
        InputError: The file is not a database, is damaged, cannot be read, or was written by a newer DuckDB.
        UsageError: The SQL is wrong, or asks for more than reading this file.
    """
    try:
        yield
    except duckdb.Error as error:
        raise _meaning(path, error) from error
    except OSError as error:
        if error.errno is not None:
            raise
        # So Arrow hands on what DuckDB says while it reads Parquet files
        named = _NAMED.search(str(error))
        raise damaged(Path(named[2]) if named else path, error) from error


def _meaning(path: Path, error: duckdb.Error) -> GnomonError:
    """The error of Gnomon's tree that says what `error` means to someone who works with `path`."""
    text = str(error)
    first = text.splitlines()[0] if text else type(error).__name__
    said = re.sub(r"^(\w+ ){1,4}Error: ", "", first)
    if "lock on file" in text or "different configuration" in text or "already attached" in text:
        holder = re.search(r"\(PID (\d+)\)", text)
        by = f"process {holder[1]}" if holder else "another connection"
        return DependencyError(f"{path} is open in {by}", "close it there and try again, or use another file")
    refused = next((sign for sign in _REFUSED if sign in text), None)
    if refused is not None:
        meaning, remedy = _REFUSED[refused]
        return DependencyError(f"{path} cannot be written{meaning}: {said}", remedy)
    if any(sign in text for sign in _NOT_A_DATABASE):
        return InputError(f"{path} is not a DuckDB database", "give the file that `gnomon compare --db` wrote")
    broken = _broken(path, error, said)
    if broken or isinstance(error, duckdb.IOException) or "version number" in text:
        return damaged(broken, said) if broken else _unreadable(path, error, said)
    if isinstance(error, duckdb.PermissionException):
        return UsageError(f"a query may only read the database: {said}", "leave files and settings out of it")
    if isinstance(error, duckdb.OutOfMemoryException):
        return DependencyError(f"{path}: there is not enough memory or disk: {said}", "narrow the query or free some")
    if isinstance(error, (duckdb.FatalException, duckdb.InternalException)):
        return GnomonError(f"{path}: the database failed: {said}", "please report it with the command you ran")
    return wrong_sql(text)


def damaged(file: Path, said: object) -> InputError:
    """What to say of a file of a store that cannot be read for what is in it."""
    remedy = "bring it back from a backup, or move it away and lose what it held"
    if file.is_dir():
        return InputError(f"a file of {file} is damaged: {said}", "let `gnomon compact` find it, or use a backup")
    return InputError(f"{file} is damaged: {said}", remedy)


def _broken(path: Path, error: duckdb.Error, said: str) -> Path | None:
    """The Parquet file that an error says is damaged, or the store that has it when the error does not name it."""
    if is_gone(error) or not isinstance(error, (duckdb.InvalidInputException, duckdb.IOException)):
        # The Parquet reader has errors that are of no class
        return path if path.is_dir() and type(error) is duckdb.Error else None
    named = _NAMED.search(said)
    if named and any(sign in said for sign in _DAMAGED):
        return Path(named[2])
    return path if path.is_dir() and "corrupt" in said else None


def _unreadable(path: Path, error: duckdb.Error, said: str) -> GnomonError:
    """What it means that `path` cannot be read or written."""
    if "version number" in said:
        return InputError(f"{path} was written by another version of DuckDB: {said}", "upgrade duckdb to read it")
    if path.is_dir() and is_gone(error):
        return DependencyError(f"{path} was compacted while it was read", "try again")
    return InputError(f"{path} cannot be read or written: {said}", "check that it is there and whole")


@cache
def _spill_directory() -> str:
    """Where queries of this process spill to: one place, since connections to one file must agree on it."""
    path = tempfile.mkdtemp(prefix="gnomon-query-")
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def reading_config() -> dict[str, Any]:
    """Settings of a connection whose SQL is a user's; `enable_external_access` is for the caller to take away."""
    return {
        "allow_persistent_secrets": False,
        "allow_community_extensions": False,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "python_enable_replacements": False,
        "memory_limit": READ_MEMORY,
        "temp_directory": _spill_directory(),
        "max_temp_directory_size": "20GB",
    }


def connect_read_only(path: Path) -> duckdb.DuckDBPyConnection:
    """Open a database so that SQL on the connection can read this file and touch nothing else, in UTC.

    Raises:
        DependencyError: Another process writes to it.
        InputError: It is missing, not a database, not Gnomon's, or of another version.
    """
    if not path.exists():
        raise InputError(f"there is no database at {path}", "make one with `gnomon compare FILE... --db FILE`")
    config = reading_config() | {"enable_external_access": False}
    with translated(path):
        connection = duckdb.connect(str(path.resolve()), read_only=True, config=config)
    try:
        with translated(path):
            # Connections of one process to one file share their settings, so the second finds them locked.
            if not _value(connection, "SELECT current_setting('lock_configuration')"):
                connection.execute("SET GLOBAL TimeZone = 'UTC'")
                connection.execute("SET lock_configuration = true")
            catalog = str(_value(connection, "SELECT current_database()"))
            check_version(connection, catalog, path)
            _check_views(connection, catalog, path)
    except BaseException:
        connection.close()
        raise
    return connection


def is_gone(error: Exception) -> bool:
    """Whether a query failed because a file that it had listed is not there any more: the next will not list it."""
    return isinstance(error, duckdb.IOException) and ("No such file" in str(error) or "No files found" in str(error))


def persistently(work: Callable[[], T]) -> T:
    """Do `work`; again when a file that it had listed was compacted away before it was read."""
    for _ in range(TRIES - 1):
        try:
            return work()
        except duckdb.IOException as error:
            if not is_gone(error):
                raise
    return work()


def with_more_memory(connection: duckdb.DuckDBPyConnection, work: Callable[[], T]) -> T:
    """Do `work`; when it needs more memory than the connection may have, do it again with what DuckDB would take.

    Some operators cannot spill, and a run of hours is not given up for a bound that is only there to be kind.
    `work` leaves no transaction open when it fails.
    """
    try:
        return persistently(work)
    except duckdb.OutOfMemoryException as error:
        try:
            connection.execute("RESET memory_limit")
        except duckdb.InvalidInputException:
            # A reader's settings are locked, whatever it asks.
            raise error from None
        return persistently(work)


def refresh_views(path: Path) -> None:
    """Make the views and macros of a database anew where another version of this program made them; explain columns.

    Raises:
        DependencyError: Another process has it open.
        InputError: It is missing, not Gnomon's, or of another version.
    """
    if not path.is_file():
        raise InputError(f"there is no database at {path}", "make one with `gnomon compare FILE... --db FILE`")
    with translated(path), duckdb.connect() as connection:
        attach(connection, path, "target")
        with _changing(connection, "target"):
            comment_relations(connection, "TABLE")
            comment_columns(connection, "target")


def attach(connection: duckdb.DuckDBPyConnection, path: Path, name: str) -> None:
    """Attach a file for writing under `name`, making it with the current schema if it holds no table yet.

    Tables that an older version of this program did not have are added, and views that another one made are made anew.

    Raises:
        DependencyError: Another process has it open.
        InputError: It is not a database, not Gnomon's, or of a newer version.
    """
    quoted = str(path.resolve()).replace("'", "''")
    # Without the type a JSON, CSV or Parquet file is attached as a view of itself, in memory
    options = "TYPE duckdb" if path.exists() else f"TYPE duckdb, STORAGE_VERSION '{STORAGE_VERSION}'"
    with translated(path):
        connection.execute(f"ATTACH '{quoted}' AS {name} ({options})")
        if not _tables(connection, name):
            create_schema(connection, name)
            return
        check_version(connection, name, path, oldest=1)
        if _made_views(connection, name) != views_digest():
            with _changing(connection, name):
                _add_tables(connection, name)
                create_views(connection, bounds_of(connection, name))
                comment_relations(connection, "TABLE")


def create_schema(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Make all tables, views and macros in the attached database `name`, as one transaction of its own."""
    with _changing(connection, name):
        connection.execute(script("schema.sql"))
        create_views(connection)
        comment_relations(connection, "TABLE")
        connection.execute("INSERT INTO store_version VALUES (?, now())", [STORE_VERSION])


@contextmanager
def _changing(connection: duckdb.DuckDBPyConnection, name: str) -> Iterator[None]:
    """A transaction in which names mean those of the attached database `name`."""
    before = _value(connection, "SELECT current_database()")
    connection.execute(f"USE {name}")
    try:
        connection.execute("BEGIN")
        yield
        connection.execute("COMMIT")
    finally:
        connection.execute(f'USE "{before}"')


def create_views(connection: duckdb.DuckDBPyConnection, bounds: Bounds | None = None) -> None:
    """Make the views and macros over the tables that are there."""
    for name in _VIEWS:
        connection.execute(script(name))
    connection.execute(f"CREATE OR REPLACE MACRO views_digest() AS '{views_digest()}'")
    bound_names(connection, str(_value(connection, "SELECT current_database()")), bounds or Bounds())


def bound_names(connection: duckdb.DuckDBPyConnection, name: str, bounds: Bounds) -> None:
    """Set how many names are told apart in the views of the attached database `name`."""
    connection.execute(f'CREATE OR REPLACE MACRO "{name}".pattern_bound() AS {bounds.patterns:d}')
    connection.execute(f'CREATE OR REPLACE MACRO "{name}".endpoint_bound() AS {bounds.endpoints:d}')


def bounds_of(connection: duckdb.DuckDBPyConnection, name: str) -> Bounds:
    """How many names are told apart in the attached database `name`; the defaults where its views do not say."""
    known = _macros(connection, name)
    said = {
        field: int(str(_value(connection, f'SELECT "{name}".{macro}()')))
        for field, macro in (("patterns", "pattern_bound"), ("endpoints", "endpoint_bound"))
        if macro in known
    }
    return Bounds(**said)


def check_version(connection: duckdb.DuckDBPyConnection, name: str, path: Path, *, oldest: int = STORE_VERSION) -> None:
    """Refuse a database that this program would misread.

    Args:
        connection: Where the database is attached.
        name: What it is called there.
        path: What errors name.
        oldest: The oldest version that will do.

    Raises:
        InputError: It has no `store_version`, or one below `oldest` or above `STORE_VERSION`.
    """
    if "store_version" not in _tables(connection, name):
        raise InputError(
            f"{path} is a DuckDB database, but not one of Gnomon's: it has no table store_version",
            "give another file with --db",
        )
    quoted = name.replace('"', '""')
    version = _value(connection, f'SELECT max(version) FROM "{quoted}".store_version')  # noqa: S608 - quoted above
    if isinstance(version, int) and oldest <= version <= STORE_VERSION:
        return
    remedy = "upgrade gnomon, or use another file with --db"
    if isinstance(version, int) and 1 <= version < STORE_VERSION:
        remedy = f"bring it up to date with `gnomon catalog --db {path}`; its rows stay as they are"
    raise InputError(
        f"{path} has version {version} of the store's schema and this program knows version {STORE_VERSION}", remedy
    )


def _check_views(connection: duckdb.DuckDBPyConnection, name: str, path: Path) -> None:
    """Refuse a database whose views were made by another version of this program: they answer other questions.

    Raises:
        InputError: They were.
    """
    if _made_views(connection, name) != views_digest():
        raise InputError(
            f"{path} has the views of another version of gnomon",
            f"bring it up to date with `gnomon catalog --db {path}`; its rows stay as they are",
        )


def _made_views(connection: duckdb.DuckDBPyConnection, name: str) -> object:
    """The digest of the views of the attached database `name`; None where none is said."""
    known = "views_digest" in _macros(connection, name)
    quoted = name.replace('"', '""')
    return _value(connection, f'SELECT "{quoted}".views_digest()') if known else None


def _add_tables(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Add the tables that an older schema did not have: so far that is all that schemas differ in."""
    there = _tables(connection, name)
    for statement in connection.extract_statements(script("schema.sql")):
        found = re.search(r"CREATE TABLE (\w+)", statement.query)
        if found and found[1] not in there:
            connection.execute(statement)
    connection.execute("UPDATE store_version SET version = ?", [STORE_VERSION])


def _macros(connection: duckdb.DuckDBPyConnection, name: str) -> set[str]:
    sql = "SELECT DISTINCT function_name FROM duckdb_functions() WHERE database_name = ?"
    return {str(row[0]) for row in connection.execute(sql, [name]).fetchall()}


def _tables(connection: duckdb.DuckDBPyConnection, name: str) -> set[str]:
    rows = connection.execute("SELECT table_name FROM duckdb_tables() WHERE database_name = ?", [name]).fetchall()
    return {str(row[0]) for row in rows}


def _value(connection: duckdb.DuckDBPyConnection, sql: str) -> object:
    """The first column of the first row, None without one."""
    # All rows are fetched: a result that was not read to its end bars other work on the connection.
    rows = connection.execute(sql).fetchall()
    return rows[0][0] if rows else None
