"""What a series' writer reads back of its own log: what has landed, after a restart; single rows, for late records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any, Final

import duckdb
import msgspec

from gnomon.errors import DependencyError, InputError
from gnomon.model import Comparison
from gnomon.store.database import persistently, translated
from gnomon.store.log.layout import SENTINEL, Layout, refused
from gnomon.store.log.manifest import whole_manifest
from gnomon.store.log.reading import connect_files
from gnomon.store.log.series import series_files
from gnomon.store.log.views import batches_of, manifest_row, sealed_rows, series_rows, table_sql

__all__ = ["LandedRow", "Recall"]

CONFIG: Final[dict[str, Any]] = {"memory_limit": "256MB", "threads": 2}
BATCH_ROWS: Final = 1_000_000


class LandedRow(msgspec.Struct, frozen=True):
    """A comparison as it landed, when, and how many of its duplicates are of the live side."""

    comparison: Comparison
    landed_at: datetime
    live_duplicates: int = 0


class Recall:
    """Questions about one series of a worker.

    Args:
        layout: The store.
        series: `worker/NAME`.

    Raises:
        DependencyError: The store cannot be read, or what it needs of it is damaged.
    """

    def __init__(self, layout: Layout, series: str) -> None:
        self._root = layout.root
        self._series = series
        self._layout = layout
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._lock = Lock()

    def close(self) -> None:
        """Let go of the connection, when it has answered; the next question opens another."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def landed(self, after_us: int) -> Iterator[tuple[Any, Any, Any]]:
        """What started after a time, as `Seen.load` takes it; some of it may be revised since.

        Nothing has started later than it landed, whatever its clock said.
        """
        sql = _LANDED.format(
            manifest=manifest_row(), hot=series_rows(self._series), comparisons=sealed_rows("comparisons")
        )
        parameters = {"series": self._series, "after": after_us}
        with _read(self._root), connect_files(self._layout, CONFIG) as connection:
            whole_manifest(self._layout)
            reader = persistently(lambda: connection.sql(sql, params=parameters).to_arrow_reader(BATCH_ROWS))
            for batch in reader:
                yield tuple(column.to_numpy() for column in batch.columns)

    def rejects(self, start: int) -> Iterator[tuple[str, int, int]]:
        """Source, partition and offset of the series' rejects at or after an offset: they may come again."""
        sql = _REJECTS.format(
            manifest=manifest_row(),
            hot=series_rows(self._series),
            rejects=sealed_rows("rejects"),
        )
        yield from self._rows(sql, {"series": self._series, "start": start})

    def find(self, request_ids: Sequence[str], since: datetime) -> list[LandedRow]:
        """Landed comparisons of these ids that started at or after `since`, as the views show them."""
        parameters = {"ids": list(request_ids), "since": since, "series": self._series}
        with self._lock, _read(self._root):
            if self._connection is None:
                self._connection = connect_files(self._layout, CONFIG)
            connection = self._connection
            rows = persistently(lambda: connection.execute(_find_sql(self._batches()), parameters).fetchall())
        names = Comparison.__struct_fields__
        return [LandedRow(Comparison(**dict(zip(names, row[:-2], strict=True))), *row[-2:]) for row in rows]

    def _batches(self) -> str:
        """A glob of the series' batches; of none where all are compacted, because a glob has to match something."""
        kind, _, name = self._series.partition("/")
        with refused(self._root):
            return batches_of(name) if series_files(self._layout, kind, name) else SENTINEL

    def _rows(self, sql: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        with _read(self._root), connect_files(self._layout, CONFIG) as connection:
            return persistently(lambda: connection.execute(sql, parameters).fetchall())


@contextmanager
def _read(root: Path) -> Iterator[None]:
    """For a writer a damaged file is trouble that passes when somebody has mended it: it waits."""
    try:
        with translated(root):
            yield
    except InputError as error:
        raise DependencyError(error.what, error.remedy) from error


_LANDED: Final = """
WITH manifest AS MATERIALIZED ({manifest}),
counting AS NOT MATERIALIZED (SELECT unnest(m.groups).gid AS gid FROM manifest AS m)
SELECT md5_number_lower(r.request_id), md5_number_upper(r.request_id), epoch_us(least(r.started_at, r.landed_at))
FROM (
    SELECT s.series, s.request_id, s.started_at, s.landed_at FROM counting AS c JOIN {comparisons} AS s ON s.gid = c.gid
    UNION ALL
    SELECT h.series, h.request_id, h.started_at, h.landed_at FROM ({hot}) AS h
    WHERE h.kind IN ('comparison', 'revision')
) AS r
WHERE r.series = $series AND r.started_at > make_timestamptz($after)
"""

_REJECTS: Final = """
WITH manifest AS MATERIALIZED ({manifest}),
counting AS NOT MATERIALIZED (SELECT unnest(m.groups).gid AS gid FROM manifest AS m)
SELECT r.source, r."partition", r."offset" FROM (
    SELECT s.series, s.source, s."partition", s."offset" FROM counting AS c JOIN {rejects} AS s ON s.gid = c.gid
    UNION ALL
    SELECT h.series, h.source, h."partition", h."offset" FROM ({hot}) AS h WHERE h.kind = 'reject'
) AS r
WHERE r.series = $series AND r."offset" >= $start
"""


@cache
def _find_sql(batches: str) -> str:
    fields = ", ".join(f'c."{name}"' for name in Comparison.__struct_fields__)
    return (
        f"SELECT {fields}, c.landed_at, coalesce(c.live_duplicates, 0) "
        f"FROM ({table_sql('comparisons', batches, ('series', 'live_duplicates'))}) AS c "
        "WHERE c.request_id IN (SELECT unnest($ids::VARCHAR[])) AND c.started_at >= $since AND c.series = $series"
    )
