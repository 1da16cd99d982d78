"""Moments as services write them: RFC 3339, HTTP dates, and epoch numbers."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

from gnomon.core.durations import parse_duration
from gnomon.model import EPOCH

if TYPE_CHECKING:
    from gnomon.model import JsonValue

__all__ = ["parse_time_us", "read_moment"]

_ISO: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"([Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]{1,12})?)?([Zz]|[+-][0-9]{2}(:?[0-9]{2})?)?)?"
)
_HTTP: Final = re.compile(r"[A-Z][a-z]{2,8},? [0-9A-Za-z :+-]{8,40}")
"""The three forms of RFC 9110, section 5.6.7, roughly; the parser is exact."""

_DIGITS: Final = re.compile(r"[0-9]{10}|[0-9]{13}|[0-9]{16}")
_EPOCH_UNITS_US: Final = (
    (1_000_000_000, 5_000_000_000, 1_000_000),
    (1_000_000_000_000, 5_000_000_000_000, 1_000),
    (1_000_000_000_000_000, 5_000_000_000_000_000, 1),
)
"""Epoch seconds, milliseconds and microseconds of the years 2001 to 2128, and what turns them into microseconds."""


def parse_time_us(value: JsonValue) -> int | None:
    """Read a moment: RFC 3339 or an HTTP date, or epoch seconds, milliseconds or microseconds from 2001 on.

    Returns:
        Epoch microseconds, or None when the value is no moment. A time without an offset is UTC. Epoch numbers may
        stand in strings too, as they do in headers.
    """
    if isinstance(value, str):
        if _DIGITS.fullmatch(value):
            return _from_number(int(value))
        return _from_text(value)
    if type(value) is int or type(value) is float or isinstance(value, Decimal):
        return _from_number(value)
    return None


def read_moment(text: str, now: datetime) -> datetime:
    """Read what a person asks for: an RFC 3339 time, a date (its first moment, UTC), or a duration before `now`.

    Raises:
        ValueError: It is none of these.
    """
    try:
        return now - timedelta(microseconds=parse_duration(text))
    except (ValueError, OverflowError):
        pass
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        what = f"{text!r} is neither a time such as 2027-07-12T08:00:00Z, a date nor a duration such as 24h"
        raise ValueError(what) from None


def _from_number(number: float | Decimal) -> int | None:
    return next((round(number * unit) for low, high, unit in _EPOCH_UNITS_US if low <= number < high), None)


def _from_text(text: str) -> int | None:
    try:
        if _ISO.fullmatch(text):
            moment = datetime.fromisoformat(text.upper())
        elif _HTTP.fullmatch(text):
            moment = parsedate_to_datetime(text)
        else:
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return (moment - EPOCH) // timedelta(microseconds=1)
    except (ValueError, OverflowError, TypeError, IndexError):  # the shape of a moment, but no such day or hour
        return None
