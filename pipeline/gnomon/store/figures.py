"""What alert rules look at, asked of the tables."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import duckdb

from gnomon.core.alerting import Figures
from gnomon.core.judge import Evidence, Tally
from gnomon.store.database import persistently, translated
from gnomon.store.judging import read_evidence
from gnomon.store.statistics import Selection, Statistics

__all__ = ["read_figures"]

_OF_EVERYTHING: Final = frozenset({"reject_rate", "synthetic_leaks"})


def read_figures(
    connection: duckdb.DuckDBPyConnection, path: Path, since: datetime, metrics: Collection[str]
) -> Figures:
    """Read what alert rules with these metrics look at, from `since` on.

    Rejects and leaks have no event time, so they are those that landed since.

    Raises:
        InputError: The database is damaged.
        DependencyError: There is not enough memory or disk.
    """
    selection = Selection(since=since)
    evidence = Evidence([], [])
    if not _OF_EVERYTHING.issuperset(metrics):
        evidence = read_evidence(connection, path, selection, timedelta())
    missing = {}
    if "missing_rate" in metrics:
        missing = {
            (row.service, row.endpoint, row.target): Tally(
                row.outcomes.shadow_missing, 0, row.pairs + row.outcomes.shadow_missing
            )
            for row in Statistics(connection, path).endpoints(selection)
        }
    rejects, leaks = Tally(), 0
    with translated(path):
        if "reject_rate" in metrics:
            refused, landed = persistently(lambda: connection.execute(_REJECTS, {"since": since}).fetchall())[0]
            rejects = Tally(refused, 0, refused + landed)
        if "synthetic_leaks" in metrics:
            leaks = persistently(lambda: connection.execute(_LEAKS, {"since": since}).fetchall())[0][0]
    return Figures(evidence=evidence, missing=missing, rejects=rejects, leaks=leaks)


_REJECTS: Final = """
SELECT
    (SELECT count(*) FROM rejects AS r WHERE r.landed_at >= $since),
    (SELECT count(*) FROM comparisons AS c WHERE c.landed_at >= $since)
"""

_LEAKS: Final = """
SELECT CAST(coalesce(sum(r.events), 0) AS BIGINT) FROM routed AS r
WHERE r.destination = 'leak' AND r.minute >= date_trunc('minute', CAST($since AS TIMESTAMPTZ))
"""
