"""One portable database file of a store, or of part of it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import duckdb

from gnomon.errors import InputError
from gnomon.store.comments import comment_columns
from gnomon.store.database import attach, bound_names, persistently, translated
from gnomon.store.landing import is_fresh, publish
from gnomon.store.log.layout import Layout
from gnomon.store.log.reading import connect_log
from gnomon.store.log.views import TABLES
from gnomon.store.statistics import Selection
from gnomon.store.workdir import work_directory

__all__ = ["export_store"]

MEMORY: Final = "512MB"


def export_store(layout: Layout, target: Path, selection: Selection) -> dict[str, int]:
    """Write a store as one file that `gnomon compare` could have made; give the rows of each table.

    Differences and exchanges are those of the comparisons. Rejects, alerts and the audit of routing are of the same
    time; rejects and the audit know no service or target, and are left out where one is chosen.

    Args:
        layout: The store; it may be written to meanwhile.
        target: The file, which must not be there.
        selection: What of it.

    Raises:
        InputError: There is no such store, or the file is there, or cannot be written.
        DependencyError: The store cannot be read now.
    """
    if not is_fresh(target):
        raise InputError(f"{target} is there already", "name a new file, or remove that one")
    with work_directory(target) as work_dir:
        stage = work_dir / "export.duckdb"
        config = {"memory_limit": MEMORY, "temp_directory": str(work_dir / "spill"), "preserve_insertion_order": False}
        with connect_log(layout, config) as connection:
            attach(connection, stage, "stage")
            with translated(stage):
                bound_names(connection, "stage", layout.info().bounds)
                comment_columns(connection, "stage")
            rows = {table: _copy(connection, layout, table, selection) for table in TABLES}
            with translated(stage):
                connection.execute("CHECKPOINT stage")
                connection.execute("DETACH stage")
        if not publish(stage, target):
            raise InputError(f"{target} was made by another process meanwhile", "name another file")
    return rows


def _copy(connection: duckdb.DuckDBPyConnection, layout: Layout, table: str, selection: Selection) -> int:
    """Copy what is selected of one table; how many rows."""
    sql = f"INSERT INTO stage.{table} BY NAME SELECT x.* FROM memory.{table} AS x{_SELECTED.get(table, '')}"
    parameters = {name: value for name, value in selection.parameters().items() if f"${name}" in sql}
    with translated(layout.root):
        # One statement is one transaction: what failed has copied nothing.
        [(count,)] = persistently(lambda: connection.execute(sql, parameters).fetchall())
    return int(count)


_NAMED: Final = "($service IS NULL OR x.service = $service) AND ($target IS NULL OR x.target = $target"
_UNNAMED: Final = "$service IS NULL AND $target IS NULL"


def _between(column: str) -> str:
    return f'($since IS NULL OR x."{column}" >= $since) AND ($until IS NULL OR x."{column}" < $until)'


_SELECTED: Final = {
    "comparisons": f" WHERE {_between('started_at')} AND {_NAMED} OR x.role = 'control' "
    "OR is_unnamed(x.role, x.target, x.outcome))",  # it may be this target's
    "differences": " SEMI JOIN stage.comparisons AS c ON c.request_id = x.request_id AND c.started_at = x.started_at "
    "AND c.target = x.target AND c.role = x.role",
    "exchanges": " SEMI JOIN stage.comparisons AS c ON c.request_id = x.request_id AND c.started_at = x.started_at",
    "populations": f" WHERE {_between('minute')} AND {_NAMED})",
    "rejects": f" WHERE {_between('landed_at')} AND {_UNNAMED}",
    "alerts": f" WHERE {_between('at')} AND {_NAMED})",
    "routed": f" WHERE {_between('minute')} AND {_UNNAMED}",
}
