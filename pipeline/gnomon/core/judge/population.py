"""A canary without pairs: two populations of live answers, compared so that they may be looked at at any time.

Each population has its own confidence sequences: of shares by betting, of quantiles by the ranks that the share below
them may have (`betting`, `quantiles`). What the two say of a difference holds when both hold, each with half of the
error (the union bound). That asks nothing of how traffic is split between the two, and costs about twice the answers
that a test of the difference itself would.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeAlias

import msgspec
import numpy as np

from gnomon.core.judge.betting import Array, upper_end
from gnomon.core.judge.checks import Check
from gnomon.core.judge.evidence import Limits
from gnomon.core.judge.quantiles import quantile_ranks
from gnomon.core.judge.verdict import Coverage, Judgement, Part, Seen, conclude, together
from gnomon.core.population import MANY, MOST_VALUES, bucket_top
from gnomon.model import DifferenceKind
from gnomon.summary import EndpointLatency, LatencyShift, Shift

__all__ = ["Population", "Populations", "judge_populations"]

Unit: TypeAlias = tuple[str, str, str]
"""(measure, field, value): a type or a word at a pattern."""

_BOTH: Final = math.log(2)
_SHARES: Final = (0.5, 0.9, 0.99)
MOST_UNITS: Final = 2_000
"""Of one endpoint; those that the most answers have come first."""


class Population(msgspec.Struct, frozen=True, kw_only=True):
    """The live answers of one build at one endpoint.

    `latencies` counts by bucket (`core.population`), `units` how many of the `shaped` answers have a type or a word at
    a pattern; `cut` has the measures of which there were more than were counted.
    """

    requests: int = 0
    failed: int = 0
    latencies: dict[int, int] = {}
    shaped: int = 0
    units: dict[Unit, int] = {}
    cut: frozenset[str] = frozenset()


class Populations(msgspec.Struct, frozen=True, kw_only=True):
    """One endpoint as two builds answer it; `target` is the canary's."""

    service: str
    endpoint: str
    target: str
    canary: Population
    baseline: Population


def judge_populations(
    endpoints: Sequence[Populations], limits: Limits, pulse: Callable[[], object] = lambda: None
) -> Judgement:
    """Judge a canary by its own share of live traffic, each service on its own.

    `pairs` of a verdict is the smaller number of answers of the two, and `divergence_rate` the largest difference in
    how often a type or a word is in the answers of one endpoint. What `pulse` raises, called now and then, ends it.
    """
    services: dict[str, list[Populations]] = defaultdict(list)
    for endpoint in sorted(endpoints, key=lambda e: (e.service, e.endpoint)):
        services[endpoint.service].append(endpoint)
    tested = sum(
        1 + 2 * (sum(map(_is_timed, some)) + 1) + sum(len(_units(endpoint)) for endpoint in some)
        for some in services.values()
    )
    threshold = -math.log1p(-limits.confidence) + math.log(max(tested, 1)) + _BOTH
    parts = [_part(some, limits, threshold, pulse) for some in services.values()]
    worst = max((part.seen.rate for part in parts if part.seen.rate), key=lambda check: check.rate or 0.0, default=None)
    low, high = (None, None) if worst is None else worst.interval
    interval = (low, high) if low is not None and high is not None else None
    return together(parts, None if worst is None else worst.rate, interval)


def _is_timed(endpoint: Populations) -> bool:
    return bool(endpoint.canary.latencies and endpoint.baseline.latencies)


def _part(endpoints: Sequence[Populations], limits: Limits, threshold: float, pulse: Callable[[], object]) -> Part:
    """Judge one service."""
    timed = [endpoint for endpoint in endpoints if _is_timed(endpoint)]
    overall = _latency(_sum_latencies(timed, of_canary=True), _sum_latencies(timed, of_canary=False), threshold)
    by_endpoint = []
    for endpoint in timed:
        pulse()
        by_endpoint.append((endpoint, _latency(endpoint.canary.latencies, endpoint.baseline.latencies, threshold)))
    shapes = []
    for endpoint in endpoints:
        pulse()
        shapes.append(_shapes(endpoint, _units(endpoint), limits, threshold))
    whole = [checks[0] for checks in shapes if checks]
    checks = [
        _errors(endpoints, limits, threshold),
        *whole,
        *_shifts(overall, None, limits),
        *(check for one, shift in by_endpoint for check in _endpoint_shifts(one, shift, limits, threshold)),
        *(check for checks in shapes for check in checks[1:]),
    ]
    service, target = endpoints[0].service, endpoints[0].target
    covered = sum(e.canary.requests for e, own in zip(endpoints, shapes, strict=True) if own and own[0].covered)
    total = sum(e.canary.requests for e in endpoints)
    pairs = min(total, sum(e.baseline.requests for e in endpoints))
    seen = Seen(
        service=service,
        target=target,
        pairs=pairs,
        judged=pairs,
        rate=max(whole, key=lambda check: check.rate or 0.0, default=None),
        overall=overall,
        latencies=[
            EndpointLatency(service=service, endpoint=one.endpoint, target=target, shift=shift)
            for one, shift in by_endpoint
            if shift is not None
        ],
        checks=[msgspec.structs.replace(check, service=service, target=target) for check in checks],
        coverage=Coverage(
            endpoints=len(endpoints),
            covered=sum(bool(own) and own[0].covered for own in shapes),
            share_of_pairs=covered / total if total else None,
        ),
    )
    return conclude(seen, limits)


def _units(endpoint: Populations) -> list[Unit]:
    """The types and words of both, without words of fields that are no enumeration, and without what was cut.

    Which of too many were counted depends on who came first, and the rest would be missed where it is.
    """
    cut = endpoint.canary.cut | endpoint.baseline.cut
    if not endpoint.canary.shaped or not endpoint.baseline.shaped or "type" in cut:
        return []
    counts: dict[Unit, int] = defaultdict(int)
    for side in (endpoint.canary, endpoint.baseline):
        for unit, count in side.units.items():
            if unit[0] not in cut:
                counts[unit] += count
    words: dict[str, set[str]] = defaultdict(set)
    for measure, field, value in counts:
        if measure == "value":
            words[field].add(value)
    open_ended = {field for field, values in words.items() if MANY in values or len(values) > MOST_VALUES}
    chosen = [unit for unit in counts if unit[0] == "type" or unit[1] not in open_ended]
    return sorted(chosen, key=lambda unit: (-counts[unit], unit))[:MOST_UNITS]


def _errors(endpoints: Sequence[Populations], limits: Limits, threshold: float) -> Check:
    """The canary's error rate less the baseline's."""
    failed = np.array([[e.canary.failed, e.baseline.failed] for e in endpoints], dtype=np.float64).reshape(-1, 2).sum(0)
    total = np.array([[e.canary.requests, e.baseline.requests] for e in endpoints], dtype=np.float64)
    total = total.reshape(-1, 2).sum(0)
    known = bool(np.all(total > 0))
    low, high = _ends(failed, total, threshold)
    return Check(
        code="max_error_increase",
        limit=limits.max_error_increase,
        rate=float(failed[0] / total[0] - failed[1] / total[1]) if known else None,
        interval=(float(low[0] - high[1]), float(high[0] - low[1])) if known else (None, None),
    )


def _shapes(endpoint: Populations, units: Sequence[Unit], limits: Limits, threshold: float) -> list[Check]:
    """The largest difference in what answers of one endpoint have, then each type and word that differs."""
    if not units:
        return []
    one, other = (
        _ends(_counts(side, units), np.full(len(units), side.shaped, dtype=np.float64), threshold)
        for side in (endpoint.canary, endpoint.baseline)
    )
    low, high = one[0] - other[1], one[1] - other[0]
    rate = np.array([_share(endpoint.canary, unit) - _share(endpoint.baseline, unit) for unit in units])
    least, most = np.maximum(np.maximum(low, -high), 0.0), np.maximum(high, -low)
    # Whether a canary that is like the baseline would be seen to keep the limit, at these numbers of answers.
    alike = float(np.max(np.maximum(one[1] - one[0], other[1] - other[0])))
    enough = min(endpoint.canary.shaped, endpoint.baseline.shaped) >= limits.min_pairs
    checks = [
        Check(
            code="max_endpoint_divergence",
            endpoint=endpoint.endpoint,
            limit=limits.max_endpoint_divergence,
            rate=float(np.max(np.abs(rate))),
            interval=(float(np.max(least)), float(np.max(most))),
            covered=enough or 2 * alike < limits.max_endpoint_divergence,
        )
    ]
    found: list[int] = np.flatnonzero(least > limits.min_effect).tolist()
    changes = _type_changes([(units[at], float(rate[at])) for at in found])
    changed: set[str] = set()
    for at in sorted(found, key=lambda at: (-least[at], at)):
        measure, field, value = units[at]
        kind: DifferenceKind = "added" if rate[at] > 0 else "removed"
        note = changes.get(field, "") if measure == "type" else ""
        if note:
            if field in changed:  # the type that comes and the one that goes are one change
                continue
            changed.add(field)
            kind = "type_changed"
        check = msgspec.structs.replace(
            checks[0],
            pattern=field if measure == "type" else f"{field}={value}",
            kind=kind,
            rate=float(abs(rate[at])),
            interval=(float(least[at]), float(most[at])),
            note=note,
        )
        checks.append(check if check.state != "kept" else msgspec.structs.replace(check, code="field"))
    return [checks[0], *sorted(checks[1:], key=lambda check: (-check.excess, check.pattern or "", check.kind or ""))]


def _type_changes(found: Sequence[tuple[Unit, float]]) -> dict[str, str]:
    """Say by field which types go and which come: `number -> string`; only of fields that have both."""
    going, coming = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
    for (measure, field, value), rate in found:
        if measure == "type":
            (coming if rate > 0 else going)[field].append(value)
    return {
        field: f"{', '.join(sorted(gone))} -> {', '.join(sorted(coming[field]))}"
        for field, gone in going.items()
        if field in coming
    }


def _share(side: Population, unit: Unit) -> float:
    return side.units.get(unit, 0) / side.shaped


def _counts(side: Population, units: Sequence[Unit]) -> Array:
    return np.array([side.units.get(unit, 0) for unit in units], dtype=np.float64)


def _ends(count: Array, total: Array, threshold: float) -> tuple[Array, Array]:
    """Ends of shares: `upper_end` may bet all there is on a share, so the lower ends are those of what is left of 1."""
    return 1 - np.clip(upper_end(total - count, 0, total, threshold), 0, 1), np.clip(
        upper_end(count, 0, total, threshold), 0, 1
    )


def _sum_latencies(endpoints: Sequence[Populations], *, of_canary: bool) -> dict[int, int]:
    total: dict[int, int] = defaultdict(int)
    for endpoint in endpoints:
        for bucket, count in (endpoint.canary if of_canary else endpoint.baseline).latencies.items():
            total[bucket] += count
    return total


def _latency(canary: dict[int, int], baseline: dict[int, int], threshold: float) -> LatencyShift | None:
    """The shifts of three quantiles; None where one has no latencies."""
    if not canary or not baseline:
        return None
    p50, p90, p99 = (_shift(_Histogram(canary), _Histogram(baseline), share, threshold) for share in _SHARES)
    return LatencyShift(pairs=min(sum(canary.values()), sum(baseline.values())), p50=p50, p90=p90, p99=p99)


def _shift(canary: _Histogram, baseline: _Histogram, share: float, threshold: float) -> Shift:
    one, other = canary.interval(share, threshold), baseline.interval(share, threshold)
    mine, theirs = canary.quantile(share), baseline.quantile(share)
    low = one[0] / other[1] - 1 if one[0] > 0 and math.isfinite(other[1]) else None
    high = one[1] / other[0] - 1 if other[0] > 0 and math.isfinite(one[1]) else None
    return Shift(live_ms=theirs, shadow_ms=mine, shift=mine / theirs - 1, interval=(low, high))


class _Histogram:
    """Latencies by bucket."""

    def __init__(self, latencies: dict[int, int]) -> None:
        self._buckets = sorted(latencies)
        self._upto = np.cumsum([latencies[bucket] for bucket in self._buckets])
        self._count = int(self._upto[-1])

    def quantile(self, share: float) -> float:
        """The middle of the bucket that the quantile is in, in milliseconds."""
        bucket = self._bucket(min(int(share * self._count), self._count - 1))
        return (bucket_top(bucket) + bucket_top(bucket - 1)) / 2

    def interval(self, share: float, threshold: float) -> tuple[float, float]:
        """Ends of a quantile in milliseconds, widened to those of their buckets; 0 and infinity where there is none."""
        least, largest = quantile_ranks(self._count, share, threshold)
        low = bucket_top(self._bucket(least - 1) - 1) if least > 0 else 0.0
        return low, bucket_top(self._bucket(largest)) if largest < self._count else math.inf

    def _bucket(self, rank: int) -> int:
        """The bucket of the value of a rank, from 0."""
        return self._buckets[int(np.searchsorted(self._upto, rank, side="right"))]


def _shifts(latency: LatencyShift | None, endpoint: str | None, limits: Limits) -> Iterator[Check]:
    if latency is None:
        return
    measured = (("p50", limits.max_p50_shift, latency.p50), ("p99", limits.max_p99_shift, latency.p99))
    for name, limit, shift in measured:
        yield Check(
            code=f"max_latency_shift.{name}",
            endpoint=endpoint,
            limit=limit,
            rate=shift.shift,
            interval=shift.interval,
        )


def _endpoint_shifts(
    one: Populations, latency: LatencyShift | None, limits: Limits, threshold: float
) -> Iterator[Check]:
    """Shifts of an endpoint; covered where the baseline beside as many answers like its own would keep the limit."""
    for check in _shifts(latency, one.endpoint, limits):
        share = 0.5 if check.code.endswith("p50") else 0.99
        low, high = _Histogram(one.baseline.latencies).interval(share, threshold)
        covered = check.state != "open" or (low > 0 and high / low - 1 < check.limit)
        yield msgspec.structs.replace(check, covered=covered)
