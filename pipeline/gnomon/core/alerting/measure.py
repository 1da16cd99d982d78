"""The figures of an alert rule: one reading for each service and target, so that one broken build is one alert.

The endpoints that a rule's globs choose are looked at one by one and all together. What is above the limit is decided
by the lower end of an interval that holds at every look, with the error kept over everything that a reading looks at
(`gnomon.core.judge`). It holds for one window; a window that slides is another one after its length.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from fnmatch import translate
from functools import cache
from typing import Final, TypeAlias

import msgspec
import numpy as np

from gnomon.core.judge import (
    EndpointEvidence,
    Evidence,
    FieldEvidence,
    Tally,
    Timings,
    log_evidence,
    log_threshold,
    shift_interval,
)
from gnomon.core.judge.betting import lower_end, upper_end

__all__ = ["MOST_PATTERNS", "MOST_REQUESTS", "Criterion", "Figures", "Reading", "measure"]

MOST_PATTERNS: Final = 10
MOST_REQUESTS: Final = 10
MOST_ENDPOINTS: Final = 5

_SHARES: Final = {"latency_shift_p50": 0.5, "latency_shift_p90": 0.9, "latency_shift_p99": 0.99}
_WHOLE: Final = frozenset({"reject_rate", "synthetic_leaks"})
"""Metrics of everything together: a record that cannot be read has no service."""


class Criterion(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule asks: its metric, its limit, and the globs of what it is about."""

    metric: str
    above: float
    service: str = "*"
    endpoint: str = "*"
    target: str = "*"
    min_pairs: int = 1
    confidence: float = 0.95


class Figures(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What was seen in one window.

    `missing` has, for each (service, endpoint, target), the requests that no shadow answered, of those that one should
    have. `rejects` counts records that could not be read, of all that landed; `leaks` counts synthetic records that
    were found on clean topics.
    """

    evidence: Evidence
    missing: dict[tuple[str, str, str], Tally] = {}
    rejects: Tally = Tally()
    leaks: int = 0


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """One rule's figure for one service and target.

    `endpoint` is the worst one, or the rule's glob where all together are worse. `interval` ends are None where there
    are too few pairs for an end. `pairs` are what the figure was made of. `broken` names the endpoints above the limit,
    the worst first.
    """

    service: str
    target: str
    endpoint: str
    exceeded: bool
    value: float | None
    interval: tuple[float | None, float | None]
    pairs: int
    broken: list[str] = []
    patterns: list[str] = []
    request_ids: list[str] = []


class _Unit(msgspec.Struct, frozen=True, eq=False):
    """One endpoint, or all of them as a whole: what is measured there."""

    endpoint: str
    tally: Tally
    timings: Timings
    request_ids: list[str]
    whole: bool = False


def measure(criterion: Criterion, figures: Figures) -> list[Reading]:
    """Give the readings of a rule, by service and target; none where nothing it is about was seen."""
    if criterion.metric == "synthetic_leaks":
        count = figures.leaks
        return [
            Reading(
                service="",
                target="",
                endpoint="",
                exceeded=count > criterion.above,
                value=float(count),
                interval=(float(count), float(count)),
                pairs=count,
            )
        ]
    if criterion.metric == "reject_rate":
        unit = _Unit("", figures.rejects, Timings.none(), [], whole=True)
        return [_read(criterion, ("", ""), [unit], [])]
    groups: dict[tuple[str, str], list[EndpointEvidence]] = defaultdict(list)
    chosen = (_glob(criterion.service), _glob(criterion.endpoint), _glob(criterion.target))
    for endpoint in figures.evidence.endpoints:
        names = (endpoint.service, endpoint.endpoint, endpoint.target)
        if all(glob.fullmatch(name) for glob, name in zip(chosen, names, strict=True)):
            groups[endpoint.service, endpoint.target].append(endpoint)
    return [_read_group(criterion, figures, key, groups[key]) for key in sorted(groups)]


def _read_group(
    criterion: Criterion, figures: Figures, key: tuple[str, str], endpoints: Sequence[EndpointEvidence]
) -> Reading:
    unit = _units(criterion.metric, figures)
    units = sorted((unit(endpoint) for endpoint in endpoints), key=lambda one: one.endpoint)
    names = {one.endpoint for one in units}
    fields = [
        field for field in figures.evidence.fields if (field.service, field.target) == key and field.endpoint in names
    ]
    if len(units) > 1:
        units.insert(0, _pool(criterion.endpoint, units))
    return _read(criterion, key, units, fields if criterion.metric == "divergence_rate" else [])


def _units(metric: str, figures: Figures) -> Callable[[EndpointEvidence], _Unit]:
    """Say what of an endpoint a metric is about."""

    def unit(endpoint: EndpointEvidence) -> _Unit:
        if metric == "divergence_rate":
            return _Unit(endpoint.endpoint, endpoint.divergence, Timings.none(), endpoint.diverging)
        if metric == "error_rate_increase":
            return _Unit(endpoint.endpoint, endpoint.errors, Timings.none(), endpoint.failing)
        if metric == "missing_rate":
            place = (endpoint.service, endpoint.endpoint, endpoint.target)
            return _Unit(endpoint.endpoint, figures.missing.get(place, Tally()), Timings.none(), endpoint.diverging)
        count = len(endpoint.timings)
        return _Unit(endpoint.endpoint, Tally(0, 0, count), endpoint.timings, endpoint.slowest)

    return unit


def _pool(name: str, units: Sequence[_Unit]) -> _Unit:
    return _Unit(
        name,
        sum((unit.tally for unit in units), Tally()),
        Timings(
            np.concatenate([unit.timings.live for unit in units]),
            np.concatenate([unit.timings.shadow for unit in units]),
        ),
        [],
        whole=True,
    )


def _read(
    criterion: Criterion, key: tuple[str, str], units: Sequence[_Unit], fields: Sequence[FieldEvidence]
) -> Reading:
    able = [unit for unit in units if unit.tally.total >= criterion.min_pairs]
    share = _SHARES.get(criterion.metric)
    totals = np.array([unit.tally.total for unit in able or units[:1]], dtype=np.float64)
    # The most that each could show, however its requests turn out: what can prove nothing costs nothing.
    limit = 0.0 if share is not None else min(criterion.above, 1 - 1e-9)
    threshold = log_threshold(log_evidence(totals, 0, totals, limit), criterion.confidence)
    seen = [(unit, _value(unit, share)) for unit in able or units[:1]]
    # Where the figure itself is not above the limit its lower end is not either, so its interval need not be known.
    wanted = [seen[0], *(row for row in seen[1:] if row[1] is not None and row[1] > criterion.above)]
    intervals = _intervals([unit for unit, _ in wanted], share, threshold)
    measured = [(unit, value, ends) for (unit, value), ends in zip(wanted, intervals, strict=True)]
    above = sorted((row for row in measured if able and _low(row) > criterion.above), key=lambda row: -_low(row))
    worst = above[0] if above else measured[0]
    broken = [unit for unit, _, _ in above]
    shown = _most_frequent(fields, {unit.endpoint for unit in broken} if broken and not broken[0].whole else None)
    ids = [unit.request_ids for unit in broken] + [field.request_ids for field in shown]
    ids += [unit.request_ids for unit in able]
    unit, value, interval = worst
    if criterion.metric == "divergence_rate":  # net of the control, and as everywhere never below 0
        value, interval = _above_0(value), (_above_0(interval[0]), _above_0(interval[1]))
    return Reading(
        service=key[0],
        target=key[1],
        endpoint=unit.endpoint,
        exceeded=bool(above),
        value=value,
        interval=interval,
        pairs=unit.tally.total,
        broken=[unit.endpoint for unit in broken if not unit.whole][:MOST_ENDPOINTS],
        patterns=list(dict.fromkeys(field.pattern for field in shown))[:MOST_PATTERNS],
        request_ids=_turn_by_turn(ids)[:MOST_REQUESTS],
    )


_Ends: TypeAlias = tuple[float | None, float | None]
_Measured: TypeAlias = tuple[_Unit, float | None, _Ends]


def _above_0(figure: float | None) -> float | None:
    return None if figure is None else max(figure, 0.0)


def _low(row: _Measured) -> float:
    """Give the lower end that is compared with the limit; below every limit where there is none."""
    low = row[2][0]
    return -1.0 if low is None else low


def _value(unit: _Unit, share: float | None) -> float | None:
    """Give the figure itself; None without requests."""
    if share is None:
        return unit.tally.mean
    if not len(unit.timings):
        return None
    live, shadow = (float(np.quantile(side, share)) for side in (unit.timings.live, unit.timings.shadow))
    return shadow / live - 1 if live > 0 else None


def _intervals(units: Sequence[_Unit], share: float | None, threshold: float) -> list[_Ends]:
    """Give the ends of the figures' intervals, None where there are too few requests for an end."""
    if share is not None:
        found = [shift_interval(unit.timings.live, unit.timings.shadow, share, threshold) for unit in units]
        return [(low if low > -1 else None, high if np.isfinite(high) else None) for low, high in found]
    plus, minus, total = np.array([(u.tally.plus, u.tally.minus, u.tally.total) for u in units], dtype=np.float64).T
    low, high = lower_end(plus, minus, total, threshold), upper_end(plus, minus, total, threshold)
    return [
        (float(least), float(most)) if unit.tally.total else (None, None)
        for unit, least, most in zip(units, low, high, strict=True)
    ]


def _most_frequent(fields: Sequence[FieldEvidence], endpoints: set[str] | None) -> list[FieldEvidence]:
    """Give the fields that differ most often, net of the control; only of some endpoints where these are named."""
    chosen = [field for field in fields if endpoints is None or field.endpoint in endpoints]
    chosen = [field for field in chosen if field.tally.plus > field.tally.minus]
    return sorted(chosen, key=lambda f: (f.tally.minus - f.tally.plus, f.endpoint, f.pattern, f.kind))[
        : 2 * MOST_PATTERNS
    ]


def _turn_by_turn(lists: Iterable[Sequence[str]]) -> list[str]:
    """Give the first of each list, then the second of each, none twice."""
    rows = [list(one) for one in lists]
    longest = max(map(len, rows), default=0)
    return list(dict.fromkeys(row[place] for place in range(longest) for row in rows if place < len(row)))


@cache
def _glob(pattern: str) -> re.Pattern[str]:
    """Compile a glob: only `*` and `?` are special, names may hold `{id}` and `[`."""
    return re.compile(translate(pattern.replace("[", "[[]")))
