"""Live answers of two builds, counted: what a verdict on a canary without pairs is about."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Final

import duckdb

from gnomon.core.judge import Population, Populations
from gnomon.model import Measure
from gnomon.store.database import translated, with_more_memory
from gnomon.store.statistics import Selection

__all__ = ["read_populations"]


def read_populations(
    connection: duckdb.DuckDBPyConnection, path: Path, selection: Selection, canary: str, baseline: str
) -> list[Populations]:
    """Read the endpoints that either build answered, under the names in force.

    Of `selection` the service and the time count, the time by whole minutes.

    Raises:
        InputError: The database is damaged.
        DependencyError: There is not enough memory or disk.
    """
    parameters = {
        "since": selection.since,
        "until": selection.until,
        "service": selection.service,
        "canary": canary,
        "baseline": baseline,
    }
    with translated(path):
        rows = with_more_memory(connection, lambda: connection.execute(_COUNTS, parameters).fetchall())
    sides: dict[tuple[str, str], dict[bool, _Side]] = defaultdict(lambda: {True: _Side(), False: _Side()})
    for service, endpoint, is_canary, measure, field, value, responses in rows:
        sides[service, endpoint][is_canary].add(measure, field, value, responses)
    return [
        Populations(
            service=service,
            endpoint=endpoint,
            target=canary,
            canary=both[True].population(),
            baseline=both[False].population(),
        )
        for (service, endpoint), both in sides.items()
    ]


class _Side:
    """What is read of one build at one endpoint."""

    def __init__(self) -> None:
        self._plain = {"requests": 0, "failed": 0, "shaped": 0}
        self._latencies: dict[int, int] = {}
        self._units: dict[tuple[str, str, str], int] = {}
        self._cut: set[str] = set()

    def add(self, measure: Measure, field: str, value: str, responses: int) -> None:
        """Take one sum."""
        if measure == "latency":
            self._latencies[int(value)] = responses
        elif measure in self._plain:
            self._plain[measure] = responses
        elif measure == "cut":
            self._cut.add(value)
        else:
            self._units[measure, field, value] = responses

    def population(self) -> Population:
        """Give it all."""
        return Population(**self._plain, latencies=self._latencies, units=self._units, cut=frozenset(self._cut))


_COUNTS: Final = """
WITH chosen AS (
    SELECT
        p.service, coalesce(t.template, p.endpoint) AS endpoint, p.target = $canary AS is_canary,
        p.measure, p.field, p.value, sum(p.responses) AS responses
    FROM populations AS p
    LEFT JOIN learned_names() AS t ON t.service = p.service AND t.endpoint = p.endpoint
    WHERE p.target IN ($canary, $baseline)
        AND ($service IS NULL OR p.service = $service)
        AND ($since IS NULL OR p.minute >= date_trunc('minute', CAST($since AS TIMESTAMPTZ)))
        AND ($until IS NULL OR p.minute < CAST($until AS TIMESTAMPTZ))
    GROUP BY ALL
),
-- Endpoints are bounded for each service, as those of comparisons are: the most asked for keep their name.
named AS (
    SELECT
        c.service, c.endpoint,
        row_number() OVER (PARTITION BY c.service ORDER BY sum(c.responses) DESC, c.endpoint)
            <= endpoint_bound() AS kept
    FROM chosen AS c
    WHERE c.measure = 'requests' AND c.endpoint <> '(other)'
    GROUP BY c.service, c.endpoint
)
SELECT
    c.service, CASE WHEN n.kept THEN c.endpoint ELSE '(other)' END AS shown_as, c.is_canary,
    c.measure, c.field, c.value, sum(c.responses)::BIGINT AS responses
FROM chosen AS c
LEFT JOIN named AS n ON n.service = c.service AND n.endpoint = c.endpoint
GROUP BY ALL
"""
