"""Redaction of MessagePack in place: strings are written anew, every other byte stays as it was."""

from __future__ import annotations

from collections.abc import Callable

from gnomon.core.formats.msgpack_sizes import ARRAYS, BINARY, EXTENSIONS, FIXED, MAPS, STRINGS
from gnomon.core.json import Unreadable
from gnomon.core.secret_names import NOTHING, secrecy_below

__all__ = ["redact_msgpack"]

RedactString = Callable[[str, int], str]
"""Gets a string and its secrecy, gives the string redacted."""


class _Open:
    """A container: how many values are to come, and what goes by its name and by the name just read."""

    __slots__ = ("above", "is_map", "level", "names", "rest")

    def __init__(self, rest: int, above: int, *, is_map: bool) -> None:
        self.rest = rest
        self.is_map = is_map
        self.names = is_map
        self.above = above
        self.level = NOTHING if is_map else above


def redact_msgpack(data: bytes, redact: RedactString) -> bytes:
    """Redact the strings of MessagePack, names of members too; binary under a secret's name becomes a string.

    Returns:
        The same object if there was nothing to redact.

    Raises:
        Unreadable: It is not MessagePack, or is cut.
    """
    return _Walk(data, redact).run()


class _Walk:
    def __init__(self, data: bytes, redact: RedactString) -> None:
        self._data = data
        self._redact = redact
        self._pieces: list[bytes] = []
        self._done = 0
        self._stack: list[_Open] = []

    def run(self) -> bytes:
        position = 0
        while position < len(self._data):
            position = self._value(position)
            while self._stack and not self._stack[-1].rest:
                self._stack.pop()
        if self._stack:
            raise Unreadable("not MessagePack: it is cut")
        return b"".join((*self._pieces, self._data[self._done :])) if self._pieces else self._data

    def _value(self, position: int) -> int:
        """Read a value, or the beginning of a container; return what follows."""
        level, is_name = self._next()
        first = self._data[position]
        at = position + 1
        if 0xA0 <= first <= 0xBF:
            return self._string(position, at, at + (first & 0x1F), level, is_name=is_name)
        if first in STRINGS or first in BINARY:
            size, at = self._length(at, STRINGS.get(first) or BINARY[first])
            if first in STRINGS or level:
                return self._string(position, at, at + size, level, is_name=is_name)
            return self._skip(at, size)
        if 0x80 <= first <= 0x9F:
            self._stack.append(_Open((first & 0x0F) * (2 - (first >> 4 & 1)), level, is_map=first < 0x90))
        elif first in ARRAYS or first in MAPS:
            size, at = self._length(at, ARRAYS.get(first) or MAPS[first])
            self._stack.append(_Open(size * (2 if first in MAPS else 1), level, is_map=first in MAPS))
        elif first in EXTENSIONS:
            size, at = self._length(at, EXTENSIONS[first])
            return self._skip(at, size + 1)
        elif 0x7F < first < 0xE0:
            if first not in FIXED:
                raise Unreadable("not MessagePack: a type that is not used")
            return self._skip(at, FIXED[first])
        return at

    def _next(self) -> tuple[int, bool]:
        """Count the next value in; give its secrecy and whether it is the name of a member."""
        if not self._stack:
            return NOTHING, False
        top = self._stack[-1]
        top.rest -= 1
        if not top.is_map:
            return top.level, False
        top.names = not top.names
        return (NOTHING, True) if not top.names else (top.level, False)

    def _length(self, at: int, count: int) -> tuple[int, int]:
        end = self._skip(at, count)
        return int.from_bytes(self._data[at:end]), end

    def _skip(self, at: int, count: int) -> int:
        if at + count > len(self._data):
            raise Unreadable("not MessagePack: it is cut")
        return at + count

    def _string(self, begin: int, start: int, end: int, level: int, *, is_name: bool) -> int:
        self._skip(start, end - start)
        text = self._data[start:end].decode("utf-8", "surrogateescape")
        redacted = self._redact(text, level)
        if is_name:
            top = self._stack[-1]
            top.level = secrecy_below(top.above, text)
        if redacted != text:
            self._pieces += (self._data[self._done : begin], _encoded(redacted))
            self._done = end
        return end


def _encoded(text: str) -> bytes:
    data = text.encode("utf-8", "surrogateescape")
    if len(data) < 32:
        return bytes((0xA0 + len(data),)) + data
    for first, count in STRINGS.items():
        if len(data) < 256**count:
            return bytes((first,)) + len(data).to_bytes(count) + data
    raise Unreadable("longer than a string can be")
