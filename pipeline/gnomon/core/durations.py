"""Durations as people write them in settings and rules: `250ms`, `30s`, `10m`, `24h`, `30d`."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["format_duration", "parse_duration"]

_UNITS: Final = {
    "us": 1,
    "ms": 1_000,
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
}
_SHAPE: Final = re.compile(r"([0-9]{1,12})(us|ms|s|m|h|d)")


def parse_duration(text: str) -> int:
    """Turn `30s` into microseconds.

    Raises:
        ValueError: Not a whole number followed by one of us, ms, s, m, h, d.
    """
    found = _SHAPE.fullmatch(text.strip())
    if found is None:
        raise ValueError(
            f"{text!r} is not a duration; write a whole number and one of {', '.join(_UNITS)}, such as '30s'"
        )
    return int(found[1]) * _UNITS[found[2]]


def format_duration(us: int) -> str:
    """Turn microseconds (not negative) into the shortest text that `parse_duration` reads as the same."""
    if us == 0:
        return "0s"
    for unit in ("d", "h", "m", "s", "ms"):
        if us % _UNITS[unit] == 0:
            return f"{us // _UNITS[unit]}{unit}"
    return f"{us}us"
