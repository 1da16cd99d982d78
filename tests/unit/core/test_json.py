"""JSON in and out: exact numbers, bounds, reasons."""

from __future__ import annotations

import math
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.core.json import Unreadable, depth, dumps, loads, nesting, same_number
from gnomon.model import JsonValue

exact_decimals = st.decimals(allow_nan=False, allow_infinity=False).filter(lambda number: number.adjusted() < 10**17)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
documents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5), max_leaves=20
)


def typed(value: JsonValue) -> object:
    """Make 1, 1.0 and True different, for comparisons in tests."""
    if isinstance(value, dict):
        return {key: typed(member) for key, member in value.items()}
    if isinstance(value, list):
        return [typed(element) for element in value]
    return (type(value), value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("18446744073709551615", 18446744073709551615),
        ("18446744073709551616", 18446744073709551616),
        ("-9223372036854775809", -9223372036854775809),
        ("9007199254740993", 9007199254740993),
        ("9" * 400, int("9" * 400)),
        ("0.1", 0.1),
        ("1e22", 1e22),
        ("0.10000000000000001", Decimal("0.10000000000000001")),
        ("9007199254740993.0", Decimal("9007199254740993.0")),
        ("9007199254740993e1", Decimal("9007199254740993e1")),
        ("1e400", Decimal("1e400")),
        ("-1E+400", Decimal("-1e400")),
        ("1e-400", Decimal("1e-400")),
        ("1e-0000400", Decimal("1e-400")),
        ("2.2250738585072014e-308", 2.2250738585072014e-308),
        ("0.30000000000000004", 0.30000000000000004),
    ],
)
@pytest.mark.parametrize("around", ["%s", '{"a":[%s,"x"]}'])
def test_a_number_is_the_number_that_was_written(text: str, expected: object, around: str) -> None:
    """Integers of any size and decimals that no double holds come out exact, the others as int or float."""
    value = loads((around % text).encode())
    if isinstance(value, dict):
        inner = value["a"]
        assert isinstance(inner, list)
        value = inner[0]
    assert (type(value), value) == (type(expected), expected)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not JSON: empty"),
        (b" \n", "not JSON: nothing but white space"),
        (b"NaN", "at byte 0"),
        (b'{"a": Infinity}', "at byte 6"),
        (b"[1, -Infinity]", "at byte"),
        ('{"é": tru}'.encode(), "at byte 7"),
        (b'{"a": 1', "at byte"),
        (b"1 2", "at byte 2"),
        (b'["\xff"]', "not UTF-8 at byte 2"),
        (b'[12345678901234567890123, "\xff"]', "not UTF-8 at byte 27"),
        (b'"\\ud800"', "surrogate"),
        (b'[12345678901234567890123, "\\udc00"]', "surrogate"),
        (b"[12345678901234567890123, ]", "at byte"),
        (b"9" * 5000, "a number has more than 4,300 digits"),
        (b"1e99999999999999999999", "the exponent of the number 1e99999999999999999999 is out of range"),
        (b"[" * 201 + b"]" * 201, "nested deeper than 200 levels"),
        (b'{"a":' * 201 + b"1" + b"}" * 201, "nested deeper than 200 levels"),
        (b"[" * 20_000 + b"]" * 20_000, "nested deeper than 200 levels"),
        (b"[" * 20_000, "nested deeper than 200 levels"),
        (b"[" * 20_000 + b"1e-400" + b"]" * 20_000, "nested deeper than 200 levels"),
        (b"[" * 500 + b"1e-400" + b"]" * 500, "nested deeper than 200 levels"),
    ],
)
def test_what_is_not_json_says_why(data: bytes, reason: str) -> None:
    """Whatever a document lacks, it is Unreadable with a reason, and never another exception."""
    with pytest.raises(Unreadable) as caught:
        loads(data)
    assert reason in caught.value.reason


def test_a_document_as_deep_as_the_bound_is_read() -> None:
    """200 levels are read, and brackets in strings are no levels."""
    deepest = loads(b"[" * 200 + b"]" * 200)
    assert depth(deepest) == 200
    assert loads(dumps(deepest).encode()) == deepest
    many = ["[{" * 300, {"a": "]}" * 300}]
    assert loads(dumps(many).encode()) == many


def test_the_bound_can_be_lower() -> None:
    """A caller that wraps documents asks for less."""
    assert loads(b"[[1]]", 2) == [[1]]
    with pytest.raises(Unreadable, match="deeper than 1 level"):
        loads(b"[[1]]", 1)


def test_a_byte_order_mark_is_tolerated() -> None:
    """Some servers write one; RFC 8259 lets a reader ignore it."""
    assert loads(b'\xef\xbb\xbf{"a":1}') == {"a": 1}


def test_of_duplicate_keys_the_last_wins_on_both_paths() -> None:
    """The exact path agrees with the fast one."""
    assert loads(b'{"a":1,"a":2}') == {"a": 2}
    assert loads(b'{"a":1,"a":12345678901234567890123}') == {"a": 12345678901234567890123}


@given(documents)
def test_what_is_written_is_read_back(document: JsonValue) -> None:
    """`loads(dumps(x))` is x, numbers with their types."""
    assert typed(loads(dumps(document).encode())) == typed(document)


@given(exact_decimals)
def test_decimals_survive_writing_and_reading(number: Decimal) -> None:
    """A decimal comes back as the same number: a float where a float's shortest text is it, else a Decimal."""
    text = str(number)
    value = loads(text.encode())
    if isinstance(value, float):
        assert Decimal(repr(value)) == number
    else:
        assert value == number
    assert typed(loads(dumps(value).encode())) == typed(value)


@given(st.binary() | st.text().map(str.encode))
def test_any_bytes_are_a_document_or_unreadable(data: bytes) -> None:
    """Nothing but Unreadable ever comes out, and no NaN either."""
    with suppress(Unreadable):
        value = loads(data)
        assert not (isinstance(value, float) and not math.isfinite(value))


@given(documents)
def test_nesting_of_the_text_is_the_depth_of_the_document(document: JsonValue) -> None:
    """Two ways to measure, before and after parsing, agree."""
    assert nesting(dumps(document).encode()) == depth(document)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("1", "1.0", True),
        ("0", "-0.0", True),
        ("0.1", "0.10", True),
        ("1e23", "1" + "0" * 23, True),
        ("1e400", "1" + "0" * 400, True),
        ("9007199254740993", "9007199254740992.0", False),
        ("18446744073709551616", "1.8446744073709552e19", False),
        ("0.1", "0.1000000000000000055511151231257827021181583404541015625", False),
        ("1e-400", "0", False),
        ("1", "2", False),
    ],
)
def test_numbers_are_the_same_when_they_were_written_the_same(one: str, other: str, same: bool) -> None:
    """By value, not by the nearest double; and the same both ways round."""
    a: Any = loads(one.encode())
    b: Any = loads(other.encode())
    assert same_number(a, b) is same
    assert same_number(b, a) is same
