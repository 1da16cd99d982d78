"""Rows that were judged again take the place of those in a store: groups are written anew, and count all at once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import pyarrow as pa
import pyarrow.parquet as pq

from gnomon.model import Comparison
from gnomon.store.batches import INSTANT, TEXT
from gnomon.store.database import translated
from gnomon.store.log.compaction import WORKER_TABLES, Compactor, Span, family
from gnomon.store.log.layout import Layout
from gnomon.store.log.lease import lease
from gnomon.store.log.maintainer import Maintainer
from gnomon.store.log.manifest import Group, load_manifest
from gnomon.store.log.shapes import sealed_schema
from gnomon.store.log.tables import TableWriter, land_rules
from gnomon.store.log.views import files_sql

__all__ = ["RowsRead", "rewrite_store"]

READ_ROWS: Final = 16_384

_SAME: Final = "n.request_id = o.request_id AND n.target = o.target AND n.role = o.role AND n.started_at = o.started_at"


class RowsRead:
    """A file of which comparisons were judged, and when what was read of each had landed; a context manager.

    Args:
        file: Where to write it.
    """

    _SCHEMA: Final = pa.schema(
        [("request_id", TEXT), ("target", TEXT), ("role", TEXT), ("started_at", INSTANT), ("landed_at", INSTANT)]
    )

    def __init__(self, file: Path) -> None:
        self.file = file
        self._rows: list[tuple[str, str, str, datetime, datetime]] = []
        self._writer = pq.ParquetWriter(file, self._SCHEMA)

    def __enter__(self) -> Self:
        """The rows themselves."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self._writer.close()

    def add(self, comparisons: Sequence[Comparison], landed_at: Sequence[datetime]) -> None:
        """Note the comparisons of a request, and when each had landed."""
        for one, landed in zip(comparisons, landed_at, strict=True):
            self._rows.append((one.request_id, one.target, one.role, one.started_at, landed))
        if len(self._rows) >= READ_ROWS:
            self._flush()

    def complete(self) -> Path:
        """Write what is left; nothing can be added afterwards."""
        self._flush()
        self._writer.close()
        return self.file

    def _flush(self) -> None:
        columns = zip(*self._rows, strict=True) if self._rows else [()] * len(self._SCHEMA)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, self._SCHEMA, strict=True)]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._SCHEMA))
        self._rows.clear()


def rewrite_store(layout: Layout, judged: Path, read: RowsRead, maintainer: Maintainer, now: datetime) -> int:
    """Replace comparisons with their differences, and exchanges, by those of a portable database.

    Its rules and runs land too.

    Rows that the database has and the store has not are left out, and so are requests of which anything has landed
    since they were read. Readers see the store as before, or with all of it.

    Args:
        layout: The store.
        judged: The database, closed.
        read: What was judged.
        maintainer: Of this store.
        now: What `landed_at` of the replaced rows says.

    Returns:
        How many comparisons of the database were left out because others had landed.

    Raises:
        DependencyError: The store cannot be read or written.
    """
    with lease(layout, wait=True):
        # What was read is in groups from here on.
        maintainer.run_leased(everything=True)
        manifest = load_manifest(layout)
        with Compactor(layout, manifest, now) as compactor:
            quoted = str(judged).replace("'", "''")
            with translated(judged):
                compactor.connection.execute(f"ATTACH '{quoted}' AS judged")
            _land_small(layout, compactor, now)
            groups = [group for group in manifest.groups if family(group) == "worker"]
            overtaken = _leave_out_overtaken(layout, compactor, groups, read)
            old = [group for group in groups if _touched(layout, compactor, group)]
            new = [_rewritten(compactor, group, now) for group in old]
        maintainer.replace(manifest, now, old, [group for group in new if group is not None])
    return overtaken


def _leave_out_overtaken(layout: Layout, compactor: Compactor, groups: Sequence[Group], read: RowsRead) -> int:
    """Take out of the database the requests whose rows are not those that were judged; how many comparisons.

    A revision brings all rows of its request anew, with the time at which it landed.
    """
    ask = compactor.connection.execute
    held = [group for group in groups if "comparisons" in group.tables]
    source = f" ANTI JOIN {compactor.source(held, 'comparisons')} AS o ON {_SAME} AND n.landed_at = o.landed_at"
    with translated(layout.root):
        ask(
            "CREATE TEMP TABLE overtaken AS SELECT DISTINCT n.request_id, n.started_at "
            f"FROM {files_sql([read.complete()])} AS n{source if held else ''}"
        )
        [(any_overtaken,)] = ask("SELECT count(*) > 0 FROM overtaken").fetchall()
        if not any_overtaken:
            return 0
        counts = [
            ask(
                f"DELETE FROM judged.{table} AS n USING overtaken AS v "
                "WHERE v.request_id = n.request_id AND v.started_at = n.started_at"
            ).fetchall()
            for table in ("comparisons", "differences", "exchanges")
        ]
    return int(counts[0][0][0])


def _land_small(layout: Layout, compactor: Compactor, now: datetime) -> None:
    """Land the rules, so that their text is there before a row names them, and the run."""
    with translated(layout.root):
        rules = compactor.connection.execute("SELECT version, rules FROM judged.rule_versions").fetchall()
        cursor = compactor.connection.execute("FROM judged.runs")
        names = [column[0] for column in cursor.description or []]
        runs = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    for version, text in rules:
        land_rules(layout.root, version, text, now)
    TableWriter(layout.root, "runs", "rejudge").land(runs)


def _touched(layout: Layout, compactor: Compactor, group: Group) -> bool:
    """Whether any row of a group was judged again."""
    with translated(layout.root):
        for table in ("comparisons", "exchanges"):
            if table in group.tables:
                rows = f"{compactor.source([group], table)} AS o"
                sql = f"SELECT 1 FROM {rows} SEMI JOIN judged.{table} AS n ON {_SAME} LIMIT 1"
                if compactor.connection.execute(sql).fetchall():
                    return True
    return False


def _rewritten(compactor: Compactor, group: Group, now: datetime) -> Group | None:
    """The same group with the rows that were judged again."""
    sources = {table: compactor.source([group], table) for table in WORKER_TABLES if table in group.tables}
    parts = {table: f"FROM {source}" for table, source in sources.items()}
    if "exchanges" in sources:
        parts["exchanges"] = (
            f"SELECT n.* FROM judged.exchanges AS n SEMI JOIN {sources['exchanges']} AS o ON {_SAME} UNION ALL BY NAME "
            f"SELECT o.* EXCLUDE (gid) FROM {sources['exchanges']} AS o ANTI JOIN judged.exchanges AS n ON {_SAME}"
        )
    if "comparisons" in sources:
        source = sources["comparisons"]
        parts["comparisons"] = _replaced(source, now)
        differences = [f"SELECT n.* FROM judged.differences AS n SEMI JOIN {source} AS o ON {_SAME}"]
        if "differences" in sources:
            old = f"SELECT o.* EXCLUDE (gid) FROM {sources['differences']} AS o"
            differences.append(f"{old} ANTI JOIN judged.comparisons AS n ON {_SAME}")
        parts["differences"] = " UNION ALL BY NAME ".join(differences)
    return compactor.write(parts, Span.of([group]))


def _replaced(source: str, now: datetime) -> str:
    """Comparisons of a file, those judged again in place of the old; the run and what only writers ask for stay."""
    own = {name: f"o.{name}" for name in ("run", "series", "live_duplicates")}
    own["landed_at"] = f"TIMESTAMPTZ '{now.isoformat()}'"
    columns = [name for name in sealed_schema("comparisons").names if name != "gid"]
    new = ", ".join(f'{own.get(name, f"""n."{name}" """.strip())} AS "{name}"' for name in columns)
    old = ", ".join(f'o."{name}"' for name in columns)
    return (
        f"SELECT {new} FROM {source} AS o JOIN judged.comparisons AS n ON {_SAME} "
        f"UNION ALL SELECT {old} FROM {source} AS o ANTI JOIN judged.comparisons AS n ON {_SAME}"
    )
