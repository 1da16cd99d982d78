"""What a series' writer reads back of its own log: what has landed, after a restart; single rows, for late records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

import duckdb

from gnomon.model import Comparison
from gnomon.store.database import persistently, translated
from gnomon.store.log.layout import Layout
from gnomon.store.log.reading import connect_files, connect_log
from gnomon.store.log.views import hot_rows, manifest_row, sealed_rows

__all__ = ["Recall"]

CONFIG: Final[dict[str, Any]] = {"memory_limit": "256MB", "threads": 2}
BATCH_ROWS: Final = 20_000


class Recall:
    """Questions about one series of a worker.

    Args:
        layout: The store.
        series: `worker/NAME`.

    Raises:
        DependencyError: The store cannot be read.
    """

    def __init__(self, layout: Layout, series: str) -> None:
        self._root = layout.root
        self._series = series
        self._layout = layout
        self._connection: duckdb.DuckDBPyConnection | None = None

    def close(self) -> None:
        """Let go of the connection; the next question opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def landed(self, horizon_us: int) -> Iterator[tuple[str, str, str, int, bool]]:
        """Id, target, role, `started_us` and whether it is missing, of what landed within the newest horizon."""
        sql = _LANDED.format(
            manifest=manifest_row(),
            hot=hot_rows("worker"),
            comparisons=sealed_rows("comparisons"),
            missing=sealed_rows("missing"),
        )
        newest = self._rows(_NEWEST.format(rows=sql), {"series": self._series, "after": None})
        after = newest[0][0] - horizon_us if newest and newest[0][0] is not None else None
        parameters = {"series": self._series, "after": after}
        with translated(self._root), connect_files(self._layout, CONFIG) as connection:
            rows = persistently(lambda: connection.execute(sql, parameters).fetchmany(BATCH_ROWS))
            while rows:
                yield from rows
                rows = connection.fetchmany(BATCH_ROWS)

    def rejects(self, start: int) -> Iterator[tuple[str, int, int]]:
        """Source, partition and offset of the series' rejects at or after an offset: they may come again."""
        sql = _REJECTS.format(
            manifest=manifest_row(),
            hot=hot_rows("worker"),
            rejects=sealed_rows("rejects"),
        )
        yield from self._rows(sql, {"series": self._series, "start": start})

    def find(self, request_ids: Sequence[str], since: datetime) -> list[Comparison]:
        """Landed comparisons of these ids, as the views show them."""
        if self._connection is None:
            self._connection = connect_log(self._layout, CONFIG)
        connection = self._connection
        parameters = {"ids": list(request_ids), "since": since}
        with translated(self._root):
            rows = persistently(lambda: connection.execute(_FIND, parameters).fetchall())
        return [Comparison(**dict(zip(Comparison.__struct_fields__, row, strict=True))) for row in rows]

    def _rows(self, sql: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        with translated(self._root), connect_files(self._layout, CONFIG) as connection:
            return persistently(lambda: connection.execute(sql, parameters).fetchall())


_LANDED: Final = """
WITH manifest AS MATERIALIZED ({manifest}),
counting AS NOT MATERIALIZED (SELECT unnest(m.groups) AS gid FROM manifest AS m)
SELECT r.request_id, r.target, r.role, epoch_us(r.started_at) AS started_us, r.missing FROM (
    SELECT s.series, s.request_id, s.target, s.role, s.started_at, false AS missing
    FROM counting AS c JOIN {comparisons} AS s ON s.gid = c.gid
    UNION ALL
    SELECT s.series, s.request_id, s.target, s.role, s.started_at, true AS missing
    FROM counting AS c JOIN {missing} AS s ON s.gid = c.gid
    UNION ALL
    SELECT
        h.series, h.request_id, h.target, h.role, h.started_at,
        h.outcome IN ('shadow_missing', 'live_missing') AS missing
    FROM ({hot}) AS h WHERE h.kind = 'comparison'
) AS r
WHERE r.series = $series AND ($after IS NULL OR r.started_at > make_timestamptz($after))
"""

_NEWEST: Final = "SELECT max(x.started_us) FROM ({rows}) AS x"

_REJECTS: Final = """
WITH manifest AS MATERIALIZED ({manifest}),
counting AS NOT MATERIALIZED (SELECT unnest(m.groups) AS gid FROM manifest AS m)
SELECT r.source, r."partition", r."offset" FROM (
    SELECT s.series, s.source, s."partition", s."offset" FROM counting AS c JOIN {rejects} AS s ON s.gid = c.gid
    UNION ALL
    SELECT h.series, h.source, h."partition", h."offset" FROM ({hot}) AS h WHERE h.kind = 'reject'
) AS r
WHERE r.series = $series AND r."offset" >= $start
"""

_FIND: Final = f"""
SELECT {", ".join(f'c."{name}"' for name in Comparison.__struct_fields__)} FROM comparisons AS c
WHERE c.request_id IN (SELECT unnest($ids::VARCHAR[])) AND c.started_at >= $since
"""
