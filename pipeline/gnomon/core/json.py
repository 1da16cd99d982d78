"""JSON in and out, exactly: numbers are the numbers that were written, and nothing hostile gets far.

Parsers for speed turn `18446744073709551616` into a float and `1e-400` into zero without a word. Two builds that
differ there differ, so a text that may hold such a number is parsed a second time by an exact path.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from itertools import accumulate
from typing import Any, TypeAlias

import msgspec
import orjson

from gnomon.model import JsonValue

__all__ = ["MAX_DEPTH", "MAX_DIGITS", "Unreadable", "depth", "dumps", "loads", "nesting", "same_number"]

MAX_DEPTH = 200
"""How many containers may be nested in a document: what walks it afterwards may recurse."""

MAX_DIGITS = 4300
"""The longest integer, in digits, that Python turns into text and back (its own guard against quadratic work)."""

Number: TypeAlias = "int | float | Decimal"

EXACT_BITS = 53
"""Integers of up to this many bits are the same number as a float (IEEE 754 binary64)."""

BOM = b"\xef\xbb\xbf"

_NOT_BRACKETS = bytes(sorted(set(range(256)) - set(b"[]{}")))
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")

# Digits and points become 0, so that a long number of any kind is one run of zeros.
_DIGITS = bytes.maketrans(b"123456789.E", b"0000000000e")
# Fifteen significant digits always fit a double; sixteen with a point, or before an exponent, may not.
_SIXTEEN_DIGITS = b"0" * 16
_SEVENTEEN_DIGITS = b"0" * 17
_TINY = b"0e-000"
_TINY_END = b"-000"


class Unreadable(Exception):  # noqa: N818 - not an error: an answer, which the comparison turns into `incomparable`
    """Data that cannot be read as what it says it is. It never leaves the core.

    Attributes:
        reason: One sentence without a full stop that says what was wrong, and where.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


def loads(data: bytes, max_depth: int = MAX_DEPTH) -> JsonValue:
    """Parse UTF-8 JSON text; a byte order mark is tolerated, of duplicate keys the last wins.

    Integers are `int` of any size. Other numbers are `float` where the float's shortest text is the same number,
    else `Decimal`: 0.1 is a float, 0.1000000000000000055 and 1e400 are not.

    Raises:
        Unreadable: Not JSON (NaN and lone surrogates are not), nested deeper than `max_depth`, or a number of
            more than `MAX_DIGITS` digits.
    """
    data = data.removeprefix(BOM)
    # One pass over the text says whether it may hold a number for the exact path, and how many brackets open in it
    shape = data.translate(_DIGITS, b"[{")
    long = _SIXTEEN_DIGITS in shape and (_SEVENTEEN_DIGITS in shape or _SIXTEEN_DIGITS + b"e" in shape)
    # The second search is for what the first, which is faster, always finds with it
    tiny = _TINY_END in shape and _TINY in shape
    value: JsonValue = _loads_exact(data) if long or tiny else _loads_fast(data)
    if len(data) - len(shape) > max_depth and depth(value) > max_depth:
        raise Unreadable(f"nested deeper than {max_depth} levels")
    return value


def dumps(value: JsonValue) -> str:
    """Write a document as JSON text without white space; `loads` gives the same numbers back.

    Members keep their order. The value must be free of NaN, infinities and lone surrogates, as all that `loads`
    and `read_body` return is.
    """
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # an integer beyond 64 bits, a Decimal, or more than 254 levels
        return _EXACT_ENCODER.encode(value).decode()


def same_number(a: Number, b: Number) -> bool:
    """Tell whether two numbers from `loads` were written as the same number: 1 and 1.0 are, 0.1 and 0.10 are.

    A float stands for its shortest text here, not for the binary fraction behind it: 1e23 is the integer
    10**23, though no float is.
    """
    if type(a) is type(b):
        return a == b
    if isinstance(a, float):
        a, b = b, a
    if not isinstance(b, float):
        return a == b
    if isinstance(a, int) and a.bit_length() <= EXACT_BITS:
        return a == b
    return a == Decimal(repr(b))


def depth(value: JsonValue) -> int:
    """Count how many objects and arrays are nested in a document, level by level; a scalar has 0."""
    levels = 0
    level: list[Any] = [value] if isinstance(value, dict | list) else []
    while level:
        levels += 1
        level = [
            child
            for container in level
            for child in (container.values() if type(container) is dict else container)
            if type(child) is dict or type(child) is list
        ]
    return levels


def nesting(data: bytes) -> int:
    """Measure how deep the brackets of a JSON text are nested, strings left out, before anything parses it.

    Done with whole-buffer operations in time linear in the length. Of text that is not JSON the answer is some
    number.
    """
    bare = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    outside = b"".join(bare.split(b'"')[::2])
    steps = outside.translate(_STEPS, _NOT_BRACKETS)
    return max(accumulate(memoryview(steps).cast("b")), default=0)


def _number(text: str) -> float | Decimal:
    """Read one JSON number that is not an integer."""
    value = float(text)
    try:
        exact = Decimal(text)
    except InvalidOperation:
        raise Unreadable(f"the exponent of the number {text[:40]} is out of range") from None
    # Decimal(repr(inf)) is infinity, and equal to no number that was written
    return value if exact == Decimal(repr(value)) else exact


_EXACT_DECODER = msgspec.json.Decoder(float_hook=_number)
_EXACT_ENCODER = msgspec.json.Encoder(decimal_format="number")


def _loads_fast(data: bytes) -> JsonValue:
    """Parse a text whose numbers all fit, as far as could be seen."""
    try:
        return orjson.loads(data)  # type: ignore[no-any-return]
    except orjson.JSONDecodeError as error:
        if "infinity" in error.msg:
            return _loads_exact(data)
        raise Unreadable(_explain(error, data)) from None


def _loads_exact(data: bytes) -> JsonValue:
    """Parse with every number kept as it was written."""
    try:
        return _EXACT_DECODER.decode(data)  # type: ignore[no-any-return]
    except msgspec.ValidationError as error:
        # Without a type to validate against, only a number can be at fault
        cause = error.__cause__
        reason = cause.reason if isinstance(cause, Unreadable) else f"a number has more than {MAX_DIGITS:,} digits"
        raise Unreadable(reason) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Unreadable(_first_fault(data)) from None
    except RecursionError:
        raise Unreadable(f"nested deeper than {MAX_DEPTH} levels") from None


def _first_fault(data: bytes) -> str:
    """Say where a text that the exact parser refused stops being JSON."""
    try:
        orjson.loads(data)
    except orjson.JSONDecodeError as error:
        return _explain(error, data)
    return "not JSON"


def _explain(error: orjson.JSONDecodeError, data: bytes) -> str:
    """Turn the parser's error into a reason with a byte offset (the parser counts characters)."""
    if not data.strip():
        return "not JSON: nothing but white space" if data else "not JSON: empty"
    try:
        data.decode()
    except UnicodeDecodeError as fault:
        return f"not JSON: not UTF-8 at byte {fault.start}"
    if "depth" in error.msg:
        return f"nested deeper than {MAX_DEPTH} levels"
    at = error.pos if error.doc.isascii() else len(error.doc[: error.pos].encode())
    return f"not JSON: {error.msg.partition(': line ')[0]} at byte {at}"
