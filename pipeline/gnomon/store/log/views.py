"""The views of a store: the same names and columns as the tables of a portable database, over Parquet files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import duckdb
import msgspec

from gnomon.store.comments import comment_columns, comment_relations
from gnomon.store.database import STORAGE_VERSION, STORE_VERSION, create_views, script, translated, views_digest
from gnomon.store.log.layout import (
    BATCHES,
    GROUPS,
    KINDS,
    MANIFESTS,
    Layout,
    StoreInfo,
    check_same,
    refused,
    sync_directory,
)
from gnomon.store.log.shapes import create_store, table_schema

__all__ = [
    "TABLES",
    "batches_of",
    "create_log_views",
    "files_sql",
    "glob_root",
    "hot_rows",
    "manifest_row",
    "prepare_store",
    "root_is",
    "sealed_rows",
    "series_rows",
    "table_sql",
    "write_catalog",
]

TABLES: Final = (
    "comparisons", "differences", "exchanges", "rejects", "populations", "alerts", "rule_versions", "runs", "routed",
    "learned_endpoints",
)  # fmt: skip

_REVISED: Final = """
SELECT h.request_id, h.started_at, h.series, h.seq FROM hot AS h WHERE h.kind = 'revision'
"""
_COUNTING: Final = """
SELECT g.gid, EXISTS (FROM revised AS r WHERE r.started_at BETWEEN g.earliest AND g.latest) AS touched
FROM (SELECT unnest(m.groups, recursive := true) FROM manifest AS m) AS g
"""
_PLAIN: Final = """
CREATE VIEW {table} AS
WITH manifest AS MATERIALIZED ({manifest}),
counting AS NOT MATERIALIZED (SELECT unnest(m.groups).gid AS gid FROM manifest AS m)
SELECT {sealed_columns} FROM counting AS c JOIN {sealed} AS s ON s.gid = c.gid
"""
_PLAIN_HOT: Final = "UNION ALL SELECT {hot_columns} FROM ({hot}) AS h"


def manifest_row() -> str:
    """SQL of the one row that says what counts."""
    return (
        "SELECT arg_max(x.groups, x.version) AS groups, arg_max(x.covered, x.version) AS covered "
        f"FROM {_files(f'manifests/{MANIFESTS}')} AS x"
    )


def sealed_rows(table: str) -> str:
    """SQL of all compacted rows of a table, whether they count or not."""
    return _files(f"sealed/{table}/{GROUPS}")


def hot_rows(kind: str, names: str = BATCHES) -> str:
    """SQL of the batches that no group holds; a CTE named `manifest` is there."""
    return (
        f"SELECT b.* FROM {_files(f'hot/{kind}/{names}')} AS b "
        "ANTI JOIN (SELECT unnest(m.covered, recursive := true) FROM manifest AS m) AS k "
        "ON k.series = b.series AND k.upto >= b.seq"
    )


def series_rows(series: str) -> str:
    """As `hot_rows` of one series, of which there is a batch: damage of others' is no concern of its writer's."""
    kind, _, name = series.partition("/")
    return hot_rows(kind, batches_of(name))


def batches_of(name: str) -> str:
    """A glob of the batches of a series by its name."""
    return f"{name}.{MANIFESTS}"


def columns(table: str, alias: str) -> str:
    """The published columns of a table, qualified."""
    return ", ".join(f'{alias}."{field.name}"' for field in table_schema(table))


def glob_root(root: Path) -> str:
    """A directory as it stands in a glob: its own stars and brackets mean themselves."""
    return re.sub(r"([*?\[])", r"[\1]", str(root))


def table_sql(table: str, batches: str, own: Sequence[str] = ()) -> str:
    """SQL of one of the first four tables as its view, of what groups hold and batches of these names, a glob.

    It has columns of comparisons that are not published.
    """
    start = f"CREATE VIEW {table} AS"
    return next(sql for sql in _log_views(own, batches) if sql.startswith(start)).removeprefix(start)


def _log_views(own: Sequence[str] = (), batches: str = BATCHES) -> list[str]:
    """The statements of views.sql."""
    text = script("log/views.sql").replace("{revised}", _REVISED).replace("{counting}", _COUNTING)
    text = text.replace("{manifest}", manifest_row())
    text = re.sub(r"\{hot (\w+)\}", lambda found: hot_rows(found[1], batches), text)
    text = re.sub(r"\{sealed (\w+)\}", lambda found: sealed_rows(found[1]), text)
    text = re.sub(r"\{columns (\w+) (\w+)\}", lambda found: columns(found[1], found[2]), text)
    text = re.sub(r"\{own (\w+)\}", lambda found: "".join(f", {found[1]}.{name}" for name in own), text)
    return [statement.strip() for statement in text[text.index("CREATE VIEW") :].split(";") if statement.strip()]


def create_log_views(
    connection: duckdb.DuckDBPyConnection, layout: Layout, info: StoreInfo, root: Path | None = None
) -> None:
    """Make the views and macros of a store in the connection's current database.

    Args:
        connection: Where names without a catalog are to mean the store's.
        layout: The store.
        info: What its `store.json` says.
        root: Where readers will find the store, absolute, when that is not where it is here.
    """
    # Making a view looks its files up; here there are few, and none goes meanwhile.
    root_is(connection, layout.empty)
    statements = _log_views()
    for table in TABLES[5:]:
        plain = _PLAIN + (_PLAIN_HOT if table in KINDS else "")
        parts = {"manifest": manifest_row(), "sealed": sealed_rows(table), "hot": hot_rows(table)}
        names = {"sealed_columns": columns(table, "s"), "hot_columns": columns(table, "h")}
        statements.append(plain.format(table=table, **parts, **names))
    for statement in statements:
        connection.execute(statement)
    create_views(connection, info.bounds)
    comment_relations(connection, "VIEW")
    root_is(connection, root or layout.root)


def write_catalog(layout: Layout, info: StoreInfo, root: Path | None = None) -> Path:
    """Write `catalog.duckdb` anew, as one step: readers have the old one or the new one.

    Args:
        layout: The store.
        info: What its `store.json` says.
        root: Where readers will find the store, when that is not where it is here.

    Raises:
        DependencyError: The store cannot be written.
    """
    with refused(layout.root):
        temporary = layout.temporary("catalog.duckdb")
        try:
            with translated(temporary), duckdb.connect() as connection:
                quoted = str(temporary).replace("'", "''")
                connection.execute(f"ATTACH '{quoted}' AS made (STORAGE_VERSION '{STORAGE_VERSION}')")
                connection.execute("USE made")
                connection.execute("CREATE TABLE store_version (version INTEGER NOT NULL, created_at TIMESTAMPTZ)")
                connection.execute("INSERT INTO store_version VALUES (?, now())", [STORE_VERSION])
                create_log_views(connection, layout, info, root)
                comment_columns(connection, "made")
                connection.execute("CHECKPOINT made")
                connection.execute("USE memory")
                connection.execute("DETACH made")
            # DuckDB opens read-write unless told otherwise, and would lock everybody else out.
            temporary.chmod(0o444)
            temporary.replace(layout.catalog)
            sync_directory(layout.root)
            made = msgspec.structs.replace(layout.info(), views=views_digest())
            if made != layout.info():
                layout.write(layout.info_file, msgspec.json.encode(made))
        finally:
            temporary.unlink(missing_ok=True)
    return layout.catalog


def root_is(connection: duckdb.DuckDBPyConnection, root: Path) -> None:
    """Say where the store is: views that are made need its files there, those that are asked do."""
    quoted = glob_root(root).replace("'", "''")
    connection.execute(f"CREATE OR REPLACE MACRO store_root() AS '{quoted}'")


def _files(names: str) -> str:
    return f"read_parquet(store_root() || '/{names}', hive_partitioning = false)"


def files_sql(files: Sequence[Path]) -> str:
    """SQL of the rows of Parquet files."""
    quoted = ", ".join("'" + glob_root(file).replace("'", "''") + "'" for file in files)
    return f"read_parquet([{quoted}], hive_partitioning = false)"


def prepare_store(root: Path, info: StoreInfo | None = None, known: str | None = None) -> Layout:
    """Make a store with its catalog, or take the one that is there, with the settings that it was made with.

    `info` has those of a new store, without it the defaults: what all its writers and readers must agree on is not for
    each of them to say (`adopt_settings` changes it). `known` is the id of the store that was there before, for who
    must not make another in its place: an empty mount point is none.

    Any number of processes may do this at once. A catalog that is there stays, unless another version of this program
    made it.

    Raises:
        DependencyError: The directory cannot be made or written, or the store that is known is not there.
        InputError: There is a store of another version.
    """
    layout = Layout(root)
    if known is not None:
        check_same(layout, known)
    create_store(layout, info)
    made = layout.info()
    if made.views != views_digest() or not layout.catalog.exists():
        write_catalog(layout, made)
    return layout
