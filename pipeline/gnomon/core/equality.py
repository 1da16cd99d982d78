"""When two JSON values are the same, exactly and under the aspects of a rule.

`1` and `1.0` are the same number; `1`, `"1"` and `true` are three different things.
"""

from __future__ import annotations

import re
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import orjson

from gnomon.core.json import dumps, same_number
from gnomon.core.moments import parse_time_us
from gnomon.core.patterns import Pattern

if TYPE_CHECKING:
    from gnomon.core.aspects import Aspects, NumberTolerance, Treatment
    from gnomon.model import JsonValue

__all__ = ["NUMBERS", "alike", "equal_under", "identical", "number_key", "same", "stand_in", "type_name"]

Number: TypeAlias = "int | float | Decimal"

NUMBERS: Final = frozenset({int, float, Decimal})
"""The types of a JSON number; `bool` is none of them."""

_TYPE_NAMES: Final[dict[type, str]] = {
    type(None): "null",
    bool: "boolean",
    int: "number",
    float: "number",
    Decimal: "number",
    str: "string",
    list: "array",
    dict: "object",
}
_UUID: Final = re.compile(
    r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|[0-9a-fA-F]{32}"
)
_NUMBER_TEXT: Final = re.compile(r"[+-]?[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,4})?")
_PLAIN_INTEGER: Final = 2**53
_ROUNDING: Final = Context(prec=40, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[])
"""Enough digits to judge a tolerance by; numbers at the very end of the range become infinite, not errors."""

_ABSENT: Final[Any] = object()


def type_name(value: object) -> str:
    """Give JSON's name of a value's type."""
    return _TYPE_NAMES[type(value)]


def same(one: JsonValue, other: JsonValue, unlike: set[tuple[int, int]] | None = None) -> bool:
    """Whether two documents are exactly the same (member order and `1` against `1.0` aside).

    Args:
        one: A document.
        other: Another document.
        unlike: Containers known to be unlike, as pairs of ids; those found to be are added. Whoever compares a
            document and later its parts does not look for the same difference again at each level.
    """
    kind = type(one)
    if kind is not type(other):
        return kind in NUMBERS and type(other) in NUMBERS and same_number(one, other)  # type: ignore[arg-type]
    if kind is not dict and kind is not list:
        return one == other
    if one is other:
        return True
    known = unlike is not None and (id(one), id(other)) in unlike
    if not known and len(one) == len(other) and _same_inside(one, other, unlike):  # type: ignore[arg-type]
        return True
    if unlike is not None:
        unlike.add((id(one), id(other)))
    return False


def _same_inside(one: Any, other: Any, unlike: set[tuple[int, int]] | None) -> bool:  # noqa: ANN401 - two containers
    """Compare what is in two objects, or two arrays, of one length."""
    twins = other if type(one) is list else (other.get(name, _ABSENT) for name in one)
    for value, twin in zip(one if type(one) is list else one.values(), twins, strict=True):
        kind = type(value)
        if kind is type(twin) and kind is not dict and kind is not list:
            if value != twin:
                return False
        elif not same(value, twin, unlike):
            return False
    return True


def identical(one: JsonValue, other: JsonValue) -> bool:
    """Whether two values are written alike: a fast way to yes, while no says little.

    `==` alone takes 1 for true; it is asked first because it finds a difference without writing anything.
    """
    if one != other:
        return False
    try:
        return orjson.dumps(one) == orjson.dumps(other)
    except TypeError:  # a number beyond 64 bits: `same` can tell
        return False


def number_key(number: Number) -> Number:
    """Give one hashable value per number: `1`, `1.0` and `1e0` have the same, and so do `1e23` and its 24 digits."""
    if isinstance(number, int):
        return number
    if isinstance(number, float):
        if not number.is_integer():
            return number
        # a float stands for its shortest text, not for the binary fraction behind it
        return int(number) if abs(number) < _PLAIN_INTEGER else int(Decimal(repr(number)))
    short = float(number)
    return number_key(short) if Decimal(repr(short)) == number else number


def equal_under(live: JsonValue, shadow: JsonValue, aspects: Aspects) -> bool:
    """Whether two values that may be unlike count as equal under a rule's aspects.

    `match` and the tolerances are about values of one type: a number that became a string has changed its type,
    however close the two are.
    """
    treat_as = aspects.treat_as
    if treat_as is not None and alike(live, shadow, treat_as):
        return not (aspects.treats_inside and type(live) is type(shadow) and type(live) in (dict, list))
    if type_name(live) != type_name(shadow):
        return False
    if aspects.match is not None and _matches(aspects.match, live) and _matches(aspects.match, shadow):
        return True
    if aspects.case_insensitive and isinstance(live, str) and isinstance(shadow, str):  # noqa: SIM102 - one aspect each
        if live.casefold() == shadow.casefold():
            return True
    if aspects.number_tolerance is not None and _close(live, shadow, aspects.number_tolerance):
        return True
    if aspects.time_tolerance_us is not None:
        start, end = parse_time_us(live), parse_time_us(shadow)
        return start is not None and end is not None and abs(start - end) <= aspects.time_tolerance_us
    return False


def stand_in(value: JsonValue, aspects: Aspects) -> tuple[str, ...] | None:
    """Give what all values share that aspects other than tolerances make equal to this one; None: they make none."""
    treat_as = aspects.treat_as
    if treat_as is not None and alike(value, value, treat_as):
        if aspects.treats_inside and type(value) in (dict, list):
            return None
        return (treat_as, type_name(value) if treat_as == "type" else "")
    if aspects.match is not None and _matches(aspects.match, value):
        return ("match", type_name(value))
    if aspects.case_insensitive and isinstance(value, str):
        return ("case", value.casefold())
    return None


def alike(live: JsonValue, shadow: JsonValue, treat_as: Treatment) -> bool:
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


def _matches(pattern: Pattern, value: JsonValue) -> bool:
    if isinstance(value, str):
        return pattern.found_in(value)
    return type(value) in NUMBERS and pattern.found_in(dumps(value))


def _decimal(number: Number) -> Decimal:
    """Give the decimal that was written: a float is its shortest text, not its binary expansion."""
    return Decimal(repr(number)) if type(number) is float else Decimal(number)


def _number(value: JsonValue) -> Decimal | None:
    """Read a number, or a string that is wholly one: headers and forms know no numbers."""
    if type(value) in NUMBERS:
        return _decimal(value)  # type: ignore[arg-type]
    return Decimal(value) if isinstance(value, str) and _NUMBER_TEXT.fullmatch(value) else None


def _close(live: JsonValue, shadow: JsonValue, tolerance: NumberTolerance) -> bool:
    one, other = _number(live), _number(shadow)
    if one is None or other is None:
        return False
    larger = _ROUNDING.max(_ROUNDING.abs(one), _ROUNDING.abs(other))
    allowed = _ROUNDING.max(_decimal(tolerance.absolute), _ROUNDING.multiply(_decimal(tolerance.relative), larger))
    return _ROUNDING.abs(_ROUNDING.subtract(one, other)) <= allowed
