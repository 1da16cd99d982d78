"""When two values are the same, and when a rule makes them equal."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from gnomon.core.aspects import Aspects, NumberTolerance, Treatment
from gnomon.core.equality import alike, equal_under, identical, number_key, same, stand_in, type_name
from gnomon.core.patterns import Pattern

UUID = "123e4567-e89b-12d3-a456-426614174000"
OTHER_UUID = "00000000000000000000000000000001"

SAME: list[tuple[Any, Any]] = [
    (1, 1.0),
    (0.0, -0.0),
    (10**23, 1e23),
    (10**400, Decimal("1e400")),
    (Decimal("0.10000000000000000001"), Decimal("1.0000000000000000001e-1")),
    ({"a": 1, "b": [1.0]}, {"b": [1], "a": 1.0}),
    ([], []),
    ({}, {}),
    ("é", "é"),
]
NOT_SAME: list[tuple[Any, Any]] = [
    (1, True),
    (0, False),
    (1, "1"),
    (None, 0),
    (None, ""),
    (None, False),
    ([], {}),
    (2**53, float(2**53 + 2)),
    (2**53 + 1, float(2**53)),
    (0.1, Decimal("0.10000000000000000001")),
    (Decimal("1e999999999999999999"), 10**4000),
    ([1], [True]),
    ([1], [1, 1]),
    ({"a": None}, {}),
    ({"a": None}, {"b": None}),
    ({"a": [{"b": 0}]}, {"a": [{"b": False}]}),
    ("e\u0301", "é"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_same_documents(one: object, other: object) -> None:
    """Member order and the way a number is written do not matter."""
    assert same(one, other)  # type: ignore[arg-type]
    assert same(other, one)  # type: ignore[arg-type]
    assert same([{"x": one}], [{"x": other}])  # type: ignore[list-item,dict-item]


@pytest.mark.parametrize(("one", "other"), NOT_SAME)
def test_unlike_documents(one: object, other: object) -> None:
    """A number, a text and a truth value are three things; big numbers are the numbers they are."""
    assert not same(one, other)  # type: ignore[arg-type]
    assert not same(other, one)  # type: ignore[arg-type]
    assert not same([{"x": one}], [{"x": other}])  # type: ignore[list-item,dict-item]
    assert not identical(one, other)  # type: ignore[arg-type]


def test_what_is_unlike_is_remembered() -> None:
    """Containers found unlike are not looked into again: the second look trusts the memory."""
    live: list[Any] = [[1, 2], [3]]
    shadow: list[Any] = [[1, 2], [4]]
    unlike: set[tuple[int, int]] = set()
    assert not same(live, shadow, unlike)
    assert unlike == {(id(live), id(shadow)), (id(live[1]), id(shadow[1]))}
    shadow[1][0] = 3
    assert not same(live, shadow, unlike)


def test_written_alike_is_the_same() -> None:
    """The fast way says yes only where the slow one does; no may still be yes."""
    assert identical({"a": [1, True, None, "x"]}, {"a": [1, True, None, "x"]})
    assert not identical([1], [1.0])
    assert not identical([2**70], [2**70])


@pytest.mark.parametrize(
    ("one", "other"), [(1, 1.0), (0.0, -0.0), (10**23, 1e23), (0.1, Decimal("0.10")), (10**400, Decimal("1e400"))]
)
def test_a_number_has_one_key(one: float, other: float) -> None:
    """However it is written, a number can be looked up."""
    assert {number_key(one): "found"}[number_key(other)] == "found"


@pytest.mark.parametrize(("one", "other"), [(2**53 + 1, float(2**53)), (0.1, Decimal("0.10000000000000000001"))])
def test_close_numbers_have_two_keys(one: float, other: float) -> None:
    """A key loses no digit."""
    assert number_key(one) != number_key(other)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (None, "null"),
        (True, "boolean"),
        (1, "number"),
        (1.5, "number"),
        (Decimal(1), "number"),
        ("", "string"),
        ([], "array"),
        ({}, "object"),
    ],
)
def test_types_have_the_names_of_json(value: object, name: str) -> None:
    """There is one number type."""
    assert type_name(value) == name


@pytest.mark.parametrize(
    ("treatment", "live", "shadow", "equal"),
    [
        ("presence", 1, None, True),
        ("presence", {"a": 1}, [], True),
        ("type", 1, 2.5, True),
        ("type", "a", "b", True),
        ("type", {"a": 1}, {}, True),
        ("type", 1, "1", False),
        ("type", 1, True, False),
        ("type", None, 0, False),
        ("uuid", UUID, OTHER_UUID, True),
        ("uuid", UUID, UUID.upper(), True),
        ("uuid", UUID, "not one", False),
        ("uuid", UUID, UUID[:-1], False),
        ("uuid", UUID, UUID.replace("-", "", 1), False),
        ("uuid", 1, 2, False),
        ("timestamp", "2026-07-12T10:00:00Z", "2020-01-01T00:00:00.5+02:00", True),
        ("timestamp", "Sun, 06 Nov 1994 08:49:37 GMT", "2020-01-01", True),
        ("timestamp", 1_720_000_000, 1_720_000_000_123, True),
        ("timestamp", 1_720_000_000, "2020-01-01T00:00:00Z", True),
        ("timestamp", "2020-01-01T00:00:00Z", "soon", False),
        ("timestamp", 5, 6, False),
    ],
)
def test_values_of_one_kind_are_alike(treatment: Treatment, live: Any, shadow: Any, equal: bool) -> None:
    """`treat_as` asks of both sides whether they are of the kind, and of nothing else."""
    assert alike(live, shadow, treatment) is equal
    assert alike(shadow, live, treatment) is equal
    assert equal_under(live, shadow, Aspects(treat_as=treatment)) is equal


@pytest.mark.parametrize(
    ("relative", "absolute", "live", "shadow", "equal"),
    [
        (0, 0.01, 1.0, 1.01, True),
        (0, 0.01, 1.0, 1.0101, False),
        (0, 0.3, 0.1, 0.4, True),
        (0.001, 0, 1000, 1001, True),
        (0.001, 0, 1000, 998.9, False),
        (0.001, 0.01, 0, 0.01, True),
        (0.5, 0, -1, 1, False),
        (0, 1, "1.5", "2.25", True),
        (0, 1, "1.5", "2.6", False),
        (0, 1, 1, "1", False),
        (0, 1, 1, True, False),
        (0, 1, None, None, False),
        (0, 1, "1e5", "a", False),
        (0, 1, "1_0", "10", False),
        (0, 1, 10**4000, 10**4000 + 1, True),
        (0, 1, 10**4000, 10**4000 + 2, False),
        (0, 0, Decimal("9" * 50 + "e999999999999999900"), Decimal("1e999999999999999999"), False),
        (1, 0, Decimal("1e999999999999999999"), Decimal("1e-999999999999999999"), True),
    ],
)
def test_numbers_within_a_tolerance_are_equal(
    relative: float, absolute: float, live: Any, shadow: Any, equal: bool
) -> None:
    """The larger of both tolerances counts, in decimal arithmetic, for numbers and for texts that are numbers."""
    aspects = Aspects(number_tolerance=NumberTolerance(relative=relative, absolute=absolute))
    assert equal_under(live, shadow, aspects) is equal
    assert equal_under(shadow, live, aspects) is equal


@pytest.mark.parametrize(
    ("live", "shadow", "equal"),
    [
        ("2026-07-12T10:00:00Z", "2026-07-12T10:00:02Z", True),
        ("2026-07-12T10:00:00Z", "2026-07-12T10:00:02.000001Z", False),
        ("2026-07-12T10:00:00Z", "2026-07-12T12:00:01+02:00", True),
        ("2026-07-12T10:00:00Z", "Sun, 12 Jul 2026 10:00:01 GMT", True),
        (1_720_000_000, 1_720_000_002, True),
        (1_720_000_000_000, 1_720_000_002_001, False),
        ("1720000000", "1720000001", True),
        (1_720_000_000, "2024-07-03T09:46:40Z", False),
        ("2026-07-12T10:00:00Z", None, False),
        (1, 2, False),
    ],
)
def test_moments_within_a_tolerance_are_equal(live: Any, shadow: Any, equal: bool) -> None:
    """Two seconds here; a moment that became another type has changed its type."""
    assert equal_under(live, shadow, Aspects(time_tolerance_us=2_000_000)) is equal
    assert equal_under(shadow, live, Aspects(time_tolerance_us=2_000_000)) is equal


@pytest.mark.parametrize(
    ("live", "shadow", "equal"),
    [("v1", "v22", True), ("v1", "w1", False), ("v1", None, False), (12, 34, False), ("v1", ["v1"], False)],
)
def test_values_that_both_match_are_equal(live: Any, shadow: Any, equal: bool) -> None:
    """The expression is searched for; it holds for texts."""
    assert equal_under(live, shadow, Aspects(match=Pattern(r"^v\d+$"))) is equal


def test_numbers_match_by_their_json_text() -> None:
    """Two numbers can match; a number and a text cannot be equal by it, the type has changed."""
    aspects = Aspects(match=Pattern(r"^\d{3}$"))
    assert equal_under(123, 456, aspects)
    assert not equal_under(123, 4567, aspects)
    assert not equal_under(123, "456", aspects)


def test_letter_case_may_not_matter() -> None:
    """It is folded as Unicode says, for texts alone."""
    aspects = Aspects(case_insensitive=True)
    assert equal_under("STRASSE", "straße", aspects)
    assert not equal_under("a", "b", aspects)
    assert not equal_under("true", True, aspects)


def test_each_aspect_may_make_values_equal() -> None:
    """One that does not does not stop the next."""
    aspects = Aspects(
        treat_as="uuid",
        match=Pattern("^x"),
        case_insensitive=True,
        number_tolerance=NumberTolerance(absolute=1),
        time_tolerance_us=1_000_000,
    )
    assert equal_under("x1", "x2", aspects)
    assert equal_under("A", "a", aspects)
    assert equal_under(1, 2, aspects)
    assert equal_under(1_720_000_000, 1_720_000_001, aspects)
    assert not equal_under("a", "b", aspects)


def test_a_treatment_of_everything_below_leaves_containers_to_the_walk() -> None:
    """Objects are looked into; an object against an array still is of another type, and present."""
    kind, presence = Aspects(treat_as="type", treats_inside=True), Aspects(treat_as="presence", treats_inside=True)
    assert not equal_under({"a": 1}, {"a": 2}, kind)
    assert not equal_under([1], [2], presence)
    assert equal_under([1], {"a": 2}, presence)
    assert equal_under(1, 2, kind)


@pytest.mark.parametrize(
    ("aspects", "live", "shadow"),
    [
        (Aspects(treat_as="uuid"), UUID, OTHER_UUID),
        (Aspects(treat_as="type"), 1, 2),
        (Aspects(treat_as="type"), {}, {"a": 1}),
        (Aspects(treat_as="presence"), 1, "2"),
        (Aspects(match=Pattern("^v")), "v1", "v2"),
        (Aspects(case_insensitive=True), "A", "a"),
    ],
)
def test_what_a_rule_makes_equal_has_one_stand_in(aspects: Aspects, live: Any, shadow: Any) -> None:
    """So that arrays can be aligned by looking values up."""
    assert stand_in(live, aspects) == stand_in(shadow, aspects) is not None


@pytest.mark.parametrize(
    ("aspects", "value"),
    [
        (Aspects(treat_as="uuid"), "x"),
        (Aspects(treat_as="type", treats_inside=True), {"a": 1}),
        (Aspects(match=Pattern("^v")), "w"),
        (Aspects(case_insensitive=True), 1),
        (Aspects(number_tolerance=NumberTolerance(absolute=1)), 1),
    ],
)
def test_other_values_have_no_stand_in(aspects: Aspects, value: Any) -> None:
    """They are what they are; nearness has no stand-in at all."""
    assert stand_in(value, aspects) is None
