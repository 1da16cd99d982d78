"""Redaction of JSON text in place: strings are replaced where they stand, every other character stays as it was.

Parsing and writing again would change how numbers are written and lose repeated members; this does not.
"""

from __future__ import annotations

import re
from typing import Final, Literal, Protocol

import orjson

from gnomon.core.blind import Blinder
from gnomon.core.secret_names import is_secret_name, replace_members
from gnomon.core.secrets import may_hold_secret, may_hold_shape, replace_secrets

__all__ = ["Places", "redact_json", "redact_string"]


class Places(Protocol):
    """What redaction asks of the rules at one place of a document (`core.rules.PathRules`)."""

    @property
    def redact(self) -> Literal["hash", "drop"] | None:
        """How the value at this place is hidden, with everything below it."""

    @property
    def dead(self) -> bool:
        """Whether no rule can match here or anywhere below."""

    def child(self, name: str, /) -> Places:
        """Give the place of an object's member."""

    def item(self, index: int, /) -> Places:
        """Give the place of an array's element."""

    def redacts_below(self) -> bool:
        """Whether some rule redacts here or may redact below."""

    def __hash__(self) -> int:
        """Places are told apart by identity."""


_TOKEN: Final = re.compile(r'"(?:[^"\\]++|\\.)*+"|[{}\[\],:]|[^\s"{}\[\],:]++', re.DOTALL)


class _Frame:
    """One open container: its place, the place of its next value, and whether its strings have a secret's name."""

    __slots__ = ("expects_name", "index", "is_object", "next", "place", "secret")

    def __init__(self, place: Places, *, is_object: bool, secret: bool) -> None:
        self.place = place
        self.is_object = is_object
        self.expects_name = is_object
        self.secret = secret
        self.index = 0
        self.next = place if is_object else place.item(0)


def redact_string(text: str, blinder: Blinder, *, secret: bool = False) -> str:
    """Redact one decoded string: as a whole where its name is that of a secret, else what in it gives itself away."""
    if secret:
        return blinder.text(text)
    return replace_members(replace_secrets(text, blinder.text), blinder.text)


def redact_json(text: str, place: Places, blinder: Blinder, *, secret: bool = False) -> str:
    """Redact a valid JSON text.

    Args:
        text: Valid JSON; the caller has parsed it.
        place: The rules at the place of this value.
        blinder: Makes the marks.
        secret: The value's name, if it has one, is that of a secret.

    Returns:
        The same object if there was nothing to redact.
    """
    return _Rewriter(text, blinder).run(place, secret=secret)


class _Rewriter:
    """One walk over the tokens of a text, with a stack of its own: depth costs memory, not recursion."""

    def __init__(self, text: str, blinder: Blinder) -> None:
        self._text = text
        self._blinder = blinder
        self._pieces: list[str] = []
        self._done = 0
        # Where the whole text holds no shape, only strings with names and parameters of their own need a look.
        self._shapes = may_hold_shape(text)
        self._stack: list[_Frame] = []

    def run(self, place: Places, *, secret: bool) -> str:
        hidden_from = hidden_depth = 0
        how: Literal["hash", "drop"] = "hash"
        for token in _TOKEN.finditer(self._text):
            start, end = token.span()
            kind = self._text[start]
            if hidden_depth:
                hidden_depth += (kind in "{[") - (kind in "}]")
                if not hidden_depth:
                    self._put(hidden_from, end, self._blinder.json(self._text[hidden_from:end], how))
            elif kind in ",:}]":
                self._punctuation(kind)
            elif self._stack and self._stack[-1].expects_name:
                self._name(start, end)
            else:
                here, named = (self._stack[-1].next, self._is_secret()) if self._stack else (place, secret)
                if here.redact is not None and kind in "{[":
                    hidden_from, hidden_depth, how = start, 1, here.redact
                elif here.redact is not None:
                    self._put(start, end, self._blinder.json(self._text[start:end], here.redact))
                elif kind in "{[":
                    # Strings of an array go by its name; members of an object have names of their own.
                    self._stack.append(_Frame(here, is_object=kind == "{", secret=named and kind == "["))
                elif kind == '"':
                    self._string(start, end, secret=named)
        return "".join((*self._pieces, self._text[self._done :])) if self._pieces else self._text

    def _is_secret(self) -> bool:
        return self._stack[-1].secret

    def _punctuation(self, kind: str) -> None:
        if kind in "}]":
            self._stack.pop()
        elif kind == ",":
            frame = self._stack[-1]
            frame.expects_name = frame.is_object
            if not frame.is_object and not frame.place.dead:
                frame.index += 1
                frame.next = frame.place.item(frame.index)

    def _name(self, start: int, end: int) -> None:
        frame = self._stack[-1]
        name = self._decoded(start, end)
        frame.expects_name = False
        frame.secret = is_secret_name(name)
        frame.next = frame.place.child(name)
        self._string(start, end, secret=False)

    def _string(self, start: int, end: int, *, secret: bool) -> None:
        if not secret and not self._shapes and "=" not in self._text[start:end] and "\\" not in self._text[start:end]:
            return
        text = self._decoded(start, end)
        if not secret and not may_hold_secret(text):
            return
        redacted = redact_string(text, self._blinder, secret=secret)
        if redacted != text:
            self._put(start, end, orjson.dumps(redacted).decode())

    def _decoded(self, start: int, end: int) -> str:
        if "\\" in self._text[start:end]:
            decoded: str = orjson.loads(self._text[start:end])
            return decoded
        return self._text[start + 1 : end - 1]

    def _put(self, start: int, end: int, text: str) -> None:
        if text != self._text[start:end]:
            self._pieces += (self._text[self._done : start], text)
            self._done = end
