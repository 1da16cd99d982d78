"""Bounded answers for those who look at single differences and requests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import duckdb
import msgspec

from gnomon.model import DifferenceKind, JsonValue, Severity
from gnomon.store.database import translated, with_more_memory
from gnomon.store.statistics import Selection
from gnomon.store.values import json_value
from gnomon.summary import Sample

__all__ = ["MOST_DIFFERENCES", "DifferenceChoice", "TargetRate", "read_differences", "read_rates", "read_request"]

MOST_COMPARISONS: Final = 20
MOST_DIFFERENCES: Final = 1_000
MOST_TARGETS: Final = 200
MOST_CHARACTERS: Final = 4_096
"""Characters of a value in a list of differences; a single request has them whole."""
MOST_BYTES: Final = 32 * 2**20
"""Of the differences, and of the exchanges, of a single request."""


class DifferenceChoice(msgspec.Struct, frozen=True, kw_only=True):
    """Which differences; None is all."""

    endpoint: str | None = None
    pattern: str | None = None
    kind: DifferenceKind | None = None
    severity: Severity | None = None
    limit: int = 100


class TargetRate(msgspec.Struct, frozen=True, kw_only=True):
    """One service and target: its pairs, and its divergence rate with the ends of a 95 % interval."""

    service: str
    target: str
    pairs: int
    divergence_rate: float | None
    rate_lo: float | None
    rate_hi: float | None


def read_differences(
    connection: duckdb.DuckDBPyConnection, path: Path, selection: Selection, choice: DifferenceChoice
) -> list[dict[str, JsonValue]]:
    """Read differences of role shadow that are no noise, the newest first.

    Raises:
        InputError: The database is damaged.
        DependencyError: There is not enough memory or disk.
    """
    parameters = {**selection.parameters(), **msgspec.structs.asdict(choice), "characters": MOST_CHARACTERS}
    rows = _rows(connection, path, _CHOSEN, parameters)
    return [{name: json_value(value) for name, value in row.items()} for row in rows]


def read_request(connection: duckdb.DuckDBPyConnection, path: Path, request_id: str) -> list[Sample]:
    """Read the newest comparisons of one request, of both roles. Raises as `read_differences`."""
    key: dict[str, object] = {"request_id": request_id}
    comparisons = _rows(connection, path, _COMPARISONS, {**key, "limit": MOST_COMPARISONS})
    room: dict[str, object] = {**key, "bytes": MOST_BYTES}
    differences = _rows(connection, path, _DIFFERENCES, {**room, "limit": MOST_DIFFERENCES})
    exchanges = _rows(connection, path, _EXCHANGES, {**room, "limit": 3 * MOST_COMPARISONS})
    return [_sample(row, differences, exchanges) for row in comparisons]


def read_rates(connection: duckdb.DuckDBPyConnection, path: Path, selection: Selection) -> list[TargetRate]:
    """Read the rates of services and targets. Raises as `read_differences`."""
    rows = _rows(connection, path, _RATES, {**selection.parameters(), "limit": MOST_TARGETS})
    return [TargetRate(**row) for row in rows]


def _sample(
    comparison: Mapping[str, Any], differences: list[dict[str, Any]], exchanges: list[dict[str, Any]]
) -> Sample:
    own = [
        {name: json_value(value) for name, value in row.items()}
        for row in differences
        if all(row[name] == comparison[name] for name in ("role", "target", "started_at"))
    ]
    records: dict[str, Any] = {}
    for row in exchanges:
        if row["started_at"] == comparison["started_at"] and (
            row["role"] == "live" or row["target"] == comparison["target"] or row["role"] == "control"
        ):
            records.setdefault(row["role"], msgspec.json.decode(row["record"]))
    return Sample(
        comparison={name: json_value(value) for name, value in comparison.items()},
        differences=own,
        live=records.get("live"),
        shadow=records.get("shadow"),
        control=records.get("control"),
    )


def _rows(
    connection: duckdb.DuckDBPyConnection, path: Path, sql: str, parameters: dict[str, object]
) -> list[dict[str, Any]]:
    def work() -> list[dict[str, Any]]:
        cursor = connection.execute(sql, parameters)
        names = [column[0] for column in cursor.description or []]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    with translated(path):
        return with_more_memory(connection, work)


_CHOSEN: Final = """
SELECT
    d.request_id, d.target, d.service, d.endpoint, d.started_at, d.path, d.pattern, d.kind, d.severity,
    left(d.live_value, $characters) AS live_value, left(d.shadow_value, $characters) AS shadow_value
FROM selected_differences($since, $until, $synthetic) AS d
WHERE d.role = 'shadow' AND NOT d.noise
    AND ($service IS NULL OR d.service = $service) AND ($target IS NULL OR d.target = $target)
    AND ($endpoint IS NULL OR d.endpoint = $endpoint) AND ($pattern IS NULL OR d.pattern = $pattern)
    AND ($kind IS NULL OR d.kind = $kind) AND ($severity IS NULL OR d.severity = $severity)
ORDER BY d.started_at DESC, d.request_id, d.target, d.path, d.kind LIMIT $limit
"""

_COMPARISONS: Final = """
SELECT c.* FROM comparisons AS c WHERE c.request_id = $request_id
ORDER BY c.started_at DESC, c.role DESC, c.target LIMIT $limit
"""

_DIFFERENCES: Final = """
SELECT d.* FROM differences AS d WHERE d.request_id = $request_id
QUALIFY sum(strlen(coalesce(d.live_value, '')) + strlen(coalesce(d.shadow_value, ''))) OVER (
    ORDER BY d.started_at DESC, d.noise, severity_rank(d.severity) DESC, d.path, d.role, d.target, d.kind
    ROWS UNBOUNDED PRECEDING
) <= $bytes
ORDER BY d.started_at DESC, d.noise, severity_rank(d.severity) DESC, d.path, d.role, d.target, d.kind LIMIT $limit
"""

_EXCHANGES: Final = """
SELECT e.* FROM exchanges AS e WHERE e.request_id = $request_id
QUALIFY sum(strlen(e.record)) OVER (
    ORDER BY e.started_at DESC, e.role, e.target ROWS UNBOUNDED PRECEDING
) <= $bytes
ORDER BY e.started_at DESC, e.role, e.target LIMIT $limit
"""

_RATES: Final = """
WITH counted AS (
    SELECT
        j.service, j.target,
        count(*) FILTER (is_pair(j.outcome)) AS pairs,
        count(*) FILTER (is_judged(j.outcome)) AS judged,
        count(*) FILTER (j.score = 1) AS diverged,
        count(*) FILTER (j.score = -1) AS control_only,
        count(*) FILTER (is_judged(j.outcome) AND j.answered) AS answered,
        count(*) FILTER (j.score = 1 AND j.answered) AS answered_diverged
    FROM judged_comparisons($since, $until, $synthetic) AS j
    WHERE ($service IS NULL OR j.service = $service) AND ($target IS NULL OR j.target = $target)
    GROUP BY j.service, j.endpoint, j.target
),
summed AS (
    SELECT
        c.service, c.target, CAST(sum(c.pairs) AS BIGINT) AS pairs,
        CAST(sum(scored(c.judged, c.answered, c.answered)) AS BIGINT) AS scored,
        CAST(sum(scored(c.diverged, c.answered_diverged, c.answered)) AS BIGINT) AS diverged,
        CAST(sum(c.control_only) AS BIGINT) AS control_only, bool_or(c.answered > 0) AS has_control
    FROM counted AS c
    GROUP BY c.service, c.target
)
SELECT
    n.service, n.target, n.pairs, net_rate(n.diverged, n.control_only, n.scored) AS divergence_rate,
    rate_lo(n.diverged, n.control_only, n.scored, n.has_control) AS rate_lo,
    rate_hi(n.diverged, n.control_only, n.scored, n.has_control) AS rate_hi
FROM summed AS n
ORDER BY n.pairs DESC, n.service, n.target LIMIT $limit
"""
