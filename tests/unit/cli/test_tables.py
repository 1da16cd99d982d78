"""Tables on a terminal and elsewhere, and values as text."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from gnomon.cli.tables import MEASURED, print_table, progress_bar
from gnomon.cli.text import cell, one_line, percent


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def test_a_terminal_gets_a_drawn_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines are drawn, and markup in the values stays text."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    print_table(["name", "n"], [("[bold]x[/bold]", 1)], title="Things")
    drawn = terminal.getvalue()
    assert "Things" in drawn
    assert "[bold]x[/bold]" in drawn
    assert "─" in drawn


def test_a_long_result_is_written_as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded: the first lines are out before the last row is read, also on a terminal."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)

    def rows() -> Iterator[tuple[int]]:
        for number in range(MEASURED + 5):
            if number > MEASURED:
                assert "\n    0\n" in terminal.getvalue()
            yield (number,)

    print_table(["first"], rows())
    assert terminal.getvalue().endswith(f"{MEASURED + 4:>5}\n")


def test_a_table_without_rows_is_its_header(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing found is still an answer."""
    print_table(["a", "b"], [], title="Things")
    assert capsys.readouterr().out == "Things\na  b\n"


def test_a_very_long_value_does_not_widen_its_column(capsys: pytest.CaptureFixture[str]) -> None:
    """The value is whole; only its own line is longer."""
    print_table(["a", "b"], [("x" * 100, 1), ("y", 2)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "x" * 100 + "  1"
    assert lines[2] == "y" + " " * 59 + "  2"


def test_a_table_fits_the_terminal_and_cuts_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Words are folded; what cannot fit at all is written row by row."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", "80")
    row = ("GET /a/rather/long/path/of/an/endpoint/{id}", "/body/items/*/price/of/it", "12.3 to 45.6 %", 123_456_789)
    print_table(["endpoint", "field", "interval", "pairs"], [row])
    drawn = re.sub(r"\x1b\[[\d;]*m", "", terminal.getvalue())
    assert max(map(len, drawn.splitlines())) <= 80
    assert "12.3 to 45.6 %" in drawn
    assert "123456789" in drawn
    terminal.truncate(0)
    print_table([f"column_{number}" for number in range(20)], [[number * 1.5 for number in range(20)]])
    assert "column_19  28.5\n" in terminal.getvalue()


def test_a_terminal_gets_a_progress_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is on stderr, and goes away at the end."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress_bar("comparing", 10) as advance:
        assert advance is not None
        advance(10)
    assert "comparing" in terminal.getvalue()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "true"),
        (False, "false"),
        (1.5, "1.5"),
        ("a\nb\u202ec", "a\\nb\\u202ec"),
        (datetime(2027, 1, 1, tzinfo=UTC), "2027-01-01T00:00:00Z"),
        (datetime(2027, 1, 1, tzinfo=UTC).replace(tzinfo=None), "2027-01-01T00:00:00Z"),
        (timedelta(seconds=1), "0:00:01"),
        (b"\x00\xff", "00ff"),
        (b"a\tb\xc3\xa9", "a\\tb\u00e9"),
        ({"a": [1, "x"]}, "{a: [1, x]}"),
    ],
)
def test_values_are_one_line_of_text(value: object, text: str) -> None:
    """Whatever a column holds is readable and harmless."""
    assert cell(value) == text


def test_plain_text_is_left_alone() -> None:
    """Letters of any script and emoji stay as they are."""
    assert one_line("Grüße, 世界 🐵") == "Grüße, 世界 🐵"


@pytest.mark.parametrize(
    ("share", "text"), [(None, "-"), (0, "0 %"), (0.1, "10 %"), (0.012345, "1.23 %"), (1, "100 %")]
)
def test_shares_are_percentages(share: float | None, text: str) -> None:
    """Three digits that say something."""
    assert percent(share) == text
