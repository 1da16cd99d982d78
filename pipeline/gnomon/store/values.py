"""Values of SQL as JSON values: numbers stay numbers, times become RFC 3339 in UTC."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

from gnomon.model import JsonValue

__all__ = ["json_value", "rfc3339"]

MAX_DEPTH = 100


def rfc3339(moment: datetime) -> str:
    """`2027-07-12T00:00:00Z`, with as many digits of a second as are not zero (3 or 6)."""
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    precision = "seconds" if not moment.microsecond else "microseconds" if moment.microsecond % 1000 else "milliseconds"
    return f"{moment.isoformat(timespec=precision)}Z"


def json_value(value: object, depth: int = 0) -> JsonValue:
    """What a cell is in JSON.

    Lists, structs and maps become arrays and objects; bytes become base64; intervals become seconds; a decimal
    becomes an integer where it is whole, else the nearest double; NaN and infinities, which JSON lacks, become
    null; whatever else there is becomes its text. What is nested deeper than `MAX_DEPTH` becomes `...`.
    """
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, (float, Decimal)):
        return _number(value)
    if depth >= MAX_DEPTH:
        return "..."
    if isinstance(value, Mapping):
        return {str(json_value(name, depth + 1)): json_value(item, depth + 1) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_value(item, depth + 1) for item in value]
    return _text(value)


def _number(value: float | Decimal) -> int | float | None:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value if math.isfinite(value) else None


def _text(value: object) -> str | float:
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, datetime):
        return rfc3339(value)  # without a zone it is a TIMESTAMP that SQL made of UTC times
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(bytes(value)).decode()
    return str(value)
