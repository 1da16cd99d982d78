"""Groups of compacted files: made from batches, from other groups, or from rows that were judged again."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final, Self

import duckdb
import msgspec

from gnomon.errors import FencedError, InputError
from gnomon.store.database import translated
from gnomon.store.log.layout import (
    LEAST_GROUP,
    SEALED,
    Layout,
    group_file,
    group_files,
    link_new,
    refused,
    sync_directory,
)
from gnomon.store.log.manifest import FORGET, Group, Manifest
from gnomon.store.log.shapes import sealed_schema
from gnomon.store.log.views import files_sql

__all__ = ["WORKER_TABLES", "Compactor", "Span", "family"]

MEMORY: Final = "512MB"
_FROM_WORKER: Final = {
    "comparisons": "comparison",
    "differences": "comparison",
    "exchanges": "exchange",
    "rejects": "reject",
    "populations": "population",
}
WORKER_TABLES: Final = tuple(_FROM_WORKER)
_REVISABLE: Final = ("comparisons", "differences", "exchanges")

_LANDED: Final = {"worker": "landed_at", "alerts": "at", "routed": "minute", "rule_versions": "first_used"}
_OTHERS_LANDED: Final = "finished_at"
_ORDER: Final = {
    "rejects": "landed_at",
    "populations": "minute",
    "learned_endpoints": "endpoint",
    "runs": "finished_at",
} | _LANDED


class Span(msgspec.Struct, frozen=True):
    """When rows landed, from first to last, and when their comparisons started, if they have any."""

    first: datetime
    last: datetime
    earliest: datetime | None = None
    latest: datetime | None = None

    @classmethod
    def of(cls, groups: Sequence[Group]) -> Span:
        """That of all rows of groups."""
        return cls(
            min(group.first for group in groups),
            max(group.last for group in groups),
            min((group.earliest for group in groups if group.earliest is not None), default=None),
            max((group.latest for group in groups if group.latest is not None), default=None),
        )


def family(group: Group) -> str:
    """What a group may be merged with: `worker`, or the table that it holds."""
    return "worker" if any(table in WORKER_TABLES for table in group.tables) else next(iter(group.tables))


class Compactor:
    """Writes groups; nothing that it writes counts before a manifest names it. A context manager.

    Every method raises DependencyError when the store cannot be read or written.

    New groups get higher numbers than any in the manifest, and than any file has: a killed process leaves files that no
    manifest names, with numbers above the time once the clock was set back. Those are never taken for its own.

    Args:
        layout: The store.
        manifest: The one that holds.
        now: The time.
    """

    def __init__(self, layout: Layout, manifest: Manifest, now: datetime) -> None:
        self._layout = layout
        known = [group.gid for group in manifest.groups] + [retired.gid for retired in manifest.retired]
        with refused(layout.root):
            known += [gid for table in SEALED for gid in group_files(layout, table)]
        self._next = max([int(now.timestamp() * 1_000_000), LEAST_GROUP, *(gid + 1 for gid in known)])
        with translated(layout.root):
            self.connection = duckdb.connect(
                config={
                    "memory_limit": MEMORY,
                    "threads": 2,
                    "temp_directory": str(layout.tmp / "spill"),
                    "preserve_insertion_order": False,
                }
            )
            self.connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")

    def __enter__(self) -> Self:
        """The compactor itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the connection."""
        self.connection.close()

    def seal(self, kind: str, files: Sequence[Path]) -> Group | None:
        """Make a group of batches; None when they are empty."""
        rows = f"{files_sql(files)} AS r"
        landed = _LANDED.get(kind, _OTHERS_LANDED)
        if kind == "worker":
            self._note_revised(rows)
        started = "r.started_at) FILTER (r.kind = 'comparison')"
        started_at = f"min({started}, max({started}" if kind == "worker" else "NULL, NULL"
        with translated(self._layout.root):
            sql = f'SELECT min(r."{landed}"), max(r."{landed}"), {started_at} FROM {rows}'
            [span] = self.connection.execute(sql).fetchall()
        if span[0] is None:
            return None
        if kind != "worker":
            return self.write({kind: f"SELECT * FROM {rows}"}, Span(*span))
        parts = {
            table: f"SELECT r.* FROM ({_CURRENT.format(rows=rows)}) AS r WHERE r.kind = '{row_kind}'"
            for table, row_kind in _FROM_WORKER.items()
        }
        parts["differences"] = _UNNESTED.format(rows=parts["differences"])
        parts["populations"] = _summed(f"({parts['populations']})")
        return self.write(parts, Span(*span))

    def revise(self, groups: Sequence[Group]) -> list[tuple[Group, Group | None]]:
        """Write anew, without what batches that were just sealed replaced, the groups that hold some of that.

        Returns:
            Each with what takes its place; None where nothing is left.
        """
        made = []
        for group in groups:
            tables = [table for table in group.tables if table in _REVISABLE]
            sources = {table: f"{self.source([group], table)} AS o" for table in tables}
            if group.earliest is None or not self._holds_revised(group, sources.values()):
                continue
            parts = {table: f"FROM {self.source([group], table)}" for table in group.tables}
            parts |= {
                table: f"SELECT o.* FROM {source} ANTI JOIN revised AS v ON {_GIVES_WAY}"
                for table, source in sources.items()
            }
            made.append((group, self.write(parts, Span.of([group]))))
        return made

    def _note_revised(self, rows: str) -> None:
        """Make a table of what batches replaced: there is at most one such kind of batches."""
        with translated(self._layout.root):
            self.connection.execute(
                "CREATE OR REPLACE TABLE revised AS SELECT DISTINCT r.request_id, r.started_at, r.series, r.seq "
                f"FROM {rows} WHERE r.kind = 'revision'"
            )

    def _holds_revised(self, group: Group, sources: Iterable[str]) -> bool:
        """Whether a group holds anything that was replaced; quick where nothing of that started at its time."""
        with translated(self._layout.root):
            sql = "SELECT 1 FROM revised AS v WHERE v.started_at BETWEEN $earliest AND $latest LIMIT 1"
            between = {"earliest": group.earliest, "latest": group.latest}
            if not self.connection.execute(sql, between).fetchall():
                return False
            for table in group.tables:
                if not (file := group_file(self._layout, table, group.gid)).exists():
                    raise InputError(f"{file} is missing, and has to be written anew", FORGET)
            return any(
                self.connection.execute(
                    f"SELECT 1 FROM {source} SEMI JOIN revised AS v ON {_GIVES_WAY} LIMIT 1"
                ).fetchall()
                for source in sources
            )

    def merge(self, groups: Sequence[Group]) -> Group | None:
        """Make one group of several of a family."""
        parts = {}
        for table in dict.fromkeys(table for group in groups for table in group.tables):
            source = self.source(groups, table)
            parts[table] = _summed(source) if table == "populations" else f"FROM {source}"
        return self.write(parts, Span.of(groups))

    def write(self, parts: dict[str, str], span: Span) -> Group | None:
        """Make a group of a statement for each table, which gives its columns (see `sealed_schema`) but `gid`."""
        gid, self._next = self._next, self._next + 1
        tables: dict[str, int] = {}
        total = 0
        try:
            with refused(self._layout.root):
                for table, sql in parts.items():
                    rows, size = self._copy(table, gid, sql)
                    if rows:
                        tables[table] = size
                        total += rows
        except BaseException:
            # Where the disk is full each try would leave some more there
            for table in tables:
                with suppress(OSError):
                    group_file(self._layout, table, gid).unlink()
            raise
        if not tables:
            return None
        return Group(
            gid=gid,
            tables=tables,
            rows=total,
            first=span.first,
            last=span.last,
            earliest=span.earliest,
            latest=span.latest,
        )

    def source(self, groups: Iterable[Group], table: str) -> str:
        """SQL of the rows of a table in groups, of which one at least has the table."""
        return files_sql([group_file(self._layout, table, group.gid) for group in groups if table in group.tables])

    def can_read(self, file: Path) -> bool:
        """Whether all of a file can be read."""
        try:
            with translated(self._layout.root):
                self.connection.execute(f"SELECT max(hash(f)) FROM {files_sql([file])} AS f").fetchall()
        except InputError:
            return False
        return True

    def _copy(self, table: str, gid: int, sql: str) -> tuple[int, int]:
        """Write one file of a group and give it its name; its rows and bytes. Without rows there is none.

        Raises FencedError when another process took that name meanwhile: its file has other rows.
        """
        names = ", ".join(f'p."{name}"' for name in sealed_schema(table).names if name != "gid")
        order = _ORDER.get(table, "started_at")
        temporary = self._layout.temporary(f"{table}.{gid}")
        quoted = str(temporary).replace("'", "''")
        statement = (
            f'COPY (SELECT {names}, {gid}::BIGINT AS gid FROM ({sql}) AS p ORDER BY p."{order}") '
            f"TO '{quoted}' (FORMAT parquet, COMPRESSION zstd)"
        )
        try:
            with translated(self._layout.root):
                [(rows,)] = self.connection.execute(statement).fetchall()
            if not rows:
                return 0, 0
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
                size = os.fstat(written.fileno()).st_size
            if not link_new(temporary, group_file(self._layout, table, gid)):
                raise FencedError(f"another process compacts {self._layout.root}", "try again")
            sync_directory(self._layout.sealed(table))
        finally:
            temporary.unlink(missing_ok=True)
        return int(rows), size


_GIVES_WAY: Final = "v.request_id = o.request_id AND v.started_at = o.started_at"
_CURRENT: Final = f"""
SELECT o.* FROM (SELECT r.* FROM {{rows}}) AS o
ANTI JOIN revised AS v ON {_GIVES_WAY} AND v.series = o.series AND v.seq > o.seq
"""


def _summed(source: str) -> str:
    """SQL of counts of live answers that are alike, added up."""
    return (
        "SELECT s.service, s.endpoint, s.target, s.minute, s.measure, s.field, s.value, s.run, "
        f"sum(s.responses)::BIGINT AS responses FROM {source} AS s GROUP BY ALL"
    )


_UNNESTED: Final = """
SELECT n.* EXCLUDE (d), unnest(n.d) FROM (
    SELECT
        r.request_id, r.target, r.role, r.service, r.endpoint, r.started_at, unnest(r.differing) AS d
    FROM ({rows}) AS r
) AS n
"""
