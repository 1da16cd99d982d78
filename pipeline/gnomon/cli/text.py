"""Text from traffic on its way to a terminal: values in words, and nothing that could steer the terminal."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta

__all__ = ["cell", "one_line", "percent", "plural", "rfc3339"]


def one_line(text: str) -> str:
    """Write control characters (line breaks, escapes, bidirectional marks) as escapes, so they are seen, not obeyed."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape", "backslashreplace").decode()
        if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")
        else character
        for character in text
    )


def rfc3339(moment: datetime) -> str:
    """Write a moment in UTC; one without a zone is taken as UTC."""
    aware = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.isoformat().replace("+00:00", "Z")


def percent(share: float | None) -> str:
    """Write a share of 1 in per cent with three digits that say something; `-` where there is none."""
    if share is None:
        return "-"
    return f"{share * 100:.3g} %"


def plural(number: int, one: str, many: str = "") -> str:
    """Write a number with its noun: `1 pair`, `12345 pairs`."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def cell(value: object) -> str:
    """Write a value of a result as one line of a table."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, date | time | timedelta):
        return str(value)
    if isinstance(value, bytes):
        return _of_bytes(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{cell(name)}: {cell(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(cell(item) for item in value) + "]"
    return one_line(str(value))


def _of_bytes(value: bytes) -> str:
    """Write text as text, and anything else in hex."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return value.hex()
    return one_line(text) if all(c.isprintable() or c.isspace() for c in text) else value.hex()
