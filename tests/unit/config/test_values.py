"""Sizes as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.config.values import format_size, in_words, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("12", 12),
        ("12B", 12),
        ("1KiB", 1024),
        ("32 MiB", 33_554_432),
        ("2GB", 2_000_000_000),
        (" 1kB ", 1000),
    ],
)
def test_a_size_is_a_number_and_a_unit(text: str, size: int) -> None:
    """Binary and decimal units are told apart."""
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MiB", "-1", "1.5MiB", "1 mib", "9" * 40])
def test_what_is_no_size_is_refused(text: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(text)


@given(st.integers(min_value=0, max_value=2**45))
def test_a_written_size_is_read_as_the_same(size: int) -> None:
    """Formatting loses nothing."""
    assert parse_size(format_size(size)) == size


@pytest.mark.parametrize(("value", "words"), [({}, "a table"), ([], "a list"), (True, "true"), ("x", "'x'"), (1, "1")])
def test_values_are_named_in_words(value: object, words: str) -> None:
    """Errors say what was there, as the reader wrote it."""
    assert in_words(value) == words
