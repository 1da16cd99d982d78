"""Expressions that users write."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.core.patterns import Pattern, PatternError


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        (r"^v\d+$", "v12", True),
        (r"^v\d+$", "v12\n", False),
        ("straße", "Hauptstraße 1", True),
        ("^.$", "é", True),
        ("", "", True),
        ("a", "\ud800a", True),
    ],
)
def test_a_pattern_is_looked_for_anywhere(pattern: str, text: str, found: bool) -> None:
    """A dot is a character, not a byte, and a text that is no text harms nobody."""
    assert Pattern(pattern).found_in(text) is found


@pytest.mark.parametrize("pattern", ["(", "(?=look)ahead", r"(a)\1", "a{100000}", "["])
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    """Look-around and back-references cannot be searched for in linear time."""
    with pytest.raises(PatternError, match="."):
        Pattern(pattern)


@given(st.sampled_from(["^(a+)+$", "^(a|aa)+$", "(x+x+)+y"]), st.integers(1_000, 50_000))
def test_no_pattern_takes_more_than_linear_time(pattern: str, length: int) -> None:
    """What would take Python's own expressions longer than there is time comes back at once."""
    assert not Pattern(pattern).found_in("b" + "a" * length + "!")
