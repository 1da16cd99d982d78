"""Redaction of JSON text in place: strings are replaced where they stand, every other character stays as it was.

Parsing and writing again would change how numbers are written and lose repeated members; this does not.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, Literal, Protocol

import orjson

from gnomon.core.blind import Blinder
from gnomon.core.redact_markup import replace_in_markup
from gnomon.core.secret_names import (
    LABELS,
    NOTHING,
    NUMBERS,
    VALUES,
    label_secrecy,
    remembered_name,
    secrecy,
    secrecy_below,
)
from gnomon.core.secret_text import replace_named
from gnomon.core.secrets import may_hold_secret, may_hold_shape, replace_secrets
from gnomon.core.sieve import is_plain_value

__all__ = ["NO_RULES", "Places", "redact_json", "redact_string", "replace_text"]


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
# A string that has none of these characters names nothing that is in it.
_NAMING: Final = re.compile(r"[=:<\\]")


class _NoRules:
    """Places where no rule holds."""

    redact: Final = None
    dead: Final = True

    def child(self, _: str, /) -> _NoRules:
        return self

    def item(self, _: int, /) -> _NoRules:
        return self

    def redacts_below(self) -> bool:
        return False


NO_RULES: Final = _NoRules()


class _Frame:
    """One open container: its place, the place of its next value, and what goes by the names of both."""

    __slots__ = (
        "above",
        "count",
        "expects_name",
        "index",
        "is_object",
        "label",
        "level",
        "name",
        "next",
        "place",
        "start",
        "values",
    )

    def __init__(self, place: Places, start: int, *, is_object: bool, above: int) -> None:
        self.place = place
        self.start = start
        self.is_object = is_object
        self.expects_name = is_object
        # The secrecy of the container, and of its next value.
        self.above = above
        self.level = NOTHING if is_object else above
        self.index = self.count = 0
        self.next = place if is_object else place.item(0)
        # Of an object: its next value's name, how secret a label in it says that its values are, and where those are.
        self.name = ""
        self.label = NOTHING
        self.values: list[tuple[int, int]] = []


def redact_string(text: str, blinder: Blinder, *, secret: int = NOTHING, lines: bool = False) -> str:
    """Redact one decoded string: as a whole where its name is that of a secret, else what in it gives itself away.

    Args:
        text: The string.
        blinder: Makes the marks.
        secret: The secrecy of its name.
        lines: It is a text of lines, not one string of many (see `core.secret_text.replace_named`).
    """
    if secret:
        return blinder.text(text)
    return replace_text(replace_secrets(text, blinder.text), blinder.text, lines=lines)


def replace_text(text: str, replace: Callable[[str], str], *, lines: bool = False) -> str:
    """Replace what a text or the markup in it says is a secret by its name."""
    text = replace_named(text, replace, lines=lines)
    return replace_in_markup(text, replace) if "<" in text else text


def redact_json(text: str, place: Places, blinder: Blinder, *, secret: int = NOTHING, lines: bool = False) -> str:
    """Redact a valid JSON text.

    Args:
        text: Valid JSON; the caller has parsed it.
        place: The rules at the place of this value.
        blinder: Makes the marks.
        secret: The secrecy of the value's name, if it has one (`core.secret_names`).
        lines: A string is a line of a text.

    Returns:
        The same object if there was nothing to redact.
    """
    return _Rewriter(text, blinder, lines=lines).run(place, secret)


class _Rewriter:
    """One walk over the tokens of a text, with a stack of its own: depth costs memory, not recursion."""

    def __init__(self, text: str, blinder: Blinder, *, lines: bool = False) -> None:
        self._text = text
        self._blinder = blinder
        self._lines = lines
        self._edits: list[tuple[int, int, str]] = []
        # Where the whole text holds no shape, only strings with names and parameters of their own need a look.
        self._shapes = may_hold_shape(text)
        self._stack: list[_Frame] = []

    def run(self, place: Places, secret: int = NOTHING) -> str:
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
                self._punctuation(kind, end)
            elif self._stack and self._stack[-1].expects_name:
                self._name(start, end)
            else:
                here, level = self._next() if self._stack else (place, secret)
                if here.redact is not None and kind in "{[":
                    hidden_from, hidden_depth, how = start, 1, here.redact
                elif here.redact is not None:
                    self._put(start, end, self._blinder.json(self._text[start:end], here.redact))
                elif kind in "{[":
                    self._stack.append(_Frame(here, start, is_object=kind == "{", above=level))
                else:
                    self._scalar(start, end, level)
        return _edited(self._text, self._edits)

    def _next(self) -> tuple[Places, int]:
        """Give the place and the secrecy of the next value."""
        frame = self._stack[-1]
        level = frame.level
        if frame.label and (frame.name in VALUES if frame.is_object else frame.count == 1):
            level = max(level, frame.label)
        return frame.next, level

    def _punctuation(self, kind: str, end: int) -> None:
        if kind in "}]":
            frame = self._stack.pop()
            if self._stack and self._stack[-1].name in VALUES:
                self._stack[-1].values.append((frame.start, end))
        elif kind == ",":
            frame = self._stack[-1]
            frame.expects_name = frame.is_object
            if not frame.is_object:
                frame.count += 1
                if not frame.place.dead:
                    frame.index += 1
                    frame.next = frame.place.item(frame.index)

    def _name(self, start: int, end: int) -> None:
        frame = self._stack[-1]
        name = self._decoded(start, end)
        frame.expects_name = False
        frame.name = remembered_name(name)
        frame.level = secrecy_below(frame.above, name) if frame.above else secrecy(name)
        frame.next = frame.place.child(name)
        self._string(start, end, NOTHING)

    def _scalar(self, start: int, end: int, level: int) -> None:
        if self._stack:
            self._note(start, end)
        if self._text[start] == '"':
            self._string(start, end, level)
        elif level == NUMBERS and self._text[start] in "-0123456789":
            self._put(start, end, self._blinder.json(self._text[start:end], "hash"))

    def _note(self, start: int, end: int) -> None:
        """Note a value that another member may name, or a string that names one: `{"name": "pin", "value": "1"}`."""
        frame = self._stack[-1]
        if frame.is_object and frame.name in VALUES:
            frame.values.append((start, end))
        elif self._text[start] == '"' and (frame.name in LABELS if frame.is_object else self._begins_pair(frame)):
            frame.label = max(frame.label, label_secrecy(frame.name, self._decoded(start, end)))
            if frame.label and frame.values:
                self._hide_values(frame)

    def _begins_pair(self, frame: _Frame) -> bool:
        """Tell whether the next value is the first of an array within an array: `["name", "value"]`."""
        return frame.count == 0 and len(self._stack) > 1 and not self._stack[-2].is_object

    def _hide_values(self, frame: _Frame) -> None:
        """Hide values that came before the label that says that they are secrets."""
        for start, end in frame.values:
            inside = [edit for edit in self._edits if start <= edit[0] < end]
            self._edits = [edit for edit in self._edits if not start <= edit[0] < end]
            value = _edited(self._text[start:end], [(one - start, other - start, text) for one, other, text in inside])
            self._put(start, end, _Rewriter(value, self._blinder).run(NO_RULES, frame.label))
        self._edits.sort()
        frame.values.clear()

    def _string(self, start: int, end: int, level: int) -> None:
        if not level and not self._shapes and not self._lines and not _NAMING.search(self._text, start, end):
            return
        if not level and is_plain_value(self._text[start:end]):
            return
        text = self._decoded(start, end)
        if not level and not may_hold_secret(text):
            return
        redacted = redact_string(text, self._blinder, secret=level, lines=self._lines)
        if redacted != text:
            self._put(start, end, orjson.dumps(redacted).decode())

    def _decoded(self, start: int, end: int) -> str:
        if "\\" in self._text[start:end]:
            decoded: str = orjson.loads(self._text[start:end])
            return decoded
        return self._text[start + 1 : end - 1]

    def _put(self, start: int, end: int, text: str) -> None:
        if text != self._text[start:end]:
            self._edits.append((start, end, text))


def _edited(text: str, edits: list[tuple[int, int, str]]) -> str:
    """Put edits into a text, in their order; the same object if there are none."""
    if not edits:
        return text
    pieces: list[str] = []
    done = 0
    for start, end, put in edits:
        pieces += (text[done:start], put)
        done = end
    return "".join((*pieces, text[done:]))
