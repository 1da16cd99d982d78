"""Cells as JSON values."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import pytest

from gnomon.store import json_value, rfc3339


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (2**100, 2**100),
        (1.5, 1.5),
        (float("nan"), None),
        (float("inf"), None),
        (Decimal("1.50"), 1.5),
        (Decimal(10**30), 10**30),
        ("text", "text"),
        (datetime(2027, 7, 12, tzinfo=UTC), "2027-07-12T00:00:00Z"),
        (datetime(2027, 7, 12, tzinfo=UTC).replace(tzinfo=None), "2027-07-12T00:00:00Z"),
        (date(2027, 7, 12), "2027-07-12"),
        (time(10, 30), "10:30:00"),
        (timedelta(minutes=1), 60.0),
        (b"\x00\xff", "AP8="),
        (UUID(int=0), "00000000-0000-0000-0000-000000000000"),
        ({"a": [Decimal(1), None], 2: b"x"}, {"a": [1, None], "2": "eA=="}),
        ((1, "a"), [1, "a"]),
    ],
)
def test_json_value(value: object, expected: object) -> None:
    """Numbers stay numbers, times are RFC 3339, what JSON lacks is null or text."""
    assert json_value(value) == expected


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (datetime(2027, 7, 12, 1, 2, 3, 500_000, tzinfo=UTC), "2027-07-12T01:02:03.500Z"),
        (datetime(2027, 7, 12, 1, 2, 3, 5, tzinfo=UTC), "2027-07-12T01:02:03.000005Z"),
        (datetime(2027, 7, 12, 1, tzinfo=timezone(timedelta(hours=2))), "2027-07-11T23:00:00Z"),
    ],
)
def test_rfc3339(moment: datetime, expected: str) -> None:
    """UTC with the digits that are needed, whatever the zone was."""
    assert rfc3339(moment) == expected


def test_depth_is_bounded() -> None:
    """A value nested beyond reason is cut at the bound instead of exhausting the stack."""
    value: object = "deep"
    for _ in range(5_000):
        value = [value]
    found = json_value(value)
    for _ in range(100):
        assert isinstance(found, list)
        found = found[0]
    assert found == "..."
