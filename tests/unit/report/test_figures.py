"""Geometry of the drawings."""

from __future__ import annotations

import pytest

from gnomon.report.figures import WIDTH, interval, outcome_segments, scale_top, ticks
from gnomon.summary import OutcomeCounts


def test_outcomes_fill_the_bar_in_order() -> None:
    """Segments follow each other without a gap, in the order of the model, and end where the bar ends."""
    segments = outcome_segments(OutcomeCounts(match=50, diff=30, incomparable=20))
    assert [segment.outcome for segment in segments] == ["match", "diff", "incomparable"]
    assert [segment.x for segment in segments] == [0, 500, 800]
    assert segments[-1].x + segments[-1].width == WIDTH


def test_a_rare_outcome_is_seen() -> None:
    """One divergence among ten million is a line that an eye finds, and the bar is not longer for it."""
    segments = outcome_segments(OutcomeCounts(match=10_000_000, diff=1))
    assert segments[1].width > WIDTH / 200
    assert segments[1].x + segments[1].width == pytest.approx(WIDTH, abs=0.02)


def test_nothing_compared_is_an_empty_bar() -> None:
    """Without a comparison there is nothing to draw."""
    assert outcome_segments(OutcomeCounts()) == []


@pytest.mark.parametrize(
    ("highest", "top"), [([], 0.001), ([None, 0.0004], 0.001), ([0.02, 0.011], 0.02), ([0.21], 0.5), ([1.0], 1.0)]
)
def test_a_scale_ends_at_a_round_share(highest: list[float | None], top: float) -> None:
    """All intervals of a column fit a scale whose end can be read."""
    assert scale_top(highest) == top


def test_an_interval_is_placed_on_a_square_root_scale() -> None:
    """A quarter of the scale is half of the line, so that small rates are told apart."""
    bar = interval(0.25, 0.0, 1.0, 1.0, control=0.01)
    assert bar is not None
    assert (bar.x, bar.width, bar.at, bar.control) == (0, 100, 50, 10)
    assert ticks(0.2) == [pytest.approx(22.36), pytest.approx(70.71)]


def test_an_interval_never_leaves_its_line() -> None:
    """Shares outside of the scale are drawn at its ends; no rate is no bar."""
    bar = interval(2.0, -1.0, 5.0, 0.5)
    assert bar is not None
    assert (bar.x, bar.width, bar.at) == (0, 100, 100)
    assert interval(None, None, None, 1.0) is None
