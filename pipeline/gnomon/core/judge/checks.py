"""Every figure of a verdict beside its limit.

What is held to limits is a unit: all endpoints of one service and target together, or one of them. All units of a
verdict are looked at side by side, since there may be thousands.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, islice
from typing import Final, Literal, TypeAlias

import msgspec
import numpy as np

from gnomon.core.judge.betting import Array, Tally, log_evidence, lower_end, upper_end
from gnomon.core.judge.evidence import EndpointEvidence, FieldEvidence, Limits, Timings
from gnomon.core.judge.family import log_threshold
from gnomon.core.judge.latency import measure_latency
from gnomon.core.judge.quantiles import shift_state
from gnomon.model import DifferenceKind
from gnomon.summary import LatencyShift

__all__ = [
    "EXAMPLES",
    "Check",
    "Ends",
    "Unit",
    "UnitLatency",
    "evidence_threshold",
    "make_checks",
    "measure_units",
    "units_of",
]

EXAMPLES: Final = 5
MOST_MEASURED: Final = 100
"""Units whose latency is measured in full; of more, those that matter most."""

Ends: TypeAlias = tuple[float | None, float | None]
_State: TypeAlias = Literal["exceeded", "kept", "open"]


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One figure beside its limit; `endpoint` is None for all of a service and target together.

    `covered` says whether there are enough pairs that a flawless shadow would be seen to keep the limit: an endpoint
    without them can fail, but does not hold up a pass. `note` says more of a field than its kind.
    """

    code: str
    service: str = ""
    target: str = ""
    endpoint: str | None = None
    pattern: str | None = None
    kind: DifferenceKind | None = None
    limit: float
    rate: float | None
    interval: Ends
    covered: bool = True
    request_ids: list[str] = []
    note: str = ""

    @property
    def state(self) -> _State:
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


class Unit(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What is held to limits: an endpoint, or all of a service and target together (`endpoint` is None)."""

    service: str
    target: str
    endpoint: str | None
    divergence: Tally
    errors: Tally
    timings: Timings
    diverging: list[str]
    failing: list[str]
    slowest: list[str]

    @property
    def key(self) -> tuple[str, str]:
        """The service and the target."""
        return self.service, self.target


def units_of(endpoints: Sequence[EndpointEvidence]) -> list[Unit]:
    """Give the unit of one service and target, then those of its endpoints, in the order given."""
    single = [
        Unit(
            service=one.service,
            target=one.target,
            endpoint=one.endpoint,
            divergence=one.divergence,
            errors=one.errors,
            timings=one.timings,
            diverging=one.diverging,
            failing=one.failing,
            slowest=one.slowest,
        )
        for one in endpoints
    ]
    whole = Unit(
        service=endpoints[0].service,
        target=endpoints[0].target,
        endpoint=None,
        divergence=sum((one.divergence for one in single), Tally()),
        errors=sum((one.errors for one in single), Tally()),
        timings=single[0].timings
        if len(single) == 1
        else Timings(
            np.concatenate([one.timings.live for one in single]), np.concatenate([one.timings.shadow for one in single])
        ),
        diverging=_examples(one.diverging for one in single),
        failing=_examples(one.failing for one in single),
        slowest=_examples(one.slowest for one in single),
    )
    return [whole, *single]


def _examples(lists: Iterable[Sequence[str]]) -> list[str]:
    return list(islice(chain.from_iterable(lists), EXAMPLES))


def evidence_threshold(units: Sequence[Unit], fields: Sequence[FieldEvidence], limits: Limits) -> float:
    """How much log evidence refutes, with the error kept over every limit and every field that can be tested."""
    total = np.array([unit.divergence.total for unit in units], dtype=np.float64)
    is_whole = np.array([unit.endpoint is None for unit in units], dtype=bool)
    pairs = np.array([unit.errors.total for unit in units if unit.endpoint is None], dtype=np.float64)
    timed = np.array([len(unit.timings) for unit in units], dtype=np.float64)
    limit = np.where(is_whole, limits.max_divergence, limits.max_endpoint_divergence)
    # How many requests could score +1 at each field, given how often the sides disagree.
    tallies = [(field.tally, field.controlled) for field in fields]
    plus = [t.plus + t.minus if controlled else t.total for t, controlled in tallies]
    attainable = [
        log_evidence(total, 0, total, limit),
        log_evidence(pairs, 0, pairs, limits.max_error_increase),
        np.repeat(log_evidence(timed, 0, timed), 2),
        log_evidence(plus, 0, [t.total for t, _ in tallies], limits.min_effect),
    ]
    if np.sum(is_whole) > 1:  # the rate of all together, which is shown beside
        together = float(np.sum(total[is_whole]))
        attainable.append(log_evidence([together], 0, [together], limits.max_divergence))
    return log_threshold(np.concatenate(attainable), limits.confidence)


def make_checks(
    units: Sequence[Unit],
    latencies: Sequence[UnitLatency | None],
    limits: Limits,
    threshold: float,
    pulse: Callable[[], object] = lambda: None,
) -> list[list[Check]]:
    """Give the checks of each unit; the first is that of its divergence rate.

    Args:
        units: What is held to limits.
        latencies: What `measure_units` gave.
        limits: What is allowed.
        threshold: Natural logarithm of the evidence that refutes.
        pulse: Called now and then.
    """
    rates = _divergences(units, limits, threshold)
    errors = iter(_errors([unit for unit in units if unit.endpoint is None], limits, threshold))
    checks = []
    for unit, rate, latency in zip(units, rates, latencies, strict=True):
        pulse()
        own = [rate] if unit.endpoint is not None else [rate, next(errors)]
        checks.append(own if latency is None else [*own, *_shifts(unit, latency, limits, threshold)])
    return checks


def _divergences(units: Sequence[Unit], limits: Limits, threshold: float) -> list[Check]:
    """Divergence rates: net of the control, and never below 0."""
    plus, minus, total = _counts([unit.divergence for unit in units])
    low, high = lower_end(plus, minus, total, threshold), upper_end(plus, minus, total, threshold)
    flawless = upper_end(0, 0, total, threshold)
    covered = (flawless < limits.max_endpoint_divergence) | (total >= limits.min_pairs)
    return [
        Check(
            code="max_divergence" if unit.endpoint is None else "max_endpoint_divergence",
            service=unit.service,
            target=unit.target,
            endpoint=unit.endpoint,
            limit=limits.max_divergence if unit.endpoint is None else limits.max_endpoint_divergence,
            rate=None if unit.divergence.mean is None else max(unit.divergence.mean, 0.0),
            interval=(max(float(low[at]), 0.0), max(float(high[at]), 0.0)),
            covered=unit.endpoint is None or bool(covered[at]),
            request_ids=unit.diverging[:EXAMPLES],
        )
        for at, unit in enumerate(units)
    ]


def _errors(wholes: Sequence[Unit], limits: Limits, threshold: float) -> list[Check]:
    counts = _counts([unit.errors for unit in wholes])
    low, high = lower_end(*counts, threshold), upper_end(*counts, threshold)
    return [
        Check(
            code="max_error_increase",
            service=unit.service,
            target=unit.target,
            limit=limits.max_error_increase,
            rate=unit.errors.mean,
            interval=(float(low[at]), float(high[at])),
            request_ids=unit.failing[:EXAMPLES],
        )
        for at, unit in enumerate(wholes)
    ]


def _counts(tallies: Sequence[Tally]) -> tuple[Array, Array, Array]:
    table = np.array([(t.plus, t.minus, t.total) for t in tallies], dtype=np.float64).reshape(-1, 3)
    return table[:, 0], table[:, 1], table[:, 2]


class UnitLatency(msgspec.Struct, frozen=True, eq=False):
    """The latency of a unit: in full, or where there are too many of them what is known about the limits."""

    shift: LatencyShift | None
    states: Sequence[_State]


def measure_units(
    units: Sequence[Unit], limits: Limits, threshold: float, pulse: Callable[[], object] = lambda: None
) -> list[UnitLatency | None]:
    """Measure the latency of units; None where there are no timings. `pulse` is called now and then.

    Of more than `MOST_MEASURED` those are measured in full that exceed a limit, then all of a service and target, then
    those whose median is shifted most.
    """
    timed = [at for at, unit in enumerate(units) if len(unit.timings)]
    many = len(timed) > MOST_MEASURED
    states: dict[int, Sequence[_State]] = dict.fromkeys(timed, ())
    if many:
        for at in timed:
            pulse()
            states[at] = _states(units[at], limits, threshold)
    chosen = sorted(timed, key=lambda at: _importance(units[at], states[at]))[:MOST_MEASURED] if many else timed
    shifts: dict[int, LatencyShift] = {}
    for at in sorted(chosen):
        pulse()
        same = at - 1 in shifts and units[at].timings is units[at - 1].timings
        shifts[at] = shifts[at - 1] if same else measure_latency(units[at].timings, threshold)
    return [UnitLatency(shifts.get(at), states[at]) if at in states else None for at in range(len(units))]


def _importance(unit: Unit, states: Sequence[_State]) -> tuple[object, ...]:
    live, shadow = np.median(unit.timings.live), np.median(unit.timings.shadow)
    silent = all(state == "open" for state in states)
    return "exceeded" not in states, unit.endpoint is not None, silent, -shadow / max(live, 1e-9)


def _states(unit: Unit, limits: Limits, threshold: float) -> list[_State]:
    """Give what is known about each limit of a quantile."""
    timings = unit.timings
    return [
        shift_state(timings.live, timings.shadow, share, limit, threshold) for _, share, limit in _limits_of(limits)
    ]


def _limits_of(limits: Limits) -> tuple[tuple[str, float, float], ...]:
    return ("p50", 0.5, limits.max_p50_shift), ("p99", 0.99, limits.max_p99_shift)


def _shifts(unit: Unit, latency: UnitLatency, limits: Limits, threshold: float) -> list[Check]:
    measured: Sequence[tuple[float | None, Ends]]
    if latency.shift is not None:
        measured = [(one.shift, one.interval) for one in (latency.shift.p50, latency.shift.p99)]
    else:
        measured = [
            (_shift(unit.timings, share), _known(limit, state))
            for (_, share, limit), state in zip(_limits_of(limits), latency.states, strict=True)
        ]
    checks = []
    for (name, share, limit), (rate, interval) in zip(_limits_of(limits), measured, strict=True):
        check = Check(
            code=f"max_latency_shift.{name}",
            service=unit.service,
            target=unit.target,
            endpoint=unit.endpoint,
            limit=limit,
            rate=rate,
            interval=interval,
            request_ids=unit.slowest[:EXAMPLES],
        )
        if unit.endpoint is not None and check.state == "open" and not _steady(unit.timings, share, limit, threshold):
            check = msgspec.structs.replace(check, covered=False)
        checks.append(check)
    return checks


def _shift(timings: Timings, share: float) -> float | None:
    live, shadow = float(np.quantile(timings.live, share)), float(np.quantile(timings.shadow, share))
    return shadow / live - 1 if live > 0 else None


def _known(limit: float, state: _State) -> Ends:
    """Give the ends of an interval of which no more is known than on which side of a limit it is."""
    if state == "exceeded":
        return math.nextafter(limit, math.inf), None
    return (None, math.nextafter(limit, -math.inf)) if state == "kept" else (None, None)


def _steady(timings: Timings, share: float, limit: float, threshold: float) -> bool:
    """Whether as many other answers of live itself, paired at random, would be seen to keep the limit."""
    others = np.random.default_rng(0).permutation(timings.live)
    return shift_state(timings.live, others, share, limit, threshold) == "kept"
