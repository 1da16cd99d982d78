"""Moments as services write them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from gnomon.core.moments import parse_time_us

NOON = 1_720_008_000_000_000
"""2024-07-03T12:00:00Z in epoch microseconds."""


@pytest.mark.parametrize(
    "text",
    [
        "2024-07-03T12:00:00Z",
        "2024-07-03t12:00:00z",
        "2024-07-03 12:00:00+00:00",
        "2024-07-03T14:00:00+02:00",
        "2024-07-03T12:00:00",
        "2024-07-03T12:00Z",
        "2024-07-03T12:00:00.000000000Z",
        "Wed, 03 Jul 2024 12:00:00 GMT",
        "Wednesday, 03-Jul-24 12:00:00 GMT",
        "Wed Jul  3 12:00:00 2024",
        "1720008000",
        "1720008000000",
        1_720_008_000,
        1_720_008_000.0,
        1_720_008_000_000,
        1_720_008_000_000_000,
        Decimal(1_720_008_000),
    ],
)
def test_one_moment_in_many_forms(text: Any) -> None:
    """RFC 3339, the three forms of HTTP, and epoch numbers; without an offset it is UTC."""
    assert parse_time_us(text) == NOON


def test_fractions_count_to_the_microsecond() -> None:
    """What is finer is cut off."""
    assert parse_time_us("2024-07-03T12:00:00.123456789Z") == NOON + 123_456
    assert parse_time_us(1_720_008_000.25) == NOON + 250_000


def test_a_day_is_its_first_moment() -> None:
    """A date without a time is a moment too."""
    assert parse_time_us("2024-07-03") == NOON - 12 * 3_600_000_000


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        [],
        {},
        "",
        "soon",
        "12345678",
        "20240703",
        "2024-13-03T12:00:00Z",
        "2024-07-03T25:00:00Z",
        "0000-00-00T00:00:00Z",
        "0001-01-01T00:00:00+23:59 and more",
        "Wed, 99 Jul 2024 12:00:00 GMT",
        "Hello world, this is no date",
        "Xyz, " + "1" * 40,
        0,
        -1_720_008_000,
        999_999_999,
        5_000_000_000,
        1e300,
        Decimal("1e999999999999999999"),
    ],
)
def test_no_moment(value: Any) -> None:
    """Small numbers, impossible days and other texts are none, and hostile ones do no harm."""
    assert parse_time_us(value) is None


def test_the_first_years_have_no_harm_in_them() -> None:
    """An offset may lead before the year 1; that is a moment long before the epoch."""
    moment = parse_time_us("0001-01-01T00:00:00+23:59")
    assert moment is not None
    assert moment < 0
