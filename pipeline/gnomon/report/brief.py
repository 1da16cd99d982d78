"""A JSON value on one line: in full where it fits, else by its size."""

from __future__ import annotations

import json
from decimal import Decimal

from gnomon.model import JsonValue
from gnomon.report.text import plural

__all__ = ["brief", "fits", "scalar"]

INLINE = 72
"""Characters up to which a container is written out."""


def brief(value: JsonValue) -> str:
    """Write a value on one line: a scalar in full, a container in full if it is small, else its size."""
    if not isinstance(value, dict | list):
        return scalar(value)
    text = _inline(value)
    if text is not None:
        return text
    if isinstance(value, dict):
        return f"{{ {plural(len(value), 'member')} }} …"
    return f"[ {plural(len(value), 'element')} ] …"


def fits(value: JsonValue) -> bool:
    """Tell whether `brief` gives the whole value."""
    return not isinstance(value, dict | list) or _inline(value) is not None


def scalar(value: object) -> str:
    """Write a scalar, or an empty container, as JSON text; a `Decimal` is the number it is."""
    return str(value) if isinstance(value, Decimal) else json.dumps(value, ensure_ascii=False)


def _inline(value: dict[str, JsonValue] | list[JsonValue]) -> str | None:
    """A small container of scalars (or of empty containers) on one line; None where it does not fit."""
    children = list(value.values() if isinstance(value, dict) else value) if len(value) <= INLINE // 4 else None
    if children is None or not all(_is_short(child) for child in children):
        return None
    parts = [scalar(child) for child in children]
    if isinstance(value, dict):
        parts = [f"{scalar(name[: INLINE + 1])}: {part}" for name, part in zip(value, parts, strict=True)]
    text = ", ".join(parts)
    if len(text) > INLINE:
        return None
    return f"{{{text}}}" if isinstance(value, dict) else f"[{text}]"


def _is_short(value: JsonValue) -> bool:
    return len(value) <= INLINE if isinstance(value, str) else not (isinstance(value, dict | list) and value)
