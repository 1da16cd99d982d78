"""What a run or a store amounts to, as values: made by the store, drawn by the report, printed by the CLI.

Rates are shares between 0 and 1; latencies are milliseconds. There is one definition of a divergence rate, by endpoint:
of the requests that are judged (all but `live_missing` and `incomparable`), and where a control answered any of them of
those that it answered, the share that diverged less the share that only the control shows, and no less than 0.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from gnomon.model import DifferenceKind, JsonValue, Severity

__all__ = [
    "Delta",
    "EndpointLatency",
    "EndpointStat",
    "FieldStat",
    "LatencyShift",
    "LatencyStat",
    "OutcomeCounts",
    "Quantiles",
    "Reason",
    "RejectCount",
    "Report",
    "ReportVerdict",
    "RunSummary",
    "Sample",
    "ServiceVerdict",
    "Shift",
    "Verdict",
    "VerdictLatency",
    "VerdictLine",
    "VerdictReason",
    "is_shadowless",
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

    `records` counts what was read, `rejects` what was refused, `incomparable` says why bodies could not be
    compared. `comparisons` counts rows of role shadow, `pairs` those with both sides; `new`, `unchanged` and
    `replaced` say what landing them did to the database. `scored` is how many requests `divergence_rate` is of; it
    is None when nothing could be compared. `first_reject` is the place of the first record that was refused, and why.
    """

    run: str
    rules: str
    db: str
    records: int
    rejects: int
    first_reject: str | msgspec.UnsetType = msgspec.UNSET
    duplicates: int
    comparisons: int
    pairs: int
    outcomes: OutcomeCounts
    incomparable: list[Reason] = []
    control_comparisons: int
    control_outcomes: OutcomeCounts
    divergences: int
    scored: int | None = None
    divergence_rate: float | None
    interval: tuple[float, float] | None
    new: int
    unchanged: int
    replaced: int
    seconds: float
    endpoints: list[EndpointStat]
    fields: list[FieldStat]

    @property
    def unread(self) -> bool:
        """Whether there were records, and none of them could be read."""
        return 0 < self.records == self.rejects


class VerdictLine(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of a verdict beside its limit; `endpoint` is None where it is of all of them."""

    code: str
    service: str
    target: str
    endpoint: str | None
    rate: float | None
    interval: tuple[float | None, float | None]
    limit: float
    state: Literal["exceeded", "kept", "open"]


class ReportVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict of a report with its limits: those of everything, then those that endpoints exceed.

    `exceeded` counts what exceeds a limit, fields too. `needed` is `min_pairs`, `fewest` the smallest number of pairs
    of a service and target. `covered` of the `endpoints` have enough pairs to be judged on their own, with
    `share_of_pairs` of all; `uncovered` names some that have not.
    """

    verdict: Literal["pass", "fail", "undecided"]
    needed: int
    fewest: int
    lines: list[VerdictLine]
    lines_left_out: int
    exceeded: int
    endpoints: int
    covered: int
    share_of_pairs: float | None
    uncovered: list[str]


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
    scored: int | None = None
    divergence_rate: float | None
    interval: tuple[float, float] | None
    endpoints: list[EndpointStat]
    fields: list[FieldStat]
    latency: list[LatencyStat]
    rejects: list[RejectCount]
    samples: list[Sample]
    verdict: ReportVerdict | None = None


class Shift(msgspec.Struct, frozen=True, kw_only=True):
    """One quantile: of live and of the shadow in milliseconds, and their ratio minus 1 with its interval.

    An end is None where there are too few pairs for it.
    """

    live_ms: float
    shadow_ms: float
    shift: float | None
    interval: tuple[float | None, float | None]


class Delta(msgspec.Struct, frozen=True, kw_only=True):
    """One quantile of the paired deltas, shadow minus live, in milliseconds, with its interval."""

    ms: float
    interval: tuple[float | None, float | None]


class LatencyShift(msgspec.Struct, frozen=True, kw_only=True):
    """How the shadow's latency compares with live's on the same requests; `hodges_lehmann_ms` estimates the shift.

    Of a canary without pairs the sides are the canary's and the baseline's answers, `pairs` is the smaller number of
    them, and there are no deltas.
    """

    pairs: int
    p50: Shift
    p90: Shift
    p99: Shift
    delta_p50: Delta | None = None
    delta_p90: Delta | None = None
    delta_p99: Delta | None = None
    hodges_lehmann_ms: float | None = None


class EndpointLatency(msgspec.Struct, frozen=True, kw_only=True):
    """The latency of one endpoint against one target."""

    service: str
    endpoint: str
    target: str
    shift: LatencyShift


class VerdictLatency(msgspec.Struct, frozen=True, kw_only=True):
    """Latency overall, None without a pair that has both, and by endpoint, the greatest shift first."""

    overall: LatencyShift | None = None
    endpoints: list[EndpointLatency] = []


class VerdictReason(msgspec.Struct, frozen=True, kw_only=True):
    """Why a verdict is what it is.

    `code` is the limit exceeded (`max_divergence`, `max_endpoint_divergence`, `max_error_increase`,
    `max_latency_shift.p50`, `max_latency_shift.p99`), the same after `undecided_` where its interval is on both sides
    of the limit, `min_pairs` (`message` says why there are none, where that is known), `unknown_name` where nothing
    that landed has the service, target or flag that was asked for (`message` says what there is),
    `control_coverage` where a control answered too few requests (`rate`: the share), or `field` for a field that
    diverges and keeps the limits. Fields have a pattern and a kind, whatever their code; of a canary's changed type the
    `message` says which types.
    Where there are fewer than `min_pairs`, a limit that is exceeded has `undecided_` before it too. `rate` is a share,
    or a shift for latencies.
    """

    code: str
    service: str = ""
    target: str = ""
    endpoint: str | None = None
    pattern: str | None = None
    kind: DifferenceKind | None = None
    rate: float | None = None
    interval: tuple[float | None, float | None] | None = None
    request_ids: list[str] = []
    message: str | msgspec.UnsetType = msgspec.UNSET


class ServiceVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on one service and target, which is judged on its own."""

    service: str
    target: str
    verdict: Literal["pass", "fail", "undecided"]
    pairs: int
    divergence_rate: float | None
    interval: tuple[float, float] | None
    latency: LatencyShift | None


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What `gnomon verdict --json` prints. Reasons are the worst first.

    The verdict is the worst of `services`, which are the worst first. `pairs` and `divergence_rate` are of all of them
    together, `latency.overall` is that of the first.
    """

    verdict: Literal["pass", "fail", "undecided"]
    pairs: int
    divergence_rate: float | None
    interval: tuple[float, float] | None
    latency: VerdictLatency
    reasons: list[VerdictReason]
    services: list[ServiceVerdict] = []


def is_shadowless(found: RunSummary | Report) -> bool:
    """Whether no record of a shadow was seen at all: what is expected and never came is no rate of divergence."""
    return found.comparisons == found.outcomes.shadow_missing
