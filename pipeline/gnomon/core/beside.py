"""Secrets that are named by what stands beside them: in an element, in `{"name": "pin", "value": "1"}`, in a pair.

The path of a difference does not show what stands beside a value. So it is looked for in the bodies, and what is found
there is hidden in the differences. Where that would be too much work, all is hidden that may be one of them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from typing import Final, Protocol

import orjson

from gnomon.core.blind import Blinder, RecordingBlinder, TooManySecretsError
from gnomon.core.redact_body import redact_body
from gnomon.core.redact_json import NO_RULES
from gnomon.model import Exchange

__all__ = ["Beside", "Side"]

MOST_BYTES: Final = 2 << 20
"""How large a body may be, expanded, to be looked into."""

MOST_SECRETS: Final = 10_000
MOST_STEPS: Final = 10_000_000
"""How many times secrets may be looked for in the strings of one comparison's differences: about a second."""

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
    """

    def __init__(self, sides: Sequence[Side | None], key: bytes) -> None:
        self._sides = sides
        self._key = key
        self._left = MOST_STEPS

    @cached_property
    def _found(self) -> RecordingBlinder | None:
        """What was found; None where bodies are too large to look, or hold too many secrets to look for."""
        blinder = RecordingBlinder(self._key, MOST_SECRETS)
        for side in self._sides:
            response = side and side.exchange.response
            if response and response.body:
                try:
                    body, _ = redact_body(response.body, response.headers, NO_RULES, blinder, MOST_BYTES)
                except TooManySecretsError:
                    return None
                if response.body.data and not body.data:
                    return None
        return blinder

    @cached_property
    def _long(self) -> list[str]:
        return [secret for secret in self._found.secrets if len(secret) >= _LONG_ENOUGH] if self._found else []

    @cached_property
    def _strings(self) -> frozenset[str]:
        secrets = self._found.secrets if self._found else set()
        # A private key has several lines, and a difference of a text is one line.
        lines = [line for secret in secrets if "\n" in secret for line in secret.splitlines()]
        return frozenset(map(_folded, (*secrets, *[line for line in lines if len(line) >= _LONG_ENOUGH])))

    def hide(self, text: str, blinder: Blinder) -> str:
        """Hide them in the JSON text of a value, which may be redacted already; all of it if that is too much work."""
        if self._found is None or text in self._found.values:
            return blinder.json(text, "hash")
        if not self._strings or '"' not in text:
            return text
        self._left -= len(self._long) * (text.count('"') // 2 + len(text) // 64)
        if self._left < 0:
            return blinder.json(text, "hash")
        return _STRING.sub(lambda found: self._string(found[0], blinder), text)

    def _string(self, text: str, blinder: Blinder) -> str:
        value: str = orjson.loads(text)
        hidden = value
        if _folded(value) in self._strings:
            hidden = blinder.text(_folded(value))
        else:
            for secret in self._long:
                if secret in hidden:
                    hidden = hidden.replace(secret, blinder.text(secret))
        return text if hidden == value else orjson.dumps(hidden).decode()


def _folded(text: str) -> str:
    """Fold white space, as documents of markup do."""
    return " ".join(text.split())
