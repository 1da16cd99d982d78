"""Durations as people write them."""

from __future__ import annotations

import pytest

from gnomon.core.durations import format_duration, parse_duration

SECOND = 1_000_000


@pytest.mark.parametrize(
    ("text", "us"),
    [
        ("0s", 0),
        ("15us", 15),
        ("250ms", 250_000),
        ("30s", 30 * SECOND),
        ("10m", 600 * SECOND),
        ("24h", 86_400 * SECOND),
        ("30d", 30 * 86_400 * SECOND),
        (" 2s\n", 2 * SECOND),
    ],
)
def test_a_duration_is_a_whole_number_and_a_unit(text: str, us: int) -> None:
    """The result is in microseconds; white space around it does not matter."""
    assert parse_duration(text) == us


@pytest.mark.parametrize(
    "text", ["", "s", "30", "1.5s", "-1s", "1 s", "1S", "30 seconds", "1h30m", "٣s", "9" * 13 + "s"]
)
def test_anything_else_is_refused(text: str) -> None:
    """The sentence shows what was read and what to write."""
    with pytest.raises(ValueError, match="is not a duration; write a whole number and one of us, ms, s, m, h, d"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("us", "text"),
    [
        (0, "0s"),
        (1, "1us"),
        (1_500, "1500us"),
        (2_000, "2ms"),
        (SECOND, "1s"),
        (90 * SECOND, "90s"),
        (86_400 * SECOND, "1d"),
    ],
)
def test_the_shortest_text_is_written(us: int, text: str) -> None:
    """It is read back as the same duration."""
    assert format_duration(us) == text
    assert parse_duration(text) == us
