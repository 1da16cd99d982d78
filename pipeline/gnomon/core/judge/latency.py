"""Latency of one set of pairs as figures: quantiles, shifts, deltas."""

from __future__ import annotations

import math

import numpy as np

from gnomon.core.judge.evidence import Timings
from gnomon.core.judge.quantiles import hodges_lehmann, quantile_interval, shift_interval
from gnomon.summary import Delta, LatencyShift, Shift

__all__ = ["measure_latency"]


def measure_latency(timings: Timings, threshold: float) -> LatencyShift:
    """Measure one or more pairs; every end holds with probability 1 - exp(-threshold)."""
    deltas = timings.shadow - timings.live
    return LatencyShift(
        pairs=len(timings),
        p50=_shift(timings, 0.5, threshold),
        p90=_shift(timings, 0.9, threshold),
        p99=_shift(timings, 0.99, threshold),
        delta_p50=Delta(ms=float(np.quantile(deltas, 0.5)), interval=_ends(quantile_interval(deltas, 0.5, threshold))),
        delta_p90=Delta(ms=float(np.quantile(deltas, 0.9)), interval=_ends(quantile_interval(deltas, 0.9, threshold))),
        delta_p99=Delta(
            ms=float(np.quantile(deltas, 0.99)), interval=_ends(quantile_interval(deltas, 0.99, threshold))
        ),
        hodges_lehmann_ms=hodges_lehmann(deltas),
    )


def _shift(timings: Timings, share: float, threshold: float) -> Shift:
    live, shadow = float(np.quantile(timings.live, share)), float(np.quantile(timings.shadow, share))
    low, high = shift_interval(timings.live, timings.shadow, share, threshold)
    return Shift(
        live_ms=live,
        shadow_ms=shadow,
        shift=shadow / live - 1 if live > 0 else None,
        interval=_ends((low if low > -1 else -math.inf, high)),
    )


def _ends(interval: tuple[float, float]) -> tuple[float | None, float | None]:
    """Ends as JSON has them: None where there is none."""
    low, high = interval
    return low if math.isfinite(low) else None, high if math.isfinite(high) else None
