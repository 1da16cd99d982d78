"""What databases and catalogs say of their tables and columns."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import duckdb

from gnomon.model import Comparison
from gnomon.store import Landed, Selection, describe_tables, open_store, refresh_views
from gnomon.store.log import prepare_store
from gnomon.store.log.export import export_store

RELATIONS = "SELECT table_name, comment FROM duckdb_tables() UNION ALL SELECT view_name, comment FROM duckdb_views()"
MACROS = "SELECT function_name, comment FROM duckdb_functions() WHERE function_type = 'table_macro'"


def comments(path: Path) -> dict[str, str]:
    """The comments of tables, views, table macros and columns of a file, as any client sees them."""
    with closing(duckdb.connect(str(path), read_only=True)) as connection:
        found = {name: text for name, text in connection.execute(RELATIONS).fetchall() if text}
        found |= {f"{name}()": text for name, text in connection.execute(MACROS).fetchall() if text}
        columns = connection.execute("SELECT table_name, column_name, comment FROM duckdb_columns()").fetchall()
        return found | {f"{table}.{name}": text for table, name, text in columns if text}


def expected(*, columns: bool) -> dict[str, str]:
    """All that there is to say."""
    found = {}
    for relation in describe_tables():
        found[relation.name + ("()" if relation.kind == "macro" else "")] = relation.comment
        if columns:
            found |= {f"{relation.name}.{column.name}": column.comment for column in relation.columns if column.comment}
    return found


def test_a_run_says_what_its_tables_are(
    target: Path, comparison: Callable[..., Comparison], land: Callable[..., Landed]
) -> None:
    """Tables, views and macros of a new file are explained; columns, which would slow every run, when asked for."""
    land(target, [(comparison(), [])])
    assert comments(target) == expected(columns=False)
    refresh_views(target)
    assert comments(target) == expected(columns=True)
    with open_store(target) as store:
        assert store.summary().comparisons == 1


def test_a_file_without_comments_is_read(
    target: Path, comparison: Callable[..., Comparison], land: Callable[..., Landed]
) -> None:
    """Those that were made before there were any need not be brought up to date."""
    land(target, [(comparison(), [])])
    with closing(duckdb.connect(str(target))) as connection:
        for kind, name in (("TABLE", "comparisons"), ("VIEW", "field_stats"), ("MACRO TABLE", "rate_stats")):
            connection.execute(f"COMMENT ON {kind} {name} IS NULL")
    with open_store(target) as store:
        assert store.summary().comparisons == 1


def test_catalogs_and_exports_explain_their_columns(tmp_path: Path) -> None:
    """What is made once, to be kept, has all of it."""
    layout = prepare_store(tmp_path / "store")
    said = expected(columns=True)
    del said["store_version"]  # a store's views are all in place of tables, but for this one
    assert comments(layout.catalog) == said
    export_store(layout, tmp_path / "export.duckdb", Selection(synthetic="include"))
    assert comments(tmp_path / "export.duckdb") == expected(columns=True)
