"""Fields that diverge: (endpoint, pattern, kind) at which the shadow differs more often than the control.

A field is held to its endpoint's limit, and, by the share of the traffic that its endpoint has, to the limit of
everything together. Requests that differ at this field and no other are seldom seen for all the noise of a noisy
endpoint; the field alone is not diluted by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from gnomon.core.judge.betting import log_evidence, lower_end, upper_end
from gnomon.core.judge.checks import Check
from gnomon.core.judge.evidence import FieldEvidence, Limits

__all__ = ["field_checks"]


def field_checks(
    fields: Sequence[FieldEvidence], judged: Mapping[tuple[str, str], int], limits: Limits, threshold: float
) -> list[Check]:
    """Give a check of every field that differs by more than `min_effect`, the worst first.

    Its code is that of the limit that it exceeds or may exceed, else `field`.

    Args:
        fields: What was seen.
        judged: How many requests of all endpoints are scored, by service and target.
        limits: What is allowed.
        threshold: Natural logarithm of the evidence that refutes.
    """
    if not fields:
        return []
    plus, minus, total = np.array([(f.tally.plus, f.tally.minus, f.tally.total) for f in fields], dtype=np.float64).T
    found = np.flatnonzero(log_evidence(plus, minus, total, limits.min_effect) >= threshold)
    low = np.maximum(lower_end(plus[found], minus[found], total[found], threshold), 0)
    high = upper_end(plus[found], minus[found], total[found], threshold)
    checks = [
        _check(field, (float(lowest), float(highest)), judged[field.service, field.target], limits)
        for at, lowest, highest in zip(found.tolist(), low, high, strict=True)
        for field in (fields[at],)
    ]
    return sorted(
        checks, key=lambda c: (-c.excess, c.service, c.target, c.endpoint or "", c.pattern or "", c.kind or "")
    )


def _check(field: FieldEvidence, interval: tuple[float, float], judged: int, limits: Limits) -> Check:
    """Hold one field to the limit that speaks first: one that it exceeds, one that it may exceed, else to none."""
    mean = field.tally.mean or 0.0
    alone = _held("max_endpoint_divergence", limits.max_endpoint_divergence, field, (mean, *interval))
    share = field.tally.total / max(judged, 1)
    of_all = _held(
        "max_divergence", limits.max_divergence, field, (mean * share, interval[0] * share, interval[1] * share)
    )
    for state in ("exceeded", "open"):
        for check in (alone, of_all):
            if check.state == state:
                return check
    return _held("field", limits.max_endpoint_divergence, field, (mean, *interval))


def _held(code: str, limit: float, field: FieldEvidence, figures: tuple[float, float, float]) -> Check:
    rate, low, high = figures
    return Check(
        code=code,
        service=field.service,
        target=field.target,
        endpoint=field.endpoint,
        pattern=field.pattern,
        kind=field.kind,
        limit=limit,
        rate=rate,
        interval=(low, high),
        request_ids=field.request_ids,
    )
