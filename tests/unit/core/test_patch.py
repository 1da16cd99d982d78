"""Applying differences to the live document gives the shadow document."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from gnomon.core.diff import diff_documents
from gnomon.core.equality import same
from gnomon.core.patch import apply_differences
from gnomon.model import Difference

PAIRS: dict[str, tuple[Any, Any]] = {
    "nothing": ({"a": [1]}, {"a": [1]}),
    "a member each way": ({"a": 1, "b": 2}, {"b": 3, "c": 4}),
    "the whole document": ([1], {"a": 1}),
    "null and missing": ({"a": None, "b": 1}, {"b": None}),
    "added in front, removed behind": ([1, 2, 3], [0, 1, 2]),
    "reversed": ([1, 2, 3, 4], [4, 3, 2, 1]),
    "moved and changed by key": (
        [{"id": 1, "v": 1}, {"id": 2, "v": [1, 2]}, {"id": 3}],
        [{"id": 3, "n": 0}, {"id": 1, "v": 2}, {"id": 2, "v": [2, 1]}],
    ),
    "added below a moved element": ([{"id": 1, "v": []}, {"id": 2}], [{"id": 2}, {"id": 1, "v": [{"x": 1}]}]),
    "nested arrays that shift": ([[1], [2, 3]], [[9], [1], [2, 4, 3]]),
    "odd names": ({"a/b": {"~": [1]}, "": {"*": 1}}, {"a/b": {"~": [1, 2]}, "": {"*": 2, "~1": 3}}),
    "names that are numbers": ({"0": {"1": 1}}, {"0": {"1": 2, "2": 3}}),
    "exact numbers": ([2**70, Decimal("1e400")], [2**70 + 1, Decimal("1e401"), Decimal("0.10000000000000000001")]),
}


@pytest.mark.parametrize(("live", "shadow"), PAIRS.values(), ids=PAIRS)
def test_live_becomes_the_shadow(live: Any, shadow: Any) -> None:
    """In both directions, whatever shifted, moved or changed its type."""
    assert same(apply_differences(live, diff_documents(live, shadow)), shadow)
    assert same(apply_differences(shadow, diff_documents(shadow, live)), live)


def test_the_live_document_is_not_changed() -> None:
    """What comes out is another document."""
    live: Any = {"a": [{"b": 1}], "c": 1}
    apply_differences(live, diff_documents(live, {"a": [{"b": 2}, 3]}))
    assert live == {"a": [{"b": 1}], "c": 1}


def test_the_order_of_differences_does_not_matter() -> None:
    """Every path speaks of the live document as it was."""
    live, shadow = {"a": [1, 2, 3, 4, 5]}, {"a": [5, 9, 2, 8, 7, 4]}
    assert apply_differences(live, reversed(diff_documents(live, shadow))) == shadow


def test_no_differences_give_the_document_itself() -> None:
    """Also where it is a scalar."""
    assert apply_differences(5, []) == 5


def test_a_removal_needs_no_value() -> None:
    """Its place is enough."""
    removal = Difference("/a/0", None, "/a/*", "removed", "high", "1", None)
    assert apply_differences({"a": [1, 2]}, [removal]) == {"a": [2]}
