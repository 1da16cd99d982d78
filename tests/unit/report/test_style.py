"""The style sheet: what cannot be seen in a test of markup."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

CSS = files("gnomon.report").joinpath("templates/report.css").read_text(encoding="utf-8")
LIGHT, DARK = (
    dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block)) for block in CSS.split("prefers-color-scheme: dark", 1)
)

READ_ON = [
    *[(ink, paper) for ink in ("ink", "dim", "link", "high", "medium", "low") for paper in ("paper", "panel")],
    *[("ink", paper) for paper in ("removed", "added", "changed", "noise")],
    *[("dim", paper) for paper in ("removed", "added", "changed", "noise")],
    ("mark-ink", "mark"),
    ("paper", "high"),
]


def luminance(colour: str) -> float:
    """Relative luminance of an sRGB colour (WCAG 2.2, definition of the term)."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize(("ink", "paper"), READ_ON)
def test_text_has_contrast(theme: dict[str, str], ink: str, paper: str) -> None:
    """Every text stands on its ground with at least 4.5 to 1 (WCAG 2.2, AA), in light and in dark."""
    light, dark = sorted((luminance(theme[ink]), luminance(theme[paper])), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_both_themes_have_the_same_colours() -> None:
    """A colour that is set for light only would be wrong in the dark."""
    assert LIGHT.keys() == DARK.keys()


def test_nothing_is_loaded() -> None:
    """The style names no address and imports nothing."""
    assert "url(" not in CSS
    assert "@import" not in CSS
