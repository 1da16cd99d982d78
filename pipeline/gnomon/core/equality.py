"""When two JSON values are the same, exactly and under the aspects of a rule.

`1` and `1.0` are the same number; `1`, `"1"` and `true` are three different things.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal, localcontext
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gnomon.core.rules import Aspects
    from gnomon.model import JsonValue

__all__ = ["TypeName", "alike", "equal_under", "identity_of_number", "numbers_equal", "parse_time_us", "same", "type_name"]

TypeName = str
_NUMBERS: Final = frozenset({int, float, Decimal})
_TYPE_NAMES: Final[dict[type, TypeName]] = {
    type(None): "null",
    bool: "boolean",
    int: "number",
    float: "number",
    Decimal: "number",
    str: "string",
    list: "array",
    dict: "object",
}
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_PLAIN_INTEGER: Final = 2**53
_TOLERANCE_DIGITS: Final = 40
_MAX_TIME_TEXT: Final = 64
_MAX_NUMBER_TEXT: Final = 64
_EPOCH_UNITS_US: Final = (
    (1_000_000_000, 5_000_000_000, 1_000_000),
    (1_000_000_000_000, 5_000_000_000_000, 1_000),
    (1_000_000_000_000_000, 5_000_000_000_000_000, 1),
)
"""Epoch seconds, milliseconds and microseconds of the years 2001 to 2128, and what turns them into microseconds."""


def type_name(value: object) -> TypeName:
    """Give JSON's name of a value's type."""
    return _TYPE_NAMES[type(value)]


def _decimal(number: float | Decimal) -> Decimal:
    """Give the decimal that was written: a float is its shortest text, not its binary expansion."""
    return Decimal(repr(number)) if type(number) is float else Decimal(number)


def numbers_equal(one: float | Decimal, other: float | Decimal) -> bool:
    """Whether two numbers are the same number, whatever they were written as."""
    if type(one) is Decimal or type(other) is Decimal:
        return _decimal(one) == _decimal(other)
    return one == other


def same(one: JsonValue, other: JsonValue) -> bool:
    """Whether two documents are exactly the same (member order and `1` against `1.0` aside)."""
    if one is other:
        return True
    kind = type(one)
    if kind is not type(other):
        return kind in _NUMBERS and type(other) in _NUMBERS and numbers_equal(one, other)  # type: ignore[arg-type]
    if isinstance(one, dict) and isinstance(other, dict):
        if len(one) != len(other):
            return False
        return all(name in other and same(value, other[name]) for name, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def identity_of_number(number: float | Decimal) -> str:
    """Give one text per number: `1`, `1.0` and `1e0` have the same."""
    if type(number) is int and -_PLAIN_INTEGER < number < _PLAIN_INTEGER:
        return str(number)
    if type(number) is float and number.is_integer() and -_PLAIN_INTEGER < number < _PLAIN_INTEGER:
        return str(int(number))
    sign, digits, exponent = _decimal(number).as_tuple()
    text = "".join(map(str, digits)).lstrip("0")
    kept = text.rstrip("0")
    if not kept:
        return "0"
    power = int(exponent) + len(text) - len(kept)
    if 0 <= power <= 16 - len(kept):
        return f"{'-' if sign else ''}{kept}{'0' * power}"
    return f"{'-' if sign else ''}{kept}e{power}"


def equal_under(live: JsonValue, shadow: JsonValue, aspects: Aspects) -> bool:
    """Whether two values that may be unlike count as equal under a rule's aspects."""
    treat_as = aspects.treat_as
    if treat_as is not None and alike(live, shadow, treat_as):
        return True
    if aspects.match is not None and _matches(aspects.match, live) and _matches(aspects.match, shadow):
        return True
    if isinstance(live, str) and isinstance(shadow, str) and aspects.case_insensitive:
        if live.casefold() == shadow.casefold():
            return True
    if aspects.number_tolerance is not None:
        one, other = _number(live), _number(shadow)
        if one is not None and other is not None and type(live) is not bool and type(shadow) is not bool:
            tolerance = aspects.number_tolerance
            return _close(one, other, tolerance.relative, tolerance.absolute)
    if aspects.time_tolerance_us is not None:
        start, end = parse_time_us(live), parse_time_us(shadow)
        return start is not None and end is not None and abs(start - end) <= aspects.time_tolerance_us
    return False


def alike(live: JsonValue, shadow: JsonValue, treat_as: str) -> bool:
    """Whether two values are both of the kind that a rule's `treat_as` names."""
    if treat_as == "presence":
        return True
    if treat_as == "type":
        return type_name(live) == type_name(shadow)
    if treat_as == "uuid":
        return _is_uuid(live) and _is_uuid(shadow)
    return parse_time_us(live) is not None and parse_time_us(shadow) is not None


def _is_uuid(value: JsonValue) -> bool:
    return isinstance(value, str) and _UUID.fullmatch(value) is not None


def _matches(pattern: re.Pattern[str], value: JsonValue) -> bool:
    if isinstance(value, str):
        return pattern.search(value) is not None
    if type(value) in _NUMBERS:
        return pattern.search(str(value)) is not None
    return False


def _number(value: JsonValue) -> Decimal | None:
    """Read a number, or a string that is wholly one (headers and forms know no numbers); both sides of one kind."""
    if type(value) in _NUMBERS:
        return _decimal(value)  # type: ignore[arg-type]
    if isinstance(value, str) and 0 < len(value) <= _MAX_NUMBER_TEXT and value[-1].isdigit():
        try:
            number = Decimal(value)
        except ArithmeticError:
            return None
        return number if number.is_finite() else None
    return None


def _close(one: Decimal, other: Decimal, relative: float, absolute: float) -> bool:
    with localcontext(Context(prec=_TOLERANCE_DIGITS, Emax=10**17, Emin=-(10**17))):
        allowed = max(_decimal(absolute), _decimal(relative) * max(abs(one), abs(other)))
        return abs(one - other) <= allowed


def parse_time_us(value: JsonValue) -> int | None:
    """Read a moment: RFC 3339 or an HTTP date, or epoch seconds, milliseconds or microseconds from 2001 on.

    Returns:
        Epoch microseconds, or None when the value is no moment. A time without an offset is UTC.
    """
    if type(value) is int or type(value) is float:
        return next((int(value * unit) for low, high, unit in _EPOCH_UNITS_US if low <= value < high), None)
    if not isinstance(value, str) or not 8 <= len(value) <= _MAX_TIME_TEXT:
        return None
    try:
        moment = datetime.fromisoformat(value) if value[0].isdigit() else parsedate_to_datetime(value)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return (moment - _EPOCH) // timedelta(microseconds=1)
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
