"""A JSON value on one line: in full where it fits, else by its size."""

from __future__ import annotations

import json
from decimal import Decimal

from gnomon.model import JsonValue
from gnomon.report.text import plural

__all__ = ["brief", "fits", "scalar"]

INLINE = 72
"""Characters up to which a container is written out."""


NESTED = 3
"""Levels below a container that is written out."""


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
    """Write a scalar as JSON text; a `Decimal` is the number it is."""
    return str(value) if isinstance(value, Decimal) else json.dumps(value, ensure_ascii=False)


def _inline(value: JsonValue, depth: int = 0) -> str | None:
    """A small value on one line; None where it does not fit, or is nested deeper than `NESTED`."""
    if isinstance(value, str):
        return scalar(value) if len(value) <= INLINE else None
    if not isinstance(value, dict | list):
        return scalar(value)
    if len(value) > INLINE // 4 or depth > NESTED:
        return None
    parts = []
    for name, child in value.items() if isinstance(value, dict) else ((None, child) for child in value):
        part = _inline(child, depth + 1)
        if part is None:
            return None
        parts.append(part if name is None else f"{scalar(name[: INLINE + 1])}: {part}")
    text = ", ".join(parts)
    if len(text) > INLINE:
        return None
    return f"{{{text}}}" if isinstance(value, dict) else f"[{text}]"
