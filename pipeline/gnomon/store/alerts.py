"""The table of alerts: how rows get into it, and the last word on each alert."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import duckdb

from gnomon.errors import InputError
from gnomon.model import Alert
from gnomon.store.database import attach, persistently, translated
from gnomon.store.log.layout import is_store
from gnomon.store.log.tables import TableWriter
from gnomon.store.opening import connect
from gnomon.store.statistics import Selection

__all__ = ["land_alerts", "read_alerts"]

SERIES: Final = "watch"
"""The name of the series in a store's log."""

_COLUMNS: Final = (
    *("name", "key", "state", "severity", "service", "endpoint", "target", "metric", "value", "threshold"),
    *("interval_lo", "interval_hi", "since", "at", "summary", "patterns", "request_ids", "link"),
)


def land_alerts(path: Path, alerts: Sequence[Alert]) -> None:
    """Append alerts to the table of a database or a store; those that are there already are left out.

    Raises:
        DependencyError: Another process has the database open, or the store cannot be written.
        InputError: It is missing, or not Gnomon's.
    """
    if not alerts:
        return
    rows = [_row(alert) for alert in alerts]
    if is_store(path):
        _land_in_store(path, rows)
        return
    if not path.is_file():
        raise InputError(f"there is no database at {path}", "make one with `gnomon compare FILE... --db FILE`")
    with translated(path), duckdb.connect(config={"autoload_known_extensions": False}) as connection:
        attach(connection, path, "target")
        for row in rows:
            connection.execute(_INSERT, list(row.values()))


def _land_in_store(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    with connect(path) as connection, translated(path):
        sql = 'SELECT a.key, a.state, a."at" FROM alerts AS a WHERE a."at" >= ?'
        earliest = min(row["at"] for row in rows)
        there = set(persistently(lambda: connection.execute(sql, [earliest]).fetchall()))
    new = [row for row in rows if (row["key"], row["state"], row["at"]) not in there]
    if new:
        TableWriter(path, "alerts", SERIES).land(new)


def _row(alert: Alert) -> dict[str, Any]:
    """An alert as the columns of the table, in their order."""
    row = {name: getattr(alert, name) for name in Alert.__struct_fields__ if name != "interval"}
    row["interval_lo"], row["interval_hi"] = alert.interval or (None, None)
    return {name: row[name] for name in _COLUMNS}


def read_alerts(
    connection: duckdb.DuckDBPyConnection, path: Path, selection: Selection, state: str | None, limit: int
) -> list[Alert]:
    """Read the last state change of each alert, the newest first.

    Args:
        connection: Where the tables can be named without a catalog.
        path: What errors name.
        selection: Which service and target; and changes of what time.
        state: Only alerts that are `firing` or `resolved` now.
        limit: How many at most.

    Raises:
        InputError: The database is damaged.
    """
    parameters = {**selection.parameters(), "state": state, "limit": limit}
    del parameters["synthetic"]
    with translated(path):
        cursor = connection.cursor()
        rows = persistently(lambda: cursor.execute(_ALERTS, parameters).fetchall())
        names = [column[0] for column in cursor.description or []]
        found = []
        for row in rows:
            fields = dict(zip(names, row, strict=True))
            low, high = fields.pop("interval_lo"), fields.pop("interval_hi")
            found.append(Alert(interval=None if low is None or high is None else (low, high), **fields))
        return found


_INSERT: Final = """
INSERT INTO target.alerts
SELECT n.* FROM (
    SELECT
        $1 AS name, $2 AS key, $3 AS state, $4 AS severity, $5 AS service, $6 AS endpoint, $7 AS target, $8 AS metric,
        $9 AS value, $10 AS threshold, $11 AS interval_lo, $12 AS interval_hi, $13 AS since, $14 AS "at",
        $15 AS summary, $16 AS patterns, $17 AS request_ids, $18 AS link
) AS n
WHERE NOT EXISTS (
    SELECT 1 FROM target.alerts AS a WHERE a.key = n.key AND a.state = n.state AND a."at" = n."at"
)
"""

_ALERTS: Final = """
SELECT a.* FROM alerts AS a
WHERE ($service IS NULL OR a.service = $service) AND ($target IS NULL OR a.target = $target)
    AND ($since IS NULL OR a."at" >= $since) AND ($until IS NULL OR a."at" < $until)
QUALIFY row_number() OVER (PARTITION BY a.key ORDER BY a."at" DESC, a.state DESC) = 1
    AND ($state IS NULL OR a.state = $state)
ORDER BY a."at" DESC, a.key LIMIT $limit
"""
