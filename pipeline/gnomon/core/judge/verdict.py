"""The verdict: fail when a lower end is above its limit, pass when all upper ends are below, else undecided.

All lower ends hold together with the confidence asked for, and so do all upper ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import msgspec
import numpy as np

from gnomon.core.judge.betting import log_evidence, lower_end, upper_end
from gnomon.core.judge.checks import (
    Check,
    all_timings,
    evidence_threshold,
    latency_by_endpoint,
    make_checks,
)
from gnomon.core.judge.evidence import EndpointEvidence, Evidence, FieldEvidence, Limits
from gnomon.core.judge.latency import measure_latency
from gnomon.summary import EndpointLatency, Verdict, VerdictLatency, VerdictReason

__all__ = ["Coverage", "Judgement", "diverging_fields", "give_verdict"]

MOST_FIELDS: Final = 100
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
    checks = make_checks(endpoints, overall, by_endpoint, limits, threshold)
    pairs = sum(endpoint.pairs for endpoint in endpoints)
    judged = sum(endpoint.divergence.total for endpoint in endpoints)
    enough = min(pairs, judged) >= limits.min_pairs
    decision = _decide(checks) if enough else "undecided"
    low, high = checks[0].interval
    return Judgement(
        verdict=Verdict(
            verdict=decision,
            pairs=pairs,
            divergence_rate=checks[0].rate,
            interval=(low, high) if judged and low is not None and high is not None else None,
            latency=VerdictLatency(
                overall=overall,
                endpoints=sorted(by_endpoint, key=_shift_of, reverse=True)[:MOST_ENDPOINTS],
            ),
            reasons=[
                *([] if enough else [VerdictReason(code="min_pairs")]),
                *_exceeded(checks),
                *diverging_fields(evidence.fields, limits.min_effect, threshold),
                *(_undecided(checks) if decision == "undecided" else []),
            ],
        ),
        checks=checks,
        coverage=_coverage(checks, endpoints),
    )


def _decide(checks: Sequence[Check]) -> Literal["pass", "fail", "undecided"]:
    if any(check.state == "exceeded" for check in checks):
        return "fail"
    return "undecided" if any(check.state == "open" and check.covered for check in checks) else "pass"


def diverging_fields(fields: Sequence[FieldEvidence], min_effect: float, threshold: float) -> list[VerdictReason]:
    """Fields at which the shadow differs more often than the control by more than `min_effect`, the worst first."""
    if not fields:
        return []
    plus, minus, total = np.array([(f.tally.plus, f.tally.minus, f.tally.total) for f in fields], dtype=np.float64).T
    found = np.flatnonzero(log_evidence(plus, minus, total, min_effect) >= threshold)
    low = np.maximum(lower_end(plus[found], minus[found], total[found], threshold), 0)
    high = upper_end(plus[found], minus[found], total[found], threshold)
    reasons = [
        VerdictReason(
            code="field",
            endpoint=field.endpoint,
            pattern=field.pattern,
            kind=field.kind,
            rate=field.tally.mean,
            interval=(float(lowest), float(highest)),
            request_ids=field.request_ids,
        )
        for field, lowest, highest in zip((fields[int(at)] for at in found), low, high, strict=True)
    ]
    return sorted(reasons, key=_badness)[:MOST_FIELDS]


def _badness(reason: VerdictReason) -> tuple[float, str, str, str]:
    """Order by the lower end, the highest first; by name where that is the same."""
    low = reason.interval[0] if reason.interval else None
    return -(low or 0.0), reason.endpoint or "", reason.pattern or "", reason.kind or ""


def _exceeded(checks: Sequence[Check]) -> list[VerdictReason]:
    exceeded = sorted((check for check in checks if check.state == "exceeded"), key=lambda check: -check.excess)
    return [_reason(check, check.code) for check in exceeded]


def _undecided(checks: Sequence[Check]) -> list[VerdictReason]:
    still = sorted((c for c in checks if c.state == "open" and c.covered), key=lambda check: -check.excess)
    return [_reason(check, f"undecided_{check.code}") for check in still]


def _reason(check: Check, code: str) -> VerdictReason:
    return VerdictReason(
        code=code, endpoint=check.endpoint, rate=check.rate, interval=check.interval, request_ids=check.request_ids
    )


def _shift_of(latency: EndpointLatency) -> float:
    lows = [shift.interval[0] for shift in (latency.shift.p50, latency.shift.p99) if shift.interval[0] is not None]
    return max(lows, default=-1.0)


def _coverage(checks: Sequence[Check], endpoints: Sequence[EndpointEvidence]) -> Coverage:
    own = [check for check in checks if check.code == "max_endpoint_divergence"]
    counts = [endpoint.divergence.total for endpoint in endpoints]
    covered = sum(count for check, count in zip(own, counts, strict=True) if check.covered)
    return Coverage(
        endpoints=len(own),
        covered=sum(check.covered for check in own),
        share_of_pairs=covered / sum(counts) if sum(counts) else None,
    )
