"""Values from traffic and figures as text that a page can hold: legible, bounded, never deceiving.

Escaping for HTML is the template's (autoescape); what is done here is what escaping cannot do: characters that
hide, reorder or break text are written out, and long values are cut with a note.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import TypeAlias

__all__ = [
    "Parts",
    "contrast",
    "contrast_or_one",
    "count",
    "delta_ms",
    "legible",
    "milliseconds",
    "moment",
    "percent",
    "plural",
]

Parts: TypeAlias = tuple[str, str, str]
"""A value in three parts: what it has in common with the other side before, what differs, what it has after."""

VALUE_LIMIT = 240
"""Characters of one value that are shown; a page holds thousands of them."""

CONTEXT = 40
"""Characters of common text kept in front of the first difference of two long values."""

# Controls, formats (bidi overrides, zero-width characters, tags), surrogates, line separators and noncharacters:
# written out, so that a value cannot reorder its row, hide in it, or make the file undecodable.
_HIDDEN = re.compile(
    "["
    "\x00-\x1f\x7f-\xa0\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u180e\u200b-\u200f"
    "\u2028-\u202f\u2060-\u206f\u2800\u3164\ud800-\udfff\ufdd0-\ufdef\ufeff\uffa0\ufff9-\uffff"
    "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    "]"
)


def _written_out(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def legible(value: object, limit: int = VALUE_LIMIT) -> str:
    r"""Write a value so that it can be read and cannot deceive; at most `limit` characters of it, then a note.

    Hidden characters come out as in JSON: a NUL is `\u0000`, a right-to-left override `\u202e`.
    """
    text = value if isinstance(value, str) else str(value)
    left_out = len(text) - limit
    shown = _HIDDEN.sub(_written_out, text[:limit] if left_out > 0 else text)
    return f"{shown}… ({count(left_out)} more characters)" if left_out > 0 else shown


def contrast(live: str, shadow: str, limit: int = VALUE_LIMIT) -> tuple[Parts, Parts]:
    """Split two values into what they have in common before, what differs, and what they have in common after.

    Long common text is cut so that the first difference is always in sight. Returns (before, differing, after)
    of the live and of the shadow value, legible.
    """
    start = _common_prefix(live, shadow)
    end = _common_prefix(live[start:][::-1], shadow[start:][::-1])
    return _parts(live, start, end, limit), _parts(shadow, start, end, limit)


def contrast_or_one(live: object, shadow: object, limit: int = VALUE_LIMIT) -> tuple[Parts | None, Parts | None]:
    """Do as `contrast` where both sides have a value; a side without one is None and the other stands as it is."""
    if live is None or shadow is None:
        alone = [None if value is None else ("", "", legible(value, limit)) for value in (live, shadow)]
        return alone[0], alone[1]
    return contrast(str(live), str(shadow), limit)


def _parts(text: str, start: int, end: int, limit: int) -> Parts:
    stop = len(text) - end
    before = text[:start]
    if len(text) > limit and start > CONTEXT:
        before = f"({count(start - CONTEXT)} characters) …{before[-CONTEXT:]}"
    differing = legible(text[start:stop], limit) if stop > start else ""
    return legible(before), differing, legible(text[stop:], CONTEXT if len(text) > limit else limit)


def _common_prefix(one: str, other: str) -> int:
    """Length of the common prefix, by bisection: slices are compared at memory speed, characters are not."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def count(number: int) -> str:
    """Write a whole number with thousands separators: `12,345`."""
    return f"{number:,}"


def plural(number: int, one: str, many: str = "") -> str:
    """Write a number with its noun: `1 pair`, `12,345 pairs`."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def percent(share: float | None) -> str:
    """Write a share between 0 and 1 as a percentage that never rounds something to nothing, or almost all to all."""
    if share is None or not math.isfinite(share):
        return "–"
    value = round(share * 100, 9)
    if 0 < value < 0.01:
        return "<0.01%"
    if 99.95 <= value < 100:
        return ">99.9%"
    if value in {0, 100}:
        return f"{value:.0f}%"
    return f"{value:.2f}%" if value < 10 else f"{value:.1f}%"


def milliseconds(value: float | None) -> str:
    """Write a duration in milliseconds with three significant digits at most below 1,000: `4.21`, `42.1`, `1,204`."""
    if value is None or not math.isfinite(value):
        return "–"
    size = abs(value)
    if size < 10:
        return f"{value:.2f}"
    return f"{value:.1f}" if size < 100 else f"{value:,.0f}"


def delta_ms(value: float | None) -> str:
    """Write a difference in milliseconds with its sign: `+3.10`, `−0.40`, `0`."""
    if value is None or not math.isfinite(value):
        return "–"
    figure = milliseconds(abs(value))
    if not figure.strip("0."):
        return "0"
    return f"+{figure}" if value > 0 else f"\N{MINUS SIGN}{figure}"


def moment(value: datetime) -> str:
    """Write a time in UTC to the second: `2027-07-12 14:03:59 UTC`. A naive time is taken as UTC."""
    aware = value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    return f"{aware:%Y-%m-%d %H:%M:%S} UTC"
