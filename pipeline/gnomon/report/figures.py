"""Geometry of the drawings: shares to places on a line. Units are those of the SVG's viewBox."""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec

from gnomon.model import OUTCOMES, Outcome
from gnomon.summary import OutcomeCounts

__all__ = ["Interval", "Segment", "interval", "outcome_segments", "scale_top", "ticks"]

WIDTH = 1000.0
"""Width of the outcome bar's viewBox."""

THINNEST = 8.0
"""An outcome that occurred is always seen, however rare it is."""

STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Ends of a scale of shares that a reader can divide by eye."""

TICKS = (0.01, 0.1, 0.5)


class Segment(msgspec.Struct, frozen=True):
    """One outcome in the bar of outcomes."""

    outcome: Outcome
    count: int
    share: float
    x: float
    width: float


class Interval(msgspec.Struct, frozen=True):
    """An interval with its rate, and the control's rate where there is one, on a line of 0 to 100."""

    x: float
    width: float
    at: float
    control: float | None = None


def outcome_segments(counts: OutcomeCounts) -> list[Segment]:
    """Lay the outcomes that occurred on one line, in the order of the model; none is thinner than `THINNEST`."""
    occurred = [(outcome, int(getattr(counts, outcome))) for outcome in OUTCOMES if getattr(counts, outcome)]
    total = sum(number for _, number in occurred)
    widths = [max(number / total * WIDTH, THINNEST) for _, number in occurred]
    stretch = WIDTH / sum(widths) if widths else 1.0
    segments, x = [], 0.0
    for (outcome, number), width in zip(occurred, widths, strict=True):
        segments.append(Segment(outcome, number, number / total, round(x, 2), round(width * stretch, 2)))
        x += width * stretch
    return segments


def scale_top(highest: Iterable[float | None]) -> float:
    """Choose where the scale of a column of intervals ends: the first round share that holds them all."""
    top = max((share for share in highest if share is not None), default=0.0)
    return next((step for step in STEPS if step >= top), 1.0)


def interval(
    rate: float | None, low: float | None, high: float | None, top: float, control: float | None = None
) -> Interval | None:
    """Place an interval on a scale that ends at `top`; None where there is no rate."""
    if rate is None:
        return None
    start = _place(rate if low is None else low, top)
    end = _place(rate if high is None else high, top)
    return Interval(
        x=start,
        width=round(max(end - start, 0.6), 2),
        at=_place(rate, top),
        control=None if control is None else _place(control, top),
    )


def ticks(top: float) -> list[float]:
    """Place the marks of 1%, 10% and 50% that lie inside a scale."""
    return [_place(share, top) for share in TICKS if share < top]


def _place(share: float, top: float) -> float:
    """Place a share on a square-root scale: 1% is told from 0% even where another row is at 100%."""
    return round(math.sqrt(min(max(share / top, 0.0), 1.0)) * 100, 2)
