"""Rows that were judged again take the place of those in a store: groups are written anew, and count all at once."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Final

from gnomon.store.database import translated
from gnomon.store.log.compaction import WORKER_TABLES, Compactor, Span, family
from gnomon.store.log.layout import Layout
from gnomon.store.log.lease import lease
from gnomon.store.log.maintainer import Maintainer
from gnomon.store.log.manifest import Group, load_manifest
from gnomon.store.log.shapes import sealed_schema
from gnomon.store.log.tables import TableWriter, land_rules

__all__ = ["rewrite_store"]

_SAME: Final = "n.request_id = o.request_id AND n.target = o.target AND n.role = o.role AND n.started_at = o.started_at"


def rewrite_store(layout: Layout, judged: Path, maintainer: Maintainer, now: datetime) -> None:
    """Replace comparisons with their differences, and exchanges, by those of a portable database.

    Its rules and runs land too.

    Rows that the database has and the store has not are left out. Readers see the store as before, or with all of it.

    Args:
        layout: The store.
        judged: The database, closed.
        maintainer: Of this store.
        now: What `landed_at` of the replaced rows says.

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
                compactor.connection.execute(f"ATTACH '{quoted}' AS judged (READ_ONLY)")
            _land_small(layout, compactor, now)
            old = [
                group for group in manifest.groups if family(group) == "worker" and _touched(layout, compactor, group)
            ]
            new = [_rewritten(compactor, group, now) for group in old]
        maintainer.replace(manifest, now, old, [group for group in new if group is not None])


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
