"""What a run or a store amounts to, as values: made by the store, drawn by the report, printed by the CLI.

Rates are shares between 0 and 1; latencies are milliseconds. A divergence rate leaves `live_missing` and
`incomparable` out of its denominator and is net of the control where there is one.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from gnomon.model import DifferenceKind, JsonValue, Severity

__all__ = [
    "EndpointStat",
    "FieldStat",
    "LatencyStat",
    "OutcomeCounts",
    "Quantiles",
    "Reason",
    "RejectCount",
    "Report",
    "RunSummary",
    "Sample",
]


class OutcomeCounts(msgspec.Struct, frozen=True):
    """How many comparisons had which outcome."""

    match: int = 0
    noise: int = 0
    diff: int = 0
    live_error: int = 0
    shadow_error: int = 0
    shadow_missing: int = 0
    live_missing: int = 0
    incomparable: int = 0


class EndpointStat(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `endpoint_stats`: role shadow, one endpoint, one target. `rate_lo` and `rate_hi`: 95 %."""

    service: str
    endpoint: str
    target: str
    pairs: int
    outcomes: OutcomeCounts
    divergence_rate: float | None
    rate_lo: float | None
    rate_hi: float | None
    first_seen: datetime
    last_seen: datetime


class FieldStat(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `field_stats`: how many requests differ at one pattern with one kind, shadow beside control."""

    service: str
    endpoint: str
    target: str
    pattern: str
    kind: DifferenceKind
    severity: Severity
    pairs: int
    requests: int
    noise_requests: int
    rate: float
    rate_lo: float
    rate_hi: float
    control_pairs: int
    control_requests: int
    control_rate: float | None
    first_seen: datetime
    last_seen: datetime
    request_ids: list[str]
    live_value: str | None = None
    shadow_value: str | None = None


class Quantiles(msgspec.Struct, frozen=True):
    """Three quantiles, in milliseconds."""

    p50: float
    p90: float
    p99: float


class LatencyStat(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `latency_stats`: paired latencies where both sides have one; `delta` is shadow minus live."""

    service: str
    endpoint: str
    target: str
    pairs: int
    live: Quantiles
    shadow: Quantiles
    delta: Quantiles


class RejectCount(msgspec.Struct, frozen=True):
    """How many records were refused for one reason, and where the first of them is."""

    reason: str
    count: int
    first_place: str


class Reason(msgspec.Struct, frozen=True):
    """Why bodies could not be compared, and how often."""

    reason: str
    count: int


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One diverging pair to look at: its comparison, its differences, and the redacted records by role.

    Keys of `comparison` and of each difference are the column names of the tables.
    """

    comparison: dict[str, JsonValue]
    differences: list[dict[str, JsonValue]]
    live: dict[str, JsonValue] | None
    shadow: dict[str, JsonValue] | None
    control: dict[str, JsonValue] | None = None


class RunSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What one `gnomon compare` found: `--json` prints exactly this.

    `records` counts what was read, `rejects` what was refused, `incomparable` says why bodies could not be compared.
    `comparisons` counts rows of role shadow, `pairs` those with both sides; `new`, `unchanged` and `replaced` say what
    landing them did to the database. `divergence_rate` is None when nothing could be compared.
    """

    run: str
    rules: str
    db: str
    records: int
    rejects: int
    duplicates: int
    comparisons: int
    pairs: int
    outcomes: OutcomeCounts
    incomparable: list[Reason] = []
    control_comparisons: int
    control_outcomes: OutcomeCounts
    divergences: int
    divergence_rate: float | None
    interval: tuple[float, float] | None
    new: int
    unchanged: int
    replaced: int
    seconds: float
    endpoints: list[EndpointStat]
    fields: list[FieldStat]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All that the HTML report shows."""

    title: str
    source: str
    created_at: datetime
    since: datetime | None
    until: datetime | None
    rules: list[str]
    comparisons: int
    pairs: int
    outcomes: OutcomeCounts
    control_outcomes: OutcomeCounts | None
    divergences: int
    divergence_rate: float | None
    interval: tuple[float, float] | None
    endpoints: list[EndpointStat]
    fields: list[FieldStat]
    latency: list[LatencyStat]
    rejects: list[RejectCount]
    samples: list[Sample]
