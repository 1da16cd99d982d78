"""Latencies: quantiles, and how far a quantile of the shadow is from live's, valid at any look.

A quantile is bounded by bounding the share of requests below it: the ranks that the share may have give the order
statistics it lies between (Howard and Ramdas 2022, section 3). Two quantiles of paired latencies are compared at
live's own quantile x: if the shadow's is no larger, the shadow exceeds x no more often than live does on the same
requests, and it exceeds x in no more requests than the share above the quantile. `betting` can refute either; the mean
of the two is evidence too. The first takes out what makes a request slow on both sides, the second needs fewer pairs
far out in the tail. x is not known, so the least evidence over all x that live's own bound allows counts (Berger and
Boos 1994, for p-values).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Final, Literal

import numpy as np

from gnomon.core.judge.betting import Array, log_evidence

__all__ = ["hodges_lehmann", "quantile_interval", "quantile_ranks", "shift_interval", "shift_state"]

_CELLS: Final = 96
# Of the error of one end: a fifth for where live's quantile is, four fifths for the comparison there.
_FOR_PLACE, _FOR_SHIFT = float(np.log(10)), float(np.log(1.25))
_FLOOR_MS: Final = 1e-3
_TIE: Final = 1e-9
_PRECISION: Final = 1e-4
_FARTHEST: Final = 16.0
_MAX_DELTAS: Final = 10_000
_HALVINGS: Final = 45


@lru_cache(maxsize=65_536)
def quantile_ranks(count: int, share: float, threshold: float) -> tuple[int, int]:
    """The least and the largest number of `count` values at or below their `share` quantile that are not refuted.

    Each of the two is wrong with probability exp(-threshold) at most, at any look.
    """
    low, high = 0, count + 1
    while low < high:  # the first count that is refuted as too many
        middle = (low + high) // 2
        if middle > count or log_evidence(middle, 0, count, share) >= threshold:
            high = middle
        else:
            low = middle + 1
    largest = low - 1
    low, high = 0, largest
    while low < high:  # the first count that is not refuted as too few
        middle = (low + high) // 2
        if log_evidence(0, middle, count, -share) >= threshold:
            low = middle + 1
        else:
            high = middle
    return low, largest


def quantile_interval(values: Array, share: float, threshold: float) -> tuple[float, float]:
    """Ends of the `share` quantile of `values` (any order); infinite where there are too few values for an end."""
    least, largest = quantile_ranks(len(values), share, threshold)
    ordered = np.sort(values)
    low = float(ordered[least - 1]) if least > 0 else -np.inf
    high = float(ordered[largest]) if largest < len(values) else np.inf
    return low, high


def shift_interval(live: Array, shadow: Array, share: float, threshold: float) -> tuple[float, float]:
    """Ends of the shadow's `share` quantile relative to live's, minus 1: 0.1 is a tenth slower.

    Each end is wrong with probability exp(-threshold) at most, at any look; -1 and infinity where there are too few
    pairs for an end. Latencies count as at least a microsecond.

    Args:
        live: Latencies in milliseconds.
        shadow: Those of the same requests, in the same order.
        share: Which quantile, between 0 and 1.
        threshold: Natural logarithm of the evidence that refutes.
    """
    has_low, has_high = _ends_within_reach(len(live), share, threshold)
    if not has_low and not has_high:
        return -1.0, np.inf
    profile = _Profile(_logarithms(live, 1), _logarithms(shadow, 2), share, threshold)
    start = profile.estimate()
    low = _last_refuted(profile.refutes_at_most, start, -1.0) if has_low else -np.inf
    high = _last_refuted(profile.refutes_at_least, start, 1.0) if has_high else np.inf
    return float(np.expm1(low)), float(np.expm1(high))


def shift_state(
    live: Array, shadow: Array, share: float, limit: float, threshold: float
) -> Literal["exceeded", "kept", "open"]:
    """What `shift_interval` says about a limit, for a tenth of its work. Arguments as there."""
    has_low, has_high = _ends_within_reach(len(live), share, threshold)
    if not has_low and not has_high:
        return "open"
    profile = _Profile(_logarithms(live, 1), _logarithms(shadow, 2), share, threshold)
    shift = math.log1p(limit)
    # The estimate lies between the two ends, so only the end on its side of the limit can say something.
    if profile.estimate() > shift:
        return "exceeded" if has_low and profile.refutes_at_most(shift) else "open"
    return "kept" if has_high and profile.refutes_at_least(shift) else "open"


@lru_cache(maxsize=65_536)
def _ends_within_reach(count: int, share: float, threshold: float) -> tuple[bool, bool]:
    """Whether so many pairs can have a lower and an upper end of their shift, however they turn out.

    In a cell without an edge below no request has only its shadow at or below it, and in one without an edge above none
    has only live there: of the two pieces of evidence one is left, and where it is for a share that is then 0, none.
    """
    if not count:
        return False, False
    least, largest = quantile_ranks(count, share, threshold + _FOR_PLACE)
    paired = float(log_evidence(count, 0, count))
    above = float(log_evidence(count, 0, count, 1 - share))
    below = float(log_evidence(0, 0, count, share - 1))
    wanted = threshold + _FOR_SHIFT

    def reached(one: float, other: float) -> bool:
        return float(np.logaddexp(one, other)) - math.log(2) >= wanted

    low = largest < count and reached(paired if least > 0 else 0.0, above)
    high = least > 0 and reached(paired if largest < count else 0.0, below)
    return low, high


def hodges_lehmann(deltas: Array) -> float:
    """The Hodges-Lehmann estimate of a shift: median of the means of all pairs of deltas (1963, section 4).

    Of more than 10,000 deltas, every so many-th is taken. Found by counting pairs below a value, in halvings.
    """
    ordered = np.sort(deltas[:: -(-len(deltas) // _MAX_DELTAS) or 1])
    count = len(ordered)
    wanted = (count * (count + 1) / 2 + 1) / 2
    low, high = float(ordered[0]), float(ordered[-1])
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        # Ordered pairs (i, j) of which the mean is at most `middle`; the diagonal is counted once in both halves.
        pairs = int(np.searchsorted(ordered, 2 * middle - ordered, side="right").sum())
        diagonal = int(np.searchsorted(ordered, middle, side="right"))
        if (pairs + diagonal) / 2 >= wanted:
            high = middle
        else:
            low = middle
    return high


def _logarithms(values: Array, seed: int) -> Array:
    """Logarithms with ties broken at random, so that the distribution is continuous as the test wants it."""
    ties = np.random.default_rng(seed).uniform(-_TIE, _TIE, len(values))
    return np.log(np.maximum(values, _FLOOR_MS)) + ties


class _Profile:
    """Least evidence over all places where live's quantile may be, for any shift of the shadow; all in logarithms.

    Places are covered by cells between live's order statistics; within a cell the counts are bounded by those at its
    edges, so the evidence is never overstated.
    """

    def __init__(self, live: Array, shadow: Array, share: float, threshold: float) -> None:
        self._count = len(live)
        self._above_share = 1 - share
        self._threshold = threshold + _FOR_SHIFT
        ordered = np.sort(live)
        least, largest = quantile_ranks(self._count, share, threshold + _FOR_PLACE)
        padded = np.concatenate(([-np.inf], ordered, [np.inf]))
        steps = min(_CELLS, largest + 1 - least) + 1
        self._edges = padded[np.unique(np.linspace(least, largest + 1, steps).round().astype(np.int64))]
        rank = min(int(share * self._count), self._count - 1)
        self._start = float(np.sort(shadow)[rank] - ordered[rank])
        # Only requests that live answers between the edges are placed one by one; of those below and above all edges
        # the shadow's latencies in order are enough.
        place = np.searchsorted(self._edges, live, side="left")
        last = len(self._edges)
        self._below = np.sort(shadow[place == 0])
        self._above = np.sort(shadow[place == last])
        between = (place > 0) & (place < last)
        self._live_place = place[between]
        self._between = shadow[between]

    def estimate(self) -> float:
        """The shift between the two quantiles as they are."""
        return self._start

    def refutes_at_most(self, shift: float) -> bool:
        """Whether the shadow's quantile is shown to be above live's by more than `shift`."""
        joint, live, shadow = self._joint(shift)
        # In cell j: at least `plus` requests have live <= x < shadow, at most `minus` have shadow <= x < live.
        both = joint[np.arange(len(live) - 1), np.arange(1, len(live))]
        paired = log_evidence(live[:-1] - both, shadow[1:] - both, self._count)
        alone = log_evidence(self._count - shadow[1:], 0, self._count, self._above_share)
        return self._refutes(paired, alone)

    def refutes_at_least(self, shift: float) -> bool:
        """Whether the shadow's quantile is shown to be above live's by less than `shift`."""
        joint, live, shadow = self._joint(shift)
        both = joint[np.arange(1, len(live)), np.arange(len(live) - 1)]
        paired = log_evidence(shadow[:-1] - both, live[1:] - both, self._count)
        alone = log_evidence(0, self._count - shadow[:-1], self._count, -self._above_share)
        return self._refutes(paired, alone)

    def _refutes(self, paired: Array, alone: Array) -> bool:
        """Whether the mean of both pieces of evidence is enough in every cell."""
        return bool(np.min(np.logaddexp(paired, alone)) - np.log(2) >= self._threshold)

    def _joint(self, shift: float) -> tuple[Array, Array, Array]:
        """How many requests have live at most edge i and the shifted shadow at most edge j; and each side's own."""
        edges = self._edges + shift
        size = len(edges) + 1
        at = np.searchsorted(edges, self._between, side="left")
        cells = np.bincount(self._live_place * size + at, minlength=size * size).reshape(size, size).astype(np.float64)
        for row, values in ((0, self._below), (size - 1, self._above)):
            upto = np.searchsorted(values, edges, side="right")
            cells[row] += np.diff(np.concatenate(([0], upto, [len(values)])))
        joint = cells.cumsum(axis=0).cumsum(axis=1)
        return joint[:-1, :-1], joint[:-1, -1], joint[-1, :-1]


def _last_refuted(refutes: Callable[[float], bool], start: float, direction: float) -> float:
    """The refuted shift that is nearest to the estimate on one side of it; infinite without one."""
    step = 10 * _PRECISION
    inside = start
    while not refutes(outside := start + direction * step):
        inside = outside
        step *= 2
        if step > _FARTHEST:
            return direction * np.inf
    while abs(outside - inside) > _PRECISION:
        middle = (outside + inside) / 2
        if refutes(middle):
            outside = middle
        else:
            inside = middle
    return outside
