"""What a database says of itself: its tables, views and macros, with their comments."""

from __future__ import annotations

import re
from typing import Final, Literal

import duckdb
import msgspec

from gnomon.store.comments import comment_columns
from gnomon.store.database import create_schema, script

__all__ = ["Column", "Relation", "describe_tables"]


class Column(msgspec.Struct, frozen=True):
    """A column; `type` is DuckDB's."""

    name: str
    type: str
    comment: str


class Relation(msgspec.Struct, frozen=True, kw_only=True):
    """A table, a view or a macro; `parameters` are a macro's, with what they are when they are not given."""

    kind: Literal["table", "view", "macro"]
    name: str
    comment: str
    columns: list[Column]
    parameters: list[str] = []


def describe_tables() -> list[Relation]:
    """Give the tables in the order of schema.sql, then the views, then the macros that users are told of."""
    with duckdb.connect() as connection:
        connection.execute("ATTACH ':memory:' AS described")
        create_schema(connection, "described")
        connection.execute("USE described")
        comment_columns(connection, "described")
        columns: dict[str, list[Column]] = {}
        for relation, *column in connection.execute(_COLUMNS).fetchall():
            columns.setdefault(relation, []).append(Column(*column))
        found = [
            Relation(kind=kind, name=name, comment=comment, columns=columns[name])
            for kind, name, comment, _ in connection.execute(_RELATIONS).fetchall()
        ]
        return found + [_macro(connection, *row) for row in connection.execute(_MACROS).fetchall()]


def _macro(connection: duckdb.DuckDBPyConnection, name: str, comment: str) -> Relation:
    shown = connection.execute(f"DESCRIBE FROM {name}()").fetchall()
    # DuckDB knows the names of parameters and not what they are by default
    made = re.search(rf"MACRO {name}\(([^)]*)\) AS TABLE", script("views.sql"))
    parameters = [one.strip() for one in made[1].split(",") if one.strip()] if made else []
    columns = [Column(row[0], row[1], "") for row in shown]
    return Relation(kind="macro", name=name, comment=comment, columns=columns, parameters=parameters)


_COLUMNS: Final = """
SELECT c.table_name, c.column_name, c.data_type, coalesce(c.comment, '') FROM duckdb_columns() AS c
WHERE c.database_name = current_database() AND NOT c.internal
ORDER BY c.table_name, c.column_index
"""
_RELATIONS: Final = """
FROM (
    SELECT 'table' AS kind, t.table_name AS name, coalesce(t.comment, ''), t.table_oid AS made
    FROM duckdb_tables() AS t WHERE t.database_name = current_database()
    UNION ALL
    SELECT 'view', v.view_name, coalesce(v.comment, ''), v.view_oid
    FROM duckdb_views() AS v WHERE v.database_name = current_database() AND NOT v.internal
)
ORDER BY kind, name = 'store_version', made
"""
_MACROS: Final = """
SELECT f.function_name, f.comment FROM duckdb_functions() AS f
WHERE f.database_name = current_database() AND f.function_type = 'table_macro' AND f.comment IS NOT NULL
ORDER BY 1
"""
