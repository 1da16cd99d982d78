"""The verdict: fail when a lower end is above its limit, pass when all upper ends are below, else undecided.

Each service and target is judged on its own, and the worst of them is the verdict. All lower ends hold together with
the confidence asked for, over all of them, and so do all upper ends.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Final, Literal, TypeAlias

import msgspec

from gnomon.core.judge.betting import Tally, mean_interval
from gnomon.core.judge.checks import Check, Unit, evidence_threshold, make_checks, measure_units, units_of
from gnomon.core.judge.evidence import EndpointEvidence, Evidence, Limits
from gnomon.core.judge.fields import field_checks
from gnomon.summary import EndpointLatency, LatencyShift, ServiceVerdict, Verdict, VerdictLatency, VerdictReason

__all__ = ["Coverage", "Judgement", "Part", "conclude", "give_verdict", "together"]

MOST_REASONS: Final = 200
MOST_ENDPOINTS: Final = 100
MOST_SERVICES: Final = 100

Word: TypeAlias = Literal["pass", "fail", "undecided"]
_WORST_FIRST: Final[tuple[Word, ...]] = ("fail", "undecided", "pass")


class Coverage(msgspec.Struct, frozen=True, kw_only=True):
    """How many endpoints have enough pairs to be judged on their own, and the share of all judged pairs they have."""

    endpoints: int
    covered: int
    share_of_pairs: float | None


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen of one service and target.

    `judged` counts what must be as many as `min_pairs`, and `rate` is the check whose rate is the verdict's, None
    without one. `latencies` are those of endpoints. `lacking` is what a pass lacks beside checks.
    """

    service: str
    target: str
    pairs: int
    judged: int
    rate: Check | None
    overall: LatencyShift | None
    latencies: list[EndpointLatency]
    checks: list[Check]
    coverage: Coverage
    lacking: list[VerdictReason] = []


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on one service and target, and why; `needed` is how many pairs a verdict takes."""

    seen: Seen
    verdict: Word
    reasons: list[VerdictReason]
    needed: int

    @property
    def enough(self) -> int:
        """How many pairs count towards those that a verdict takes."""
        return min(self.seen.pairs, self.seen.judged)

    @property
    def is_short(self) -> bool:
        """Whether there are too few pairs for a verdict, and it is not a dead shadow's, which takes none."""
        return self.verdict == "undecided" and self.enough < self.needed

    @property
    def uncovered(self) -> list[str]:
        """Endpoints that were seen with too few pairs to be judged on their own."""
        return [check.endpoint or "" for check in _own(self.seen.checks) if not check.covered]


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict, and what is judged of each service and target, the worst first."""

    verdict: Verdict
    parts: list[Part]

    @property
    def checks(self) -> list[Check]:
        """The checks of all."""
        return [check for part in self.parts for check in part.seen.checks]

    @property
    def coverage(self) -> Coverage:
        """That of all endpoints."""
        own = [(part.seen.coverage, part.seen.judged) for part in self.parts]
        total = sum(judged for _, judged in own)
        return Coverage(
            endpoints=sum(one.endpoints for one, _ in own),
            covered=sum(one.covered for one, _ in own),
            share_of_pairs=sum((one.share_of_pairs or 0.0) * judged for one, judged in own) / total if total else None,
        )


def give_verdict(evidence: Evidence, limits: Limits, pulse: Callable[[], object] = lambda: None) -> Judgement:
    """Judge what was seen; evidence in another order gives the same verdict.

    `pulse` is called now and then, some milliseconds of work apart; what it raises ends the judging.
    """
    groups: dict[tuple[str, str], list[EndpointEvidence]] = defaultdict(list)
    for endpoint in sorted(evidence.endpoints, key=lambda e: (e.service, e.target, e.endpoint)):
        groups[endpoint.service, endpoint.target].append(endpoint)
    units = [unit for endpoints in groups.values() for unit in units_of(endpoints)]
    threshold = evidence_threshold(units, evidence.fields, limits)
    latencies = measure_units(units, limits, threshold, pulse)
    checks: dict[tuple[str, str], list[Check]] = defaultdict(list)
    shifts: dict[tuple[str, str], list[tuple[Unit, LatencyShift | None]]] = defaultdict(list)
    for unit, latency, own in zip(
        units, latencies, make_checks(units, latencies, limits, threshold, pulse), strict=True
    ):
        checks[unit.key] += own
        shifts[unit.key].append((unit, latency.shift if latency else None))
    judged = {key: sum(e.divergence.total for e in endpoints) for key, endpoints in groups.items()}
    for check in field_checks(evidence.fields, judged, limits, threshold):
        checks[check.service, check.target].append(check)
    parts = [_part(endpoints, checks[key], shifts[key], limits) for key, endpoints in groups.items()]
    total = sum((unit.divergence for unit in units if unit.endpoint is None), Tally())
    rate = None if total.mean is None else max(total.mean, 0.0)
    return together(parts, rate, None if rate is None else _above_0(mean_interval(total, threshold)))


def _above_0(ends: tuple[float, float]) -> tuple[float, float]:
    return max(ends[0], 0.0), max(ends[1], 0.0)


def _part(
    endpoints: Sequence[EndpointEvidence],
    checks: list[Check],
    shifts: Sequence[tuple[Unit, LatencyShift | None]],
    limits: Limits,
) -> Part:
    """Judge one service and target; the first check and the first shift are those of all its endpoints together."""
    judged = sum(endpoint.judged for endpoint in endpoints)
    (whole, overall), *single = shifts
    seen = Seen(
        service=whole.service,
        target=whole.target,
        pairs=sum(endpoint.pairs for endpoint in endpoints),
        judged=judged,
        rate=checks[0] if judged else None,
        overall=overall,
        latencies=[
            EndpointLatency(service=unit.service, endpoint=unit.endpoint or "", target=unit.target, shift=shift)
            for unit, shift in single
            if shift is not None
        ],
        checks=checks,
        coverage=_coverage(checks, endpoints),
        lacking=_unheard(endpoints, checks, limits),
    )
    return conclude(seen, limits)


def conclude(seen: Seen, limits: Limits) -> Part:
    """Give the verdict that follows from checks; without enough pairs there is none, whatever they say.

    Of how often a shadow diverges a missing answer says as much as one that is there: for that limit the judged
    requests count. A shadow that is dead fails, though it has no pairs.
    """
    decision: Word = "undecided"
    checks, short = seen.checks, []
    if min(seen.pairs, seen.judged) >= limits.min_pairs:
        decision = _decide(checks)
        if seen.lacking and decision == "pass":
            decision = "undecided"
    elif seen.judged >= limits.min_pairs and _decide(divergence := list(filter(_is_divergence, checks))) == "fail":
        decision, checks = "fail", divergence
    else:
        short = [VerdictReason(code="min_pairs", service=seen.service, target=seen.target)]
    return Part(
        seen=seen,
        verdict=decision,
        reasons=[*short, *seen.lacking, *_reasons(checks, decision)],
        needed=limits.min_pairs,
    )


def together(parts: Sequence[Part], rate: float | None, interval: tuple[float, float] | None) -> Judgement:
    """Give the worst verdict of several services and targets as that of all.

    Args:
        parts: What is judged of each; without any, there are too few pairs.
        rate: The divergence rate of all together.
        interval: Its interval.
    """
    parts = sorted(parts, key=_badness)
    latencies = [latency for part in parts for latency in part.seen.latencies]
    reasons = [reason for part in parts for reason in part.reasons] if parts else [VerdictReason(code="min_pairs")]
    return Judgement(
        verdict=Verdict(
            verdict=parts[0].verdict if parts else "undecided",
            pairs=sum(part.seen.pairs for part in parts),
            divergence_rate=rate,
            interval=interval,
            latency=VerdictLatency(
                overall=parts[0].seen.overall if parts else None,
                endpoints=sorted(latencies, key=_shift_of, reverse=True)[:MOST_ENDPOINTS],
            ),
            reasons=reasons[:MOST_REASONS],
            services=[_said(part) for part in parts[:MOST_SERVICES]],
        ),
        parts=parts,
    )


def _badness(part: Part) -> tuple[object, ...]:
    excess = max((check.excess for check in part.seen.checks if check.state == "exceeded"), default=0.0)
    return _WORST_FIRST.index(part.verdict), -excess, part.seen.service, part.seen.target


def _said(part: Part) -> ServiceVerdict:
    rate = part.seen.rate
    low, high = (None, None) if rate is None else rate.interval
    return ServiceVerdict(
        service=part.seen.service,
        target=part.seen.target,
        verdict=part.verdict,
        pairs=part.seen.pairs,
        divergence_rate=None if rate is None else rate.rate,
        interval=(low, high) if low is not None and high is not None else None,
        latency=part.seen.overall,
    )


def _is_divergence(check: Check) -> bool:
    return check.code in ("max_divergence", "max_endpoint_divergence")


def _decide(checks: Sequence[Check]) -> Word:
    if any(check.state == "exceeded" for check in checks):
        return "fail"
    return "undecided" if any(check.state == "open" and check.covered for check in checks) else "pass"


def _reasons(checks: Sequence[Check], decision: Word) -> list[VerdictReason]:
    """What exceeds its limit, then fields that diverge within theirs, then what holds up a verdict; the worst first."""
    exceeded = [check for check in checks if check.state == "exceeded"]
    fields = [check for check in checks if check.state == "kept" and check.pattern is not None]
    undecided = [c for c in checks if decision == "undecided" and c.state == "open" and c.covered]
    before = "" if decision == "fail" else "undecided_"
    return [
        *(_reason(check, f"{before}{check.code}") for check in _worst_first(exceeded)),
        *(_reason(check, check.code) for check in fields),
        *(_reason(check, f"undecided_{check.code}") for check in _worst_first(undecided)),
    ]


def _own(checks: Sequence[Check]) -> list[Check]:
    """The checks of the divergence rates of single endpoints, in their order."""
    return [check for check in checks if check.code == "max_endpoint_divergence" and check.pattern is None]


def _unheard(endpoints: Sequence[EndpointEvidence], checks: Sequence[Check], limits: Limits) -> list[VerdictReason]:
    """Name the endpoints whose control did not answer enough: what it did not see is judged by nobody.

    Endpoints with so few requests that they hold up nothing are left out.
    """
    found = []
    for endpoint, check in zip(endpoints, _own(checks), strict=True):
        share = endpoint.divergence.total / endpoint.judged if endpoint.judged else 1.0
        if share < limits.min_control and (check.covered or endpoint.judged >= limits.min_pairs):
            found.append(
                VerdictReason(
                    code="control_coverage",
                    service=endpoint.service,
                    target=endpoint.target,
                    endpoint=endpoint.endpoint,
                    rate=share,
                )
            )
    return sorted(found, key=lambda reason: reason.rate or 0.0)


def _worst_first(checks: Sequence[Check]) -> list[Check]:
    return sorted(checks, key=lambda check: -check.excess)


def _reason(check: Check, code: str) -> VerdictReason:
    return VerdictReason(
        code=code,
        service=check.service,
        target=check.target,
        endpoint=check.endpoint,
        pattern=check.pattern,
        kind=check.kind,
        rate=check.rate,
        interval=check.interval,
        request_ids=check.request_ids,
        message=check.note or msgspec.UNSET,
    )


def _shift_of(latency: EndpointLatency) -> float:
    lows = [shift.interval[0] for shift in (latency.shift.p50, latency.shift.p99) if shift.interval[0] is not None]
    return max(lows, default=-1.0)


def _coverage(checks: Sequence[Check], endpoints: Sequence[EndpointEvidence]) -> Coverage:
    own = _own(checks)
    counts = sum(endpoint.judged for endpoint in endpoints)
    covered = sum(e.divergence.total for check, e in zip(own, endpoints, strict=True) if check.covered)
    return Coverage(
        endpoints=len(own),
        covered=sum(check.covered for check in own),
        share_of_pairs=covered / counts if counts else None,
    )
