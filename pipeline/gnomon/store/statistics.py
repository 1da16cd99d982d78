"""The questions that summaries and reports ask of the tables, answered as the structs of `gnomon.summary`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import duckdb
import msgspec

from gnomon.model import Outcome
from gnomon.store.database import persistently, translated, with_more_memory
from gnomon.store.samples import samples
from gnomon.summary import (
    EndpointStat,
    FieldStat,
    LatencyStat,
    OutcomeCounts,
    Quantiles,
    RejectCount,
    Report,
    Sample,
)

if TYPE_CHECKING:
    from gnomon.core.judge import Evidence

__all__ = ["Cohort", "Selection", "Statistics", "Totals"]

MAX_FIELDS = 1_000
MAX_REJECT_REASONS = 50


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which comparisons a question is about; None is all.

    `since` is included, `until` is not. `target` chooses among shadows: a control's comparisons serve all of
    them. `synthetic` says whether synthetic traffic counts.
    """

    since: datetime | None = None
    until: datetime | None = None
    service: str | None = None
    target: str | None = None
    synthetic: Literal["include", "exclude", "only"] = "exclude"

    def parameters(self) -> dict[str, object]:
        """The values of the named parameters that every statement here takes."""
        return msgspec.structs.asdict(self)


class Cohort(msgspec.Struct, frozen=True, kw_only=True):
    """Whose requests: those that carried all of these flags, and asked to be served as of this moment (None: any)."""

    flags: tuple[tuple[str, str], ...] = ()
    as_of: datetime | None = None

    def parameters(self) -> dict[str, object]:
        """The values of the parameters `flags` and `as_of` of a statement."""
        return {"flags": [f"{name}={value}" for name, value in self.flags], "as_of": self.as_of}


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """Everything selected in one line.

    `comparisons` counts rows of role shadow and `pairs` those with both sides; `duplicates` and `rules` (the
    versions used) are of both roles. `scored` is how many requests `divergence_rate` is of. `interval` is the 95 %
    interval of `divergence_rate`; both are None when nothing could be compared.
    """

    comparisons: int
    pairs: int
    outcomes: OutcomeCounts
    control_comparisons: int
    control_outcomes: OutcomeCounts
    divergences: int
    scored: int
    divergence_rate: float | None
    interval: tuple[float, float] | None
    duplicates: int
    rules: list[str]


class Statistics:
    """Questions to a connection on which the tables and macros can be named without a catalog.

    Every method raises InputError for a damaged file and DependencyError for want of memory or disk; errors
    name `path`.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, path: Path) -> None:
        self._connection = connection
        self._path = path

    def totals(self, selection: Selection) -> Totals:
        """Outcomes, rates and rule versions of all that is selected."""
        counts = self._rows(_TOTALS, selection)[0]
        by_role: dict[str, dict[Outcome, int]] = {"shadow": {}, "control": {}}
        for row in self._rows(_OUTCOMES, selection):
            by_role[row["role"]][row["outcome"]] = row["n"]
        control = by_role["control"]
        rate = counts["rate"]
        return Totals(
            comparisons=counts["comparisons"],
            pairs=counts["pairs"],
            outcomes=OutcomeCounts(**by_role["shadow"]),
            control_comparisons=sum(control.values()),
            control_outcomes=OutcomeCounts(**control),
            divergences=counts["divergences"],
            scored=counts["scored"],
            divergence_rate=rate,
            interval=None if rate is None else (counts["lo"], counts["hi"]),
            **self._rows(_USED, selection)[0],
        )

    def endpoints(self, selection: Selection) -> list[EndpointStat]:
        """Endpoints by the lower end of their divergence rate, the worst first."""
        return [
            EndpointStat(
                outcomes=OutcomeCounts(**{name: row.pop(name) for name in OutcomeCounts.__struct_fields__}), **row
            )
            for row in self._rows(_ENDPOINTS, selection)
        ]

    def fields(self, selection: Selection, limit: int = MAX_FIELDS) -> list[FieldStat]:
        """Field patterns: what diverges before what is noise, then the most severe, then the most frequent."""
        rows = self._rows(_FIELDS, selection, limit=limit)
        return [FieldStat(**row) for row in rows]

    def latency(self, selection: Selection) -> list[LatencyStat]:
        """Paired latencies by endpoint; the greatest shift of the median first."""
        return [
            LatencyStat(
                service=row["service"],
                endpoint=row["endpoint"],
                target=row["target"],
                pairs=row["pairs"],
                live=_quantiles(row, "live"),
                shadow=_quantiles(row, "shadow"),
                delta=_quantiles(row, "delta"),
            )
            for row in self._rows(_LATENCY, selection)
        ]

    def rejects(self, limit: int = MAX_REJECT_REASONS) -> list[RejectCount]:
        """Reasons for refusal, the most frequent first. Rejects have no time of their own: no selection."""
        with translated(self._path):
            rows = persistently(lambda: self._connection.execute(_REJECTS, [limit]).fetchall())
        return [RejectCount(reason=reason, count=count, first_place=place) for reason, count, place in rows]

    def report(self, selection: Selection, *, title: str, source: str, now: datetime, max_samples: int = 20) -> Report:
        """All that the HTML report shows. `source` says where it is from; `now` becomes `created_at`."""
        totals = self.totals(selection)
        fields = self.fields(selection)
        return Report(
            title=title,
            source=source,
            created_at=now,
            since=selection.since,
            until=selection.until,
            rules=totals.rules,
            comparisons=totals.comparisons,
            pairs=totals.pairs,
            outcomes=totals.outcomes,
            control_outcomes=totals.control_outcomes if totals.control_comparisons else None,
            divergences=totals.divergences,
            scored=totals.scored,
            divergence_rate=totals.divergence_rate,
            interval=totals.interval,
            endpoints=self.endpoints(selection),
            fields=fields,
            latency=self.latency(selection),
            rejects=self.rejects(),
            samples=self._samples(fields, selection, max_samples),
        )

    def evidence(
        self, selection: Selection, *, warmup: timedelta = timedelta(), cohort: Cohort | None = None
    ) -> Evidence:
        """What a verdict is about; latencies of the first `warmup` of each target are left out."""
        from gnomon.store.judging import read_evidence  # noqa: PLC0415 - numpy, which most questions do without

        return read_evidence(self._connection, self._path, selection, warmup, cohort)

    def _samples(self, fields: Sequence[FieldStat], selection: Selection, limit: int) -> list[Sample]:
        with translated(self._path):
            return with_more_memory(
                self._connection, lambda: samples(self._connection, fields, selection.parameters(), limit)
            )

    def _rows(self, sql: str, selection: Selection, **more: object) -> Sequence[dict[str, Any]]:
        with translated(self._path):
            return with_more_memory(self._connection, lambda: self._answer(sql, {**selection.parameters(), **more}))

    def _answer(self, sql: str, parameters: dict[str, object]) -> list[dict[str, Any]]:
        cursor = self._connection.execute(sql, parameters)
        names = [column[0] for column in cursor.description or []]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _quantiles(row: dict[str, Any], side: str) -> Quantiles:
    return Quantiles(p50=row[f"{side}_p50"], p90=row[f"{side}_p90"], p99=row[f"{side}_p99"])


_TOTALS = """
WITH counted AS (
    SELECT
        count(*) AS comparisons,
        count(*) FILTER (is_pair(j.outcome)) AS pairs,
        count(*) FILTER (is_judged(j.outcome)) AS judged,
        count(*) FILTER (diverges(j.outcome)) AS divergences,
        count(*) FILTER (j.score = 1) AS diverged,
        count(*) FILTER (j.score = -1) AS control_only,
        count(*) FILTER (is_judged(j.outcome) AND j.answered) AS answered,
        count(*) FILTER (j.score = 1 AND j.answered) AS answered_diverged
    FROM judged_comparisons($since, $until, $synthetic) AS j
    WHERE ($service IS NULL OR j.service = $service) AND is_of_target(j.target, j.attribution, $target)
    GROUP BY j.service, j.endpoint, j.target
),
summed AS (
    SELECT
        CAST(coalesce(sum(c.comparisons), 0) AS BIGINT) AS comparisons,
        CAST(coalesce(sum(c.pairs), 0) AS BIGINT) AS pairs,
        CAST(coalesce(sum(c.divergences), 0) AS BIGINT) AS divergences,
        CAST(coalesce(sum(scored(c.judged, c.answered, c.answered)), 0) AS BIGINT) AS scored,
        CAST(coalesce(sum(scored(c.diverged, c.answered_diverged, c.answered)), 0) AS BIGINT) AS scored_diverged,
        CAST(coalesce(sum(c.control_only), 0) AS BIGINT) AS control_only,
        coalesce(bool_or(c.answered > 0), false) AS has_control
    FROM counted AS c
)
SELECT
    n.comparisons, n.pairs, n.divergences, n.scored,
    net_rate(n.scored_diverged, n.control_only, n.scored) AS rate,
    rate_lo(n.scored_diverged, n.control_only, n.scored, n.has_control) AS lo,
    rate_hi(n.scored_diverged, n.control_only, n.scored, n.has_control) AS hi
FROM summed AS n
"""

_OUTCOMES = """
SELECT c.role, c.outcome, count(*) AS n
FROM selected_comparisons($since, $until, $synthetic) AS c
WHERE ($service IS NULL OR c.service = $service)
    AND (c.role = 'control' OR is_of_target(c.target, c.attribution, $target))
GROUP BY c.role, c.outcome
"""

_USED = """
SELECT
    CAST(coalesce(sum(c.duplicates), 0) AS BIGINT) AS duplicates,
    coalesce(list(DISTINCT c.rules ORDER BY c.rules), []) AS rules
FROM selected_comparisons($since, $until, $synthetic) AS c
WHERE ($service IS NULL OR c.service = $service)
    AND (c.role = 'control' OR is_of_target(c.target, c.attribution, $target))
"""

_ENDPOINTS = """
SELECT * FROM endpoint_stats($since, $until, $synthetic) AS e
WHERE ($service IS NULL OR e.service = $service) AND ($target IS NULL OR e.target = $target)
ORDER BY e.rate_lo DESC NULLS LAST, e.divergence_rate DESC NULLS LAST, e.pairs DESC, e.service, e.endpoint, e.target
"""

_FIELDS = """
SELECT * FROM field_stats($since, $until, $synthetic) AS f
WHERE ($service IS NULL OR f.service = $service) AND ($target IS NULL OR f.target = $target)
ORDER BY
    f.requests = 0, severity_rank(f.severity) DESC, f.requests DESC, f.noise_requests DESC,
    f.service, f.endpoint, f.target, f.pattern, f.kind
LIMIT $limit
"""

_LATENCY = """
SELECT * FROM latency_stats($since, $until, $synthetic) AS l
WHERE ($service IS NULL OR l.service = $service) AND ($target IS NULL OR l.target = $target)
ORDER BY abs(l.delta_p50) DESC, l.service, l.endpoint, l.target
"""

_REJECTS = """
SELECT
    r.reason, count(*) AS n,
    arg_min(
        r.source || CASE
            WHEN r."partition" IS NOT NULL THEN '[' || r."partition" || ']@' || coalesce(r."offset"::VARCHAR, '?')
            WHEN r.line IS NOT NULL THEN ':' || r.line ELSE '' END,
        {'source': r.source, 'partition': r."partition", 'place': coalesce(r."offset", r.line)}
    ) AS first_place
FROM rejects AS r
GROUP BY r.reason
ORDER BY n DESC, r.reason
LIMIT ?
"""
