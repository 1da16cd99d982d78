"""Every figure of a verdict beside its limit."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final, Literal

import msgspec
import numpy as np

from gnomon.core.judge.betting import Tally, log_evidence, mean_interval, upper_end
from gnomon.core.judge.evidence import EndpointEvidence, Evidence, Limits, Timings
from gnomon.core.judge.family import log_threshold
from gnomon.core.judge.latency import measure_latency
from gnomon.core.judge.quantiles import shift_interval
from gnomon.model import DifferenceKind
from gnomon.summary import EndpointLatency, LatencyShift, Shift

__all__ = ["EXAMPLES", "Check", "all_timings", "evidence_threshold", "latency_by_endpoint", "make_checks"]

EXAMPLES: Final = 5


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One figure beside its limit.

    `covered` says whether there are enough pairs that a flawless shadow would be seen to keep the limit: an endpoint
    without them can fail, but does not hold up a pass.
    """

    code: str
    endpoint: str | None = None
    pattern: str | None = None
    kind: DifferenceKind | None = None
    limit: float
    rate: float | None
    interval: tuple[float | None, float | None]
    covered: bool = True
    request_ids: list[str] = []

    @property
    def state(self) -> Literal["exceeded", "kept", "open"]:
        """What the interval says about the limit."""
        low, high = self.interval
        if low is not None and low > self.limit:
            return "exceeded"
        return "kept" if high is not None and high < self.limit else "open"

    @property
    def excess(self) -> float:
        """How many times the limit the lower end is, to order by."""
        low = self.interval[0]
        return -math.inf if low is None else low / max(self.limit, 1e-6)


def evidence_threshold(evidence: Evidence, limits: Limits) -> float:
    """How much log evidence refutes, with the error kept over every limit and every field that can be tested."""
    tallies = [endpoint.divergence for endpoint in evidence.endpoints]
    totals = np.array([sum(t.total for t in tallies), sum(e.errors.total for e in evidence.endpoints)])
    each = np.array([t.total for t in tallies])
    timed = np.array([len(e.timings) for e in evidence.endpoints] + [sum(len(e.timings) for e in evidence.endpoints)])
    plus, total = _attainable(evidence)
    attainable = [
        log_evidence(totals, 0, totals, np.array([limits.max_divergence, limits.max_error_increase])),
        log_evidence(each, 0, each, limits.max_endpoint_divergence),
        np.repeat(log_evidence(timed, 0, timed), 2),
        log_evidence(plus, 0, total, limits.min_effect),
    ]
    return log_threshold(np.concatenate(attainable), limits.confidence)


def _attainable(evidence: Evidence) -> tuple[list[int], list[int]]:
    """How many requests could score +1 at each field, given how often the sides disagree, and of how many."""
    tallies = [(field.tally, field.controlled) for field in evidence.fields]
    return [t.plus + t.minus if controlled else t.total for t, controlled in tallies], [t.total for t, _ in tallies]


def make_checks(
    endpoints: Sequence[EndpointEvidence],
    overall: LatencyShift | None,
    by_endpoint: Sequence[EndpointLatency],
    limits: Limits,
    threshold: float,
) -> list[Check]:
    """Give all checks; the first is the divergence rate of everything together."""
    return [*_rates(endpoints, limits, threshold), *_latencies(endpoints, overall, by_endpoint, limits, threshold)]


def _rates(endpoints: Sequence[EndpointEvidence], limits: Limits, threshold: float) -> Iterator[Check]:
    total = sum((endpoint.divergence for endpoint in endpoints), Tally())
    diverging = [request for endpoint in endpoints for request in endpoint.diverging]
    yield _rate("max_divergence", total, limits.max_divergence, threshold, diverging)
    errors = sum((endpoint.errors for endpoint in endpoints), Tally())
    failing = [request for endpoint in endpoints for request in endpoint.failing]
    yield Check(
        code="max_error_increase",
        limit=limits.max_error_increase,
        rate=errors.mean,
        interval=mean_interval(errors, threshold),
        request_ids=failing[:EXAMPLES],
    )
    for endpoint in endpoints:
        check = _rate(
            "max_endpoint_divergence",
            endpoint.divergence,
            limits.max_endpoint_divergence,
            threshold,
            endpoint.diverging,
        )
        count = endpoint.divergence.total
        flawless = float(upper_end(0, 0, count, threshold))
        covered = flawless < limits.max_endpoint_divergence or count >= limits.min_pairs
        yield msgspec.structs.replace(check, endpoint=endpoint.endpoint, covered=covered)


def _rate(code: str, tally: Tally, limit: float, threshold: float, request_ids: Sequence[str]) -> Check:
    """A divergence rate: net of the control, and never below 0."""
    low, high = mean_interval(tally, threshold)
    return Check(
        code=code,
        limit=limit,
        rate=None if tally.mean is None else max(tally.mean, 0.0),
        interval=(max(low, 0.0), max(high, 0.0)),
        request_ids=list(request_ids[:EXAMPLES]),
    )


def all_timings(endpoints: Sequence[EndpointEvidence]) -> Timings:
    """The latencies of all endpoints together."""
    if not endpoints:
        return Timings.none()
    return Timings(
        np.concatenate([endpoint.timings.live for endpoint in endpoints]),
        np.concatenate([endpoint.timings.shadow for endpoint in endpoints]),
    )


def latency_by_endpoint(endpoints: Sequence[EndpointEvidence], threshold: float) -> list[EndpointLatency]:
    """Measure every endpoint that has timings, in the order given."""
    return [
        EndpointLatency(
            service=endpoint.service,
            endpoint=endpoint.endpoint,
            target=endpoint.target,
            shift=measure_latency(endpoint.timings, threshold),
        )
        for endpoint in endpoints
        if len(endpoint.timings)
    ]


def _latencies(
    endpoints: Sequence[EndpointEvidence],
    overall: LatencyShift | None,
    by_endpoint: Sequence[EndpointLatency],
    limits: Limits,
    threshold: float,
) -> Iterator[Check]:
    if overall is None:
        return
    slowest = [request for endpoint in endpoints for request in endpoint.slowest]
    yield from _shifts(overall, limits, slowest)
    timed = [endpoint for endpoint in endpoints if len(endpoint.timings)]
    for endpoint, latency in zip(timed, by_endpoint, strict=True):
        for check in _shifts(latency.shift, limits, endpoint.slowest):
            covered = check.state != "open" or _steady(endpoint.timings, check, threshold)
            yield msgspec.structs.replace(check, endpoint=endpoint.endpoint, covered=covered)


def _steady(timings: Timings, check: Check, threshold: float) -> bool:
    """Whether as many other answers of live itself, paired at random, would be seen to keep the limit."""
    others = np.random.default_rng(0).permutation(timings.live)
    share = 0.5 if check.code.endswith("p50") else 0.99
    return shift_interval(timings.live, others, share, threshold)[1] < check.limit


def _shifts(latency: LatencyShift, limits: Limits, slowest: Sequence[str]) -> Iterator[Check]:
    measured: tuple[tuple[str, float, Shift], ...] = (
        ("p50", limits.max_p50_shift, latency.p50),
        ("p99", limits.max_p99_shift, latency.p99),
    )
    for name, limit, shift in measured:
        yield Check(
            code=f"max_latency_shift.{name}",
            limit=limit,
            rate=shift.shift,
            interval=shift.interval,
            request_ids=list(slowest[:EXAMPLES]),
        )
