"""The verdict: fail when a lower end is above its limit, pass when all upper ends are below, else undecided.

All lower ends hold together with the confidence asked for, and so do all upper ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from gnomon.core.judge.checks import (
    Check,
    all_timings,
    evidence_threshold,
    latency_by_endpoint,
    make_checks,
)
from gnomon.core.judge.evidence import EndpointEvidence, Evidence, Limits
from gnomon.core.judge.fields import field_checks
from gnomon.core.judge.latency import measure_latency
from gnomon.summary import EndpointLatency, Verdict, VerdictLatency, VerdictReason

__all__ = ["Coverage", "Judgement", "conclude", "give_verdict"]

MOST_REASONS: Final = 200
MOST_ENDPOINTS: Final = 100


class Coverage(msgspec.Struct, frozen=True, kw_only=True):
    """How many endpoints have enough pairs to be judged on their own, and the share of all judged pairs they have."""

    endpoints: int
    covered: int
    share_of_pairs: float | None


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict, and beside it all checks with their limits and the coverage of endpoints."""

    verdict: Verdict
    checks: list[Check]
    coverage: Coverage


def give_verdict(evidence: Evidence, limits: Limits) -> Judgement:
    """Judge what was seen; evidence in another order gives the same verdict."""
    endpoints = sorted(evidence.endpoints, key=lambda e: (e.service, e.endpoint, e.target))
    threshold = evidence_threshold(evidence, limits)
    timings = all_timings(endpoints)
    overall = measure_latency(timings, threshold) if len(timings) else None
    by_endpoint = latency_by_endpoint(endpoints, threshold)
    pairs = sum(endpoint.pairs for endpoint in endpoints)
    judged = sum(endpoint.judged for endpoint in endpoints)
    checks = [
        *make_checks(endpoints, overall, by_endpoint, limits, threshold),
        *field_checks(evidence.fields, sum(e.divergence.total for e in endpoints), limits, threshold),
    ]
    lacking = [VerdictReason(code="min_pairs")] if min(pairs, judged) < limits.min_pairs else []
    return conclude(
        checks,
        checks[0] if judged else msgspec.structs.replace(checks[0], interval=(None, None)),
        pairs,
        VerdictLatency(overall=overall, endpoints=by_endpoint),
        _coverage(checks, endpoints),
        [*lacking, *_unheard(endpoints, checks, limits)],
    )


def conclude(
    checks: list[Check],
    rate: Check | None,
    pairs: int,
    latency: VerdictLatency,
    coverage: Coverage,
    lacking: list[VerdictReason],
) -> Judgement:
    """Give the verdict that follows from checks.

    Args:
        checks: All figures beside their limits.
        rate: The one whose rate is the verdict's; None without one.
        pairs: What the verdict says.
        latency: Overall and by endpoint, in any order.
        coverage: What the verdict says.
        lacking: What a pass lacks beside checks; without `min_pairs` there is no verdict at all.
    """
    decision = "undecided" if any(reason.code == "min_pairs" for reason in lacking) else _decide(checks)
    if lacking and decision == "pass":
        decision = "undecided"
    low, high = (None, None) if rate is None else rate.interval
    by_endpoint = sorted(latency.endpoints, key=_shift_of, reverse=True)[:MOST_ENDPOINTS]
    return Judgement(
        verdict=Verdict(
            verdict=decision,
            pairs=pairs,
            divergence_rate=None if rate is None else rate.rate,
            interval=(low, high) if low is not None and high is not None else None,
            latency=VerdictLatency(overall=latency.overall, endpoints=by_endpoint),
            reasons=[*lacking, *_reasons(checks, decision)][:MOST_REASONS],
        ),
        checks=checks,
        coverage=coverage,
    )


def _decide(checks: Sequence[Check]) -> Literal["pass", "fail", "undecided"]:
    if any(check.state == "exceeded" for check in checks):
        return "fail"
    return "undecided" if any(check.state == "open" and check.covered for check in checks) else "pass"


def _reasons(checks: Sequence[Check], decision: str) -> list[VerdictReason]:
    """What exceeds its limit, then fields that diverge within theirs, then what holds up a verdict; the worst first."""
    exceeded = [check for check in checks if check.state == "exceeded"]
    fields = [check for check in checks if check.state == "kept" and check.pattern is not None]
    undecided = [c for c in checks if decision == "undecided" and c.state == "open" and c.covered]
    return [
        *(_reason(check, check.code) for check in _worst_first(exceeded)),
        *(_reason(check, check.code) for check in fields),
        *(_reason(check, f"undecided_{check.code}") for check in _worst_first(undecided)),
    ]


def _unheard(endpoints: Sequence[EndpointEvidence], checks: Sequence[Check], limits: Limits) -> list[VerdictReason]:
    """Name the endpoints whose control did not answer enough: what it did not see is judged by nobody.

    Endpoints with so few requests that they hold up nothing are left out.
    """
    own = [check for check in checks if check.code == "max_endpoint_divergence" and check.pattern is None]
    found = []
    for endpoint, check in zip(endpoints, own, strict=True):
        share = endpoint.divergence.total / endpoint.judged if endpoint.judged else 1.0
        if share < limits.min_control and (check.covered or endpoint.judged >= limits.min_pairs):
            found.append(VerdictReason(code="control_coverage", endpoint=endpoint.endpoint, rate=share))
    return sorted(found, key=lambda reason: reason.rate or 0.0)


def _worst_first(checks: Sequence[Check]) -> list[Check]:
    return sorted(checks, key=lambda check: -check.excess)


def _reason(check: Check, code: str) -> VerdictReason:
    return VerdictReason(
        code=code,
        endpoint=check.endpoint,
        pattern=check.pattern,
        kind=check.kind,
        rate=check.rate,
        interval=check.interval,
        request_ids=check.request_ids,
    )


def _shift_of(latency: EndpointLatency) -> float:
    lows = [shift.interval[0] for shift in (latency.shift.p50, latency.shift.p99) if shift.interval[0] is not None]
    return max(lows, default=-1.0)


def _coverage(checks: Sequence[Check], endpoints: Sequence[EndpointEvidence]) -> Coverage:
    own = [check for check in checks if check.code == "max_endpoint_divergence" and check.pattern is None]
    counts = [endpoint.judged for endpoint in endpoints]
    heard = [endpoint.divergence.total for endpoint in endpoints]
    covered = sum(count for check, count in zip(own, heard, strict=True) if check.covered)
    return Coverage(
        endpoints=len(own),
        covered=sum(check.covered for check in own),
        share_of_pairs=covered / sum(counts) if sum(counts) else None,
    )
