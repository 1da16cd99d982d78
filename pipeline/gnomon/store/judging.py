"""What a verdict is about, asked of the tables: scores by endpoint and field, and latencies."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np

from gnomon.core.judge import EndpointEvidence, Evidence, FieldEvidence, Tally, Timings
from gnomon.store.database import translated, with_more_memory
from gnomon.store.statistics import Cohort, Selection

__all__ = ["read_evidence"]

EXAMPLES: Final = 5
"""Request ids kept as evidence of each figure."""


def read_evidence(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    selection: Selection,
    warmup: timedelta,
    cohort: Cohort | None = None,
) -> Evidence:
    """Read the scores and latencies of what is selected, of one cohort's requests where one is given.

    Latencies take some 50 bytes a pair while they are read. Those of requests that started within `warmup` after the
    first one that a target was sent are left out.

    Raises:
        InputError: The database is damaged.
        DependencyError: There is not enough memory or disk.
    """
    with translated(path):
        chosen = {**selection.parameters(), **(cohort or Cohort()).parameters()}
        return with_more_memory(connection, lambda: _read(connection, chosen, warmup))


def _read(connection: duckdb.DuckDBPyConnection, chosen: dict[str, object], warmup: timedelta) -> Evidence:
    # A store grows between the three questions. Rows are only added, so the endpoints, asked last, know of every
    # request that the others speak of; a name that was learned meanwhile is left to the next look.
    parameters = {**chosen, "examples": EXAMPLES}
    timings = _timings(connection, {**chosen, "warmup": warmup})
    found = _rows(connection, _FIELDS, parameters)
    endpoints: dict[int, tuple[EndpointEvidence, bool]] = {}
    for row in _rows(connection, _ENDPOINTS, parameters):
        controlled = row["answered"] > 0
        if controlled:
            divergence = Tally(row["only_shadow"], row["only_control"], row["answered"])
        else:
            divergence = Tally(row["diverged"], 0, row["judged"])
        endpoints[row["key"]] = (
            EndpointEvidence(
                service=row["service"],
                endpoint=row["endpoint"],
                target=row["target"],
                pairs=row["pairs"],
                judged=row["judged"],
                divergence=divergence,
                errors=Tally(row["shadow_failed"], row["live_failed"], row["pairs"]),
                timings=timings.get(row["key"], Timings.none()),
                diverging=row["diverging"] or [],
                failing=row["failing"] or [],
                slowest=row["slowest"] or [],
            ),
            controlled,
        )
    fields = [
        FieldEvidence(
            service=endpoint.service,
            endpoint=endpoint.endpoint,
            target=endpoint.target,
            pattern=row["pattern"],
            kind=row["kind"],
            tally=Tally(
                row["only_shadow"] if controlled else row["shown"], row["only_control"], endpoint.divergence.total
            ),
            controlled=controlled,
            request_ids=row["request_ids"] or [],
        )
        for row in found
        if row["key"] in endpoints
        for endpoint, controlled in (endpoints[row["key"]],)
    ]
    return Evidence([endpoint for endpoint, _ in endpoints.values()], fields)


def _rows(connection: duckdb.DuckDBPyConnection, sql: str, parameters: dict[str, object]) -> list[dict[str, Any]]:
    cursor = connection.execute(sql, parameters)
    names = [column[0] for column in cursor.description or []]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _timings(connection: duckdb.DuckDBPyConnection, parameters: dict[str, object]) -> dict[int, Timings]:
    """Latencies by the key of their endpoint, in an order that depends on the values alone."""
    columns = connection.execute(_TIMINGS, parameters).fetchnumpy()
    key, live, shadow = (np.asarray(columns[name]) for name in ("key", "live_ms", "shadow_ms"))
    if not len(key):
        return {}
    order = np.lexsort((shadow, live, key))
    key, live, shadow = key[order], live[order], shadow[order]
    starts = np.flatnonzero(np.concatenate(([True], key[1:] != key[:-1])))
    return {
        int(key[start]): Timings(live[start:end], shadow[start:end])
        for start, end in pairwise([*starts.tolist(), len(key)])
    }


_ENDPOINTS: Final = """
WITH scored AS (
    SELECT
        j.service, j.endpoint, j.target, j.request_id, j.started_at,
        is_pair(j.outcome) AS pair, is_judged(j.outcome) AS judged, j.answered, j.score,
        failed(j.live_status, j.live_error) AS live_failed, failed(j.shadow_status, j.shadow_error) AS shadow_failed
    FROM judged_comparisons($since, $until, $synthetic) AS j
    WHERE ($service IS NULL OR j.service = $service) AND ($target IS NULL OR j.target = $target)
        AND in_cohort(j.flags, j.as_of, CAST($flags AS VARCHAR[]), CAST($as_of AS TIMESTAMPTZ))
),
counted AS (
    SELECT
        s.service, s.endpoint, s.target,
        count(*) FILTER (s.pair) AS pairs,
        count(*) FILTER (s.judged) AS judged,
        count(*) FILTER (s.score = 1) AS diverged,
        count(*) FILTER (s.judged AND s.answered) AS answered,
        count(*) FILTER (s.answered AND s.score = 1) AS only_shadow,
        count(*) FILTER (s.score = -1) AS only_control,
        count(*) FILTER (s.pair AND s.shadow_failed AND NOT s.live_failed) AS shadow_failed,
        count(*) FILTER (s.pair AND s.live_failed AND NOT s.shadow_failed) AS live_failed,
        arg_min(s.request_id, {'at': s.started_at, 'id': s.request_id}, $examples)
            FILTER (s.score = 1) AS diverging,
        arg_min(s.request_id, {'at': s.started_at, 'id': s.request_id}, $examples)
            FILTER (s.shadow_failed AND NOT s.live_failed) AS failing
    FROM scored AS s
    GROUP BY s.service, s.endpoint, s.target
),
slow AS (
    SELECT
        j.service, j.endpoint, j.target,
        arg_max(j.request_id, {'delta': j.delta_ms, 'id': j.request_id}, $examples) AS slowest
    FROM selected_comparisons($since, $until, $synthetic) AS j
    WHERE j.role = 'shadow' AND j.delta_ms > 0
        AND ($service IS NULL OR j.service = $service)
        AND ($target IS NULL OR j.target = $target)
        AND in_cohort(j.flags, j.as_of, CAST($flags AS VARCHAR[]), CAST($as_of AS TIMESTAMPTZ))
    GROUP BY j.service, j.endpoint, j.target
)
SELECT c.*, s.slowest, hash(c.service, c.endpoint, c.target) AS key
FROM counted AS c
LEFT JOIN slow AS s ON s.service = c.service AND s.endpoint = c.endpoint AND s.target = c.target
"""

_FIELDS: Final = """
WITH judged AS MATERIALIZED (
    SELECT
        hash(j.request_id, j.started_at) AS request, j.target, hash(j.service, j.endpoint, j.target) AS key,
        j.request_id, j.started_at, j.answered
    FROM answered_comparisons($since, $until, $synthetic) AS j
    WHERE is_judged(j.outcome)
        AND ($service IS NULL OR j.service = $service)
        AND ($target IS NULL OR j.target = $target)
        AND in_cohort(j.flags, j.as_of, CAST($flags AS VARCHAR[]), CAST($as_of AS TIMESTAMPTZ))
),
-- What could not be seen of one side for what the other alone shows above it scores nothing, as everywhere.
covered AS MATERIALIZED (
    SELECT l.request, l.target, l.role, l.place FROM lone_differences($since, $until) AS l WHERE l.covered
),
-- One row for each request at each field, however often it differs there.
shadow AS MATERIALIZED (
    SELECT d.request, d.target, d.pattern, d.kind, bool_and(d.noise) AS noise
    FROM selected_differences($since, $until, $synthetic) AS d
    WHERE d.role = 'shadow'
    GROUP BY d.request, d.target, d.pattern, d.kind
),
control AS (
    SELECT DISTINCT d.request, d.pattern, d.kind
    FROM selected_differences($since, $until, $synthetic) AS d
    WHERE d.role = 'control' AND NOT d.noise
),
scored AS (
    SELECT j.key, s.pattern, s.kind, j.answered, true AS of_shadow, j.request_id, j.started_at
    FROM shadow AS s
    JOIN judged AS j ON j.request = s.request AND j.target = s.target
    ANTI JOIN covered AS k
        ON k.role = 'shadow' AND k.request = s.request AND k.target = s.target AND k.place = hash(s.pattern, s.kind)
    WHERE NOT s.noise
    UNION ALL
    SELECT j.key, c.pattern, c.kind, true, false, j.request_id, j.started_at
    FROM control AS c
    JOIN judged AS j ON j.request = c.request AND j.answered
    ANTI JOIN shadow AS s ON s.request = c.request AND s.target = j.target AND s.pattern = c.pattern AND s.kind = c.kind
    ANTI JOIN covered AS k
        ON k.role = 'control' AND k.request = c.request AND k.target = j.target AND k.place = hash(c.pattern, c.kind)
)
SELECT
    f.key, f.pattern, f.kind,
    count(*) FILTER (f.of_shadow) AS shown,
    count(*) FILTER (f.of_shadow AND f.answered) AS only_shadow,
    count(*) FILTER (NOT f.of_shadow) AS only_control,
    arg_min(f.request_id, {'at': f.started_at, 'id': f.request_id}, $examples) FILTER (f.of_shadow) AS request_ids
FROM scored AS f
GROUP BY f.key, f.pattern, f.kind
"""

_TIMINGS: Final = """
WITH begun AS (
    SELECT c.service, c.target, min(c.started_at) AS first
    FROM selected_comparisons($since, $until, $synthetic) AS c
    WHERE c.role = 'shadow' AND c.attribution = 0
    GROUP BY c.service, c.target
)
SELECT hash(j.service, j.endpoint, j.target) AS key, j.live_ms, j.shadow_ms
FROM selected_comparisons($since, $until, $synthetic) AS j
JOIN begun AS b ON b.service = j.service AND b.target = j.target
WHERE j.role = 'shadow' AND j.live_ms IS NOT NULL AND j.shadow_ms IS NOT NULL
    AND j.started_at >= b.first + $warmup
    AND ($service IS NULL OR j.service = $service)
    AND ($target IS NULL OR j.target = $target)
    AND in_cohort(j.flags, j.as_of, CAST($flags AS VARCHAR[]), CAST($as_of AS TIMESTAMPTZ))
"""
