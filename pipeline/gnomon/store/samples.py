"""Diverging pairs to look at: the most severe and most frequent patterns first, each pattern before any twice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, zip_longest
from typing import Any

import duckdb
import msgspec

from gnomon.model import JsonValue
from gnomon.store.values import json_value
from gnomon.summary import FieldStat, Sample

__all__ = ["samples"]

MAX_DIFFERENCES = 100
PER_PATTERN = 3


def samples(
    connection: duckdb.DuckDBPyConnection,
    fields: Sequence[FieldStat],
    parameters: Mapping[str, object],
    limit: int,
) -> list[Sample]:
    """Up to `limit` samples.

    Args:
        connection: Where the tables can be named without a catalog.
        fields: The patterns, the most important first.
        parameters: Those of a `Selection`.
        limit: How many samples at most.
    """
    unanswered = _unanswered(connection, parameters)
    evident = _evident(connection, fields, parameters)
    groups = [group for pair in zip_longest(unanswered, evident) for group in pair if group]
    found = []
    for request_id, target in islice(_turn_by_turn(groups), limit):
        sample = _sample(connection, {**parameters, "request_id": request_id, "found": target})
        if sample is not None:
            found.append(sample)
    return found


def _turn_by_turn(groups: Sequence[Sequence[tuple[str, str]]]) -> Iterator[tuple[str, str]]:
    """The first of every group, then the second of every group and so on, none twice."""
    seen: set[tuple[str, str]] = set()
    for row in zip_longest(*groups):
        for key in row:
            if key is not None and key not in seen:
                seen.add(key)
                yield key


def _unanswered(connection: duckdb.DuckDBPyConnection, parameters: Mapping[str, object]) -> list[list[tuple[str, str]]]:
    """Comparisons with an error or a missing side: these may have no difference to be found by."""
    rows = connection.execute(_UNANSWERED, {**parameters, "limit": PER_PATTERN}).fetchall()
    return [[(request_id, target) for request_id in ids] for target, ids in rows]


def _evident(
    connection: duckdb.DuckDBPyConnection, fields: Sequence[FieldStat], parameters: Mapping[str, object]
) -> list[list[tuple[str, str]]]:
    """For each pattern requests that differ there, those whose records are stored first."""
    stored: dict[tuple[str, ...], list[str]] = {
        tuple(row[:5]): row[5] for row in connection.execute(_EVIDENT, {**parameters, "limit": PER_PATTERN}).fetchall()
    }
    groups = []
    for field in fields:
        if field.requests:
            key = (field.service, field.endpoint, field.target, field.pattern, field.kind)
            ids = dict.fromkeys([*stored.get(key, []), *field.request_ids])
            groups.append([(request_id, field.target) for request_id in islice(ids, PER_PATTERN)])
    return groups


def _sample(connection: duckdb.DuckDBPyConnection, parameters: Mapping[str, object]) -> Sample | None:
    """The latest selected comparison of one request and target, with all that is known about it."""
    chosen = _rows(connection, _COMPARISON, parameters)
    if not chosen:
        return None
    key = {"request_id": parameters["request_id"], "found": parameters["found"], "started_at": chosen[0]["started_at"]}
    differences = _rows(connection, _DIFFERENCES, {**key, "limit": MAX_DIFFERENCES})
    records: dict[str, dict[str, JsonValue]] = {}
    for row in _rows(connection, _EXCHANGES, key):
        records[row["role"]] = msgspec.json.decode(row["record"])
    return Sample(
        comparison={name: json_value(value) for name, value in chosen[0].items()},
        differences=[{name: json_value(value) for name, value in row.items()} for row in differences],
        live=records.get("live"),
        shadow=records.get("shadow"),
        control=records.get("control"),
    )


def _rows(connection: duckdb.DuckDBPyConnection, sql: str, parameters: Mapping[str, object]) -> list[dict[str, Any]]:
    cursor = connection.execute(sql, dict(parameters))
    names = [column[0] for column in cursor.description or []]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


_UNANSWERED = """
SELECT c.target, arg_min(c.request_id, {'started_at': c.started_at, 'request_id': c.request_id}, $limit) AS ids
FROM selected_comparisons($since, $until, $synthetic) AS c
WHERE c.role = 'shadow' AND diverges(c.outcome) AND c.outcome != 'diff'
    AND ($service IS NULL OR c.service = $service) AND is_of_target(c.target, c.attribution, $target)
GROUP BY c.service, c.endpoint, c.target, c.outcome
ORDER BY count(*) DESC, c.service, c.endpoint, c.target, c.outcome
"""

_EVIDENT = """
WITH stored AS (SELECT DISTINCT e.request_id FROM exchanges AS e WHERE e.role = 'live')
SELECT
    c.service, c.endpoint, d.target, d.pattern, d.kind,
    list_distinct(arg_min(d.request_id, {'started_at': d.started_at, 'request_id': d.request_id}, $limit)) AS ids
FROM stored AS s
JOIN differences AS d ON d.request_id = s.request_id
JOIN selected_comparisons($since, $until, $synthetic) AS c ON c.request_id = d.request_id
    AND c.started_at = d.started_at AND c.target = d.target AND c.role = d.role
WHERE d.role = 'shadow' AND NOT d.noise
    AND ($service IS NULL OR c.service = $service) AND ($target IS NULL OR c.target = $target)
GROUP BY c.service, c.endpoint, d.target, d.pattern, d.kind
"""

_COMPARISON = """
SELECT c.* FROM comparisons AS c
WHERE c.request_id = $request_id AND c.role = 'shadow'
    AND (c.target = $found OR is_unnamed(c.role, c.target, c.outcome))
    AND ($since IS NULL OR c.started_at >= $since) AND ($until IS NULL OR c.started_at < $until)
    AND ($service IS NULL OR c.service = $service) AND ($target IS NULL OR $found = $target)
    AND CASE $synthetic WHEN 'include' THEN true WHEN 'only' THEN c.synthetic IS NOT NULL
        ELSE c.synthetic IS NULL END
ORDER BY c.started_at DESC, c.target DESC LIMIT 1
"""

_DIFFERENCES = """
SELECT d.* FROM differences AS d
WHERE d.request_id = $request_id AND d.target = $found AND d.role = 'shadow' AND d.started_at = $started_at
ORDER BY d.noise, severity_rank(d.severity) DESC, d.path LIMIT $limit
"""

_EXCHANGES = """
SELECT e.role, e.record FROM exchanges AS e
WHERE e.request_id = $request_id AND (e.role != 'shadow' OR e.target = $found)
    AND abs(epoch_us(e.started_at) - epoch_us($started_at)) < 86400000000
ORDER BY abs(epoch_us(e.started_at) - epoch_us($started_at)) DESC
"""
