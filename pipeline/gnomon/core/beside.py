"""Secrets that are named by what stands beside them: in an element, in `{"name": "pin", "value": "1"}`, in a pair.

The path of a difference does not show what stands beside a value. So it is looked for in the bodies, and what is found
there is hidden in the differences.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from typing import Final, Protocol

import orjson

from gnomon.core.blind import Blinder, RecordingBlinder
from gnomon.core.redact_body import redact_body
from gnomon.core.redact_json import NO_RULES
from gnomon.model import Exchange

__all__ = ["Beside", "Side"]

_STRING: Final = re.compile(r'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_LONG_ENOUGH: Final = 6
"""Shorter secrets are hidden where they are all of a string, not within one."""


class Side(Protocol):
    """One side of a comparison (`core.join.Member`)."""

    @property
    def exchange(self) -> Exchange:
        """What it saw."""


class Beside:
    """What is secret in the bodies of some exchanges; they are read when it is first asked for.

    Args:
        sides: Those of one comparison.
        key: The redaction key.
        max_expanded: See `core.redact_body`.
    """

    def __init__(self, sides: Sequence[Side | None], key: bytes, max_expanded: int) -> None:
        self._sides = sides
        self._key = key
        self._max_expanded = max_expanded

    @cached_property
    def _found(self) -> RecordingBlinder:
        blinder = RecordingBlinder(self._key)
        for side in self._sides:
            response = side and side.exchange.response
            if response and response.body:
                redact_body(response.body, response.headers, NO_RULES, blinder, self._max_expanded)
        return blinder

    @cached_property
    def _strings(self) -> frozenset[str]:
        secrets = self._found.secrets
        # A private key has several lines, and a difference of a text is one line.
        lines = [line for secret in secrets if "\n" in secret for line in secret.splitlines()]
        return frozenset(map(_folded, (*secrets, *[line for line in lines if len(line) >= _LONG_ENOUGH])))

    def hide(self, text: str, blinder: Blinder) -> str:
        """Hide them in the JSON text of a value, which may be redacted already."""
        if text in self._found.values:
            return blinder.json(text, "hash")
        if not self._strings or '"' not in text:
            return text
        return _STRING.sub(lambda found: self._string(found[0], blinder), text)

    def _string(self, text: str, blinder: Blinder) -> str:
        value: str = orjson.loads(text)
        hidden = value
        if _folded(value) in self._strings:
            hidden = blinder.text(_folded(value))
        else:
            for secret in self._found.secrets:
                if len(secret) >= _LONG_ENOUGH and secret in hidden:
                    hidden = hidden.replace(secret, blinder.text(secret))
        return text if hidden == value else orjson.dumps(hidden).decode()


def _folded(text: str) -> str:
    """Fold white space, as documents of markup do."""
    return " ".join(text.split())
