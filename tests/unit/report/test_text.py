"""Values and figures as text."""

from __future__ import annotations

import sys
import unicodedata
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.report.text import (
    contrast,
    contrast_or_one,
    count,
    delta_ms,
    legible,
    milliseconds,
    moment,
    percent,
    plural,
)

HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def test_every_character_that_hides_or_reorders_is_written_out() -> None:
    """Of all of Unicode no control, format, surrogate or line separator character comes through as it is."""
    hidden = [chr(code) for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)) in HIDDEN]
    came_through = [f"U+{ord(one):04X}" for one in hidden if one in legible(one)]
    assert came_through == []


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain", "plain"),
        ("Ólafsdóttir שלום 日本", "Ólafsdóttir שלום 日本"),
        ("a\x00b", "a\\u0000b"),
        ("a\nb", "a\\u000ab"),
        ("user\u202egnp.exe", "user\\u202egnp.exe"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
        ("a\u00a0b", "a\\u00a0b"),
        (None, "None"),
        (7, "7"),
    ],
)
def test_legible(value: object, shown: str) -> None:
    """Letters of any script stay; what cannot be seen is written as an escape."""
    assert legible(value) == shown


def test_a_long_value_is_cut_with_a_note() -> None:
    """A megabyte comes out as its beginning and how much was left out."""
    shown = legible("x" * 1_000_000, 10)
    assert shown == "xxxxxxxxxx… (999,990 more characters)"


@given(st.text(alphabet=st.characters(), max_size=600))
def test_legible_text_always_encodes(value: str) -> None:
    """Whatever came in, the page can be written as UTF-8."""
    legible(value).encode()


@pytest.mark.parametrize(
    ("live", "shadow", "expected"),
    [
        ("19.2", "19.3", (("19.", "2", ""), ("19.", "3", ""))),
        ('"a"', '"b"', (('"', "a", '"'), ('"', "b", '"'))),
        ("aa", "aaa", (("aa", "", ""), ("aa", "a", ""))),
        ("same", "same", (("same", "", ""), ("same", "", ""))),
        ("", "x", (("", "", ""), ("", "x", ""))),
    ],
)
def test_contrast(live: str, shadow: str, expected: tuple[tuple[str, str, str], tuple[str, str, str]]) -> None:
    """What both have in common stands apart from what differs."""
    assert contrast(live, shadow) == expected


@given(st.text(alphabet="ab", max_size=60), st.text(alphabet="ab", max_size=60))
def test_contrast_loses_nothing_of_short_values(live: str, shadow: str) -> None:
    """The three parts put together are the value."""
    before, after = contrast(live, shadow)
    assert ("".join(before), "".join(after)) == (live, shadow)
    assert before[0] == after[0]
    assert before[2] == after[2]


def test_the_difference_of_two_long_values_is_in_sight() -> None:
    """One character in the middle of a megabyte is shown, with some of what is around it."""
    live = "x" * 500_000 + "1" + "x" * 500_000
    shadow = "x" * 500_000 + "2" + "x" * 500_000
    (before, differing, after), (_, other, _) = contrast(live, shadow)
    assert (differing, other) == ("1", "2")
    assert before == "(499,960 characters) …" + "x" * 40
    assert after.startswith("x" * 40 + "…")


def test_a_value_without_a_counterpart_is_not_marked() -> None:
    """Where one side has nothing, the other's value stands as it is."""
    assert contrast_or_one(None, "1") == (None, ("", "", "1"))
    assert contrast_or_one("1", None) == (("", "", "1"), None)


@pytest.mark.parametrize(
    ("share", "shown"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (0, "0%"),
        (0.00001, "<0.01%"),
        (0.0001, "0.01%"),
        (0.0184, "1.84%"),
        (0.124, "12.4%"),
        (0.9999, ">99.9%"),
        (1.0000000000000002, "100%"),
        (1, "100%"),
    ],
)
def test_percent(share: float | None, shown: str) -> None:
    """Something is never rounded to nothing, nor almost all to all."""
    assert percent(share) == shown


@pytest.mark.parametrize(
    ("value", "shown", "signed"),
    [
        (None, "–", "–"),
        (float("inf"), "–", "–"),
        (0.0, "0.00", "0"),
        (0.001, "0.00", "0"),
        (4.214, "4.21", "+4.21"),
        (-0.4, "-0.40", "−0.40"),
        (42.14, "42.1", "+42.1"),
        (1204.4, "1,204", "+1,204"),
    ],
)
def test_milliseconds(value: float | None, shown: str, signed: str) -> None:
    """Three significant digits are enough; a delta always has its sign."""
    assert (milliseconds(value), delta_ms(value)) == (shown, signed)


def test_counts_and_times() -> None:
    """Numbers have separators, nouns their plural, times are UTC to the second."""
    assert (count(12345), plural(1, "pair"), plural(2, "pair"), plural(2, "reply", "replies")) == (
        "12,345",
        "1 pair",
        "2 pairs",
        "2 replies",
    )
    east = datetime(2027, 1, 15, 10, 0, 1, tzinfo=timezone(timedelta(hours=2)))
    assert moment(east) == moment(east.astimezone(UTC)) == "2027-01-15 08:00:01 UTC"
    assert moment(east.replace(tzinfo=None)) == "2027-01-15 10:00:01 UTC"
