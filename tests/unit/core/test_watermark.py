"""Event time: it follows the records, and no single clock carries it away."""

from __future__ import annotations

from gnomon.core.watermark import Watermark

SECOND = 1_000_000
NOW = 1_800_000_000 * SECOND
YEAR = 365 * 86_400 * SECOND


def test_it_follows_the_completion_times_and_never_goes_back() -> None:
    """The highest completion time read is where event time is."""
    watermark = Watermark(60 * SECOND)
    assert watermark.observe(NOW - 5, NOW, NOW) == NOW - 5
    assert watermark.observe(NOW - 9, NOW, NOW) == NOW - 9
    assert (watermark.us, watermark.offenders) == (NOW - 5, 0)


def test_a_clock_a_year_ahead_counts_for_when_kafka_got_the_record() -> None:
    """It closes no window but its own, and is counted."""
    watermark = Watermark(60 * SECOND)
    watermark.observe(NOW - SECOND, NOW, NOW)
    assert watermark.observe(NOW + YEAR, NOW, NOW) == NOW
    assert (watermark.us, watermark.offenders) == (NOW, 1)


def test_catching_up_a_wrong_clock_counts_for_its_kafka_time_not_for_now() -> None:
    """Records of yesterday beside it keep their windows."""
    watermark, yesterday = Watermark(60 * SECOND), NOW - 86_400 * SECOND
    watermark.observe(yesterday, yesterday, NOW)
    assert watermark.observe(NOW + YEAR, yesterday, NOW) == yesterday
    assert watermark.us == yesterday


def test_a_kafka_timestamp_from_the_same_wrong_clock_moves_nothing() -> None:
    """Timestamps may be the producer's own; one that is ahead of ours says nothing."""
    watermark, yesterday = Watermark(60 * SECOND), NOW - 86_400 * SECOND
    watermark.observe(yesterday, yesterday, NOW)
    assert watermark.observe(NOW + YEAR, NOW + YEAR, NOW) == NOW
    assert watermark.us == yesterday


def test_within_the_skew_a_clock_is_believed() -> None:
    """Clocks differ a little."""
    watermark = Watermark(60 * SECOND)
    assert watermark.observe(NOW + 59 * SECOND, NOW, NOW) == NOW + 59 * SECOND
    assert (watermark.us, watermark.offenders) == (NOW + 59 * SECOND, 0)


def test_in_an_idle_partition_time_flows_with_the_clock() -> None:
    """Since the last record; how far it goes is the caller's to bound."""
    watermark = Watermark(60 * SECOND)
    watermark.observe(1000 * SECOND, 1000 * SECOND, NOW)
    assert watermark.idle(NOW + 30 * SECOND) == 1030 * SECOND
    watermark.flow(1020 * SECOND, NOW + 30 * SECOND)
    assert watermark.us == 1020 * SECOND
    assert watermark.idle(NOW + 31 * SECOND) == 1021 * SECOND


def test_a_successor_goes_on_from_where_the_last_owner_was() -> None:
    """What was too late stays so; the clock counts from when the partition was taken over."""
    watermark = Watermark(60 * SECOND, 500 * SECOND)
    assert watermark.idle(NOW) == 500 * SECOND
    assert watermark.idle(NOW + SECOND) == 501 * SECOND
